"""What must be shown of every chip, and how each is worked on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import z3

from flow import checks, config, files
from flow.evidence import (
    adders,
    coverage,
    design,
    floating,
    instruction,
    invariant,
    memories,
    memory_class,
    origin,
    packing,
    part_coverage,
    provenance,
    ranges,
    routing,
    slot,
    wire,
)
from flow.evidence.adders import Cores
from flow.evidence.artefact import Case
from flow.evidence.layout_obligation import LAYOUT
from flow.evidence.ledger import Obligation, Outcome
from flow.evidence.plant import Chip
from flow.evidence.trellis import Config
from flow.tools import base, ecppack, yosys
from rtl_gen.checkpoint import open_checkpoint

PROVENANCE = (
    "every word is read back and decoded with a reader that shares no code with the generator; "
    "addresses come from the program ROM as read back; all tensors, shifts, factors and bounds are "
    "compared with the graph, all other bits must be 0, and the identity is computed again from "
    "what was read"
)
WIRED = (
    "matrices wired in space: exact linear forms with intervals, over time where they are "
    "bit-serial"
)
REGISTERS = (
    "matrices wired in space: every register's next value is the same function as in the RTL"
)


def elaborated(case: Case, folder: Path) -> tuple[design.Design, design.Module]:
    """The RTL as Yosys reads it: with its hierarchy, and flat. The job is done in `folder`."""
    job = yosys.elaborate(case.path("chip"), case.path("images"))
    base.run(job, folder / "elaborated", folder / "elaborated.log")
    return (
        design.read(folder / "elaborated/rtl.json"),
        design.read(folder / "elaborated/flat.json")["chip"],
    )


def unpacked(case: Case, folder: Path) -> Config:
    """The bitstream as ecpunpack reads it back. The job is done in `folder`."""
    job = ecppack.unpack(case.path("bitstream"))
    base.run(job, folder / "unpacked", folder / "unpacked.log")
    return Config((folder / "unpacked/unpacked.config").read_text())


def whole(case: Case, folder: Path) -> Chip:
    """Everything evidence reads of a chip with a bitstream."""
    hierarchical, flat = elaborated(case, folder)
    read = unpacked(case, folder)
    return Chip(
        graph=case.graph,
        manifest=case.manifest,
        verilog=case.path("chip").read_text(),
        hierarchical=hierarchical,
        flat=flat,
        netlist=case.netlist,
        routed=case.routed,
        placed=Config(case.path("config").read_text()),
        unpacked=read,
        blocks=read.blocks,
        cores=cores(case, folder),
        adapters=adapters(case, folder) if "adapters" in case.manifest else None,
    )


def cores(case: Case, folder: Path) -> Cores | None:
    """Adder graphs of the RTL; None if no matrix is wired in space. The job is done in `folder`."""
    if not case.manifest.get("weights_in_logic"):
        return None
    job = yosys.adders(case.path("chip"), case.path("images"))
    base.run(job, folder / "adders", folder / "adders.log")
    return Cores(
        design.read(folder / "adders/words.json"), design.read(folder / "adders/gates.json")
    )


def adapters(case: Case, folder: Path) -> design.Design:
    """Gates of the RTL around the adapter memory. The job is done in `folder`."""
    job = yosys.adapters(case.path("chip"), case.path("images"))
    base.run(job, folder / "adapters", folder / "adapters.log")
    return design.read(folder / "adapters/gates.json")


def _compared(
    case: Case, folder: Path, words: memories.Words, tools: Mapping[str, str],
    tables: adders.Tables | None = None,
) -> Outcome:  # fmt: skip
    """Outcome of a comparison of all constants; with `tables`, that of mapped adder graphs, too."""
    wired = cores(case, folder)
    found = provenance.compare(
        words, case.manifest, case.graph, case.path("chip").read_text(), wired
    )
    numbers = {"tensors": found.tensors, "numbers": found.numbers, "scalars": found.scalars,
               "bits": found.bits}  # fmt: skip
    findings = [*found.differences]
    if wired is not None:
        numbers["nodes of adder graphs"] = wired.nodes
        if tables is not None:
            compared, wrong = adders.mapped(wired, case.netlist, tables)
            numbers["functions of adder graphs"] = compared
            findings += wrong
    return Outcome(tuple(findings), numbers, tools)


def _provenance_rtl(case: Case, folder: Path) -> Outcome:
    hierarchical, _ = elaborated(case, folder)
    words = memories.of_rtl(hierarchical, case.manifest)
    return _compared(case, folder, words, {"Yosys": yosys.version()})


def _provenance_netlist(case: Case, folder: Path) -> Outcome:
    words = memories.of_netlist(case.netlist, case.manifest)
    return _compared(case, folder, words, {"Yosys": yosys.version()}, adders.of_netlist)


def _provenance_routed(case: Case, folder: Path) -> Outcome:
    words = memories.of_routed(case.netlist, case.routed, case.manifest)
    nextpnr = {"nextpnr-ecp5": case.json("timing")["nextpnr"]}
    outcome = _compared(case, folder, words, nextpnr, memories.routed_tables(case.routed))
    placed = Config(case.path("config").read_text())
    findings = [*outcome.findings, *memories.placed(case.routed, placed)]
    findings += memories.moved(case.routed, placed.blocks)
    return Outcome(tuple(findings), outcome.numbers, outcome.tools)


def _structure_routed(case: Case, folder: Path) -> Outcome:
    cells, unlike = packing.compare(case.netlist, case.routed)
    wires, wrong = wire.compare(case.routed, Config(case.path("config").read_text()))
    nextpnr = {"nextpnr-ecp5": case.json("timing")["nextpnr"]}
    return Outcome((*unlike, *wrong), {**cells, **wires}, nextpnr)


def _provenance_bitstream(case: Case, folder: Path) -> Outcome:
    read = unpacked(case, folder)
    words = memories.of_bitstream(case.netlist, case.routed, read.blocks, case.manifest)
    outcome = _compared(case, folder, words, {"ecpunpack": ecppack.version()})
    tables, wrong = wire.truth_tables(case.routed, read, blank=wire.BLANK)
    findings = [*outcome.findings, *memories.moved(case.routed, read.blocks), *wrong]
    packed = routing.packed(case, folder)
    if packed != case.path("bitstream").read_bytes():
        findings.append("packing the routed configuration again gives another bitstream")
    numbers = {**outcome.numbers, "truth tables": tables, "bytes": len(packed)}
    return Outcome(tuple(findings), numbers, outcome.tools)


def _provenance_checkpoint(case: Case, folder: Path) -> Outcome:
    assert case.checkpoint is not None  # its digest is an input
    items = origin.restored(case.graph, open_checkpoint(case.checkpoint))
    findings, numbers = origin.judged(items)
    if case.graph.origin.get("checkpoint") != case.digest("checkpoint"):
        findings.append("the graph was made from a checkpoint of another digest")
    files.write_json(folder / "tensors.json", [asdict(item) for item in items])
    return Outcome(tuple(findings), numbers)


def _memories_rtl(case: Case, folder: Path) -> Outcome:
    hierarchical, flat = elaborated(case, folder)
    findings, numbers = memory_class.of_rtl(hierarchical, flat, case.manifest)
    return Outcome(tuple(findings), numbers, {"Yosys": yosys.version()})


def _memories_netlist(case: Case, folder: Path) -> Outcome:
    findings, numbers = memory_class.of_netlist(case.netlist, case.manifest)
    return Outcome(tuple(findings), numbers, {"Yosys": yosys.version()})


def _slots_rtl(case: Case, folder: Path) -> Outcome:
    findings, numbers = slot.check(adapters(case, folder), case.manifest)
    return Outcome(tuple(findings), numbers, {"Yosys": yosys.version()})


def _slots_netlist(case: Case, folder: Path) -> Outcome:
    findings, numbers = slot.check(case.netlist, case.manifest)
    return Outcome(tuple(findings), numbers, {"Yosys": yosys.version()})


def _invariants(case: Case, folder: Path) -> Outcome:
    hierarchical, _ = elaborated(case, folder)
    findings, numbers = invariant.findings(hierarchical)
    tools = {"Yosys": yosys.version(), "Z3": z3.get_version_string()}
    return Outcome(tuple(findings), numbers, tools)


def _ranges(case: Case, folder: Path) -> Outcome:
    hierarchical, _ = elaborated(case, folder)
    findings, numbers = ranges.check(case.graph, hierarchical)
    return Outcome(tuple(findings), numbers, {"Yosys": yosys.version()})


def _equal(case: Case, which: str, key: str) -> Outcome:
    """What a comparison of a simulated design with golden found."""
    metrics = case.json(which)
    verdict = checks.equal(metrics, key)
    numbers = {name: metrics[name] for name in ("compared", "sequences", "distinct")}
    findings = () if verdict.ok else (verdict.detail,)
    return Outcome(findings, numbers, {"simulator": metrics["simulator"]}, metrics.get("carried"))


def _equal_rtl(case: Case, folder: Path) -> Outcome:
    return _equal(case, "simulated_rtl", "RTL")


def _equal_netlist(case: Case, folder: Path) -> Outcome:
    return _equal(case, "simulated_netlist", "netlist")


def _coverage(case: Case, folder: Path) -> Outcome:
    metrics = case.json("simulated_rtl")
    report = metrics["coverage"]
    if "surroundings × step" in report:
        report = report | _parts(case, report)
    findings, numbers = coverage.judged(report)
    holes = {name: found["holes"] for name, found in report.items() if found["holes"]}
    files.write_json(folder / "holes.json", holes)
    return Outcome(tuple(findings), numbers, carried=metrics.get("carried"))


def _parts(case: Case, report: Mapping[str, Any]) -> dict[str, Any]:
    """Coverage of instructions and adapter slots."""
    words = instruction.of_image(case.manifest, case.path("images") / "program.hex")
    stops = [k for k, row in enumerate(words) if row["prefill_stop"]]
    begin = case.manifest["program"]["adapted"] or len(words)
    adapters = [index >= begin for index in range(len(words))]
    stop = stops[0] if stops else len(words) - 1
    parts = part_coverage.of_schedule(report, stop, adapters, coverage.SURROUNDINGS)
    found = case.manifest.get("adapters")
    return parts | (part_coverage.of_slots(found["slots"]) if found else {})


def _timing(case: Case, folder: Path) -> Outcome:
    timing = case.json("timing")
    slack, fmax = timing["slack_ns"], timing["fmax_mhz"]
    asked = f"{timing['clock_mhz']:g} MHz asked for, {fmax:.1f} MHz reached"
    findings = () if slack >= 0 else (f"{asked}, slack {slack:+.2f} ns",)
    return Outcome(findings, {"MHz": round(fmax, 1)}, {"nextpnr-ecp5": timing["nextpnr"]})


def _quality(case: Case, folder: Path) -> Outcome:
    bound = config.load_model(config.model_file(case.model)).quantize.loss_increase
    verdict = checks.quality(case.json("quality")["quality"], bound)
    return Outcome(() if verdict.ok else (verdict.detail,), {"found": verdict.detail})


def _float(case: Case, folder: Path) -> Outcome:
    assert case.checkpoint is not None  # its digest is an input
    found = floating.measure(case.model, case.checkpoint, case.graph)
    files.write_json(folder / "operators.json", found.operators)
    return Outcome(found.findings, found.numbers)


OBLIGATIONS: tuple[Obligation, ...] = (
    Obligation(
        "quality.graph", "the integer graph is worth as much as the float model, within the bound "
        "of the model's configuration",
        "loss or accuracy of both on held-out data", "model", ("graph", "quality"), False, _quality,
    ),
    Obligation(
        "float.graph", "every operator of the integer graph computes what the float network "
        "computes, as read from the checkpoint",
        "both run on the same held-out inputs; relative error of each operator's values, those "
        "before it included; a stored "
        "reference of another implementation where the model has one",
        "model", ("graph", "checkpoint"), False, _float,
    ),
    Obligation(
        "provenance.checkpoint", "the graph's weights are those of the checkpoint",
        "integers times the scales that the graph records, against the stored tensors, row by row; "
        "the digest of the checkpoint", "constants", ("graph", "checkpoint"), False,
        _provenance_checkpoint,
    ),
    Obligation(
        "ranges.rtl", "no accumulator can overflow with these constants",
        "bounds over all inputs, recomputed for every row, against the registers of the RTL",
        "constants", ("graph", "chip", "manifest"), False, _ranges,
    ),
    Obligation(
        "provenance.rtl", "the constants in the Verilog and its ROM images are those of the graph",
        f"{PROVENANCE}; {WIRED}", "constants", ("graph", "chip", "images", "manifest"), False,
        _provenance_rtl,
    ),
    Obligation(
        "memories.rtl", "ROMs have no write port, and no host port writes a memory",
        "write ports of all memories; signals followed from the ports through gates and registers",
        "architecture", ("architecture",), False, _memories_rtl,
    ),
    Obligation(
        "slots.rtl", "an adapter chip uses the slot that was selected and writes the one that was "
        "opened; another has no port for adapters",
        "registers of the port and addresses of the memory as functions, for all values, and the "
        "wires between them", "architecture", ("architecture",), False, _slots_rtl,
    ),
    Obligation(
        "invariants.rtl", "roundings saturate as specified, streams hold what they offer, buffers "
        "lose nothing, and never more groups of products are under way than there is room for",
        "a solver (Z3) over bit vectors, for all values and from any state; the groups from reset, "
        "for so many cycles as the numbers say", "architecture", ("architecture",), False,
        _invariants,
    ),
    Obligation(
        "equal.rtl", "the simulated RTL gives the golden model's outputs, bit for bit",
        "generated sequences or frames, pausing and stalling; a test, not a proof", "architecture",
        ("simulated_rtl", "architecture", "skeleton"), False, _equal_rtl,
    ),
    Obligation(
        "coverage.rtl", "the simulation met every position, end of sequence, pace and instruction "
        "that it should",
        "the sequences that were run, run again on the golden model; holes of all bins are listed "
        "in the comparison's metrics", "architecture", ("simulated_rtl", "images",
        "manifest", "skeleton"), False, _coverage,
    ),
    Obligation(
        "provenance.netlist", "the constants in the synthesized cells are those of the graph",
        f"all addresses applied to the cells of each ROM; {PROVENANCE}; {REGISTERS}", "constants",
        ("graph", "chip", "images", "manifest", "netlist"), True, _provenance_netlist,
    ),
    Obligation(
        "memories.netlist", "no cell of a ROM can be written",
        "enables of all cells that keep words", "architecture", ("netlist_structure",), True,
        _memories_netlist,
    ),
    Obligation(
        "slots.netlist", "so do the synthesized cells of an adapter chip",
        "the functions of slots.rtl, of mapped cells", "architecture",
        ("architecture", "netlist_structure"), True, _slots_netlist,
    ),
    Obligation(
        "equal.netlist", "the simulated netlist gives the golden model's outputs, bit for bit",
        "generated sequences or frames, pausing and stalling; a test, not a proof", "architecture",
        ("simulated_netlist", "netlist_structure", "skeleton"), True, _equal_netlist,
    ),
    Obligation(
        "provenance.routed", "the constants in the routed netlist are those of the graph",
        f"block RAMs and truth tables by the names of their cells; {PROVENANCE}; numbers and "
        f"contents of blocks against the configuration; {REGISTERS}; that the cells are joined as "
        "in the netlist is structure.routed", "constants",
        ("graph", "chip", "images", "manifest", "netlist", "routed", "config"), True,
        _provenance_routed,
    ),
    Obligation(
        "structure.routed", "the routed netlist is the synthesized one, and its configuration "
        "holds its functions and wires",
        "every cell by name with its function and modes, every pin by its net; every switch of the "
        "configuration is a wire's, every truth table is the cell's through the exchanges on the "
        "way to its inputs; modes of cells in the configuration are taken for granted", "constants",
        ("netlist", "routed", "config"), True, _structure_routed,
    ),
    Obligation(
        "provenance.bitstream", "the constants in the bitstream are those of the graph",
        f"block RAMs and truth tables read back with ecpunpack; {PROVENANCE}; the rest of the "
        "bitstream is what the routed configuration packs to", "constants",
        ("graph", "chip", "images", "manifest", "netlist", "routed", "config", "bitstream"), True,
        _provenance_bitstream,
    ),
    Obligation(
        "timing.routed", "the routed design meets the clock of its target",
        "nextpnr's analysis of the chosen seed", "architecture", ("timing", "choice"), True,
        _timing,
    ),
)  # fmt: skip


def of(name: str) -> Obligation:
    """The obligation called `name`."""
    return next(item for item in (*OBLIGATIONS, LAYOUT) if item.name == name)
