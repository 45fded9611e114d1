"""Concurrent load on one deployment: DynamoDB Local, several instances of each function, hundreds of threads."""

import random
import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from threading import Barrier
from typing import Any, TypeVar

import boto3
from botocore.exceptions import BotoCoreError

from dev.invariants import Snapshot
from dev.simulated.functions import Functions
from dev.simulated.stack import SimulatedStack
from dev.simulated.world import ADDRESS
from handoff import aws
from handoff.clock import Deadline, now_ms
from handoff.errors import ConcurrentUpdate, TransactionConflict
from handoff.events import Envelope
from handoff.outbox import announce
from handoff.sweep import Sweep, Swept
from shop import transitions
from shop.cancelling import cancel_order
from shop.errors import InProgress, RequestError, TryLater
from shop.finishing import OrderFinisher
from shop.model import Address, Order
from shop.placing import Dependencies, DuplicateRequest, PlaceOrder, place_order, replay_response
from tests.dynamodb_local.network import Network

THREADS = 200
_INSTANCES = 10  # of each function, for twenty threads each
_SECONDS = 120.0  # for a request: threads wait for this machine longer than functions would
_TRIES = 12
_MOST_ROUNDS = 20

T = TypeVar("T")


@dataclass(frozen=True)
class Answers:
    """All answers to a customer's request until a definite one. ``died``: a call to a table got no answer."""

    key: str
    received: tuple[Order | RequestError, ...]
    died: bool

    @property
    def last(self) -> Order | RequestError | None:
        return self.received[-1] if self.received else None

    @property
    def definite(self) -> bool:
        return not isinstance(self.last, (InProgress, TryLater, type(None)))


