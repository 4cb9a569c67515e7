"""Names of the tensors of a plain network, found by type and order of its layers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence

_STEMS = (
    {"linear": "fc", "conv2d": "conv"},
    {"linear": "linear", "conv2d": "conv2d"},
)
_PREFIXES = ("", "layers.", "net.", "model.", "features.")


def match(
    kinds: Mapping[int, str], given: Mapping[int, str], stored: Container[str]
) -> tuple[dict[int, str] | None, list[str]]:
    """First naming convention for which every weight is stored.

    Parameters
    ----------
    kinds : mapping of int to str
        Type (``linear`` or ``conv2d``) of every layer with weights, by its index in the network.
    given : mapping of int to str
        Names that the configuration gives; they go before every convention.
    stored : container of str
        Names of the stored tensors.

    Returns
    -------
    names : dict of int to str, or None
        Name of each layer's tensors without ``.weight``.
    tried : list of str
        The conventions that did not fit, for a message.
    """
    tried: list[str] = []
    for convention in conventions(kinds):
        names = {**convention, **given}
        if all(f"{name}.weight" in stored for name in names.values()):
            return names, tried
        text = ", ".join(list(names.values())[:4])
        if text not in tried:
            tried.append(text)
    return None, tried


def conventions(kinds: Mapping[int, str]) -> Iterator[dict[int, str]]:
    """Layer index to name, one dictionary per convention.

    By type from 1 (without number if the type occurs once), by type from 1, by type from 0, then
    the layer's own index behind a prefix, as in PyTorch's Sequential.
    """
    ranks = _ranks(list(kinds.values()))
    once = {kind for kind, count in Counter(kinds.values()).items() if count == 1}
    for stems in _STEMS:
        for first, bare in ((1, True), (1, False), (0, False)):
            yield {
                index: stems[kind] + ("" if bare and kind in once else str(rank + first))
                for (index, kind), rank in zip(kinds.items(), ranks, strict=True)
            }
    for prefix in _PREFIXES:
        yield {index: f"{prefix}{index}" for index in kinds}


def _ranks(kinds: Sequence[str]) -> list[int]:
    """How many of the same kind come before each."""
    seen: Counter[str] = Counter()
    ranks = []
    for kind in kinds:
        ranks.append(seen[kind])
        seen[kind] += 1
    return ranks
