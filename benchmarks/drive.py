"""A lane to keep, for the network that drives: what half the steering gain costs, and an adapter.

The checkpoint ``drive-vla-llama-h32`` reads a command, a picture of 8 x 8 pixels with the three
lines of a road of two lanes, and a speed, and answers with one of 15 steering angles. The vehicle
that it was trained on is not published with it, so what can be known of it is read from the float
network first: its answers to pictures without noise are a straight line in the vehicle's place,
heading and the road's curvature, with the coefficients of pure pursuit. That gives the point it
aims at and what a step of the wheel does on a vehicle for which this law is exact. This vehicle, a
unicycle, then drives on roads of changing curvature, seen through a picture of this module.
How strong the bends are is the one number that is free.

Compares the float network and the integer chip, with and without ``lora-halfsteer-r4``, on the
vehicle and on one with half its gain. Errors are lateral, in lane widths, after the vehicle has
settled. Prints one JSON line a case.

Example
-------
``python -m benchmarks.drive ../shared/models/drive-vla-llama-h32``, after ``results/drive_lora``
has been made.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
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

Array = NDArray[np.float64]
Steer = Callable[[NDArray[np.int64]], NDArray[Any]]

LANE = 2.5
"""Pixels from line to line, as in the checkpoint's ``reference.npz``."""

MIDDLE = 4.0
"""Column of the vehicle, from the picture's left edge."""

POINTS = 5
"""Points of a line in a row of the picture: where it crosses columns, two pixels are set."""

STEP = 0.5
"""Rows that the vehicle moves from one picture to the next."""

COMMANDS = {"left lane\n": LANE / 2, "right lane\n": -LANE / 2}
"""Commands and the target's place, in pixels to the left of the middle line."""

COMMAND, PATCHES, SPEED, STEERING = 21, 128, 146, 148
"""Tokens of a command with its padding; first tokens of patches and steering, and one speed."""

SETTLED = 16


@dataclass(frozen=True, slots=True)
class Seen:
    """Where vehicles are: pixels left of the middle line, their slope, curvature a row squared."""

    place: Array
    heading: Array
    curvature: Array


@dataclass(frozen=True, slots=True)
class Law:
    """Steering as the network answers it: ``gain`` steps a pixel that it will be off, `ahead`.

    Parameters
    ----------
    gain : float
        Steps of the wheel per pixel.
    ahead : float
        Rows to the point that it aims at, from heading and place.
    bend : float
        The same, from curvature and place; equal for pure pursuit.
    rest : float
        Root mean square of what this does not explain, in steps of the wheel.
    """

    gain: float
    ahead: float
    bend: float
    rest: float

    @property
    def turn(self) -> float:
        """Curvature of the path a step of the wheel, where this law is pure pursuit."""
        return 2 / self.ahead**2 / self.gain


