"""Parse and validate requests for reports."""

import re
from dataclasses import dataclass
from datetime import date
from typing import Any

import parameters
import problems
from parameters import Parameter
from response_schemas import DAY
from shop.sales_report import PagePosition

MAX_DAYS = 92  # a quarter

_DAY_SCHEMA = {"type": "string", "pattern": DAY, "format": "date"}
_LIMIT = parameters.limit_parameter(500, default=100)
SALES_PARAMETERS = (
    Parameter("from", "query", _DAY_SCHEMA, "The first day, in UTC.", required=True),
    Parameter("to", "query", _DAY_SCHEMA, f"The last day, inclusive. At most {MAX_DAYS} days in all.", required=True),
    _LIMIT,
    parameters.CURSOR,
)


@dataclass(frozen=True, slots=True)
class SalesQuery:
    """The requested part of the sales: the UTC days from first to last, both inclusive, as YYYY-MM-DD."""

    first: str
    last: str
    limit: int
    after: PagePosition | None


def sales(event: dict[str, Any]) -> SalesQuery:
    """Return the requested part of the sales.

    Raises
    ------
    problems.Problem
        With the invalid parameters.
    """
    given = parameters.query(event, SALES_PARAMETERS)
    days = {name: _day(given.get(name, "")) for name in ("from", "to")}
    wrong = {name: "must be a day as YYYY-MM-DD" for name, day in days.items() if not day}
    limit = parameters.limit_of(given, _LIMIT, wrong)
    first, last = days["from"], days["to"]
    if first and last and first > last:
        wrong["to"] = "must not be before from"
    elif first and last and (last - first).days >= MAX_DAYS:
        wrong["to"] = f"must be at most {MAX_DAYS} days from the first day to the last"
    if wrong or first is None or last is None:
        raise problems.invalid(wrong)
    return SalesQuery(str(first), str(last), limit, _position(given.get("cursor"), first, last))


def _day(text: str) -> date | None:
    if not re.fullmatch(DAY, text):
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _position(cursor: str | None, first: date, last: date) -> PagePosition | None:
    wrong = problems.invalid({"cursor": "not a cursor that this API has returned for these days"})
    position = parameters.decode_cursor(cursor, {"day", "sku"}, wrong)
    if position is None:
        return None
    day = _day(position["day"])
    if day is None or not first <= day <= last:
        raise wrong
    return PagePosition(position["day"], position["sku"])
