"""Crashes, lost answers and a broken bus: accepted orders are kept, others are finished or rolled back."""

import pytest

from dev.simulated import wire
from dev.simulated.wire import Crash
from dev.simulated.world import MUG, body
from tests.support import invariants

# The calls of a new order, in order.
RESERVE, AUTHORIZE, COMMIT, PUBLISH, CLEAR = range(1, 6)


@pytest.fixture
def warm(api):
    """An API whose function has the catalog cached."""
    api.get("/catalog")
    return api


# --- the bus ----------------------------------------------------------------------------------------------------------

BROKEN_BUS = [
    wire.cannot_connect,
    wire.lose_request,
    wire.refuse("ThrottlingException"),
    wire.refuse("InternalException", 500),
    wire.answer({"FailedEntryCount": 1, "Entries": [{"ErrorCode": "ThrottlingException", "ErrorMessage": "later"}]}),
]


KINDS = ["unreachable", "silent", "throttled", "broken", "HTTP 200 with failures"]


@pytest.fixture(params=BROKEN_BUS, ids=KINDS)
def broken_bus(request, world):
    """A bus that accepts nothing."""
    world.wire.always("eventbridge.PutEvents", request.param)


@pytest.mark.usefixtures("broken_bus")
def test_a_broken_bus_does_not_change_the_response(world, warm):
    answer = warm.place(body())

    assert answer.status == 201
    assert world.ledger() == {answer.json["orderId"]: "held"}


@pytest.mark.usefixtures("broken_bus")
def test_an_unpublished_event_stays_in_the_outbox_and_the_index(world, warm):
    order = world.order(warm.place(body()).json["orderId"])

    assert order["outbox"].keys() == {"1"}
    assert order["unfinishedSince"] == world.clock.ms
    assert order["dueAt"] == world.clock.ms + 60_000


@pytest.mark.parametrize(("fault", "calls"), list(zip(BROKEN_BUS, [2, 2, 1, 1, 1], strict=True)), ids=KINDS)
def test_a_broken_bus_is_not_called_for_half_a_minute(world, warm, frozen_for, fault, calls):
    # GIVEN a bus that does not answer two calls in a row, or refuses all events of one call
    world.wire.always("eventbridge.PutEvents", fault)
    for n in range(4):
        warm.place(body(), key=f"during-{n}")
    assert len(world.wire.named("eventbridge.PutEvents")) == calls

    # THEN it is called again after 30 s, whether the environment was frozen meanwhile or not
    frozen_for(29)
    warm.place(body(), key="after-29-s")
    assert len(world.wire.named("eventbridge.PutEvents")) == calls
    frozen_for(1)
    warm.place(body(), key="after-30-s")
    assert len(world.wire.named("eventbridge.PutEvents")) == calls + 1

    # AND one more failure is enough for the next pause
    warm.place(body(), key="next-pause")
    assert len(world.wire.named("eventbridge.PutEvents")) == calls + 1


@pytest.mark.parametrize("fault", [wire.lose_request, wire.lose_response, wire.cannot_connect])
def test_a_single_lost_call_does_not_pause_the_bus(world, warm, fault):
    # GIVEN calls to the bus of which every second one is lost
    for n in range(3):
        world.wire.on("eventbridge.PutEvents", fault)
        warm.place(body(), key=f"lost-{n}")

        # WHEN another order follows at once
        order_id = warm.place(body(), key=f"next-{n}").json["orderId"]

        # THEN its event is published
        assert world.order(order_id)["outbox"] == {}


def test_a_throttled_request_leaves_its_event_to_the_sweeper(world, warm):
    world.wire.always("eventbridge.PutEvents", wire.refuse("ThrottlingException"))

    assert warm.place(body()).status == 201

    assert len(world.wire.named("eventbridge.PutEvents")) == 1


@pytest.mark.usefixtures("broken_bus")
def test_the_sweeper_publishes_when_the_bus_works_again(world, warm):
    # GIVEN orders whose events could not be published for an hour
    for n in range(3):
        warm.place(body(), key=f"key-{n}")
    world.clock.forward(3600)

    # WHEN the bus works again
    world.wire.heal()
    world.settle_down(3)

    # THEN every consumer has received every event
    invariants.check(world, {MUG: 10})
    assert len(world.mails()) == 6


