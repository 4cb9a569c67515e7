"""`flow.tools.base`: jobs run once, leave all or nothing, and fail with the log's tail."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from flow.tools import base, nextpnr_ecp5, yosys
from flow.tools.base import Job
from rtl_gen.errors import ToolError, ToolNotFoundError

ROOT = Path(__file__).parents[2]


def python(code: str, **fields: object) -> Job:
    return Job("snake", ["python", "-c", code], "1.0", outputs=("out",), **fields)  # type: ignore[arg-type]


def test_a_job_runs_once(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_text("a")
    job = python(
        "from pathlib import Path; Path('out').write_text(Path('in').read_text())",
        inputs={"in": source},
    )
    folder, log = tmp_path / "job", tmp_path / "log"
    assert base.run(job, folder, log)
    assert (folder / "out").read_text() == "a"
    assert not base.run(job, folder, log)
    source.write_text("b")
    assert base.run(job, folder, log)
    assert (folder / "out").read_text() == "b"


def test_a_changed_output_or_version_is_made_again(tmp_path: Path) -> None:
    job = python("open('out', 'w').write('a')")
    base.run(job, tmp_path / "job", tmp_path / "log")
    (tmp_path / "job/out").write_text("half")
    assert base.run(job, tmp_path / "job", tmp_path / "log")
    assert (tmp_path / "job/out").read_text() == "a"
    assert base.run(replace(job, version="1.1"), tmp_path / "job", tmp_path / "log")


def test_a_failure_quotes_the_end_of_the_log(tmp_path: Path) -> None:
    job = python("import sys\nfor i in range(100): print('line', i)\nsys.exit(3)")
    with pytest.raises(ToolError) as caught:
        base.run(job, tmp_path / "job", tmp_path / "log")
    message = str(caught.value)
    assert "snake 1.0 exited with status 3" in message
    assert message.endswith("line 98\nline 99")
    assert "line 79" not in message
    assert (tmp_path / "log").read_text().count("line") == 100
    assert (tmp_path / "job/run.sh").is_file()
    assert not (tmp_path / "job/job.json").exists()


def test_a_missing_output_is_a_failure(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="snake ended well but did not write out"):
        base.run(python("pass"), tmp_path / "job", tmp_path / "log")


def test_a_missing_program_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("YOSYS", "no-such-yosys")
    with pytest.raises(ToolNotFoundError, match=r"'no-such-yosys': install it with `pip install"):
        yosys.version()
    monkeypatch.setenv("NEXTPNR_ECP5", "no-such-nextpnr")
    with pytest.raises(ToolNotFoundError, match="set NEXTPNR_ECP5 to its path"):
        nextpnr_ecp5.version()


def test_a_missing_wheel_names_the_remedy() -> None:
    with pytest.raises(ToolNotFoundError, match="pip install nothing-here"):
        base.wheel("no_such_module", "nothing-here")


def test_progress_is_shown_while_the_tool_works(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = python("print('noise'); print('10 %'); open('out', 'w')")
    base.run(
        job, tmp_path / "job", tmp_path / "log",
        progress=lambda line: line if line.endswith("%") else None,
    )  # fmt: skip
    assert capsys.readouterr().err == "  snake: 10 %\n"


def test_a_killed_run_is_not_believed(tmp_path: Path) -> None:
    """kill -9 while the tool has written half of its output; the next run makes it whole."""
    code = (
        "import sys; from pathlib import Path; from flow.tools import base;"
        "from flow.tools.base import Job;"
        "tool = \"import time; f = open('out', 'w'); f.write('half'); f.flush();"
        " print('ready', flush=True); time.sleep(float(open('in').read())); f.write(' whole')\";"
        "root = Path(sys.argv[1]);"
        "job = Job('slow', ['python', '-c', tool], '1', inputs={'in': root / 'in'},"
        " outputs=('out',));"
        "base.run(job, root / 'job', root / 'log', progress=lambda line: line)"
    )
    (tmp_path / "in").write_text("60")
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    assert process.stderr is not None
    assert "ready" in process.stderr.readline()
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "job").exists()
    (tmp_path / "in").write_text("0")
    started = time.monotonic()
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, check=True)
    assert time.monotonic() - started < 30
    assert (tmp_path / "job/out").read_text() == "half whole"
    visible = [p.name for p in tmp_path.iterdir() if p.name != ".job-lock"]
    assert sorted(visible) == ["in", "job", "log"]
