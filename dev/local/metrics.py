"""Metrics for the local stack's CloudWatch.

MiniStack publishes no AWS/SQS metrics, and extracts none from the lines of embedded metric format (EMF) that the
functions log. This module publishes both, under the names that AWS gives them.
"""

import contextlib
import logging
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING

import httpx
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectTimeoutError, EndpointConnectionError

from handoff import aws
from handoff.clock import now_ms
from ops.dlq.directory import own_directory
from ops.stack import emf, observe
from ops.stack.deployment import Deployment
from ops.stack.emf import Datum

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch.type_defs import MetricDatumTypeDef

EVERY = 3.0  # seconds
_POISON = 3  # receives after which SQS excludes a message from its queue's age
_LATE = 30_000  # ms by which a line may follow a newer one and still be counted
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricData.html
_METRICS = 1000  # per call
_VALUES = 150  # per metric
_NOT_ACCEPTED = (ClientError, EndpointConnectionError, ConnectTimeoutError)

_logger = logging.getLogger(__name__)


class MetricsBridge:
    """Publishes the metrics of everything since the previous `publish_once`, at first since its creation."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        begin = now_ms()
        groups = deployment.of_type("AWS::Logs::LogGroup")
        self._logs = [_Log(deployment, deployment.resource(group), begin) for group in groups]
        known = own_directory(deployment)
        self._queues = [_Queue(deployment, url, consumer) for consumer, url in known.queues.items()]
        self._queues += [_Queue(deployment, url, "") for url in known.dead]
        self._done: Counter[str] = Counter()  # by consumer: departures that its queue has not reported yet
        self._pending: dict[str, list[MetricDatumTypeDef]] = defaultdict(list)  # unpublished, by namespace
        # No retry: CloudWatch would count a call twice if it had accepted it and only the response was lost.
        once = Config(retries={"total_max_attempts": 1})
        self._client = deployment.session.client("cloudwatch", endpoint_url=deployment.endpoint, config=once)

    def publish_once(self) -> None:
        """Publish the metrics of all new log lines, and the current figures of all queues.

        Data that was read before an error is published by the next call.

        Raises
        ------
        botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError, httpx.HTTPError
            If the local stack rejects a call or does not answer.
        """
        # Logs first. A message that leaves its queue later than this has its line in this call or in the next one.
        for log in self._logs:
            for datum in log.new_data():
                self._keep(datum)
                self._done += _departures(datum)
        for queue in self._queues:
            for datum in queue.new_data(self._done[queue.consumer]):
                self._keep(datum)
            del self._done[queue.consumer]
        self._put()

    def _keep(self, datum: Datum) -> None:
        self._pending[datum.namespace] += _metric_data(datum)

    def _put(self) -> None:
        for namespace, data in self._pending.items():
            while data:
                call = data[:_METRICS]
                del data[:_METRICS]
                try:
                    self._client.put_metric_data(Namespace=namespace, MetricData=call)
                except _NOT_ACCEPTED:
                    data[:0] = call
                    raise
                # After any other error CloudWatch may have accepted the call: a gap is better than counting twice.


class _Log:
    """A log group, and the lines of it that have been read."""

    def __init__(self, deployment: Deployment, group: str, begin: int) -> None:
        self._client = deployment.logs
        self._group = group
        self._begin = begin
        self._start = begin
        self._seen: Counter[tuple[str, int, str]] = Counter()  # lines since _start; two may be equal

    def new_data(self) -> list[Datum]:
        """Return the metrics in lines that were not there before."""
        events = emf.events(self._client, self._group, start=self._start)
        lines = Counter((event["logStreamName"], event["timestamp"], event["message"]) for event in events)
        new = lines - self._seen
        if events:
            self._start = max(self._begin, events[-1]["timestamp"] - _LATE)
        self._seen = Counter({line: count for line, count in lines.items() if line[1] >= self._start})
        return [datum for _, _, message in new.elements() for datum in emf.read(message)]


class _Queue:
    """A queue, and the number of messages that it held."""

    def __init__(self, deployment: Deployment, url: str, consumer: str) -> None:
        self.consumer = consumer  # empty for a dead-letter queue
        self._deployment = deployment
        self._url = url
        self._held = observe.depth(deployment, url).total
        self._unaccounted = 0  # messages that had left by the previous call without a log line

    def new_data(self, done: int) -> list[Datum]:
        """Return the metrics that AWS would publish for the queue.

        ``done`` is the number of departures that were logged since the previous call. Messages sent and deleted are
        inferred, because many come and go between two calls.
        """
        depth, now = observe.depth(self._deployment, self._url), now_ms()
        oldest = self._oldest(now) if depth.total else now
        flow = infer_flow(done, depth.total - self._held, self._unaccounted)
        self._held, self._unaccounted = depth.total, flow.unaccounted
        return [
            self._datum(now, "ApproximateNumberOfMessagesVisible", "Count", depth.waiting),
            self._datum(now, "ApproximateNumberOfMessagesNotVisible", "Count", depth.in_flight),
            self._datum(now, "ApproximateAgeOfOldestMessage", "Seconds", max(0, now - oldest) / 1000),
            self._datum(now, "NumberOfMessagesSent", "Count", flow.sent),
            self._datum(now, "NumberOfMessagesDeleted", "Count", flow.deleted),
        ]

    def _datum(self, at: int, name: str, unit: str, value: float) -> Datum:
        queue = ("QueueName", self._url.rpartition("/")[2])
        return Datum("AWS/SQS", name, (queue,), unit, at, (value,))

    def _oldest(self, now: int) -> int:
        """Return when the oldest message was sent, or ``now``. Like SQS, ignore messages received three times."""
        url = f"{self._deployment.endpoint}/_ministack/sqs/messages"
        answer = httpx.get(url, params={"QueueUrl": self._url}).raise_for_status().json()
        queues = [queue for regions in answer["messages"].values() for queue in regions.values()]
        messages = [message for queue in queues for found in queue.values() for message in found]
        fresh = [message for message in messages if message["ReceiveCount"] < _POISON]
        return min((int(message["Attributes"]["SentTimestamp"]) for message in fresh), default=now)


@dataclass(frozen=True)
class Flow:
    """Messages sent to a queue, deleted from it, and gone without a log line so far."""

    sent: int
    deleted: int
    unaccounted: int


def infer_flow(done: int, change: int, unaccounted: int) -> Flow:
    """Infer the messages sent and deleted between two calls from the logged departures and the change in depth.

    A message that left without a log line usually has its line in time for the next call. Without one even then, it
    was deleted by something other than a consumer. Such messages stay unknown if they come and go between two calls.
    """
    sent = done + change - unaccounted
    gone = max(0, -sent)
    deleted_otherwise = min(gone, unaccounted)
    return Flow(max(0, sent), done + deleted_otherwise, gone - deleted_otherwise)


def _departures(datum: Datum) -> Counter[str]:
    """Return how many events have left each consumer's queue: done, or sent to its dead-letter queue."""
    counts = {"EventLagDone": len(datum.values), "EventsFailed": int(sum(datum.values))}
    return Counter({value: counts.get(datum.name, 0) for name, value in datum.dimensions if name == "consumer"})


