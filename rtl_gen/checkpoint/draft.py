"""A ModelGraph being built by an importer, which accounts for every tensor of the checkpoint."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from difflib import get_close_matches

from rtl_gen.checkpoint.reader import Checkpoint
from rtl_gen.checkpoint.safetensors import FLOATING, shown
from rtl_gen.errors import CheckpointError, UnsupportedError
from rtl_gen.ir.model import Input, ModelGraph, ModelOp, Node, TensorRef


class Draft:
    """Nodes so far and the tensors they use.

    Parameters
    ----------
    checkpoint : Checkpoint
    inputs : Input
        Inputs of the graph.
    """

    def __init__(self, checkpoint: Checkpoint, *inputs: Input) -> None:
        self._checkpoint = checkpoint
        self._inputs = inputs
        self._nodes: list[Node] = []
        self._shapes = {item.name: item.shape for item in inputs}
        self._used: set[str] = set()

    def tensor(
        self,
        name: str,
        shape: tuple[int, ...],
        *,
        transpose: bool = False,
        rows: tuple[int, int] | None = None,
    ) -> TensorRef:
        """Use tensor `name`, which config.json says is stored with `shape`.

        Raises
        ------
        CheckpointError
            If it is missing, of another shape, or not of a floating-point dtype.
        """
        entry = self._checkpoint.entries.get(name)
        if entry is None:
            near = get_close_matches(name, self._checkpoint.entries, n=1, cutoff=0.8)
            hint = f" (there is {shown(near[0])})" if near else ""
            raise CheckpointError(
                f"{self._checkpoint.path}: tensor {shown(name)} of shape {list(shape)} is missing"
                f"{hint}; config.json asks for it: save the checkpoint again or correct the config"
            )
        if entry.shape != shape:
            raise CheckpointError(
                f"{entry.file}: tensor {shown(name)} has shape {list(entry.shape)}, but "
                f"config.json asks for {list(shape)}; weights and config belong to different models"
            )
        if entry.dtype not in FLOATING:
            raise CheckpointError(
                f"{entry.file}: tensor {shown(name)} has dtype {entry.dtype}, expected one of "
                f"{', '.join(FLOATING)}; weights that are already quantized have no scale here: "
                "give the floating-point checkpoint"
            )
        self._used.add(name)
        return TensorRef(name, transpose, rows)

    def raw(self, name: str, shape: tuple[int, ...]) -> None:
        """Use the bytes of tensor `name`, part of an encoded one.

        Raises
        ------
        CheckpointError
            If it is missing, of another shape, or not of dtype U8.
        """
        entry = self._checkpoint.entries.get(name)
        if entry is None or entry.shape != shape or entry.dtype != "U8":
            found = "no such tensor" if entry is None else f"{entry.dtype} of {list(entry.shape)}"
            raise CheckpointError(
                f"{self._checkpoint.path}: tensor {shown(name)}: config.json asks for U8 of "
                f"{list(shape)}, found {found}; weights and config belong to different models"
            )
        self._used.add(name)

    def rows(self, ref: TensorRef) -> int:
        """Rows of a view of a matrix."""
        if ref.rows is not None:
            return -(-(ref.rows[1] - ref.rows[0]) // ref.step)
        shape = self._checkpoint.entries[ref.name].shape[0 if ref.index is None else 1 :]
        return shape[1 if ref.transpose else 0]

    def has(self, name: str) -> bool:
        """Whether the checkpoint has tensor `name`."""
        return name in self._checkpoint.entries

    def ignore(self, pattern: str) -> None:
        """Accept tensors whose whole name matches `pattern` without using them (buffers)."""
        self._used.update(name for name in self._checkpoint.entries if re.fullmatch(pattern, name))

    def node(self, name: str, op: ModelOp, inputs: tuple[str, ...], shape: tuple[int, ...]) -> str:
        """Append a node and give back its name.

        Raises
        ------
        ValueError
            If the name is taken or an input is not defined: the importer is wrong.
        """
        if name in self._shapes:
            raise ValueError(f"value {name} is defined twice")
        if missing := [value for value in inputs if value not in self._shapes]:
            raise ValueError(f"{name} reads {missing}, which is not defined before it")
        self._nodes.append(Node(name, op, inputs, shape))
        self._shapes[name] = shape
        return name

    def defines(self, name: str) -> bool:
        """Whether there is a value (or input) `name` so far."""
        return name in self._shapes

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of a value."""
        return self._shapes[name]

    def finish(
        self,
        architecture: str,
        outputs: Mapping[str, str],
        *,
        context: int,
        vocabulary: int = 0,
        bos: tuple[int, ...] = (),
        eos: tuple[int, ...] = (),
        encoder: tuple[Draft, ModelGraph] | None = None,
    ) -> ModelGraph:
        """Complete the graph; `encoder` is another draft of the checkpoint and what it gave.

        Raises
        ------
        CheckpointError
            If the checkpoint has tensors that no node uses.
        UnsupportedError
            If config.json announces already quantized weights.
        """
        checkpoint = self._checkpoint
        used = self._used | (encoder[0]._used if encoder else set())
        extra = [name for name in checkpoint.entries if name not in used]
        if extra:
            raise CheckpointError(
                f"{checkpoint.entries[extra[0]].file}: {len(extra)} tensors have no place in "
                f"{architecture} as config.json describes it: "
                f"{', '.join(map(shown, extra[:4]))}{', ...' if len(extra) > 4 else ''}; "
                "remove them or correct config.json"
            )
        quantized = checkpoint.config.get("quantization_config")
        method = quantized.get("quant_method") if isinstance(quantized, Mapping) else quantized
        if quantized is not None and method != "mxfp4":  # MXFP4 tensors are read as they are
            raise UnsupportedError(
                f"{checkpoint.config_file}: quantization_config: already quantized weights are not "
                "read; give the floating-point checkpoint"
            )
        graph = self.part(architecture, outputs, context=context, vocabulary=vocabulary)
        return replace(graph, bos=bos, eos=eos, encoder=encoder[1] if encoder else None)

    def part(
        self,
        architecture: str,
        outputs: Mapping[str, str],
        *,
        context: int,
        vocabulary: int = 0,
    ) -> ModelGraph:
        """Graph so far, of a checkpoint whose other tensors another draft uses."""
        return ModelGraph(
            architecture=architecture,
            inputs=self._inputs,
            nodes=tuple(self._nodes),
            outputs=dict(outputs),
            context=context,
            vocabulary=vocabulary,
        )
