"""Files are complete or absent, and equal content stays untouched."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from flow import files
from rtl_gen.errors import FlowError


def test_equal_content_is_not_written_again(tmp_path: Path) -> None:
    path = tmp_path / "deep/file"
    assert files.write(path, "a")
    before = path.stat()
    assert not files.write(path, "a")
    assert path.stat().st_ino == before.st_ino
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert files.write(path, "b")
    assert path.read_text() == "b"


def test_a_failing_writer_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "file"
    files.write(path, "old")

    def write_half() -> None:
        with files.replacing(path) as temporary:
            temporary.write_text("ne")
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        write_half()
    assert path.read_text() == "old"
    assert [item.name for item in tmp_path.iterdir()] == ["file"]


def test_a_full_disk_is_told_with_file_and_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", refuse)
    with pytest.raises(FlowError, match=r"graph: no space left for 5 bytes: .* bytes free"):
        files.write(tmp_path / "graph", "12345")
    assert not list(tmp_path.iterdir())


def test_a_file_size_limit_of_the_system_is_told(tmp_path: Path) -> None:
    """The real thing: a process that the kernel lets write no more than 4 KiB."""
    code = (
        "import resource, signal, sys; from pathlib import Path; from flow import files;"
        "from rtl_gen.errors import FlowError;"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "try: files.write(Path(sys.argv[1]), b'x' * 100_000)\n"
        "except FlowError as error: print(error)\n"
    )
    path = tmp_path / "netlist.json"
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True,
        cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert f"{path}: no space left for 100000 bytes" in done.stdout
    assert not list(tmp_path.iterdir())
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 4096


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_forbidden_folder_is_told(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(FlowError, match="cannot write"):
        files.write(tmp_path / "file", "a")


def test_a_file_where_a_folder_should_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for path in ("file/new", "file/deep/new"):
        with pytest.raises(FlowError, match=r"new: cannot write \("):
            files.write(tmp_path / path, "a")
    assert (tmp_path / "file").read_text() == "mine"


def test_a_folder_holds_exactly_what_was_written(tmp_path: Path) -> None:
    files.write_folder(tmp_path / "rom", {"a.hex": "0", "b.hex": "1"})
    kept = (tmp_path / "rom/a.hex").stat().st_ino
    files.write_folder(tmp_path / "rom", {"a.hex": "0", "c.hex": "2"})
    assert sorted(item.name for item in (tmp_path / "rom").iterdir()) == ["a.hex", "c.hex"]
    assert (tmp_path / "rom/a.hex").stat().st_ino == kept


def test_a_damaged_json_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "half.json").write_text('{"a": ')
    with pytest.raises(FlowError, match=r"half\.json: not a JSON file"):
        files.read_json(tmp_path / "half.json")
    with pytest.raises(FlowError, match=r"build it with `snakemake .*absent\.json`"):
        files.read_json(tmp_path / "absent.json")
