"""Play CartPole with the trained policy and write what it saw: ``observations.npz``.

The pole on a cart of Barto, Sutton and Anderson, "Neuronlike adaptive elements that can solve
difficult learning control problems", IEEE SMC-13, 1983, with the constants and the explicit Euler
step of Gymnasium's CartPole-v1. Half of the steps take a random action, so that the states cover
more than the policy's own still balance.

usage: python models/cartpole_mlp/observe.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rtl_gen import reference
from rtl_gen.checkpoint import import_model, open_checkpoint

FOLDER = Path(__file__).parent
EPISODES, LENGTH, SEED = 48, 32, 1
GRAVITY, CART, POLE, HALF_LENGTH, FORCE, STEP = 9.8, 1.0, 0.1, 0.5, 10.0, 0.02


def move(state: NDArray[np.float64], push: NDArray[np.float64]) -> NDArray[np.float64]:
    """State (position, speed, angle, angular speed; shape (n, 4)) one step later."""
    x, v, angle, spin = state.T
    total, moment = CART + POLE, POLE * HALF_LENGTH
    shared = (push + moment * spin**2 * np.sin(angle)) / total
    turn = (GRAVITY * np.sin(angle) - np.cos(angle) * shared) / (
        HALF_LENGTH * (4 / 3 - POLE * np.cos(angle) ** 2 / total)
    )
    speed_up = shared - moment * turn * np.cos(angle) / total
    return np.stack([x + STEP * v, v + STEP * speed_up, angle + STEP * spin, spin + STEP * turn], 1)


def main() -> None:
    """Write the observations and the action the policy takes on each."""
    checkpoint = open_checkpoint(FOLDER)
    graph = import_model(checkpoint)
    weights = reference.load_weights(graph, checkpoint)
    rng = np.random.default_rng(SEED)
    state = rng.uniform(-0.05, 0.05, (EPISODES, 4))
    seen, actions = [], []
    for _ in range(LENGTH):
        values, _ = reference.step(
            graph, weights, {"x": state}, reference.initial_state(graph, EPISODES)
        )
        action = values[graph.outputs["logits"]].argmax(1)
        seen.append(state.astype(np.float32))
        actions.append(action)
        explored = np.where(rng.random(EPISODES) < 0.5, rng.integers(0, 2, EPISODES), action)
        state = move(state, np.where(explored == 1, FORCE, -FORCE))
    np.savez_compressed(
        FOLDER / "observations.npz", in_x=np.concatenate(seen), labels=np.concatenate(actions)
    )


if __name__ == "__main__":
    main()
