"""Replay events from the archive to chosen rules, to fill gaps.

Events are chosen by the time at which they were published. After an outage of the bus, that is later than the time at
which they happened. EventBridge sends a replayed event to the named rules only. Consumers recognize it by its id, like
any repeated event.
"""

import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from handoff import aws
from handoff.clock import from_iso
from ops.stack.deployment import Deployment, consumers_by_rule
from ops.text import sentences

if TYPE_CHECKING:
    from mypy_boto3_events.client import EventBridgeClient

DEFAULT = ("analytics",)
# Warnings before a replay to a rule. Empty: a replay has no effect that anyone notices.
_CAUTIONS = {
    "analytics": "",
    "audit": "each replayed event is written to the audit log again",
    "emails": "customers may get mails that were not sent then; events older than 30 days are skipped",
    "fulfillment": "shipments may be prepared that were not then",
    "partners": "the partner gets each event again",
    "settlement": "payments may be captured or voided that were not then",
}
_CAUTION = "it gets each event again, and must recognize it by its id"
# An event is in the archive some minutes after it happened.
# https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-archive.html
_ARCHIVED_AFTER = timedelta(minutes=10)
_ENDED = {"COMPLETED", "CANCELLED", "FAILED"}
_POLL_SECONDS = 5.0

Progress = Callable[[str], None]


class ReplayError(Exception):
    """The replay cannot be started, or it failed; the text says why and what to do."""


@dataclass(frozen=True)
class Route:
    """The ARNs of a replay's source and destination."""

    archive: str
    bus: str
    rules: tuple[str, ...]


@dataclass(frozen=True)
class Replay:
    """A replay of the events published from ``start`` until ``end`` to some rules."""

    start: datetime
    end: datetime
    rules: tuple[str, ...]

    @property
    def cautions(self) -> list[str]:
        """Warnings to show before it starts."""
        known = [f"{rule}: {_CAUTIONS.get(rule, _CAUTION)}" for rule in self.rules if _CAUTIONS.get(rule, _CAUTION)]
        if self.end > datetime.now(UTC) - _ARCHIVED_AFTER:
            known.append("the last ten minutes may not be in the archive yet")
        return known


def parse(start: str, end: str, rules: Sequence[str]) -> Replay:
    """Return the replay described by options: times in ISO 8601 with an offset, names of rules, also with commas.

    `route` checks that the rules exist.

    Raises
    ------
    ReplayError
        If an option is invalid.
    """
    first, last = _moment("--from", start), _moment("--to", end)
    if first >= last:
        raise ReplayError(f"--from must be before --to; {start} is not before {end}.")
    if last > datetime.now(UTC):
        raise ReplayError(f"--to must not be in the future; {end} is.")
    names = list(dict.fromkeys(name.strip() for part in rules for name in part.split(",") if name.strip()))
    if not names:
        raise ReplayError("Name a rule with --rules, such as analytics.")
    return Replay(first, last, tuple(names))


def route(deployment: Deployment, replay: Replay) -> Route:
    """Return the route of a replay in a deployment.

    Raises
    ------
    ReplayError
        If the deployment has no archive, or its bus lacks one of the rules.
    """
    if not deployment.has("Archive"):
        raise ReplayError(
            f"The stack {deployment.stack} keeps no archive. Deploy it with the parameter ArchiveDays to get one."
        )
    client = deployment.events
    try:
        archive = client.describe_archive(ArchiveName=deployment.resource("Archive"))
        pages = client.get_paginator("list_rules").paginate(EventBusName=archive["EventSourceArn"].rpartition("/")[2])
        on_the_bus = {rule["Name"]: rule["Arn"] for page in pages for rule in page["Rules"]}
    except aws.ERRORS as error:
        raise ReplayError(f"The archive and the rules cannot be read: {error}") from error
    consumers = consumers_by_rule(deployment)
    known = {consumers[name]: arn for name, arn in on_the_bus.items() if name in consumers}
    unknown = [rule for rule in replay.rules if rule not in known]
    if unknown:
        raise ReplayError(f"There is no rule {', '.join(unknown)}. A replay can go to: {', '.join(sorted(known))}.")
    return Route(archive["ArchiveArn"], archive["EventSourceArn"], tuple(known[rule] for rule in replay.rules))


def new_name() -> str:
    """Return a name for a replay."""
    return f"handoff-{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:8]}"


def how_to_cancel(name: str) -> str:
    """Return how to end a running replay."""
    return f"To cancel it: aws events cancel-replay --replay-name {name}"


def run(client: "EventBridgeClient", name: str, replay: Replay, route: Route, progress: Progress) -> None:
    """Replay to the route's rules only, and show the progress until it ends. An interrupt does not end the replay.

    Raises
    ------
    ReplayError
        If it cannot be started, or fails.
    """
    try:
        client.start_replay(
            ReplayName=name,
            EventSourceArn=route.archive,
            EventStartTime=replay.start,
            EventEndTime=replay.end,
            Destination={"Arn": route.bus, "FilterArns": list(route.rules)},
        )
    except aws.ERRORS as error:
        raise ReplayError(f"The replay was not started: {error}") from error
    progress(f"{name}: started")
    try:
        _watch(client, name, progress)
    except aws.ERRORS as error:
        raise ReplayError(f"The replay {name} is still running, but its state cannot be read: {error}") from error


def _watch(client: "EventBridgeClient", name: str, progress: Progress) -> None:
    while True:
        seen = client.describe_replay(ReplayName=name)
        state = seen["State"]
        last = seen.get("EventLastReplayedTime")
        progress(f"{state.lower()}" + (f", events up to {last.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}" if last else ""))
        if state in _ENDED:
            break
        time.sleep(_POLL_SECONDS)
    if state != "COMPLETED":
        raise ReplayError(
            sentences(
                f"The replay {name} is {state.lower()}: {seen.get('StateReason', 'no reason given')}",
                "Start it again: consumers recognize the events that they have handled.",
            )
        )


def _moment(option: str, text: str) -> datetime:
    try:
        return datetime.fromtimestamp(from_iso(text) / 1000, UTC)
    except (ValueError, OverflowError) as error:
        raise ReplayError(
            f"{option} must be a time with its offset from UTC, such as 2026-11-23T10:00:00Z, not {text!r}."
        ) from error
