"""An IntegerGraph as one safetensors file, the same bytes for the same graph.

Constants are tensors in the narrowest integer dtype that holds their type; everything else is JSON
in the file's metadata. Written here rather than by the `safetensors` package because its writer
gives no order for metadata; the format is fixed: 8 bytes little-endian header length, a JSON
header padded with spaces to a multiple of 8 bytes, tensor data.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from rtl_gen.ir import integer as ir
from rtl_gen.ir.types import Dyadic, IntType

FORMAT = "intaglio-integer-graph-1"

_OPERATORS: dict[str, type[Any]] = {
    op.__name__: op
    for op in (
        ir.Embedding,
        ir.ConstMatVec,
        ir.LowRank,
        ir.Conv2d,
        ir.Norm,
        ir.Rotary,
        ir.Attention,
        ir.Lookup,
        ir.Add,
        ir.Mul,
        ir.MaxPool2d,
        ir.Reshape,
        ir.Sample,
        ir.Route,
        ir.Gate,
        ir.ExpertMatVec,
        ir.Weigh,
    )
}


def to_bytes(graph: ir.IntegerGraph) -> bytes:
    """File contents of `graph`; equal graphs give equal bytes.

    Parameters
    ----------
    graph : IntegerGraph

    Returns
    -------
    bytes
    """
    header: dict[str, Any] = {
        "__metadata__": {"format": FORMAT, "graph": _compact(_describe(graph))}
    }
    body = bytearray()
    for name in sorted(graph.constants):
        constant = graph.constants[name]
        dtype = _storage(constant.type)
        data = constant.data.astype(dtype.newbyteorder("<")).tobytes()
        header[name] = {
            "dtype": f"{'I' if dtype.kind == 'i' else 'U'}{8 * dtype.itemsize}",
            "shape": list(constant.data.shape),
            "data_offsets": [len(body), len(body) + len(data)],
        }
        body += data
    text = _compact(header).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + bytes(body)


def digest(graph: ir.IntegerGraph) -> str:
    """SHA-256 of `to_bytes`, hexadecimal: what an adapter image is bound to."""
    return hashlib.sha256(to_bytes(graph)).hexdigest()


def save(graph: ir.IntegerGraph, path: Path) -> None:
    """Write `graph` to `path`; a reader sees the old file or the whole new one.

    Parameters
    ----------
    graph : IntegerGraph
    path : Path
        Its folder exists.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with partial.open("wb") as file:
            file.write(to_bytes(graph))
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def load(path: Path) -> ir.IntegerGraph:
    """Read what `save` wrote: ``load(save(g)) == g``.

    Parameters
    ----------
    path : Path

    Returns
    -------
    IntegerGraph
        Not verified; see `rtl_gen.ir.verify`.

    Raises
    ------
    ValueError
        If the file is not an integer graph of this format.
    FileNotFoundError
        If there is no such file.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            names: list[str] = file.keys()
            tensors = {name: file.get_tensor(name).astype(np.int64) for name in names}
    except SafetensorError as error:
        raise ValueError(f"{path}: not an integer graph: {error}") from error
    if metadata.get("format") != FORMAT:
        raise ValueError(
            f"{path}: expected format {FORMAT!r}, found {metadata.get('format')!r}; "
            "quantize the checkpoint again"
        )
    try:
        return _restore(json.loads(metadata["graph"]), tensors)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: damaged description of the graph: {error!r}") from error


def _compact(data: Mapping[str, Any]) -> str:
    return json.dumps(data, separators=(",", ":"), sort_keys=True, allow_nan=False)


def _storage(type_: IntType) -> np.dtype[Any]:
    """Narrowest NumPy dtype that holds `type_`."""
    bits = max(8, 1 << (type_.width - 1).bit_length())
    return np.dtype(f"{'int' if type_.signed else 'uint'}{bits}")


def _describe(graph: ir.IntegerGraph) -> dict[str, Any]:
    return {
        "architecture": graph.architecture,
        "inputs": [
            {"name": item.name, "kind": item.kind, "value": _describe_value(item.value)}
            for item in graph.inputs
        ],
        "nodes": [
            {
                "name": node.name,
                "op": type(node.op).__name__,
                "arguments": {
                    field.name: _describe_argument(getattr(node.op, field.name))
                    for field in fields(node.op)
                    if not (field.metadata and getattr(node.op, field.name) == field.default)
                },
                "inputs": list(node.inputs),
                "value": _describe_value(node.value),
            }
            for node in graph.nodes
        ],
        "outputs": dict(graph.outputs),
        "types": {name: str(constant.type) for name, constant in graph.constants.items()},
        "context": graph.context,
        "vocabulary": graph.vocabulary,
        "bos": list(graph.bos),
        "eos": list(graph.eos),
        **({"replay": graph.replay} if graph.replay else {}),
        "origin": dict(graph.origin),
    }


def _describe_value(value: ir.Value) -> dict[str, Any]:
    # a float's repr is its shortest exact text, so the scale returns as the same float
    found = {"type": str(value.type), "shape": list(value.shape), "scale": value.scale}
    return found | ({"channel": list(value.channel)} if value.channel else {})


def _describe_argument(argument: Any) -> Any:
    if isinstance(argument, Dyadic):
        return {"multiplier": argument.multiplier, "shift": argument.shift}
    if isinstance(argument, IntType):
        return {"type": str(argument)}
    return list(argument) if isinstance(argument, tuple) else argument


def _restore(
    data: Mapping[str, Any], tensors: Mapping[str, np.ndarray[Any, np.dtype[np.int64]]]
) -> ir.IntegerGraph:
    if set(data["types"]) != set(tensors):
        raise ValueError(f"tensors {sorted(tensors)} but types of {sorted(data['types'])}")
    return ir.IntegerGraph(
        architecture=data["architecture"],
        inputs=tuple(
            ir.Input(item["name"], item["kind"], _restore_value(item["value"]))
            for item in data["inputs"]
        ),
        nodes=tuple(
            ir.Node(
                item["name"],
                _OPERATORS[item["op"]](
                    **{key: _restore_argument(x) for key, x in item["arguments"].items()}
                ),
                tuple(item["inputs"]),
                _restore_value(item["value"]),
            )
            for item in data["nodes"]
        ),
        outputs=data["outputs"],
        constants={
            name: ir.Constant(IntType.parse(text), tensors[name])
            for name, text in data["types"].items()
        },
        context=data["context"],
        vocabulary=data["vocabulary"],
        bos=tuple(data["bos"]),
        eos=tuple(data["eos"]),
        replay=data.get("replay", 0),
        origin=data["origin"],
    )


def _restore_value(data: Mapping[str, Any]) -> ir.Value:
    return ir.Value(
        IntType.parse(data["type"]),
        tuple(data["shape"]),
        data["scale"],
        tuple(data.get("channel", ())),
    )


def _restore_argument(argument: Any) -> Any:
    if isinstance(argument, dict):
        return IntType.parse(argument["type"]) if "type" in argument else Dyadic(**argument)
    return tuple(argument) if isinstance(argument, list) else argument
