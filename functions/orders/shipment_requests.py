"""Parse and validate requests about shipments."""

from typing import Any

import parameters
import problems
from parameters import Page, Parameter

STATE_PARAMETER = Parameter(
    "state", "query", {"type": "string", "enum": ["open"], "default": "open"}, "`open`: not packed yet."
)
LIMIT = parameters.limit_parameter(50, default=20)
PAGE_PARAMETERS = (LIMIT, parameters.CURSOR, STATE_PARAMETER)


def page(event: dict[str, Any]) -> Page:
    """Return the requested part of the list of open shipments.

    Raises
    ------
    problems.Problem
        With the invalid parameters.
    """
    given = parameters.query(event, PAGE_PARAMETERS)
    wrong: dict[str, str] = {}
    limit = parameters.limit_of(given, LIMIT, wrong)
    parameters.choice_of(given, STATE_PARAMETER, wrong)
    if wrong:
        raise problems.invalid(wrong)
    return Page(limit, parameters.position(given, {"orderId", "openSince"}))
