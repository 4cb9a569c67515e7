"""The command line: help with examples, tidy errors, tidy endings."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from flow import cli
from flow.commands import doctor
from flow.tools import verilator, yosys
from rtl_gen.errors import ToolNotFoundError

ROOT = Path(__file__).parents[2]


def commands() -> list[str]:
    top = cli.parser()
    return sorted(top._subparsers._group_actions[0].choices)  # type: ignore[union-attr,arg-type]


def test_the_commands_are_there() -> None:
    assert {"doctor", "inspect", "check", "run", "report", "quantize", "rtl", "verify",
            "synthesize", "place", "pack", "measure", "judge", "prove",
            "evidence", "signoff"} <= set(commands())  # fmt: skip


@pytest.mark.parametrize("name", commands())
def test_help_has_an_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([name, "--help"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert "example" in said
    assert f"intaglio {name}" in said.split("example")[1]


def test_the_help_of_the_whole_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    assert "snakemake -c2" in capsys.readouterr().out


def test_an_error_of_the_input_has_no_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["rtl", "absent.yaml", "--graph", "x", "--folder", "y"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("intaglio: ")
    assert "Traceback" not in said


def test_a_full_disk_has_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fill(_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device", "some.log")

    monkeypatch.setattr(doctor, "run", fill)
    assert cli.main(["doctor"]) == 2
    assert "some.log: No space left on device; free some space" in capsys.readouterr().err


def test_an_interrupt_is_tidy(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(doctor, "run", interrupt)
    assert cli.main(["doctor"]) == 130
    assert capsys.readouterr().err == "intaglio: interrupted; nothing half-written was left\n"


def test_an_interrupted_process_ends_without_a_traceback(tmp_path: Path) -> None:
    # Behind a shell that started the tests in the background, interrupts would be ignored.
    code = (
        "import signal, sys, time; from flow import cli; from flow.commands import doctor;"
        "signal.signal(signal.SIGINT, signal.default_int_handler);"
        "doctor.run = lambda _: (print('here', flush=True), time.sleep(60));"
        "sys.exit(cli.main(['doctor']))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "here\n"
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "Traceback" not in said


def test_a_reader_that_leaves_is_no_error() -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "flow", "doctor"], cwd=ROOT, stdout=write, stderr=subprocess.PIPE,
        text=True, check=False,
    )  # fmt: skip
    os.close(write)
    assert done.returncode == 128 + signal.SIGPIPE
    assert done.stderr == ""


def test_doctor_finds_the_default_flow(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["ok"]
    names = {tool["name"] for tool in found["tools"]}
    assert {"Yosys", "nextpnr-ecp5", "ecppack", "Verilator", "g++ and make"} <= names
    assert all(tool["enables"] and tool["install"] for tool in found["tools"])


def test_doctor_says_how_to_get_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("YOSYS", "no-such-yosys")
    assert cli.main(["doctor"]) == 1
    said = capsys.readouterr().out
    assert "MISSING" in said
    assert "install: pip install pyosys" in said
    assert "The default flow cannot run; missing: Yosys" in said


def test_a_command_whose_package_is_absent_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delitem(sys.modules, "flow.commands.check", raising=False)
    monkeypatch.delitem(sys.modules, "flow.data", raising=False)
    monkeypatch.setitem(sys.modules, "names", None)
    assert cli.main(["check"]) == 2
    assert "needs the Python package 'names'" in capsys.readouterr().err


def test_a_missing_compiler_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(ToolNotFoundError, match=r"apt-get install g\+\+"):
        verilator.compiler()


def test_versions_are_versions() -> None:
    assert yosys.version()[0].isdigit()
    assert verilator.version()[0].isdigit()
