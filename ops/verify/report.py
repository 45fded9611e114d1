"""The report of a run: JSON for programs and Markdown for people."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from handoff.clock import to_iso
from ops.stack.deployment import Deployment
from ops.verify.answers import Answer
from ops.verify.check import Outcome, Result

_PARAMETERS = ("DataPolicy", "PaymentProvider", "OwnKey", "Canary", "Audit", "SavedQueries", "ArchiveDays", "Runtime")


def write(folder: Path, deployment: Deployment, results: Sequence[Result], *, began: int, ended: int) -> None:
    """Write report.json and report.md; times are in epoch milliseconds."""
    document = _document(deployment, results, began, ended)
    (folder / "report.json").write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    (folder / "report.md").write_text(_markdown(document, results), encoding="utf-8")


def counts(results: Sequence[Result]) -> str:
    """Return how many checks had each outcome."""
    found = Counter(result.outcome for result in results)
    return ", ".join(f"{found[outcome]} {outcome}" for outcome in Outcome if found[outcome])


def has_passed(results: Sequence[Result]) -> bool:
    """Return whether nothing failed, and nothing was interrupted."""
    return not any(result.outcome in {Outcome.FAILED, Outcome.INTERRUPTED, Outcome.NOT_RUN} for result in results)


def _document(deployment: Deployment, results: Sequence[Result], began: int, ended: int) -> dict[str, Any]:
    parameters = {name: deployment.parameters[name] for name in _PARAMETERS if name in deployment.parameters}
    return {
        "stack": deployment.stack,
        "stackId": deployment.stack_id,
        "endpoint": deployment.endpoint or "AWS",
        "began": to_iso(began),
        "ended": to_iso(ended),
        "parameters": parameters,
        "outcomes": {outcome: sum(result.outcome == outcome for result in results) for outcome in Outcome},
        "checks": [asdict(result) for result in results],
    }


def _markdown(document: dict[str, Any], results: Sequence[Result]) -> str:
    where = "the local stack" if document["endpoint"] != "AWS" else "AWS"
    head = [
        f"# handoff verify: {document['stack']} on {where}",
        f"{document['began']} to {document['ended']}, `{document['stackId']}`",
        "Parameters: " + ", ".join(f"`{name}={value}`" for name, value in document["parameters"].items()),
        f"**{counts(results)}**",
    ]
    table = ["| check | outcome | seen |", "| --- | --- | --- |"]
    table += [f"| {result.name} | {result.outcome} | {_cell(result.seen)} |" for result in results]
    details = [part for result in results if (part := _details(result))]
    return "\n\n".join([*head, "\n".join(table), *details]) + "\n"


def _details(result: Result) -> str:
    """Return a section with the notes, the remains and the answers; empty if the result has none of them."""
    parts = []
    if result.notes:
        parts.append("\n".join(f"- {_cell(note)}" for note in result.notes))
    if result.left:
        parts.append("Not cleaned up:\n\n" + "\n".join(f"- {_cell(left)}" for left in result.left))
    if result.answers:
        parts.append("\n".join([*_ANSWERS, *(_row(answer) for answer in result.answers)]))
    return "\n\n".join([f"## {result.name}", f"{result.outcome} in {result.seconds:.1f} s", *parts]) if parts else ""


_ANSWERS = ("| request | times | status | error | last request id |", "| --- | --- | --- | --- | --- |")


def _row(answer: Answer) -> str:
    status = answer.status or "no answer"
    return f"| {answer.operation} | {answer.count} | {status} | {answer.error} | {answer.request_id} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
