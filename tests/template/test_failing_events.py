"""`handoff lag` shows events that keep failing, although SQS soon excludes them from the age of its queue."""

from itertools import groupby

import pytest

from dev.simulated import wire
from dev.simulated.stack import SimulatedStack
from handoff.consumer import BACKOFF
from ops.lag import measure as lag
from ops.lag.measure import Points, Tries, keeps_failing
from tests.support.cloudwatch import Metric, statistic
from tests.support.monitored_stack import MonitoredStack, monitoring
from tests.template import alarm_scenarios

_MINUTE = 60_000
_REFUSED = wire.refuse("AccountSuspendedException", 400)


def points(monitored: MonitoredStack, name: str, stat: str) -> Points:
    """Return a metric of the emails consumer by minute, as CloudWatch does."""
    metric = Metric.of("Handoff", name, service="${AWS::StackName}", consumer="emails")
    stamped = sorted(monitored.cloudwatch._values.get(metric, []))
    by_minute = groupby(stamped, key=lambda value: value[0] - value[0] % _MINUTE)
    return [(minute, statistic(stat, [value for _, value in found])) for minute, found in by_minute]


def failing(monitored: MonitoredStack) -> float | None:
    """Return the age that `handoff lag` shows for failing events of the emails consumer."""
    return keeps_failing(
        Tries(
            received=_lately(monitored, "EventLagReceived", "Maximum"),
            done=_lately(monitored, "EventLagDone", "Maximum"),
            retried=_lately(monitored, "EventsRetried", "Sum"),
            failed=_lately(monitored, "EventsFailed", "Sum"),
        ),
        monitored.clock.ms,
    )


def _lately(monitored: MonitoredStack, name: str, stat: str) -> Points:
    since = monitored.clock.ms - lag.BETWEEN_TRIES * _MINUTE
    return [point for point in points(monitored, name, stat) if point[0] >= since]


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


def test_normal_operation_has_no_failing_events(stack: SimulatedStack) -> None:
    with monitoring(stack) as monitored:
        alarm_scenarios.normal(monitored)
        assert failing(monitored) is None
