"""Configuration: defaults, and refusals that name file, key and the nearest valid name."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import pytest
import yaml

from flow import config
from flow.silicon import librelane, target
from flow.workflow import Workflow
from rtl_gen.errors import ConfigError

ROOT = Path(__file__).parents[2]


def written(tmp_path: Path, text: str, name: str = "tiny.yaml") -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


def test_an_empty_file_is_all_defaults(tmp_path: Path) -> None:
    model = config.load_model(written(tmp_path, ""))
    assert model.name == "tiny"
    assert model.checkpoint == "models/tiny"
    assert model.quantize.weights == {"*": "int8"}
    assert model.verify.seeds == (1, 2, 3)
    assert model.plan.lanes is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("checkpont: x", "unknown key checkpont; did you mean checkpoint?"),
        ("quantize: {activations_bits: 8}", "key quantize.activations_bits; did you mean quantize"),
        ("data: {zzz: 1}", "unknown key data.zzz; valid keys: kind, path, calibration"),
        ("tokenizer: {charakters: ab}", "did you mean tokenizer.characters?"),
    ],
)
def test_unknown_keys_are_refused_with_the_nearest(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config.load_model(written(tmp_path, text))
    assert said in str(caught.value)
    assert "tiny.yaml" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("quantize: {activation_bits: 40}", "quantize.activation_bits: 40 is greater than"),
        ("quantize: {weights: {'*': int9}}", "quantize.weights.*: 'int9' is not one of"),
        ("quantize: {solver: best}", "quantize.solver: 'best' is not one of"),
        ("data: 3", "data: 3 is not of type 'object'"),
        ("plan: {lanes: 300}", "plan.lanes: 300 is greater than the maximum of 128"),
        ("- names", "is not of type 'object'"),
        ("a: [", "not YAML"),
    ],
)
def test_wrong_values_are_refused_with_their_key(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config.load_model(written(tmp_path, text))
    assert said in str(caught.value)
    assert "tiny.yaml" in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.yaml: no such file"):
        config.load_model(tmp_path / "absent.yaml")


def test_a_misspelt_model_or_target_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"no model 'nmes'.* did you mean names"):
        config.model_file("nmes", ROOT / "configs")
    with pytest.raises(ConfigError, match=r"no target 'ulx3s_85'.* did you mean ulx3s_85f"):
        config.target_file("ulx3s_85", ROOT / "configs")


def test_a_board_needs_a_pin_file(tmp_path: Path) -> None:
    written(tmp_path, "", "ulx3s.lpf")
    with pytest.raises(ConfigError, match=r"no pin file .*other\.lpf; boards with one: ulx3s"):
        config.load_target(written(tmp_path, "board: other"))


def test_the_command_line_overrides_checkpoints() -> None:
    model = config.load_model(ROOT / "configs/models/names.yaml")
    assert config.load_runs({}).checkpoint_of(model) == "models/names"
    assert config.load_runs({"checkpoint": "x"}).checkpoint_of(model) == "x"
    runs = config.load_runs({"checkpoint": "x", "checkpoints": {"names": "y"}})
    assert runs.checkpoint_of(model) == "y"


def test_a_model_that_no_run_names_goes_to_the_default_target() -> None:
    runs = config.load_runs({"runs": [{"model": "a", "target": "b"}, {"model": "a"}]})
    assert runs.targets("a") == ("b", "ulx3s_85f")
    assert runs.targets("c") == ("ulx3s_85f",)


def test_the_command_line_overrides_the_number_of_seeds() -> None:
    own = config.load_target(ROOT / "configs/targets/ulx3s_85f.yaml").seeds
    plain, more = (Workflow(config.load_runs(given)) for given in ({}, {"seeds": own + 2}))
    assert list(plain.seeds("ulx3s_85f")) == list(range(1, own + 1))
    assert list(more.seeds("ulx3s_85f")) == list(range(1, own + 3))


@pytest.mark.parametrize("path", sorted((ROOT / "configs/models").glob("*.yaml")), ids=str)
def test_every_model_in_the_repository_is_valid(path: Path) -> None:
    assert config.load_model(path).title


@pytest.mark.parametrize("path", sorted((ROOT / "configs/targets").glob("*.yaml")), ids=str)
def test_every_target_in_the_repository_is_valid(path: Path) -> None:
    if target.kind(path) == "asic":
        assert target.load(path).utilization
    elif target.kind(path) == "librelane":
        assert librelane.load(path).pdk
    else:
        assert config.load_target(path).pins.is_file()


def test_an_fpga_is_no_layout() -> None:
    path = ROOT / "configs/targets/ulx3s_85f.yaml"
    with pytest.raises(ConfigError, match="expected asic, found fpga"):
        target.load(path)


def keys(rule: dict, name: str):
    for key, item in rule.get("properties", {}).items():
        yield f"{name}.{key}", item
        yield from keys(item, f"{name}.{key}")
        yield from keys(item.get("items", {}), f"{name}.{key}[]")
        for alternative in item.get("oneOf", []):
            yield from keys(alternative, f"{name}.{key}")


SCHEMA_KEYS = [
    pytest.param(item, id=name)
    for kind in ("config", "model", "target")
    for name, item in keys(config.schema(kind), kind)
]


@pytest.mark.parametrize("item", SCHEMA_KEYS)
def test_every_key_has_a_description_and_a_default(item: dict) -> None:
    assert item["description"]
    assert "default" in item


def test_schemas_are_schemas() -> None:
    for kind in ("config", "model", "target", "asic", "librelane"):
        text = (config.SCHEMAS / f"{kind}.schema.yaml").read_text()
        jsonschema.Draft202012Validator.check_schema(yaml.safe_load(text))
