"""Typed reading of config.json: a wrong value is an error that names file and key."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite

from rtl_gen.checkpoint.reader import Checkpoint
from rtl_gen.checkpoint.safetensors import shown
from rtl_gen.errors import CheckpointError, UnsupportedError
from rtl_gen.ir.model import ActivationKind

ACTIVATIONS: Mapping[str, ActivationKind] = {
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_accurate": "gelu_tanh",
    "quick_gelu": "quick_gelu",
    "sigmoid": "sigmoid",
    "tanh": "tanh",
}
"""Activation names of Hugging Face configs. The four tanh forms are one formula."""


def wrong(checkpoint: Checkpoint, key: str, expected: str, found: object) -> CheckpointError:
    """Build the error of a key whose value cannot be used."""
    return CheckpointError(
        f"{checkpoint.config_file}: {key}: expected {expected}, found {shown(found)}; "
        "correct config.json"
    )


def integer(checkpoint: Checkpoint, key: str, default: int | None = None, minimum: int = 1) -> int:
    """Integer of at least `minimum`; null or absent gives `default`.

    Raises
    ------
    CheckpointError
        If it is something else, or absent without a default.
    """
    value = checkpoint.config.get(key)
    if value is None and default is not None:
        return default
    if type(value) is not int or not minimum <= value < 1 << 31:
        raise wrong(checkpoint, key, f"an integer of at least {minimum}", value)
    return value


def number(
    checkpoint: Checkpoint,
    key: str,
    default: float | None = None,
    within: Mapping[str, object] | None = None,
) -> float:
    """Positive finite number, from the nested mapping `within` if given.

    Raises
    ------
    CheckpointError
        If it is something else, or absent without a default.
    """
    value = (checkpoint.config if within is None else within).get(key)
    if value is None and default is not None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise wrong(checkpoint, key, "a positive number", value)
    if not isfinite(value) or value <= 0:
        raise wrong(checkpoint, key, "a positive number", value)
    return float(value)


def boolean(checkpoint: Checkpoint, key: str, default: bool) -> bool:
    """Boolean; null or absent gives `default`.

    Raises
    ------
    CheckpointError
        If it is something else.
    """
    value = checkpoint.config.get(key)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise wrong(checkpoint, key, "true or false", value)
    return value


def activation(checkpoint: Checkpoint, key: str, default: str) -> ActivationKind:
    """Nonlinearity named under `key`.

    Raises
    ------
    UnsupportedError
        If there is no operator for it.
    """
    name = checkpoint.config.get(key, default)
    if not isinstance(name, str) or name not in ACTIVATIONS:
        raise UnsupportedError(
            f"{checkpoint.config_file}: {key}: there is no operator for {shown(name)} "
            f"(known: {', '.join(ACTIVATIONS)})"
        )
    return ACTIVATIONS[name]


def refuse(checkpoint: Checkpoint, key: str, neutral: tuple[object, ...]) -> None:
    """Refuse a key whose value is not one of the `neutral` ones (absent is neutral).

    Raises
    ------
    UnsupportedError
        If the key asks for something the importer cannot represent.
    """
    value = checkpoint.config.get(key)
    if value is not None and value not in neutral:
        raise UnsupportedError(
            f"{checkpoint.config_file}: {key} = {shown(value)} is not supported by this importer "
            f"(only {', '.join(map(repr, neutral)) or 'its absence'}); "
            "export the model without it"
        )


def tokens(checkpoint: Checkpoint, key: str, vocabulary: int) -> tuple[int, ...]:
    """Token ids under `key`: an integer, a list or null; generation_config.json comes first.

    Raises
    ------
    CheckpointError
        If an id is not in the vocabulary.
    """
    value = checkpoint.generation.get(key)
    if value is None:
        value = checkpoint.config.get(key)
    if value is None:
        return ()
    ids = value if isinstance(value, list) else [value]
    for item in ids:
        if type(item) is not int or not 0 <= item < vocabulary:
            raise wrong(checkpoint, key, f"token ids from 0 to {vocabulary - 1} or null", value)
    return tuple(dict.fromkeys(ids))


def begin(checkpoint: Checkpoint, vocabulary: int) -> tuple[int, ...]:
    """Token that starts a sequence, as a tuple of at most one.

    Raises
    ------
    CheckpointError
        If there are several, or it is not in the vocabulary.
    """
    ids = tokens(checkpoint, "bos_token_id", vocabulary)
    if len(ids) > 1:
        raise wrong(checkpoint, "bos_token_id", "one token id or null", list(ids))
    return ids
