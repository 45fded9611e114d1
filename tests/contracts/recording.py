"""Record the examples: one event of each type, as the functions publish it and the bus delivers it."""

import json
import uuid
from pathlib import Path
from typing import Any

from dev.simulated.account import ACCOUNT
from dev.simulated.clock import standing
from dev.simulated.world import World, body, deployed

EXAMPLES = Path(__file__).parents[2] / "contracts/events/examples"
USER = "user-mira"
_TRACED = {"X-Correlation-Id": "recorded"}


def happen(world: World) -> None:
    """Cause every type of event: a profile, an order that is packed, and one that is cancelled."""
    world.stock()
    api = world.api(USER)
    profile = json.dumps({"name": "Mira Lindqvist", "email": "mira@example.com"})
    assert api.call("PUT", "/me", profile, **_TRACED).status == 200
    assert api.place(body(), key="packed", **_TRACED).status == 201
    world.queues.until_quiet("FulfillmentFunction")
    cancelled = api.place(body(), key="cancelled", **_TRACED)
    assert api.cancel(cancelled.json["orderId"]).status == 200


def recorded() -> dict[str, dict[str, Any]]:
    """Return the first event of each type, by type, from the queue of the consumer that receives all types."""
    with standing() as clock, deployed() as stack:
        world = World(stack, clock)
        happen(world)
        events = [json.loads(record["body"]) for record in world.queues.receive("EmailsFunction")]
    for event in events:
        event["account"] = ACCOUNT  # moto omits it
        # The only value that differs in every run: the bus's id of the delivery.
        event["id"] = str(uuid.uuid5(uuid.NAMESPACE_URL, event["detail"]["metadata"]["eventId"]))
    return {event["detail-type"]: event for event in reversed(events)}


def texts() -> dict[Path, str]:
    """Return the text of each example file."""
    return {EXAMPLES / f"{name}.json": json.dumps(event, indent=2) + "\n" for name, event in sorted(recorded().items())}
