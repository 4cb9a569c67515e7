"""Digit-serial hardware of an adder graph: several bits a cycle, the nodes stacked on carry chains.

Every value is a stream of digits of `digit` bits, least significant first, one word after another,
`period` digits each. The sum of two operands takes one position of a carry chain per bit, and its
carry waits in a flip-flop for the next digit. A carry enters a chain, and leaves it, at a position
of its own: with both operand bits equal to the waiting carry c, the position passes c on upwards,
and its own sum is the carry that comes from below. So one position ends a node and begins the
next, and a chain of n nodes has ``n * (digit + 1) + 2`` positions: little more than 1 + 1/digit
LUT4 a bit, where a full adder in LUTs takes 2.

A negative operand enters as its complement, which with a first carry of 1 is its negation. A shift
is a choice of wires and delays; the bits it moves in are masked in the node's own positions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from rtl_gen.adders.serial import SerialCore
from rtl_gen.adders.serial_graph import Operand, SerialGraph, SerialNode, by_output
from rtl_gen.adders.serial_text import INPUT_TIME

STACK = 4
"""Nodes on one carry chain: the whole chain counts as one path for static timing."""


@dataclass(frozen=True, slots=True)
class _Position:
    """One bit of a carry chain: ``total``, the sum's name, of a and b, or of a where mask is high.

    A position that passes a carry has a, no b, and `first`, which replaces a by `initial`.
    """

    total: str
    a: str
    b: str = "1'b0"
    mask: str = "1'b0"
    minus_a: bool = False
    minus_b: bool = False
    first: str = ""
    initial: bool = False


@dataclass
class _Writer:
    name: str
    period: int
    digit: int
    lines: list[str] = field(default_factory=list)
    longest: dict[tuple[int, int], int] = field(default_factory=dict)
    windows: dict[tuple[int, int], int] = field(default_factory=dict)

    def bit(self, value: int, bit: int, cycles: int) -> str:
        """Name of one bit of `value`'s digit, delayed."""
        key = value, bit
        self.longest[key] = max(self.longest.get(key, 0), cycles)
        return f"v{value}_{bit}_{cycles}" if cycles else f"v{value}_{bit}"

    def window(self, first: int, length: int, loads: int) -> str:
        """Name of a signal that is high from word time `first` on for `length` cycles."""
        if not length:
            return "1'b0"
        key = first % self.period, length
        before = self.windows.get(key, 0)
        self.windows[key] = before + loads
        return f"h{key[0]}_{length}_{before // FAN_OUT}"

    def shifted(self, operand: Operand, bit: int, time: int, times: list[int]) -> tuple[str, int]:
        """Bit of a shifted operand's digit in a node that starts at `time`; its masked digits."""
        digits, rest = divmod(operand.shift, self.digit)
        late = bit < rest
        wait = time + digits - times[operand.value] + late
        return self.bit(operand.value, (bit - rest) % self.digit, wait), digits + late


FAN_OUT = 48
"""Chain positions that one copy of a control signal serves."""


