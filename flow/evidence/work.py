"""How each obligation is worked on."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import z3

from flow import checks, config, digest, files, graph
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
    structure,
    wire,
)
from flow.evidence.adders import Cores
from flow.evidence.artefact import Case
from flow.evidence.ledger import Outcome
from flow.evidence.plant import Chip
from flow.evidence.trellis import Config
from flow.tools import base, ecppack, nextpnr_ecp5, yosys
from rtl_gen.checkpoint import open_checkpoint
from rtl_gen.ir import serialize
from rtl_gen.ir.integer import Constant


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


def whole(case: Case, folder: Path, levels: Collection[str]) -> Chip:
    """Everything evidence reads of a chip at some levels, e.g. ``rtl`` and ``bitstream``."""
    hierarchical, flat = elaborated(case, folder)
    chip = Chip(
        graph=case.graph,
        manifest=case.manifest,
        verilog=case.path("chip").read_text(),
        hierarchical=hierarchical,
        flat=flat,
        netlist=None if set(levels) == {"rtl"} else case.netlist,
        cores=cores(case, folder),
        adapters=adapters(case, folder) if "adapters" in case.manifest else None,
    )
    if not {"routed", "bitstream"} & set(levels):
        return chip
    read = unpacked(case, folder)
    return replace(
        chip, routed=case.routed, placed=Config(case.path("config").read_text()), unpacked=read,
        blocks=read.blocks,
    )  # fmt: skip


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


def provenance_rtl(case: Case, folder: Path) -> Outcome:
    """Work on ``provenance.rtl``."""
    hierarchical, _ = elaborated(case, folder)
    words = memories.of_rtl(hierarchical, case.manifest)
    return _compared(case, folder, words, {"Yosys": yosys.version()})


def provenance_netlist(case: Case, folder: Path) -> Outcome:
    """Work on ``provenance.netlist``."""
    words = memories.of_netlist(case.netlist, case.manifest)
    return _compared(case, folder, words, {"Yosys": yosys.version()}, adders.of_netlist)


def provenance_routed(case: Case, folder: Path) -> Outcome:
    """Work on ``provenance.routed``."""
    words = memories.of_routed(case.netlist, case.routed, case.manifest)
    nextpnr = {"nextpnr-ecp5": case.json("timing")["nextpnr"]}
    outcome = _compared(case, folder, words, nextpnr, memories.routed_tables(case.routed))
    placed = Config(case.path("config").read_text())
    findings = [*outcome.findings, *memories.placed(case.routed, placed)]
    findings += memories.moved(case.routed, placed.blocks)
    return Outcome(tuple(findings), outcome.numbers, outcome.tools)


def structure_routed(case: Case, folder: Path) -> Outcome:
    """Work on ``structure.routed``."""
    cells, unlike = packing.compare(case.netlist, case.routed)
    wires, wrong = wire.compare(case.routed, Config(case.path("config").read_text()))
    nextpnr = {"nextpnr-ecp5": case.json("timing")["nextpnr"]}
    return Outcome((*unlike, *wrong), {**cells, **wires}, nextpnr)


def provenance_bitstream(case: Case, folder: Path) -> Outcome:
    """Work on ``provenance.bitstream``."""
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


def provenance_checkpoint(case: Case, folder: Path) -> Outcome:
    """Work on ``provenance.checkpoint``."""
    assert case.checkpoint is not None  # its digest is an input
    opened = open_checkpoint(case.checkpoint)
    items = origin.restored(case.graph, opened)
    findings, numbers = origin.judged(items, len(opened.entries))
    if case.graph.origin.get("checkpoint") != case.digest("checkpoint"):
        findings.append("the graph was made from a checkpoint of another digest")
    files.write_json(folder / "tensors.json", [asdict(item) for item in items])
    return Outcome(tuple(findings), numbers)


def memories_rtl(case: Case, folder: Path) -> Outcome:
    """Work on ``memories.rtl``."""
    hierarchical, flat = elaborated(case, folder)
    findings, numbers = memory_class.of_rtl(hierarchical, flat, case.manifest)
    return Outcome(tuple(findings), numbers, {"Yosys": yosys.version()})


def memories_netlist(case: Case, folder: Path) -> Outcome:
    """Work on ``memories.netlist``."""
    findings, numbers = memory_class.of_netlist(case.netlist, case.manifest)
    return Outcome(tuple(findings), numbers, {"Yosys": yosys.version()})


def slots_rtl(case: Case, folder: Path) -> Outcome:
    """Work on ``slots.rtl``."""
    findings, numbers = slot.check(adapters(case, folder), case.manifest)
    return Outcome(tuple(findings), numbers, {"Yosys": yosys.version()})


def slots_netlist(case: Case, folder: Path) -> Outcome:
    """Work on ``slots.netlist``."""
    findings, numbers = slot.check(case.netlist, case.manifest)
    return Outcome(tuple(findings), numbers, {"Yosys": yosys.version()})


def invariants_rtl(case: Case, folder: Path) -> Outcome:
    """Work on ``invariants.rtl``."""
    hierarchical, _ = elaborated(case, folder)
    findings, numbers = invariant.findings(hierarchical)
    tools = {"Yosys": yosys.version(), "Z3": z3.get_version_string()}
    return Outcome(tuple(findings), numbers, tools)


def ranges_rtl(case: Case, folder: Path) -> Outcome:
    """Work on ``ranges.rtl``."""
    hierarchical, _ = elaborated(case, folder)
    findings, numbers = ranges.check(case.graph, hierarchical, _wired(case))
    return Outcome(tuple(findings), numbers, {"Yosys": yosys.version()})


def _equal(case: Case, which: str, key: str, *views: str) -> Outcome:
    """What a comparison of a simulated design with golden found, if it is about this design."""
    metrics = case.json(which)
    verdict = checks.equal(metrics, key)
    numbers = {name: metrics[name] for name in ("compared", "sequences", "distinct")}
    findings = [] if verdict.ok else [verdict.detail]
    about = metrics.get("about", {})
    findings += [f"the comparison was about another {view}" for view in views
                 if about.get(view) != case.digest(view)]  # fmt: skip
    carried = metrics.get("carried")
    if carried is None and metrics["identity"] != case.manifest["identity"]:
        findings.append("the comparison was about a chip of another identity, and says not why it "
                        "counts for this one")  # fmt: skip
    if carried is not None:
        findings += _bounds(case)
    return Outcome(tuple(findings), numbers, {"simulator": metrics["simulator"]}, carried)


def _wired(case: Case) -> tuple[str, ...]:
    return tuple(case.manifest.get("weights_in_logic", ()))


def _bounds(case: Case) -> list[str]:
    """What speaks against carrying a comparison over to these constants."""
    folder = case.results / case.model / "evidence"
    hierarchical, _ = elaborated(case, folder)
    return ranges.check(case.graph, hierarchical, _wired(case))[0]


def equal_rtl(case: Case, folder: Path) -> Outcome:
    """Work on ``equal.rtl``."""
    return _equal(case, "simulated_rtl", "RTL", "architecture", "skeleton")


def equal_netlist(case: Case, folder: Path) -> Outcome:
    """Work on ``equal.netlist``."""
    views = ("architecture", "netlist_structure", "skeleton")
    return _equal(case, "simulated_netlist", "netlist", *views)


def equal_layout(case: Case, folder: Path) -> Outcome:
    """Work on ``equal.layout``."""
    return _equal(case, "simulated_netlist", "gates")


def coverage_rtl(case: Case, folder: Path) -> Outcome:
    """Work on ``coverage.rtl``."""
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


def timing_routed(case: Case, folder: Path) -> Outcome:
    """Work on ``timing.routed``."""
    timing = case.json("timing")
    slack, fmax = timing["slack_ns"], timing["fmax_mhz"]
    asked = f"{timing['clock_mhz']:g} MHz asked for, {fmax:.1f} MHz reached"
    findings = [] if slack >= 0 else [f"{asked}, slack {slack:+.2f} ns"]
    job = case.path("empty_routed").parent
    made = base.made(job)
    report = job / "report.json"
    for path in (case.path("empty_routed"), case.path("empty_config"), report):
        if not path.is_file() or made.get(path.name) != digest.file(path):
            findings.append(f"{path} is not what the run of place and route wrote")
    for name, bare in (("routed", structure.of_routed), ("config", structure.of_config)):
        filled, empty = case.path(name), case.path(f"empty_{name}")
        if bare(filled) != bare(empty):
            findings.append(f"{filled} is not what place and route wrote, filled with words")
    if report.is_file():
        found = nextpnr_ecp5.metrics(report.read_text(), clock_mhz=timing["clock_mhz"])
        if (found.fmax_mhz, found.slack_ns) != (fmax, slack):
            findings.append("the report of place and route says otherwise")
    return Outcome(tuple(findings), {"MHz": round(fmax, 1)}, {"nextpnr-ecp5": timing["nextpnr"]})


def quality_graph(case: Case, folder: Path) -> Outcome:
    """Work on ``quality.graph``."""
    bound = config.load_model(config.model_file(case.model)).quantize.loss_increase
    verdict = checks.quality(case.json("quality")["quality"], bound)
    return Outcome(() if verdict.ok else (verdict.detail,), {"quality": verdict.detail})


def float_graph(case: Case, folder: Path) -> Outcome:
    """Work on ``float.graph``."""
    assert case.checkpoint is not None  # its digest is an input
    found = floating.measure(case.model, case.checkpoint, case.graph)
    files.write_json(folder / "operators.json", found.operators)
    return Outcome(found.findings, found.numbers)


def reproduced_graph(case: Case, folder: Path) -> Outcome:
    """Work on ``reproduced.graph``."""
    from flow import quantize  # noqa: PLC0415  # other obligations need none of what it imports

    assert case.checkpoint is not None  # its digest is an input
    model = config.load_model(config.model_file(case.model))
    quantize.run(model, case.checkpoint, folder / "quantize")
    found = graph.read(folder / "quantize/graph.safetensors")
    findings = [
        f"{name}: {off} of {constant.data.size} integers are not what the checkpoint quantizes to"
        for name, constant in case.graph.constants.items()
        if (off := _off(constant, found.constants.get(name)))
    ]
    if not findings and serialize.digest(found) != serialize.digest(case.graph):
        findings.append("the graph is not what the checkpoint quantizes to")
    return Outcome(tuple(findings[:5]), {"tensors": len(found.constants)})


def _off(one: Constant, other: Constant | None) -> int:
    """Integers that differ; all of them if there is nothing to compare with."""
    if other is None or other.data.shape != one.data.shape:
        return int(one.data.size)
    return int((one.data != other.data).sum())
