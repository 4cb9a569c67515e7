"""The ledger: what is missing, stale, failed or carried is told from what holds."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flow.evidence import artefact, ledger, signoff
from flow.evidence.artefact import Case
from flow.evidence.ledger import Obligation, Outcome
from rtl_gen.errors import FlowError

CALLS: list[str] = []


def _work(outcome: Outcome):
    def work(case: Case, folder: Path) -> Outcome:
        CALLS.append(case.model)
        return outcome

    return work


def _obligation(outcome: Outcome) -> Obligation:
    return Obligation("timing.routed", "a claim", "a way", "constants", ("manifest", "chip"),
                      "", _work(outcome))  # fmt: skip


@pytest.fixture
def case(tmp_path: Path) -> Case:
    folder = tmp_path / "tiny/rtl"
    folder.mkdir(parents=True)
    (folder / "chip.v").write_text("module chip; endmodule")
    (folder / "manifest.json").write_text(json.dumps({"identity": "ab", "origin": {}}))
    return Case(tmp_path, "tiny")


def _judged(case: Case, outcome: Outcome, tmp_path: Path) -> signoff.Entry:
    record = tmp_path / "record.json"
    ledger.prove(_obligation(outcome), case, record)
    evidence = ledger.collect(case, [record])
    (entry,) = signoff.sign_off([_obligation(outcome)], case, evidence)
    return entry


def test_what_holds_is_not_done_again(case: Case, tmp_path: Path) -> None:
    entry = _judged(case, Outcome((), {"bits": 7}), tmp_path)
    assert (entry.state, entry.ok, entry.detail) == ("holds", True, "7 bits")
    CALLS.clear()
    _judged(case, Outcome(()), tmp_path)
    assert CALLS == []
    (case.path("chip")).write_text("module chip; wire a; endmodule")
    _judged(case, Outcome(()), tmp_path)
    assert CALLS == ["tiny"]


def test_the_cost_is_on_record(case: Case, tmp_path: Path) -> None:
    """Time on the clock, and of the processor, which a busy machine does not stretch."""

    def work(_: Case, folder: Path) -> Outcome:
        subprocess.run([sys.executable, "-c", "sum(range(3_000_000))"], check=True)
        time.sleep(0.3)
        return Outcome(())

    obligation = Obligation("a", "b", "c", "constants", ("chip",), "", work)
    record = ledger.prove(obligation, case, tmp_path / "record.json")
    assert record["processor_seconds"] > 0
    assert record["seconds"] >= 0.3
    collected = ledger.collect(case, [tmp_path / "record.json"])
    assert collected["processor_seconds"] == record["processor_seconds"]


def test_findings_fail(case: Case, tmp_path: Path) -> None:
    entry = _judged(case, Outcome(("a weight is 3, not 2",)), tmp_path)
    assert (entry.state, entry.ok, entry.detail) == ("fails", False, "a weight is 3, not 2")


def test_what_cannot_be_read_fails(case: Case, tmp_path: Path) -> None:
    def work(_: Case, folder: Path) -> Outcome:
        raise FlowError("no such ROM")

    obligation = Obligation("a", "b", "c", "constants", ("chip",), "", work)
    record = ledger.prove(obligation, case, tmp_path / "record.json")
    assert record["verdict"] == "fails"
    assert record["findings"] == ["an artefact cannot be read: no such ROM"]


def test_a_changed_input_makes_it_stale(case: Case, tmp_path: Path) -> None:
    record = tmp_path / "record.json"
    obligation = _obligation(Outcome(()))
    ledger.prove(obligation, case, record)
    evidence = ledger.collect(case, [record])
    case.path("chip").write_text("changed")
    (entry,) = signoff.sign_off([obligation], case, evidence)
    assert entry.state == "stale"
    assert entry.detail == f"{case.path('chip')} changed after it was worked on"
    case.path("chip").unlink()
    (entry,) = signoff.sign_off([obligation], case, evidence)
    assert entry.state == "missing"


def test_a_changed_program_makes_it_stale(case: Case, tmp_path: Path) -> None:
    record = tmp_path / "record.json"
    obligation = _obligation(Outcome(()))
    ledger.prove(obligation, case, record)
    evidence = ledger.collect(case, [record])
    older = {**evidence["obligations"][0], "program": "older"}
    evidence["obligations"] = [{**older, "seal": ledger.seal(older)}]
    (entry,) = signoff.sign_off([obligation], case, evidence)
    assert entry.state == "stale"


def test_an_absent_obligation_is_missing(case: Case) -> None:
    evidence = ledger.collect(case, [])
    (entry,) = signoff.sign_off([_obligation(Outcome(()))], case, evidence)
    assert (entry.state, entry.ok) == ("missing", False)


def test_what_is_carried_over_says_why(case: Case, tmp_path: Path) -> None:
    why = {"condition": "constants changed only"}
    entry = _judged(case, Outcome((), carried=why), tmp_path)
    assert (entry.state, entry.ok, entry.detail) == ("carried", True, "constants changed only")


Change = Callable[[dict[str, Any]], None]


def _holds(record: dict[str, Any]) -> None:
    record["verdict"] = "holds"


def _silent(record: dict[str, Any]) -> None:
    record |= {"verdict": "holds", "findings": []}


def _exchanged(record: dict[str, Any]) -> None:
    inputs = record["inputs"]
    record["inputs"] = {"manifest": inputs["chip"], "chip": inputs["manifest"]}


def _fewer(record: dict[str, Any]) -> None:
    del record["inputs"]["chip"]


def _renamed(record: dict[str, Any]) -> None:
    record["obligation"] = "another.one"


@pytest.mark.parametrize("sealed", [False, True])
@pytest.mark.parametrize("change", [_holds, _silent, _exchanged, _fewer, _renamed])
def test_an_edited_record_is_refused(
    case: Case, tmp_path: Path, change: Change, sealed: bool
) -> None:
    """Whoever edits a record without its seal is found out; with it, by working on it again."""
    record = tmp_path / "record.json"
    obligation = _obligation(Outcome(("a weight is 3, not 2",)))
    ledger.prove(obligation, case, record)
    evidence = ledger.collect(case, [record])
    change(evidence["obligations"][0])
    if sealed:
        evidence["obligations"][0]["seal"] = ledger.seal(evidence["obligations"][0])
    entries = signoff.sign_off([obligation], case, evidence)
    forged = sealed and change is _silent
    assert all(entry.ok for entry in entries) is forged
    (entry,) = signoff.again([obligation], case)
    assert (entry.state, entry.detail) == ("fails", "a weight is 3, not 2")


def test_a_record_edited_in_place_is_worked_on_again(case: Case, tmp_path: Path) -> None:
    record = tmp_path / "record.json"
    obligation = _obligation(Outcome(("a weight is 3, not 2",)))
    ledger.prove(obligation, case, record)
    record.write_text(record.read_text().replace('"fails"', '"holds"'))
    assert ledger.prove(obligation, case, record)["verdict"] == "fails"


@pytest.mark.parametrize("key", ["model", "target", "identity", "checkpoint"])
def test_the_ledger_of_another_chip_is_refused(case: Case, tmp_path: Path, key: str) -> None:
    record = tmp_path / "record.json"
    obligation = _obligation(Outcome(()))
    ledger.prove(obligation, case, record)
    evidence = {**ledger.collect(case, [record]), key: "another"}
    first, second = signoff.sign_off([obligation], case, evidence)
    assert (first.name, first.ok, second.ok) == ("ledger", False, True)


def _without_seconds(record: dict[str, Any]) -> None:
    del record["seconds"]


def _listed_inputs(record: dict[str, Any]) -> None:
    record["inputs"] = list(record["inputs"])


def _no_condition(record: dict[str, Any]) -> None:
    record |= {"verdict": "carried", "carried": {}}


@pytest.mark.parametrize("change", [_without_seconds, _listed_inputs, _no_condition])
def test_a_record_of_another_form_is_refused_in_a_line(
    case: Case, tmp_path: Path, change: Change
) -> None:
    record = tmp_path / "record.json"
    obligation = _obligation(Outcome(()))
    ledger.prove(obligation, case, record)
    evidence = ledger.collect(case, [record])
    change(evidence["obligations"][0])
    evidence["obligations"][0]["seal"] = ledger.seal(evidence["obligations"][0])
    (entry,) = signoff.sign_off([obligation], case, evidence)
    assert entry.detail == "its record is not of the form that `intaglio prove` writes"
    assert not entry.ok


@pytest.mark.parametrize("evidence", [[], {"obligations": 3}, None, {}, "a ledger"])
def test_what_is_no_ledger_has_no_records(case: Case, evidence: object) -> None:
    entries = signoff.sign_off([_obligation(Outcome(()))], case, evidence)
    assert [entry.state for entry in entries] == ["fails", "missing"]
    assert entries[0].name == "ledger"


@pytest.mark.parametrize("record", [7, "timing.routed", []])
def test_a_record_that_is_none_is_refused(case: Case, record: object) -> None:
    evidence = {**ledger.collect(case, []), "obligations": [record]}
    (entry,) = signoff.sign_off([_obligation(Outcome(()))], case, evidence)
    assert not entry.ok


def test_every_input_has_a_name_for_people(case: Case) -> None:
    for name in (*artefact.FILES, *artefact.VIEWS):
        if "{seed}" not in artefact.FILES.get(name, ""):
            assert case.described(name)


def test_two_records_of_one_obligation_are_refused(case: Case, tmp_path: Path) -> None:
    record = tmp_path / "record.json"
    obligation = _obligation(Outcome(()))
    ledger.prove(obligation, case, record)
    first, _ = signoff.sign_off([obligation], case, ledger.collect(case, [record, record]))
    assert first.detail == "it has two records of timing.routed"


def test_what_breaks_the_work_on_it_fails(case: Case, tmp_path: Path) -> None:
    """A truncated artefact that still can be parsed ends in a record, not in a traceback."""

    def work(_: Case, folder: Path) -> Outcome:
        return Outcome((), {"bits": {}["cells"]})

    obligation = Obligation("a", "b", "c", "constants", ("chip",), "", work)
    record = ledger.prove(obligation, case, tmp_path / "record.json")
    assert record["verdict"] == "fails"
    assert "KeyError('cells')" in record["findings"][0]


def test_every_file_that_obligations_run_is_part_of_the_program() -> None:
    """A record is stale when any program text behind it changes."""
    root = Path(artefact.__file__).parents[2]
    seen, left = set(), [root / "flow/evidence/obligation.py"]
    while left:
        path = left.pop()
        seen.add(path)
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module, *(f"{node.module}.{item.name}" for item in node.names)]
                places = [root.joinpath(*name.split(".")) for name in names]
                found = [p.with_suffix(".py") for p in places] + [p / "__init__.py" for p in places]
                left += [p for p in found if p.is_file() and p not in {*seen, *left}]
    names = {path.relative_to(root).as_posix() for path in seen}
    parts = (*artefact.PROGRAM, "flow/silicon")
    loose = {
        name
        for name in names
        if not any(name == part or name.startswith(f"{part}/") for part in parts)
    }
    # Of the planner, how a configuration is written down; of layouts, what their tools read.
    assert loose <= {"flow/__init__.py", "rtl_gen/__init__.py", "rtl_gen/plan/__init__.py",
                     "rtl_gen/plan/folding.py", "rtl_gen/plan/resource.py"}  # fmt: skip
    assert len(names) > 80
