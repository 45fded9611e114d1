"""`handoff lag` shows events that keep failing, although SQS soon excludes them from the age of its queue."""

import pytest

from dev.simulated import wire
from dev.simulated.stack import SimulatedStack
from handoff.consumer import BACKOFF
from ops.lag import measure as lag
from tests.support.cloudwatch import Metric
from tests.support.monitored_stack import MonitoredStack, failing, monitoring

_MINUTE = 60_000
_REFUSED = wire.refuse("AccountSuspendedException", 400)


def in_queue(monitored: MonitoredStack) -> float:
    """Return the age of the oldest message in the queue of emails, as SQS reported it in the last minute."""
    metric = Metric.of("AWS/SQS", "ApproximateAgeOfOldestMessage", QueueName="${EmailsQueue.QueueName}")
    now = monitored.clock.ms
    return max(monitored.cloudwatch.values(metric, now - _MINUTE + 1, now + 1), default=0.0)


def test_failures_are_searched_for_longer_than_the_longest_backoff() -> None:
    assert max(BACKOFF) < lag.BETWEEN_TRIES * 60


@pytest.mark.parametrize("others", [False, True], ids=["a quiet shop", "others go through"])
def test_lag_shows_the_age_of_a_failing_event_until_it_is_done(stack: SimulatedStack, others: bool) -> None:
    # GIVEN an order whose mail SES rejects again and again
    with monitoring(stack) as monitored:
        first = monitored.order().json["orderId"]
        monitored.world.wire.always("sesv2.SendEmail", _REFUSED, where=lambda call: first in str(call.request))
        placed = monitored.clock.ms
        ages = []
        for _ in range(40):
            if others:
                monitored.order()
            monitored.minute()
            ages.append((monitored.clock.ms - placed, in_queue(monitored), failing(monitored)))
        # THEN SQS soon excludes it, and its retries show its age: at most two minutes late, and never too high
        assert max(alone for _, alone, _ in ages) < 10 * 60
        assert all(max(alone, known or 0) > age / 1000 - 120 for age, alone, known in ages[1:])
        assert all((known or 0) <= age / 1000 + 1 for age, _, known in ages)
        # AND once its mail is sent it is not shown any more
        monitored.world.wire.heal()
        while monitored.world.queues.busy():
            monitored.minute()
        monitored.minute()
        assert failing(monitored) is None


@pytest.mark.parametrize("others", [False, True], ids=["a quiet shop", "others go through"])
def test_dead_letters_do_not_count_as_failing_events(stack: SimulatedStack, others: bool) -> None:
    # GIVEN an order's mails that fail twice, and then with a permanent error
    with monitoring(stack) as monitored:
        first = monitored.order().json["orderId"]
        monitored.world.wire.always("sesv2.SendEmail", _REFUSED, where=lambda call: first in str(call.request))
        monitored.minute()
        monitored.minute()
        assert failing(monitored) is not None
        monitored.world.wire.heal()
        monitored.world.wire.always(
            "sesv2.SendEmail", wire.refuse("BadRequestException"), where=lambda call: first in str(call.request)
        )
        for _ in range(10):
            if others:
                monitored.order()
            monitored.minute()
        # THEN both mails are dead letters, and not shown as failing
        assert len(monitored.world.queues.dead_letters("EmailsFunction")) == 2
        assert failing(monitored) is None
