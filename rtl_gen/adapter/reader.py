"""A LoRA adapter as PEFT saves it, resolved to the nodes of a base network."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rtl_gen.adapter.peft import PeftConfig, parse
from rtl_gen.checkpoint.reader import read_json
from rtl_gen.checkpoint.safetensors import Entry, read_header, read_tensor, shown
from rtl_gen.errors import CheckpointError, UnsupportedError
from rtl_gen.ir import model as real

Array = NDArray[np.float64]

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"

_KEY = re.compile(
    r"(?:base_model\.model\.)?(?P<module>.+)\.lora_(?P<embedding>embedding_)?(?P<side>[AB])"
    r"(?:\.[\w-]+)?(?:\.weight)?"
)
_COPY = re.compile(r"(?:base_model\.model\.)?(?P<module>.+)\.base_layer\.weight")
"""A tensor of the base, which PEFT saves beside an adapter of an embedding or output layer."""


@dataclass(frozen=True, slots=True)
class LoraPair:
    """Low-rank update of one node: its output grows by ``b @ (a @ x)``.

    Parameters
    ----------
    a : float64, shape (rank, n_in)
        For a convolution (rank, in_ch, kh, kw); for an embedding (rank, rows).
    b : float64, shape (n_out, rank)
        The scale of PEFT (alpha over rank) included.
    """

    a: Array
    b: Array

    @property
    def rank(self) -> int:
        """Number of rows of `a`."""
        return len(self.a)

    def delta(self) -> Array:
        """The change of the node's weight: float64, shape (n_out, *a.shape[1:])."""
        return np.tensordot(self.b, self.a, 1)


@dataclass(frozen=True, slots=True)
class LoraAdapter:
    """A trained adapter.

    Parameters
    ----------
    name : str
        Name of its folder.
    digest : str
        SHA-256 of its content, hexadecimal.
    pairs : mapping of str to LoraPair
        By node of the base network.
    """

    name: str
    digest: str
    pairs: Mapping[str, LoraPair]


def load_adapter(
    path: Path, graph: real.ModelGraph, weights: Mapping[real.TensorRef, Array] | None = None
) -> LoraAdapter:
    """Read a PEFT adapter of the network `graph`.

    Parameters
    ----------
    path : Path
        Folder with ``adapter_config.json`` and ``adapter_model.safetensors``.
    graph : ModelGraph
        The base.
    weights : mapping of TensorRef to float64, optional
        Of the base. Tensors of the base that PEFT saved with the adapter must equal these; without
        them such an adapter is refused.

    Raises
    ------
    CheckpointError
        If a file is missing or damaged, or the adapter belongs to another base.
    UnsupportedError
        If it is a kind of adapter that a chip cannot compute.
    """
    path = Path(path)
    missing = [name for name in (CONFIG, WEIGHTS) if not (path / name).is_file()]
    if missing:
        raise CheckpointError(
            f"{path / missing[0]}: no such file; a PEFT adapter is a folder with {CONFIG} and "
            f"{WEIGHTS} (pickled adapter_model.bin is never opened: save it as safetensors)"
        )
    raw = read_json(path / CONFIG)
    config = parse(raw, str(path / CONFIG))
    modules, copies = _modules(path / WEIGHTS)
    for module, entry in copies.items():
        _check_copy(path / WEIGHTS, module, entry, graph, weights)
    _check_targets(config, modules)
    pairs: dict[str, LoraPair] = {}
    for module, sides in modules.items():
        pairs |= _pairs(path, config, module, sides, graph)
    state = hashlib.sha256(json.dumps(raw, sort_keys=True).encode())
    for module in sorted(modules):
        for side in "AB":
            data = read_tensor(modules[module][side])
            state.update(f"{module} {side} {data.shape}".encode() + data.tobytes())
    return LoraAdapter(path.name, state.hexdigest(), pairs)


def _modules(file: Path) -> tuple[dict[str, dict[str, Entry]], dict[str, Entry]]:
    """Tensors A and B of every adapted module, and copies of the base's tensors by module."""
    found: dict[str, dict[str, Entry]] = {}
    copies: dict[str, Entry] = {}
    for name, entry in read_header(file).items():
        if name.endswith(("lora_magnitude_vector", "lora_magnitude_vector.weight")):
            raise UnsupportedError(
                f"{file}: tensor {shown(name)}: DoRA rescales the columns of the etched weights, "
                "which cannot change; train a plain LoRA adapter"
            )
        copy = _COPY.fullmatch(name)
        if copy is not None:
            copies[copy["module"]] = entry
            continue
        match = _KEY.fullmatch(name)
        if match is None:
            raise UnsupportedError(
                f"{file}: tensor {shown(name)} is not a low-rank factor (…lora_A.weight or "
                "…lora_B.weight): whole tensors of the base are etched and cannot be replaced; "
                "train without modules_to_save"
            )
        sides = found.setdefault(match["module"], {})
        if match["side"] in sides:
            raise CheckpointError(
                f"{file}: two factors {match['side']} for {shown(match['module'])}; save one "
                "adapter at a time"
            )
        sides[match["side"]] = entry
    if not found:
        raise CheckpointError(f"{file}: holds no tensor; save the adapter again")
    for module, sides in found.items():
        if set(sides) != {"A", "B"}:
            raise CheckpointError(
                f"{file}: module {shown(module)} has lora_{next(iter(sides))} without its "
                "counterpart; save the adapter again"
            )
    return found, copies


