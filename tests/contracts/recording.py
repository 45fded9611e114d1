"""Record the examples: one event of each type, as the functions publish it and the bus delivers it."""

import json
import uuid
from pathlib import Path
from typing import Any

from dev.simulated.account import ACCOUNT
from dev.simulated.clock import standing
from dev.simulated.world import World, body, deployed
from tests.support import provider_events
from tests.support.merchant import Merchant

EXAMPLES = Path(__file__).parents[2] / "contracts/events/examples"
USER = "user-mira"
_TRACED = {"X-Correlation-Id": "recorded"}


def happen(world: World) -> None:
    """Cause every type of event.

    A profile, an order that is cancelled, one that is returned, refunded and disputed, and an erasure.
    """
    world.stock()
    api = world.api(USER)
    profile = json.dumps({"name": "Mira Lindqvist", "email": "mira@example.com"})
    assert api.call("PUT", "/me", profile, **_TRACED).status == 200
    released = api.place(body(), key="packed", **_TRACED).json["orderId"]
    world.queues.until_quiet("FulfillmentFunction", "SettlementFunction")
    assert api.return_order(released).status == 200
    assert world.program("refunds:write").refund(released).status == 201
    world.queues.until_quiet("SettlementFunction")
    assert Merchant(world).dispute(released)
    provider_events.publish(world, released)
    world.queues.until_quiet("SettlementFunction")
    cancelled = api.place(body(), key="cancelled", **_TRACED).json["orderId"]
    assert api.cancel(cancelled).status == 200
    assert world.api("user-noor").call("DELETE", "/me", **_TRACED).status == 202
    world.until_quiet()


def recorded() -> dict[str, dict[str, Any]]:
    """Return the first event of each type, by type, as the bus delivers it to a rule for all events."""
    with standing() as clock, deployed() as stack:
        world = World(stack, clock)
        url = _subscribe(world)
        happen(world)
        events = []
        while messages := world.client("sqs").receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
            events += [json.loads(message["Body"]) for message in messages]
    for event in events:
        event["account"] = ACCOUNT  # moto omits it
        # The only value that differs in every run: the bus's id of the delivery.
        event["id"] = str(uuid.uuid5(uuid.NAMESPACE_URL, event["detail"]["metadata"]["eventId"]))
    return {event["detail-type"]: event for event in reversed(events)}


def _subscribe(world: World) -> str:
    """Return the URL of a new queue that receives all events of the bus."""
    sqs, events = world.client("sqs"), world.client("events")
    url: str = sqs.create_queue(QueueName="recording")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    rule = {"Name": "recording", "EventBusName": world.stack.resource("Bus").ref}
    events.put_rule(**rule, EventPattern=json.dumps({"source": [{"prefix": ""}]}))
    events.put_targets(Rule=rule["Name"], EventBusName=rule["EventBusName"], Targets=[{"Id": "queue", "Arn": arn}])
    return url


def texts() -> dict[Path, str]:
    """Return the text of each example file."""
    return {EXAMPLES / f"{name}.json": json.dumps(event, indent=2) + "\n" for name, event in sorted(recorded().items())}
