"""Parse and validate requests about a customer's profile."""

from typing import Annotated, Any

import bodies
import parameters
import problems
from bodies import (
    DELIVERABLE,
    EMAIL,
    LANGUAGE,
    LONGEST_EMAIL,
    NORMALIZED,
    UNLINKED,
    VISIBLE,
    Body,
    matching,
    without_link,
)
from parameters import Page
from shop.model import Status
from shop.order_store import position_key

EXPORT_LIMIT = parameters.limit_parameter(50, default=50)
EXPORT_PARAMETERS = (EXPORT_LIMIT, parameters.CURSOR)
_POSITION_KEYS = [position_key(status) for status in (None, Status.PENDING)]


class ProfileIn(Body):
    """A customer's profile. Without a language, the one that the profile has is kept.

    E-mails are written in that language if there are translations (en, de, fr), otherwise in the shop's own.
    """

    name: Annotated[str, without_link(100), VISIBLE, UNLINKED, NORMALIZED]
    email: Annotated[str, matching(EMAIL, longest=LONGEST_EMAIL), DELIVERABLE]
    language: Annotated[str, matching(LANGUAGE)] | None = None


def profile(event: dict[str, Any]) -> ProfileIn:
    """Return the validated profile in the body.

    Raises
    ------
    problems.Problem
        With the invalid fields.
    """
    return bodies.parsed(ProfileIn, event)


def export_page(event: dict[str, Any]) -> Page:
    """Return the requested part of an export. Its cursor is a position in one of the two lists of a user's orders.

    Raises
    ------
    problems.Problem
        With the invalid parameters.
    """
    given = parameters.query(event, EXPORT_PARAMETERS)
    wrong: dict[str, str] = {}
    limit = parameters.limit_of(given, EXPORT_LIMIT, wrong)
    if wrong:
        raise problems.invalid(wrong)
    placed, unplaced = ({"orderId", key} for key in _POSITION_KEYS)
    try:
        return Page(limit, parameters.position(given, placed))
    except problems.Problem:
        return Page(limit, parameters.position(given, unplaced))