def _check_copy(
    file: Path,
    module: str,
    entry: Entry,
    graph: real.ModelGraph,
    weights: Mapping[real.TensorRef, Array] | None,
) -> None:
    """Refuse a copy of a base's tensor that is not what is etched."""
    where = f"{file}: tensor {shown(f'{module}.base_layer.weight')}"
    nodes = nodes_of(graph, module)
    refs = [ref for node in nodes if (ref := weight_of(node.op)) is not None]
    if not refs:
        raise CheckpointError(f"{where}: the base has no such module; it is another base")
    if weights is None:
        raise UnsupportedError(
            f"{where} is a copy of the base's, and the base's weights are not at hand to compare; "
            "save the adapter with save_embedding_layers=False"
        )
    if not np.array_equal(read_tensor(entry), weights[refs[0]]):
        raise UnsupportedError(
            f"{where} is not the base's: it was trained or resized, but tensors of the base are "
            "etched; train without it, or etch a chip from the merged checkpoint"
        )


def _check_targets(config: PeftConfig, modules: Mapping[str, object]) -> None:
    strange = [module for module in modules if not config.selects(module)]
    if strange:
        raise CheckpointError(
            f"{config.where}: target_modules does not select {shown(strange[0])}, but the adapter "
            "has tensors for it; config and tensors belong to different adapters"
        )


def _pairs(
    path: Path,
    config: PeftConfig,
    module: str,
    sides: Mapping[str, Entry],
    graph: real.ModelGraph,
) -> dict[str, LoraPair]:
    """Updates of the nodes that compute `module`: one, or three where q, k and v are one tensor."""
    a, b = read_tensor(sides["A"]), read_tensor(sides["B"])
    where = f"{path / WEIGHTS}: module {shown(module)}"
    if not a.ndim == b.ndim and a.ndim in (2, 4):
        raise CheckpointError(f"{where}: factors of shapes {a.shape} and {b.shape}")
    if b.ndim == 4:
        if b.shape[2:] != (1, 1):
            raise CheckpointError(f"{where}: expected a 1x1 kernel in lora_B, found {b.shape}")
        b = b[:, :, 0, 0]
    rank = config.rank_of(module)
    if len(a) != rank or b.shape[1] != rank:
        raise CheckpointError(
            f"{where}: {config.where} says rank {rank}, but the factors have shapes "
            f"{list(a.shape)} and {list(b.shape)}"
        )
    nodes = nodes_of(graph, module)
    if not nodes:
        raise CheckpointError(
            f"{where} is no module of the base {graph.architecture} (e.g. "
            f"{', '.join(list(modules(graph))[:3])}); the adapter belongs to another base, or "
            "adapts something that is no matrix"
        )
    pairs = {}
    for node in nodes:
        rows = _rows(node.op)
        part = b if rows is None else b[slice(*rows)]
        expected = _shape(node, graph)
        if expected is not None and (len(part), *a.shape[1:]) != expected:
            raise CheckpointError(
                f"{where}: the update has shape {[len(b), *a.shape[1:]]}, the base's tensor "
                f"{list(expected)}; the adapter belongs to another base"
            )
        used = np.arange(rank)
        if rows is not None:  # a part of a tensor may use few of the rows of `a` that all share
            used = np.flatnonzero(abs(part).sum(axis=0)) if part.any() else used[:1]
        pairs[node.name] = LoraPair(a[used], part[:, used] * config.scale(module))
    return pairs


def modules(graph: real.ModelGraph) -> dict[str, list[real.Node]]:
    """Nodes with a weight by the name of the module that holds it, as PEFT spells it."""
    found: dict[str, list[real.Node]] = {}
    tied = {node.op.table.name for node in graph.nodes if isinstance(node.op, real.Embedding)}
    for node in graph.nodes:
        ref = weight_of(node.op)
        if ref is None:
            continue
        # The output layer of a tied model multiplies the embedding's tensor, as a module apart.
        head = isinstance(node.op, real.Linear) and ref.name in tied
        name = "lm_head" if head else ref.name.removesuffix(".weight")
        found.setdefault(name, []).append(node)
    return found


def nodes_of(graph: real.ModelGraph, module: str) -> list[real.Node]:
    """Nodes that compute `module`; a model saved without its outer prefix matches too."""
    known = modules(graph)
    for name in (module, module.partition(".")[2]):
        if name in known:
            return known[name]
    longer = [name for name in known if name.endswith(f".{module}")]
    return known[longer[0]] if len(longer) == 1 else []


def weight_of(op: real.ModelOp) -> real.TensorRef | None:
    """Tensor that an adapter of the operator would change, None if there is none."""
    match op:
        case real.Linear(weight=weight) | real.Conv2d(weight=weight):
            return weight
        case real.Embedding(table=table):
            return table
        case _:
            return None


def _rows(op: real.ModelOp) -> tuple[int, int] | None:
    ref = weight_of(op)
    return None if ref is None else ref.rows


def _shape(node: real.Node, graph: real.ModelGraph) -> tuple[int, ...] | None:
    """(n_out, n_in, …) of the node's weight, without reading it; None where only the data tell."""
    shapes = {item.name: item.shape for item in graph.inputs}
    shapes |= {item.name: item.shape for item in graph.nodes}
    match node.op:
        case real.Linear():
            return node.shape[-1], int(np.prod(shapes[node.inputs[0]]))
        case _:
            return None
