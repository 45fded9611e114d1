"""Parse and validate requests for refunds."""

import hashlib
import json
from typing import Annotated, Any

from pydantic import Field

import bodies
import parameters
import problems
from bodies import STRIPPED, VISIBLE, WHOLE, Body, LineIn, one_line
from shop import fingerprint, text
from shop.fingerprint import Fingerprint
from shop.model import MAX_LINES, MAX_TOTAL
from shop.refunding import RefundRequest

KEY_PARAMETER = parameters.key_parameter("refund")


class RefundIn(Body):
    """A refund of units of the order (`lines`), of an `amount` in minor units, or of everything that is left.

    Send `lines` or `amount`, not both. `restock` returns the units to the stock once the money is refunded; an amount
    has no units.
    """

    lines: Annotated[list[LineIn], Field(min_length=1, max_length=MAX_LINES)] | None = None
    amount: Annotated[int, Field(ge=1, le=MAX_TOTAL), WHOLE] | None = None
    reason: Annotated[str, one_line(200), VISIBLE, STRIPPED]  # as sent, like the texts of `AddressIn`
    restock: bool = False


def refund(event: dict[str, Any], order_id: str) -> RefundRequest:
    """Return the validated request to refund an order.

    Raises
    ------
    problems.Problem
        With the invalid fields.
    """
    key = parameters.idempotency_key(event, "refund")
    body = bodies.parsed(RefundIn, event)
    if body.amount and body.lines:
        raise problems.invalid(dict.fromkeys(("lines", "amount"), "send lines or an amount, not both"))
    if body.amount and body.restock:
        raise problems.invalid({"restock": "an amount has no units to return to the stock: send lines"})
    quantities = bodies.merged(body.lines or [])
    return RefundRequest(
        order_id=order_id,
        idempotency_key=key,
        quantities=quantities,
        amount=body.amount,
        reason=text.normalized(body.reason),
        restock=body.restock,
        fingerprint=_fingerprint(body, quantities),
    )


def _fingerprint(body: RefundIn, quantities: dict[str, int]) -> Fingerprint:
    """Return the fingerprint of a refund. Its legacy hash counts exactly the members that earlier releases knew."""
    meaning = body.model_dump(exclude={"lines"}, exclude_defaults=True) | {"lines": quantities}
    known = {"lines": quantities, "amount": body.amount, "reason": body.reason, "restock": body.restock}
    document = json.dumps({name: value for name, value in known.items() if value}, sort_keys=True)
    return Fingerprint(fingerprint.of(meaning), "1:" + hashlib.sha256(document.encode()).hexdigest())
