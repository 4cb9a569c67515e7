"""Python environments of their own for engines whose packages cannot live beside the flow's.

``flow/engines/<name>.txt`` pins the packages. An environment is made when it is first needed, below
``.environments`` in the project's folder or where ``INTAGLIO_ENVIRONMENTS`` says, and is known by
the digest of its pins: other pins are another folder.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from flow import files
from rtl_gen.errors import ToolError, ToolNotFoundError

ENGINES = Path(__file__).parents[1] / "engines"
FOLDER = ".environments"
_DONE = "installed.txt"
_TAIL = 15


def names() -> tuple[str, ...]:
    """Names of all environments."""
    return tuple(sorted(path.stem for path in ENGINES.glob("*.txt")))


def engine(program: str) -> Path:
    """File of a program of ``flow/engines``."""
    return ENGINES / program


def version(name: str, package: str | None = None) -> str:
    """Pinned version of `package`, by default of the first one, in the environment `name`."""
    for line in _packages(name):
        found, _, value = line.partition("==")
        if package is None or found == package:
            return value.strip()
    raise ToolNotFoundError(f"{ENGINES / name}.txt does not pin {package!r}")


def python(name: str) -> Path:
    """Interpreter of the environment `name`, which is made first if it is not there.

    Raises
    ------
    ToolNotFoundError
        If the environment cannot be made: no network, or no wheel for this Python.
    """
    folder = path(name)
    if not (folder / _DONE).is_file():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with (folder.parent / f".{folder.name}-lock").open("w") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            if not (folder / _DONE).is_file():  # another process may just have made it
                _create(name, folder)
    return folder / "bin" / "python"


def path(name: str) -> Path:
    """Folder of the environment `name`, made or not."""
    root = Path(os.environ.get("INTAGLIO_ENVIRONMENTS") or FOLDER).absolute()
    identity = hashlib.sha256(f"{sys.version_info[:2]} {_pins(name)}".encode()).hexdigest()
    return root / f"{name}-{identity[:12]}"


def made(name: str) -> bool:
    """Whether the environment `name` is there."""
    return (path(name) / _DONE).is_file()


def _pins(name: str) -> str:
    return (ENGINES / f"{name}.txt").read_text()


def _packages(name: str) -> list[str]:
    return [line for line in _pins(name).splitlines() if line and not line.startswith("#")]


def _options(name: str) -> list[str]:
    """Options that a line ``# pip: ...`` asks for."""
    return [word for line in _pins(name).splitlines() if line.startswith("# pip:")
            for word in line.removeprefix("# pip:").split()]  # fmt: skip


def _create(name: str, folder: Path) -> None:
    print(f"  making the environment {name} (once)", file=sys.stderr, flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    _run(name, [sys.executable, "-m", "venv", str(folder)])
    pip = [str(folder / "bin/python"), "-m", "pip", "--quiet", "--disable-pip-version-check"]
    _run(name, [*pip, "install", *_options(name), "-r", str(ENGINES / f"{name}.txt")])
    found = _run(name, [*pip, "freeze"])
    files.write(folder / _DONE, found)


def _run(name: str, argv: list[str]) -> str:
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
    except OSError as error:
        raise ToolError(f"cannot start {argv[0]}: {error.strerror}") from error
    if done.returncode:
        said = "\n".join((done.stdout + done.stderr).splitlines()[-_TAIL:])
        raise ToolNotFoundError(
            f"the environment {name!r} could not be made; its packages are in "
            f"{ENGINES / name}.txt and need Python 3.11 and the package index:\n{said}"
        )
    return done.stdout
