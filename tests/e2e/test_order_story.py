"""`handoff order` on the deployed stack: from what the functions really log there, and what the stack really holds."""

import json
import uuid
from typing import Any

import httpx
from click.testing import CliRunner

from dev.demo import orders as demo
from dev.local.stack import LocalStack
from ops.cli import main as cli
from ops.dlq import scan
from ops.shop_client import ShopClient
from ops.stack.deployment import Deployment
from tests.e2e.support import change_order, eventually, order, paused, sample
from tests.support.messages import message

PLACED = ("order", "PLACED", "payment authorised")
PREPARED = ("order", "PREPARED", "shipment packed")
PACKED = ("shipment", "Packed", "now released for dispatch")
ANSWERED = ("api", "Answered", "POST /orders")
COUNTED = ("analytics", "event handled", "order_placed")
EVERYBODY = {
    ANSWERED,
    COUNTED,
    *(
        (who, "event handled", event)
        for who in ("emails", "fulfillment")
        for event in ("order_placed", "shipment_prepared")
    ),
}


def test_an_order_s_story_is_told_whole_with_its_retry_and_its_dead_letter(
    local_stack: LocalStack, deployment: Deployment, client: ShopClient
) -> None:
    # GIVEN an order that comes to the e-mails before they can see how far it is
    correlation_id = f"story-{uuid.uuid4()}"
    with paused(deployment, "emails"):
        order_id = place(deployment, client, correlation_id)
        eventually(lambda: order(deployment, order_id)["payment"]["state"], lambda state: state == "captured")
        change_order(deployment, order_id, sequence=0)
    # THEN its story says that they have failed, and when they try again
    failed = ("emails", "event failed", "order_placed")
    story = eventually(lambda: told(local_stack, order_id), lambda seen: failed in steps(seen))
    why = f"order_placed has failed at receive 1: order {order_id} is not as far as its event; tried again by "
    assert any(end["who"] == "emails" and end["what"].startswith(why) for end in story["openEnds"])

    # WHEN they can see it, and all is done
    change_order(deployment, order_id, sequence=2)
    demo.wait_until_quiet(deployment, lambda _: None)

    def told_by_all() -> dict[str, Any]:
        place(deployment, client, "another")  # MiniStack keeps a line that comes late for the next invocation
        return told(local_stack, order_id)

    story = eventually(told_by_all, lambda seen: set(steps(seen)) >= EVERYBODY)
    # THEN everybody is in it, in an order that makes sense
    assert story["openEnds"] == []
    facts = ("orderId", "status", "payment", "total", "correlationId")
    assert [story[fact] for fact in facts] == [order_id, "PREPARED", "captured", 7635, correlation_id]
    seen = steps(story)
    for earlier, later in (
        (("order", "PENDING", "requested"), PLACED),
        (PLACED, ANSWERED),
        (PLACED, COUNTED),
        (PLACED, PREPARED),
        (PREPARED, PACKED),
        (PACKED, ("fulfillment", "event handled", "order_placed")),
        (PACKED, ("fulfillment", "event handled", "shipment_prepared")),
        (failed, ("emails", "event handled", "order_placed")),
    ):
        assert seen.index(earlier) < seen.index(later)
    assert [step["at"] for step in story["steps"]] == sorted(step["at"] for step in story["steps"])
    assert {step["who"] for step in story["steps"] if step["trouble"]} == {"emails"}

    # WHEN an event of it comes to somebody who can do nothing with it
    queue = deployment.queue_url("analytics")
    deployment.sqs.send_message(QueueUrl=queue, MessageBody=message("shipment_prepared", order_id, 2))
    story = eventually(lambda: told(local_stack, order_id), lambda seen: bool(seen["openEnds"]))
    # THEN the dead letter is told, with its reason and what to do
    (end,) = story["openEnds"]
    assert end["what"].startswith("shipment_prepared is a dead letter since ")
    assert end["what"].endswith(": shipment_prepared is nothing to count")
    assert end["remedy"] == f"handoff dlq redrive analytics --event {order_id}-2 --local"
    # AND a person is told the same, and nothing of the customer's but an id
    shown = run(local_stack, order_id) + run(local_stack, order_id, "--json")
    assert f"! {story['steps'][-1]['at']}" in shown
    assert end["remedy"] in shown
    good = sample("good")
    address = [part for name, part in good["shippingAddress"].items() if name != "country"]
    for secret in (*address, good["paymentToken"], "@"):
        assert secret not in shown
    clear(deployment, "analytics")


def place(deployment: Deployment, client: ShopClient, correlation_id: str) -> str:
    """Place the sample order under a correlation id; returns the order's id."""
    headers = {
        "Authorization": f"Bearer {client.token}",
        "Idempotency-Key": str(uuid.uuid4()),
        "X-Correlation-Id": correlation_id,
    }
    answer = httpx.post(f"{deployment.api_url}/orders", json=sample("good"), headers=headers, timeout=35)
    assert answer.status_code == 201
    order_id: str = answer.json()["orderId"]
    return order_id


def run(stack: LocalStack, *arguments: str) -> str:
    """What the command prints."""
    done = CliRunner().invoke(cli.main, ["order", *arguments, "--local"], env={"PORT": str(stack.port)})
    assert done.exit_code == 0, done.output
    return done.stdout


def told(stack: LocalStack, order_id: str) -> dict[str, Any]:
    """An order's story, as scripts see it."""
    story: dict[str, Any] = json.loads(run(stack, order_id, "--json"))
    return story


def steps(story: dict[str, Any]) -> list[tuple[str, str, str]]:
    """The steps in short: who, what, and the first of the details."""
    return [(step["who"], step["what"], step["detail"].partition(",")[0]) for step in story["steps"]]


def clear(deployment: Deployment, consumer: str) -> None:
    """Delete a consumer's dead letters."""
    queue = deployment.queue_url(consumer, dead_letters=True)
    with scan.QueueScan(deployment.sqs, queue) as look:
        for letter in look:
            deployment.sqs.delete_message(QueueUrl=queue, ReceiptHandle=letter.message["ReceiptHandle"])
            look.forget(letter)
