"""Constant memories as hard macros: the contract of `docs/rom-macro.md` as texts.

The Verilog of a chip instantiates the module ``rom`` (`rtl_gen.fabric.rom`) by the name of its
image. `wrapper` is that module again, made of one macro per image, so that the logic does not
change by a byte and a new model changes the macros' contents alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from rtl_gen.fabric.rom import Rom


@dataclass(frozen=True, slots=True)
class RomMacro:
    """One memory that is a hard macro.

    Parameters
    ----------
    image : str
        File of its contents as the chip's Verilog names it, e.g. ``rom/matvec_weight.hex``.
    words, width : int
        Number of words, and bits of each.

    Raises
    ------
    ValueError
        If it has fewer than two words or no bits.
    """

    image: str
    words: int
    width: int

    def __post_init__(self) -> None:
        if self.words < 2 or self.width < 1:
            raise ValueError(f"{self.image}: {self.words} words of {self.width} bits are no memory")

    @property
    def name(self) -> str:
        """Name of the cell: the image's, and the geometry it is drawn for."""
        stem = self.image.rpartition("/")[2].removesuffix(".hex")
        return f"rom_{stem}_{self.words}x{self.width}"

    @property
    def address_bits(self) -> int:
        """Bits of an address."""
        return (self.words - 1).bit_length()

    @property
    def pins(self) -> list[tuple[str, str]]:
        """Signal pins, name and direction, in the order in which they stand on the cell's edge."""
        inputs = ["clk", "en", *(f"addr[{k}]" for k in range(self.address_bits))]
        outputs = [f"data[{k}]" for k in range(self.width)]
        return [*((pin, "input") for pin in inputs), *((pin, "output") for pin in outputs)]


@dataclass(frozen=True, slots=True)
class MacroTiming:
    """Times of a macro in nanoseconds, at the corner that the LIB text is for.

    Parameters
    ----------
    access, setup, hold, cycle : float
        Clock to data; address and enable before and after the clock; shortest period.
    """

    access: float
    setup: float
    hold: float
    cycle: float


@dataclass(frozen=True, slots=True)
class MacroShape:
    """What a macro's outline follows from, in micrometres.

    Parameters
    ----------
    bit_width, bit_height : float
        Pitch of the array's cells.
    column_mux : int
        Words that share a row; a power of two.
    edge : float
        Decoder, sense amplifiers and ring: added to both sides of the outline.
    pin_layer : str
        Routing layer of the pins.
    pin_pitch : float
        Tracks of that layer: pins and the outline lie on multiples of it.
    pin_size : float
        Side of a pin, at most half of the pitch.
    layers_below : tuple of str
        Layers that the array fills.

    Raises
    ------
    ValueError
        If `column_mux` is no power of two, or `pin_size` is over half of the pitch.
    """

    bit_width: float
    bit_height: float
    column_mux: int
    edge: float
    pin_layer: str
    pin_pitch: float
    pin_size: float
    layers_below: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.column_mux < 1 or self.column_mux & self.column_mux - 1:
            raise ValueError(f"column_mux must be a power of two, not {self.column_mux}")
        if not 0 < self.pin_size <= self.pin_pitch / 2:
            raise ValueError(f"pins of {self.pin_size} um overlap at a pitch of {self.pin_pitch}")

    def outline(self, macro: RomMacro) -> tuple[float, float]:
        """Width and height: the array and its edge, or as wide as its pins need, on the grid."""
        rows = ceil(macro.words / self.column_mux)
        width = macro.width * self.column_mux * self.bit_width + 2 * self.edge
        height = rows * self.bit_height + 2 * self.edge
        # A track at either end stays free.
        tracks = max(ceil(width / self.pin_pitch), 2 * len(macro.pins) + 2)
        return tracks * self.pin_pitch, ceil(height / self.pin_pitch) * self.pin_pitch


def macros(roms: Sequence[Rom]) -> list[RomMacro]:
    """Macro of every memory."""
    return [RomMacro(rom.file, rom.depth, rom.width) for rom in roms]


def wrapper(found: Sequence[RomMacro]) -> str:
    """Verilog of module ``rom`` made of macros, instead of `rtl_gen.fabric.rom.VERILOG`.

    Notes
    -----
    The second of the two stages is a register outside of the macro. An image without a macro
    is an error of elaboration: there is no module of that name.
    """
    lines = [
        "module rom",
        '  #(parameter WIDTH = 8, parameter DEPTH = 2, parameter ABITS = 1, parameter FILE = "")',
        "  (input clk, input en, input [ABITS-1:0] addr, output reg [WIDTH-1:0] data);",
        "  wire [WIDTH-1:0] word;",
        "  always @(posedge clk) if (en) data <= word;",
        "  generate",
    ]
    for k, macro in enumerate(found):
        lines += [
            f'    {"else " if k else ""}if (FILE == "{macro.image}")',
            f"      {macro.name} macro(.clk(clk), .en(en), .addr(addr), .data(word));",
        ]
    # Yosys elaborates the module with its default parameters, too.
    otherwise = "else if" if found else "if"
    lines += [f'    {otherwise} (FILE != "") rom_without_a_macro missing();', "  endgenerate"]
    return "\n".join(["", *lines, "endmodule", ""])


