"""Which queues of a stack hold dead letters, whose they are, and finding some among them."""

from collections import Counter
from collections.abc import Callable, Collection, Generator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ops import ages
from ops.dlq.letter import Letter
from ops.dlq.scan import Look

if TYPE_CHECKING:
    from mypy_boto3_sqs.client import SQSClient

    from ops.stack.deployment import Deployment

_DEAD = "DeadLetters"
NOBODY = "nobody"  # whose letters name a rule that the stack does not have any more
_UNDELIVERED = "UndeliveredQueue"  # what EventBridge could not put into a queue: each letter names its rule


class NoSuchConsumer(Exception):
    """The stack has no such consumer; the text names those that it has."""


@dataclass(frozen=True)
class Directory:
    """Who has dead letters where: the consumers that the stack's dead-letter queues and rules are named after."""

    dead: Mapping[
        str, str
    ]  # by the address of a queue of dead letters: whose they are; nobody's if each names its rule
    queues: Mapping[str, str]  # by consumer: the address of its queue; a partner and a log have none
    rules: Mapping[str, str]  # by the name of a rule: its consumer

    @property
    def consumers(self) -> list[str]:
        """All who may have dead letters."""
        return sorted({*self.dead.values(), *self.rules.values()})

    def check(self, names: Collection[str]) -> None:
        """Look whether these are consumers.

        Raises
        ------
        NoSuchConsumer
            If one of them is none.
        """
        unknown = sorted(set(names) - set(self.consumers))
        if unknown:
            raise NoSuchConsumer(
                f"There is no consumer {', '.join(unknown)} in this stack. It has: {', '.join(self.consumers)}."
            )

    def whose(self, queue_url: str, letter: Letter) -> str:
        """The consumer that a letter is for."""
        owner = self.dead[queue_url]
        return self.rules.get(letter.rule_arn.rpartition("/")[2], NOBODY) if owner == NOBODY else owner


def directory(deployment: "Deployment") -> Directory:
    """The directory of a stack, by the names in its template."""
    dead, queues, rules = {}, {}, {}
    for logical_id in deployment.of_type("AWS::SQS::Queue"):
        if logical_id.endswith(_DEAD):
            dead[deployment.resource(logical_id)] = logical_id.removesuffix(_DEAD).lower()
        elif logical_id == _UNDELIVERED:
            dead[deployment.resource(logical_id)] = NOBODY
        else:
            queues[logical_id.removesuffix("Queue").lower()] = deployment.resource(logical_id)
    for logical_id in deployment.of_type("AWS::Events::Rule"):
        # A rule on a bus of one's own has the id "bus|rule".
        rules[deployment.resource(logical_id).rpartition("|")[2]] = logical_id.removesuffix("Rule").lower()
    return Directory(dead, queues, rules)


@dataclass(frozen=True)
class Wanted:
    """Which letters somebody asks for. Empty or None: all. Times in epoch milliseconds, of when the event happened."""

    consumers: Collection[str] = ()
    reason: str = ""
    order: str = ""
    event: str = ""
    before: int | None = None
    after: int | None = None

    def takes(self, consumer: str, letter: Letter) -> bool:
        """Whether a letter is one of them."""
        return (
            (not self.consumers or consumer in self.consumers)
            and self.reason.lower() in letter.reason.lower()
            and self.order in ("", letter.order_id)
            and self.event in ("", letter.event_id)
            and (self.before is None or letter.began_at < self.before)
            and (self.after is None or letter.began_at > self.after)
        )


@dataclass(frozen=True)
class Found:
    """A letter that was asked for, and the look that found it."""

    consumer: str
    letter: Letter
    look: Look


def find(
    client: "SQSClient",
    known: Directory,
    wanted: Wanted,
    mind: Callable[[str], None],
    *,
    elsewhere: Counter[str] | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> Generator[Found]:
    """The letters that somebody asks for, queue by queue; all are let go again at the end of their queue.

    Close it if it does not come to its end, or have ``stopped`` say so: it is asked before each letter. ``mind`` is
    told of letters that it could not see; ``elsewhere`` counts those that somebody else has, by queue.
    """
    # Nobody's last: what is redriven from there, and dies again, gets into the queues before it.
    for queue_url, owner in sorted(known.dead.items(), key=lambda queue: queue[1] == NOBODY):
        if owner != NOBODY and wanted.consumers and owner not in wanted.consumers:
            continue
        with Look(client, queue_url) as look:
            for letter in look:
                if stopped():
                    return
                consumer = known.whose(queue_url, letter)
                if wanted.takes(consumer, letter):
                    yield Found(consumer, letter, look)
        name = queue_url.rpartition("/")[2]
        if look.missing:
            if elsewhere is not None:
                elsewhere[name] += look.missing
            back = ages.show(look.hidden * 1000)
            mind(
                f"{name}: SQS counts {look.missing} more; somebody else may be looking. "
                f"If that look was killed, they are back within {back}."
            )
        if look.later:
            mind(f"{name}: {look.later} more came meanwhile, or came back. Look again.")
