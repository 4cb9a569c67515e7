"""Driver of a chip's adapter port: the same calls over any bus that reads and writes registers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import IO, Protocol

from rtl_gen.errors import FlowError
from rtl_gen.fabric.adapter_port import ADDRESS, ERRORS, IDENTITY_WORDS

MASK = 0xFFFFFFFF


class Bus(Protocol):
    """Where the registers of `rtl_gen.fabric.adapter_port` are."""

    def write(self, address: int, value: int) -> None:
        """Write 32 bits."""

    def read(self, address: int) -> int:
        """Read 32 bits."""


@dataclass(frozen=True, slots=True)
class Status:
    """What register STATUS says."""

    active: int
    selected: int
    opened: int
    error: str


@dataclass(frozen=True, slots=True)
class SerialBus:
    """Registers behind the serial protocol of `rtl_gen.fabric.bridge`.

    Parameters
    ----------
    stream : binary file
        An open serial port, unbuffered.
    beats : list of (int, bool)
        What the chip generated in the meantime: data and whether it was the last of a sequence.
    """

    stream: IO[bytes]
    beats: list[tuple[int, bool]] = field(default_factory=list)

    def write(self, address: int, value: int) -> None:
        """Send ``P``, register and value."""
        self.stream.write(b"P" + bytes([address]) + (value & MASK).to_bytes(4, "little"))
        self.stream.flush()

    def read(self, address: int) -> int:
        """Send ``Q`` and the register; wait for the answer.

        Raises
        ------
        FlowError
            If something else, or nothing, comes back.
        """
        self.stream.write(b"Q" + bytes([address]))
        self.stream.flush()
        while (tag := self._take(1)) in (b"o", b"l"):
            self.beats.append((int.from_bytes(self._take(2), "little"), tag == b"l"))
        if tag != b"q":
            raise FlowError(
                f"adapter port: expected an answer that starts with 'q', found {tag!r}; is this "
                "the serial port of a board whose chip has adapters?"
            )
        return int.from_bytes(self._take(4), "little")

    def _take(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            part = self.stream.read(count - len(data))
            if not part:
                raise FlowError(
                    f"adapter port: no answer ({len(data)} of {count} bytes came); is the board "
                    "on, is its chip configured, and is --baud that of its target?"
                )
            data += part
        return data


def status(bus: Bus) -> Status:
    """Slots in use, selected and being loaded, and the last command's error."""
    word = bus.read(ADDRESS["STATUS"])
    code = word >> 24 & 15
    name = ERRORS[code] if code < len(ERRORS) else f"code {code}"
    return Status(word & 255, word >> 8 & 255, word >> 16 & 255, name)


def valid_slots(bus: Bus) -> list[int]:
    """Slots that hold a complete image."""
    word, slots = bus.read(ADDRESS["VALID"]), bus.read(ADDRESS["GEOMETRY"]) >> 24
    return [slot for slot in range(1, slots + 1) if word >> (slot - 1) & 1]


def commands(slot: int, base: str, words: Sequence[int]) -> list[tuple[int, int]]:
    """Register writes, address and value, that put an image into `slot`; see `load`."""
    digest = bytes.fromhex(base)
    parts = (digest[4 * index : 4 * index + 4] for index in range(IDENTITY_WORDS))
    return [
        (ADDRESS["OPEN"], slot),
        *((ADDRESS["IDENTITY"], int.from_bytes(part, "little")) for part in parts),
        *((ADDRESS["DATA"], word) for word in words),
        (ADDRESS["COMMIT"], sum(words) & MASK),
    ]


def load(bus: Bus, slot: int, base: str, words: Sequence[int]) -> None:
    """Write an image into `slot`; the chip may go on generating with another one.

    Parameters
    ----------
    bus : Bus
    slot : int
        From 1 on; neither in use nor selected.
    base : str
        Digest of the graph that the image was made for, hexadecimal.
    words : sequence of int
        From `rtl_gen.adapter.layout.host_words`.

    Raises
    ------
    FlowError
        If the chip refuses: another size, a slot in use, another base, a damaged transfer.
    """
    expected = bus.read(ADDRESS["GEOMETRY"]) & 0xFFFFFF
    if expected != len(words):
        raise FlowError(
            f"adapter port: the chip's images have {expected} words, this one {len(words)}; it was "
            "laid out for another chip: lay it out with this chip's manifest"
        )
    _fits(bus, slot)
    first, *rest = commands(slot, base, words)
    bus.write(*first)
    _demand(bus, f"opening slot {slot}")
    for write in rest:
        bus.write(*write)
    _demand(bus, f"loading slot {slot}")


def select(bus: Bus, slot: int) -> None:
    """Use `slot` from the next token on; 0 is the base alone.

    Raises
    ------
    FlowError
        If the slot holds no complete image.
    """
    _fits(bus, slot)
    bus.write(ADDRESS["SELECT"], slot)
    _demand(bus, f"selecting slot {slot}")


def _fits(bus: Bus, slot: int) -> None:
    """Refuse a number that would be another slot's in the 32 bits of a register."""
    if not 0 <= slot <= MASK:
        slots = bus.read(ADDRESS["GEOMETRY"]) >> 24
        raise FlowError(f"adapter port: slot {slot}: the chip has slots 0 to {slots}")


def _demand(bus: Bus, what: str) -> None:
    found = status(bus)
    if found.error != ERRORS[0]:
        raise FlowError(
            f"adapter port: {what}: the chip refuses: {found.error} (in use: {found.active}, "
            f"selected: {found.selected})"
        )