def black_box(macro: RomMacro) -> str:
    """Verilog stub for synthesis."""
    return f"""
(* blackbox *)
module {macro.name}(input clk, input en, input [{macro.address_bits - 1}:0] addr,
  output [{macro.width - 1}:0] data);
endmodule
"""


def behaviour(macro: RomMacro) -> str:
    """Verilog model for simulation; it reads its image."""
    return f"""
module {macro.name}(input clk, input en, input [{macro.address_bits - 1}:0] addr,
  output reg [{macro.width - 1}:0] data);
  reg [{macro.width - 1}:0] mem [0:{macro.words - 1}];
  initial $readmemh("{macro.image}", mem);
  always @(posedge clk) if (en) data <= mem[addr];
endmodule
"""


def lef(macro: RomMacro, shape: MacroShape) -> str:
    """LEF abstract: outline, pins on the lower edge, power on two strips, the array blocked."""
    width, height = shape.outline(macro)
    pitch, size = shape.pin_pitch, shape.pin_size
    lines = [
        "VERSION 5.8 ;",
        'BUSBITCHARS "[]" ;',
        'DIVIDERCHAR "/" ;',
        f"MACRO {macro.name}",
        "  CLASS BLOCK ;",
        "  ORIGIN 0 0 ;",
        f"  FOREIGN {macro.name} 0 0 ;",
        f"  SIZE {width:.3f} BY {height:.3f} ;",
        "  SYMMETRY X Y R90 ;",
    ]
    for k, (pin, direction) in enumerate(macro.pins):
        left = (2 * k + 1) * pitch
        use = "CLOCK" if pin == "clk" else "SIGNAL"
        rectangle = f"{left:.3f} 0.000 {left + size:.3f} {size:.3f}"
        lines += _pin(pin, direction.upper(), use, shape.pin_layer, rectangle)
    for name, use, low in (("VGND", "GROUND", 1), ("VPWR", "POWER", 3)):
        bottom = low * pitch
        rectangle = f"{pitch:.3f} {bottom:.3f} {width - pitch:.3f} {bottom + size:.3f}"
        lines += _pin(name, "INOUT", use, shape.pin_layer, rectangle)
    lines.append("  OBS")
    for layer in shape.layers_below:
        lines.append(f"    LAYER {layer} ;")
        lines.append(f"      RECT 0.000 0.000 {width:.3f} {height:.3f} ;")
    return "\n".join([*lines, "  END", f"END {macro.name}", "END LIBRARY", ""])


def _pin(name: str, direction: str, use: str, layer: str, rectangle: str) -> list[str]:
    return [
        f"  PIN {name}",
        f"    DIRECTION {direction} ;",
        f"    USE {use} ;",
        "    PORT",
        f"      LAYER {layer} ;",
        f"        RECT {rectangle} ;",
        "    END",
        f"  END {name}",
    ]


def lib(macro: RomMacro, shape: MacroShape, timing: MacroTiming, *, corner: str) -> str:
    """Liberty text: one cell, constant times.

    Parameters
    ----------
    corner : str
        Name of the library, e.g. ``rom_tt_025C_1v80``.
    """
    width, height = shape.outline(macro)
    address, data = macro.address_bits, macro.width
    checks = "".join(
        f"""
      timing() {{
        related_pin : "clk" ;
        timing_type : {kind}_rising ;
        rise_constraint(scalar) {{ values("{time:g}") ; }}
        fall_constraint(scalar) {{ values("{time:g}") ; }}
      }}"""
        for kind, time in (("setup", timing.setup), ("hold", timing.hold))
    )
    return f"""library({corner}) {{
  delay_model : table_lookup ;
  time_unit : "1ns" ;
  capacitive_load_unit(1, pf) ;
  voltage_unit : "1V" ;
  current_unit : "1mA" ;
  pulling_resistance_unit : "1kohm" ;
  type(address) {{
    base_type : array ;
    data_type : bit ;
    bit_width : {address} ;
    bit_from : {address - 1} ;
    bit_to : 0 ;
  }}
  type(data) {{
    base_type : array ;
    data_type : bit ;
    bit_width : {data} ;
    bit_from : {data - 1} ;
    bit_to : 0 ;
  }}
  cell({macro.name}) {{
    area : {width * height:.3f} ;
    is_macro_cell : true ;
    dont_touch : true ;
    pg_pin(VPWR) {{ pg_type : primary_power ; voltage_name : VPWR ; }}
    pg_pin(VGND) {{ pg_type : primary_ground ; voltage_name : VGND ; }}
    pin(clk) {{
      direction : input ;
      clock : true ;
      capacitance : 0.01 ;
      min_period : {timing.cycle:g} ;
    }}
    pin(en) {{
      direction : input ;
      capacitance : 0.01 ;{checks}
    }}
    bus(addr) {{
      bus_type : address ;
      direction : input ;
      capacitance : 0.01 ;{checks}
    }}
    bus(data) {{
      bus_type : data ;
      direction : output ;
      timing() {{
        related_pin : "clk" ;
        timing_type : rising_edge ;
        cell_rise(scalar) {{ values("{timing.access:g}") ; }}
        cell_fall(scalar) {{ values("{timing.access:g}") ; }}
        rise_transition(scalar) {{ values("0.1") ; }}
        fall_transition(scalar) {{ values("0.1") ; }}
      }}
    }}
  }}
}}
"""
