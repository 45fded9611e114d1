"""`handoff order` on the deployed stack, from the log lines and items of the real functions."""

import json
import uuid
from typing import Any

import httpx
from click.testing import CliRunner

from dev.local.consumers import paused
from dev.local.stack import LocalStack
from dev.simulated.messages import message
from ops.cli import main as cli
from ops.dlq import scan
from ops.shop_client import ShopClient
from ops.stack.deployment import Deployment
from tests.e2e.support import change_order, eventually, order, sample, until_quiet

PLACED = ("order", "PLACED", "payment authorized")
PREPARED = ("order", "PREPARED", "shipment packed")
PACKED = ("shipment", "Packed", "now released for dispatch")
CAPTURED = ("payment", "captured", "shipment_released published")
ANSWERED = ("api", "request answered", "POST /orders")
COUNTED = ("analytics", "event handled", "order_placed")
ALL_CONSUMERS = {
    ANSWERED,
    COUNTED,
    ("emails", "event handled", "order_placed"),
    ("emails", "event handled", "shipment_released"),
    ("fulfillment", "event handled", "order_placed"),
    ("settlement", "event handled", "shipment_prepared"),
}


def test_a_timeline_is_complete_with_its_retry_and_its_dead_letter(
    local_stack: LocalStack, deployment: Deployment, client: ShopClient
) -> None:
    # GIVEN an order whose event reaches emails before the order itself is visible
    correlation_id = f"timeline-{uuid.uuid4()}"
    with paused(deployment, "emails"):
        order_id = place(deployment, client, correlation_id)
        eventually(lambda: order(deployment, order_id)["payment"]["state"], lambda state: state == "captured")
        sequence = order(deployment, order_id)["sequence"]
        change_order(deployment, order_id, sequence=0)
    # THEN its timeline shows the failure and when it is retried
    failed = ("emails", "event failed", "order_placed")
    timeline = eventually(lambda: timeline_of(local_stack, order_id), lambda seen: failed in steps(seen))
    why = f"order_placed failed at receive 1: order {order_id} is missing or outdated; retry by "
    assert any(item["who"] == "emails" and item["what"].startswith(why) for item in timeline["pendingWork"])

    # WHEN it is visible, and all consumers are done
    change_order(deployment, order_id, sequence=sequence)
    until_quiet(deployment)
    timeline = timeline_of(local_stack, order_id)
    # THEN all consumers are in it, causes before their effects
    assert timeline["pendingWork"] == []
    facts = ("orderId", "status", "payment", "total", "correlationId")
    assert [timeline[fact] for fact in facts] == [order_id, "PREPARED", "captured", 7635, correlation_id]
    seen = steps(timeline)
    assert set(seen) >= ALL_CONSUMERS
    for earlier, later in (
        (("order", "PENDING", "requested"), PLACED),
        (PLACED, ANSWERED),
        (PLACED, COUNTED),
        (PLACED, PREPARED),
        (PREPARED, PACKED),
        (PACKED, ("fulfillment", "event handled", "order_placed")),
        (PACKED, CAPTURED),
        (CAPTURED, ("settlement", "event handled", "shipment_prepared")),
        (failed, ("emails", "event handled", "order_placed")),
    ):
        assert seen.index(earlier) < seen.index(later)
    assert [step["at"] for step in timeline["steps"]] == sorted(step["at"] for step in timeline["steps"])
    assert {step["who"] for step in timeline["steps"] if step["trouble"]} == {"emails"}

    # WHEN a consumer gets an event that it cannot handle
    queue = deployment.queue_url("analytics")
    deployment.sqs.send_message(QueueUrl=queue, MessageBody=message("shipment_prepared", order_id, 2))
    timeline = eventually(lambda: timeline_of(local_stack, order_id), lambda seen: bool(seen["pendingWork"]))
    # THEN the timeline shows the dead letter with its reason and the redrive command
    (item,) = timeline["pendingWork"]
    assert item["what"].startswith("shipment_prepared is a dead letter since ")
    assert item["what"].endswith(": shipment_prepared is not counted")
    assert item["remedy"] == f"handoff dlq redrive analytics --event {order_id}-2 --local={local_stack.port}"
    # AND the text shows the same, and of the customer only an id
    shown = run(local_stack, order_id) + run(local_stack, order_id, "--json")
    assert f"! {timeline['steps'][-1]['at']}" in shown
    assert item["remedy"] in shown
    good = sample("good")
    address = [part for name, part in good["shippingAddress"].items() if name != "country"]
    for secret in (*address, good["paymentToken"], "@"):
        assert secret not in shown
    clear(deployment, "analytics")


def place(deployment: Deployment, client: ShopClient, correlation_id: str) -> str:
    """Place the sample order under a correlation id; return the order's id."""
    headers = {
        "Authorization": f"Bearer {client.token}",
        "Idempotency-Key": str(uuid.uuid4()),
        "X-Correlation-Id": correlation_id,
    }
    answer = httpx.post(f"{deployment.api_url}/orders", json=sample("good"), headers=headers, timeout=120)
    assert answer.status_code == 201, answer.text
    order_id: str = answer.json()["orderId"]
    return order_id


def run(stack: LocalStack, *arguments: str) -> str:
    """Return the output of `handoff order`."""
    done = CliRunner().invoke(cli.main, ["order", *arguments, "--local"], env={"PORT": str(stack.port)})
    assert done.exit_code == 0, done.output
    return done.stdout


def timeline_of(stack: LocalStack, order_id: str) -> dict[str, Any]:
    """Return an order's timeline, as scripts get it."""
    timeline: dict[str, Any] = json.loads(run(stack, order_id, "--json"))
    return timeline


def steps(timeline: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Return the steps in short: who, what, and the first of the details."""
    return [(step["who"], step["what"], step["detail"].partition(",")[0]) for step in timeline["steps"]]


def clear(deployment: Deployment, consumer: str) -> None:
    """Delete a consumer's dead letters."""
    queue = deployment.queue_url(consumer, dead_letters=True)
    with scan.QueueScan(deployment.sqs, queue) as queue_scan:
        for dead_letter in queue_scan:
            deployment.sqs.delete_message(QueueUrl=queue, ReceiptHandle=dead_letter.message["ReceiptHandle"])
            queue_scan.forget(dead_letter)
