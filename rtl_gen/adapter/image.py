"""An adapter image as one safetensors file: integers, bound to the graph they were made for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from rtl_gen.checkpoint.safetensors import shown
from rtl_gen.errors import CheckpointError
from rtl_gen.ir.adapter import AdapterImage, Factors, check
from rtl_gen.ir.adapter import regions as regions_of
from rtl_gen.ir.integer import IntegerGraph
from rtl_gen.ir.serialize import digest

FORMAT = "intaglio-adapter-image-1"
SUFFIX = ".adapter.safetensors"


def to_bytes(image: AdapterImage, graph: IntegerGraph) -> bytes:
    """File contents of `image`; equal images give equal bytes.

    Tensors are called ``<region>.<array>``, in int8 for factors and uint16 for multipliers.

    Parameters
    ----------
    image : AdapterImage
    graph : IntegerGraph
        What it is bound to.
    """
    check(image, graph)
    header: dict[str, Any] = {
        "__metadata__": {
            "format": FORMAT,
            "name": image.name,
            "base": image.base,
            "origin": json.dumps(dict(image.origin), sort_keys=True),
        }
    }
    body = bytearray()
    for node, _ in regions_of(graph):
        arrays = image.factors[node.name].arrays()
        for key in sorted(arrays, key=lambda k: (_dtype(k) == "I8", k)):
            dtype = _dtype(key)
            data = arrays[key].astype("<u2" if dtype == "U16" else "|i1").tobytes()
            header[f"{node.name}.{key}"] = {
                "dtype": dtype,
                "shape": list(arrays[key].shape),
                "data_offsets": [len(body), len(body) + len(data)],
            }
            body += data
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + bytes(body)


def load(path: Path, graph: IntegerGraph) -> AdapterImage:
    """Read an image and check that it was made for `graph`.

    Parameters
    ----------
    path : Path
    graph : IntegerGraph

    Raises
    ------
    CheckpointError
        If the file is absent, is no adapter image, is damaged, or belongs to another base.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            names: list[str] = file.keys()
            kinds = {name: str(file.get_slice(name).get_dtype()) for name in names}
            for name, kind in kinds.items():
                if kind != (wanted := _dtype(name)):
                    raise CheckpointError(
                        f"{path}: tensor {shown(name)}: expected {wanted}, found {kind}; pack the "
                        "adapter again"
                    )
            tensors = {name: file.get_tensor(name).astype(np.int64) for name in names}
    except FileNotFoundError as error:
        raise CheckpointError(
            f"{path}: no such file; make it with `intaglio adapter pack`"
        ) from error
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path}: not an adapter image ({error}); pack it again") from error
    if metadata.get("format") != FORMAT:
        raise CheckpointError(
            f"{path}: expected format {FORMAT!r}, found {metadata.get('format')!r}; pack the "
            "adapter with `intaglio adapter pack`"
        )
    base = digest(graph)
    if metadata.get("base") != base:
        raise CheckpointError(
            f"{path}: this image is bound to the base {str(metadata.get('base'))[:16]}…, the chip "
            f"computes {base[:16]}…; integers of one base mean nothing to another: pack the "
            "adapter again for this one"
        )
    found: dict[str, dict[str, Any]] = {}
    for name, data in tensors.items():
        region, _, key = name.rpartition(".")
        found.setdefault(region, {})[key] = data
    try:
        factors = {region: Factors(**arrays) for region, arrays in found.items()}
        origin = {str(k): str(v) for k, v in json.loads(metadata.get("origin", "{}")).items()}
        image = AdapterImage(metadata.get("name", path.stem), base, factors, origin)
        check(image, graph)
    except (TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(f"{path}: damaged adapter image: {error}; pack it again") from error
    return image


def _dtype(name: str) -> str:
    """How the tensor called `name` is stored."""
    return "U16" if name.rpartition(".")[2].startswith("multiplier") else "I8"
