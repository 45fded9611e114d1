"""The tables in docs/reference/permissions.md: the routes, every role's rights, and who else may do what.

``python -m tests.rights.page`` writes them anew from the template; the results of trials stay as they are there.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from dev.template import ROOT
from tests.rights import grants, policies, routes
from tests.rights.catalog import CATALOGUE, Told, Tried
from tests.rights.grants import Grant, Right

PAGE = ROOT / "docs/reference/permissions.md"
_ROW = re.compile(r"^\| `([\w*-]+:[\w*]+)` \| `([^`]+)` \|.*\| ([^|]*) \|$")


class NotTried(Exception):
    """A right that the local stack enforces has not been tried yet."""


def write(path: Path, seen: Mapping[Right, str]) -> None:
    """Put the tables between their markers; ``seen`` says what came of it without each right that was tried."""
    text = path.read_text()
    for name, table in tables(seen).items():
        text = _replaced(text, name, table)
    path.write_text(text)


def tables(seen: Mapping[Right, str]) -> dict[str, str]:
    """All tables, by the names of their markers."""
    return {"routes": routes.table(), "rights": _rights(seen), "policies": policies.table()}


def in_page(text: str) -> dict[str, str]:
    """The tables as a page has them, by the names of their markers."""
    return {name: _between(text, name) for name in ("routes", "rights", "policies")}


def seen_in(text: str) -> dict[Right, str]:
    """What a page says came of it without each right that was tried."""
    seen: dict[Right, str] = {}
    role = ""
    for line in _between(text, "rights").splitlines():
        if line.startswith("### "):
            role = line.split("`")[1]
        elif row := _ROW.match(line):
            seen[Right(role, row[1], row[2])] = row[3]
    return seen


def _rights(seen: Mapping[Right, str]) -> str:
    found = grants.all_grants()
    owners = grants.owners()
    parts = []
    for role in dict.fromkeys(grant.right.role for grant in found):
        parts += [f"### `{role}`", "", f"For {owners[role]}.", ""]
        parts += ["| action | resource | only with | what for | without it |", "|---|---|---|---|---|"]
        parts += [_row(grant, seen) for grant in found if grant.right.role == role]
        parts.append("")
    return "\n".join(parts)


def _row(grant: Grant, seen: Mapping[Right, str]) -> str:
    right, need = grant.right, CATALOGUE[grant.right]
    only = ", ".join(f"`{name}`" for name in grant.only_with.split(", ") if name)
    what_for = f"{need.what_for}; only if {grant.condition}" if grant.condition else need.what_for
    return f"| `{right.action}` | `{right.resource}` | {only} | {what_for} | {_without(right, need, seen)} |"


def _without(right: Right, need: Tried | Told, seen: Mapping[Right, str]) -> str:
    if isinstance(need, Told):
        return f"not enforced locally: {need.why_not} ([AWS]({need.source}))"
    if right not in seen:
        raise NotTried(f"{right} was never taken away to see what comes of it: make rights")
    return seen[right]


def _markers(name: str) -> tuple[str, str]:
    return f"<!-- {name}: written by `make rights` -->", f"<!-- {name}: end -->"


def _between(text: str, name: str) -> str:
    begin, end = _markers(name)
    assert text.count(begin) == text.count(end) == 1, f"the page lacks {begin} or {end}"
    return text.partition(begin)[2].partition(end)[0].strip("\n")


def _replaced(text: str, name: str, table: str) -> str:
    _between(text, name)
    begin, end = _markers(name)
    before, _, rest = text.partition(begin)
    return f"{before}{begin}\n\n{table.strip()}\n\n{end}{rest.partition(end)[2]}"


if __name__ == "__main__":
    write(PAGE, seen_in(PAGE.read_text()))
