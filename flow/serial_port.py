"""A serial port as a binary stream, raw and with a time limit (POSIX)."""

from __future__ import annotations

import os
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from rtl_gen.errors import ConfigError, FlowError

TENTHS = 20
"""Longest silence within an answer, in tenths of a second."""


@contextmanager
def opened(path: Path, baud: int) -> Iterator[IO[bytes]]:
    """Open the serial port `path`: eight bits, no parity, nothing translated.

    Parameters
    ----------
    path : Path
        E.g. ``/dev/ttyUSB0``.
    baud : int
        Bits per second, one of the rates that the system knows.

    Raises
    ------
    ConfigError
        If the rate is not one of them.
    FlowError
        If the port cannot be opened or is no terminal.
    """
    speed = getattr(termios, f"B{baud}", None)
    if speed is None:
        raise ConfigError(f"--baud: the system knows no rate of {baud}; use the target's")
    try:
        handle = os.open(path, os.O_RDWR | os.O_NOCTTY)
    except OSError as error:
        raise FlowError(
            f"{path}: cannot open the serial port ({error.strerror}); is the board connected, and "
            "may you use it (group dialout)?"
        ) from error
    try:
        _make_raw(handle, speed, path)
        with os.fdopen(handle, "r+b", buffering=0, closefd=False) as stream:
            yield stream
    finally:
        os.close(handle)


def _make_raw(handle: int, speed: int, path: Path) -> None:
    try:
        control = list(termios.tcgetattr(handle)[6])
    except termios.error as error:
        raise FlowError(f"{path}: not a serial port ({error.args[-1]})") from error
    control[termios.VMIN], control[termios.VTIME] = 0, TENTHS
    mode = termios.CS8 | termios.CREAD | termios.CLOCAL
    settings: list[Any] = [0, 0, mode, 0, speed, speed, control]
    termios.tcsetattr(handle, termios.TCSANOW, settings)
    termios.tcflush(handle, termios.TCIOFLUSH)
