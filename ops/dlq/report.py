"""Dead letters for people: a line for each event, one dead letter in full, and a summary."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from handoff.clock import now_ms, to_iso
from ops import ages
from ops.dlq.dead_letter import CRASHED, DeadLetter
from ops.dlq.directory import UNOWNED, Match
from ops.dlq.redrive import Outcome, Undeliverable
from ops.stack.deployment import Deployment, log_group
from ops.text import columns, plain

_MINUTE = 60_000  # ms
_TITLES = ("CONSUMER", "EVENT", "TYPE", "ORDER OR USER", "AGE", "DIED", "SEEN", "COUNT", "REASON")


@dataclass
class Row:
    """The dead letters of one event and consumer: the newest, and how many there are."""

    consumer: str
    queue_url: str
    newest: DeadLetter
    count: int = 1

    def document(self) -> dict[str, Any]:
        """Return the row for scripts, to be written as JSON."""
        newest = self.newest
        return {
            "consumer": self.consumer,
            "eventId": newest.event_id,
            "type": newest.event_type,
            "orderId": newest.order_id,
            "userId": newest.user_id,
            "happenedAt": None if newest.happened_at is None else to_iso(newest.happened_at),
            "diedAt": None if newest.died_at is None else to_iso(newest.died_at),
            "receives": newest.receives,
            "reason": newest.reason,
            "count": self.count,
        }

    def cells(self, now: int) -> tuple[str, ...]:
        """Return the row for people, in the order of the titles."""
        newest = self.newest
        return (
            self.consumer,
            newest.event_id,
            newest.event_type or "?",
            newest.order_id or newest.user_id or "?",
            ages.show(now - newest.began_at),
            "?" if newest.died_at is None else ages.show(now - newest.died_at),
            str(newest.receives),
            str(self.count),
            newest.reason,
        )


def rows(matches: Iterable[Match]) -> list[Row]:
    """Return one row for each event and consumer, oldest event first."""
    by_event: dict[tuple[str, str], Row] = {}
    for match in matches:
        key = (match.consumer, match.dead_letter.event_id)
        row = by_event.get(key)
        if row is None:
            by_event[key] = Row(match.consumer, match.scan.queue_url, match.dead_letter)
            continue
        row.count += 1
        if match.dead_letter.sent_at > row.newest.sent_at:
            row.newest, row.queue_url = match.dead_letter, match.scan.queue_url
    return sorted(by_event.values(), key=lambda row: (row.consumer, row.newest.began_at))


def table(found: Sequence[Row]) -> list[str]:
    """Return a line for each row, under titles; the reason comes last and is not cut. JSON has long ids in full."""
    now = now_ms()
    return columns([_TITLES, *(row.cells(now) for row in found)])


def summary(found: Iterable[Row]) -> list[str]:
    """Return how many dead letters each consumer has for each reason, most first."""
    counts: Counter[tuple[str, str]] = Counter()
    for row in found:
        counts[row.consumer, row.newest.kind] += row.count
    return [plain(f"{count:6}  {consumer}: {reason}") for (consumer, reason), count in counts.most_common()]


def details(row: Row, deployment: Deployment) -> list[str]:
    """Return everything known about one dead letter, and which logs to read."""
    newest = row.newest
    died = "unknown: SQS moved it" if newest.died_at is None else _when(newest.died_at)
    attributes = {name: value.get("StringValue") for name, value in newest.message.get("MessageAttributes", {}).items()}
    facts = {
        "consumer": row.consumer,
        "event": f"{newest.event_id}  {newest.event_type}",
        "order": newest.order_id,
        "user": newest.user_id,
        "happened": newest.happened_at and _when(newest.happened_at),
        "died": died,
        "reason": newest.reason,
        "count": f"{row.count}; this is the newest" if row.count > 1 else "",
        "correlation id": newest.correlation_id,
        "queue": row.queue_url,
        "message": f"{newest.message['MessageId']}, received {newest.receives} times",
        "attributes": json.dumps(attributes | dict(newest.message["Attributes"]), indent=2),
        "body": _pretty(newest.message["Body"]),
    }
    lines = [f"{name:16}{value}".replace("\n", "\n" + " " * 16) for name, value in facts.items() if value]
    return [plain(line) for line in [*lines, "", *_logs_query(row, deployment)]]


def _logs_query(row: Row, deployment: Deployment) -> list[str]:
    newest = row.newest
    groups = filter(None, (log_group(deployment, who) for who in (row.consumer, "orders")))
    conditions = [f"event_id = {json.dumps(newest.event_id)}"]
    if newest.correlation_id:
        conditions.append(f"correlation_id = {json.dumps(newest.correlation_id)}")
    if newest.reason == CRASHED:  # the function may have logged nothing about the event
        conditions.append("@message like /Task timed out|Runtime/")
    return [
        "To read its log lines, open CloudWatch Logs Insights, choose the log groups",
        *(f"    {group}" for group in groups),
        f"and the time from {to_iso(newest.began_at)}, and run the query",
        "    fields @timestamp, @log, level, message, outcome, reason, exception_name, exception",
        f"    | filter {' or '.join(conditions)}",
        "    | sort @timestamp asc",
    ]


def outcome(done: Outcome, *, would: bool) -> list[str]:
    """Return what a redrive did, or would do, and what to do about the rest."""
    total = done.sent.total()
    parts = ", ".join(f"{count} to {consumer}" for consumer, count in sorted(done.sent.items()))
    lines = [f"{total} {'would be ' if would else ''}redriven{': ' + parts if parts else ''}"]
    lines += [_advice(consumer, skipped) for consumer, skipped in sorted(done.undeliverable.items())]
    for (consumer, reason), count in sorted(done.refused.items()):
        lines.append(
            f"{count} not redriven: the queue of {consumer} refused them ({reason}). They are still dead letters."
        )
    for (consumer, reason), count in sorted(done.undeleted.items()):
        lines.append(
            f"{count} redriven to {consumer} and not deleted ({reason}). "
            "Another redrive sends them again, which is harmless."
        )
    return [plain(line) for line in lines]


def _advice(consumer: str, skipped: Undeliverable) -> str:
    if consumer == UNOWNED:
        return (
            f"{skipped.count} not redriven: their rule is not in the stack any more. "
            "handoff dlq show names the rule and its target."
        )
    span = "--from ... --to ..."
    if skipped.first is not None and skipped.last is not None:
        # An archive is replayed by the minute, and `time`, which it goes by, is in whole seconds: include one more.
        # https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-replay-archived-event.html
        first, last = skipped.first // _MINUTE, skipped.last // _MINUTE + 2
        span = f"--from {to_iso(first * _MINUTE)} --to {to_iso(last * _MINUTE)}"
    return (
        f"{skipped.count} not redriven: {consumer} has no queue. Replay them from the archive: "
        f"handoff replay {span} --rules {consumer}"
    )


def none_visible(held_elsewhere: int) -> str:
    """Return the message for queues whose dead letters are all held by another receiver."""
    return f"No dead letters are visible; SQS counts {held_elsewhere} that another receiver holds. Try again later."


def _when(moment: int) -> str:
    return f"{to_iso(moment)}, {ages.show(now_ms() - moment)} ago"


def _pretty(body: str) -> str:
    try:
        return json.dumps(json.loads(body), indent=2, ensure_ascii=False)
    except ValueError:
        return body
