"""Without a webhook, the sweeper hears what happens at the provider: every few minutes, and nothing is lost."""

import pytest

from dev.simulated import wire
from dev.simulated.wire import Crash
from dev.simulated.world import body
from shop import event_cursor, event_poller
from shop.payments import Happened, ProviderEvent, Unknown
from tests.support.merchant import Merchant

MINUTE = 60
EVERY = event_cursor.EVERY // 1000
CURSOR = {"id": event_cursor.ITEM}


@pytest.fixture
def merchant(world):
    """What happens at the provider without Handoff."""
    return Merchant(world)


@pytest.fixture
def polled(world, clock):
    """Let the time to the next question pass, sweep, and return the published events of the provider."""

    def sweep():
        clock.forward(EVERY)
        before = len(world.events())
        world.sweep()
        return [event["Detail"]["data"]["reference"] for event in world.events()[before:]]

    return sweep


@pytest.fixture
def cancelled(world, api, merchant, order_id, clock):
    """Run the sweeper once, then cancel an order's hold at the provider; return its reference."""
    world.sweep()
    clock.forward(1)
    assert merchant.cancel(order_id)
    return f"{order_id}:authorise"


def until(world):
    """Return up to when the provider's events are published."""
    return world.item("LimitsTable", **CURSOR)["until"]


# --- finding events ---------------------------------------------------------------------------------------------------


def test_what_a_merchant_did_reaches_the_order(world, order_id, cancelled, polled):
    assert polled() == [cancelled]
    world.queues.deliver("SettlementFunction")
    assert world.order(order_id)["status"] == "CANCELLED"
    assert world.available() == 10


def test_the_first_run_looks_a_little_into_the_past(world, merchant, order_id, clock):
    assert merchant.cancel(order_id)
    clock.forward(5 * MINUTE)
    assert world.sweep()["PaymentEventsPolled"] == 1


def test_the_provider_is_asked_every_five_minutes_only(world, clock):
    asked = []
    for _ in range(11):
        with world.wire.watched() as calls:
            world.sweep()
        asked.append(any(world.to_provider(call) for call in calls))
        clock.forward(MINUTE)
    assert asked == [True, *[False] * 4] * 2 + [True]


def test_two_sweepers_at_once_ask_once(world, clock):
    clock.forward(EVERY)
    with world.wire.watched() as calls:
        world.sweep()
        clock.forward(1)
        world.sweep()
    assert len([call for call in calls if world.to_provider(call)]) == 1


def test_an_event_is_published_again_only_within_the_overlap(cancelled, polled):
    published = [polled(), polled(), polled()]
    assert published == [[cancelled], [], []]


def test_an_event_that_is_listed_late_is_found(world, merchant, order_id, polled, clock):
    # GIVEN an event that the provider lists only after it was asked, with a time before that
    polled()
    assert merchant.cancel(order_id)
    events = world.item("SandboxTable", key="events")
    events["happened"][-1]["at"] -= event_poller.OVERLAP - 1
    world.put("SandboxTable", events)
    # THEN the next question finds it
    assert polled() == [f"{order_id}:authorise"]


def test_the_same_event_has_the_same_id_each_time(world, cancelled, polled, clock):
    polled()
    world.change("LimitsTable", CURSOR, until=clock.ms - 10 * MINUTE * 1000)
    polled()
    assert len({event["Detail"]["metadata"]["eventId"] for event in world.events()[-2:]}) == 1
    assert [event["DetailType"] for event in world.events()[-2:]] == ["payment_event"] * 2


# --- failures ---------------------------------------------------------------------------------------------------------


def test_a_crash_between_publishing_and_the_cursor_publishes_again(world, cancelled, polled):
    seen = until(world)
    world.wire.on("dynamodb.UpdateItem", wire.crash_before, nth=2, where=world.touching("LimitsTable"))
    with pytest.raises(Crash):
        polled()
    assert until(world) == seen
    assert polled() == [cancelled]
    assert until(world) > seen


def test_without_the_bus_the_cursor_stays(world, cancelled, polled):
    seen = until(world)
    world.wire.always("eventbridge.PutEvents", wire.cannot_connect)
    assert polled() == []
    assert until(world) == seen
    world.wire.heal()
    assert polled() == [cancelled]


def test_the_cursor_stays_if_the_bus_refuses_one_event_of_several(world, api, merchant, cancelled, polled):
    second = api.place(body(), key="second").json["orderId"]
    assert merchant.cancel(second)
    seen = until(world)
    half = {"FailedEntryCount": 1, "Entries": [{"EventId": "1"}, {"ErrorCode": "ThrottlingException"}]}
    world.wire.on("eventbridge.PutEvents", wire.answer(half))
    polled()
    assert until(world) == seen
    assert set(polled()) == {cancelled, f"{second}:authorise"}


