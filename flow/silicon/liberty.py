"""Liberty: functions and areas of the standard cells, for synthesis."""

from __future__ import annotations

from collections.abc import Iterable

from flow.silicon.cell import Cell


def untimed(cells: Iterable[Cell], name: str, voltage: float, celsius: float) -> str:
    """Liberty text with functions and areas, without timing.

    Parameters
    ----------
    name : str
        Name of the library.
    voltage, celsius : float
        Operating point.
    """
    groups = [_group(cell) for cell in cells]
    return "\n".join([*header(name, voltage, celsius), *groups, "}", ""])


def _group(cell: Cell) -> str:
    lines = [f"  cell ({cell.name}) {{", f"    area : {cell.area:g};"]
    if not cell.usable:
        lines += ["    dont_use : true;", "    dont_touch : true;"]
    if cell.flip_flop:
        clear = ' clear : "!nrst";' if "nrst" in cell.pins else ""
        lines.append(f'    ff (IQ, IQN) {{ clocked_on : "clk"; next_state : "i";{clear} }}')
    for pin in cell.inputs:
        clock = " clock : true;" if cell.flip_flop and pin == "clk" else ""
        lines.append(f"    pin ({pin}) {{ direction : input;{clock} }}")
    for pin, function in cell.functions.items():
        lines.append(f'    pin ({pin}) {{ direction : output; function : "{function}"; }}')
    return "\n".join([*lines, "  }"])


def header(name: str, voltage: float, celsius: float) -> list[str]:
    """First lines of a library: units, operating point, where delays are measured."""
    return [
        f"library ({name}) {{", "  technology (cmos);", "  delay_model : table_lookup;",
        '  time_unit : "1ns";', "  capacitive_load_unit (1, pf);", '  voltage_unit : "1V";',
        '  current_unit : "1mA";', '  pulling_resistance_unit : "1kohm";',
        '  leakage_power_unit : "1nW";', "  nom_process : 1;", f"  nom_voltage : {voltage:g};",
        f"  nom_temperature : {celsius:g};", "  input_threshold_pct_rise : 50;",
        "  input_threshold_pct_fall : 50;", "  output_threshold_pct_rise : 50;",
        "  output_threshold_pct_fall : 50;", "  slew_lower_threshold_pct_rise : 20;",
        "  slew_upper_threshold_pct_rise : 80;", "  slew_lower_threshold_pct_fall : 20;",
        "  slew_upper_threshold_pct_fall : 80;", "  slew_derate_from_library : 1;",
    ]  # fmt: skip
