"""The ledger of a chip: which obligations there are, what each found, and whether it still counts.

A record counts as long as the digests of its inputs, and of the program that made it, are those of
today. One whose inputs changed is *stale* and must be made again.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
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
    begun, used = time.perf_counter(), _processor()
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
        "processor_seconds": round(_processor() - used, 2),
        "inputs": inputs,
        "program": program(),
        "tools": dict(outcome.tools),
    }
    if outcome.carried is not None:
        content["carried"] = dict(outcome.carried)
    content["seal"] = seal(content)
    files.write_json(record, content)
    return content


def _processor() -> float:
    """Seconds of processor time of this process and of the tools that it ran to their end."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


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


def about(case: Case) -> dict[str, str]:
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
        **about(case),
        "obligations": items,
        "seconds": round(sum(item["seconds"] for item in items), 2),
        "processor_seconds": round(sum(item.get("processor_seconds", 0) for item in items), 2),
        "verdicts": {
            state: sum(item["verdict"] == state for item in items)
            for state in ("holds", "carried", "fails")
        },
    }
