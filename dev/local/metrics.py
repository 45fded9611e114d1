"""The local stack's CloudWatch, fed: what AWS would know of the queues by itself, and would find in the logs.

For the local stack only. It gives neither figures of its queues nor metrics for the lines of embedded metric format
(EMF) that the functions log, so they are put here, under the names that AWS gives them.
"""

import contextlib
import logging
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING

import httpx
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectTimeoutError, EndpointConnectionError

from handoff import aws
from handoff.clock import now_ms
from ops.dlq.directory import directory
from ops.stack import emf, observe
from ops.stack.deployment import Deployment
from ops.stack.emf import Datum

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch.type_defs import MetricDatumTypeDef

EVERY = 3.0  # seconds
_POISON = 3  # receives after which SQS leaves a message out of its queue's age
_LATE = 30_000  # ms that a line may come after a newer one, and is still counted
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricData.html
_METRICS = 1000  # in a call
_VALUES = 150  # in a metric
_NOT_TAKEN = (ClientError, EndpointConnectionError, ConnectTimeoutError)

_logger = logging.getLogger(__name__)


class Pump:
    """Puts what has happened since the last beat; the first counts from when the pump was made."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        begin = now_ms()
        groups = deployment.of_type("AWS::Logs::LogGroup")
        self._logs = [_Log(deployment, deployment.resource(group), begin) for group in groups]
        known = directory(deployment)
        self._queues = [_Queue(deployment, url, consumer) for consumer, url in known.queues.items()]
        self._queues += [_Queue(deployment, url, "") for url in known.dead]
        self._done: Counter[str] = Counter()  # by consumer: events that left its queue, and that are not reckoned yet
        self._pending: dict[str, list[MetricDatumTypeDef]] = defaultdict(list)  # by namespace: what is to be put
        # One try: a call that was taken, though its answer got lost, must not be made again.
        once = Config(retries={"total_max_attempts": 1})
        self._client = deployment.session.client("cloudwatch", endpoint_url=deployment.endpoint, config=once)

    def beat(self) -> None:
        """Put the metrics of all lines that are new, and the figures of all queues as they are now.

        After an error, what was read and not put is put at the next beat.

        Raises
        ------
        botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError, httpx.HTTPError
            If the local stack refuses, or does not answer.
        """
        # The logs come first: what is seen to leave a queue after that has its line in them now, or at the next beat.
        for log in self._logs:
            for datum in log.news():
                self._keep(datum)
                self._done += _left(datum)
        for queue in self._queues:
            for datum in queue.look(self._done[queue.consumer]):
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
                except _NOT_TAKEN:
                    data[:0] = call
                    raise
                # After any other error it may have been taken: better a gap than a figure that counts twice.


class _Log:
    """A log group, and which of its lines have been read."""

    def __init__(self, deployment: Deployment, group: str, begin: int) -> None:
        self._client = deployment.logs
        self._group = group
        self._begin = begin
        self._start = begin
        self._seen: Counter[tuple[str, int, str]] = Counter()  # lines from _start on; two may be alike

    def news(self) -> list[Datum]:
        """The metrics in lines that were not there before."""
        events = emf.events(self._client, self._group, start=self._start)
        lines = Counter((event["logStreamName"], event["timestamp"], event["message"]) for event in events)
        new = lines - self._seen
        if events:
            self._start = max(self._begin, events[-1]["timestamp"] - _LATE)
        self._seen = Counter({line: count for line, count in lines.items() if line[1] >= self._start})
        return [datum for _, _, message in new.elements() for datum in emf.read(message)]


class _Queue:
    """A queue, and how many messages it held."""

    def __init__(self, deployment: Deployment, url: str, consumer: str) -> None:
        self.consumer = consumer  # whose queue it is; empty for dead letters
        self._deployment = deployment
        self._url = url
        self._held = observe.depth(deployment, url).total
        self._vanished = 0  # messages that were gone at the last look, without a line that they are done

    def look(self, done: int) -> list[Datum]:
        """What AWS would say of the queue; ``done`` is how many events of it the logs have told of since the last look.

        How many messages were sent and deleted is reckoned: many come and go between two looks.
        """
        depth, now = observe.depth(self._deployment, self._url), now_ms()
        oldest = self._oldest(now) if depth.total else now
        flow = reckon(done, depth.total - self._held, self._vanished)
        self._held, self._vanished = depth.total, flow.vanished
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
        """When the oldest message was sent, as SQS has it: not of those received three times. Now, if there is none."""
        url = f"{self._deployment.endpoint}/_ministack/sqs/messages"
        answer = httpx.get(url, params={"QueueUrl": self._url}).raise_for_status().json()
        queues = [queue for regions in answer["messages"].values() for queue in regions.values()]
        messages = [message for queue in queues for found in queue.values() for message in found]
        fresh = [message for message in messages if message["ReceiveCount"] < _POISON]
        return min((int(message["Attributes"]["SentTimestamp"]) for message in fresh), default=now)


@dataclass(frozen=True)
class Flow:
    """Messages that were sent to a queue and deleted from it; and those that are gone, and nobody knows how yet."""

    sent: int
    deleted: int
    vanished: int


def reckon(done: int, change: int, vanished: int) -> Flow:
    """What must have happened between two looks, for a queue to hold so many more or fewer messages now.

    What left the queue without a word had its line a moment too late for this look: the next look sees it. What has no
    line even then was deleted in another way. Of messages that come and go in that way between two looks, nothing is
    known.
    """
    sent = done + change - vanished
    gone = max(0, -sent)
    otherwise = min(gone, vanished)
    return Flow(max(0, sent), done + otherwise, gone - otherwise)


def _left(datum: Datum) -> Counter[str]:
    """How many events have left a consumer's queue: done, or buried."""
    counts = {"EventLagDone": len(datum.values), "EventsFailed": int(sum(datum.values))}
    return Counter({value: counts.get(datum.name, 0) for name, value in datum.dimensions if name == "consumer"})


def _metric_data(datum: Datum) -> "Iterator[MetricDatumTypeDef]":
    """A datum as PutMetricData takes it."""
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
def pumping(deployment: Deployment) -> Iterator[None]:
    """Feed the local stack's CloudWatch for as long as the context lasts. What goes wrong is logged and tried again."""
    pump, ended = Pump(deployment), threading.Event()
    thread = threading.Thread(target=_run, args=(pump, ended), name="pump", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _run(pump: Pump, ended: threading.Event) -> None:
    failing = False
    while not ended.is_set():
        try:
            pump.beat()
            failing = False
        except (*aws.ERRORS, httpx.HTTPError) as error:
            if not failing:  # once will do
                _logger.warning("The local stack's metrics are late: %s", error)
            failing = True
        ended.wait(EVERY)