# --- lost answers -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", [RESERVE, COMMIT, CLEAR], ids=["reserve", "commit", "clear"])
def test_a_write_whose_answer_is_lost_is_done_once(world, warm, call):
    # GIVEN a write that succeeds, but whose answer is lost
    world.wire.on("*", wire.lose_response, nth=call)

    # WHEN an order is placed
    answer = warm.place(body())

    # THEN it is placed once
    assert answer.status == 201
    assert world.available() == 9
    assert world.event_types() == ["order_placed"]
    assert [entry["status"] for entry in world.order(answer.json["orderId"])["history"]] == ["PENDING", "PLACED"]


def test_a_lost_answer_of_the_bus_only_duplicates_the_event(world, warm):
    world.wire.on("eventbridge.PutEvents", wire.lose_response)

    answer = warm.place(body())
    world.settle_down(3)

    assert answer.status == 201
    assert world.event_types().count("order_placed") == 2
    assert len(world.mails()) == 2
    invariants.check(world, {MUG: 10})


def test_an_earlier_successful_reservation_is_recognized(world, warm):
    # GIVEN a reservation whose answer is lost, and whose request token DynamoDB has forgotten at the retry
    world.wire.on("dynamodb.TransactWriteItems", wire.lose_response_and_token)

    # WHEN an order is placed
    answer = warm.place(body())

    # THEN the request recognizes the stored order as its own
    assert answer.status == 201
    assert world.available() == 9


def test_an_order_survives_lost_answers_of_all_commit_tries(world, warm):
    # GIVEN a commit whose two tries both lose their answers
    world.wire.on("dynamodb.UpdateItem", wire.lose_response, times=2, where=lambda call: ":placedAt" in call.values)

    # WHEN an order is placed
    first, second = warm.place(body()), warm.place(body())

    # THEN the first response is an error, and the second one the order
    assert (first.status, second.status) == (503, 201)
    world.settle_down(3)
    invariants.check(world, {MUG: 10})


def test_a_cancellation_whose_answer_is_lost_returns_stock_once(world, warm):
    order_id = warm.place(body()).json["orderId"]
    world.wire.on("dynamodb.TransactWriteItems", wire.lose_response)

    assert warm.cancel(order_id).status == 200
    world.queues.until_quiet()
    invariants.check(world, {MUG: 10})


# --- crashes ----------------------------------------------------------------------------------------------------------

CRASHES = [(fault, nth) for nth in range(1, 6) for fault in (wire.crash_before, wire.crash_after)]
NAMES = ["reserve", "authorize", "commit", "publish", "clear"]
crashing = pytest.mark.parametrize(
    ("fault", "nth"), CRASHES, ids=[f"{fault.__name__}-{NAMES[nth - 1]}" for fault, nth in CRASHES]
)


def _crash(world, warm, fault, nth):
    world.wire.on("*", fault, nth=nth)
    with pytest.raises(Crash):
        warm.place(body((MUG, 2)))
    world.wire.heal()


@crashing
def test_after_a_crash_the_same_key_places_the_order_once(world, warm, fault, nth):
    # GIVEN a process that died between two calls
    _crash(world, warm, fault, nth)

    # WHEN the request is retried after the lease
    world.clock.forward(25)
    answer = warm.place(body((MUG, 2)))

    # THEN there is one order, one hold and one reservation
    assert answer.status == 201
    world.settle_down(3)
    invariants.check(world, {MUG: 10})
    assert world.order(answer.json["orderId"])["status"] == "PREPARED"


@crashing
def test_after_a_crash_without_a_retry_everything_is_settled(world, warm, fault, nth):
    # GIVEN a process that died between two calls, and a client that never retries
    _crash(world, warm, fault, nth)

    # WHEN the sweeper has run
    world.settle_down(13)

    # THEN no hold or reservation is orphaned, and committed orders are prepared
    invariants.check(world, {MUG: 10})
    reached = nth if fault is wire.crash_after else nth - 1
    expected = [] if reached < RESERVE else ["REJECTED"] if reached < COMMIT else ["PREPARED"]
    assert [order["status"] for order in world.items("OrdersTable")] == expected


@pytest.mark.parametrize("token", ["tok_timeout", "tok_timeout_held", "tok_fail_once"])
def test_an_order_that_the_client_abandons_is_voided(world, api, token):
    # GIVEN a request that the provider did not answer, and a client that does not retry
    api.place(body(token=token))

    # WHEN the order has expired
    world.settle_down(15)

    # THEN nothing is held, and the stock is returned
    invariants.check(world, {MUG: 10})
    assert world.available() == 10
    assert list(world.ledger().values()) == ["void"]
