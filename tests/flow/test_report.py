"""Metrics, checks, the table and the page, on stored results of stages."""

from __future__ import annotations

import copy
import json
import re
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

from flow import checks, cli
from flow.metrics import METRICS, record
from flow.report import page, svg
from tests.flow import chips
from tests.harness import require_tool


def test_every_metric_has_value_unit_and_direction(tmp_path: Path) -> None:
    metrics = chips.metrics(tmp_path)["metrics"]
    assert set(metrics) <= set(METRICS)
    for item in metrics.values():
        assert set(item) == {"value", "unit", "direction"}
        assert item["direction"] in {"higher", "lower", "none"}


def test_rates_are_clock_over_cycles(tmp_path: Path) -> None:
    metrics = chips.metrics(tmp_path)["metrics"]
    assert metrics["step__rate__fmax"]["value"] == pytest.approx(66e6 / 1011.5)
    assert metrics["step__rate__clock"]["value"] == pytest.approx(50e6 / 1011.5)


def test_timing_is_that_of_the_bitstream(tmp_path: Path) -> None:
    metrics = chips.metrics(tmp_path)
    assert metrics["conditions"]["seed"] == 2
    assert metrics["metrics"]["timing__fmax"]["value"] == 66.0


def test_memory_bits_by_class(tmp_path: Path) -> None:
    metrics = chips.metrics(tmp_path)["metrics"]
    assert metrics["memory__constant__bits"]["value"] == 128 * 512
    assert metrics["memory__state__bits"]["value"] == 2 * 64 * 32


def test_metrics_are_deterministic_and_name_no_date(tmp_path: Path) -> None:
    texts = [json.dumps(chips.metrics(tmp_path / name)) for name in ("a", "b")]
    assert texts[0] == texts[1]
    assert str(tmp_path) not in texts[0]


def test_the_page_shows_every_expert_s_share(tmp_path: Path) -> None:
    layer = {"disagreement": 0.0125, "load": [0.5, 0.25, 0.2, 0.05]}
    routing = {"steps": 1781, "disagreement": 0.0125, "layers": {"layers.0.mlp.choice": layer}}
    dense = page.render(chips.metrics(tmp_path / "dense"))
    routed = page.render(
        chips.metrics(tmp_path / "routed", quality={**chips.QUALITY, "routing": routing})
    )
    assert "<h2>Experts</h2>" not in dense
    assert "50.0 · 25.0 · 20.0 · 5.0" in routed
    assert "1.25" in routed
    idle = re.search(
        r"it multiplies ([\d,]+) of ([\d,]+) stored weights. The other (\d+) %", routed
    )
    assert idle is not None
    used, stored = (int(text.replace(",", "")) for text in idle.groups()[:2])
    assert int(idle[3]) == round(100 - 100 * used / stored)


def test_a_metric_without_a_unit_is_refused() -> None:
    with pytest.raises(ValueError, match="metrics without a unit: area"):
        record({"area": 1})


def verdict(metrics: dict, name: str) -> checks.Check:
    return next(check for check in checks.judge(metrics) if check.name == name)


def test_a_good_chip_passes(tmp_path: Path) -> None:
    assert all(check.ok for check in checks.judge(chips.metrics(tmp_path)))


def test_a_missed_clock_fails(tmp_path: Path) -> None:
    metrics = chips.metrics(tmp_path, timings=[chips.timing(2, 48.0)])
    check = verdict(metrics, "timing")
    assert not check.ok
    assert check.detail == "48.0 MHz reached, 50 MHz asked for, slack -0.83 ns"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"differences": ["greedy: output 3: expected 5, found 6"], "mismatches": 1}, "found 6"),
        ({"compared": 10}, "300 asked for"),
        ({"distinct": 1}, "degenerate"),
        ({"share": 0.9}, "degenerate"),
    ],
)
def test_a_netlist_that_proves_too_little_fails(tmp_path: Path, change: dict, said: str) -> None:
    metrics = chips.metrics(tmp_path, netlist={**chips.RTL, **change})
    assert not verdict(metrics, "netlist equals golden").ok
    assert said in verdict(metrics, "netlist equals golden").detail
    assert verdict(metrics, "RTL equals golden").ok


def test_a_loss_beyond_the_bound_fails(tmp_path: Path) -> None:
    quality = copy.deepcopy(chips.QUALITY)
    quality["quality"]["quality__loss__delta"] = 0.2
    check = verdict(chips.metrics(tmp_path, quality=quality), "quality")
    assert (check.ok, check.detail) == (False, "loss +0.2000 nats, at most +0.05 accepted")


@pytest.mark.parametrize(("delta", "ok"), [(0.01, True), (-0.05, True), (-0.06, False)])
def test_frames_are_judged_by_accuracy(tmp_path: Path, delta: float, ok: bool) -> None:
    quality = {**chips.QUALITY, "quality": {"quality__accuracy__delta": delta}}
    assert verdict(chips.metrics(tmp_path, quality=quality), "quality").ok == ok


def test_a_memory_without_a_class_fails(tmp_path: Path) -> None:
    manifest = copy.deepcopy(chips.MANIFEST)
    manifest["memories"][0]["class"] = "?"
    check = verdict(chips.metrics(tmp_path, manifest=manifest), "memory classes")
    assert (check.ok, check.detail) == (False, "no class: matvec.weight")


