"""What keeps failing is seen by `handoff lag`, though SQS soon leaves it out of its queue's age."""

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
    """A metric of e-mail's by the minute, as CloudWatch has it."""
    metric = Metric.of("Handoff", name, service="${AWS::StackName}", consumer="emails")
    stamped = sorted(monitored.cloudwatch._values.get(metric, []))
    by_minute = groupby(stamped, key=lambda value: value[0] - value[0] % _MINUTE)
    return [(minute, statistic(stat, [value for _, value in found])) for minute, found in by_minute]


def failing(monitored: MonitoredStack) -> float | None:
    """What `handoff lag` makes of the tries of e-mail, as of now."""
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
    """The age of the oldest message in e-mail's queue, as SQS has told it in the last minute."""
    metric = Metric.of("AWS/SQS", "ApproximateAgeOfOldestMessage", QueueName="${EmailsQueue.QueueName}")
    now = monitored.clock.ms
    return max(monitored.cloudwatch.values(metric, now - _MINUTE + 1, now + 1), default=0.0)


def test_failures_are_searched_for_longer_than_the_longest_backoff() -> None:
    assert max(BACKOFF) < lag.BETWEEN_TRIES * 60


@pytest.mark.parametrize("others", [False, True], ids=["a quiet shop", "others go through"])
def test_lag_shows_the_age_of_a_failing_event_until_it_is_done(stack: SimulatedStack, others: bool) -> None:
    # GIVEN that the mail of one order is refused, again and again
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
        # THEN SQS soon says nothing of it, and its tries do: two minutes late at the most, and never too much
        assert max(alone for _, alone, _ in ages) < 10 * 60
        assert all(max(alone, known or 0) > age / 1000 - 120 for age, alone, known in ages[1:])
        assert all((known or 0) <= age / 1000 + 1 for age, _, known in ages)
        # AND once its mail has gone out nothing is said of it any more
        monitored.world.wire.heal()
        while monitored.world.queues.busy():
            monitored.minute()
        monitored.minute()
        assert failing(monitored) is None


@pytest.mark.parametrize("others", [False, True], ids=["a quiet shop", "others go through"])
def test_dead_letters_do_not_count_as_failing_events(stack: SimulatedStack, others: bool) -> None:
    # GIVEN an order's mails that fail twice, and then turn out to be such that no retry can mend
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
        # THEN both of its mails are dead letters, and nothing else
        assert len(monitored.world.queues.dead_letters("EmailsFunction")) == 2
        assert failing(monitored) is None


def test_normal_operation_has_no_failing_events(stack: SimulatedStack) -> None:
    with monitoring(stack) as monitored:
        alarm_scenarios.good(monitored)
        assert failing(monitored) is None
