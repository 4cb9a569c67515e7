"""When values arrive: cycles after an event.

Within a step everything is a number of cycles behind the step's start, but for units whose time
depends on the position (attention): their end is an event of its own, which follows another one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from amaranth import Module, Signal

from rtl_gen.errors import UnsupportedError


@dataclass(eq=False)
class Event:
    """A pulse, at least `after` cycles behind the event `before` in every step.

    Parameters
    ----------
    name : str
    pulse : Signal
        High for one cycle.
    before : Event or None
        None for the start of a step.
    after : int
    """

    name: str
    pulse: Signal
    before: Event | None = None
    after: int = 0
    line: list[Signal] = field(default_factory=list)

    def ancestors(self) -> Iterable[tuple[Event, int]]:
        """The event and those before it, each with the least cycles that lie between."""
        event: Event | None = self
        cycles = 0
        while event is not None:
            yield event, cycles
            cycles += event.after
            event = event.before

    def delayed(self, m: Module, cycles: int) -> Signal:
        """The pulse `cycles` later."""
        while len(self.line) < cycles:
            stage = Signal(name=f"{self.name}_{len(self.line) + 1}")
            m.d.sync += stage.eq(self.line[-1] if self.line else self.pulse)
            self.line.append(stage)
        return self.line[cycles - 1] if cycles else self.pulse


@dataclass(frozen=True)
class Arrival:
    """`cycles` behind `event`, and held until the next step."""

    event: Event
    cycles: int

    def later(self, cycles: int) -> Arrival:
        """So many cycles later."""
        return Arrival(self.event, self.cycles + cycles)


def latest(arrivals: Iterable[Arrival]) -> Arrival:
    """When all have arrived.

    Raises
    ------
    UnsupportedError
        If two of their events do not follow one another.
    """
    found = list(arrivals)
    best = max(found, key=lambda item: len(list(item.event.ancestors())))
    between = {id(event): cycles for event, cycles in best.event.ancestors()}
    cycles = best.cycles
    for item in found:
        if id(item.event) not in between:
            raise UnsupportedError(
                f"values that wait for {item.event.name} and for {best.event.name} meet, "
                "neither of which follows the other"
            )
        cycles = max(cycles, item.cycles - between[id(item.event)])
    return Arrival(best.event, cycles)
