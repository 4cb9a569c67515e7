"""What ``adapter_config.json`` of PEFT says, and what of it a chip's adapter can do.

A chip computes ``y + scale * b @ (a @ x)`` beside an etched matrix. Every setting under which PEFT
computes something else is refused by name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt

from rtl_gen.checkpoint.safetensors import shown
from rtl_gen.errors import CheckpointError, UnsupportedError

_REASONS = {
    "use_dora": "DoRA rescales the columns of the etched weights, which cannot change",
    "use_qalora": "QA-LoRA pools the input before the adapter",
    "alora_invocation_tokens": "aLoRA switches itself on in the middle of a sequence",
    "arrow_config": "Arrow routes every token among several adapters",
    "use_bdlora": "BD-LoRA has block-diagonal factors",
    "kasa_config": "KaSA changes the base weights",
    "corda_config": "CorDA changes the base weights",
    "lora_ga_config": "LoRA-GA changes the base weights",
    "velora_config": "VeLoRA is not a plain product of two factors",
    "monteclora_config": "MonteCLoRA samples its factors",
    "modules_to_save": "it replaces whole tensors of the base, which are etched",
    "trainable_token_indices": "it replaces rows of the etched embedding",
    "target_parameters": "it adapts bare parameters (fused experts, routers), which have no region",
    "layer_replication": "it repeats layers of the base, a chip has each layer once",
    "lora_bias": "biases of a low-rank update have no place in the adapter memory",
    "megatron_config": "it shards the factors over devices",
    "runtime_config": "it changes how the adapter is computed",
}
"""Settings that must be absent, null, false or empty, and why."""

_PLAIN_INITS = {True, False, "gaussian", "eva", "orthogonal"}
"""Initializations that leave the base weights as they are."""


_VARIANTS = re.compile(r"use_\w+")
_KNOWN_VARIANTS = {"use_rslora", *_REASONS}
"""PEFT names kinds of LoRA ``use_…``; of a kind that nobody knew yet the sum is unknown, too."""

_ENDS = ("embed_tokens", "wte", "lm_head")
"""Modules that share their tensor in a tied model."""


@dataclass(frozen=True, slots=True)
class PeftConfig:
    """Scale, rank and targets of a LoRA adapter, as ``adapter_config.json`` defines them.

    Parameters
    ----------
    where : str
        File, for messages.
    rank : int
    alpha : float
    rank_pattern : mapping of str to int
        Rank of the modules whose name ends like the pattern (a regular expression).
    alpha_pattern : mapping of str to float
    targets : str or tuple of str
        Regular expression on the whole module name, or names that the module's name is or ends
        with; ``"all-linear"`` is every linear module but the output layer.
    excluded : str or tuple of str
    rank_stabilized : bool
        rsLoRA: divide alpha by the square root of the rank.
    tied : bool
        An adapter of the embedding has its counterpart at the output layer, and the other way.
    layers : tuple of int, optional
        Only modules of these layers are adapted.
    layers_named : tuple of str
        What a layer's number stands behind in a module's name, as regular expressions.
    """

    where: str
    rank: int
    alpha: float
    rank_pattern: Mapping[str, int]
    alpha_pattern: Mapping[str, float]
    targets: str | tuple[str, ...]
    excluded: str | tuple[str, ...]
    rank_stabilized: bool
    tied: bool = False
    layers: tuple[int, ...] | None = None
    layers_named: tuple[str, ...] = ()

    def rank_of(self, module: str) -> int:
        """Rank of the adapter of `module`."""
        return self.rank_pattern.get(_pattern(self.rank_pattern, module), self.rank)

    def scale(self, module: str) -> float:
        """Factor of ``b @ a`` in `module`: alpha / rank, or alpha / sqrt(rank) for rsLoRA."""
        rank = self.rank_of(module)
        alpha = self.alpha_pattern.get(_pattern(self.alpha_pattern, module), self.alpha)
        return alpha / (sqrt(rank) if self.rank_stabilized else rank)

    def selects(self, module: str) -> bool:
        """Whether PEFT would adapt `module` (``"all-linear"`` selects every module)."""
        if _matches(self.excluded, module) or not self._has_layer(module):
            return False
        if self.tied and module.rpartition(".")[2] in _ENDS:
            return any(self.targets == "all-linear" or name in self.targets for name in _ENDS)
        return self.targets == "all-linear" or _matches(self.targets, module)

    def _has_layer(self, module: str) -> bool:
        if self.layers is None:
            return True
        tried = (re.match(rf".*\.{key}\.(\d+)\.", module) for key in self.layers_named)
        found = next((match for match in tried if match), None)
        return found is not None and int(found[1]) in self.layers


def parse(config: Mapping[str, object], where: str) -> PeftConfig:
    """Check a parsed ``adapter_config.json``.

    Parameters
    ----------
    config : mapping
    where : str
        File, for messages.

    Raises
    ------
    UnsupportedError
        If it is not LoRA, or a kind of LoRA that the hardware does not compute.
    CheckpointError
        If a value has the wrong type.
    """
    kind = config.get("peft_type")
    if kind != "LORA":
        raise UnsupportedError(
            f"{where}: peft_type: expected LORA, found {shown(kind)}; only low-rank updates have "
            "an adapter memory: train a LoRA adapter"
        )
    for key, reason in _REASONS.items():
        if config.get(key):
            raise UnsupportedError(
                f"{where}: {key} = {shown(config[key])} is not supported: {reason}; train a plain "
                "LoRA adapter"
            )
    strange = [key for key in config if _VARIANTS.fullmatch(key) and key not in _KNOWN_VARIANTS]
    for key in strange:
        if config[key]:
            raise UnsupportedError(
                f"{where}: {key} = {shown(config[key])} is not known: a chip computes plain LoRA "
                "and rsLoRA; train one of these"
            )
    if config.get("bias", "none") != "none":
        raise UnsupportedError(
            f"{where}: bias = {shown(config['bias'])} changes biases of the base, which are "
            "etched; train with bias='none'"
        )
    init = config.get("init_lora_weights", True)
    if not isinstance(init, bool | str) or init not in _PLAIN_INITS:
        raise UnsupportedError(
            f"{where}: init_lora_weights = {shown(init)} changes the base weights when the adapter "
            "is attached; save it converted to plain LoRA (path_initial_model_for_weight_"
            "conversion of PEFT)"
        )
    return PeftConfig(
        where=where,
        rank=_rank(config.get("r", 8), f"{where}: r"),
        alpha=_number(config.get("lora_alpha", 8), f"{where}: lora_alpha"),
        rank_pattern={k: _rank(v, w) for k, v, w in _items(config, "rank_pattern", where)},
        alpha_pattern={k: _number(v, w) for k, v, w in _items(config, "alpha_pattern", where)},
        targets=_names(config.get("target_modules"), f"{where}: target_modules"),
        excluded=_names(config.get("exclude_modules"), f"{where}: exclude_modules"),
        rank_stabilized=_truth(config.get("use_rslora"), f"{where}: use_rslora"),
        tied=_truth(config.get("ensure_weight_tying"), f"{where}: ensure_weight_tying"),
        layers=_layers(config.get("layers_to_transform"), f"{where}: layers_to_transform"),
        layers_named=_layer_names(config.get("layers_pattern"), f"{where}: layers_pattern"),
    )


def _pattern(patterns: Mapping[str, object], module: str) -> str:
    """First pattern that `module` is or ends with, behind a dot; else the module's own name."""
    found = (key for key in patterns if re.match(rf"(.*\.)?({key})$", module))
    return next(found, module)


