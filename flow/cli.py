"""Command line: one module of `flow.commands` per sub-command."""

from __future__ import annotations

import argparse
import errno
import importlib
import os
import pkgutil
import signal
import sys
from collections.abc import Sequence

from flow import __version__, commands
from rtl_gen.errors import FlowError, ToolNotFoundError

EPILOG = """\
examples:
  snakemake -c2                       build everything configs/config.yaml names
  snakemake -c2 names                 build one model
  intaglio doctor                     what is installed, what is missing
  intaglio inspect models/names       what a checkpoint holds, what would be refused
  intaglio run names --engine rtl     generate text on the simulated chip
  intaglio report results             one table over the chips built so far

`intaglio COMMAND --help` shows examples of each command.
"""


def parser() -> argparse.ArgumentParser:
    """Build the parser with every sub-command."""
    top = argparse.ArgumentParser(
        prog="intaglio",
        description="Etch a trained neural network into a chip.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"intaglio {__version__}")
    subparsers = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for module in sorted(pkgutil.iter_modules(commands.__path__), key=lambda item: item.name):
        _add(module.name, subparsers)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; give its exit status.

    0 done, 1 the command's own negative answer, 2 an error of the input or the machine,
    130 interrupted.
    """
    args = parser().parse_args(argv)
    try:
        status: int = args.run(args)
        sys.stdout.flush()
    except FlowError as error:
        print(f"intaglio: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("intaglio: interrupted; nothing half-written was left", file=sys.stderr)
        return 128 + signal.SIGINT
    except BrokenPipeError:
        # The reader went away, e.g. `| head`. Python would complain again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
            raise
        where = f"{error.filename}: " if error.filename else ""
        print(f"intaglio: {where}{error.strerror}; free some space and run the same command again",
              file=sys.stderr)  # fmt: skip
        return 2
    return status


def _add(name: str, subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the commands of one module; one whose packages are absent says so when it is used."""
    try:
        module = importlib.import_module(f"flow.commands.{name}")
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if missing.partition(".")[0] in {"flow", "rtl_gen"}:
            raise

        def explain(_: argparse.Namespace) -> int:
            raise ToolNotFoundError(
                f"`intaglio {name}` needs the Python package {missing!r}: install it with "
                "`pip install -e .`; `intaglio doctor` shows what else is missing"
            )

        parser = subparsers.add_parser(name, help=f"(needs the Python package {missing!r})")
        parser.set_defaults(run=explain)
    else:
        module.add_parser(subparsers)


if __name__ == "__main__":
    sys.exit(main())
