"""Sales on the deployed stack: the report, and a rebuild while orders are placed."""

import contextlib
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from dev.demo import orders as demo
from dev.local.consumers import paused
from ops import rebuild, tokens
from ops.shop_client import ShopClient
from ops.stack.deployment import Deployment
from tests.e2e.support import eventually, place, until_quiet

NAMES = ("orders", "units", "revenue")


@pytest.fixture
def reader(deployment: Deployment) -> Iterator[ShopClient]:
    """A client with a token for reports."""
    with contextlib.closing(ShopClient(deployment.api_url, tokens.token_for(deployment, tokens.REPORTS))) as client:
        yield client


def today() -> dict[str, str]:
    day = datetime.now(UTC).date().isoformat()
    return {"from": day, "to": day}


def report(reader: ShopClient, limit: int = 100) -> dict[str, Counter[str]]:
    """Return the report's rows by product, read page by page."""
    found: dict[str, Counter[str]] = {}
    query = {**today(), "limit": str(limit)}
    while True:
        answer = reader.sales(**query)
        assert answer.status == 200, answer.body
        for row in answer.body["sales"]:
            found[row["sku"]] = Counter({name: row[name] for name in NAMES})
        if "next" not in answer.body:
            return found
        query["cursor"] = answer.body["next"]


def fold(deployment: Deployment) -> dict[str, Counter[str]]:
    """Return the sums of the orders that are not canceled, by product, less the refunds of their units."""
    found: dict[str, Counter[str]] = {}
    for order in deployment.scan("OrdersTable"):
        if "placedAt" in order and order["status"] != "CANCELLED":
            refunds = [refund for refund in order.get("refunds", {}).values() if refund["state"] == "refunded"]
            for line in order["lines"]:
                found.setdefault(line["sku"], Counter()).update(kept(line, refunds))
    return found


def kept(line: dict[str, Any], refunds: list[dict[str, Any]]) -> Counter[str]:
    """Return the sale of a line that is left after refunds of units."""
    of_line = [(refund, units) for refund in refunds for units in refund["lines"] if units["sku"] == line["sku"]]
    paid = line["quantity"] - sum(units["quantity"] for _, units in of_line)
    sold = line["quantity"] - sum(units["quantity"] for refund, units in of_line if refund["restock"])
    return Counter(orders=int(sold > 0), units=sold, revenue=paid * line["unitPrice"])


def lose_next_event(deployment: Deployment, client: ShopClient) -> str:
    """Place an order whose event analytics never receives; return its id."""
    queue = deployment.queue_url("analytics")
    with paused(deployment, "analytics"):
        order_id = str(place(client).body["orderId"])
        message: Any = eventually(lambda: deployment.sqs.receive_message(QueueUrl=queue).get("Messages", []), bool)[0]
        assert order_id in message["Body"]
        deployment.sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
    return order_id


@pytest.mark.usefixtures("window")
def test_the_report_is_the_sum_of_the_orders(deployment: Deployment, client: ShopClient, reader: ShopClient) -> None:
    # GIVEN orders, one of them canceled
    demo.place_samples(deployment, client, lambda _: None)
    until_quiet(deployment)
    # THEN the report has their sums, in pages of any size
    assert report(reader) == fold(deployment) != {}
    assert report(reader, limit=1) == fold(deployment)


def test_a_customers_token_cannot_read_reports(client: ShopClient) -> None:
    assert client.sales(**today()).status == 403


def test_invalid_parameters_are_named(reader: ShopClient) -> None:
    answer = reader.sales(to="2026-11-23")
    assert answer.status == 400
    assert [error["field"] for error in answer.body["errors"]] == ["from"]


def test_a_rebuild_fills_a_gap_while_orders_are_placed(
    deployment: Deployment, client: ShopClient, reader: ShopClient
) -> None:
    # GIVEN an event that was lost
    until_quiet(deployment)
    lose_next_event(deployment, client)
    until_quiet(deployment)
    assert report(reader) != fold(deployment)
    # WHEN the sales are rebuilt while orders are placed
    during: list[int] = []
    done = rebuild.of(deployment).run(lambda _: during.append(place(client).status))
    until_quiet(deployment)
    # THEN the report is exact again
    assert during
    assert set(during) == {201}
    assert done.generation == 2
    assert report(reader) == fold(deployment)
    place(client)
    until_quiet(deployment)
    assert report(reader) == fold(deployment)