def _matches(names: str | tuple[str, ...], module: str) -> bool:
    if isinstance(names, str):
        return bool(names) and re.fullmatch(names, module) is not None
    return any(module == name or module.endswith(f".{name}") for name in names)


def _items(config: Mapping[str, object], key: str, where: str) -> list[tuple[str, object, str]]:
    value = config.get(key) or {}
    if not isinstance(value, Mapping):
        raise CheckpointError(f"{where}: {key}: expected a mapping, found {shown(value)}")
    items = []
    for name, item in value.items():
        place = f"{where}: {key}[{shown(name)}]"
        _compiled(str(name), place)
        items.append((str(name), item, place))
    return items


def _compiled(pattern: str, where: str) -> None:
    try:
        re.compile(pattern)
    except re.error as error:
        raise CheckpointError(
            f"{where}: not a regular expression ({error}); save the adapter again"
        ) from error


def _rank(value: object, where: str) -> int:
    if type(value) is not int or not 1 <= value <= 1 << 16:
        raise CheckpointError(
            f"{where}: expected a rank from 1 to 65536, found {shown(value)}; correct the file"
        )
    return value


def _number(value: object, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e30:
        raise CheckpointError(f"{where}: expected a number, found {shown(value)}; correct the file")
    return float(value)


def _truth(value: object, where: str) -> bool:
    if value is not None and not isinstance(value, bool):
        raise CheckpointError(
            f"{where}: expected true or false, found {shown(value)}; correct the file"
        )
    return value is True


def _layers(value: object, where: str) -> tuple[int, ...] | None:
    """Numbers of layers; null and an empty list are all of them."""
    numbers = value if isinstance(value, list) else [] if value is None else [value]
    if not all(type(item) is int and item >= 0 for item in numbers):
        raise CheckpointError(
            f"{where}: expected a layer's number or a list of them, found {shown(value)}"
        )
    return tuple(numbers) or None


def _layer_names(value: object, where: str) -> tuple[str, ...]:
    names = [value] if isinstance(value, str) else value or [r"[^.]*"]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise CheckpointError(f"{where}: expected names of layers, found {shown(value)}")
    for name in names:
        _compiled(name, where)
    return tuple(names)


def _names(value: object, where: str) -> str | tuple[str, ...]:
    if value is None:
        return ()
    if isinstance(value, str):
        if value != "all-linear":
            _compiled(value, where)
        return value
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return tuple(value)
    raise CheckpointError(
        f"{where}: expected a list of module names or a regular expression, found {shown(value)}"
    )
