"""When a comparison of the RTL or the netlist with golden still counts after the weights changed.

The comparison tests the architecture: that units, schedule and streams compute the operators.
Weights are contents of ROMs, not logic, and that they are the right ones is proved anew for every
checkpoint (provenance). So it is carried over if

- the Verilog, or the netlist without the contents of its block RAMs, is the same, byte for byte;
- the graph is the same but for its constants: nodes, operators, types, shapes;
- the bounds of every accumulator, recomputed for the new constants, fit the registers;
- the test would be the same: settings, data, simulator, testbench;
- and it found no difference.

A fault of the architecture that only other weights would excite is missed by the carried test as it
was by the first one; what a test of the new weights could add is chance, not a class of faults.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flow import files
from flow.evidence import design, ranges, structure
from flow.tools import base, yosys
from rtl_gen.ir.integer import IntegerGraph


def subject(
    engine: str,
    verilog: Path,
    manifest_path: Path,
    manifest: Mapping[str, Any],
    graph: IntegerGraph,
    trial: str,
) -> dict[str, str]:
    """Digests of what a comparison is about beside the constants.

    Parameters
    ----------
    engine : {"rtl", "netlist"}
    verilog : Path
        ``chip.v`` or ``netlist.v``; the netlist as JSON lies beside the latter.
    manifest_path : Path
        With ``chip.v`` beside it.
    manifest : mapping
        Its content.
    graph : IntegerGraph
    trial : str
        Digest of how the comparison is done.
    """
    chip = manifest_path.with_name("chip.v")
    found = {
        "architecture": structure.architecture(chip.read_text(), manifest),
        "skeleton": structure.skeleton(graph),
        "trial": trial,
    }
    if engine == "netlist":
        found["netlist_structure"] = structure.of_netlist(verilog.with_suffix(".json"))
    return found


def condition(
    known: Mapping[str, Any],
    about: Mapping[str, str],
    graph: IntegerGraph,
    chip: Path,
    folder: Path,
) -> dict[str, Any] | None:
    """Why an earlier comparison counts for `graph`; None if it does not.

    Parameters
    ----------
    known : mapping
        The earlier comparison's metrics.
    about : mapping of str to str
        `subject` of the one to be made.
    graph : IntegerGraph
    chip : Path
        ``chip.v``, with ``rom/`` beside it.
    folder : Path
        For the job that elaborates it.
    """
    if known.get("about") != dict(about) or known.get("mismatches") != 0:
        return None
    job = yosys.elaborate(chip, chip.with_name("rom"))
    base.run(job, folder, folder.with_suffix(".log"))
    # Weights in adder graphs are in the Verilog, which is the same.
    wired = files.read_json(chip.with_name("manifest.json")).get("weights_in_logic", ())
    wrong, numbers = ranges.check(graph, design.read(folder / "rtl.json"), wired)
    if wrong:
        return None
    first = known.get("carried", {}).get("identity", known.get("identity", ""))
    needs = (
        f"; sums need {numbers['bits needed']} of {numbers['register bits']} bits"
        if "bits needed" in numbers else ""
    )  # fmt: skip
    return {
        "identity": first,
        "by": {key: value[:16] for key, value in about.items()},
        "condition": f"constants changed only since identity {first[:16]}: logic, graph and test "
        f"have the same digests, recomputed ranges fit{needs}",
    }