class ThreadedShop:
    """The template's tables and functions, and the requests of concurrent customers, consumers and sweepers."""

    def __init__(self, stack: SimulatedStack, network: Network) -> None:
        self.network = network
        self._stack = stack
        self._client = boto3.Session().client("dynamodb")  # the test's own, which bypasses the network
        self._shops: list[Dependencies] = [self._module("OrdersFunction")._app.shop for _ in range(_INSTANCES)]
        self._analytics = [self._module("AnalyticsFunction") for _ in range(_INSTANCES)]
        self._sweepers = [self._module("SweeperFunction") for _ in range(2)]

    def _module(self, function: str) -> Any:
        return Functions(self._stack, clock=None).module(function)

    # --- tables, by logical id ----------------------------------------------------------------------------------------

    def stock(self, available: dict[str, int]) -> None:
        """Write products with this stock."""
        for sku, count in available.items():
            product = {"sku": sku, "name": sku.title(), "unitPrice": 1250, "available": count, "listed": True}
            self._client.put_item(TableName=self._table("ProductsTable"), Item=aws.to_item(product))

    def items(self, table: str) -> list[dict[str, Any]]:
        """Return all items of a table."""
        pages = self._client.get_paginator("scan").paginate(TableName=self._table(table), ConsistentRead=True)
        return [aws.from_item(item) for page in pages for item in page["Items"]]

    def _table(self, name: str) -> str:
        return self._stack.resource(name).ref

    def snapshot(self) -> Snapshot:
        """Read the tables, and the events that the bus accepted."""
        return Snapshot.read(self.items, events=self.network.events)

    # --- what customers, consumers and sweepers do --------------------------------------------------------------------

    def place(self, wish: PlaceOrder) -> Answers:
        """Place an order as a client does: retry with the same key until the answer is definite."""
        return _insist(wish.idempotency_key, lambda: self._placed(wish))

    def place_once(self, wish: PlaceOrder) -> None:
        """Place an order without a retry."""
        with suppress(TryLater, DuplicateRequest):
            place_order(self._shop(), wish, Deadline(_SECONDS))

    def _placed(self, wish: PlaceOrder) -> Order:
        try:
            return place_order(self._shop(), wish, Deadline(_SECONDS))
        except DuplicateRequest as before:
            return replay_response(before.order)

    def cancel(self, order: Order) -> Answers:
        """Cancel an order as a client does: retry until the answer is definite."""
        return _insist(
            order.order_id, lambda: cancel_order(self._shop(), order.order_id, order.user_id, Deadline(_SECONDS))
        )

    def prepare(self, order: Order) -> None:
        """Prepare an order unless it was canceled, with the retries of fulfillment and SQS."""
        for _ in range(_TRIES):
            shop, deadline = self._shop(), Deadline(_SECONDS)
            try:
                current = shop.orders.get(order.order_id)
                assert current
                after = shop.orders.transition(transitions.prepared(current, now_ms()), deadline)
                announce(shop.orders, shop.bus, after, deadline)
                return
            except transitions.NotPossible:
                return
            except (ConcurrentUpdate, TransactionConflict, BotoCoreError):
                continue

    def count(self, envelopes: Sequence[Envelope]) -> None:
        """Have analytics count a batch; events that it reports as failed are delivered again."""
        left = list(envelopes)
        for _ in range(_TRIES):
            batch = random.choice(self._analytics).Batch()
            batch.count(left)
            left = [envelope for envelope in left if _is_retried(batch, envelope)]
            if not left:
                return
        raise AssertionError(f"{len(left)} events are never counted")

    def sweep_until_quiet(self, clock: Any, sweepers: int) -> dict[str, int]:
        """Run several sweepers concurrently, minute by minute, until no work is left; return their summed reports."""
        done: dict[str, int] = {}
        for _ in range(_MOST_ROUNDS):
            clock.forward(300)
            for report in at_once([self._sweep] * sweepers, sweepers):
                done = {name: done.get(name, 0) + count for name, count in report.items()}
            if not any("unfinished" in order for order in self.items("OrdersTable")):
                return done
        raise AssertionError("the sweepers do not finish")

    def _sweep(self) -> dict[str, int]:
        function = random.choice(self._sweepers)
        finisher = OrderFinisher(function._orders, function._payments)
        sweep = Sweep([Swept(function._orders, finisher.finish), Swept(function._customers)], function._bus)
        sweep.run(range(function._settings.unfinished_shards))
        report: dict[str, int] = function._report(sweep, finisher)
        return report

    def _shop(self) -> Dependencies:
        return random.choice(self._shops)


def wish(quantities: dict[str, int], *, token: str = "tok_approve", user: str = "ada") -> PlaceOrder:
    """Return a request to place an order, with a new key."""
    return PlaceOrder(
        user_id=user,
        idempotency_key=uuid.uuid4().hex,
        quantities=quantities,
        shipping_address=Address.model_validate(ADDRESS),
        payment_token=token,
        expected_total=None,
        request_hash=f"{sorted(quantities.items())} {token}",
        correlation_id="trace-me",
    )


def at_once(jobs: Sequence[Callable[[], T]], threads: int = THREADS) -> list[T]:
    """Run all jobs on this many threads, which start together. An error in a job is an error of the test."""
    assert len(jobs) >= threads
    with ThreadPoolExecutor(threads, initializer=Barrier(threads).wait) as pool:
        return [future.result() for future in [pool.submit(job) for job in jobs]]


def _insist(key: str, request: Callable[[], Order]) -> Answers:
    answers: list[Order | RequestError] = []
    died = False
    for _ in range(_TRIES):
        try:
            answers.append(request())
        except RequestError as error:
            answers.append(error)
        except BotoCoreError:  # no answer, or no connection; the function answers 503 to it
            died = True
            continue
        if not isinstance(answers[-1], (InProgress, TryLater)):
            break
        time.sleep(random.uniform(0.1, 0.4))
    return Answers(key, tuple(answers), died)


def _is_retried(batch: Any, envelope: Envelope) -> bool:
    try:
        batch.check(envelope)
    except (TransactionConflict, BotoCoreError):
        return True
    return False
