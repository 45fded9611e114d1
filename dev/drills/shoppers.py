"""Customers who place one order after the other and retry for minutes."""

import random
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import httpx

from ops.shop_client import Answer, ShopClient

NO_ANSWER = "no answer"
_PATIENCE = 240.0  # seconds that a customer retries one order
_LONGEST_PAUSE = 5.0  # seconds between two tries, unless Retry-After asks for more
_PAUSE_BETWEEN_ORDERS = (0.3, 0.9)  # seconds
_CANCELS = 0.1  # share of orders that the customer cancels immediately
_MANY_TRIES = 5


@dataclass(frozen=True, slots=True)
class Purchase:
    """One order, as its customer saw it.

    ``started`` is by `time.monotonic`, ``seconds`` the time until the final answer. ``status`` is the final answer's,
    None if the customer gave up. ``failures`` are the results of the earlier tries: a status, or `NO_ANSWER`.
    """

    started: float
    seconds: float
    status: int | None
    order_id: str | None
    failures: tuple[str, ...]


def shop(
    client: ShopClient, skus: Sequence[str], address: Mapping[str, Any], closed: threading.Event
) -> list[Purchase]:
    """Place orders until the shop is ``closed``. The order in progress is completed."""
    purchases = []
    while not closed.is_set():
        bought = buy(client, _order(skus, address))
        purchases.append(bought)
        if bought.status == 201 and bought.order_id and random.random() < _CANCELS:
            send_until_final(partial(client.cancel, bought.order_id))
        closed.wait(random.uniform(*_PAUSE_BETWEEN_ORDERS))
    return purchases


def buy(client: ShopClient, order: Mapping[str, Any]) -> Purchase:
    """Place one order under a new idempotency key."""
    key = str(uuid.uuid4())
    started = time.monotonic()
    answer, failures = send_until_final(lambda: client.place(order, key))
    return Purchase(
        started=started,
        seconds=time.monotonic() - started,
        status=answer.status if answer else None,
        order_id=answer.body.get("orderId") if answer else None,
        failures=tuple(failures),
    )


def send_until_final(request: Callable[[], Answer]) -> tuple[Answer | None, list[str]]:
    """Send the same request until its answer is final, as a well-behaved client does.

    Wait as long as ``Retry-After`` says, or else back off. Return the final answer, None after a timeout, and the
    results of the earlier tries.
    """
    failures: list[str] = []
    give_up = time.monotonic() + _PATIENCE
    while time.monotonic() < give_up:
        pause = random.uniform(0.5, 1.0) * min(_LONGEST_PAUSE, 0.3 * 2 ** min(len(failures), _MANY_TRIES))
        try:
            answer = request()
        except httpx.TransportError:
            failures.append(NO_ANSWER)
        else:
            asked = answer.headers.get("Retry-After")
            if answer.status < 500 and answer.status != 429 and not asked:
                return answer, failures
            failures.append(str(answer.status))
            pause = float(asked) if asked else pause
        time.sleep(pause)
    return None, failures


def _order(skus: Sequence[str], address: Mapping[str, Any]) -> dict[str, Any]:
    chosen = random.sample(skus, random.randint(1, 2))
    return {
        "lines": [{"sku": sku, "quantity": random.randint(1, 2)} for sku in chosen],
        "shippingAddress": dict(address),
        "paymentToken": "tok_approve",
    }
