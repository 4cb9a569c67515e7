"""Tokenizers, and text that streams token by token."""

from __future__ import annotations

from pathlib import Path

import pytest
import tokenizers
from tokenizers import decoders, models, pre_tokenizers

from flow import text
from rtl_gen.errors import ConfigError

SHARED = Path(__file__).parents[2].parent / "shared"
NAMES = {"characters": "abcdefghijklmnopqrstuvwxyz", "first": 1}


def streamed(tokenizer, tokens, prompt=()):
    stream = text.Stream(tokenizer, list(prompt))
    return [stream.push(token) for token in tokens] + [stream.finish()]


def test_characters_number_from_first(tmp_path):
    tokenizer = text.load(NAMES, tmp_path, 32)
    assert tokenizer.encode("baz") == [2, 1, 26]
    assert tokenizer.decode([2, 1, 26, 0]) == "baz"
    assert text.prompt(tokenizer, "ab", (0,)) == [0, 1, 2]


def test_characters_refuse_what_they_lack(tmp_path):
    tokenizer = text.load(NAMES, tmp_path, 32)
    with pytest.raises(ConfigError, match="'É' of 'Émile' is not one of"):
        tokenizer.encode("Émile")


def test_characters_must_fit_the_vocabulary(tmp_path):
    with pytest.raises(ConfigError, match="26 characters from token 1 on"):
        text.load(NAMES, tmp_path, 26)


def test_bytes_hold_back_an_incomplete_character(tmp_path):
    tokenizer = text.load("bytes", tmp_path, 256)
    tokens = tokenizer.encode("aé€😀")
    assert streamed(tokenizer, tokens) == ["a", "", "é", "", "", "€", "", "", "", "😀", ""]


def test_bytes_that_never_become_a_character_are_shown(tmp_path):
    tokenizer = text.load("bytes", tmp_path, 256)
    pieces = streamed(tokenizer, [255, 255, 255, 255, 97])
    assert "".join(pieces) == "\ufffd\ufffd\ufffd\ufffda"
    assert "".join(streamed(tokenizer, [97, 0xE2])) == "a\ufffd"


def test_bytes_need_256_tokens(tmp_path):
    with pytest.raises(ConfigError, match="needs 256 tokens, the model has 32"):
        text.load("bytes", tmp_path, 32)


def test_auto_without_file_is_bytes_or_ids(tmp_path):
    assert text.load("auto", tmp_path, 256).kind == "bytes"
    assert text.load("auto", tmp_path, 255).kind == "ids"


def test_ids_are_numbers(tmp_path):
    tokenizer = text.load("ids", tmp_path, 10)
    assert tokenizer.encode("3 1 9") == [3, 1, 9]
    assert streamed(tokenizer, [4, 2], prompt=[1]) == ["4 ", "2 ", ""]
    for wrong in ("10", "-1", "x"):
        with pytest.raises(ConfigError, match="expects numbers from 0 to 9"):
            tokenizer.encode(wrong)


def test_unknown_kind(tmp_path):
    with pytest.raises(ConfigError, match="found 'sentencepiece'"):
        text.load("sentencepiece", tmp_path, 10)


def byte_level(folder: Path) -> Path:
    """A GPT-2 style tokenizer whose tokens are single bytes."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {character: index for index, character in enumerate(alphabet)}
    built = tokenizers.Tokenizer(models.BPE(vocabulary, []))
    built.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    built.decoder = decoders.ByteLevel()
    built.save(str(folder / "tokenizer.json"))
    return folder


def test_byte_level_tokenizer_streams_whole_characters(tmp_path):
    tokenizer = text.load("auto", byte_level(tmp_path), 256)
    assert tokenizer.kind == "tokenizer.json"
    sentence = "Ünï 😀 c'd"
    pieces = streamed(tokenizer, tokenizer.encode(sentence))
    assert "".join(pieces) == sentence
    assert not any("\ufffd" in piece for piece in pieces)


def test_tokenizer_of_another_model_is_refused(tmp_path):
    tokenizer = text.load("auto", byte_level(tmp_path), 20)
    with pytest.raises(ConfigError, match="belong to different models"):
        tokenizer.encode("zz")


def test_damaged_tokenizer_is_refused(tmp_path):
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(ConfigError, match=r"tokenizer\.json: not a tokenizer"):
        text.load("auto", tmp_path, 256)


@pytest.mark.parametrize("start", [0, 1, 5])
def test_metaspace_tokenizer_streams_what_it_decodes_at_once(start):
    folder = SHARED / "models" / "stories260K"
    if not folder.is_dir():
        pytest.skip("needs ../shared/models/stories260K")
    tokenizer = text.load("auto", folder, 512)
    sentence = "Once upon a time, a café sold 😀 toys.\n\nThe end"
    tokens = tokenizer.encode(sentence)
    head = tokenizer.decode(tokens[:start])
    assert head + "".join(streamed(tokenizer, tokens[start:], tokens[:start])) == sentence
