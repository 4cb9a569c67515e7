"""What must be shown of every chip, and what of a chip of one kind of target."""

from __future__ import annotations

from flow.evidence import work
from flow.evidence.layout_obligation import LAYOUT
from flow.evidence.ledger import Obligation

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


OBLIGATIONS: tuple[Obligation, ...] = (
    Obligation(
        "quality.graph", "the integer graph is worth as much as the float model, within the bound "
        "of the model's configuration",
        "loss or accuracy of both on held-out data", "model", ("graph", "quality", "bound"), "",
        work.quality_graph,
    ),
    Obligation(
        "float.graph", "every operator of the integer graph computes what the float network "
        "computes, as read from the checkpoint",
        "both run on the same held-out inputs; relative error of each operator's values, those "
        "before it included; a stored "
        "reference of another implementation where the model has one",
        "model", ("graph", "checkpoint", "held_out"), "", work.float_graph,
    ),
    Obligation(
        "provenance.checkpoint", "the graph's weights are those of the checkpoint",
        "integers times the scales that the graph records, against the stored tensors, row by row; "
        "the digest of the checkpoint", "constants", ("graph", "checkpoint"), "",
        work.provenance_checkpoint,
    ),
    Obligation(
        "ranges.rtl", "no accumulator can overflow with these constants",
        "bounds over all inputs, recomputed for every row, against the registers of the RTL",
        "constants", ("graph", "chip", "manifest"), "", work.ranges_rtl,
    ),
    Obligation(
        "provenance.rtl", "the constants in the Verilog and its ROM images are those of the graph",
        f"{PROVENANCE}; {WIRED}", "constants", ("graph", "chip", "images", "manifest"), "",
        work.provenance_rtl,
    ),
    Obligation(
        "memories.rtl", "ROMs have no write port, and no host port writes a memory",
        "write ports of all memories; signals followed from the ports through gates and registers",
        "architecture", ("architecture",), "", work.memories_rtl,
    ),
    Obligation(
        "slots.rtl", "an adapter chip uses the slot that was selected and writes the one that was "
        "opened; another has no port for adapters",
        "registers of the port and addresses of the memory as functions, for all values, and the "
        "wires between them", "architecture", ("architecture",), "", work.slots_rtl,
    ),
    Obligation(
        "invariants.rtl", "roundings saturate as specified, streams hold what they offer, buffers "
        "lose nothing, and never more groups of products are under way than there is room for",
        "a solver (Z3) over bit vectors, for all values and from any state; the groups from reset, "
        "for so many cycles as the numbers say", "architecture", ("architecture",), "",
        work.invariants_rtl,
    ),
    Obligation(
        "equal.rtl", "the simulated RTL gives the golden model's outputs, bit for bit",
        "generated sequences or frames, pausing and stalling; a test, not a proof", "architecture",
        ("simulated_rtl", "architecture", "skeleton"), "", work.equal_rtl,
    ),
    Obligation(
        "coverage.rtl", "the simulation met every position, end of sequence, pace and instruction "
        "that it should",
        "the sequences that were run, run again on the golden model; holes of all bins are listed "
        "in the comparison's metrics", "architecture", ("simulated_rtl", "images",
        "manifest", "skeleton"), "", work.coverage_rtl,
    ),
    Obligation(
        "provenance.netlist", "the constants in the synthesized cells are those of the graph",
        f"all addresses applied to the cells of each ROM; {PROVENANCE}; {REGISTERS}", "constants",
        ("graph", "chip", "images", "manifest", "netlist"), "fpga", work.provenance_netlist,
    ),
    Obligation(
        "memories.netlist", "no cell of a ROM can be written",
        "enables of all cells that keep words", "architecture", ("netlist_structure",), "fpga",
        work.memories_netlist,
    ),
    Obligation(
        "slots.netlist", "so do the synthesized cells of an adapter chip",
        "the functions of slots.rtl, of mapped cells", "architecture",
        ("architecture", "netlist_structure"), "fpga", work.slots_netlist,
    ),
    Obligation(
        "equal.netlist", "the simulated netlist gives the golden model's outputs, bit for bit",
        "generated sequences or frames, pausing and stalling; a test, not a proof", "architecture",
        ("simulated_netlist", "netlist_structure", "skeleton"), "fpga", work.equal_netlist,
    ),
    Obligation(
        "provenance.routed", "the constants in the routed netlist are those of the graph",
        f"block RAMs and truth tables by the names of their cells; {PROVENANCE}; numbers and "
        f"contents of blocks against the configuration; {REGISTERS}; that the cells are joined as "
        "in the netlist is structure.routed", "constants",
        ("graph", "chip", "images", "manifest", "netlist", "routed", "config"), "fpga",
        work.provenance_routed,
    ),
    Obligation(
        "structure.routed", "the routed netlist is the synthesized one, and its configuration "
        "holds its functions and wires",
        "every cell by name with its function and modes, every pin by its net; every switch of the "
        "configuration is a wire's, every truth table is the cell's through the exchanges on the "
        "way to its inputs, every reset value the register's; other modes of cells in the "
        "configuration are taken for granted", "constants",
        ("netlist", "routed", "config"), "fpga", work.structure_routed,
    ),
    Obligation(
        "provenance.bitstream", "the constants in the bitstream are those of the graph",
        f"block RAMs and truth tables read back with ecpunpack; {PROVENANCE}; the rest of the "
        "bitstream is what the routed configuration packs to", "constants",
        ("graph", "chip", "images", "manifest", "netlist", "routed", "config", "bitstream"), "fpga",
        work.provenance_bitstream,
    ),
    Obligation(
        "timing.routed", "the routed design meets the clock of its target",
        "nextpnr's analysis of the chosen seed, in the run that wrote this routed netlist but for "
        "the words of ROMs, truth tables and reset values, on which no delay depends",
        "architecture",
        ("timing", "choice", "routed", "config", "empty_routed", "empty_config"), "fpga",
        work.timing_routed,
    ),
    LAYOUT,
    Obligation(
        "equal.layout", "the simulated gates of the layout give the golden model's outputs, bit "
        "for bit", "generated sequences or frames, pausing and stalling; a test, not a proof",
        "constants", ("simulated_netlist", "gates", "cell_models", "manifest", "graph"), "asic",
        work.equal_layout,
    ),
)  # fmt: skip

REPRODUCED = Obligation(
    "reproduced.graph", "the graph is, integer by integer, what the checkpoint quantizes to",
    "quantization done again with the model's configuration; on another machine a solver may round "
    "otherwise", "constants", ("graph", "checkpoint", "held_out"), "", work.reproduced_graph,
)  # fmt: skip
"""Of those who trust no record; it takes as long as quantization does."""


def of(name: str) -> Obligation:
    """The obligation called `name`."""
    return next(item for item in OBLIGATIONS if item.name == name)


def required(kind: str) -> tuple[Obligation, ...]:
    """Obligations of a chip for a kind of target, ``fpga`` or ``asic``."""
    return tuple(item for item in OBLIGATIONS if item.kind in ("", kind))
