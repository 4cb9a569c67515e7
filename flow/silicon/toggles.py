"""How often every net of a layout toggles: its gates simulated on the model's own inputs."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path

from flow import files, simulate, text
from flow.compare import evaluation_frames
from flow.config import ModelConfig
from flow.graph import read
from flow.silicon import netlist
from flow.simulate import Chip
from flow.tools import verilator
from rtl_gen.errors import ToolError

STEPS = 8
"""Steps that are simulated: frames of the evaluation data, or greedy tokens after a prompt."""

CLOCK = "clk"
_VARIABLE = re.compile(r"\$var \w+ +(\d+) (\S+) (\S+)(?: \[\d+:\d+\])? \$end")


def count(
    model: ModelConfig,
    checkpoint: Path,
    graph: Path,
    manifest: Path,
    folder: Path,
    cells: Path,
    log: Path,
) -> None:
    """Simulate ``netlist.v`` of `folder` at full speed and write ``toggles.json``.

    There are no delays in this simulation, so that glitches are not counted.

    Raises
    ------
    ToolError, ToolNotFoundError
        If the simulator cannot be built or fails, or a net of the layout is not in its waveform.
    """
    about = files.read_json(manifest)
    design = read(graph)
    program = simulate.build(
        "netlist", folder / "netlist.v", folder / "simulator", log, kind=about["kind"], trace=True,
        cells=cells,
    )  # fmt: skip
    waves = folder / "toggles.vcd"
    with Chip(program, folder, context=design.context, trace=waves) as chip:
        if about["kind"] == "frame":
            frames = evaluation_frames(model, checkpoint, design, STEPS)
            steps = len([chip.frame(frame.ravel().tolist()) for frame in frames])
        else:
            words = text.load(model.tokenizer, checkpoint, design.vocabulary)
            prompt = text.prompt(words, model.verify.prompts[0], design.bos)
            steps = len(list(islice(chip.generate(prompt, beta=0, seed=1, limit=STEPS), STEPS)))
    with waves.open() as lines:
        found = read_vcd(lines)
    waves.unlink()
    routed = netlist.from_json(files.read_json(folder / "routed.json"))
    wanted = {net for gate in routed.gates for net in gate.pins.values()}
    if missing := sorted(wanted - found.keys()):
        raise ToolError(f"the waveform lacks {len(missing)} nets, among them {missing[0]}")
    files.write_json(
        folder / "toggles.json",
        {
            "cycles": found[CLOCK][0],
            "steps": steps,
            "simulator": f"Verilator {verilator.version()}",
            "toggles": {net: found[net] for net in sorted(wanted)},
        },
    )
    print(f"  {found[CLOCK][0]:,} cycles of {steps} steps", file=sys.stderr)


def read_vcd(lines: Iterable[str]) -> Mapping[str, tuple[int, int]]:
    """Rises and falls of every bit in the text of a waveform.

    Returns
    -------
    mapping of str to (int, int)
        By name: ``name`` of a single bit, ``name[3]`` of one of several. What a bit starts with is
        no edge.
    """
    stream = iter(lines)
    names: dict[str, list[str]] = {}
    widths: dict[str, int] = {}
    for line in stream:
        if found := _VARIABLE.search(line):
            names.setdefault(found[2], []).append(found[3].lstrip("\\"))
            widths[found[2]] = int(found[1])
        elif "$enddefinitions" in line:
            break
    edges = {code: [[0, 0] for _ in range(width)] for code, width in widths.items()}
    last: dict[str, str] = {}
    for code, value in _changes(stream):
        if code not in widths:
            continue
        now = value.rjust(widths[code], "0")
        before = last.get(code, now)
        if before != now:
            for place, (old, new) in enumerate(zip(reversed(before), reversed(now), strict=True)):
                if old != new:
                    edges[code][place][new != "1"] += 1
        last[code] = now
    return {
        (name if widths[code] == 1 else f"{name}[{place}]"): (rises, falls)
        for code, each in names.items()
        for name in each
        for place, (rises, falls) in enumerate(edges[code])
    }


def _changes(lines: Iterator[str]) -> Iterator[tuple[str, str]]:
    for line in lines:
        head = line[:1]
        if head in {"0", "1"}:
            yield line[1:].strip(), head
        elif head == "b":
            value, code = line[1:].split()
            yield code, value
