"""Ordinary orders on the deployed stack: every event is delivered once, though consumers move orders on at once."""

import itertools
from concurrent.futures import ThreadPoolExecutor

from dev.demo import orders as demo
from ops.shop_client import ShopClient
from ops.stack import emf
from ops.stack.deployment import CONSUMERS, Deployment
from tests.e2e.support import place

TEA = [{"sku": "TEA-ASSAM-100", "quantity": 1}]
ORDERS = 60
CUSTOMERS_AT_ONCE = 3


def repeated(deployment: Deployment) -> int:
    """Return how many events the consumers have received again, from the metrics in their logs."""
    logs = itertools.chain.from_iterable(
        emf.events(deployment.logs, deployment.resource(f"{name.capitalize()}Logs")) for name in CONSUMERS
    )
    data = itertools.chain.from_iterable(emf.read(event["message"]) for event in logs)
    return sum(int(sum(datum.values)) for datum in data if datum.name == "EventsRepeated")


def test_no_event_of_an_ordinary_order_is_delivered_twice(deployment: Deployment, client: ShopClient) -> None:
    # GIVEN warm consumers, so that an order is packed while its own request is still publishing
    demo.wait_until_quiet(deployment, lambda _: None)
    before = repeated(deployment)
    # WHEN customers place orders at once
    with ThreadPoolExecutor(CUSTOMERS_AT_ONCE) as pool:
        answers = list(pool.map(lambda _: place(client, lines=TEA, expectedTotal=650), range(ORDERS)))
    assert {answer.status for answer in answers} == {201}
    demo.wait_until_quiet(deployment, lambda _: None)
    # THEN no consumer has seen an event twice
    assert repeated(deployment) == before
