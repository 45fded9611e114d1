"""The relay of the rivals: its request doesn't publish, and the stream's function publishes without the sweeper."""

import pytest

from bench.rivals.experiments import WAYS, Strike, run
from bench.rivals.shop import APPROVED
from dev.simulated.world import deployed

_, RELAY = WAYS


@pytest.fixture(scope="module")
def stack():
    with deployed() as stack:
        yield stack


def test_the_relay_publishes_what_the_request_has_stored(stack):
    outcome = run(stack, RELAY, None, token=APPROVED, asks_again=False)

    assert outcome.status == 201
    assert outcome.violations == []
    assert [call.operation for call in outcome.calls][-2:] == ["UpdateItem", "PutEvents"]


@pytest.mark.parametrize("kind", ["crash before", "crash after"])
@pytest.mark.parametrize(
    ("call", "nth"), [("dynamodb.UpdateItem", 1), ("eventbridge.PutEvents", 1)], ids=["request", "relay"]
)
def test_a_crash_after_the_order_is_stored_delays_its_event_by_a_poll(stack, kind, call, nth):
    outcome = run(stack, RELAY, Strike(kind, call, nth), token=APPROVED, asks_again=False)

    assert outcome.violations == []
    assert outcome.placed == ((kind, call) != ("crash before", "dynamodb.UpdateItem"))
    assert outcome.event_after is None or outcome.event_after < 1
