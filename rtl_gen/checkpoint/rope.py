"""Frequencies of rotary position embeddings from the settings of a Hugging Face config.

Notes
-----
Source: Hugging Face transformers' documentation of ``rope_parameters``; llama3: the Llama 3.1
release; yarn: Peng et al., "YaRN: Efficient Context Window Extension of Large Language Models",
arXiv:2309.00071, sections 3.1 to 3.4.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil, floor, log, pi

from rtl_gen.checkpoint import setting
from rtl_gen.checkpoint.reader import Checkpoint
from rtl_gen.checkpoint.safetensors import shown
from rtl_gen.errors import UnsupportedError

PLAIN: Mapping[str, object] = {"rope_theta": 10000.0}
"""Settings of a config that gives none, in most families."""

KINDS = ("default", "linear", "llama3", "yarn", "dynamic")


def frequencies(
    checkpoint: Checkpoint, head_dim: int, context: int, defaults: Mapping[str, object] = PLAIN
) -> tuple[tuple[float, ...], float]:
    """Angular frequencies (``head_dim // 2``, radians per position) and the factor on cos and sin.

    `defaults` are the family's, see `settings`.

    Raises
    ------
    UnsupportedError
        If the kind of scaling is unknown.
    CheckpointError
        If a setting is missing or out of range.
    """
    found = settings(checkpoint, defaults)
    base = setting.number(checkpoint, "rope_theta", within=found)
    plain = tuple(base ** (-2 * i / head_dim) for i in range(head_dim // 2))
    kind = found.get("rope_type", found.get("type", "default"))
    match kind:
        case "default":
            return plain, 1.0
        case "dynamic":
            # NTK scaling starts beyond max_position_embeddings, which a chip never reaches.
            original = setting.number(
                checkpoint, "original_max_position_embeddings", float(context), within=found
            )
            if original < context:
                raise UnsupportedError(
                    f"{checkpoint.config_file}: rope_type dynamic with "
                    f"original_max_position_embeddings {original:g} below "
                    f"max_position_embeddings {context}: frequencies would depend on the length; "
                    "lower max_position_embeddings"
                )
            return plain, 1.0
        case "linear":
            factor = setting.number(checkpoint, "factor", within=found)
            return tuple(f / factor for f in plain), 1.0
        case "llama3":
            return _llama3(checkpoint, found, plain), 1.0
        case "yarn":
            return _yarn(checkpoint, found, plain, base, context)
        case _:
            raise UnsupportedError(
                f"{checkpoint.config_file}: rope_type {shown(kind)} is not supported "
                f"(known: {', '.join(KINDS)})"
            )


def settings(checkpoint: Checkpoint, defaults: Mapping[str, object] = PLAIN) -> dict[str, object]:
    """``rope_parameters``, or the older ``rope_theta`` and ``rope_scaling``, in one mapping.

    `defaults` holds for a config with neither of the two objects; its ``rope_theta`` for every one
    that has none.
    """
    config = checkpoint.config
    given = any(config.get(key) for key in ("rope_scaling", "rope_parameters"))
    merged = {"rope_theta": defaults["rope_theta"]} if given else dict(defaults)
    if config.get("rope_theta") is not None:
        merged["rope_theta"] = config["rope_theta"]
    for key in ("rope_scaling", "rope_parameters"):
        value = config.get(key)
        if value is None:
            continue
        if not isinstance(value, Mapping):
            raise setting.wrong(checkpoint, key, "an object or null", value)
        if any(isinstance(item, Mapping) for item in value.values()):
            raise UnsupportedError(
                f"{checkpoint.config_file}: {key} differs between layers, which this architecture "
                "does not have; give one rope_type and rope_theta"
            )
        merged.update({name: item for name, item in value.items() if item is not None})
    partial = merged.get("partial_rotary_factor")
    if partial not in (None, 1):
        raise UnsupportedError(
            f"{checkpoint.config_file}: partial_rotary_factor {shown(partial)} is not supported: "
            "every element of a head is rotated"
        )
    return merged


def _llama3(
    checkpoint: Checkpoint, settings: Mapping[str, object], plain: tuple[float, ...]
) -> tuple[float, ...]:
    def get(key: str) -> float:
        return setting.number(checkpoint, key, within=settings)

    factor, low, high = get("factor"), get("low_freq_factor"), get("high_freq_factor")
    original = get("original_max_position_embeddings")
    if high <= low:
        raise setting.wrong(checkpoint, "high_freq_factor", f"more than {low:g}", high)

    def scaled(frequency: float) -> float:
        turns = original * frequency / (2 * pi)
        smooth = min(max((turns - low) / (high - low), 0.0), 1.0)
        return (1 - smooth) * frequency / factor + smooth * frequency

    return tuple(scaled(frequency) for frequency in plain)


def _yarn(
    checkpoint: Checkpoint,
    settings: Mapping[str, object],
    plain: tuple[float, ...],
    base: float,
    context: int,
) -> tuple[tuple[float, ...], float]:
    def get(key: str, default: float) -> float:
        return setting.number(checkpoint, key, default, within=settings)

    original = get("original_max_position_embeddings", float(context))
    factor = get("factor", context / original)
    head_dim = 2 * len(plain)

    def dimension(turns: float) -> float:
        """Index of the frequency that makes `turns` turns within the original context."""
        return head_dim * log(original / (turns * 2 * pi)) / (2 * log(base))

    low, high = dimension(get("beta_fast", 32.0)), dimension(get("beta_slow", 1.0))
    if settings.get("truncate", True):
        low, high = float(floor(low)), float(ceil(high))
    low, high = max(low, 0.0), min(high, head_dim - 1.0)
    if low == high:
        high += 0.001  # as transformers does, against a division by zero
    ramp = (min(max((i - low) / (high - low), 0.0), 1.0) for i in range(len(plain)))
    mixed = tuple(f / factor * r + f * (1 - r) for f, r in zip(plain, ramp, strict=True))

    def magnitude(weight: float) -> float:
        return 0.1 * weight * log(factor) + 1 if factor > 1 else 1.0

    default = magnitude(1.0)
    if settings.get("mscale") and settings.get("mscale_all_dim"):
        default = magnitude(get("mscale", 1.0)) / magnitude(get("mscale_all_dim", 1.0))
    return mixed, get("attention_factor", default)
