"""Text and tokens: the tokenizer of a model, and text that appears token by token."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import tokenizers

from rtl_gen.errors import ConfigError

_INCOMPLETE = "\ufffd"
_LONGEST_CHARACTER = 4  # bytes of a UTF-8 character, so at most as many byte tokens


@dataclass(frozen=True, slots=True)
class Tokenizer:
    """Two functions between text and token ids; neither adds special tokens.

    Parameters
    ----------
    kind : str
        ``tokenizer.json``, ``bytes``, ``ids`` or ``characters``.
    encode : function
        Text to token ids. Raises `ConfigError` for text it cannot represent.
    decode : function
        Token ids to text.
    """

    kind: str
    encode: Callable[[str], list[int]]
    decode: Callable[[Sequence[int]], str]


def load(kind: str | Mapping[str, object], checkpoint: Path, vocabulary: int) -> Tokenizer:
    """Tokenizer of a model.

    Parameters
    ----------
    kind : str or mapping
        ``"auto"`` (``tokenizer.json`` beside the weights; without one bytes if the vocabulary
        holds all 256, else ids), ``"bytes"``, ``"ids"``, or ``{"characters": alphabet, "first":
        token of its first character}``.
    checkpoint : Path
        Folder or file of the checkpoint.
    vocabulary : int

    Raises
    ------
    ConfigError
        If the kind is unknown, does not fit the vocabulary, or tokenizer.json is damaged.
    """
    folder = checkpoint if checkpoint.is_dir() else checkpoint.parent
    if isinstance(kind, Mapping):
        return _characters(kind, vocabulary)
    match kind:
        case "auto" if (folder / "tokenizer.json").is_file():
            return _hugging_face(folder / "tokenizer.json", vocabulary)
        case "auto":
            return _bytes(vocabulary) if vocabulary >= 256 else _ids(vocabulary)
        case "bytes":
            return _bytes(vocabulary)
        case "ids":
            return _ids(vocabulary)
    raise ConfigError(
        f"tokenizer: expected auto, bytes, ids or characters: <alphabet>, found {kind!r}"
    )


def prompt(tokenizer: Tokenizer, text: str, bos: tuple[int, ...]) -> list[int]:
    """Tokens that start a sequence with `text`: ``bos``, if the model has one, then the text."""
    return [*bos, *tokenizer.encode(text)]


@dataclass(slots=True)
class Stream:
    """Text of a growing sequence, given out as soon as it is certain.

    What a token prints can depend on its neighbours (bytes of one character, spaces at the start of
    a word), so each piece is the difference of two decodings of the last few tokens.

    Parameters
    ----------
    tokenizer : Tokenizer
    tokens : list of int
        Tokens before the stream begins (the prompt); they are not printed.
    """

    tokenizer: Tokenizer
    tokens: list[int] = field(default_factory=list)
    _start: int = field(init=False, default=0)
    _printed: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self.tokens = list(self.tokens)
        self._start = max(0, len(self.tokens) - 8)
        self._printed = len(self.tokens)

    def push(self, token: int) -> str:
        """Text that becomes certain with `token`; often empty within a character."""
        self.tokens.append(token)
        text = self._pending()
        waiting = len(self.tokens) - self._printed < _LONGEST_CHARACTER
        if text.endswith(_INCOMPLETE) and waiting:
            return ""
        self._start, self._printed = self._printed, len(self.tokens)
        return text

    def finish(self) -> str:
        """Text that was held back, when no more tokens come."""
        text = self._pending() if self._printed < len(self.tokens) else ""
        self._printed = len(self.tokens)
        return text

    def _pending(self) -> str:
        known = self.tokenizer.decode(self.tokens[self._start : self._printed])
        return self.tokenizer.decode(self.tokens[self._start :])[len(known) :]


def _hugging_face(file: Path, vocabulary: int) -> Tokenizer:
    try:
        loaded = tokenizers.Tokenizer.from_file(str(file))
    except Exception as error:  # the package raises bare Exception
        raise ConfigError(
            f"{file}: not a tokenizer that the tokenizers package reads ({error}); fetch it again "
            "or set tokenizer: ids"
        ) from error

    def encode(text: str) -> list[int]:
        try:
            ids = list(loaded.encode(text, add_special_tokens=False).ids)
        except Exception as error:
            raise ConfigError(f"{file}: cannot encode {text[:40]!r} ({error})") from error
        if ids and max(ids) >= vocabulary:
            raise ConfigError(
                f"{file}: encodes {text[:40]!r} with token {max(ids)}, but the model has "
                f"{vocabulary} tokens; tokenizer and weights belong to different models"
            )
        return ids

    def decode(ids: Sequence[int]) -> str:
        return str(loaded.decode(list(ids), skip_special_tokens=True))

    return Tokenizer("tokenizer.json", encode, decode)


def _bytes(vocabulary: int) -> Tokenizer:
    if vocabulary < 256:
        raise ConfigError(
            f"tokenizer: bytes needs 256 tokens, the model has {vocabulary}; use ids or characters"
        )

    def decode(ids: Sequence[int]) -> str:
        parts = (bytes([i]) if i < 256 else f"<{i}>".encode() for i in ids)
        return b"".join(parts).decode(errors="replace")

    return Tokenizer("bytes", lambda text: list(text.encode()), decode)


def _ids(vocabulary: int) -> Tokenizer:
    def encode(text: str) -> list[int]:
        words = text.split()
        wrong = [word for word in words if not (word.isdecimal() and int(word) < vocabulary)]
        if wrong:
            raise ConfigError(
                f"tokenizer: ids expects numbers from 0 to {vocabulary - 1} separated by spaces, "
                f"found {wrong[0]!r}"
            )
        return [int(word) for word in words]

    return Tokenizer("ids", encode, lambda ids: "".join(f"{i} " for i in ids))


def _characters(kind: Mapping[str, object], vocabulary: int) -> Tokenizer:
    alphabet, first = kind.get("characters"), kind.get("first", 0)
    if not isinstance(alphabet, str) or not alphabet or not isinstance(first, int):
        raise ConfigError(f"tokenizer: expected characters: <alphabet>, found {dict(kind)!r}")
    if len(set(alphabet)) != len(alphabet) or first < 0 or first + len(alphabet) > vocabulary:
        raise ConfigError(
            f"tokenizer: {len(alphabet)} characters from token {first} on must be different and "
            f"fit the {vocabulary} tokens of the model"
        )
    index = {character: first + i for i, character in enumerate(alphabet)}

    def encode(text: str) -> list[int]:
        unknown = [character for character in text if character not in index]
        if unknown:
            raise ConfigError(
                f"tokenizer: {unknown[0]!r} of {text[:40]!r} is not one of the model's characters "
                f"{alphabet!r}"
            )
        return [index[character] for character in text]

    def decode(ids: Sequence[int]) -> str:
        return "".join(alphabet[i - first] for i in ids if 0 <= i - first < len(alphabet))

    return Tokenizer("characters", encode, decode)
