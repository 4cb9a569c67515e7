"""Configuration files: read, checked against a schema, defaults filled in.

The schemas in ``flow/schemas`` describe every key and hold every default.
"""

from __future__ import annotations

import copy
import difflib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import jsonschema
import yaml

from rtl_gen.errors import ConfigError
from rtl_gen.plan.folding import BLOCK_RAM_SHARE

FOLDER = Path("configs")
SCHEMAS = Path(__file__).parent / "schemas"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Data:
    """Calibration and evaluation sequences; see ``model.schema.yaml``."""

    kind: str
    path: str
    calibration: int
    evaluation: int
    length: int


@dataclass(frozen=True, slots=True)
class Quantize:
    """Widths, solver and the accepted loss."""

    weights: Mapping[str, str]
    activation_bits: int
    activations: Mapping[str, int]
    attention_bits: int
    residual_bits: int
    solver: str
    factors: str
    loss_increase: float


@dataclass(frozen=True, slots=True)
class Trained:
    """An adapter that calibration holds: a PEFT folder and the data it is meant for."""

    name: str
    path: str
    data: Data


@dataclass(frozen=True, slots=True)
class Adapters:
    """Adapter memory of the chip; see `rtl_gen.adapter.region.Regions`."""

    tensors: tuple[str, ...]
    rank: int
    bits: int
    hidden_bits: int
    slots: int
    trained: tuple[Trained, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """What a person chose (see `rtl_gen.plan.Plan`), None for the planner's choice; its aim."""

    lanes: int | None
    elements: int | None
    heads: int | None
    styles: Mapping[str, str]
    top_k: int
    objective: str
    utilization: float
    block_rams: float = BLOCK_RAM_SHARE
    binding: str = "units"
    positions: int = 2
    sharing: int = 1
    tables: str = "vectors"


@dataclass(frozen=True, slots=True)
class Verify:
    """What simulation compares."""

    prompts: tuple[str, ...]
    seeds: tuple[int, ...]
    tokens: int
    netlist_tokens: int
    carry: bool


@dataclass(frozen=True, slots=True)
class Generate:
    """The sample in the report."""

    prompt: str
    temperature: float
    top_k: int
    seed: int
    limit: int
    count: int
    replay: int


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """One file of ``configs/models``; `name` is the file's stem."""

    name: str
    title: str
    checkpoint: str
    tokenizer: str | Mapping[str, Any]
    data: Data
    quantize: Quantize
    adapters: Adapters
    plan: Plan
    verify: Verify
    generate: Generate


@dataclass(frozen=True, slots=True)
class TargetConfig:
    """One file of ``configs/targets``; `name` is the file's stem, `pins` the board's pin file."""

    name: str
    title: str
    kind: str
    family: str
    device: str
    package: str
    speed: int
    board: str
    oscillator_mhz: float
    clock_mhz: float
    baud: int
    seeds: int
    pins: Path


@dataclass(frozen=True, slots=True)
class Runs:
    """``configs/config.yaml`` with the overrides of the command line."""

    runs: tuple[tuple[str, str], ...]
    default_target: str
    checkpoint: str
    checkpoints: Mapping[str, str]
    seeds: int

    def targets(self, model: str) -> tuple[str, ...]:
        """Targets of `model`: those of its runs, else the default one."""
        found = tuple(target for name, target in self.runs if name == model)
        return found or (self.default_target,)

    def checkpoint_of(self, model: ModelConfig) -> str:
        """Checkpoint of `model`, overridden or its own."""
        return self.checkpoints.get(model.name) or self.checkpoint or model.checkpoint


def load_model(path: Path) -> ModelConfig:
    """Read the configuration of a model.

    Raises
    ------
    ConfigError
        If the file is absent, is not YAML or breaks the schema.
    """
    values = _load(path, "model")
    if values["checkpoint"] == "auto":
        values["checkpoint"] = f"models/{path.stem}"
    plan = {name: None if value == "auto" else value for name, value in values["plan"].items()}
    places, top_k = plan["top_k"], values["generate"]["top_k"]
    if top_k > places:
        raise ConfigError(
            f"{path}: generate.top_k: {top_k} is more than plan.top_k, {places}: set plan.top_k to "
            f"{top_k} or more to build the hardware for it"
        )
    return ModelConfig(
        name=path.stem,
        title=values["title"],
        checkpoint=values["checkpoint"],
        tokenizer=values["tokenizer"],
        data=_record(Data, values["data"]),
        quantize=_record(Quantize, values["quantize"]),
        adapters=_adapters(values["adapters"]),
        plan=_record(Plan, plan),
        verify=_record(Verify, values["verify"]),
        generate=_record(Generate, values["generate"]),
    )


def load_target(path: Path) -> TargetConfig:
    """Read the configuration of a target.

    Raises
    ------
    ConfigError
        If the file is absent, is not YAML or breaks the schema, or the board has no pin file.
    """
    values = _load(path, "target")
    pins = path.parent / f"{values['board']}.lpf"
    if not pins.is_file():
        known = sorted(item.stem for item in path.parent.glob("*.lpf"))
        raise ConfigError(
            f"{path}: board: no pin file {pins}; boards with one: {', '.join(known) or 'none'}"
        )
    return _record(TargetConfig, {**values, "name": path.stem, "pins": pins})


def load_runs(values: Mapping[str, Any], where: str = "configs/config.yaml") -> Runs:
    """Check the merged configuration of the workflow.

    Raises
    ------
    ConfigError
        If it breaks the schema.
    """
    filled = check(values, "config", where)
    runs = tuple((run["model"], run["target"]) for run in filled["runs"])
    return _record(Runs, {**filled, "runs": runs})


def read_runs() -> Runs:
    """What the workflow's configuration file asks for; its defaults where there is none."""
    path = FOLDER / "config.yaml"
    return load_runs((yaml.safe_load(path.read_text()) if path.is_file() else {}) or {})


def model_file(name: str, folder: Path = FOLDER) -> Path:
    """File of the model called `name`.

    Raises
    ------
    ConfigError
        If there is none; the message names the nearest.
    """
    return _named(name, folder / "models", "model")


def target_file(name: str, folder: Path = FOLDER) -> Path:
    """File of the target called `name`.

    Raises
    ------
    ConfigError
        If there is none; the message names the nearest.
    """
    return _named(name, folder / "targets", "target")


@cache
def schema(name: str) -> dict[str, Any]:
    """Read the schema called `name`: ``config``, ``model`` or ``target``."""
    content: dict[str, Any] = yaml.safe_load((SCHEMAS / f"{name}.schema.yaml").read_text())
    return content


def check(values: Mapping[str, Any], name: str, where: str) -> dict[str, Any]:
    """Copy of `values` with defaults, checked against the schema called `name`.

    Parameters
    ----------
    where : str
        File to name in messages.

    Raises
    ------
    ConfigError
        Naming file and key, and for a misspelt key the nearest valid one.
    """
    filled = _fill(values, schema(name), where, "")
    errors = jsonschema.Draft202012Validator(schema(name)).iter_errors(filled)
    worst = jsonschema.exceptions.best_match(errors)
    if worst is not None:
        key = ".".join(str(part) for part in worst.absolute_path) or "(top)"
        raise ConfigError(f"{where}: {key}: {worst.message}{_description(worst)}")
    assert isinstance(filled, dict)  # the schemas describe objects
    return filled


def _adapters(values: Mapping[str, Any]) -> Adapters:
    trained = [
        Trained(item["name"], item["path"], _record(Data, item["data"]))
        for item in values["trained"]
    ]
    return _record(Adapters, {**values, "trained": trained})


def _load(path: Path, name: str) -> dict[str, Any]:
    try:
        values = yaml.safe_load(path.read_text())
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such file") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not YAML: {error}") from error
    return check({} if values is None else values, name, str(path))


