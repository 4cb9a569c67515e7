"""The safetensors reader: decodes exactly, refuses everything that is not well formed."""

from __future__ import annotations

import json
import os
import struct

import numpy as np
import pytest
import safetensors.numpy

from rtl_gen.checkpoint.safetensors import HEADER_LIMIT, chunks, read_header, read_tensor
from rtl_gen.errors import CheckpointError, UnsupportedError
from tests.checkpoints import header, write_raw, write_tensors

PAIR = {"first": np.array([[1, 2, 3]], "f4"), "second": np.array([4, 5], "f4")}
DATA = b"".join(array.tobytes() for array in PAIR.values())


def read_all(file):
    return {name: read_tensor(entry) for name, entry in read_header(file).items()}


@pytest.mark.parametrize(
    "dtype", ["float64", "float32", "float16", "int8", "uint8", "int16", "int32", "int64"]
)
def test_every_dtype_is_exact(tmp_path, dtype):
    rng = np.random.default_rng(7)
    array = (rng.normal(0, 40, (3, 5))).astype(dtype)
    write_tensors(tmp_path / "x.safetensors", {"x": array})
    values = read_all(tmp_path / "x.safetensors")["x"]
    assert values.dtype == np.float64
    assert (values == array.astype(np.float64)).all()


def test_bf16_is_the_upper_half_of_float32(tmp_path):
    numbers = np.array([1.0, -2.5, 3.140625, 1e38, 2.0**-130], "<f4")
    halves = (numbers.view("<u4") >> 16).astype("<u2").tobytes()
    spec = {"x": {"dtype": "BF16", "shape": [5], "data_offsets": [0, 10]}}
    write_raw(tmp_path / "x.safetensors", spec, halves)
    expected = (numbers.view("<u4") & 0xFFFF0000).view("<f4").astype(np.float64)
    assert (read_all(tmp_path / "x.safetensors")["x"] == expected).all()


def test_agrees_with_the_reference_implementation(tmp_path):
    file = tmp_path / "x.safetensors"
    safetensors.numpy.save_file(
        {
            "b": np.arange(6, dtype="f4").reshape(2, 3),
            "a": np.float64([[0.1]]),
            "empty": np.zeros(0),
        },
        file,
        metadata={"format": "np"},
    )
    ours, theirs = read_all(file), safetensors.numpy.load_file(file)
    assert ours.keys() == theirs.keys()
    assert all((ours[name] == theirs[name]).all() for name in ours)


def test_chunks_give_the_stored_bytes(tmp_path):
    array = np.random.default_rng(0).integers(0, 255, (1 << 20) + 77, np.uint8)
    write_tensors(tmp_path / "x.safetensors", {"pad": np.zeros(3, "i1"), "x": array})
    parts = list(chunks(read_header(tmp_path / "x.safetensors")["x"]))
    assert [len(part) for part in parts] == [1 << 20, 77]
    assert b"".join(parts) == array.tobytes()


def refused(tmp_path, text, data=DATA, length=None) -> str:
    """Message with which a file is refused."""
    file = tmp_path / "bad.safetensors"
    write_raw(file, text, data, length)
    with pytest.raises(CheckpointError) as caught:
        read_header(file)
    assert str(file) in str(caught.value)
    return str(caught.value)


def test_well_formed_pair_is_read(tmp_path):
    write_raw(tmp_path / "good.safetensors", header(PAIR), DATA)
    assert (read_all(tmp_path / "good.safetensors")["second"] == [4, 5]).all()


@pytest.mark.parametrize("content", [b"", b"\x07", struct.pack("<Q", 5)])
def test_file_shorter_than_its_header(tmp_path, content):
    file = tmp_path / "bad.safetensors"
    file.write_bytes(content)
    with pytest.raises(CheckpointError, match="truncated or not a safetensors file"):
        read_header(file)


@pytest.mark.parametrize("length", [10_000, HEADER_LIMIT + 1, 2**63, 2**64 - 1])
def test_hostile_header_length(tmp_path, length):
    assert f"said to be {length} bytes" in refused(tmp_path, header(PAIR), length=length)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "cannot be parsed"),
        (b"[]", "found list"),
        (b'{"a": ', "cannot be parsed"),
        (b'{"a": NaN}', "NaN is not JSON"),
        (b"\xff\xfe", "cannot be parsed"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a": ' + b"9" * 5000 + b"}", "cannot be parsed"),
        (b'{"__metadata__": {"a": 1}}', "__metadata__ must map text to text"),
        (b'{"__metadata__": []}', "__metadata__ must map text to text"),
    ],
)
def test_header_that_is_no_object(tmp_path, text, message):
    assert message in refused(tmp_path, text, b"")


def test_duplicate_tensor_name(tmp_path):
    one = json.dumps(header({"first": PAIR["first"]}))[1:-1]
    message = refused(tmp_path, f"{{{one}, {one}}}".encode(), DATA[:12])
    assert "the name 'first' appears twice" in message


def test_duplicate_key_of_a_tensor(tmp_path):
    text = b'{"first": {"dtype": "F32", "dtype": "I32", "shape": [3], "data_offsets": [0, 12]}}'
    assert "the name 'dtype' appears twice" in refused(tmp_path, text, DATA[:12])