def saved(folder: Path, name: str, **changes: object) -> Path:
    chip = folder / "results/tiny" / name
    chip.mkdir(parents=True)
    (chip / "cells.json").write_text("{}")
    (chip / "metrics.json").write_text(json.dumps(chips.metrics(folder / name, **changes)))
    return chip / "metrics.json"


def test_the_table_has_one_line_a_chip(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved(tmp_path, "a")
    saved(tmp_path, "b", timings=[chips.timing(2, 48.0)])
    assert cli.main(["report", str(tmp_path / "results")]) == 0
    head, first, second = capsys.readouterr().out.splitlines()
    assert head.split()[:5] == ["model", "target", "weights", "used", "LUT4"]
    assert first.split()[4:9] == ["5210", "4100", "21", "19", "66.0"]
    metrics = chips.metrics(tmp_path)["metrics"]
    weights = [str(metrics[f"weights__{name}"]["value"]) for name in ("stored", "used")]
    assert first.split()[2:4] == weights
    assert f"{metrics['quality__loss__integer']['value']:.4f}" in first.split()
    assert second.endswith("FAIL: timing")
    assert cli.main(["report", str(tmp_path / "results"), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 2
    assert cli.main(["report", str(tmp_path), "--html", str(tmp_path / "all.html")]) == 0
    assert (tmp_path / "all.html").read_text().count("<tr>") == 3


def test_an_empty_folder_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["report", str(tmp_path)]) == 2
    assert "no metrics.json of a chip here or below" in capsys.readouterr().err


def test_judge_names_the_failed_checks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    verdicts = tmp_path / "signoff.json"
    good = saved(tmp_path, "a")
    assert cli.main(["judge", str(good), "--verdict", str(verdicts)]) == 0
    assert all(check["ok"] for check in json.loads(verdicts.read_text()))
    verdicts.unlink()
    bad = saved(tmp_path, "b", timings=[chips.timing(2, 48.0)])
    assert cli.main(["judge", str(bad), "--verdict", str(verdicts)]) == 2
    said = capsys.readouterr()
    assert "failed checks: timing" in said.err
    assert "FAIL  timing: 48.0 MHz" in said.out
    assert not verdicts.exists()


class Tags(HTMLParser):
    """Collects tags that have no end, and addresses."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [value or "" for name, value in attrs if name in {"href", "src"}]
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_whole_and_alone(tmp_path: Path) -> None:
    text = page.render(chips.metrics(tmp_path))
    tags = Tags()
    tags.feed(text)
    assert not tags.open
    assert not tags.links
    assert "<script" not in text
    assert "http" not in text
    for words in ("65,250", "all checks pass", "matvec", "attention", "Yosys", "jo&lt;b&gt;"):
        assert words in text


def test_the_page_shows_a_failed_check(tmp_path: Path) -> None:
    text = page.render(chips.metrics(tmp_path, timings=[chips.timing(2, 48.0)]))
    assert "checks fail" in text
    assert "48.0 MHz reached" in text


def test_a_chip_for_frames_has_no_samples(tmp_path: Path) -> None:
    text = page.render(chips.metrics(
        tmp_path, manifest={**chips.MANIFEST, "kind": "frame"},
        quality={**chips.QUALITY, "samples": []},
        rtl={**chips.RTL, "cycles": {**chips.RTL["cycles"], "by_position": []}},
    ))  # fmt: skip
    assert "What it says" not in text
    assert "frames per second" in text


@pytest.mark.parametrize(
    "plot",
    [
        svg.bars([("a & b", {"lut": 3, "ff": 0}), ("c", {"lut": 0, "ff": 7})], ("lut", "ff")),
        svg.line([(1, 900), (2, 905), (3, 930)], "position", "cycles"),
        svg.line([(4, 900)], "position", "cycles"),
        svg.dots([("seed 1", 61.0), ("seed 2", 63.5)], 50, "MHz"),
        svg.dots([("seed 1", 50.0), ("seed 2", 50.0)], 50, "MHz"),
    ],
)
def test_plots_are_well_formed_and_inside_their_frame(plot: str) -> None:
    root = ElementTree.fromstring(plot)
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    for shape in root.iter():
        for name, limit in (("x", width), ("cx", width), ("y", height), ("cy", height)):
            assert -1 <= float(shape.attrib.get(name, 0)) <= limit
    for x, y in re.findall(r"([\d.]+),([\d.]+)", plot):
        if "points" in plot:
            assert float(x) <= width
            assert float(y) <= height


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0, 1153), (48.2, 61.0), (50, 50), (0, 0)])
def test_ticks_enclose_the_values(low: float, high: float) -> None:
    start, stop, step = svg.ticks(low, high)
    assert start <= low
    assert stop >= high
    assert 1 <= (stop - start) / step <= 8


def test_a_browser_draws_the_page(tmp_path: Path) -> None:
    require_tool("chromium", "apt-get install chromium")
    (tmp_path / "page.html").write_text(page.render(chips.metrics(tmp_path / "configs")))
    done = subprocess.run(
        ["chromium", "--headless", "--no-sandbox", "--disable-gpu",
         "--disable-background-networking", f"--user-data-dir={tmp_path / 'profile'}",
         "--window-size=1100,1400", f"--screenshot={tmp_path / 'page.png'}",
         f"file://{tmp_path / 'page.html'}"],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    # A blank page of this size is a tenth as large.
    assert (tmp_path / "page.png").stat().st_size > 60_000
