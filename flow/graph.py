"""The integer graph as a file of the flow."""

from __future__ import annotations

from pathlib import Path

from rtl_gen.errors import FlowError
from rtl_gen.ir import serialize
from rtl_gen.ir.integer import IntegerGraph


def read(path: Path) -> IntegerGraph:
    """Read an integer graph that the quantize stage wrote.

    Raises
    ------
    FlowError
        If the file is absent or not an integer graph.
    """
    try:
        return serialize.load(path)
    except FileNotFoundError as error:
        raise FlowError(f"{path}: no such file; build it with `snakemake {path}`") from error
    except ValueError as error:
        raise FlowError(
            f"{path}: not an integer graph ({error}); remove it and build it again with "
            f"`snakemake {path}`"
        ) from error
