"""Cancellations and refunds by an operator: their effects, and their requests to the API as a program."""

import hashlib
import itertools
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from ops import tokens
from ops.shop_client import Answer, ShopClient
from ops.stack.deployment import Deployment
from ops.text import sentences
from ops.trace.order_record import OrderItem
from shop import ids, money
from shop.model import Line, Order, Refund, RefundState, Status

TOKEN_VARIABLE = "HANDOFF_PROGRAM_TOKEN"  # noqa: S105  # a name
_PAUSES = (1.0, 2.0, 4.0)  # seconds between the tries of a request without a definite answer
_THROTTLED = 429


class Refused(Exception):
    """The API refused the request; the text has its reason."""


class NoAnswer(Exception):
    """The API gave no definite answer, so the request may or may not have had its effect."""


class OrderContents(OrderItem):
    """An order with the units that can be refunded; no address and no payment token."""

    lines: tuple[Line, ...]


@dataclass(frozen=True)
class RefundWanted:
    """A refund of units by sku, of an amount in minor units, or of everything that is left."""

    quantities: Mapping[str, int]
    amount: int | None
    reason: str
    restock: bool

    @property
    def body(self) -> dict[str, Any]:
        """The request's body."""
        lines = [{"sku": sku, "quantity": quantity} for sku, quantity in sorted(self.quantities.items())]
        return {
            **({"lines": lines} if lines else {}),
            **({} if self.amount is None else {"amount": self.amount}),
            "reason": self.reason,
            "restock": self.restock,
        }

    def key(self, order: Order) -> str:
        """Return the idempotency key of equal commands: a repeat after a lost answer refunds nothing twice.

        After a failed refund, an equal command gets another key, so that the provider is asked again.
        """
        meaning = json.dumps(self.body, sort_keys=True)
        keys = (hashlib.sha256(f"{n}:{meaning}".encode()).hexdigest()[:32] for n in itertools.count(1))
        return next(key for key in keys if not _has_failed(refund_with(order, key)))


def refund_with(order: Order, key: str) -> Refund | None:
    """Return the refund that an idempotency key has requested before."""
    return order.refunds.get(ids.refund_id(order.order_id, key))


def _has_failed(refund: Refund | None) -> bool:
    return refund is not None and refund.state is RefundState.FAILED


def cancellation_effects(order: Order) -> Iterator[tuple[str, str]]:
    """Yield what cancelling an order would do, as names and values."""
    yield from _about(order)
    if order.status is Status.PENDING:
        yield "effect", "the order is rejected, its units return to the stock, and a hold is voided"
    elif order.status is Status.PLACED:
        held = money.shown(order.total, order.currency)
        yield "effect", f"its units return to the stock, the hold of {held} is voided, and the customer gets a mail"
    else:
        yield "effect", f"none: only an order that is not packed yet can be cancelled, this one is {order.status}"


def refund_effects(order: Order, wanted: RefundWanted) -> Iterator[tuple[str, str]]:
    """Yield what a refund would do, as names and values."""
    yield from _about(order)
    left = money.shown(order.refundable, order.currency)
    yield "captured", f"{money.shown(order.captured, order.currency)}, of which {left} can be refunded"
    yield "refund", f"{money.shown(_amount(order, wanted), order.currency)}, {_subject(wanted)}"
    if wanted.restock:
        yield "stock", "the units return to the stock when the money is refunded"
    else:
        yield "stock", "unchanged"


def _about(order: Order) -> Iterator[tuple[str, str]]:
    total = money.shown(order.total, order.currency)
    yield "order", f"{order.order_id}, {order.status}, total {total}, payment {order.payment.state}"


def _amount(order: Order, wanted: RefundWanted) -> int:
    """Return the amount that the API will compute."""
    if wanted.amount is not None:
        return wanted.amount
    if not wanted.quantities:
        return order.refundable
    prices = {line.sku: line.unit_price for line in order.lines}
    return sum(quantity * prices.get(sku, 0) for sku, quantity in wanted.quantities.items())


def _subject(wanted: RefundWanted) -> str:
    if wanted.quantities:
        return "for " + ", ".join(f"{quantity} x {sku}" for sku, quantity in wanted.quantities.items())
    return "everything that is left" if wanted.amount is None else "for no unit"


def program_token(deployment: Deployment, access: tokens.Access, file: Path | None) -> str:
    """Return a program's token: that of the file or the environment, or else one of the stack's own user pool.

    Raises
    ------
    ops.tokens.TokenError
        If the file cannot be read, or the pool issues none.
    """
    try:
        given = file.read_text(encoding="utf-8") if file else os.environ.get(TOKEN_VARIABLE, "")
    except (OSError, UnicodeDecodeError) as error:
        raise tokens.TokenError(f"The file of the token cannot be read: {error}") from error
    return given.strip() or tokens.token_for(deployment, access)


def cancel(deployment: Deployment, token: str, order_id: str, reason: str) -> Mapping[str, Any]:
    """Cancel an order; return it. Idempotent.

    Raises
    ------
    Refused, NoAnswer
    """
    with closing(ShopClient(deployment.api_url, token)) as program:
        return _send(lambda: program.cancel(order_id, reason))


def refund(deployment: Deployment, token: str, order_id: str, wanted: RefundWanted, key: str) -> Mapping[str, Any]:
    """Request a refund; return it. Idempotent by its key.

    Raises
    ------
    Refused, NoAnswer
    """
    with closing(ShopClient(deployment.api_url, token)) as program:
        return _send(lambda: program.refund(order_id, wanted.body, key))


def _send(request: Callable[[], Answer]) -> Mapping[str, Any]:
    """Send a request, which is safe to repeat, until its answer is definite; return the answer's body."""
    seen = ""
    for pause in (*_PAUSES, 0.0):
        try:
            answer = request()
        except (httpx.HTTPError, ValueError) as error:
            seen = f"{type(error).__name__}: {error}"
        else:
            if answer.status < 300:
                return answer.body
            if answer.status < 500 and answer.status != _THROTTLED:
                raise Refused(_problem(answer))
            seen = _problem(answer)
        time.sleep(pause)
    raise NoAnswer(sentences("The API gave no definite answer", seen))


def _problem(answer: Answer) -> str:
    """Return the title and the detail of a problem document, or the gateway's message."""
    title = answer.body.get("title") or answer.body.get("message") or "the API answered"
    return sentences(f"{title} ({answer.status})", answer.body.get("detail") or "")
