"""What every external tool looks like to the rest of the flow.

A tool module has ``version()``, functions that return a `Job`, and ``metrics(log)``. `run` is the
only place that starts a process.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from flow import digest, files
from rtl_gen.errors import ToolError, ToolNotFoundError

Progress = Callable[[str], str | None]
"""Maps a line of a tool's output to a line worth showing, or None."""

RECORD = "job.json"
_LOW_SPACE = 1 << 24  # bytes; below this a failed tool most likely met a full disk


@dataclass(frozen=True, slots=True)
class Job:
    """One tool invocation, complete and not yet run.

    Parameters
    ----------
    tool : str
        Name for messages and the record, with its version in `version`.
    argv : sequence of str
        Command line. ``python`` as the first word means the running interpreter.
    version : str
        Version of the tool; part of the job's digest.
    files : mapping of str to str
        Texts to write into the job folder first, relative name to text.
    inputs : mapping of str to Path
        Files or folders to copy into the job folder first, relative name to source.
    outputs : sequence of str
        Files, relative to the job folder, that the tool must leave behind.
    """

    tool: str
    argv: Sequence[str]
    version: str
    files: Mapping[str, str] = field(default_factory=dict)
    inputs: Mapping[str, Path] = field(default_factory=dict)
    outputs: Sequence[str] = ()

    def digest(self) -> str:
        """Digest of everything the outputs depend on. Hexadecimal SHA-256."""
        inputs = {
            name: digest.tree(path, path.rglob("*")) if path.is_dir() else digest.file(path)
            for name, path in self.inputs.items()
        }
        identity = [self.tool, self.version, list(self.argv), dict(self.files), inputs,
                    list(self.outputs)]  # fmt: skip
        return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def executable(name: str, variable: str, remedy: str) -> str:
    """Locate the program `name`, or the one the environment variable `variable` names.

    Raises
    ------
    ToolNotFoundError
        If there is no such program; the message ends with `remedy`.
    """
    wanted = os.environ.get(variable) or name
    found = shutil.which(wanted)
    if found is None:
        raise ToolNotFoundError(f"cannot find {wanted!r}: {remedy}, or set {variable} to its path")
    return found


def wheel(module: str, package: str) -> str:
    """Version of the installed wheel `package` that provides `module`.

    Raises
    ------
    ToolNotFoundError
        If it is not installed.
    """
    if importlib.util.find_spec(module) is None:
        raise ToolNotFoundError(
            f"cannot import {module!r}: install it with `pip install {package}`"
        )
    return importlib.metadata.version(package)


def run(
    job: Job,
    folder: Path,
    log: Path,
    *,
    progress: Progress | None = None,
    environment: Mapping[str, str] | None = None,
) -> bool:
    """Run `job` in `folder` with everything it prints in `log`; tell whether it had to run.

    A job that already ran there to its end, with the same digest, is not run again: its record,
    written last, names the digest of every output. ``run.sh`` in the folder repeats the job by
    hand.

    Parameters
    ----------
    progress : callable, optional
        Lines it returns are shown on standard error while the tool works.
    environment : mapping of str to str, optional
        Variables to add for the tool.

    Raises
    ------
    ToolError
        If the tool exits non-zero or leaves one of ``job.outputs`` missing.
    FlowError
        If the job folder cannot be written.
    """
    identity = job.digest()
    with _alone(folder):
        if _finished(folder, identity):
            files.write(log, f"{job.tool}: nothing to do, same inputs as last time\n")
            return False
        _execute(job, identity, folder, log, progress, environment)
        return True


def made(folder: Path) -> Mapping[str, str]:
    """Digests of the outputs that the job in `folder` wrote; none if none ended there."""
    record = folder / RECORD
    found: Mapping[str, str] = files.read_json(record)["outputs"] if record.is_file() else {}
    return found


def tail(log: Path, lines: int = 20) -> str:
    """Last lines of a log."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Wait until no other process runs a job in `folder`.

    Targets of one family share jobs, and whoever comes second finds the job done. The lock is the
    kernel's, so a killed process holds none.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f".{folder.name}-lock").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def _execute(
    job: Job,
    identity: str,
    folder: Path,
    log: Path,
    progress: Progress | None,
    environment: Mapping[str, str] | None,
) -> None:
    # The tool works in a folder of its own, so that what a killed run left behind (or still
    # runs) never meets what this run writes; the folder gets its name when the tool has ended.
    for stale in folder.parent.glob(f".{folder.name}.*"):
        shutil.rmtree(stale, ignore_errors=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    scratch.chmod(0o755)
    _prepare(job, scratch)
    argv = [sys.executable if word == "python" and not i else word
            for i, word in enumerate(job.argv)]  # fmt: skip
    status = _watch(job.tool, argv, scratch, log, progress, environment)
    shutil.rmtree(folder, ignore_errors=True)
    scratch.rename(folder)
    if status:
        raise ToolError(_failure(job, folder, log, status))
    missing = [name for name in job.outputs if not (folder / name).is_file()]
    if missing:
        raise ToolError(f"{job.tool} ended well but did not write {', '.join(missing)}; "
                        f"its log is {log}:\n{tail(log)}")  # fmt: skip
    outputs = {name: digest.file(folder / name) for name in job.outputs}
    record = {"tool": job.tool, "version": job.version, "digest": identity, "outputs": outputs}
    files.write_json(folder / RECORD, record)


def _finished(folder: Path, identity: str) -> bool:
    record = folder / RECORD
    if not record.is_file():
        return False
    known = json.loads(record.read_text())
    return known["digest"] == identity and all(
        (folder / name).is_file() and digest.file(folder / name) == value
        for name, value in known["outputs"].items()
    )


def _prepare(job: Job, folder: Path) -> None:
    for name, text in job.files.items():
        files.write(folder / name, text)
    for name, source in job.inputs.items():
        if source.is_dir():
            for item in sorted(source.rglob("*")):
                # Snakemake marks a folder it has seen with a hidden file.
                if item.is_file() and not item.name.startswith("."):
                    files.copy(item, folder / name / item.relative_to(source))
        else:
            files.copy(source, folder / name)
    files.write(folder / "run.sh", f"{shlex.join(job.argv)}\n")


def _watch(
    tool: str,
    argv: Sequence[str],
    folder: Path,
    log: Path,
    progress: Progress | None,
    environment: Mapping[str, str] | None,
) -> int:
    """Start the process, copy its output to `log`, show progress, and give its exit status."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as stream:
        try:
            process = subprocess.Popen(
                argv, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, text=True, errors="replace",
                env={**os.environ, **(environment or {})},
            )  # fmt: skip
        except OSError as error:
            raise ToolNotFoundError(f"cannot start {tool} ({argv[0]}): {error.strerror}") from error
        try:
            assert process.stdout is not None  # PIPE was asked for above
            for line in process.stdout:
                stream.write(line)
                shown = progress(line.rstrip()) if progress else None
                if shown:
                    print(f"  {tool}: {shown}", file=sys.stderr, flush=True)
            return process.wait()
        except BaseException:
            process.kill()
            process.wait()
            raise


def _failure(job: Job, folder: Path, log: Path, status: int) -> str:
    ending = f"was ended by signal {-status}" if status < 0 else f"exited with status {status}"
    message = f"{job.tool} {job.version} {ending}; repeat it with `sh run.sh` in {folder}."
    free = shutil.disk_usage(folder).free
    if free < _LOW_SPACE:
        message += f" The file system of {folder} has only {free} bytes free."
    if status == -signal.SIGKILL:
        message += " The system may have run out of memory."
    return f"{message}\nThe end of its log {log}:\n{tail(log)}"
