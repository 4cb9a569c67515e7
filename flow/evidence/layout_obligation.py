"""What must be shown of a chip of standard cells: its layout holds the graph's constants."""

from __future__ import annotations

from pathlib import Path

from flow import files
from flow.evidence import design, gates, memories, provenance
from flow.evidence.artefact import Case
from flow.evidence.ledger import Obligation, Outcome
from flow.tools import abc, base, klayout, yosys, yosys_cells


def _layout(case: Case, folder: Path) -> Outcome:
    # Extracted here from the polygons as they are now, whatever a stage said of earlier ones.
    extract = klayout.compare(case.path("gds"), case.path("layout"), case.path("library").parent)
    base.run(extract, folder / "lvs", folder / "lvs.log")
    result = klayout.matches((folder / "lvs/lvs.json").read_text())
    if not result["match"]:
        listed = "; ".join(map(str, result["listed"][:2]))
        return Outcome(
            (f"layout and netlist differ: {listed}",), tools={"KLayout": extract.version}
        )
    chip, images = case.path("chip"), case.path("images")
    base.run(yosys.elaborate(chip, images), folder / "elaborated", folder / "elaborated.log")
    words = memories.of_rtl(design.read(folder / "elaborated/rtl.json"), case.manifest)
    found = provenance.compare(words, case.manifest, case.graph, chip.read_text())
    findings = list(found.differences)
    job = yosys_cells.plain_gates(chip, images, case.path("cell_models"))
    base.run(job, folder / "plain", folder / "plain.log")
    pair = gates.pair(
        design.read(folder / "plain/plain.json")["chip"],
        design.read(folder / "plain/cells.json"),
        case.json("layout"),
        case.netlist["chip"],
    )
    said = folder / "equal.txt"
    if base.run(abc.equal(pair.wanted, pair.found), folder / "equal", folder / "equal.log"):
        files.copy(folder / "equal.log", said)  # the log of a job that need not run says nothing
    differing = abc.differing(said.read_text())
    findings += [f"{name}: another function in the layout than in the RTL" for name in differing]
    numbers = {
        "tensors": found.tensors, "numbers": found.numbers, "functions": pair.functions,
        "registers": pair.registers, "functions open somewhere": pair.open_functions,
        "registers without counterpart": pair.unmatched,
    }  # fmt: skip
    numbers |= {"instances": result["instances"][1], "nets": result["nets"][1]}
    tools = {"Yosys": yosys.version(), "ABC": f"of pyosys {yosys.version()}",
             "KLayout": extract.version}  # fmt: skip
    return Outcome(tuple(findings), numbers, tools)


LAYOUT = Obligation(
    "provenance.layout",
    "the gates that the layout's wires connect compute what the RTL with the graph's constants "
    "computes",
    "the netlist extracted from the polygons is that of place and route (KLayout); every "
    "register's next value and every output of it is the same function as in the RTL and its ROM "
    "images (ABC), where these give one; the images are the graph's tensors, as in provenance.rtl",
    "constants",
    ("graph", "chip", "images", "manifest", "gds", "layout", "netlist", "cell_models", "library"),
    "asic",
    _layout,
)
