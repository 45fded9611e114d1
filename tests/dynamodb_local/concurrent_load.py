"""Concurrent load on one deployment: DynamoDB Local, several instances of each function, hundreds of threads."""

import random
import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from threading import Barrier
from typing import Any, TypeVar

import boto3
import pytest
from botocore.exceptions import BotoCoreError

from dev.invariants import Snapshot
from dev.simulated.functions import Functions
from dev.simulated.stack import SimulatedStack
from dev.simulated.world import ADDRESS
from handoff import aws
from handoff.attribute_values import from_item, to_item
from handoff.clock import Deadline, now_ms
from handoff.errors import TransactionConflict
from handoff.events import Envelope
from handoff.sweep import run_together
from ops.stock_shards import set_shards
from shop.cancelling import cancel_own_order
from shop.catalog import MAX_PRODUCTS
from shop.confirming import confirm, confirm_own_order
from shop.customers import CustomerStore
from shop.errors import InProgress, ProfileBusy, RequestError, TryLater
from shop.fingerprint import Fingerprint
from shop.model import Address, Order
from shop.packing import pack_order
from shop.payments import ActsForCustomer, Stage
from shop.placing import ActionNeeded, Dependencies, DuplicateRequest, PlaceOrder, place_order
from shop.refunding import RefundRequest, request_refund
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
    """The template's tables and functions, and the requests of concurrent customers, consumers and sweepers.

    ``settings`` replace environment variables of the functions.
    """

    def __init__(self, stack: SimulatedStack, network: Network, settings: Mapping[str, str]) -> None:
        self.network = network
        self._stack = stack
        self._settings = settings
        self._client = boto3.Session().client("dynamodb")  # the test's own, which bypasses the network
        apps = [self._module("OrdersFunction")._app for _ in range(_INSTANCES)]
        self._shops: list[Dependencies] = [app.shop for app in apps]
        self._stores: list[CustomerStore] = [app.customers for app in apps]
        self._analytics = [self._module("AnalyticsFunction") for _ in range(_INSTANCES)]
        self._sweepers = [self._module("SweeperFunction") for _ in range(2)]
        self._feedback = [self._module("FeedbackFunction") for _ in range(2)]

    def _module(self, function: str) -> Any:
        return Functions(self._stack, clock=None, settings=self._settings, own_clients=True).module(function)

    # --- tables, by logical id ----------------------------------------------------------------------------------------

    def stock(self, available: dict[str, int]) -> None:
        """Write products with this stock."""
        for sku, count in available.items():
            product = {"sku": sku, "name": sku.title(), "unitPrice": 1250, "available": count, "listed": True}
            self._client.put_item(TableName=self._table("ProductsTable"), Item=to_item(product))

    def split(self, sku: str, shards: int) -> None:
        """Give a product this number of stock shards, as an operator does: repeat the command until it succeeds."""
        for _ in range(_TRIES):
            with suppress(TransactionConflict, *aws.ERRORS):
                set_shards(random.choice(self._shops).orders._client, self._table("ProductsTable"), sku, shards)
                return
        raise AssertionError(f"{sku} never gets {shards} shards")

    def read_catalog(self) -> None:
        """Have each instance of the API read the catalog."""
        for shop in self._shops:
            shop.catalog.page(MAX_PRODUCTS, None, Deadline(_SECONDS))

    def customers(self, *users: str) -> None:
        """Write customers with an address."""
        for user in users:
            customer = {"userId": user, "name": user.title(), "email": f"{user}@example.com"}
            self._client.put_item(TableName=self._table("CustomersTable"), Item=to_item(customer))

    def items(self, table: str) -> list[dict[str, Any]]:
        """Return all items of a table."""
        pages = self._client.get_paginator("scan").paginate(TableName=self._table(table), ConsistentRead=True)
        return [from_item(item) for page in pages for item in page["Items"]]

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

    def start(self, wish: PlaceOrder) -> str:
        """Place an order whose payment needs the customer, who then acts at the provider; return the order's id."""
        shop = self._shop()
        with pytest.raises(ActionNeeded) as needed:
            place_order(shop, wish, Deadline(_SECONDS))
        assert isinstance(shop.payments, ActsForCustomer)
        assert shop.payments.act(needed.value.client_secret) is Stage.HELD
        return wish.order_id

    def confirm(self, order_id: str) -> Answers:
        """Confirm an order as the customer's page does: retry until the answer is definite."""
        return _insist(order_id, lambda: confirm_own_order(self._shop(), order_id, "ada", Deadline(_SECONDS)))

    def _placed(self, wish: PlaceOrder) -> Order:
        try:
            return place_order(self._shop(), wish, Deadline(_SECONDS))
        except DuplicateRequest as before:
            return confirm(self._shop(), before.order, Deadline(_SECONDS))

    def cancel(self, order: Order) -> Answers:
        """Cancel an order as a client does: retry until the answer is definite."""
        return _insist(
            order.order_id, lambda: cancel_own_order(self._shop(), order.order_id, order.user_id, Deadline(_SECONDS))
        )

    def pack(self, order: Order) -> Answers:
        """Pack an order as a warehouse does: retry until the answer is definite."""
        return _insist(order.order_id, lambda: pack_order(self._shop(), order.order_id, 0, Deadline(_SECONDS)))

    def refund(self, request: RefundRequest) -> Answers:
        """Request a refund as a program does: retry with the same key until the answer is definite."""
        return _insist(request.idempotency_key, lambda: request_refund(self._shop(), request, Deadline(_SECONDS))[0])

    def flag(self, user: str) -> None:
        """Report that a mail to a user's address bounced; a report that fails is delivered again."""
        for _ in range(_TRIES):
            with suppress(*aws.ERRORS):
                assert random.choice(self._feedback)._customers.flag_email(user, f"{user}@example.com", "bounced")
                return
        raise AssertionError(f"the address of {user} is never flagged")

    def save_address(self, user: str) -> None:
        """Save the same address again, as a customer does: retry until the answer is definite."""
        changed = {"name": user.title(), "email": f"{user}@example.com", "now": now_ms(), "correlation_id": "trace-me"}
        for _ in range(_TRIES):
            with suppress(ProfileBusy, TransactionConflict, *aws.ERRORS):
                random.choice(self._stores).update(user, **changed, deadline=Deadline(_SECONDS))
                return
        raise AssertionError(f"the address of {user} is never saved")

    def count(self, envelopes: Sequence[Envelope]) -> None:
        """Have analytics count a batch; events that it reports as failed are delivered again."""
        left = list(envelopes)
        for _ in range(_TRIES):
            batch = random.choice(self._analytics).Batch()
            batch.count(left)
            left = [envelope for envelope in left if _is_retried(batch, envelope)]
            if not left:
                return
            time.sleep(random.uniform(0.1, 0.4))  # as queues pause before they deliver again
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
        shards = range(function._settings.unfinished_shards)
        parts = [function._Part() for _ in shards]
        run_together([part.sweep for part in parts], shards)
        report = Counter()
        for part in parts:
            report.update(part.finisher.report())
        return report

    def _shop(self) -> Dependencies:
        return random.choice(self._shops)


def wish(quantities: dict[str, int], *, token: str = "tok_approve", user: str = "ada") -> PlaceOrder:
    """Return a request to place an order, with a new key."""
    return PlaceOrder(
        user_id=user,
        verified_email=f"{user}@example.com",
        idempotency_key=uuid.uuid4().hex,
        quantities=quantities,
        shipping_address=Address.model_validate(ADDRESS),
        payment_token=token,
        can_act=True,
        expected_total=None,
        fingerprint=Fingerprint(f"3:{sorted(quantities.items())} {token}", ""),
        correlation_id="trace-me",
    )


def refund_of(order: Order, amount: int) -> RefundRequest:
    """Return a request for a refund of an amount, with a new key."""
    return RefundRequest(
        order_id=order.order_id,
        idempotency_key=uuid.uuid4().hex,
        quantities={},
        amount=amount,
        reason="damaged",
        restock=False,
        fingerprint=Fingerprint(f"3:{amount}", ""),
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