def digit_core(
    graph: SerialGraph,
    period: int,
    name: str,
    *,
    digit: int,
    stack: int = STACK,
    cells: str = "portable",
) -> SerialCore:
    """Schedule `graph` as early as possible and write it as Verilog.

    Parameters
    ----------
    graph : SerialGraph
        Of nodes of at most two operands (``fuse(graph, joined=False)``).
    period : int
        Digits of a word, at least 2: with `digit` bits each, at least the width of every output and
        of the inputs.
    name : str
        Name of the module.
    digit : int
        Bits a cycle.
    stack : int
        Nodes on one carry chain.
    cells : {"portable", "ecp5"}
        Chains as additions, which every synthesizer knows, or as CCU2C cells, which take the
        complements and the masks into the chain's own LUTs.

    Returns
    -------
    SerialCore
        Elements of ``x`` and ``y`` have `digit` bits. ``en_next`` is not used.

    Raises
    ------
    ValueError
        If a node has three operands, a shift leaves nothing of a word, `period` is below 2, or
        `digit`, `stack` or `cells` is out of range.
    """
    if cells not in {"portable", "ecp5"} or digit < 1 or stack < 1 or period < 2:
        raise ValueError(
            "digit and stack must be at least 1, the period 2 and cells portable or ecp5, not "
            f"{digit}, {stack}, {period}, {cells}"
        )
    operands = [operand for node in graph.nodes for operand in node.operands]
    if any(len(node.operands) > 2 for node in graph.nodes):
        raise ValueError("a node of three operands has no place on a carry chain: do not join")
    if any(operand.shift >= period * digit for operand in operands):
        raise ValueError(f"a shift leaves nothing of a word of {period * digit} bits")
    graph = by_output(graph)
    w = _Writer(name, period, digit)
    # Simulators make a whole sum unknown for one unknown bit, and the nodes begin apart.
    stack = stack if cells == "ecp5" else 1
    times = [INPUT_TIME] * graph.inputs
    chain: list[_Position] = []
    for value, node in enumerate(graph.nodes, graph.inputs):
        time = max(times[o.value] - o.shift // digit for o in node.operands)
        chain += _node(w, value, node, time, times)
        times.append(time + 1)
        if (value - graph.inputs) % stack == stack - 1 or value + 1 == len(times) == _last(graph):
            w.lines += _chain(chain, value, cells)
            chain = []
    used = [o for o in graph.outputs if o is not None]
    last = max((times[o.value] - o.shift // digit for o in used), default=INPUT_TIME)
    rows = []
    for row, output in enumerate(graph.outputs):
        for bit in range(digit):
            target = f"y[{row * digit + bit}]"
            if output is None:
                rows.append(f"  assign {target} = 1'b0;")
                continue
            operand = Operand(output.value, output.shift, False)
            source, masked = w.shifted(operand, bit, last, times)
            hold = w.window(last, masked, 1)
            rows.append(f"  assign {target} = {f'{source} & ~{hold}' if masked else source};")
    return SerialCore(
        verilog=_module(graph, w, rows),
        period=period,
        latency=last,
        nodes2=len(graph.nodes),
        nodes3=0,
        delays=sum(w.longest.values()),
        chains=-(-len(graph.nodes) // stack),
    )


def _last(graph: SerialGraph) -> int:
    return graph.inputs + len(graph.nodes)


def _node(
    w: _Writer, value: int, node: SerialNode, time: int, times: list[int]
) -> Iterator[_Position]:
    """Positions of one node, the waiting carry's first."""
    a, *others = node.operands
    first = w.window(time, 1, 1)
    begins = bool(node.negatives)
    n = value
    yield _Position(f"t{n}", f"c{n}", first=first, initial=begins)
    bits = []
    for bit in range(w.digit):
        left = w.shifted(a, bit, time, times)[0]
        total = f"s{n}_{bit}"
        bits.append(total)
        if not others:
            yield _Position(total, left, minus_a=a.negative)
            continue
        right, masked = w.shifted(others[0], bit, time, times)
        mask = w.window(time, masked, 1)
        yield _Position(total, left, right, mask, a.negative, others[0].negative)
    names = ", ".join(f"v{n}_{bit}" for bit in range(w.digit))
    moves = " ".join(f"v{n}_{bit} <= {total};" for bit, total in enumerate(bits))
    w.lines += [
        f"  reg c{n}, {names};",
        f"  wire l{n}, t{n}, {', '.join(bits)};",
        f"  always @(posedge clk) if (en) begin {moves} c{n} <= l{n}; end",
    ]


def _chain(positions: list[_Position], last: int, cells: str) -> list[str]:
    """Text of one carry chain; `last` is its last node's value."""
    # The carry that leaves a node is the sum of the position that begins the next one.
    totals = [p.total for p in positions]
    begins = [k for k, p in enumerate(positions) if p.first]
    for here, after in zip(begins, [*begins[1:], len(positions)], strict=True):
        name = "l" + positions[here].total[1:]
        if after < len(positions):
            totals[after] = name
    totals[0] = ""
    closing = f"l{last}"
    if cells == "ecp5":
        return _ccu2c([*zip(positions, totals, strict=True)], closing, last)
    a, b = [], []
    for p in positions:
        if p.first:
            a.append(f"{p.first} ? 1'b{int(p.initial)} : {p.a}")
            b.append(a[-1])
            continue
        other = f"~{p.b}" if p.minus_b else p.b
        hidden = "1'b1" if p.minus_b else "1'b0"
        a.append(f"~{p.a}" if p.minus_a else p.a)
        b.append(other if p.mask == "1'b0" else f"{p.mask} ? {hidden} : {other}")
    top = len(positions)
    lines = [
        f"  wire [{top}:0] a{last}_chain = {{1'b0, {', '.join(f'({x})' for x in a[::-1])}}};",
        f"  wire [{top}:0] b{last}_chain = {{1'b0, {', '.join(f'({x})' for x in b[::-1])}}};",
        f"  wire [{top}:0] s{last}_chain = a{last}_chain + b{last}_chain;",
    ]
    lines += [f"  assign {t} = s{last}_chain[{k}];" for k, t in enumerate(totals) if t]
    return [*lines, f"  assign {closing} = s{last}_chain[{top}];"]


def _ccu2c(positions: list[tuple[_Position, str]], closing: str, last: int) -> list[str]:
    """Chain of CCU2C cells of the ECP5, two positions each.

    Notes
    -----
    Of a position with table INIT and D high, bits 15 … 8 are f(C, B, A), which the carry below
    inverts to give the sum; the carry passes where f is 1, and is bits 3 … 0 of (B, A) where f is
    0 (Yosys, ``techlibs/ecp5/cells_sim.v``, module CCU2C).
    """
    ports = [(*_table(p), total) for p, total in positions]
    if len(ports) % 2:
        ports.append((0xFFFF, "1'b0", "1'b0", "1'b0", ""))
    lines = []
    carry = ""
    for k in range(0, len(ports), 2):
        low, high = ports[k], ports[k + 1]
        # The last carry leaves through a cell that nextpnr adds.
        out = f"k{last}_{k}" if k + 2 < len(ports) else closing
        if out != closing:
            lines.append(f"  wire {out};")
        inputs = ", ".join(
            f".A{i}({a}), .B{i}({b}), .C{i}({c}), .D{i}(1'b1), .S{i}({total})"
            for i, (_, a, b, c, total) in enumerate((low, high))
        )
        lines.append(
            f"  CCU2C #(.INIT0(16'h{low[0]:04x}), .INIT1(16'h{high[0]:04x}), .INJECT1_0(\"NO\"),"
            f' .INJECT1_1("NO")) u{last}_{k}(.CIN({carry}), {inputs}, .COUT({out}));'
        )
        carry = out
    return lines


def _table(p: _Position) -> tuple[int, str, str, str]:
    """INIT and the nets of A, B, C."""
    if p.first:
        # The sum is the carry from below; the carry upwards is A, or `initial` where B is high.
        return (0xE if p.initial else 0x2), p.a, p.first, "1'b0"
    table = 0
    for place in range(8):
        a, b, mask = (place & 1) ^ p.minus_a, (place >> 1 & 1) ^ p.minus_b, place >> 2
        table |= (a ^ (p.minus_b if mask else b)) << place
    generate = 0x5 if p.minus_a else 0xA
    return table << 8 | generate, p.a, p.b, p.mask


def _module(graph: SerialGraph, w: _Writer, rows: list[str]) -> str:
    d = w.digit
    lines = [
        f"module {w.name}(input clk, input en, input en_next, input [{w.period - 1}:0] phase,",
        f"  input [{graph.inputs * d - 1}:0] x, output [{len(graph.outputs) * d - 1}:0] y);",
    ]
    lines += [f"  wire v{k}_{b} = x[{k * d + b}];" for k in range(graph.inputs) for b in range(d)]
    for (first, length), loads in sorted(w.windows.items()):
        coming = " | ".join(f"phase[{(first + k - 1) % w.period}]" for k in range(length))
        for copy in range(-(-loads // FAN_OUT)):
            name = f"h{first}_{length}_{copy}"
            lines += [f"  wire {name};", f"  {w.name}_hold i{name}(clk, en, {coming}, {name});"]
    for (value, bit), longest in sorted(w.longest.items()):
        for cycles in range(1, longest + 1):
            source = f"v{value}_{bit}_{cycles - 1}" if cycles > 1 else f"v{value}_{bit}"
            lines += [
                f"  reg v{value}_{bit}_{cycles};",
                f"  always @(posedge clk) if (en) v{value}_{bit}_{cycles} <= {source};",
            ]
    early = ("  reg", "  wire l")
    declarations = [line for line in w.lines if line.startswith(early)]
    statements = [line for line in w.lines if not line.startswith(early)]
    body = [*lines[:2], *declarations, *lines[2:], *statements, *rows, "endmodule", ""]
    return _HOLD.format(name=w.name) + "\n".join(body)


# A module of its own, so that Yosys does not merge copies of equal contents.
_HOLD = """\
(* keep_hierarchy *)
module {name}_hold(input clk, input en, input coming, output reg o);
  always @(posedge clk) if (en) o <= coming;
endmodule

"""
