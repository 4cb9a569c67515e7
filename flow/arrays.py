"""Arrays in .npz files: read without trusting them, and checked against the network's input."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rtl_gen.checkpoint import Checkpoint
from rtl_gen.checkpoint.importers.plain import frames
from rtl_gen.errors import ConfigError
from rtl_gen.ir.model import ModelGraph


def check_tokens(graph: ModelGraph, data: NDArray[np.generic], where: str) -> NDArray[np.int64]:
    """Token ids (batch, time) from a file, all in the vocabulary.

    Raises
    ------
    ConfigError
        If they are not.
    """
    if data.ndim != 2 or not np.issubdtype(data.dtype, np.integer) or not data.size:
        raise ConfigError(
            f"{where}: expected integer tokens of shape (batch, time), found {data.dtype} of shape "
            f"{data.shape}"
        )
    ids = data.astype(np.int64)
    if ids.min() < 0 or ids.max() >= graph.vocabulary:
        raise ConfigError(
            f"{where}: tokens from {ids.min()} to {ids.max()}, but the model has "
            f"{graph.vocabulary} tokens; the file belongs to another model"
        )
    return ids


def check_frames(
    graph: ModelGraph, checkpoint: Checkpoint, data: NDArray[np.generic], where: str
) -> NDArray[np.float64]:
    """Frames (batch, *shape) from a file as the network reads them; see `plain.frames`.

    Raises
    ------
    ConfigError
        If the number of elements is another one, or not all are finite numbers.
    """
    shape = graph.inputs[0].shape
    if data.ndim < 2 or data[0].size != np.prod(shape) or data.dtype.kind not in "iuf":
        raise ConfigError(
            f"{where}: expected frames of shape {shape}, found {data.dtype} of shape {data.shape}; "
            "the file belongs to another model"
        )
    if not np.isfinite(data.astype(np.float64)).all():
        raise ConfigError(f"{where}: frames hold NaN or infinity; give finite measurements")
    return frames(checkpoint, data).reshape(len(data), *shape)


def check_block(graph: ModelGraph, data: NDArray[np.generic], where: str) -> NDArray[np.float64]:
    """Vectors (batch, positions, *shape) of a layer that sees all positions of a block.

    Raises
    ------
    ConfigError
        If the shape is another one, or not all are finite numbers.
    """
    shape = graph.inputs[0].shape
    if data.ndim != 2 + len(shape) or data.shape[2:] != shape or data.dtype.kind not in "iuf":
        raise ConfigError(
            f"{where}: expected (batch, positions, {', '.join(map(str, shape))}), found "
            f"{data.dtype} of shape {data.shape}; the file belongs to another model"
        )
    block = data.astype(np.float64)
    if not np.isfinite(block).all():
        raise ConfigError(f"{where}: holds NaN or infinity; give finite numbers")
    return block


def read_npz(path: Path) -> dict[str, NDArray[np.generic]]:
    """Arrays of an .npz file; pickled objects are refused.

    Raises
    ------
    ConfigError
        If it is absent or not such a file.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such file") from error
    except (OSError, ValueError, EOFError, AttributeError, zipfile.BadZipFile) as error:
        raise ConfigError(f"{path}: not an .npz file of plain arrays ({error})") from error
