"""Text of the bit-serial style: names of delays and of control signals, and their registers.

The pipeline stands still in one phase only: when the last bit of a word has been collected and the
word before it has not left. A control signal that is low in that phase can be an ordinary register
that waits with the rest; one that resets flip-flops in that phase must not be high while they wait,
because their reset does not ask for their enable.
"""

from __future__ import annotations

from dataclasses import dataclass, field

INPUT_TIME = 3
"""Cycles from ``phase[0]`` to bit 0 at the inputs: a node may have to be told one cycle ahead, and
what tells it is two registers behind the phase."""

LOADS, RESETS, COPIES = 16, 6, 8
"""Nodes that one copy of a control signal serves, of one that resets, and copies that one register
feeds. A reset goes to its flip-flops by wire alone, and sixteen nodes are far apart: 3.6 ns."""

# Modules of their own, each one LUT. Mapping for speed (abc9) otherwise takes a second LUT to save
# a level (402 LUT4 instead of about 340 for a 16x16 int4 matrix). And Yosys turns first values to
# resets, of which a tile has wires for two only.
MODULES = """\
(* keep_hierarchy *)
module {name}_state(input p, input q, input m, input y, output s);
  assign s = p ? ~(m ^ y) : m ^ q;
endmodule

(* keep_hierarchy *)
module {name}_major #(parameter [0:0] FIRST = 0, parameter [2:0] NEGATIVE = 0)
  (input a, input b, input c, input h, output m);
  wire [2:0] x = {{c, b, a}} ^ NEGATIVE;
  assign m = h ? FIRST : x[0] & x[1] | x[0] & x[2] | x[1] & x[2];
endmodule

(* keep_hierarchy *)
module {name}_hold(input clk, input en, input coming, output reg o);
  always @(posedge clk) if (en) o <= coming;
endmodule

(* keep_hierarchy *)
module {name}_reset(input clk, input en, input en_next, input begun, input coming, output reg o);
  // The phase stands still with the rest, so what comes next is what is there already.
  always @(posedge clk) o <= en_next & (en ? coming : begun);
endmodule

"""
"""Modules below the core's, with its name as prefix."""


@dataclass
class Writer:
    """Collects declarations, the statements of registers, and the registers asked for so far."""

    name: str
    period: int
    lines: list[str] = field(default_factory=list)
    longest: dict[int, int] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)
    gates: dict[tuple[int, int, int], str] = field(default_factory=dict)
    windows: dict[tuple[int, int, bool], int] = field(default_factory=dict)

    def delayed(self, value: int, cycles: int) -> str:
        """Name of `value`, `cycles` later."""
        self.longest[value] = max(self.longest.get(value, 0), cycles)
        name = self.names.get(value, f"v{value}")
        return f"{name}_{cycles}" if cycles else name

    def window(self, first: int, length: int, *, resets: bool) -> str:
        """Name of a signal that is high from word time `first` on for `length` cycles."""
        key = (first % self.period, length, resets)
        before = self.windows.get(key, 0)
        self.windows[key] = before + 1
        loads = RESETS if resets else LOADS
        return f"{'r' if resets else 'h'}{key[0]}_{length}_{before // loads}"

    def gated(self, value: int, cycles: int, shift: int, time: int) -> str:
        """`value` delayed, with zeros for the `shift` bits from word time `time` on."""
        if not shift:
            return self.delayed(value, cycles)
        key = (value, cycles, shift)
        if key not in self.gates:
            name = self.gates[key] = f"g{value}_{cycles}_{shift}"
            source = self.delayed(value, cycles - 1)
            reset = self.window(time - 1, shift, resets=True)
            self.lines += [
                f"  reg {name};",
                f"  always @(posedge clk) if ({reset}) {name} <= 1'b0; else if (en) {name} <="
                f" {source};",
            ]
        return self.gates[key]


def window_text(w: Writer, key: tuple[int, int, bool], loads: int, stands: int) -> list[str]:
    """Registers of one control signal; the pipeline stands still in phase `stands` only."""
    first, length, resets = key
    copies = -(-loads // (RESETS if resets else LOADS))
    name = f"{'r' if resets else 'h'}{first}_{length}"

    def phases(early: int) -> str:
        return " | ".join(f"phase[{(first + k - early) % w.period}]" for k in range(length))

    lines = [f"  wire {name}_{copy};" for copy in range(copies)]
    if resets and (stands - first) % w.period < length:
        return lines + [
            f"  {w.name}_reset i{name}_{copy}(clk, en, en_next, {phases(0)}, {phases(1)},"
            f" {name}_{copy});"
            for copy in range(copies)
        ]
    if copies == 1:
        return [*lines, f"  {w.name}_hold i{name}_0(clk, en, {phases(1)}, {name}_0);"]
    for start in range(0, copies, COPIES):
        lines += [
            f"  wire {name}_{start}_early;",
            f"  {w.name}_hold e{name}_{start}(clk, en, {phases(2)}, {name}_{start}_early);",
        ]
        lines += [
            f"  {w.name}_hold i{name}_{copy}(clk, en, {name}_{start}_early, {name}_{copy});"
            for copy in range(start, min(start + COPIES, copies))
        ]
    return lines
