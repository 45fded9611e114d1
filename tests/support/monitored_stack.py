"""A simulated stack with a simulated CloudWatch, which gets the functions' metrics and those that AWS publishes.

AWS's metrics are those in tests/template/aws_metric_catalog.toml. Resources have their placeholders in `dev.template`.
"""

import io
import json
import uuid
from collections.abc import Collection, Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from moto.sqs.models import sqs_backends

from dev import samples
from dev.simulated.account import ACCOUNT, REGION, STACK_NAME
from dev.simulated.api import Answer
from dev.simulated.clock import Clock, standing
from dev.simulated.messages import message
from dev.simulated.stack import SimulatedStack
from dev.simulated.world import World, body
from handoff import aws
from handoff.clock import now_ms, to_iso
from ops.lag.measure import BETWEEN_TRIES, Points, Tries, keeps_failing
from shop.model import Customer
from tests.support.cloudwatch import CloudWatch, Metric, statistic

MINUTE = 60
SWEEPER = "SweeperFunction"
_STOCK = 10_000
_POISON = 3  # receives after which SQS leaves a message out of its age


@contextmanager
def monitoring(deployment: SimulatedStack) -> Iterator["MonitoredStack"]:
    """Start monitoring a stack with full stock and an empty CloudWatch."""
    output = io.StringIO()
    with standing() as clock, redirect_stdout(output):
        world = World(deployment, clock)
        world.stock(available=_STOCK)
        world.customer()
        world.customer("bob")
        yield MonitoredStack(world, clock, output)


@dataclass
class MonitoredStack:
    """The stack, which the caller advances minute by minute."""

    world: World
    clock: Clock
    _output: io.StringIO

    def __post_init__(self) -> None:
        self.cloudwatch = CloudWatch()
        self.start = self._now = self.clock.ms
        self._placed = 0
        self._touched: set[str] = set()

    # --- requests and events ------------------------------------------------------------------------------------------

    def order(self, key: str = "", **values: Any) -> Answer:
        """Place an order, by default for one mug."""
        self._placed += 1
        return self.request("POST", "/orders", body(**values), **{"Idempotency-Key": key or f"key-{self._placed}"})

    def request(self, method: str, path: str, content: dict[str, Any] | None = None, **headers: str) -> Answer:
        """Send a request of Ada; API Gateway publishes its metrics."""
        begun = self.clock.ms
        answer = self.world.api().call(method, path, content and json.dumps(content), **headers)
        self.answered(begun, answer.status)
        return answer

    def cancel(self, order_id: str) -> Answer:
        """Cancel an order."""
        return self.request("POST", f"/orders/{order_id}/cancel")

    def answered(self, begun: int, status: int) -> None:
        """Publish API Gateway's metrics of a request."""
        for name, value in (("Count", 1), ("4xx", status // 100 == 4), ("5xx", status // 100 == 5)):
            self.cloudwatch.put(Metric.of("AWS/ApiGateway", name, ApiId="${Api}"), begun, float(value))
        latency = Metric.of("AWS/ApiGateway", "Latency", ApiId="${Api}")
        self.cloudwatch.put(latency, begun, self.clock.ms - begun, "Milliseconds")

    def feed(self) -> None:
        """Cause an event for every consumer: an order, a cancelled one, a new name, and a bounce of a mail to Bob."""
        order_id = self.order().json["orderId"]
        self.cancel(self.order().json["orderId"])
        self.request("PUT", "/me", {"name": f"Ada {self._placed}", "email": "ada@example.com"})
        self.world.queues.send("FeedbackFunction", bounce())
        for found in self.world.stack.template.event_consumers():
            if not found.detail_types & {"order_placed", "order_cancelled"}:
                self.world.queues.send(found.function_id, message(min(found.detail_types), order_id, 1))

    def sign_up(self) -> None:
        """Publish the metric of a customer who signs up."""
        metric = Metric.of("AWS/Cognito", "SignUpSuccesses", UserPool="${UserPool}", UserPoolClient="${UserPoolClient}")
        self.cloudwatch.put(metric, self.clock.ms, 1)

    def throttle(self) -> None:
        """Publish the metrics of a request that Lambda throttles."""
        self.cloudwatch.put(Metric.of("AWS/Lambda", "Throttles", FunctionName="${OrdersFunction}"), self.clock.ms, 1)
        self.answered(self.clock.ms, 503)

    # --- time ---------------------------------------------------------------------------------------------------------

    def minute(self, running: Collection[str] | None = None) -> None:
        """Let a minute pass, then run these functions, by default all."""
        self.clock.forward(MINUTE)
        if running is None or SWEEPER in running:
            with suppress(*aws.ERRORS):  # Lambda counts it
                self.world.sweep()
        consuming = [name for name in self.world.queues.names if running is None or name in running]
        if consuming:
            self.world.queues.until_quiet(*consuming)
        self.publish()

    def publish(self) -> None:
        """Publish the minute's metrics: those printed by the functions, and those of Lambda and SQS."""
        self.cloudwatch.read(self._output.getvalue().replace(json.dumps(STACK_NAME), json.dumps("${AWS::StackName}")))
        self._output.seek(0)
        self._output.truncate()
        for function, failed in self.world.functions.ended:
            for name, value in (("Invocations", 1), ("Errors", failed)):
                metric = Metric.of("AWS/Lambda", name, FunctionName=f"${{{function}}}")
                self.cloudwatch.put(metric, self.clock.ms, float(value))
        self.world.functions.ended.clear()
        for name, queue in sqs_backends[ACCOUNT][REGION].queues.items():
            self._publish_queue(name.removeprefix(f"{STACK_NAME}-"), queue)

        self._now = self.clock.ms

    def _publish_queue(self, name: str, queue: Any) -> None:
        waiting = [message for message in queue._messages if message.approximate_receive_count < _POISON]
        if queue._messages or name.endswith("Queue"):
            self._touched.add(name)
        if name in self._touched:  # SQS publishes nothing for a queue that was never used
            self._put(name, "ApproximateNumberOfMessagesVisible", len(queue.messages))
        if waiting:
            oldest = min(message.sent_timestamp for message in waiting)
            self._put(name, "ApproximateAgeOfOldestMessage", (self.clock.ms - oldest) / 1000, "Seconds")

    def _put(self, queue: str, name: str, value: float, unit: str = "Count") -> None:
        metric = Metric.of("AWS/SQS", name, QueueName=f"${{{queue}.QueueName}}")
        self.cloudwatch.put(metric, self.clock.ms, value, unit)

    def states(self, alarm: dict[str, Any]) -> list[str]:
        """Return an alarm's states up to the end of the last minute."""
        return self.cloudwatch.states(alarm, self.start, self._now)


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
    since = monitored.clock.ms - BETWEEN_TRIES * MINUTE * 1000
    return [point for point in _points(monitored, name, stat) if point[0] >= since]


def _points(monitored: MonitoredStack, name: str, stat: str) -> Points:
    """Return a metric of the emails consumer by minute, as CloudWatch does."""
    metric = Metric.of("Handoff", name, service="${AWS::StackName}", consumer="emails")
    stamped = sorted(monitored.cloudwatch._values.get(metric, []))
    by_minute = groupby(stamped, key=lambda value: value[0] - value[0] % (MINUTE * 1000))
    return [(minute, statistic(stat, [value for _, value in found])) for minute, found in by_minute]


def bounce() -> str:
    """Return a report of SES that a mail to Bob has just bounced."""
    report = samples.bounced(Customer(user_id="bob", name="Bob", email="bob@example.com"))
    return json.dumps(report | {"id": str(uuid.uuid4()), "time": to_iso(now_ms())})
