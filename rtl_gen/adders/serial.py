"""Bit-serial hardware of a fused adder graph: a schedule, and Verilog text that follows it.

Every value is a stream of bits, least significant first, one word after another, `period` bits
each. The sum of two operands is a full adder whose carry waits in a flip-flop. The sum of three
keeps the carry, 0 … 2, in two bits s and q as 1 if s else 2 q, and needs three LUTs. With s and q
those of the bit before,

    m = maj(a, b, c)      y = a ^ b ^ c ^ s      q' = m      s' = ~(m ^ y) if s else m ^ q

is right because with n = a + b + c and t = n + carry the next carry is t >> 1: it is 0 for t < 2,
where n < 2 and so m = 0; it is 2 for t > 3, where n > 1 and so m = 1; and for t = 2, 3 it is 1,
where q does not count. The flip-flop of s is called p.

That is two LUTs between registers, m or y and then s'. In two stages it is one, with as many LUTs
but six flip-flops instead of three. The first stage saves the carry: u = a ^ b ^ c and m. The
second adds u and the m of the bit before, m1, with a carry r: y = u ^ m1 ^ r, r' = maj(u, m1, r).
With d = u ^ m1, which is one LUT of a, b, c and the flip-flop of m, this is y = d ^ r and
r' = r if d else m1, and because r is y ^ d, all of it is one LUT of flip-flops:

    y' = d' ^ (~y if d else m1)

Sum and difference of the same two operands, twins, share d = a ^ b. With r the carry, a + b is
y = d ^ r, where r' = b if not d else r, and again r = d ^ y; a - b is z = ~d ^ t with
t' = ~z if not d else ~b. So both are one LUT of flip-flops each, of d, the d and b before, and
themselves:

    y' = d' ^ (~y if d else b)      z' = d' ^ (b if d else z)

A negative operand enters as its complement, and the carry begins with the number of negative
operands. A shift is a delay; the bits it moves in are zeros that a synchronous reset puts into the
delay's last flip-flop.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from rtl_gen.adders.serial_graph import (
    Operand,
    SerialGraph,
    SerialNode,
    SerialOutput,
    by_output,
)
from rtl_gen.adders.serial_text import INPUT_TIME, MODULES, Writer, window_text


@dataclass(frozen=True, slots=True)
class SerialCore:
    """Verilog text of a bit-serial matrix-vector product and what its surroundings must know.

    Parameters
    ----------
    verilog : str
        Module `name` and those below it. Ports: ``clk``; ``en``, which every register obeys, low
        only while the phase is ``latency % period``; ``en_next``, its value in the next cycle;
        ``phase`` (period), one-hot, bit 0 high `INPUT_TIME` cycles before bit 0 of a word is at
        ``x`` (n_in); ``y`` (n_out).
    period : int
        Cycles a word takes.
    latency : int
        Cycles from ``phase[0]`` to bit 0 at ``y``.
    nodes2, nodes3, twins : int
        Nodes of at most two, and of three operands; pairs of nodes of two that are sum and
        difference, which do not count among the former.
    delays : int
        Flip-flops that only delay.
    chains : int
        Carry chains.
    """

    verilog: str
    period: int
    latency: int
    nodes2: int
    nodes3: int
    delays: int
    twins: int = 0
    chains: int = 0


def serial_core(graph: SerialGraph, period: int, name: str, *, stages: int = 2) -> SerialCore:
    """Schedule `graph` as early as possible and write it as Verilog.

    Parameters
    ----------
    graph : SerialGraph
    period : int
        Bits of a word: at least the width of every output, and of the inputs.
    name : str
        Name of the module.
    stages : int
        Of a sum of three: 1, or 2 for one LUT between registers.

    Returns
    -------
    SerialCore

    Raises
    ------
    ValueError
        If an operand is shifted by `period` bits or more, or `stages` is neither 1 nor 2.
    """
    if stages not in {1, 2}:
        raise ValueError(f"a sum of three has 1 or 2 stages, not {stages}")
    operands = [operand for node in graph.nodes for operand in node.operands]
    if any(operand.shift >= period for operand in operands):
        raise ValueError(f"a shift leaves nothing of a word of {period} bits")
    writer = Writer(name, period)
    times = [INPUT_TIME] * graph.inputs
    graph = by_output(graph)
    twin = {one: other for pair in graph.twins for one, other in (pair, pair[::-1])}
    for value, node in enumerate(graph.nodes, graph.inputs):
        time = _start(node, times)
        if value in twin:
            time = max(_ready(operand, times) for operand in node.operands)
            if value < twin[value]:
                other = graph.nodes[twin[value] - graph.inputs]
                _twins(writer, value, node, other, time, times)
                writer.names[twin[value]] = f"u{value}"
            time += 1
        elif len(node.operands) == 3:
            write = _three if stages == 1 else _three_in_two_stages
            write(writer, value, node, time, times)
            time += stages - 1
        else:
            _two(writer, value, node, time, times)
        times.append(time + 1)
    last = max((_ready(o, times) for o in graph.outputs if o is not None), default=INPUT_TIME)
    rows = []
    for row, output in enumerate(graph.outputs):
        if output is None:
            rows.append(f"  assign y[{row}] = 1'b0;")
            continue
        wait = last + output.shift - times[output.value]
        rows.append(f"  assign y[{row}] = {writer.gated(output.value, wait, output.shift, last)};")
    delays = sum(writer.longest.values()) + len(writer.gates)
    return SerialCore(
        verilog=_module(graph, writer, rows, last),
        period=period,
        latency=last,
        nodes2=sum(len(node.operands) < 3 for node in graph.nodes) - 2 * len(graph.twins),
        nodes3=sum(len(node.operands) == 3 for node in graph.nodes),
        delays=delays,
        twins=len(graph.twins),
    )


def _ready(operand: Operand | SerialOutput, times: list[int]) -> int:
    """Earliest word time at which bit 0 of the shifted value can be read."""
    value, shift = operand.value, operand.shift
    # A shifted one ends in a register of its own, where its zeros come from.
    return times[value] - shift + (1 if shift else 0)


def _folds(node: SerialNode) -> bool:
    """Whether the zeros of the second operand's shift fit into the node's own LUTs."""
    return len(node.operands) == 2 and not node.operands[0].negative


def _start(node: SerialNode, times: list[int]) -> int:
    if _folds(node):
        return max(times[o.value] - o.shift for o in node.operands)
    return max(_ready(o, times) for o in node.operands)


def _two(w: Writer, value: int, node: SerialNode, time: int, times: list[int]) -> None:
    """Full adder whose carry is set to its first value in the cycle before it counts."""
    first = int(node.negatives > 0)
    if _folds(node) and node.operands[1].shift:
        one, two = node.operands
        a = w.delayed(one.value, time - times[one.value])
        b = w.delayed(two.value, time + two.shift - times[two.value])
        b = f"~{b}" if two.negative else b
        # a - 0 is a + ~0 + 1: the bits of a pass and the carry is still 1 after them.
        hold = w.window(time, two.shift, resets=False)
        total = f"{hold} ? {a} : {a} ^ {b} ^ c{value}"
        begins = w.window(time + two.shift - 1, 1, resets=False)
    else:
        a, *others = (_signed(w, operand, time, times) for operand in node.operands)
        b = others[0] if others else "1'b0"
        total = f"{a} ^ {b} ^ c{value}"
        begins = w.window(time - 1, 1, resets=False)
    w.lines += [
        f"  reg v{value}, c{value};",
        f"  wire m{value};",
        _major(w, value, (a, b, f"c{value}"), begins, first),
        f"  always @(posedge clk) if (en) begin v{value} <= {total}; c{value} <= m{value}; end",
    ]


def _three(w: Writer, value: int, node: SerialNode, time: int, times: list[int]) -> None:
    a, b, c = (_signed(w, operand, time, times) for operand in node.operands)
    reset = w.window(time - 1, 1, resets=True)
    hold = w.window(time - 1, 1, resets=False)
    p, q = int(node.negatives == 1), int(node.negatives == 2)
    n = value
    w.lines += [
        f"  reg v{n}, p{n}, q{n};",
        f"  wire y{n} = {a} ^ {b} ^ {c} ^ p{n};",
        f"  wire m{n}, s{n};",
        _major(w, n, (a, b, c), hold, q),
        f"  {w.name}_state k{n}(p{n}, q{n}, m{n}, y{n}, s{n});",
        f"  always @(posedge clk) if (en) begin v{n} <= y{n}; q{n} <= m{n}; end",
        f"  always @(posedge clk) if ({reset}) p{n} <= 1'b{p}; else if (en) p{n} <= s{n};",
    ]


def _three_in_two_stages(
    w: Writer, value: int, node: SerialNode, time: int, times: list[int]
) -> None:
    """Sum of three in two stages, one LUT between registers."""
    a, b, c = (_signed(w, operand, time, times) for operand in node.operands)
    hold = w.window(time - 1, 1, resets=False)
    reset = w.window(time, 1, resets=True)
    # The carry the sum begins with: one in the majority's flip-flop, one in the second stage.
    m, r = int(node.negatives > 0), int(node.negatives > 1)
    n = value
    w.lines += [
        f"  reg v{n}, q{n}, i{n}, k{n}, d{n}, e{n};",
        f"  wire m{n};",
        _major(w, n, (a, b, c), hold, m),
        f"  always @(posedge clk) if (en) begin q{n} <= m{n}; i{n} <= q{n}; end",
        f"  always @(posedge clk) if (en) d{n} <= {a} ^ {b} ^ {c} ^ q{n};",
        f"  always @(posedge clk) if ({reset}) begin e{n} <= 1'b0; k{n} <= 1'b{r}; end"
        f" else if (en) begin e{n} <= d{n}; k{n} <= i{n}; end",
        f"  always @(posedge clk) if (en) v{n} <= d{n} ^ (e{n} ? ~v{n} : k{n});",
    ]


def _twins(
    w: Writer, value: int, node: SerialNode, other: SerialNode, time: int, times: list[int]
) -> None:
    """Sum and difference of two operands in two stages; `other` is called after `node`."""
    difference = node if node.negatives else other
    a, b = (
        _signed(w, replace(operand, negative=False), time, times)
        for operand in sorted(difference.operands, key=lambda operand: operand.negative)
    )
    reset = w.window(time, 1, resets=True)
    n = value
    plus, minus = ("u", "v") if node.negatives else ("v", "u")
    w.lines += [
        f"  reg v{n}, u{n}, d{n}, e{n}, f{n}, i{n}, k{n};",
        f"  always @(posedge clk) if (en) begin d{n} <= {a} ^ {b}; i{n} <= {b}; end",
        f"  always @(posedge clk) if ({reset}) begin e{n} <= 1'b0; f{n} <= 1'b1; k{n} <= 1'b0; end"
        f" else if (en) begin e{n} <= d{n}; f{n} <= d{n}; k{n} <= i{n}; end",
        f"  always @(posedge clk) if (en) {plus}{n} <= d{n} ^ (e{n} ? ~{plus}{n} : k{n});",
        f"  always @(posedge clk) if (en) {minus}{n} <= d{n} ^ (f{n} ? k{n} : {minus}{n});",
    ]


def _major(w: Writer, value: int, operands: tuple[str, str, str], hold: str, first: int) -> str:
    """Instance of the majority; complements go into it, where they cost no LUT."""
    negative = sum(name.startswith("~") << k for k, name in enumerate(operands))
    plain = ", ".join(name.removeprefix("~") for name in operands)
    parameters = f"#(.FIRST({first}), .NEGATIVE({negative}))"
    return f"  {w.name}_major {parameters} j{value}({plain}, {hold}, m{value});"


def _signed(w: Writer, operand: Operand, time: int, times: list[int]) -> str:
    wait = time + operand.shift - times[operand.value]
    name = w.gated(operand.value, wait, operand.shift, time)
    return f"~{name}" if operand.negative else name


def _module(graph: SerialGraph, w: Writer, rows: list[str], latency: int) -> str:
    lines = [
        f"module {w.name}(input clk, input en, input en_next, input [{w.period - 1}:0] phase,",
        f"  input [{graph.inputs - 1}:0] x, output [{len(graph.outputs) - 1}:0] y);",
    ]
    lines += [f"  wire v{k} = x[{k}];" for k in range(graph.inputs)]
    for key, loads in sorted(w.windows.items()):
        lines += window_text(w, key, loads, latency % w.period)
    for value, longest in sorted(w.longest.items()):
        for cycles in range(1, longest + 1):
            name, source = w.delayed(value, cycles), w.delayed(value, cycles - 1)
            lines += [
                f"  reg {name};",
                f"  always @(posedge clk) if (en) {name} <= {source};",
            ]
    # Icarus wants names declared before use, and delays are of values written further down.
    declarations = [line for line in w.lines if line.startswith("  reg")]
    statements = [line for line in w.lines if not line.startswith("  reg")]
    body = [*lines[:2], *declarations, *lines[2:], *statements, *rows, "endmodule", ""]
    return MODULES.format(name=w.name) + "\n".join(body)
