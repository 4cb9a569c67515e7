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
        if _matches(self.excluded, module):
            return False
        if self.tied and module.rpartition(".")[2] in _ENDS:
            return any(self.targets == "all-linear" or name in self.targets for name in _ENDS)
        return self.targets == "all-linear" or _matches(self.targets, module)


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
        rank_stabilized=config.get("use_rslora") is True,
        tied=config.get("ensure_weight_tying") is True,
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
    good = isinstance(value, int | float) and not isinstance(value, bool)
    if not good or not abs(float(value)) < 1e30:  # type: ignore[arg-type]  # checked before
        raise CheckpointError(f"{where}: expected a number, found {shown(value)}; correct the file")
    return float(value)  # type: ignore[arg-type]  # checked above


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
