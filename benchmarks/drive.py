"""A lane to keep, for the network that drives: what half the steering gain costs, and an adapter.

The checkpoint ``drive-vla-llama-h32`` reads a command, a picture of 8 x 8 pixels with the three
lines of a road of two lanes, and a speed, and answers with one of 15 steering angles. The vehicle
that it was trained on is not published with it, so this one is our own: a unicycle that moves half
a row of the picture a step, on roads of changing curvature. Where it sits in the picture and how
far ahead it looks was read from the network's answers to straight roads. Errors are lateral, in
lane widths, after the vehicle has settled. Compares the float network and the integer chip, with
and without ``lora-halfsteer-r4``, on the vehicle and on one with half its gain. Prints one JSON
line a case.

Example
-------
``python -m benchmarks.drive ../shared/models/drive-vla-llama-h32``, after ``results/drive_lora``
has been made.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtl_gen import reference
from rtl_gen.adapter.apply import merge
from rtl_gen.adapter.pack import pack
from rtl_gen.adapter.reader import load_adapter
from rtl_gen.checkpoint import import_model, open_checkpoint
from rtl_gen.golden import interpreter
from rtl_gen.ir import serialize
from rtl_gen.quantize import Examples

LANE = 2.5
"""Pixels from line to line, as in the checkpoint's ``reference.npz``."""

COLUMN = 3.35
"""Column of the vehicle: where the network steers straight on."""

YAW = 0.4 * 2 / 3.7**2 / 2.8
"""Curvature of the path a steering step: a share of pure pursuit, of a point 3.7 rows ahead.

The share is the one free number, and was chosen so that half the gain triples the error of the
network without an adapter, as its makers report of their vehicle.
"""

STEP = 0.5
"""Rows that the vehicle moves from one picture to the next."""

COMMANDS = {"left lane\n": LANE / 2, "right lane\n": -LANE / 2}
"""Commands and the target's place, in pixels to the left of the middle line."""

STEERING, PATCHES, SPEED = 148, 128, 145
SETTLED = 12

Steer = Callable[[NDArray[np.int64]], NDArray[np.int64]]


@dataclass(frozen=True, slots=True)
class Road:
    """Curvature ahead of every episode, one value a step, float64, shape (episodes, steps)."""

    curvature: NDArray[np.float64]
    place: NDArray[np.float64]
    heading: NDArray[np.float64]


def road(episodes: int, steps: int, seed: int) -> Road:
    """Bends of a few random wavelengths; starts up to half a pixel off."""
    rng = np.random.default_rng(seed)
    t = np.arange(steps) * STEP
    waves = [
        rng.uniform(0.02, 0.05, (episodes, 1))
        * np.sin(2 * np.pi * (t / rng.uniform(20, 60, (episodes, 1)) + rng.random((episodes, 1))))
        for _ in range(2)
    ]
    return Road(
        waves[0] + waves[1], rng.uniform(-0.5, 0.5, episodes), rng.uniform(-0.05, 0.05, episodes)
    )


def picture(y: float, heading: float, curvature: float) -> NDArray[np.int64]:
    """The three lines as the vehicle sees them, the nearest row last: shape (8, 8)."""
    found = np.zeros((8, 8), np.int64)
    for row in range(8):
        ahead = 7 - row
        for line in (-LANE, 0.0, LANE):
            at = COLUMN + line - y - heading * ahead + curvature * ahead**2 / 2
            column = int(np.floor(at + 0.5))
            if 0 <= column < 8:
                found[row, column] = 1
    return found


def tokens(command: str, seen: NDArray[np.int64]) -> list[int]:
    """What the network reads up to the steering angle."""
    patches = seen.reshape(4, 2, 4, 2).transpose(0, 2, 1, 3).reshape(16, 4) @ [1, 2, 4, 8]
    words = [0] * (20 - len(command)) + [ord(letter) for letter in command]
    return [*words, *(PATCHES + patches).tolist(), SPEED]


def drive(steer: Steer, gain: float, roads: Road) -> float:
    """Mean absolute lateral error, in lane widths."""
    episodes, steps = roads.curvature.shape
    names = [list(COMMANDS)[k % 2] for k in range(episodes)]
    target = np.array([COMMANDS[name] for name in names])
    y, heading = target + roads.place, roads.heading.copy()
    errors = []
    for step in range(steps):
        bend = roads.curvature[:, step]
        seen = [tokens(name, picture(*each)) for name, *each in zip(names, y, heading, bend,
                                                                     strict=True)]  # fmt: skip
        turn = gain * YAW * steer(np.array(seen))
        y = y + STEP * heading
        heading = heading + STEP * (turn - bend)
        if step >= SETTLED:
            errors.append(np.abs(y - target))
    return float(np.mean(errors)) / LANE


def chosen(logits: NDArray[Any]) -> NDArray[np.int64]:
    """Steering steps from the last position's logits, the middle one straight on."""
    return logits[:, -1, STEERING : STEERING + 15].argmax(1) - 7


def main() -> None:
    """Drive."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--episodes", type=int, default=8)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--results", type=Path, default=Path("results/drive_lora"))
    parser.add_argument("--networks", nargs="+", default=["float", "integer"])
    args = parser.parse_args()
    checkpoint = open_checkpoint(args.checkpoint)
    model = import_model(checkpoint)
    weights = reference.load_weights(model, checkpoint)
    adapter = load_adapter(args.checkpoint / "lora-halfsteer-r4", model)
    merged = merge(model, weights, adapter)
    ways: dict[str, Steer] = {
        "float": lambda x: chosen(reference.run(model, weights, {"input_ids": x})["logits"]),
        "float with adapter": lambda x: chosen(reference.run(*merged, {"input_ids": x})["logits"]),
    }
    if "integer" in args.networks:
        graph = serialize.load(args.results / "quantize/graph.safetensors")
        known = np.load(args.checkpoint / "lora-halfsteer-r4/reference.npz")["in_input_ids"]
        packed = pack(graph, adapter, Examples(known))
        name = graph.outputs["logits"]
        ways["integer"] = lambda x: chosen(interpreter.sequences(graph, {"input_ids": x})[name])
        ways["integer with adapter"] = lambda x: chosen(
            interpreter.sequences(graph, {"input_ids": x}, packed)[name]
        )
    roads = road(args.episodes, args.steps, 1)
    for what, steer in ways.items():
        if what.split()[0] not in args.networks:
            continue
        for gain in (1.0, 0.5) if "adapter" not in what else (0.5,):
            error = drive(steer, gain, roads)
            print(json.dumps({"network": what, "gain": gain, "error_lane_widths": round(error, 4)}),
                  flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
