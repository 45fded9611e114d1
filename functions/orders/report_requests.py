"""Who may read reports, and what of them is asked for."""

import re
from dataclasses import dataclass
from datetime import date
from typing import Any

import order_requests
import problems
from response_schemas import DAY
from shop.sales_report import PagePosition

SCOPE = "reports:read"
# Cognito puts the resource server's name before a scope's. The route in template.yaml names the same two.
_SCOPES = {SCOPE, f"handoff/{SCOPE}"}
MAX_DAYS = 92  # a quarter
DEFAULT_ROWS, MAX_ROWS = 100, 500

_DAY = re.compile(DAY)
_LIMIT = re.compile(r"[1-9][0-9]{0,2}")


@dataclass(frozen=True, slots=True)
class SalesQuery:
    """Which part of the sales is wanted: the UTC days from first to last, both included, as YYYY-MM-DD."""

    first: str
    last: str
    limit: int
    after: PagePosition | None


def check_scope(event: dict[str, Any]) -> None:
    """Let only tokens with the scope ``reports:read`` pass. The gateway checks it as well; not every local one does.

    Raises
    ------
    problems.Problem
        If the token has it neither in its claim ``scope`` nor in ``scp``.
    """
    claims = order_requests.claims(event)
    # The gateway hands a list on as text in brackets: "[one two]".
    given = " ".join(str(claims.get(name, "")) for name in ("scope", "scp"))
    if _SCOPES.isdisjoint(re.split(r"[\s,\[\]]+", given)):
        raise problems.forbidden(SCOPE)


def sales(event: dict[str, Any]) -> SalesQuery:
    """The sales that are asked for.

    Raises
    ------
    problems.Problem
        Naming the parameters that are wrong.
    """
    query = order_requests.parameters(event, {"from", "to", "limit", "cursor"})
    days = {name: _day(query.get(name, "")) for name in ("from", "to")}
    wrong = {name: "must be a day as YYYY-MM-DD" for name, day in days.items() if day is None}
    limit = query.get("limit", str(DEFAULT_ROWS))
    if not _LIMIT.fullmatch(limit) or int(limit) > MAX_ROWS:
        wrong["limit"] = f"must be a whole number from 1 to {MAX_ROWS}"
    first, last = days["from"], days["to"]
    if first and last and first > last:
        wrong["to"] = "must not be before from"
    elif first and last and (last - first).days >= MAX_DAYS:
        wrong["to"] = f"must be at most {MAX_DAYS} days from the first day to the last"
    if wrong or first is None or last is None:
        raise problems.invalid(wrong)
    return SalesQuery(str(first), str(last), int(limit), _position(query.get("cursor"), first, last))


def _day(text: str) -> date | None:
    if not _DAY.fullmatch(text):
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _position(cursor: str | None, first: date, last: date) -> PagePosition | None:
    wrong = problems.invalid({"cursor": "not one that this API gave out for these days"})
    position = order_requests.decode_cursor(cursor, {"day", "sku"}, wrong)
    if position is None:
        return None
    day = _day(position["day"])
    if day is None or not first <= day <= last:
        raise wrong
    return PagePosition(position["day"], position["sku"])
