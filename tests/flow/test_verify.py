"""`flow.simulate` and `flow.verify` on a hand-written chip, on RTL and on its netlist."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from flow import simulate, verify
from flow.simulate import Chip, Pace
from flow.tools import base, yosys
from rtl_gen.errors import FlowError, ToolError
from rtl_gen.golden import interpreter
from rtl_gen.ir.integer import Constant
from tests.harness import require_tool, seed
from tests.testbench import toy

PROMPTS = [[], [3, 4, 5], [17]]


@pytest.fixture(scope="session")
def work(tmp_path_factory) -> Path:
    for tool in ("g++", "make"):
        require_tool(tool, "install the Debian package build-essential")
    folder = tmp_path_factory.mktemp("toy")
    toy.write_images(folder)
    shutil.copy(toy.VERILOG, folder / "chip.v")
    return folder


@pytest.fixture(scope="session")
def rtl(work) -> Path:
    return simulate.build(
        "rtl", work / "chip.v", work / "sim", work / "sim.log", kind="token", activity=True
    )


@pytest.fixture(scope="session")
def netlist(work) -> Path:
    job = yosys.synthesize_chip(work / "chip.v", work / "rom")
    base.run(job, work / "synthesis", work / "synthesis.log")
    text = (work / "synthesis/netlist.v").read_text()
    for cell in ("DP16KD", "MULT18X18D", "CCU2C", "TRELLIS_FF", "LUT4"):
        assert f"  {cell} " in text, f"the toy chip no longer has a {cell}"
    return simulate.build(
        "netlist", work / "synthesis/netlist.v", work / "netsim", work / "netsim.log", kind="token"
    )


@pytest.fixture(params=["rtl", "netlist"])
def chip(request, work) -> Iterator[Chip]:
    program = request.getfixturevalue(request.param)
    with Chip(program, work, context=toy.CONTEXT) as opened:
        yield opened


def test_chip_equals_golden(chip) -> None:
    result = verify.compare_tokens(
        toy.graph(), chip, prompts=PROMPTS, seeds=[seed(), seed() + 1], tokens=300
    )
    assert result.mismatches == ()
    assert result.compared >= 300
    assert result.distinct > 20
    result.check(300)
    assert result.cycles["average"] == 35
    assert result.cycles["first"] == 34
    assert len(result.cycles["by_position"]) == toy.CONTEXT
    assert result.cycles["longest"] == result.cycles["by_position"][-1]


def test_activity_tells_every_cycle_of_a_step(rtl, work) -> None:
    with Chip(rtl, work, context=toy.CONTEXT) as chip:
        assert all(not step.active for step in chip.generate([3], beta=0, seed=1, limit=2))
        chip.activity(True)
        first, *later = chip.generate([3, 4, 5], beta=700, seed=1, limit=5)
        result = verify.compare_tokens(
            toy.graph(), chip, prompts=PROMPTS, seeds=[1], tokens=20, fill=False
        )
    # 34 cycles of scanning, one in which the token is offered and taken.
    assert [step.cycles for step in later] == [35] * 4
    assert [step.active for step in later] == [{1: 34, 2: 1}] * 4
    assert first.active == {0: 1, 1: 34}
    sums, number = result.activity["average"]
    assert sums == {1: 34 * number, 2: number}
    assert list(result.activity["positions"]) == [
        "1",
        str(max(map(int, result.activity["positions"]))),
    ]


def test_activity_needs_the_output(work, netlist) -> None:
    with Chip(netlist, work) as chip, pytest.raises(ToolError, match="built without activity"):
        chip.activity(True)


def test_identity_is_read(chip) -> None:
    verify.check_identity(chip, toy.IDENTITY)
    with pytest.raises(verify.MismatchError, match=f"manifest says 00, the chip {toy.IDENTITY}"):
        verify.check_identity(chip, "00")


@pytest.mark.parametrize("change", ["weight", "sampler"])
def test_a_different_graph_is_named(work, rtl, change: str) -> None:
    graph = toy.graph()
    name = {"weight": "table", "sampler": "noise"}[change]
    constant = graph.constants[name]
    data = constant.data.copy()
    if change == "weight":
        data[toy.BOS, np.argmax(data[toy.BOS])] -= 8000
    else:
        data += np.arange(len(data)) % 2 * 300
    changed = dataclasses.replace(
        graph, constants={**graph.constants, name: Constant(constant.type, data)}
    )
    with Chip(rtl, work) as chip:
        result = verify.compare_tokens(changed, chip, prompts=PROMPTS, seeds=[1], tokens=100)
    assert result.mismatches
    with pytest.raises(verify.MismatchError, match=r"prompt \[.*output \d+: expected \d+, found"):
        result.check(1)


def test_too_few_or_degenerate_outputs_are_refused() -> None:
    good = verify.Result(300, 9, (), 20, 0.2, {})
    good.check(300)
    with pytest.raises(verify.MismatchError, match="300 outputs were compared, 301 are asked for"):
        good.check(301)
    with pytest.raises(verify.MismatchError, match=r"degenerate \(2 different ones"):
        dataclasses.replace(good, distinct=2).check(300)
    with pytest.raises(verify.MismatchError, match=r"degenerate .* commonest 90%"):
        dataclasses.replace(good, share=0.9).check(300)


def test_generation_streams_and_can_be_left_early(work, rtl) -> None:
    graph = toy.graph()
    with Chip(rtl, work) as chip:
        tokens = chip.generate([5], beta=2, seed=3)
        first = next(tokens)
        tokens.close()
        whole = list(chip.generate([5], beta=2, seed=3))
    assert whole[0].token == first.token
    assert [step.token for step in whole] == list(interpreter.generate(graph, [5], beta=2, seed=3))
    assert [step.last for step in whole] == [False] * (len(whole) - 1) + [True]


def test_state_of_an_earlier_sequence_does_not_matter(work, rtl) -> None:
    with Chip(rtl, work, reset_seed=5) as chip:
        before = list(chip.generate([9, 2], beta=3, seed=7))
        list(chip.generate([1, 2, 3, 4, 5, 6], beta=1, seed=8))
        assert list(chip.generate([9, 2], beta=3, seed=7)) == before
        chip.reset()
        assert list(chip.generate([9, 2], beta=3, seed=7)) == before


def test_long_prompt_is_refused(work, rtl) -> None:
    with (
        Chip(rtl, work, context=toy.CONTEXT) as chip,
        pytest.raises(FlowError, match="25 tokens does not fit the 24 positions"),
    ):
        next(chip.generate([2] * 25, beta=0, seed=0))


def test_missing_image_is_an_error(tmp_path, rtl) -> None:
    with (
        Chip(rtl, tmp_path) as chip,
        pytest.raises(ToolError, match=r"table\.hex|identity\.hex|noise\.hex"),
    ):
        chip.identity()


def test_missing_source_is_an_error(tmp_path) -> None:
    with pytest.raises(FlowError, match=r"chip\.v: no such file; build it with `snakemake"):
        simulate.build("rtl", tmp_path / "chip.v", tmp_path / "s", tmp_path / "l", kind="token")


# Each fault shows itself only when the limit register holds its number, so that one build does.
FAULTS = {
    901: (
        (
            "if (index == VOCABULARY && !seen1)",
            "if (index == VOCABULARY && !seen1 && limit != 901)",
        ),
        r"no transfer for 5000 cycles \(1 of 1 inputs accepted, busy 1\)",
    ),
    902: (
        (
            "begin if (limit == 903)",
            "begin if (limit == 902) o__payload[4:0] <= ~best; if (limit == 903)",
        ),
        r"o\.payload changed from 0x\w+ to 0x\w+ before transfer",
    ),
    903: (
        (
            "EMIT: if (o__ready)",
            "EMIT: if (!o__ready) begin if (limit == 903) o__valid <= 0; end else",
        ),
        r"o\.valid fell before 0x\w+ was taken",
    ),
    904: (
        (
            "state <= o__payload[16] ? IDLE : SCAN;",
            "state <= o__payload[16] && limit != 904 ? IDLE : SCAN;",
        ),
        r"output 0x\w+ after the last of its sequence|busy stays high",
    ),
}


@pytest.fixture(scope="session")
def broken(work, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("broken")
    text = (work / "chip.v").read_text()
    for (old, new), _ in reversed(FAULTS.values()):
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    (folder / "chip.v").write_text(text)
    return simulate.build("rtl", folder / "chip.v", folder / "sim", folder / "log", kind="token")


@pytest.mark.parametrize("fault", FAULTS)
def test_broken_protocol_is_an_error(work, broken, fault: int) -> None:
    with Chip(broken, work, watchdog_cycles=5000) as chip:
        chip.pace(Pace(stall=128))
        assert len(list(chip.generate([4], beta=0, seed=0, limit=3))) == 3
        with pytest.raises(ToolError, match=FAULTS[fault][1]):
            list(chip.generate([4], beta=0, seed=0, limit=fault))
        with pytest.raises(ToolError, match="has ended"):
            chip.identity()
