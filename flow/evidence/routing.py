"""The bitstream against the configuration that place and route wrote."""

from __future__ import annotations

from pathlib import Path

from flow import config, ecp5
from flow.evidence.artefact import Case
from flow.tools import base, ecppack


def packed(case: Case, folder: Path) -> bytes:
    """The routed configuration packed once more."""
    target = config.load_target(config.target_file(case.target))
    job = ecppack.pack(case.path("config"), idcode=ecp5.IDCODE[target.device])
    base.run(job, folder / "packed", folder / "packed.log")
    return (folder / "packed/chip.bit").read_bytes()
