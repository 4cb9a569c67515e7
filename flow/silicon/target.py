"""Configuration of an asic target."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml

from flow.config import check
from rtl_gen.errors import ConfigError


@dataclass(frozen=True, slots=True)
class AsicTarget:
    """One file of ``configs/targets`` of kind asic; see ``asic.schema.yaml``."""

    name: str
    title: str
    kind: str
    process: str
    clock_mhz: float
    utilization: tuple[float, ...]
    corners: tuple[str, ...]
    tile_cells: int = 8_000


def kind(path: Path) -> str:
    """Kind of the target in the file `path`: ``fpga`` or ``asic``.

    Raises
    ------
    ConfigError
        If the file is absent or is not YAML.
    """
    values = _read(path)
    return str(values.get("kind", "fpga")) if isinstance(values, dict) else "fpga"


def load(path: Path) -> AsicTarget:
    """Read the configuration of an asic target.

    Raises
    ------
    ConfigError
        If the file is absent, is not YAML, breaks the schema or is of another kind.
    """
    values = _read(path)
    if kind(path) != "asic":
        raise ConfigError(f"{path}: kind: expected asic, found {kind(path)}; choose an asic target")
    filled = check(values if isinstance(values, dict) else {}, "asic", str(path))
    return AsicTarget(
        name=path.stem, title=filled["title"], kind=filled["kind"], process=filled["process"],
        clock_mhz=filled["clock_mhz"], utilization=tuple(filled["utilization"]),
        corners=tuple(filled["corners"]), tile_cells=filled["tile_cells"],
    )  # fmt: skip


def _read(path: Path) -> object:
    try:
        return yaml.safe_load(path.read_text())
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such file") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not YAML: {error}") from error
