"""A load peak on the deployed stack over HTTP: a hundred concurrent requests for too few products.

It runs after test_deployed.py, which begins with a shop without sales.
"""

import contextlib
import random
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Barrier
from typing import Any

import httpx
import pytest

from dev.demo import orders as demo
from dev.local.consumers import lambda_client, paused
from handoff.attribute_values import to_item
from ops import catalog
from ops.shop_client import Answer, ShopClient, sign_up
from ops.stack import observe
from ops.stack.deployment import Deployment
from tests.e2e.support import sample, sweep, until_quiet

LOADED = {"RUSH-MUG": 12, "RUSH-TEE": 12, "RUSH-BAG": 12}
PRICE = 500
USERS = 4
KEYS = 50  # each sent by two threads
INSTANCES = 6  # of the orders function: each is a process, and two cores cannot start a hundred in time
PASSING = {429, 503}  # from the gateway, and from a function without time left
TRIES = 20


@pytest.fixture
def customers(deployment: Deployment, client: ShopClient) -> Iterator[list[ShopClient]]:
    """Customers with a profile, so that they get mails."""
    with contextlib.ExitStack() as opened:
        found = []
        for _ in range(USERS):
            email = f"{uuid.uuid4().hex}@example.com"
            customer = opened.enter_context(
                contextlib.closing(ShopClient(deployment.api_url, sign_up(deployment, email).token))
            )
            assert customer.introduce({"name": "Eager", "email": email}).status == 200
            found.append(customer)
        yield found


@pytest.fixture
def products(deployment: Deployment) -> Iterator[None]:
    """Products for this test only: other tests check the stock of the sample catalog."""
    table = deployment.resource("ProductsTable")
    entries = [catalog.Entry(sku=sku, name=sku, unitPrice=PRICE, available=n) for sku, n in LOADED.items()]
    catalog.load(deployment.dynamodb, table, entries)
    yield
    for sku in LOADED:
        deployment.dynamodb.delete_item(TableName=table, Key=to_item({"sku": sku}))


@pytest.fixture
def few_instances(deployment: Deployment) -> Iterator[None]:
    """Limit the instances of the orders function; further requests are throttled and retried."""
    function, client = deployment.resource("OrdersFunction"), lambda_client(deployment)
    client.put_function_concurrency(FunctionName=function, ReservedConcurrentExecutions=INSTANCES)
    yield
    client.delete_function_concurrency(FunctionName=function)


@dataclass(frozen=True)
class Wish:
    """A customer's request under a key."""

    customer: ShopClient
    key: str
    body: dict[str, Any]
    cancels: bool


def wishes(customers: list[ShopClient], choose: random.Random) -> list[Wish]:
    """Return requests for more than the stock; every fifth is canceled at once."""
    found = []
    for n in range(KEYS):
        chosen = choose.sample(sorted(LOADED), choose.randint(1, 2))
        lines = [{"sku": sku, "quantity": choose.randint(1, 3)} for sku in chosen]
        body = {name: value for name, value in sample("good", lines=lines).items() if name != "expectedTotal"}
        found.append(Wish(customers[n % len(customers)], str(uuid.uuid4()), body, cancels=n % 5 == 0))
    return found


def insist(request: Callable[[], Answer]) -> list[Answer]:
    """Retry a request with backoff until its answer is definite; return all answers."""
    answers: list[Answer] = []
    for attempt in range(TRIES):
        with contextlib.suppress(httpx.TransportError):  # no answer is not definite either
            answers.append(request())
            if answers[-1].status not in PASSING and kind(answers[-1]) != "in-progress":
                return answers
        time.sleep(random.uniform(0.5, 1) * min(8, 2**attempt))
    raise AssertionError(f"no definite answer: {answers}")


def kind(answer: Answer) -> str:
    return str(answer.body.get("type", "")).rpartition(":")[2]


def send(wish: Wish) -> list[Answer]:
    """Place an order, and cancel it if the wish says so."""
    answers = insist(lambda: wish.customer.place(wish.body, wish.key))
    if wish.cancels and answers[-1].status == 201:
        cancelled = insist(lambda: wish.customer.cancel(answers[-1].body["orderId"]))[-1]
        assert cancelled.status == 200 or kind(cancelled) == "not-cancellable", cancelled
    return answers


def at_once(wanted: list[Wish]) -> list[list[Answer]]:
    """Send all wishes, each from its own thread; all threads start together."""
    with ThreadPoolExecutor(len(wanted), initializer=Barrier(len(wanted)).wait) as pool:
        return list(pool.map(send, wanted))


def content(order: dict[str, Any]) -> dict[str, Any]:
    return {name: order[name] for name in ("orderId", "lines", "total", "placedAt")}


@pytest.mark.usefixtures("products", "few_instances")
def test_a_load_peak_oversells_nothing_and_answers_each_key_once(
    deployment: Deployment, customers: list[ShopClient], tally: Counter[str]
) -> None:
    # WHEN demand exceeds the stock, and two threads send each request
    wanted = wishes(customers, random.Random(1)) * 2
    with paused(deployment, *deployment.consumers):  # two cores are busy enough
        answers = at_once(wanted)
    sweep(deployment)
    until_quiet(deployment)
    snapshot = demo.take_snapshot(deployment)
    # THEN every answer is definite in the end: an order, or out of stock
    assert {(given[-1].status, kind(given[-1])) for given in answers} == {(201, ""), (409, "out-of-stock")}
    # AND each key has one order or none, and every answer shows it
    stored = {order["orderId"]: order for order in snapshot.orders if order["lines"][0]["sku"] in LOADED}
    by_key: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for wish, given in zip(wanted, answers, strict=True):
        by_key[wish.key] += [content(answer.body) for answer in given if answer.status == 201]
    placed = [found for found in by_key.values() if found]
    assert all(order == content(stored[order["orderId"]]) for found in placed for order in found)
    assert sorted(found[0]["orderId"] for found in placed) == sorted(stored)
    # AND all loaded stock is available or in an order
    sold = Counter[str]()
    for order in stored.values():
        if order["status"] != "CANCELLED":
            sold.update({line["sku"]: line["quantity"] for line in order["lines"]})
    available = {product["sku"]: product["available"] for product in snapshot.products if product["sku"] in LOADED}
    assert available == {sku: count - sold[sku] for sku, count in LOADED.items()}
    assert min(available.values()) >= 0
    # AND each order is paid, shipped and mailed once, or canceled
    kept = [order_id for order_id, order in stored.items() if order["status"] == "PREPARED"]
    cancelled = [order_id for order_id, order in stored.items() if order["status"] == "CANCELLED"]
    assert len(kept) + len(cancelled) == len(stored)
    assert demo.effect_problems(demo.PlacedOrders(kept=kept, cancelled=cancelled), snapshot) == []
    held = [entry["orderId"] for entry in snapshot.ledger if entry["kind"] == "authorise"]
    assert all(held.count(order_id) == 1 for order_id in stored)
    # AND the sales are exact
    counted = {sku: snapshot.totals[f"sku#{sku}"] for sku in LOADED}
    assert {sku: (count["units"], count["revenue"]) for sku, count in counted.items()} == {
        sku: (sold[sku], sold[sku] * PRICE) for sku in LOADED
    }
    assert observe.dead_letters(deployment) == dict.fromkeys(snapshot.dead_letters, 0)
    tally["requests of the load peak over HTTP"] = sum(map(len, answers))
    tally["orders placed in the load peak over HTTP"] = len(stored)
