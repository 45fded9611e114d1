"""The tables in docs/reference/permissions.md: routes, the permissions of roles, and resource policies.

``python -m tests.permissions.page`` writes them from the template, and keeps the results of the trials.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from dev.template import ROOT
from tests.permissions import grants, policies, routes
from tests.permissions.catalog import PURPOSES, Enforced, NotEnforced
from tests.permissions.grants import Grant, Permission

PAGE = ROOT / "docs/reference/permissions.md"
_ROW = re.compile(r"^\| `([\w*-]+:[\w*]+)` \| `([^`]+)` \|.*\| ([^|]*) \|$")

_TRIED = "(with it:"


class NotTried(Exception):
    """The page has no result for a permission that the local stack enforces."""


def write(path: Path, results: Mapping[Permission, str]) -> None:
    """Write the tables between their markers; ``results`` are those of the trials."""
    text = path.read_text()
    for name, table in tables(results).items():
        text = _replaced(text, name, table)
    path.write_text(text)


def tables(results: Mapping[Permission, str]) -> dict[str, str]:
    """Return all tables by the names of their markers."""
    return {"routes": routes.table(), "permissions": _permissions(results), "policies": policies.table()}


def in_page(text: str) -> dict[str, str]:
    """Return the tables of a page by the names of their markers."""
    return {name: _between(text, name) for name in ("routes", "permissions", "policies")}


def results_in(text: str) -> dict[Permission, str]:
    """Return the results of the trials that a page has."""
    results: dict[Permission, str] = {}
    role = ""
    for line in _between(text, "permissions").splitlines():
        if line.startswith("### "):
            role = line.split("`")[1]
        elif (row := _ROW.match(line)) and _TRIED in row[3]:
            results[Permission(role, row[1], row[2])] = row[3]
    return results


def _permissions(results: Mapping[Permission, str]) -> str:
    found = grants.all_grants()
    owners = grants.owners()
    parts = []
    for role in dict.fromkeys(grant.permission.role for grant in found):
        parts += [f"### `{role}`", "", f"For {owners[role]}.", ""]
        parts += ["| action | resource | only with | purpose | without it |", "|---|---|---|---|---|"]
        parts += [_row(grant, results) for grant in found if grant.permission.role == role]
        parts.append("")
    return "\n".join(parts)


def _row(grant: Grant, results: Mapping[Permission, str]) -> str:
    permission, use = grant.permission, PURPOSES[grant.permission]
    only = ", ".join(f"`{name}`" for name in grant.only_with.split(", ") if name)
    purpose = f"{use.purpose}; only if {grant.condition}" if grant.condition else use.purpose
    without = _without(permission, use, results)
    return f"| `{permission.action}` | `{permission.resource}` | {only} | {purpose} | {without} |"


def _without(permission: Permission, use: Enforced | NotEnforced, results: Mapping[Permission, str]) -> str:
    if isinstance(use, NotEnforced):
        return f"not enforced locally: {use.reason} ([AWS]({use.source}))"
    if permission in results:
        return results[permission]
    if any(tried.role == permission.role for tried in results):
        raise NotTried(f"{permission} was never tried: run make permissions ONLY={permission.role}")
    return f"not tried yet: `make permissions ONLY={permission.role}`"  # of a new function


def _markers(name: str) -> tuple[str, str]:
    return f"<!-- {name}: written by `make permissions` -->", f"<!-- {name}: end -->"


def _between(text: str, name: str) -> str:
    begin, end = _markers(name)
    assert text.count(begin) == text.count(end) == 1, f"the page needs the markers {begin} and {end} once each"
    return text.partition(begin)[2].partition(end)[0].strip("\n")


def _replaced(text: str, name: str, table: str) -> str:
    _between(text, name)
    begin, end = _markers(name)
    before, _, rest = text.partition(begin)
    return f"{before}{begin}\n\n{table.strip()}\n\n{end}{rest.partition(end)[2]}"


if __name__ == "__main__":
    write(PAGE, results_in(PAGE.read_text()))
