"""The ledger of a chip: which obligations there are, what each found, and whether it still counts.

A record counts as long as the digests of its inputs, and of the program that made it, are those of
today. One whose inputs changed is *stale* and must be made again.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from flow import files
from flow.evidence.artefact import Case, identity, program
from rtl_gen.errors import FlowError

Scope = Literal["constants", "architecture", "model"]
Kind = Literal["", "fpga", "asic"]
Verdict = Literal["holds", "carried", "fails"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What working on an obligation gave.

    Parameters
    ----------
    findings : tuple of str
        What speaks against it; empty if it holds.
    numbers : mapping
        How much was looked at.
    tools : mapping of str to str
        Versions of the tools that took part.
    carried : mapping or None
        Why an earlier result counts for these inputs, too.
    """

    findings: tuple[str, ...]
    numbers: Mapping[str, Any] = field(default_factory=dict)
    tools: Mapping[str, str] = field(default_factory=dict)
    carried: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Obligation:
    """Something that must be shown of every chip.

    Parameters
    ----------
    name : str
        ``<what>.<of which artefact>``.
    subject : str
        The claim, in a sentence.
    method : str
        How it is shown, and what is taken for granted.
    scope : {"constants", "architecture", "model"}
        What it is about: the numbers in the chip, everything else of the chip, or the numbers'
        own worth.
    inputs : tuple of str
        Artefacts and views that it depends on.
    kind : {"", "fpga", "asic"}
        Which targets it is about; empty if about the RTL alone, and so of every chip.
    work : callable
        ``Case -> Outcome``; the second argument is the folder of the record, for jobs.
    """

    name: str
    subject: str
    method: str
    scope: Scope
    inputs: tuple[str, ...]
    kind: Kind
    work: Callable[[Case, Path], Outcome]


def prove(obligation: Obligation, case: Case, record: Path) -> Mapping[str, Any]:
    """Work on an obligation and write what was found; nothing is done for a record that counts.

    Returns
    -------
    mapping
        The record.

    Raises
    ------
    FlowError
        If an input is absent.
    """
    inputs = {name: case.digest(name) for name in obligation.inputs}
    if record.is_file():
        known: Mapping[str, Any] = files.read_json(record)
        same = known.get("inputs") == inputs and known.get("program") == program()
        if same and known.get("seal") == seal(known):
            return known
    begun = time.perf_counter()
    try:
        outcome = obligation.work(case, record.parent)
    except (FlowError, LookupError, TypeError, ValueError) as error:
        # What cannot be read cannot be proved; the record says so, and sign-off refuses it.
        said = str(error) if isinstance(error, FlowError) else repr(error)
        outcome = Outcome((f"an artefact cannot be read: {said}",))
    content: dict[str, Any] = {
        "obligation": obligation.name,
        "subject": obligation.subject,
        "method": obligation.method,
        "scope": obligation.scope,
        "verdict": verdict(outcome),
        "findings": list(outcome.findings),
        "numbers": dict(outcome.numbers),
        "seconds": round(time.perf_counter() - begun, 2),
        "inputs": inputs,
        "program": program(),
        "tools": dict(outcome.tools),
    }
    if outcome.carried is not None:
        content["carried"] = dict(outcome.carried)
    content["seal"] = seal(content)
    files.write_json(record, content)
    return content


def seal(record: Mapping[str, Any]) -> str:
    """Digest of a record's content, which shows that it was not changed by accident or by hand.

    It is no signature: who recomputes it is only found out by working on the obligations again.
    """
    return identity({key: value for key, value in record.items() if key != "seal"})


def verdict(outcome: Outcome) -> Verdict:
    """Sum up an outcome."""
    if outcome.findings:
        return "fails"
    return "holds" if outcome.carried is None else "carried"


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of a sign-off.

    Parameters
    ----------
    name : str
    state : {"holds", "carried", "fails", "stale", "missing"}
    detail : str
    seconds : float
    """

    name: str
    state: str
    detail: str
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether a chip may be signed off with this."""
        return self.state in ("holds", "carried")


