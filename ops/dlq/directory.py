"""The dead-letter queues of a stack, their owners, and a search through them.

A consumer is found by the logical ids of its resources: `points` has PointsRule, PointsQueue, PointsDeadLetters and
PointsLogs. Stacks that import the bus by its export have consumers too; `points` of the stack `loyalty` is named
`loyalty/points`.
"""

from collections import Counter
from collections.abc import Callable, Collection, Generator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ops import ages
from ops.dlq.dead_letter import DeadLetter
from ops.dlq.scan import QueueScan
from ops.stack.deployment import consumers_by_rule

if TYPE_CHECKING:
    from mypy_boto3_sqs.client import SQSClient

    from ops.stack.deployment import Deployment

_DEAD = "DeadLetters"
UNOWNED = "unowned"  # the owner of dead letters whose rule is not in the stack any more
_UNDELIVERED = "UndeliveredQueue"  # events that EventBridge could not deliver; each dead letter names its rule


class NoSuchConsumer(Exception):
    """The stack has no such consumer; the text lists those that it has."""


@dataclass(frozen=True)
class Directory:
    """A stack's dead-letter queues, queues and rules, by the consumers that they are named after."""

    dead: Mapping[str, str]  # by the URL of a dead-letter queue: its owner, or `UNOWNED` if each message names its rule
    queues: Mapping[str, str]  # by consumer: the URL of its queue; a log has none
    rules: Mapping[str, str]  # by the name of a rule: its consumer

    @property
    def consumers(self) -> list[str]:
        """All owners of dead letters."""
        return sorted({*self.dead.values(), *self.rules.values()})

    def check(self, names: Collection[str]) -> None:
        """Raise `NoSuchConsumer` if one of these is not a consumer of the stack."""
        unknown = sorted(set(names) - set(self.consumers))
        if unknown:
            raise NoSuchConsumer(
                f"The stack has no consumer {', '.join(unknown)}. It has: {', '.join(self.consumers)}."
            )

    def owner_of(self, queue_url: str, dead_letter: DeadLetter) -> str:
        """Return the consumer that a dead letter was for."""
        owner = self.dead[queue_url]
        return self.rules.get(dead_letter.rule_arn.rpartition("/")[2], UNOWNED) if owner == UNOWNED else owner


def directory(deployment: "Deployment") -> Directory:
    """Return a stack's directory, with the consumers of the stacks that import its bus."""
    known = own_directory(deployment)
    dead, queues, rules = dict(known.dead), dict(known.queues), dict(known.rules)
    for stack, importer in deployment.importers.items():
        theirs = own_directory(importer)
        names = {consumer: f"{stack}/{consumer}" for consumer in theirs.rules.values() if consumer in theirs.queues}
        dead |= {url: names[owner] for url, owner in theirs.dead.items() if owner in names}
        queues |= {names[consumer]: url for consumer, url in theirs.queues.items() if consumer in names}
        rules |= {rule: names[consumer] for rule, consumer in theirs.rules.items() if consumer in names}
    return Directory(dead, queues, rules)


def own_directory(deployment: "Deployment") -> Directory:
    """Return the directory of a stack alone, by the logical ids of its template."""
    dead, queues = {}, {}
    for logical_id in deployment.of_type("AWS::SQS::Queue"):
        if logical_id.endswith(_DEAD):
            dead[deployment.resource(logical_id)] = logical_id.removesuffix(_DEAD).lower()
        elif logical_id == _UNDELIVERED:
            dead[deployment.resource(logical_id)] = UNOWNED
        else:
            queues[logical_id.removesuffix("Queue").lower()] = deployment.resource(logical_id)
    return Directory(dead, queues, consumers_by_rule(deployment))


@dataclass(frozen=True)
class Filter:
    """Which dead letters to choose. Empty or None: all. Times are when the event happened, in epoch milliseconds."""

    consumers: Collection[str] = ()
    reason: str = ""
    order: str = ""
    event: str = ""
    before: int | None = None
    after: int | None = None

    def matches(self, consumer: str, dead_letter: DeadLetter) -> bool:
        """Return whether a dead letter is chosen."""
        return (
            (not self.consumers or consumer in self.consumers)
            and self.reason.lower() in dead_letter.reason.lower()
            and self.order in ("", dead_letter.order_id)
            and self.event in ("", dead_letter.event_id)
            and (self.before is None or dead_letter.began_at < self.before)
            and (self.after is None or dead_letter.began_at > self.after)
        )


@dataclass(frozen=True)
class Match:
    """A chosen dead letter, and the scan that holds it."""

    consumer: str
    dead_letter: DeadLetter
    scan: QueueScan


def find(
    client: "SQSClient",
    known: Directory,
    chosen: Filter,
    warn: Callable[[str], None],
    *,
    held_elsewhere: Counter[str] | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> Generator[Match]:
    """Yield the dead letters that a filter chooses, queue by queue; all of a queue are released at its end.

    Close the generator if it is not used up, or let ``stopped`` return true: it is called before each dead letter.
    ``warn`` gets a text about dead letters that could not be seen; ``held_elsewhere`` counts, by queue, those that
    another receiver holds.
    """
    # Undelivered events last: those that are redriven and fail again arrive in the queues before it.
    for queue_url, owner in sorted(known.dead.items(), key=lambda queue: queue[1] == UNOWNED):
        if owner != UNOWNED and chosen.consumers and owner not in chosen.consumers:
            continue
        with QueueScan(client, queue_url) as scan:
            for dead_letter in scan:
                if stopped():
                    return
                consumer = known.owner_of(queue_url, dead_letter)
                if chosen.matches(consumer, dead_letter):
                    yield Match(consumer, dead_letter, scan)
        _warn_of_unseen(owner, scan, warn)
        if scan.held_elsewhere and held_elsewhere is not None:
            held_elsewhere[queue_url] += scan.held_elsewhere


def _warn_of_unseen(owner: str, scan: QueueScan, warn: Callable[[str], None]) -> None:
    name = "undelivered events" if owner == UNOWNED else owner
    if scan.held_elsewhere:
        back = ages.show(scan.visibility_seconds * 1000)
        warn(
            f"{name}: SQS counts {scan.held_elsewhere} more; another receiver may hold them. "
            f"If it was killed, they are visible again within {back}."
        )
    if scan.arrived_later:
        warn(f"{name}: {scan.arrived_later} more arrived meanwhile, or failed again; scan again to see them.")
