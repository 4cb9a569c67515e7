"""A checkpoint on disk: ``config.json`` and safetensors files, opened without trusting them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rtl_gen.checkpoint import mxfp4
from rtl_gen.checkpoint.safetensors import (
    Entry,
    chunks,
    parse_json,
    read_header,
    read_tensor,
    shown,
)
from rtl_gen.errors import CheckpointError
from rtl_gen.ir.model import TensorRef

INDEX = "model.safetensors.index.json"
_JSON_LIMIT = 100_000_000
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".h5", ".msgpack", ".gguf")

_IRRELEVANT = frozenset({
    "_from_model_config", "_name_or_path", "dtype", "initializer_range", "output_attentions",
    "output_hidden_states", "return_dict", "torch_dtype", "transformers_version", "use_cache",
})  # fmt: skip
"""Keys of config.json that never change what the network computes; the digest leaves them out."""


@dataclass(frozen=True)
class Checkpoint:
    """An opened checkpoint; tensors are read from disk when they are asked for.

    Parameters
    ----------
    path : Path
        Folder or file as it was given.
    config_file : Path
    config : mapping
        Contents of config.json.
    generation : mapping
        Contents of generation_config.json, empty if there is none.
    entries : mapping of str to Entry
        Tensors in name order.
    """

    path: Path
    config_file: Path
    config: Mapping[str, object]
    generation: Mapping[str, object]
    entries: Mapping[str, Entry]

    def names(self) -> list[str]:
        """Names of all tensors, sorted."""
        return list(self.entries)

    def tensor(self, name: str) -> NDArray[np.float64]:
        """Tensor `name` as float64, exactly the stored numbers, all finite.

        Raises
        ------
        CheckpointError
            If there is no such tensor, or it holds NaN or infinity.
        UnsupportedError
            If its dtype is not decoded.
        """
        if name not in self.entries:
            raise CheckpointError(f"{self.path}: there is no tensor {shown(name)}")
        return read_tensor(self.entries[name])

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the content, hexadecimal.

        Covers the relevant keys of the config files and name, dtype, shape and bytes of every
        tensor. File names, shard boundaries, header order, metadata and times do not matter.
        """
        state = hashlib.sha256()
        for config in (self.config, self.generation):
            kept = {key: config[key] for key in config if key not in _IRRELEVANT}
            state.update(json.dumps(kept, sort_keys=True).encode() + b"\n")
        for entry in self.entries.values():
            state.update(json.dumps([entry.name, entry.dtype, entry.shape]).encode() + b"\n")
            for part in chunks(entry):
                state.update(part)
        return state.hexdigest()


def open_checkpoint(path: Path) -> Checkpoint:
    """Open a checkpoint and check everything but the numbers.

    Parameters
    ----------
    path : Path
        Folder with ``config.json`` and ``*.safetensors`` (one file, or shards with
        ``model.safetensors.index.json``), or one ``.safetensors`` file with a ``config.json``
        beside it.

    Raises
    ------
    CheckpointError
        If something is missing, damaged or ambiguous. Pickled weights are never opened.
    """
    path = Path(path)
    if not path.exists():
        raise CheckpointError(
            f"{path}: no such file or folder; give a folder with config.json and "
            "model.safetensors, or a .safetensors file"
        )
    folder = path if path.is_dir() else path.parent
    config_file = folder / "config.json"
    entries = _folder_entries(folder) if path.is_dir() else _file_entries(path)
    if not config_file.is_file():
        adapter = " (adapter_config.json is there: this is a LoRA adapter, not a model)"
        raise CheckpointError(
            f"{config_file}: missing{adapter if (folder / 'adapter_config.json').exists() else ''}"
            "; it says which architecture the weights belong to: put it beside them"
        )
    generation_file = folder / "generation_config.json"
    return Checkpoint(
        path=path,
        config_file=config_file,
        config=read_json(config_file),
        generation=read_json(generation_file) if generation_file.is_file() else {},
        entries={name: entries[name] for name in sorted(entries)},
    )


