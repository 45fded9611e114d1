"""Dead letters as a person reads them: a line for each event, one letter whole, and a summary."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from handoff.clock import now_ms, to_iso
from ops import ages
from ops.dlq.directory import NOBODY, Found
from ops.dlq.letter import CRASHED, Letter
from ops.dlq.redrive import Left, Outcome
from ops.stack.deployment import Deployment

_MINUTE = 60_000  # ms
_TITLES = ("CONSUMER", "EVENT", "TYPE", "ORDER OR USER", "AGE", "DIED", "SEEN", "LETTERS", "REASON")


@dataclass
class Row:
    """The letters of one event and consumer: the newest, and how many there are."""

    consumer: str
    queue_url: str
    newest: Letter
    count: int = 1

    def document(self) -> dict[str, Any]:
        """For scripts."""
        letter = self.newest
        return {
            "consumer": self.consumer,
            "eventId": letter.event_id,
            "type": letter.event_type,
            "orderId": letter.order_id,
            "userId": letter.user_id,
            "happenedAt": None if letter.happened_at is None else to_iso(letter.happened_at),
            "diedAt": None if letter.died_at is None else to_iso(letter.died_at),
            "receives": receives(letter),
            "reason": letter.reason,
            "letters": self.count,
        }

    def cells(self, now: int) -> tuple[str, ...]:
        """For people, in the order of the titles."""
        letter = self.newest
        return (
            self.consumer,
            letter.event_id,
            letter.event_type or "?",
            letter.order_id or letter.user_id or "?",
            ages.show(now - letter.began_at),
            "?" if letter.died_at is None else ages.show(now - letter.died_at),
            str(receives(letter)),
            str(self.count),
            letter.reason,
        )


def rows(letters: Iterable[Found]) -> list[Row]:
    """One row for each event and consumer, oldest event first."""
    by_event: dict[tuple[str, str], Row] = {}
    for found in letters:
        key = (found.consumer, found.letter.event_id)
        row = by_event.get(key)
        if row is None:
            by_event[key] = Row(found.consumer, found.look.queue_url, found.letter)
            continue
        row.count += 1
        if found.letter.sent_at > row.newest.sent_at:
            row.newest, row.queue_url = found.letter, found.look.queue_url
    return sorted(by_event.values(), key=lambda row: (row.consumer, row.newest.began_at))


def receives(letter: Letter) -> int:
    """How often SQS gave it out, this time included."""
    return int(letter.message["Attributes"]["ApproximateReceiveCount"])


def table(found: Sequence[Row]) -> list[str]:
    """A line for each row, under titles; the reason comes last and is not cut."""
    now = now_ms()
    cells = [_TITLES, *(row.cells(now) for row in found)]
    widths = [max(len(line[n]) for line in cells) for n in range(len(_TITLES) - 1)]
    return [
        plain("  ".join([*(cell.ljust(width) for cell, width in zip(line, widths, strict=False)), line[-1]]))
        for line in cells
    ]


def summary(found: Iterable[Row]) -> list[str]:
    """How many letters each consumer has for each reason, most first."""
    counts: Counter[tuple[str, str]] = Counter()
    for row in found:
        counts[row.consumer, row.newest.kind] += row.count
    return [plain(f"{count:6}  {consumer}: {reason}") for (consumer, reason), count in counts.most_common()]


def whole(row: Row, deployment: Deployment) -> list[str]:
    """All that one letter tells, and where to look on."""
    letter = row.newest
    died = "not known: SQS moved it by itself" if letter.died_at is None else _when(letter.died_at)
    attributes = {name: value.get("StringValue") for name, value in letter.message.get("MessageAttributes", {}).items()}
    facts = {
        "consumer": row.consumer,
        "event": f"{letter.event_id}  {letter.event_type}",
        "order": letter.order_id,
        "user": letter.user_id,
        "happened": letter.happened_at and _when(letter.happened_at),
        "died": died,
        "reason": letter.reason,
        "letters": f"{row.count}, of which this is the newest" if row.count > 1 else "",
        "correlation id": letter.correlation_id,
        "queue": row.queue_url,
        "message": f"{letter.message['MessageId']}, seen {receives(letter)} times",
        "attributes": json.dumps(attributes | dict(letter.message["Attributes"]), indent=2),
        "body": _pretty(letter.message["Body"]),
    }
    lines = [f"{name:16}{value}".replace("\n", "\n" + " " * 16) for name, value in facts.items() if value]
    return [plain(line) for line in [*lines, "", *_where_to_look(row, deployment)]]


def _where_to_look(row: Row, deployment: Deployment) -> list[str]:
    """The logs, and a query for them."""
    letter, name = row.newest, f"{row.consumer.capitalize()}Logs"
    groups = [deployment.resource(logs) for logs in (name, "OrdersLogs") if deployment.has(logs)]
    conditions = [f"event_id = {json.dumps(letter.event_id)}"]
    if letter.correlation_id:
        conditions.append(f"correlation_id = {json.dumps(letter.correlation_id)}")
    if letter.reason == CRASHED:  # the function may have written nothing about the event
        conditions.append("@message like /Task timed out|Runtime/")
    return [
        "Look on in CloudWatch Logs Insights, in the log groups",
        *(f"    {group}" for group in groups),
        f"from {to_iso(letter.began_at)} on, with the query",
        "    fields @timestamp, @log, level, message, outcome, reason, exception_name, exception",
        f"    | filter {' or '.join(conditions)}",
        "    | sort @timestamp asc",
    ]


def outcome(done: Outcome, *, would: bool) -> list[str]:
    """What a redrive did, or would do, and what to do about the rest."""
    total = done.sent.total()
    parts = ", ".join(f"{count} to {consumer}" for consumer, count in sorted(done.sent.items()))
    lines = [f"{total} {'would be ' if would else ''}redriven{': ' + parts if parts else ''}"]
    lines += [_advice(consumer, left) for consumer, left in sorted(done.left.items())]
    return [plain(line) for line in lines]


def _advice(consumer: str, left: Left) -> str:
    if consumer == NOBODY:
        return f"{left.count} left: the stack has no such rule any more. Show one: it names its rule and its target."
    span = "--from ... --to ..."
    if left.first is not None and left.last is not None:
        # An archive is replayed by the minute, and `time`, which it goes by, is in whole seconds: rather too much.
        # https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-replay-archived-event.html
        first, last = left.first // _MINUTE, left.last // _MINUTE + 2
        span = f"--from {to_iso(first * _MINUTE)} --to {to_iso(last * _MINUTE)}"
    return (
        f"{left.count} left: {consumer} has no queue. Replay them from the archive: "
        f"handoff replay {span} --rules {consumer}"
    )


def none_to_be_seen(elsewhere: int) -> str:
    """What there is to say of letters that are only counted."""
    return f"None to be seen; SQS counts {elsewhere} that somebody else has."


def plain(text: str) -> str:
    """Text that can't play with the terminal."""
    return "".join(char if char.isprintable() or char == "\n" else repr(char)[1:-1] for char in text)


def _when(moment: int) -> str:
    return f"{to_iso(moment)}, {ages.show(now_ms() - moment)} ago"


def _pretty(body: str) -> str:
    try:
        return json.dumps(json.loads(body), indent=2, ensure_ascii=False)
    except ValueError:
        return body
