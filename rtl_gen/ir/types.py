"""Number types carried by the edges of an integer graph."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class IntType:
    """Fixed-width two's-complement (or unsigned) integer.

    Parameters
    ----------
    width : int
        Number of bits, sign bit included. At least 1.
    signed : bool
        Two's complement if true.

    Raises
    ------
    ValueError
        If `width` is below 1.
    """

    width: int
    signed: bool = True

    def __post_init__(self) -> None:
        if self.width < 1:
            raise ValueError(f"integer width must be at least 1 bit, not {self.width}")

    @property
    def min(self) -> int:
        """Smallest representable value."""
        return -(1 << (self.width - 1)) if self.signed else 0

    @property
    def max(self) -> int:
        """Largest representable value."""
        return (1 << (self.width - self.signed)) - 1

    @classmethod
    def holding(cls, low: int, high: int) -> IntType:
        """Narrowest type that holds every integer from `low` to `high`."""
        if low >= 0:
            return cls(max(1, high.bit_length()), signed=False)
        return cls(max((-low - 1).bit_length(), max(high, 0).bit_length()) + 1)

    @classmethod
    def parse(cls, text: str) -> IntType:
        """Inverse of `str`: ``"i8"``, ``"u16"``."""
        if text[:1] not in ("i", "u") or not text[1:].isdecimal():
            raise ValueError(f"not an integer type: {text!r} (expected i<width> or u<width>)")
        return cls(int(text[1:]), signed=text[0] == "i")

    def __str__(self) -> str:
        return f"{'i' if self.signed else 'u'}{self.width}"


@dataclass(frozen=True, slots=True)
class Dyadic:
    """Positive scale ``multiplier * 2**-shift``, the only scale the hardware can apply.

    Parameters
    ----------
    multiplier : int
        Unsigned integer factor, at least 1.
    shift : int
        Right shift in bits. Non-negative.

    Raises
    ------
    ValueError
        If either is out of range.
    """

    multiplier: int
    shift: int

    def __post_init__(self) -> None:
        if self.multiplier < 1 or self.shift < 0:
            raise ValueError(f"not a dyadic scale: {self.multiplier} * 2**-{self.shift}")

    @classmethod
    def nearest(cls, value: float, bits: int) -> Dyadic:
        """Dyadic nearest to `value` whose multiplier has at most `bits` bits.

        Raises
        ------
        ValueError
            If `value` is not positive and finite, or is not representable with shift >= 0.
        """
        if not 0 < value < 1 << bits:
            raise ValueError(f"{value} is not a scale of at most {bits} bits")
        shift = 0
        while round(value * 2.0 ** (shift + 1)) < 1 << bits and shift < 62:
            shift += 1
        return cls(max(1, round(value * 2.0**shift)), shift)

    def __float__(self) -> float:
        return self.multiplier * 2.0**-self.shift
