"""Sign-off: a chip's ledger judged against the chip as it is now."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from flow.evidence.artefact import Case, program
from flow.evidence.ledger import Obligation, about, prove, seal
from rtl_gen.errors import FlowError


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of a sign-off.

    Parameters
    ----------
    name : str
    state : {"holds", "carried", "fails", "stale", "missing"}
    detail : str
        What was looked at, or what speaks against it.
    seconds : float
        What working on it took.
    claim : str
        What it says of the chip.
    """

    name: str
    state: str
    detail: str
    seconds: float = 0.0
    claim: str = ""

    @property
    def ok(self) -> bool:
        """Whether a chip may be signed off with this."""
        return self.state in ("holds", "carried")


def sign_off(obligations: Sequence[Obligation], case: Case, evidence: object) -> list[Entry]:
    """Judge a ledger against the artefacts as they are now.

    Parameters
    ----------
    obligations : sequence of Obligation
        All that must be there.
    case : Case
    evidence : object
        Content of ``evidence.json``, whoever wrote it.
    """
    if not isinstance(evidence, Mapping) or not isinstance(evidence.get("obligations"), list):
        entry = Entry("ledger", "fails", "evidence.json is no ledger: it has no obligations")
        return [entry, *(_entry(item, case, None) for item in obligations)]
    entries = [
        Entry("ledger", "stale", f"it is about {key} {str(evidence.get(key))[:16]}")
        for key, now in about(case).items() if evidence.get(key) != now
    ]  # fmt: skip
    records: dict[str, Any] = {}
    for item in evidence["obligations"]:
        name = str(item.get("obligation")) if isinstance(item, Mapping) else str(item)
        if name in records:
            entries.append(Entry("ledger", "fails", f"it has two records of {name}"))
        records[name] = item
    return entries + [_entry(item, case, records.get(item.name)) for item in obligations]


def _entry(obligation: Obligation, case: Case, record: Any) -> Entry:
    name, claim = obligation.name, obligation.subject
    if record is None:
        return Entry(name, "missing", "nothing is recorded", claim=claim)
    try:
        state, detail = _counts(obligation, case, record) or judged(record)
        return Entry(name, state, detail, float(record["seconds"]), claim)
    except (LookupError, TypeError, ValueError, AttributeError):
        detail = "its record is not of the form that `intaglio prove` writes"
        return Entry(name, "fails", detail, claim=claim)


def _counts(
    obligation: Obligation, case: Case, record: Mapping[str, Any]
) -> tuple[str, str] | None:
    """Why a record says nothing about the chip as it is now; None if it does."""
    if record.get("seal") != seal(record):
        return "fails", "its record was changed after it was written"
    if record["program"] != program():
        return "stale", "the program that checks it has changed"
    if set(record["inputs"]) != set(obligation.inputs):
        return "stale", "it depends on other inputs now"
    for item, known in record["inputs"].items():
        try:
            found = case.digest(item)
        except FlowError as error:
            return "missing", str(error)
        if found != known:
            return "stale", f"{case.described(item)} changed after it was worked on"
    return None


def judged(record: Mapping[str, Any]) -> tuple[str, str]:
    """State and detail of a record that counts."""
    if record["verdict"] not in ("holds", "carried") or record["findings"]:
        said = "; ".join(record["findings"][:3]) or f"its verdict is {record['verdict']}"
        return "fails", said
    if record["verdict"] == "carried":
        return "carried", str(record["carried"]["condition"])
    shown = ", ".join(
        f"{key}: {value}" if isinstance(value, str) else f"{value} {key}"
        for key, value in record["numbers"].items() if isinstance(value, int | float | str)
    )  # fmt: skip
    return "holds", shown


def again(obligations: Sequence[Obligation], case: Case) -> list[Entry]:
    """Work on every obligation anew, in a folder of its own, and judge what that gives."""
    entries = []
    with tempfile.TemporaryDirectory() as folder:
        for item in obligations:
            try:
                record = prove(item, case, Path(folder) / f"{item.name}.json")
            except FlowError as error:
                entries.append(Entry(item.name, "missing", str(error), claim=item.subject))
            else:
                seconds = float(record["seconds"])
                entries.append(Entry(item.name, *judged(record), seconds, item.subject))
    return entries


def as_json(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """Entries for a file."""
    return [{**asdict(entry), "ok": entry.ok} for entry in entries]