def changed(name: str, **keys) -> dict:
    """Header of the pair with some keys of tensor `name` replaced (None removes)."""
    entries = header(PAIR)
    entries[name] = {k: v for k, v in (entries[name] | keys).items() if v is not None}
    return entries


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"dtype": "F33"}, "unknown dtype 'F33'"),
        ({"dtype": 4}, "unknown dtype 4"),
        ({"dtype": ["F32"]}, "unknown dtype"),
        ({"dtype": "F16"}, "F16 of shape [2] is 4 bytes"),
        ({"dtype": None}, "expected dtype, shape and data_offsets"),
        ({"extra": 1}, "expected dtype, shape and data_offsets"),
        ({"shape": [3]}, "F32 of shape [3] is 12 bytes"),
        ({"shape": [-1, -2]}, "non-negative integers"),
        ({"shape": [2.0]}, "non-negative integers"),
        ({"shape": [True, 2]}, "non-negative integers"),
        ({"shape": 2}, "non-negative integers"),
        ({"shape": [1] * 33}, "at most 32"),
        ({"shape": [2**62, 2**62, 2**62]}, "data_offsets [12, 20] span 8"),
        ({"data_offsets": [20, 12]}, "0 <= begin <= end"),
        ({"data_offsets": [-8, 0]}, "0 <= begin <= end"),
        ({"data_offsets": [12]}, "0 <= begin <= end"),
        ({"data_offsets": [12, 21]}, "span 9"),
        ({"data_offsets": [4, 12]}, "overlaps tensor 'first'"),
        ({"data_offsets": [0, 8]}, "overlaps"),
        ({"data_offsets": [16, 24]}, "ends at byte"),
        ({"data_offsets": [2**70, 2**70 + 8]}, "ends at byte"),
    ],
)
def test_bad_entry_names_file_and_tensor(tmp_path, keys, message):
    found = refused(tmp_path, changed("second", **keys))
    assert message in found
    # two tensors that overlap accuse one another
    assert "tensor 'second'" in found


def test_hole_between_tensors(tmp_path):
    text = changed("second", data_offsets=[16, 24])
    message = refused(tmp_path, text, DATA + b"1234")
    assert "tensor 'second'" in message
    assert "leaves a hole after tensor 'first'" in message


def test_bytes_behind_the_last_tensor(tmp_path):
    assert "3 bytes behind tensor 'second'" in refused(tmp_path, header(PAIR), DATA + b"123")


def test_truncated_data(tmp_path):
    message = refused(tmp_path, header(PAIR), DATA[:-1])
    assert "tensor 'second'" in message
    assert "the file is truncated" in message


def test_missing_file(tmp_path):
    with pytest.raises(CheckpointError, match=r"absent\.safetensors: cannot be read"):
        read_header(tmp_path / "absent.safetensors")


def test_file_that_shrinks_after_opening(tmp_path):
    file = tmp_path / "x.safetensors"
    write_tensors(file, PAIR)
    entries = read_header(file)
    file.write_bytes(file.read_bytes()[:-4])
    with pytest.raises(CheckpointError, match="tensor 'second': the file ended 4 bytes early"):
        read_tensor(entries["second"])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_weights_that_are_not_finite(tmp_path, value, dtype):
    array = np.zeros((2, 3), dtype)
    array[1, 2] = value
    file = tmp_path / "x.safetensors"
    write_tensors(file, {"fine": np.zeros(2), "layer.weight": array})
    entries = read_header(file)
    with pytest.raises(CheckpointError) as caught:
        read_tensor(entries["layer.weight"])
    message = str(caught.value)
    assert message.startswith(f"{file}: tensor 'layer.weight': 1 of 6 elements are NaN or inf")
    assert "[1, 2]" in message
    assert (read_tensor(entries["fine"]) == 0).all()


def test_integers_beyond_float64(tmp_path):
    file = tmp_path / "x.safetensors"
    write_tensors(file, {"x": np.array([2**53 + 1, -(2**63)])})
    with pytest.raises(CheckpointError, match=r"'x': holds integers beyond 2\*\*53"):
        read_tensor(read_header(file)["x"])


def test_known_dtype_that_is_not_decoded(tmp_path):
    file = tmp_path / "x.safetensors"
    write_tensors(file, {"x": np.array([True, False])})
    with pytest.raises(UnsupportedError, match="tensor 'x': dtype BOOL is not read"):
        read_tensor(read_header(file)["x"])


def test_many_tensors_are_read_in_linear_time(tmp_path):
    file = tmp_path / "x.safetensors"
    write_tensors(file, {f"t{i}": np.zeros(1, "i1") for i in range(50_000)})
    assert len(read_header(file)) == 50_000


def test_long_hostile_name_does_not_flood_the_message(tmp_path):
    spec = {"n" * 100_000: {"dtype": "F32", "shape": [1], "data_offsets": [0, 5]}}
    assert len(refused(tmp_path, spec, b"12345")) < 500


def test_any_damage_is_an_error_of_the_checkpoint_or_none(tmp_path):
    seed = int(os.environ.get("TEST_SEED", "11"))
    print(f"TEST_SEED={seed}")
    rng = np.random.default_rng(seed)
    file = tmp_path / "x.safetensors"
    write_tensors(file, PAIR)
    sound = np.frombuffer(file.read_bytes(), np.uint8)
    refusals = 0
    for _ in range(1500):
        damaged = sound.copy()
        where = rng.integers(len(damaged), size=rng.integers(1, 4))
        damaged[where] = rng.integers(0, 256, len(where))
        file.write_bytes(
            damaged[: rng.integers(len(damaged)) if rng.random() < 0.2 else None].tobytes()
        )
        try:
            read_all(file)
        except (CheckpointError, UnsupportedError):
            refusals += 1
    assert refusals > 700