def pictures(seen: Seen) -> NDArray[np.int64]:
    """The three lines as each vehicle sees them, the nearest row last: shape (n, 8, 8)."""
    n = np.arange(len(seen.place))
    found = np.zeros((len(n), 8, 9), np.int64)
    for point in range(8 * POINTS):
        ahead = 7.5 - (point + 0.5) / POINTS
        bent = seen.curvature * ahead**2 / 2 - seen.heading * ahead - seen.place
        for line in (-LANE, 0.0, LANE):
            column = np.floor(MIDDLE + line + bent).astype(int)
            found[n, point // POINTS, np.where((column < 0) | (column > 7), 8, column)] = 1
    return found[:, :, :8]


def tokens(command: str, seen: NDArray[np.int64]) -> NDArray[np.int64]:
    """What the network reads up to the steering angle: shape (n, 38)."""
    patches = seen.reshape(-1, 4, 2, 4, 2).transpose(0, 1, 3, 2, 4).reshape(-1, 16, 4)
    words = [0] * (COMMAND - len(command)) + [ord(letter) for letter in command]
    n = len(seen)
    return np.hstack([
        np.tile(words, (n, 1)), PATCHES + patches @ [1, 2, 4, 8], np.full((n, 1), SPEED)
    ])  # fmt: skip


def law(mean: Steer, number: int = 400) -> Law:
    """Fit of the expected steering over `number` places in the left lane."""
    rng = np.random.default_rng(0)
    seen = Seen(*(rng.uniform(-most, most, number) for most in (1.0, 0.25, 0.06)))
    command, target = "left lane\n", LANE / 2
    at = Seen(seen.place + target, seen.heading, seen.curvature)
    answers = mean(tokens(command, pictures(at)))
    free = np.abs(answers) < 6  # not at a stop of the wheel
    terms = np.stack([np.ones(number), seen.place, seen.heading, seen.curvature], 1)[free]
    found = np.linalg.lstsq(terms, answers[free], rcond=None)[0]
    rest = float(np.sqrt(np.mean((terms @ found - answers[free]) ** 2)))
    _, place, heading, curvature = (float(value) for value in found)
    return Law(-place, heading / place, float(np.sqrt(-2 * curvature / place)), rest)


def roads(episodes: int, steps: int, seed: int, bend: float) -> tuple[Array, Seen]:
    """Curvature at every step, shape (episodes, steps), and where vehicles start.

    Two waves each, of `bend` times 0.4 to 1, 20 to 60 rows long.
    """
    rng = np.random.default_rng(seed)
    t = np.arange(steps) * STEP
    curvature = np.zeros((episodes, steps))
    for _ in range(2):
        strength, length, phase = (
            rng.uniform(low, high, (episodes, 1)) for low, high in ((0.4, 1), (20, 60), (0, 1))
        )
        curvature += bend * strength * np.sin(2 * np.pi * (t / length + phase))
    place, heading = rng.uniform(-0.5, 0.5, episodes), rng.uniform(-0.05, 0.05, episodes)
    return curvature, Seen(place, heading, curvature[:, 0])


def drive(steer: Steer, turn: float, curvature: Array, begin: Seen) -> float:
    """Mean absolute lateral error, in lane widths; `turn` is curvature a step of the wheel."""
    episodes, steps = curvature.shape
    target = np.array([list(COMMANDS.values())[k % 2] for k in range(episodes)])
    place, heading = target + begin.place, begin.heading.copy()
    errors = []
    for step in range(steps):
        bend = curvature[:, step]
        seen = pictures(Seen(place, heading, bend))
        read = [tokens(name, seen[k::2]) for k, name in enumerate(COMMANDS)]
        answers = np.split(steer(np.concatenate(read)), [len(read[0])])
        wheel = np.empty(episodes)
        wheel[0::2], wheel[1::2] = answers
        place = place + STEP * heading
        heading = heading + STEP * (turn * wheel - bend)
        if step >= SETTLED:
            errors.append(np.abs(place - target))
    return float(np.mean(errors)) / LANE


def chosen(logits: NDArray[Any]) -> NDArray[np.int64]:
    """Steering steps from the last position's logits, the middle one straight on."""
    found: NDArray[np.int64] = logits[:, -1, STEERING : STEERING + 15].argmax(1) - 7
    return found


def expected(logits: NDArray[Any]) -> Array:
    """Mean steering steps."""
    found = logits[:, -1, STEERING : STEERING + 15]
    share = np.exp(found - found.max(1, keepdims=True))
    mean: Array = (share / share.sum(1, keepdims=True)) @ np.arange(-7.0, 8.0)
    return mean


def main() -> None:
    """Drive."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--episodes", type=int, default=64)
    parser.add_argument("--steps", type=int, default=80)
    parser.add_argument("--bend", type=float, default=0.05, help="of the roads (%(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--results", type=Path, default=Path("results/drive_lora"))
    parser.add_argument("--networks", nargs="+", default=["float", "integer"])
    args = parser.parse_args()
    checkpoint = open_checkpoint(args.checkpoint)
    model = import_model(checkpoint)
    weights = reference.load_weights(model, checkpoint)
    adapter = load_adapter(args.checkpoint / "lora-halfsteer-r4", model)
    merged = merge(model, weights, adapter)
    logits: dict[str, Steer] = {
        "float": lambda x: reference.run(model, weights, {"input_ids": x})["logits"],
        "float with adapter": lambda x: reference.run(*merged, {"input_ids": x})["logits"],
    }
    laws = {name: law(lambda x, run=run: expected(run(x))) for name, run in logits.items()}  # type: ignore[misc]
    for name, found in laws.items():
        row = {key: round(value, 3) for key, value in asdict(found).items()}
        print(json.dumps({"network": name, "law": row}), flush=True)
    if "integer" in args.networks:
        graph = serialize.load(args.results / "quantize/graph.safetensors")
        known = np.load(args.checkpoint / "lora-halfsteer-r4/reference.npz")["in_input_ids"]
        packed = pack(graph, adapter, Examples(known))
        output = graph.outputs["logits"]
        logits["integer"] = lambda x: interpreter.sequences(graph, {"input_ids": x})[output]
        logits["integer with adapter"] = lambda x: interpreter.sequences(
            graph, {"input_ids": x}, packed
        )[output]
    way = roads(args.episodes, args.steps, args.seed, args.bend)
    for what, network in logits.items():
        if what.split()[0] not in args.networks:
            continue
        for gain in (1.0, 0.5) if "adapter" not in what else (0.5,):
            error = drive(lambda x, run=network: chosen(run(x)), gain * laws["float"].turn, *way)  # type: ignore[misc]
            print(json.dumps({"network": what, "gain": gain, "error_lane_widths": round(error, 4)}),
                  flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
