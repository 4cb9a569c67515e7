"""Results of stages, as their JSON files hold them, for tests of what reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from flow import config, measure

QUALITY = {
    "quality": {"quality__loss__float": 2.1569, "quality__loss__integer": 2.1612,
                "quality__loss__delta": 0.0043, "quality__kl": 0.0021,
                "quality__greedy_agreement": 0.981},
    "data": "US census first names: 64 for calibration, 64 others for evaluation",
    "samples": [
        {"seed": seed, "tokens": 7, "text": text}
        for seed, text in enumerate(["marisol", "jo<b>", "kalena", "doriel", "shanta", "ann"], 1)
    ],
}  # fmt: skip
MANIFEST: dict[str, Any] = {
    "name": "tiny", "architecture": "LlamaForCausalLM", "kind": "token", "identity": "ab" * 32,
    "origin": {"checkpoint": "cd" * 32}, "vocabulary": 27, "context": 32, "plan": {"lanes": 16},
    "weights": {"stored": 5184, "used": 4720},
    "memories": [
        {"name": "matvec.weight", "class": "constant", "width": 128, "depth": 512, "copies": 1,
         "image": "rom/weight.hex"},
        {"name": "attention.key", "class": "state", "width": 64, "depth": 32, "copies": 1},
        {"name": "attention.value", "class": "state", "width": 64, "depth": 32, "copies": 1},
    ],
}  # fmt: skip
RTL = {
    "simulator": "Verilator 5.48.0", "compared": 312, "mismatches": 0, "differences": [],
    "sequences": 48, "least": 300, "distinct": 27, "share": 0.14,
    "cycles": {"first": 905, "average": 1011.5, "longest": 1153,
               "by_position": [905 + 8 * i for i in range(32)]},
}  # fmt: skip
CELLS = {
    "device": "LFE5U-85F", "yosys": "0.70", "cells": 9000, "types": {"LUT4": 5210},
    "total": {"lut": 5210, "ff": 4100, "ebr": 21, "dsp": 19},
    "units": {
        "": {"lut": 300, "ff": 220, "ebr": 0, "dsp": 0},
        "matvec": {"lut": 2100, "ff": 1900, "ebr": 16, "dsp": 16},
        "chip.attention": {"lut": 1800, "ff": 1200, "ebr": 4, "dsp": 2},
        "norm": {"lut": 900, "ff": 700, "ebr": 1, "dsp": 1},
        "board": {"lut": 140, "ff": 110, "ebr": 0, "dsp": 0},
    },
}  # fmt: skip
BITSTREAM = {"seed": 2, "bytes": 402000, "ecppack": "0.11.1.0.post826"}


def timing(seed: int, fmax_mhz: float, clock_mhz: float = 50) -> dict[str, Any]:
    """``timing.json`` of one run."""
    return {
        "seed": seed, "nextpnr": "0.11.1.0.post826", "clock_mhz": clock_mhz,
        "fmax_mhz": fmax_mhz, "clock": "$glbnet$clk", "slack_ns": 1e3 / clock_mhz - 1e3 / fmax_mhz,
        "used": {}, "available": {},
        "path": [["clk-to-q", "chip.matvec.acc", 0.52], ["routing", "chip.matvec.sum", 1.7],
                 ["logic", "chip.matvec.sum", 3.9], ["setup", "chip.matvec.acc", 0.0]],
    }  # fmt: skip


def configs(folder: Path, **model: Any) -> tuple[config.ModelConfig, config.TargetConfig]:
    """A model and a target, written to `folder` and read back."""
    (folder / "models").mkdir(parents=True)
    (folder / "targets").mkdir()
    (folder / "models/tiny.yaml").write_text(yaml.safe_dump({"title": "a tiny model", **model}))
    (folder / "targets/board.yaml").write_text(yaml.safe_dump({"seeds": 3}))
    (folder / "targets/ulx3s.lpf").write_text("")
    return (config.load_model(folder / "models/tiny.yaml"),
            config.load_target(folder / "targets/board.yaml"))  # fmt: skip


def metrics(folder: Path, **changes: Any) -> dict[str, Any]:
    """``metrics.json`` of a chip; `changes` replace the results of stages."""
    model, target = configs(folder)
    results = {
        "quality": QUALITY, "manifest": MANIFEST, "rtl": RTL, "netlist": RTL, "cells": CELLS,
        "timings": [timing(1, 61.2), timing(2, 66.0), timing(3, 58.9)], "bitstream": BITSTREAM,
    }  # fmt: skip
    return measure.collect(model, target, **{**results, **changes})
