"""The safetensors file format, read strictly: every byte of a file is accounted for or refused.

Notes
-----
Format: eight bytes of little-endian header length N, N bytes of JSON (tensor name to dtype, shape
and ``data_offsets`` in the data section), the data section. Offsets must tile the data section:
no overlap, no hole, nothing behind the last tensor. Source: the format section of the safetensors
documentation.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rtl_gen.errors import CheckpointError, UnsupportedError

HEADER_LIMIT = 100_000_000
"""Largest header in bytes, as in the reference implementation."""

CHUNK = 1 << 20
"""Bytes read at once where only a digest is wanted."""

_DECODED = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2",
    "I8": "|i1", "U8": "|u1", "I16": "<i2", "I32": "<i4", "I64": "<i8",
}  # fmt: skip
_KNOWN_BYTES = {
    **{name: np.dtype(code).itemsize for name, code in _DECODED.items()},
    "BOOL": 1, "F8_E4M3": 1, "F8_E5M2": 1, "F8_E8M0": 1, "U16": 2, "U32": 4, "U64": 8, "C64": 8,
}  # fmt: skip

FLOATING = ("F64", "F32", "F16", "BF16")
"""Dtypes of ordinary trained weights."""


@dataclass(frozen=True, slots=True)
class Entry:
    """Where one tensor lies.

    Parameters
    ----------
    file : Path
    name : str
    dtype : str
        As the header spells it, e.g. ``BF16``.
    shape : tuple of int
    offset, length : int
        Bytes, from the start of the file.
    """

    file: Path
    name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int
    length: int


def shown(name: object) -> str:
    """`name` quoted for a message, at most 80 characters of it."""
    text = repr(name)
    return text if len(text) <= 80 else f"{text[:77]}..."


def parse_json(text: bytes, where: str) -> dict[str, object]:
    """JSON object in `text`; duplicate keys, NaN and anything but an object are refused.

    Raises
    ------
    CheckpointError
        If it is not such an object; the message starts with `where`.
    """

    def unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
        found = dict(pairs)
        if len(found) != len(pairs):
            double = Counter(key for key, _ in pairs).most_common(1)[0][0]
            raise CheckpointError(
                f"{where}: the name {shown(double)} appears twice, so its meaning is ambiguous; "
                "write the file again with unique names"
            )
        return found

    def refuse(constant: str) -> object:
        raise ValueError(f"{constant} is not JSON")

    try:
        value = json.loads(text.decode(), object_pairs_hook=unique, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise CheckpointError(
            f"{where}: expected a JSON object, but it cannot be parsed ({reason}); "
            "the file is damaged: fetch or save it again"
        ) from error
    if not isinstance(value, dict):
        raise CheckpointError(
            f"{where}: expected a JSON object, found {type(value).__name__}; "
            "the file is damaged or something else: fetch or save it again"
        )
    return value


def read_header(file: Path) -> dict[str, Entry]:
    """Every tensor of `file` by name, in order of position.

    Raises
    ------
    CheckpointError
        If the file is not a well-formed safetensors file; the message names file and tensor.
    """
    try:
        size = file.stat().st_size
        with file.open("rb") as stream:
            start = stream.read(8)
            length = int.from_bytes(start, "little")
            if len(start) < 8 or length > min(HEADER_LIMIT, size - 8):
                raise CheckpointError(
                    f"{file}: the header is said to be {length} bytes long, but the file has "
                    f"{size} bytes and a header at most {HEADER_LIMIT}: the file is truncated or "
                    "not a safetensors file; fetch or save it again"
                )
            header = stream.read(length)
    except OSError as error:
        raise CheckpointError(
            f"{file}: cannot be read ({error.strerror}); check that the file exists and is yours"
        ) from error
    tensors = parse_json(header, f"{file}: header")
    _check_metadata(file, tensors.pop("__metadata__", {}))
    entries = [_entry(file, name, spec, 8 + length) for name, spec in tensors.items()]
    entries.sort(key=lambda entry: (entry.offset, entry.offset + entry.length))
    _check_tiling(file, entries, 8 + length, size)
    return {entry.name: entry for entry in entries}


def _check_metadata(file: Path, metadata: object) -> None:
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise CheckpointError(
            f"{file}: header: __metadata__ must map text to text, found {shown(metadata)}; "
            "save the file again"
        )


def _entry(file: Path, name: str, spec: object, data: int) -> Entry:
    """Entry of one tensor, checked by itself; `data` is where the data section starts."""
    where = f"{file}: tensor {shown(name)}"
    if not isinstance(spec, dict) or spec.keys() != {"dtype", "shape", "data_offsets"}:
        raise CheckpointError(
            f"{where}: expected dtype, shape and data_offsets, found {shown(spec)}; "
            "save the file again"
        )
    dtype, shape, offsets = spec["dtype"], spec["shape"], spec["data_offsets"]
    if not isinstance(dtype, str) or dtype not in _KNOWN_BYTES:
        raise CheckpointError(
            f"{where}: unknown dtype {shown(dtype)} (known: {', '.join(_KNOWN_BYTES)}); "
            "save the tensor as F32"
        )
    if not _naturals(shape) or len(shape) > 32:
        raise CheckpointError(
            f"{where}: expected a shape of at most 32 non-negative integers, found {shown(shape)}; "
            "save the file again"
        )
    if not _naturals(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise CheckpointError(
            f"{where}: expected data_offsets [begin, end] with 0 <= begin <= end, found "
            f"{shown(offsets)}; save the file again"
        )
    expected = math.prod(shape) * _KNOWN_BYTES[dtype]
    if offsets[1] - offsets[0] != expected:
        raise CheckpointError(
            f"{where}: {dtype} of shape {shown(shape)} is {shown(expected)} bytes, but data_offsets"
            f" {shown(offsets)} span {offsets[1] - offsets[0]}; the file is damaged: save it again"
        )
    return Entry(file, name, dtype, tuple(shape), data + offsets[0], expected)


def _naturals(value: object) -> bool:
    return isinstance(value, list) and all(type(item) is int and item >= 0 for item in value)


def _check_tiling(file: Path, entries: list[Entry], data: int, size: int) -> None:
    """Sorted `entries` cover the file from `data` to `size` without overlap or hole."""
    end, before = data, "the header"
    for entry in entries:
        where = f"{file}: tensor {shown(entry.name)}"
        if entry.offset + entry.length > size:
            raise CheckpointError(
                f"{where}: ends at byte {entry.offset + entry.length}, but the file has {size} "
                "bytes: its offsets are out of range or the file is truncated; fetch it again"
            )
        if entry.offset != end:
            what = "overlaps" if entry.offset < end else "leaves a hole after"
            raise CheckpointError(
                f"{where}: starts at byte {entry.offset} and {what} {before}, which ends at byte "
                f"{end}; the offsets are damaged: save the file again"
            )
        end, before = entry.offset + entry.length, f"tensor {shown(entry.name)}"
    if end != size:
        raise CheckpointError(
            f"{file}: {size - end} bytes behind {before} belong to no tensor; "
            "the file is damaged: fetch or save it again"
        )


def chunks(entry: Entry) -> Iterator[bytes]:
    """Yield the stored bytes of a tensor, at most `CHUNK` at once.

    Raises
    ------
    CheckpointError
        If the file has become shorter since it was opened, or cannot be read.
    """
    left = entry.length
    try:
        with entry.file.open("rb") as stream:
            stream.seek(entry.offset)
            while left:
                part = stream.read(min(left, CHUNK))
                if not part:
                    raise CheckpointError(
                        f"{entry.file}: tensor {shown(entry.name)}: the file ended {left} bytes "
                        "early: it changed while it was read; run again when it is complete"
                    )
                left -= len(part)
                yield part
    except OSError as error:
        raise CheckpointError(
            f"{entry.file}: tensor {shown(entry.name)}: cannot be read ({error.strerror})"
        ) from error


def read_tensor(entry: Entry) -> NDArray[np.float64]:
    """One tensor as real numbers.

    Returns
    -------
    float64, shape ``entry.shape``
        Exactly the stored numbers.

    Raises
    ------
    UnsupportedError
        If the dtype is one that is not decoded.
    CheckpointError
        If an element is NaN, infinite or not exactly representable in float64.
    """
    where = f"{entry.file}: tensor {shown(entry.name)}"
    if entry.dtype not in _DECODED:
        raise UnsupportedError(
            f"{where}: dtype {entry.dtype} is not read (known: {', '.join(_DECODED)}); "
            "convert the tensor to F32 or BF16"
        )
    raw = np.frombuffer(b"".join(chunks(entry)), _DECODED[entry.dtype])
    if entry.dtype == "BF16":  # the upper half of a float32
        raw = (raw.astype("<u4") << 16).view("<f4")
    values = raw.astype(np.float64).reshape(entry.shape)
    bad = ~np.isfinite(values)
    if bad.any():
        first = tuple(int(index) for index in np.argwhere(bad)[0])
        raise CheckpointError(
            f"{where}: {int(bad.sum())} of {values.size} elements are NaN or infinite, first at "
            f"{list(first)}; a chip needs finite weights: train or export the model again"
        )
    if entry.dtype == "I64" and raw.size and max(-int(raw.min()), int(raw.max())) > 1 << 53:
        raise CheckpointError(f"{where}: holds integers beyond 2**53; save the tensor as F64")
    return values