def _metric_data(datum: Datum) -> "Iterator[MetricDatumTypeDef]":
    """Return a datum in the form of PutMetricData."""
    counts = iter(Counter(datum.values).items())
    while some := dict(islice(counts, _VALUES)):
        yield {
            "MetricName": datum.name,
            "Dimensions": [{"Name": name, "Value": value} for name, value in datum.dimensions],
            "Timestamp": datetime.fromtimestamp(datum.at / 1000, UTC),
            "Unit": datum.unit,  # type: ignore[typeddict-item]  # EMF's units are those of CloudWatch
            "Values": list(some),
            "Counts": list(map(float, some.values())),
        }


@contextlib.contextmanager
def publishing_metrics(deployment: Deployment) -> Iterator[None]:
    """Publish the metrics of a stack, and of those that import its bus, while the context lasts.

    Errors are logged, and the call is retried.
    """
    bridge, ended = MetricsBridge(deployment), threading.Event()
    thread = threading.Thread(target=_run, args=(deployment, bridge, ended), name="metrics bridge", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _run(deployment: Deployment, first: MetricsBridge, ended: threading.Event) -> None:
    bridges, failing = {deployment.stack: first}, False
    while not ended.is_set():
        try:
            # A copy lists the importers again: another stack may have been deployed meanwhile.
            stacks = {deployment.stack: deployment, **replace(deployment).importers}
            bridges = {name: bridges.get(name) or MetricsBridge(stack) for name, stack in stacks.items()}
            for bridge in bridges.values():
                bridge.publish_once()
            failing = False
        except (*aws.ERRORS, httpx.HTTPError) as error:
            if not failing:  # log it once
                _logger.warning("The metrics of the local stack are late: %s", error)
            failing = True
        ended.wait(EVERY)
