"""Parse and validate requests for the catalog."""

import re
from dataclasses import dataclass
from typing import Any

import parameters
import problems
from shop.catalog import MAX_PRODUCTS
from shop.stock import KEY

_LIMIT = parameters.limit_parameter(MAX_PRODUCTS, default=MAX_PRODUCTS)
PAGE_PARAMETERS = (_LIMIT, parameters.CURSOR)


@dataclass(frozen=True, slots=True)
class CatalogQuery:
    """The requested part of the catalog: ``limit`` products after the key ``after``."""

    limit: int
    after: str | None


def page(event: dict[str, Any]) -> CatalogQuery:
    """Return the requested part of the catalog.

    Raises
    ------
    problems.Problem
        With the invalid parameters.
    """
    given = event.get("queryStringParameters") or {}  # others are ignored, as before this route had parameters
    wrong: dict[str, str] = {}
    limit = parameters.limit_of(given, _LIMIT, wrong)
    if wrong:
        raise problems.invalid(wrong)
    position = parameters.position(given, {"sku"})
    if position and not re.fullmatch(KEY, position["sku"]):
        raise parameters.wrong_cursor()
    return CatalogQuery(limit, position["sku"] if position else None)
