"""KLayout: netlists, antennas, pictures and joints with the wheel, rules with the program.

The wheel has no interpreter for rule decks, so design rules need the program (Debian: ``klayout``).
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from flow.tools import base, environment
from flow.tools.base import Job
from rtl_gen.errors import ToolNotFoundError

NAME = "KLayout"
ENVIRONMENT = "klayout"
REMEDY = "install it with `apt-get install klayout`"
DECKS = "precheck"
_DECK = "cf_precheck/drc_scripts/sky130A_mr.drc"


@dataclass(frozen=True, slots=True)
class Rules:
    """Result of a run of design rules.

    Parameters
    ----------
    violations : int
    by_rule : mapping of str to int
        Violations of each rule that has some.
    rules : int
        Rules of the deck that were looked at.
    """

    violations: int
    by_rule: Mapping[str, int]
    rules: int


def version() -> str:
    """Version of the wheel, e.g. ``0.30.12``."""
    return environment.version(ENVIRONMENT)


def program_version() -> str:
    """Version of the program that runs rule decks, e.g. ``0.28.5``.

    Raises
    ------
    ToolNotFoundError
        If it is not there.
    """
    program = base.executable("klayout", "KLAYOUT", REMEDY)
    said = subprocess.run([program, "-v"], capture_output=True, text=True, check=False,
                          env={**os.environ, "QT_QPA_PLATFORM": "offscreen"}).stdout  # fmt: skip
    found = re.search(r"KLayout (\S+)", said)
    return found[1] if found else said.strip()


def compare(gds: Path, placed: Path, cells: Path) -> Job:
    """Compare the layout `gds` with what place and route says is in it."""
    inputs = {"chip.gds": gds, "layout.json": placed, "library.json": cells / "library.json"}
    return _engine("klayout_lvs.py", {}, inputs, ("lvs.json", "wires.json"))


def finish(gds: Path, plan: str) -> Job:
    """Name the layout and draw it; `plan` is the text of ``finish.json``."""
    return _engine("klayout_finish.py", {"finish.json": plan}, {"routed.gds": gds},
                   ("chip.gds", "chip.png", "shapes.json"))  # fmt: skip


def stitch(tiles: Mapping[str, Path], plan: str) -> Job:
    """Stamp layouts and join them; `plan` is the text of ``stitch.json``."""
    inputs = {f"{name}.gds": path for name, path in tiles.items()}
    return _engine("klayout_stitch.py", {"stitch.json": plan}, inputs, ("routed.gds",))


def antennas(gds: Path) -> Job:
    """Check the antenna rules of `gds`."""
    return _engine("klayout_antenna.py", {}, {"chip.gds": gds}, ("antenna.json",))


def rules(gds: Path, top: str) -> Job:
    """Check `gds` with the deck that the foundry's shuttles use.

    Raises
    ------
    ToolNotFoundError
        If the program or the deck's wheel is not there.
    """
    found = list(environment.python(DECKS).parent.parent.rglob(_DECK))
    if not found:
        raise ToolNotFoundError(f"the wheel cf-precheck holds no {_DECK}; other pins in "
                                "flow/engines/precheck.txt?")  # fmt: skip
    argv = [
        base.executable("klayout", "KLAYOUT", REMEDY), "-zz", "-b", "-r", "rules.drc",
        "-rd", "input=chip.gds", "-rd", f"top_cell={top}", "-rd", "report=rules.xml",
        "-rd", "feol=true", "-rd", "beol=true", "-rd", "offgrid=true",
    ]  # fmt: skip
    return Job(NAME, argv, f"{program_version()}, deck of cf-precheck {environment.version(DECKS)}",
               {}, {"chip.gds": gds, "rules.drc": found[0]}, ("rules.xml",))  # fmt: skip


def violations(report: str) -> Rules:
    """Read the report database of a deck.

    Raises
    ------
    ValueError
        If it has no categories: then the deck looked at nothing.
    """
    root = ElementTree.fromstring(report)  # written by the program that just ran
    names = [item.text or "" for item in root.iterfind("./categories/category/name")]
    if not names:
        raise ValueError("the report of the rule deck names no rule")
    found = Counter((item.text or "").strip("'") for item in root.iterfind("./items/item/category"))
    return Rules(found.total(), dict(sorted(found.items())), len(names))


def matches(result: str) -> Mapping[str, Any]:
    """Read ``lvs.json``.

    Raises
    ------
    ValueError
        If it compared nothing.
    """
    content: Mapping[str, Any] = json.loads(result)
    if not content["instances"] or not content["cells"]:
        raise ValueError("the comparison of layout and netlist saw no instance")
    return content


def environment_variables() -> Mapping[str, str]:
    """Variables for a run without a screen."""
    return {"QT_QPA_PLATFORM": "offscreen"}


def _engine(
    program: str, texts: Mapping[str, str], inputs: Mapping[str, Path], outputs: tuple[str, ...]
) -> Job:
    path = environment.engine(program)
    return Job(
        NAME, [str(environment.python(ENVIRONMENT)), "-I", program], version(), dict(texts),
        {program: path, **inputs}, outputs,
    )  # fmt: skip
