"""An erasure and other requests, in any interleaving of their calls: nothing personal is left, and no money is lost."""

import json

import pytest

from dev.simulated.world import body
from tests.support.races import ORDER, SETTLEMENT, race, said
from tests.support.scheduler import Race

pytestmark = pytest.mark.timeout(7200)
PROFILE = json.dumps({"name": "Ada Lovelace", "email": "ada@example.com"})


def erase(api):
    return api.call("DELETE", "/me")


def left(world):
    """Return the tables that still have the address of the order or of the customer."""
    tables = ("OrdersTable", "ShipmentsTable", "CustomersTable")
    return [table for table in tables if any(text in json.dumps(world.items(table)) for text in ("12 Eng", "ada@ex"))]


@race
def test_an_order_and_an_erasure(harness):
    shopper, eraser = harness.api(), harness.api()

    order, erasure = yield Race([lambda: shopper.place(body()), lambda: erase(eraser)])

    # THEN the order is refused, or it is cancelled, or shipped before its data is erased
    assert erasure.status == 202
    assert said(order) in (["201"], ["no-address"], ["order-abandoned"], ["in-progress"])
    assert left(harness.world) == []
    stored = harness.world.order(ORDER)
    if stored:
        assert stored["status"] in {"CANCELLED", "REJECTED", "PREPARED"}
        assert stored["userId"].startswith("erased-")


@race
def test_a_crashing_order_and_an_erasure(harness):
    shopper, eraser = harness.api(), harness.api()

    yield Race([lambda: shopper.place(body()), lambda: erase(eraser)], deaths=1)

    customer = harness.world.item("CustomersTable", userId="ada")
    if "erasedAt" in customer:  # not if the erasure died before it began
        assert left(harness.world) == []


@race
def test_two_erasures_at_once(harness):
    one, two = harness.api(), harness.api()

    answers = yield Race([lambda: erase(one), lambda: erase(two)])

    assert said(*answers) == ["202", "202"]
    erased = {event["Detail"]["metadata"]["eventId"] for event in harness.world.events()}
    assert len(erased) == 1
    assert left(harness.world) == []


@race
def test_two_sweeps_of_an_erasure(harness):
    api = harness.world.api()
    api.place(body())
    harness.world.until_quiet()
    assert erase(api).status == 202
    harness.world.clock.forward(61)

    yield Race([harness.sweep(), harness.sweep()])

    assert left(harness.world) == []
    assert harness.world.order(ORDER)["payment"]["state"] == "captured"


@race
def test_an_erasure_and_a_changed_profile(harness):
    editor, eraser = harness.api(), harness.api()

    changed, erasure = yield Race([lambda: editor.call("PUT", "/me", PROFILE), lambda: erase(eraser)])

    assert said(erasure) in (["202"], ["profile-busy"])
    assert said(changed) in (["200"], ["being-erased"])
    if erasure.status == 202:
        assert left(harness.world) == []


@race
def test_an_erasure_and_the_settlement_of_a_cancelled_order(harness):
    api = harness.world.api()
    api.place(body())
    assert erase(api).status == 202  # cancels the order
    harness.world.clock.forward(61)
    settlement = harness.queues(SETTLEMENT)

    yield Race([harness.sweep(), lambda: settlement.deliver(SETTLEMENT)])

    assert harness.world.order(ORDER)["payment"]["state"] == "voided"
    assert left(harness.world) == []
