"""The command ``yosys`` on top of the wheel pyosys, as far as LibreLane calls it.

Runs in the environment ``librelane``: ``yosys -V``, ``yosys -y script.py [-Q] -- arguments``,
``yosys -p commands`` and ``yosys -s script``.
"""

from __future__ import annotations

import os
import runpy
import sys
from importlib.metadata import version


def main(words: list[str]) -> None:
    """Do what a command line asks for."""
    script, commands, rest = "", [], []
    while words:
        word = words.pop(0)
        if word == "--":
            rest, words = words, []
        elif word in {"-y", "-p", "-s"}:
            value = words.pop(0)
            if word == "-y":
                script = value
            else:
                commands.append(value if word == "-p" else f"script {value}")
        elif word in {"-V", "--version"}:
            print(f"Yosys {version('pyosys')}")
            return
    from pyosys import libyosys

    if script:
        sys.path[:0] = [path for path in os.environ.get("PYTHONPATH", "").split(":") if path]
        sys.argv = [script, *rest]
        runpy.run_path(script, run_name="__main__")
        return
    design = libyosys.Design()
    for command in commands:
        libyosys.run_pass(command, design)


if __name__ == "__main__":
    main(sys.argv[1:])
