"""A simulated chip: Verilog compiled by Verilator with a C++ driver, used like the real one.

Two engines share everything but the sources: ``rtl`` runs ``chip.v`` with its ROM images,
``netlist`` runs a netlist with models of its cells (`flow/testbench/ecp5_cells.v`).
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Literal

from flow.tools import base, verilator
from rtl_gen.errors import FlowError, ToolError
from rtl_gen.golden.sample import initial_rng

Engine = Literal["rtl", "netlist"]
Kind = Literal["token", "frame"]

TESTBENCH = Path(__file__).parent / "testbench"
DRIVER = TESTBENCH / "driver.cpp"
CELLS = TESTBENCH / "ecp5_cells.v"

WATCHDOG_CYCLES = 2_000_000
"""Cycles without a transfer after which a chip counts as hung."""

# Generated code is full of what lint dislikes (unused bits, implicit widths), and of it only.
_OPTIONS = ("-Wno-lint", "-Wno-style", "--x-assign", "fast", "--x-initial", "unique")
# Cuts what the compiler takes for a netlist from 71 to 42 s (names, 12,000 cells).
_NETLIST_OPTIONS = ("--output-split-cfuncs", "300")
_TAIL_LINES = 15


@dataclass(frozen=True, slots=True)
class Step:
    """One generated token.

    Parameters
    ----------
    token : int
    cycles : int
        Clock cycles since the token before, or since the first input of the sequence.
    counter : int
        What the chip's own cycle counter said when the token was taken.
    position : int
        The chip's position counter at that moment.
    last : bool
        The sequence ends with this token.
    active : mapping of int to int
        Cycles of the step by the value of the chip's ``active``, if `Chip.activity` was asked for;
        of a first token, the cycles since the last input.
    """

    token: int
    cycles: int
    counter: int
    position: int
    last: bool
    active: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Pace:
    """How often the surroundings of a chip pause, in 256ths of all cycles.

    Parameters
    ----------
    idle : int
        Cycles without an offered input, 0 to 255.
    stall : int
        Cycles in which no output is taken, 0 to 255.
    seed : int
    """

    idle: int = 0
    stall: int = 0
    seed: int = 1


def build(
    engine: Engine, verilog: Path, folder: Path, log: Path, *, kind: Kind, trace: bool = False,
    adapters: bool = False, activity: bool = False, cells: Path = CELLS,
) -> Path:  # fmt: skip
    """Compile a chip; a build with the same inputs in `folder` is used again.

    Parameters
    ----------
    engine : {"rtl", "netlist"}
    verilog : Path
        ``chip.v``, or the netlist of module ``chip``.
    folder : Path
        Job folder of the build.
    log : Path
        Receives what Verilator and the compiler print.
    kind : {"token", "frame"}
        ``kind`` of the chip's manifest.
    trace : bool
        Build with waveforms (several times slower to run).
    adapters : bool
        The chip has an adapter port.
    activity : bool
        Build for `Chip.activity`; the chip needs an output ``active``.
    cells : Path
        Models of the cells of a netlist, by default those of ECP5.

    Returns
    -------
    Path
        The program; give it to `Chip`.

    Raises
    ------
    FlowError
        If `verilog` is absent.
    ToolError, ToolNotFoundError
        If Verilator or the compiler fails or is absent.
    """
    if not verilog.is_file():
        raise FlowError(f"{verilog}: no such file; build it with `snakemake {verilog}`")
    sources = {"chip.v": verilog}
    options = ["-j", "2", "-MAKEFLAGS", "OPT_FAST=-O1 OPT_GLOBAL=-O0", *_OPTIONS]
    options += ["-CFLAGS", f"-D{kind.upper()}"]
    if adapters:
        options += ["-CFLAGS", "-DADAPTERS"]
    if engine == "netlist":
        sources["cells.v"] = cells
        options += _NETLIST_OPTIONS
    if trace:
        options += ["--trace", "-CFLAGS", "-DTRACE"]
    if activity:
        options += ["-CFLAGS", "-DACTIVE"]
    job = verilator.build(sources, DRIVER.read_text(), top="chip", options=options)
    base.run(job, folder, log, environment=verilator.environment())
    return folder / "simulator"


class Chip:
    """A running simulation. A context manager: leaving it ends the process.

    Parameters
    ----------
    program : Path
        From `build`.
    images : Path
        Folder that holds ``rom/``, the images that ``chip.v`` reads; a netlist needs none.
    context : int
        Positions of the chip, for refusing prompts that do not fit; 0 does not check.
    top_k : int
        Largest `top_k` of the chip, ``plan.top_k`` of its manifest.
    watchdog_cycles : int
        Cycles without a transfer after which the simulation gives up.
    reset_seed : int
        Seed of the random values in registers and memories that have no initial value.
    trace : Path, optional
        Waveform (VCD) to write; needs a program built with ``trace=True``.
    """

    def __init__(
        self,
        program: Path,
        images: Path,
        *,
        context: int = 0,
        top_k: int = 0,
        watchdog_cycles: int = WATCHDOG_CYCLES,
        reset_seed: int = 1,
        trace: Path | None = None,
    ) -> None:
        self.program = program
        self.context = context
        self._counting = False
        self.top_k = top_k
        self._said: list[str] = []
        self._answering = False
        arguments = [str(watchdog_cycles), str(reset_seed)]
        if trace is not None:
            arguments.append(str(trace.resolve()))
        self._process = subprocess.Popen(
            [str(program.resolve()), *arguments],
            cwd=images,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )

    def __enter__(self) -> Chip:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the simulation; one in the middle of a sequence is cut off."""
        if self._answering:
            self._process.kill()
        if self._process.stdin is not None and not self._process.stdin.closed:
            with suppress(BrokenPipeError):  # it had ended already
                self._process.stdin.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def pace(self, pace: Pace) -> None:
        """Let inputs and outputs pause from now on as `pace` says."""
        self._send(f"pace {pace.seed} {pace.idle} {pace.stall}")

    def activity(self, wanted: bool) -> None:
        """Let every following `Step` tell what was active in its cycles, or no more."""
        self._send(f"activity {int(wanted)}")
        self._expect("done")
        self._counting = wanted

    def reset(self) -> None:
        """Pulse the reset input."""
        self._send("reset")
        self._expect("done")

    def identity(self) -> str:
        """Content of the identity ROM: 64 hexadecimal digits."""
        self._send("identity")
        return self._expect("identity")[0]

    def write(self, address: int, value: int) -> None:
        """Write a register of the adapter port; see `rtl_gen.fabric.adapter_port`."""
        self._send(f"write {address} {value}")
        self._expect("done")

    def read(self, address: int) -> int:
        """Read a register of the adapter port."""
        self._send(f"read {address}")
        return int(self._expect("value")[0])

    def during(self, writes: Sequence[tuple[int, int]], *, gap: int = 1) -> None:
        """Write registers of the adapter port while the following sequences run.

        Parameters
        ----------
        writes : sequence of (int, int)
            Address and value, in order. They take the place of earlier ones that are still to come.
        gap : int
            Clock cycles from one write to the next; they pause between sequences.
        """
        pairs = " ".join(f"{address} {value}" for address, value in writes)
        self._send(f"during {gap} {len(writes)} {pairs}")
        self._expect("done")

    def waiting(self) -> int:
        """Number of writes given to `during` that have not happened yet."""
        self._send("waiting")
        return int(self._expect("value")[0])

    def generate(
        self, prompt: Sequence[int], *, beta: int, seed: int, limit: int = 0, top_k: int = 0
    ) -> Iterator[Step]:
        """Generate one sequence; see `rtl_gen.golden.interpreter.generate`.

        Yields
        ------
        Step
            As soon as the chip gives the token. A caller that stops early waits, when the iterator
            is closed, for the rest of the sequence.

        Raises
        ------
        FlowError
            If the prompt does not fit the context, or `top_k` the chip.
        ToolError
            If the simulation fails: it hangs, breaks a rule of the streams, or dies.
        """
        if self.context and len(prompt) > self.context:
            raise FlowError(
                f"a prompt of {len(prompt)} tokens does not fit the {self.context} positions of "
                "the chip; give a shorter prompt"
            )
        if top_k > self.top_k:
            raise FlowError(
                f"the chip draws among at most {self.top_k} largest logits, not {top_k}; "
                "raise plan.top_k"
            )
        words = [beta, initial_rng(seed), limit, top_k, len(prompt), *prompt]
        self._send(f"generate {' '.join(map(str, words))}")
        try:
            while True:
                head, fields = self._receive()
                if head == "done":
                    return
                if head != "step" or len(fields) != 5:
                    raise self._failure(f"unexpected answer '{head}'")
                token, cycles, counter, position, last = map(int, fields)
                active = self._active() if self._counting else {}
                yield Step(token, cycles, counter, position, bool(last), active)
        except GeneratorExit:
            while self._process.poll() is None and self._receive()[0] != "done":
                pass
            raise

    def _active(self) -> dict[int, int]:
        pairs = [int(field) for field in self._expect("active")[1:]]
        return dict(zip(pairs[::2], pairs[1::2], strict=True))

    def frame(self, values: Sequence[int]) -> tuple[list[int], int]:
        """Send one frame.

        Parameters
        ----------
        values : sequence of int
            Elements in row-major order, 16-bit two's complement.

        Returns
        -------
        outputs : list of int
            Output elements, i16.
        cycles : int
            Clock cycles from the first input to idle.

        Raises
        ------
        ToolError
            If the simulation fails.
        """
        self._send(f"frame {len(values)} {' '.join(map(str, values))}")
        outputs: list[int] = []
        while True:
            head, fields = self._receive()
            if head == "done":
                return outputs, int(fields[0])
            if head != "out" or len(fields) != 2:
                raise self._failure(f"unexpected answer '{head}'")
            outputs.append(int(fields[0]))

    def _send(self, line: str) -> None:
        stream = _pipe(self._process.stdin)
        try:
            stream.write(f"{line}\n")
            stream.flush()
            self._answering = not line.startswith("pace")
        except (BrokenPipeError, ValueError):
            self._drain()
            raise self._failure("the simulation has ended") from None

    def _receive(self) -> tuple[str, list[str]]:
        line = _pipe(self._process.stdout).readline()
        if not line:
            raise self._failure("the simulation ended in the middle of an answer")
        head, *fields = line.split() or [""]
        if head == "error":
            raise self._failure(line.removeprefix("error").strip())
        if head not in ("step", "active", "out", "done", "identity", "value"):
            self._said.append(line.rstrip())
            self._drain()
            raise self._failure("the simulation said something that is not an answer")
        self._answering = head not in ("done", "identity", "value")
        return head, fields

    def _expect(self, wanted: str) -> list[str]:
        head, fields = self._receive()
        if head != wanted:
            raise self._failure(f"unexpected answer '{head}' instead of '{wanted}'")
        return fields

    def _drain(self) -> None:
        """Keep what a dying simulation still has to say."""
        self._process.kill()
        with suppress(ValueError):  # closed before
            self._said += _pipe(self._process.stdout).read().splitlines()

    def _failure(self, reason: str) -> ToolError:
        self._process.kill()
        status = self._process.wait()
        ending = f", exit status {status}" if status > 0 else ""
        said = "".join(f"\n  {line}" for line in self._said[-_TAIL_LINES:])
        return ToolError(f"simulation {self.program}: {reason}{ending}{said}")


def _pipe(stream: IO[str] | None) -> IO[str]:
    if stream is None:
        raise ValueError("the process was started without pipes")
    return stream
