"""What keeps failing is seen by `handoff lag`, though SQS soon leaves it out of its queue's age."""

from itertools import groupby

import pytest

from handoff.consumer import BACKOFF
from ops.lag import measure as lag
from ops.lag.measure import Points, Tries, keeps_failing
from tests.support import wire
from tests.support.cloudwatch import Metric, statistic
from tests.support.day import Day, beginning
from tests.support.stack import Stack as Deployment
from tests.template import days

_MINUTE = 60_000
_REFUSED = wire.refuse("AccountSuspendedException", 400)


def points(day: Day, name: str, stat: str) -> Points:
    """A metric of e-mail's by the minute, as CloudWatch has it."""
    metric = Metric.of("Handoff", name, service="${AWS::StackName}", consumer="emails")
    stamped = sorted(day.cloudwatch._values.get(metric, []))
    by_minute = groupby(stamped, key=lambda value: value[0] - value[0] % _MINUTE)
    return [(minute, statistic(stat, [value for _, value in found])) for minute, found in by_minute]


def failing(day: Day) -> float | None:
    """What `handoff lag` makes of the tries of e-mail, as of now."""
    return keeps_failing(
        Tries(
            received=_lately(day, "EventLagReceived", "Maximum"),
            done=_lately(day, "EventLagDone", "Maximum"),
            retried=_lately(day, "EventsRetried", "Sum"),
            failed=_lately(day, "EventsFailed", "Sum"),
        ),
        day.clock.ms,
    )


def _lately(day: Day, name: str, stat: str) -> Points:
    since = day.clock.ms - lag.BETWEEN_TRIES * _MINUTE
    return [point for point in points(day, name, stat) if point[0] >= since]


def in_queue(day: Day) -> float:
    """The age of the oldest message in e-mail's queue, as SQS has told it in the last minute."""
    metric = Metric.of("AWS/SQS", "ApproximateAgeOfOldestMessage", QueueName="${EmailsQueue.QueueName}")
    return max(day.cloudwatch.values(metric, day.clock.ms - _MINUTE + 1, day.clock.ms + 1), default=0.0)


def test_a_failing_event_is_looked_for_longer_than_it_may_wait() -> None:
    assert max(BACKOFF) < lag.BETWEEN_TRIES * 60


@pytest.mark.parametrize("others", [False, True], ids=["a quiet shop", "others go through"])
def test_an_event_that_keeps_failing_grows_older_until_it_is_done(deployment: Deployment, others: bool) -> None:
    # GIVEN that the mail of one order is refused, again and again
    with beginning(deployment) as day:
        first = day.order().json["orderId"]
        day.world.wire.always("sesv2.SendEmail", _REFUSED, where=lambda call: first in str(call.request))
        placed = day.clock.ms
        ages = []
        for _ in range(40):
            if others:
                day.order()
            day.minute()
            ages.append((day.clock.ms - placed, in_queue(day), failing(day)))
        # THEN SQS soon says nothing of it, and its tries do: two minutes late at the most, and never too much
        assert max(alone for _, alone, _ in ages) < 10 * 60
        assert all(max(alone, known or 0) > age / 1000 - 120 for age, alone, known in ages[1:])
        assert all((known or 0) <= age / 1000 + 1 for age, _, known in ages)
        # AND once its mail has gone out nothing is said of it any more
        day.world.wire.heal()
        while day.world.queues.busy():
            day.minute()
        day.minute()
        assert failing(day) is None


@pytest.mark.parametrize("others", [False, True], ids=["a quiet shop", "others go through"])
def test_what_was_given_up_does_not_keep_failing(deployment: Deployment, others: bool) -> None:
    # GIVEN an order's mails that fail twice, and then turn out to be such that no retry can mend
    with beginning(deployment) as day:
        first = day.order().json["orderId"]
        day.world.wire.always("sesv2.SendEmail", _REFUSED, where=lambda call: first in str(call.request))
        day.minute()
        day.minute()
        assert failing(day) is not None
        day.world.wire.heal()
        day.world.wire.always(
            "sesv2.SendEmail", wire.refuse("BadRequestException"), where=lambda call: first in str(call.request)
        )
        for _ in range(10):
            if others:
                day.order()
            day.minute()
        # THEN both of its mails are dead letters, and nothing else
        assert len(day.world.queues.dead_letters("EmailsFunction")) == 2
        assert failing(day) is None


def test_nothing_keeps_failing_on_a_good_day(deployment: Deployment) -> None:
    with beginning(deployment) as day:
        days.good(day)
        assert failing(day) is None
