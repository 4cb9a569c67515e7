"""The log of a stage: what it and its tools said, kept also when it fails."""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Callable
from contextlib import redirect_stderr
from pathlib import Path
from typing import TextIO

from rtl_gen.errors import FlowError


def recorded(run: Callable[[argparse.Namespace], int]) -> Callable[[argparse.Namespace], int]:
    """Wrap a command: what it says on standard error also ends its log ``args.log``."""

    def wrapped(args: argparse.Namespace) -> int:
        if args.log is None:
            return run(args)
        args.log.unlink(missing_ok=True)
        both = _Both(sys.stderr)
        try:
            with redirect_stderr(both):
                return run(args)
        except FlowError as error:
            both.kept.write(f"{error}\n")
            raise
        finally:
            _append(args.log, both.kept.getvalue())

    return wrapped


class _Both(io.TextIOBase):
    """Writes to `shown` and keeps a copy."""

    def __init__(self, shown: TextIO) -> None:
        self.shown = shown
        self.kept = io.StringIO()

    def write(self, text: str) -> int:
        self.kept.write(text)
        return self.shown.write(text)

    def flush(self) -> None:
        self.shown.flush()


def _append(log: Path, text: str) -> None:
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as stream:
        stream.write(text)
