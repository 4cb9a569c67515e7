"""One simulated run in which adapters are loaded and switched while the chip generates."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from flow import adapter_driver
from flow.adapter_driver import commands
from flow.simulate import Chip
from flow.verify import PACES
from rtl_gen.adapter.layout import host_words
from rtl_gen.errors import FlowError
from rtl_gen.fabric.adapter_port import ADDRESS
from rtl_gen.golden import interpreter, sample
from rtl_gen.ir.adapter import AdapterImage, Factors, regions, shapes, types
from rtl_gen.ir.integer import IntegerGraph, Sample
from rtl_gen.ir.serialize import digest
from rtl_gen.plan import Plan

Write = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Chips:
    """A simulated chip and what it was made from."""

    graph: IntegerGraph
    plan: Plan
    chip: Chip
    base: str

    def words(self, image: AdapterImage) -> list[int]:
        """What a host writes for `image`."""
        return host_words(self.graph, self.plan, image)

    def beta(self) -> int:
        """Inverse temperature of temperature 1."""
        node = next(item for item in self.graph.nodes if isinstance(item.op, Sample))
        assert isinstance(node.op, Sample)  # the line above, for the type checker
        return sample.beta(1.0, self.graph.value(node.inputs[0]).scale, node.op.shift)


def extreme_image(graph: IntegerGraph, *, low: bool) -> AdapterImage:
    """Every element the smallest, or the largest, and every multiplier the largest."""
    found = {}
    for node, op in regions(graph):
        kinds = types(op)
        ends = {k: t.min if low and t.signed else t.max for k, t in kinds.items()}
        found[node.name] = Factors(**{
            name: np.full(shape, ends[name], np.int64)
            for name, shape in shapes(graph, node, op).items()
        })  # fmt: skip
    return AdapterImage("lowest" if low else "highest", digest(graph), found)


def storm(slots: int, number: int, seed: int) -> list[Write]:
    """Random commands that select nothing that could be valid."""
    rng = np.random.default_rng(seed)
    names = ["OPEN", "IDENTITY", "DATA", "DATA", "COMMIT", "SELECT", "STATUS", "VALID"]
    found = []
    for name in rng.choice(names, number).tolist():
        value = int(rng.integers(0, 1 << 32))
        if name == "OPEN":
            value %= slots + 2
        if name == "SELECT":
            value |= slots + 1
        found.append((ADDRESS[name], value))
    return found


def expected(
    graph: IntegerGraph, prompt: Sequence[int], beta: int, seed: int, limit: int,
    image: AdapterImage | None,
) -> list[int]:  # fmt: skip
    """Golden text."""
    return list(
        interpreter.generate(graph, prompt, beta=beta, seed=seed, limit=limit, adapter=image)
    )


def changed(
    chips: Chips, prompt: Sequence[int], limit: int, old: AdapterImage | None,
    new: AdapterImage | None, step: int,
) -> list[int]:  # fmt: skip
    """Greedy golden text of a sequence whose steps from `step` on use another adapter."""
    graph = chips.graph
    state, token, text = interpreter.initial_state(graph, 1), 0, []
    names = {item.kind: item.name for item in graph.inputs}
    for index in range(len(prompt) + limit - 1):
        token = prompt[index] if index < len(prompt) else text[-1]
        values, state = interpreter.step(
            graph, {names["token"]: np.array([token])}, state,
            adapter=new if index >= step else old,
        )  # fmt: skip
        if index >= len(prompt) - 1:
            text.append(int(values[graph.outputs["logits"]][0].argmax()))
            if text[-1] in graph.eos:
                break
    return text


@dataclass(slots=True)
class _Run:
    chips: Chips
    limit: int
    tokens: int = 0
    writes: int = 0

    def text(
        self, what: str, prompt: Sequence[int], image: AdapterImage | None, *, seed: int = 0,
        during: Sequence[Write] = (), gap: int = 1, pace: int = 0,
    ) -> list[int]:  # fmt: skip
        """Generate, greedily for seed 0, and compare; cycles by position at full speed."""
        chip, graph = self.chips.chip, self.chips.graph
        beta = self.chips.beta() if seed else 0
        chip.pace(PACES[pace])
        if during:
            chip.during(during, gap=gap)
        steps = list(chip.generate(prompt, beta=beta, seed=seed, limit=self.limit))
        left = chip.waiting() if during else 0
        while left:  # the rest of a long image, in further sequences that are compared, too
            steps_more = list(chip.generate(prompt, beta=beta, seed=seed, limit=self.limit))
            self._same(what, [s.token for s in steps_more], [s.token for s in steps])
            self.tokens += len(steps_more)
            left = chip.waiting() if during else 0
        self.writes += len(during)
        wanted = expected(graph, prompt, beta, seed, self.limit, image)
        self._same(what, [step.token for step in steps], wanted)
        self.tokens += len(wanted)
        print(f"  {what}: {len(wanted)} tokens equal", file=sys.stderr)
        return [step.cycles for step in steps[1:]]

    @staticmethod
    def _same(what: str, found: list[int], wanted: list[int]) -> None:
        if found != wanted:
            raise FlowError(f"{what}: expected {wanted}, found {found}")

    def register(self, name: str) -> int:
        return self.chips.chip.read(ADDRESS[name])

    def select(self, slot: int) -> None:
        adapter_driver.select(self.chips.chip, slot)

    def demand_valid(self, slot: int) -> None:
        if not self.register("VALID") >> (slot - 1) & 1:
            raise FlowError(f"slot {slot} is not valid: {adapter_driver.status(self.chips.chip)}")


def acts(
    chips: Chips, images: Mapping[str, AdapterImage], prompts: Sequence[Sequence[int]], limit: int
) -> dict[str, Any]:
    """Generate with the base, with adapters loaded meanwhile, and with hostile images.

    Raises
    ------
    FlowError
        At the first token that differs from golden.
    """
    run, chip = _Run(chips, limit), chips.chip
    first, *others = prompts
    data = {name: chips.words(image) for name, image in images.items()}
    cycles = {"base": run.text("base", first, None)}
    # The first image arrives while the base generates, the second while the first one is in use.
    run.text("base, trained arrives", first, None, during=commands(1, chips.base, data["trained"]))
    run.demand_valid(1)
    run.select(1)
    cycles["trained"] = run.text("trained", first, images["trained"])
    attack = [
        *commands(2, "00" * 32, data["half"]),  # made for another base
        (ADDRESS["SELECT"], 2), (ADDRESS["OPEN"], 1), (ADDRESS["DATA"], 0xFFFFFFFF),
        *commands(2, chips.base, data["half"]),
    ]  # fmt: skip
    run.text("trained, half arrives", first, images["trained"], during=attack)
    run.demand_valid(2)
    for number, prompt in enumerate(others, 1):
        run.text("trained", prompt, images["trained"], seed=number, pace=3)
    swap = _swap(run, first, images["trained"], images["half"])
    cycles["half"] = run.text("half", first, images["half"])
    run.text("half", others[0], images["half"], seed=7, pace=1)
    run.text("half, random commands", first, images["half"], during=storm(2, 4000, 1), gap=2)
    for name in ("random", "lowest", "highest"):
        run.text(f"half, {name} arrives", first, images["half"],
                 during=commands(1, chips.base, data[name]))  # fmt: skip
        run.demand_valid(1)
        run.select(1)
        cycles[name] = run.text(name, first, images[name])
        run.text(name, others[0], images[name], seed=9, pace=2)
        run.select(2)
    run.select(0)
    cycles["base again"] = run.text("base again", first, None)
    if cycles["base again"] != cycles["base"]:
        raise FlowError("cycles of the base changed")
    same = min(len(found) for name, found in cycles.items() if "base" not in name)
    adapted = {tuple(found[:same]) for name, found in cycles.items() if "base" not in name}
    chip.pace(PACES[0])
    return {
        "texts": len({tuple(expected(chips.graph, first, 0, 0, limit, image))
                      for image in (None, *images.values())}),
        "tokens": run.tokens, "writes while running": run.writes, "swapped before step": swap,
        "position": len(first) + 1,
        "cycles base": cycles["base"], "cycles adapted": cycles["trained"],
        "cycles differ by image": max(
            max(a[i] for a in adapted) - min(a[i] for a in adapted) for i in range(same)
        ),
    }  # fmt: skip


def _swap(run: _Run, prompt: Sequence[int], old: AdapterImage, new: AdapterImage) -> list[int]:
    """Select slot 2 in the middle of a greedy sequence.

    Returns
    -------
    list of int
        Steps at which golden changes to the new adapter and writes the same text. The chip must
        have written one of these texts.
    """
    chip = run.chips.chip
    chip.pace(PACES[0])
    # Command, not time, decides: the write comes when half of these cycles are over.
    probe = list(chip.generate(prompt, beta=0, seed=0, limit=run.limit))
    middle = sum(step.cycles for step in probe) // 2
    chip.during([(ADDRESS["STATUS"], 0)] * (middle // 64) + [(ADDRESS["SELECT"], 2)], gap=64)
    found = [s.token for s in chip.generate(prompt, beta=0, seed=0, limit=run.limit)]
    texts = {
        step: changed(run.chips, prompt, run.limit, old, new, step)
        for step in range(1, len(prompt) + run.limit - 1)
    }
    fits = [step for step, text in texts.items() if text == found]
    if not fits or adapter_driver.status(chip).active != 2:
        raise FlowError(f"a switch within a sequence: {found} is no text of golden's")
    run.tokens += len(found)
    print(f"  switched before step {fits} of {len(texts)}", file=sys.stderr)
    return fits


def timed(
    chips: Chips, prompt: Sequence[int], limit: int, image: AdapterImage | None
) -> dict[str, Any]:
    """Cycles of the first tokens with the base alone, and with `image`; all compared."""
    run = _Run(chips, limit)
    found: dict[str, Any] = {"cycles base": run.text("base", prompt, None)}
    if image is not None:
        adapter_driver.load(chips.chip, 1, chips.base, chips.words(image))
        run.select(1)
        found["cycles adapted"] = run.text("random", prompt, image)
    return found | {"tokens": run.tokens}