def sign_off(
    obligations: Sequence[Obligation], case: Case, evidence: Mapping[str, Any]
) -> list[Entry]:
    """Judge a ledger against the artefacts as they are now.

    Parameters
    ----------
    obligations : sequence of Obligation
        All that must be there.
    case : Case
    evidence : mapping
        Content of ``evidence.json``.
    """
    entries = [
        Entry("ledger", "stale", f"it is about {key} {str(evidence.get(key))[:16]}")
        for key, now in _about(case).items() if evidence.get(key) != now
    ]  # fmt: skip
    records: dict[str, Mapping[str, Any]] = {}
    for item in evidence.get("obligations", ()):
        name = str(item.get("obligation"))
        if name in records:
            entries.append(Entry("ledger", "fails", f"it has two records of {name}"))
        records[name] = item
    entries += [
        _entry(obligation, case, records.get(obligation.name)) for obligation in obligations
    ]
    return entries


def _entry(obligation: Obligation, case: Case, record: Mapping[str, Any] | None) -> Entry:
    name = obligation.name
    if record is None:
        return Entry(name, "missing", "nothing is recorded")
    if record.get("seal") != seal(record):
        return Entry(name, "fails", "its record was changed after it was written")
    seconds = float(record["seconds"])
    if record["program"] != program():
        return Entry(name, "stale", "the program that checks it has changed", seconds)
    if set(record["inputs"]) != set(obligation.inputs):
        return Entry(name, "stale", "it depends on other inputs now", seconds)
    for item, known in record["inputs"].items():
        try:
            found = case.digest(item)
        except FlowError as error:
            return Entry(name, "missing", str(error), seconds)
        if found != known:
            return Entry(name, "stale", f"{item} has changed since", seconds)
    return judged(name, record)


def judged(name: str, record: Mapping[str, Any]) -> Entry:
    """What a record that counts says."""
    seconds = float(record["seconds"])
    if record["verdict"] not in ("holds", "carried") or record["findings"]:
        said = "; ".join(record["findings"][:3]) or f"its verdict is {record['verdict']}"
        return Entry(name, "fails", said, seconds)
    if record["verdict"] == "carried":
        return Entry(name, "carried", str(record["carried"]["condition"]), seconds)
    shown = ", ".join(f"{value} {key}" for key, value in record["numbers"].items()
                      if isinstance(value, int | float | str))  # fmt: skip
    return Entry(name, "holds", shown, seconds)


def again(obligations: Sequence[Obligation], case: Case) -> list[Entry]:
    """Work on every obligation anew, in a folder of its own, and judge what that gives."""
    entries = []
    with tempfile.TemporaryDirectory() as folder:
        for obligation in obligations:
            try:
                record = prove(obligation, case, Path(folder) / f"{obligation.name}.json")
            except FlowError as error:
                entries.append(Entry(obligation.name, "missing", str(error)))
            else:
                entries.append(judged(obligation.name, record))
    return entries


def _about(case: Case) -> dict[str, str]:
    """Which chip a ledger is about."""
    return {
        "model": case.model,
        "target": case.target,
        "identity": str(case.manifest["identity"]),
        "checkpoint": str(case.manifest["origin"].get("checkpoint", "")),
    }


def collect(case: Case, records: Sequence[Path]) -> dict[str, Any]:
    """Content of ``evidence.json``: all records of a chip and what was carried over."""
    items = [files.read_json(path) for path in records]
    return {
        **_about(case),
        "obligations": items,
        "seconds": round(sum(item["seconds"] for item in items), 2),
        "verdicts": {
            state: sum(item["verdict"] == state for item in items)
            for state in ("holds", "carried", "fails")
        },
    }


def as_json(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """Entries for a file."""
    return [{**asdict(entry), "ok": entry.ok} for entry in entries]