def test_a_dead_provider_holds_up_nothing_else(world, api, cancelled, polled):
    # GIVEN an order whose event is not published, and a provider that does not answer
    world.wire.on("eventbridge.PutEvents", wire.cannot_connect)
    api.place(body(), key="unpublished")
    seen = until(world)
    world.wire.always("dynamodb.*", wire.cannot_connect, where=world.to_provider)
    world.clock.forward(EVERY)
    # THEN a sweep publishes it and succeeds, and the provider is asked again later
    report = world.sweep()
    assert report["EventsSwept"] == 1
    assert report["SweepFailures"] == 1
    assert until(world) == seen
    world.wire.heal()
    assert polled() == [cancelled]


def test_a_table_that_refuses_the_cursor_fails_no_sweep(world, clock):
    world.wire.always("dynamodb.UpdateItem", wire.refuse("AccessDeniedException"), where=world.touching("LimitsTable"))
    clock.forward(EVERY)
    assert world.sweep()["SweepFailures"] == 1


def test_the_age_of_the_events_is_measured_and_grows_while_the_provider_is_dead(world, cancelled, polled, printed):
    polled()
    world.wire.always("dynamodb.*", wire.cannot_connect, where=world.to_provider)
    printed()
    polled()
    polled()
    assert printed()["PaymentEventsAge"].values == [EVERY, 2 * EVERY]


def test_a_claim_whose_answer_was_lost_is_recognized(world, cancelled, polled):
    world.wire.on("dynamodb.UpdateItem", wire.lose_response, where=world.touching("LimitsTable"))
    assert polled() == [cancelled]


# --- a provider that lists its events in parts ------------------------------------------------------------------------


class Listing:
    """A provider with many events, of which one call returns those of a minute."""

    def __init__(self, clock, count, span=60_000):
        self.clock, self.span, self.asked = clock, span, []
        self.events = [ProviderEvent(f"evt_{n}", f"pi_{n}", clock.ms - n * 10_000) for n in range(count, 0, -1)]

    def happened(self, since):
        self.asked.append(since)
        until = min(since + self.span, self.clock.ms - 10_000)
        return Happened(tuple(event for event in self.events if since <= event.at < until), max(since, until))


class Taking:
    """A bus that accepts everything, slowly."""

    def __init__(self, clock, seconds=0.0):
        self.clock, self.seconds, self.taken = clock, seconds, []

    def publish(self, entries):
        self.clock.forward(self.seconds)
        self.taken += entries
        return [True] * len(entries)


@pytest.fixture
def cursor(world):
    """The cursor in the table."""
    return event_cursor.EventCursor(world.client("dynamodb"), world.table("LimitsTable"))


def test_a_run_catches_up_over_several_calls(world, clock, cursor):
    provider, bus = Listing(clock, 50), Taking(clock)
    event_poller.EventPoller(provider, cursor, bus).run()
    # THEN all events are published once, and the cursor is where they end
    assert [entry.detail.count("evt_") > 0 for entry in bus.taken] == [True] * 49  # the latest is not listed yet
    assert until(world) == clock.ms - 10_000
    assert len(provider.asked) == 11


def test_a_slow_bus_uses_up_the_budget_and_the_next_run_continues(world, clock, cursor):
    provider, bus = Listing(clock, 50), Taking(clock, seconds=4)
    event_poller.EventPoller(provider, cursor, bus).run()
    assert 0 < len(bus.taken) < 49
    done = until(world)
    clock.forward(EVERY)
    event_poller.EventPoller(provider, cursor, Taking(clock)).run()
    assert provider.asked[-1] > done


def test_a_malformed_event_holds_up_no_other(world, clock, cursor, logged):
    provider, bus = Listing(clock, 0, span=3_600_000), Taking(clock)
    provider.events = [ProviderEvent(f"evt_{name}", name, clock.ms - 20_000) for name in ("pi\n1", "pi_2")]
    event_poller.EventPoller(provider, cursor, bus).run()
    assert len(bus.taken) == 1
    assert "malformed id" in logged()


def test_a_provider_without_an_answer_is_no_progress(clock, cursor):
    class Silent:
        def happened(self, since):
            raise Unknown("no answer")

    poller = event_poller.EventPoller(Silent(), cursor, Taking(clock))
    poller.run()
    assert (poller.published, poller.failed) == (0, 1)
    assert poller.age == event_cursor.FIRST_LOOK_BACK / 1000


def test_a_slow_bus_does_not_hold_up_the_run_within_one_list_of_events(world, clock, cursor):
    # GIVEN fifty events in one answer of the provider, and a bus that takes 4 s for ten
    provider, bus = Listing(clock, 50, span=3_600_000), Taking(clock, seconds=4)
    event_poller.EventPoller(provider, cursor, bus).run()
    # THEN the budget ends the run, and the cursor stays
    assert len(bus.taken) == 30
    assert until(world) == clock.ms - 12_000 - event_cursor.FIRST_LOOK_BACK


def test_a_run_that_was_overtaken_moves_the_cursor_no_more(world, clock, cursor):
    seen = cursor.claim(clock.ms)
    cursor.move(seen, seen + 5000)
    cursor.move(seen, seen + 1000)
    assert until(world) == seen + 5000
