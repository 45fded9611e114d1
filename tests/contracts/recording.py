"""The recorded examples: one event of each type, as the functions published it and the bus delivered it."""

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
    """All that there are events of: a profile, an order that is packed, and one that is cancelled."""
    world.stock()
    api = world.api(USER)
    profile = json.dumps({"name": "Mira Lindqvist", "email": "mira@example.com"})
    assert api.call("PUT", "/me", profile, **_TRACED).status == 200
    assert api.place(body(), key="packed", **_TRACED).status == 201
    world.queues.until_quiet("FulfillmentFunction")
    cancelled = api.place(body(), key="cancelled", **_TRACED)
    assert api.cancel(cancelled.json["orderId"]).status == 200


def recorded() -> dict[str, dict[str, Any]]:
    """The first event of each type, by type, as it arrives in the queue of the consumer that hears them all."""
    with standing() as clock, deployed() as stack:
        world = World(stack, clock)
        happen(world)
        events = [json.loads(record["body"]) for record in world.queues.receive("EmailsFunction")]
    for event in events:
        event["account"] = ACCOUNT  # moto leaves it out
        # The one thing that differs each time: the bus's own id of the delivery.
        event["id"] = str(uuid.uuid5(uuid.NAMESPACE_URL, event["detail"]["metadata"]["eventId"]))
    return {event["detail-type"]: event for event in reversed(events)}


def texts() -> dict[Path, str]:
    """The files of the examples and what is to be in them."""
    return {EXAMPLES / f"{name}.json": json.dumps(event, indent=2) + "\n" for name, event in sorted(recorded().items())}