def load(checkpoint: Checkpoint, ref: TensorRef) -> NDArray[np.float64]:
    """Read the view of a tensor that `ref` describes.

    Returns
    -------
    float64
        The tensor, or the element ``ref.index`` of it, transposed if asked, then cut to
        ``ref.rows`` and every ``ref.step``-th of them.

    Raises
    ------
    CheckpointError
        If the tensor is missing, not finite, or too small for the view.
    """
    if ref.encoding == "mxfp4":
        values = mxfp4.read(checkpoint.entries, ref.name, ref.index)
    else:
        values = checkpoint.tensor(ref.name)
        if ref.index is not None:
            if values.ndim < 2 or not 0 <= ref.index < len(values):
                raise CheckpointError(
                    f"{checkpoint.path}: element {ref.index} of tensor {shown(ref.name)} is asked "
                    f"for, its shape is {list(values.shape)}"
                )
            values = values[ref.index]
    if ref.transpose:
        if values.ndim != 2:
            raise CheckpointError(
                f"{checkpoint.path}: tensor {shown(ref.name)} must have two axes to be transposed, "
                f"its shape is {list(values.shape)}"
            )
        values = values.T
    if ref.rows is not None:
        start, stop = ref.rows
        if values.ndim == 0 or not 0 <= start <= stop <= values.shape[0]:
            raise CheckpointError(
                f"{checkpoint.path}: rows {start} to {stop} of tensor {shown(ref.name)} are asked "
                f"for, its shape is {list(values.shape)}"
            )
        values = values[start:stop]
    if ref.step != 1:
        values = values[:: ref.step]
    return np.ascontiguousarray(values)


def read_json(file: Path) -> dict[str, object]:
    """JSON object in a config file.

    Raises
    ------
    CheckpointError
        If the file cannot be read, is too large or is no JSON object.
    """
    try:
        if file.stat().st_size > _JSON_LIMIT:
            raise CheckpointError(f"{file}: larger than {_JSON_LIMIT} bytes, so not a config file")
        return parse_json(file.read_bytes(), str(file))
    except OSError as error:
        raise CheckpointError(f"{file}: cannot be read ({error.strerror})") from error


def _file_entries(file: Path) -> dict[str, Entry]:
    if file.suffix != ".safetensors":
        kind = "pickled or foreign weights are never opened" if file.suffix in _PICKLES else ""
        raise CheckpointError(
            f"{file}: expected a .safetensors file{f'; {kind}' if kind else ''}; convert it, e.g. "
            "with save_pretrained(..., safe_serialization=True)"
        )
    return read_header(file)


def _folder_entries(folder: Path) -> dict[str, Entry]:
    """Tensors of a folder; ``model.safetensors`` comes first, as in transformers."""
    if (folder / "model.safetensors").is_file():
        return read_header(folder / "model.safetensors")
    if (folder / INDEX).is_file():
        return _sharded_entries(folder)
    files = sorted(folder.glob("*.safetensors"))
    if len(files) == 1:
        return read_header(files[0])
    if files:
        raise CheckpointError(
            f"{folder}: {len(files)} safetensors files ({', '.join(f.name for f in files[:4])}) and"
            f" no {INDEX} that says how they belong together; add it or name one file"
        )
    pickles = sorted(f.name for f in folder.iterdir() if f.suffix in _PICKLES)
    found = f"; {', '.join(pickles[:4])} is never opened: convert it" if pickles else ""
    raise CheckpointError(f"{folder}: expected model.safetensors or {INDEX}{found}")


def _sharded_entries(folder: Path) -> dict[str, Entry]:
    index = folder / INDEX
    weight_map = read_json(index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise CheckpointError(f"{index}: expected weight_map, tensor name to file name")
    for name, shard in weight_map.items():
        if not isinstance(shard, str) or Path(shard).name != shard:
            raise CheckpointError(
                f"{index}: tensor {shown(name)}: expected the name of a file in the same folder, "
                f"found {shown(shard)}"
            )
    entries: dict[str, Entry] = {}
    for shard in sorted(set(weight_map.values())):
        for name, entry in read_header(folder / shard).items():
            if weight_map.get(name) != shard:
                raise CheckpointError(
                    f"{folder / shard}: tensor {shown(name)} is in this file, but {INDEX} says "
                    f"{shown(weight_map.get(name))}; save the checkpoint again"
                )
            entries[name] = entry
    missing = sorted(weight_map.keys() - entries.keys())
    if missing:
        raise CheckpointError(
            f"{folder / weight_map[missing[0]]}: tensor {shown(missing[0])} is missing, {INDEX} "
            f"says it is there ({len(missing)} such tensors); fetch the checkpoint again"
        )
    return entries