def _fill(value: Any, rule: Mapping[str, Any], where: str, key: str) -> Any:
    """`value` with defaults, unknown keys refused, down the tree of `rule`."""
    if isinstance(value, Mapping):
        alternatives = [rule, *rule.get("oneOf", [])]
        properties = next((it["properties"] for it in alternatives if "properties" in it), None)
        if properties is None:
            return dict(value)
        for name in value:
            if name not in properties:
                raise ConfigError(_unknown(str(name), list(properties), where, key))
        return {
            name: _fill(
                value.get(name, copy.deepcopy(item["default"])), item, where, f"{key}{name}."
            )
            for name, item in properties.items()
        }
    if isinstance(value, list) and "items" in rule:
        return [_fill(item, rule["items"], where, f"{key}{i}.") for i, item in enumerate(value)]
    return value


def _unknown(name: str, known: list[str], where: str, key: str) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean {key}{near[0]}?" if near else f"valid keys: {', '.join(known)}"
    return f"{where}: unknown key {key}{name}; {hint}"


def _description(error: jsonschema.ValidationError) -> str:
    text = error.schema.get("description") if isinstance(error.schema, Mapping) else None
    return f" ({text})" if text else ""


def _named(name: str, folder: Path, kind: str) -> Path:
    path = folder / f"{name}.yaml"
    if not path.is_file():
        known = sorted(item.stem for item in folder.glob("*.yaml"))
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"{kind}s: {', '.join(known) or 'none'}"
        raise ConfigError(f"no {kind} {name!r}: {path} does not exist; {hint}")
    return path


def _record(cls: type[T], values: Mapping[str, Any]) -> T:
    names = {item.name for item in fields(cls)}  # type: ignore[arg-type]
    return cls(**{
        name: tuple(value) if isinstance(value, list) else value
        for name, value in values.items() if name in names
    })  # fmt: skip
