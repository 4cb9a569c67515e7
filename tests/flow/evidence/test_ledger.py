"""The ledger: what is missing, stale, failed or carried is told from what holds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flow.evidence import ledger
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
                      False, _work(outcome))  # fmt: skip


@pytest.fixture
def case(tmp_path: Path) -> Case:
    folder = tmp_path / "tiny/rtl"
    folder.mkdir(parents=True)
    (folder / "chip.v").write_text("module chip; endmodule")
    (folder / "manifest.json").write_text(json.dumps({"identity": "ab", "origin": {}}))
    return Case(tmp_path, "tiny")


def _judged(case: Case, outcome: Outcome, tmp_path: Path) -> ledger.Entry:
    record = tmp_path / "record.json"
    ledger.prove(_obligation(outcome), case, record)
    evidence = ledger.collect(case, [record])
    (entry,) = ledger.sign_off([_obligation(outcome)], case, evidence)
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


def test_findings_fail(case: Case, tmp_path: Path) -> None:
    entry = _judged(case, Outcome(("a weight is 3, not 2",)), tmp_path)
    assert (entry.state, entry.ok, entry.detail) == ("fails", False, "a weight is 3, not 2")


def test_what_cannot_be_read_fails(case: Case, tmp_path: Path) -> None:
    def work(_: Case, folder: Path) -> Outcome:
        raise FlowError("no such ROM")

    obligation = Obligation("a", "b", "c", "constants", ("chip",), False, work)
    record = ledger.prove(obligation, case, tmp_path / "record.json")
    assert (record["verdict"], record["findings"]) == ("fails", ["no such ROM"])


def test_a_changed_input_makes_it_stale(case: Case, tmp_path: Path) -> None:
    record = tmp_path / "record.json"
    obligation = _obligation(Outcome(()))
    ledger.prove(obligation, case, record)
    evidence = ledger.collect(case, [record])
    case.path("chip").write_text("changed")
    (entry,) = ledger.sign_off([obligation], case, evidence)
    assert (entry.state, entry.detail) == ("stale", "chip has changed since")
    case.path("chip").unlink()
    (entry,) = ledger.sign_off([obligation], case, evidence)
    assert entry.state == "missing"


def test_a_changed_program_makes_it_stale(case: Case, tmp_path: Path) -> None:
    record = tmp_path / "record.json"
    obligation = _obligation(Outcome(()))
    ledger.prove(obligation, case, record)
    evidence = ledger.collect(case, [record])
    evidence["obligations"][0]["program"] = "older"
    (entry,) = ledger.sign_off([obligation], case, evidence)
    assert entry.state == "stale"


def test_an_absent_obligation_is_missing(case: Case) -> None:
    (entry,) = ledger.sign_off([_obligation(Outcome(()))], case, {"obligations": []})
    assert (entry.state, entry.ok) == ("missing", False)


def test_what_is_carried_over_says_why(case: Case, tmp_path: Path) -> None:
    why = {"condition": "constants changed only"}
    entry = _judged(case, Outcome((), carried=why), tmp_path)
    assert (entry.state, entry.ok, entry.detail) == ("carried", True, "constants changed only")
