"""An erasure that crashes after any of its calls, or whose call fails, is finished by the runs that follow."""

import itertools
import json
from contextlib import suppress

import pytest

from dev.simulated import wire
from dev.simulated.clock import standing
from dev.simulated.wire import Crash
from dev.simulated.world import ADDRESS, MUG, World, body
from tests.support import invariants

MINUTES = [*[1] * 6, *[20] * 4, *[1] * 6]  # between two runs of the sweeper: until it ends, and then until all is void
MOST_CALLS = 200


def personal(user):
    return ADDRESS | {"name": f"Name of {user}", "street": f"Street of {user}"}


def prepare(world, user):
    """Write a customer with a placed, a cancelled and a declined order; return the API and the placed order's id."""
    world.customer(user)
    api = world.api(user)
    bodies = {key: body(shippingAddress=personal(user)) for key in ("placed", "cancelled")}
    placed, cancelled = (api.place(wanted, key=key).json["orderId"] for key, wanted in bodies.items())
    assert api.cancel(cancelled).status == 200
    assert api.place(body(token="tok_decline", shippingAddress=personal(user)), key="declined").status == 402
    for _ in range(2):
        world.clock.forward(61)
        world.sweep()  # voids the payment
    return api, placed


def matters(call):
    """Return False for the sweeper's queries of other work, which an erasure does not depend on."""
    return call.request.get("IndexName") not in {"unfinished", "open"}


def erase(world, api):
    """Request the erasure until there is an answer, and let the sweeper run; crashes are followed by another run."""
    for _ in range(3):
        with suppress(Crash):
            if api.call("DELETE", "/me").status in {200, 202}:
                break
    for minutes in MINUTES:
        world.clock.forward(60 * minutes + 1)
        with suppress(Crash):
            world.sweep()


@pytest.mark.parametrize(
    "fault", [wire.crash_after, wire.refuse("InternalServerError", 500)], ids=["crash after", "refused"]
)
@pytest.mark.timeout(1200)
def test_an_erasure_is_finished_whichever_call_fails(stack, fault):
    with standing() as clock:
        world = World(stack, clock)
        world.stock(MUG, 1000)
        placed = []
        for nth in itertools.count(1):
            user = f"user-{nth}"
            api, order_id = prepare(world, user)
            placed.append(order_id)
            struck = []

            def strike(call, deliver, struck=struck):
                struck.append(call.operation)
                return fault(call, deliver)

            world.wire.on("*", strike, nth=nth, where=matters)
            erase(world, api)
            world.wire.heal()
            assert world.item("CustomersTable", userId=user).get("erasedAt"), (nth, struck)
            tables = ("OrdersTable", "CustomersTable", "LimitsTable")
            left = [
                text for table in tables for item in world.items(table) if f"of {user}" in (text := json.dumps(item))
            ]
            assert left == [], (nth, struck)
            erased = {event["Detail"]["metadata"]["eventId"] for event in world.events() if is_end(event, user)}
            assert len(erased) == 1, (nth, struck)
            if not struck:
                break
        assert 15 < nth < MOST_CALLS
        assert {world.order(order_id)["status"] for order_id in placed} == {"CANCELLED"}
        snapshot = world.snapshot()
        invariants.stock_adds_up(world, {MUG: 1000})
        invariants.nothing_is_unfinished(world)
        assert all(order["payment"]["state"] == "voided" for order in snapshot.orders if "placedAt" in order)


def is_end(event, user):
    return event["DetailType"] == "user_erased" and event["Detail"]["data"]["userId"] == user
