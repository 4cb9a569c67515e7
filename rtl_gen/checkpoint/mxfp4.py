"""MXFP4 tensors as gpt-oss stores them: four-bit floats in blocks of 32 with a common exponent.

Notes
-----
Open Compute Project, "Microscaling Formats (MX) Specification" 1.0, section 5.3 (element FP4 E2M1,
scale E8M0). ``<name>_blocks`` (..., blocks, 16) holds two elements a byte, the lower four bits
first; ``<name>_scales`` (..., blocks) the exponents, biased by 127.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from rtl_gen.checkpoint.safetensors import Entry, chunks, shown
from rtl_gen.errors import CheckpointError

BLOCK = 32

_MAGNITUDES = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
_VALUES = np.array([*_MAGNITUDES, *(-x for x in _MAGNITUDES)])
_BIAS = 127


def stored(entries: Mapping[str, Entry], name: str) -> bool:
    """Whether tensor `name` is stored in this format."""
    return f"{name}_blocks" in entries and f"{name}_scales" in entries


def read(entries: Mapping[str, Entry], name: str, index: int | None) -> NDArray[np.float64]:
    """Tensor `name`, or one element of its first axis.

    Returns
    -------
    float64, shape (..., 32 * blocks)
        Exactly the stored numbers.

    Raises
    ------
    CheckpointError
        If a part is missing, not of dtype U8 or of the wrong shape, or a scale is NaN.
    """
    blocks, scales = (_bytes(entries, f"{name}_{part}") for part in ("blocks", "scales"))
    if blocks.shape != (*scales.shape, BLOCK // 2):
        raise CheckpointError(
            f"{entries[f'{name}_blocks'].file}: tensor {shown(f'{name}_blocks')} has shape "
            f"{list(blocks.shape)}, but {shown(f'{name}_scales')} has {list(scales.shape)}: "
            f"expected the same and {BLOCK // 2} bytes a block; fetch the checkpoint again"
        )
    if index is not None:
        blocks, scales = blocks[index], scales[index]
    if (scales == 255).any():
        raise CheckpointError(
            f"{entries[f'{name}_scales'].file}: tensor {shown(f'{name}_scales')} holds 255, which "
            "stands for NaN; a chip needs finite weights: export the model again"
        )
    pairs = np.stack([_VALUES[blocks & 15], _VALUES[blocks >> 4]], axis=-1)
    elements = pairs.reshape(*scales.shape, BLOCK)
    scaled = np.ldexp(elements, scales[..., None].astype(np.int64) - _BIAS)
    return np.asarray(scaled.reshape(*scales.shape[:-1], -1), np.float64)


def _bytes(entries: Mapping[str, Entry], name: str) -> NDArray[np.uint8]:
    entry = entries.get(name)
    if entry is None or entry.dtype != "U8" or len(entry.shape) < 2:
        found = "no such tensor" if entry is None else f"{entry.dtype} of {list(entry.shape)}"
        raise CheckpointError(
            f"tensor {shown(name)}: expected MXFP4 bytes (U8), found {found}; "
            "fetch the checkpoint again"
        )
    return np.frombuffer(b"".join(chunks(entry)), np.uint8).reshape(entry.shape)
