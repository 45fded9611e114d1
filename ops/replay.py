"""Replaying events from the archive to chosen rules: it fills gaps, and changes nothing that was done.

It goes by when events were published. After an outage of the bus, that is later than when they happened.
EventBridge sends a replayed event to the named rules alone. Consumers know it by its id, as they know any repeat.
"""

import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from handoff import aws
from handoff.clock import from_iso
from ops.stack.deployment import Deployment

if TYPE_CHECKING:
    from mypy_boto3_events.client import EventBridgeClient

DEFAULT = ("analytics",)
# What to know before a replay goes to a rule. Empty: nothing is done twice, and nobody told.
_CAUTIONS = {
    "analytics": "",
    "audit": "each replayed event is in the audit log once more",
    "emails": "customers can get mails about what was not mailed then; what is older than 30 days is skipped",
    "fulfillment": "shipments can be prepared, and payments captured or voided, that were not then",
    "partner": "the partner gets each event once more",
}
_CAUTION = "it gets each event once more, and has to know it by its id"
# An event is in the archive some minutes after it happened.
# https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-archive.html
_ARCHIVED_AFTER = timedelta(minutes=10)
_ENDED = {"COMPLETED", "CANCELLED", "FAILED"}
_LOOK_EVERY = 5.0  # seconds

Progress = Callable[[str], None]


class ReplayError(Exception):
    """The replay can't be started, or did not end well; the text says why and what to do."""


@dataclass(frozen=True)
class Route:
    """Where a replay comes from and goes to: ARNs."""

    archive: str
    bus: str
    rules: tuple[str, ...]


@dataclass(frozen=True)
class Replay:
    """Which events go where; what was published from ``start`` up to ``end``."""

    start: datetime
    end: datetime
    rules: tuple[str, ...]

    @property
    def cautions(self) -> list[str]:
        """What to know before it starts."""
        known = [f"{rule}: {_CAUTIONS.get(rule, _CAUTION)}" for rule in self.rules if _CAUTIONS.get(rule, _CAUTION)]
        if self.end > datetime.now(UTC) - _ARCHIVED_AFTER:
            known.append("the last ten minutes may not be in the archive yet")
        return known


def parse(start: str, end: str, rules: Sequence[str]) -> Replay:
    """The replay that somebody asks for; times in ISO 8601 with an offset, rules by name, also separated by commas.

    Whether there are such rules, only the deployment knows: see `route`.

    Raises
    ------
    ReplayError
        Naming what is wrong.
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
    """The ways that a deployment has for a replay.

    Raises
    ------
    ReplayError
        If it keeps no archive, or its bus has not all of the rules.
    """
    if not deployment.has("Archive"):
        raise ReplayError(f"The stack {deployment.stack} keeps no archive; its parameter ArchiveDays makes one.")
    client = deployment.events
    try:
        archive = client.describe_archive(ArchiveName=deployment.resource("Archive"))
        pages = client.get_paginator("list_rules").paginate(EventBusName=archive["EventSourceArn"].rpartition("/")[2])
        on_the_bus = {rule["Name"]: rule["Arn"] for page in pages for rule in page["Rules"]}
    except aws.ERRORS as error:
        raise ReplayError(f"The archive and the rules can't be looked up: {error}") from error
    known = {}
    for logical_id in deployment.of_type("AWS::Events::Rule"):
        # A rule on a bus of one's own has the id "bus|rule".
        name = deployment.resource(logical_id).rpartition("|")[2]
        if name in on_the_bus:
            known[logical_id.removesuffix("Rule").lower()] = on_the_bus[name]
    unknown = [rule for rule in replay.rules if rule not in known]
    if unknown:
        raise ReplayError(f"There is no rule {', '.join(unknown)}. A replay can go to: {', '.join(sorted(known))}.")
    return Route(archive["ArchiveArn"], archive["EventSourceArn"], tuple(known[rule] for rule in replay.rules))


def run(client: "EventBridgeClient", replay: Replay, route: Route, progress: Progress) -> None:
    """Replay to the route's rules alone, and watch until it ends.

    Raises
    ------
    ReplayError
        If it can't be started, does not end well, or is left alone with Ctrl-C.
    """
    name = f"handoff-{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:8]}"
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
        _follow(client, name, progress)
    except KeyboardInterrupt as error:
        raise ReplayError(
            f"The replay goes on, unwatched. To end it: aws events cancel-replay --replay-name {name}"
        ) from error
    except aws.ERRORS as error:
        raise ReplayError(f"The replay {name} goes on, but can't be watched: {error}") from error


def _follow(client: "EventBridgeClient", name: str, progress: Progress) -> None:
    while True:
        seen = client.describe_replay(ReplayName=name)
        state = seen["State"]
        last = seen.get("EventLastReplayedTime")
        progress(f"{state.lower()}" + (f", events up to {last.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}" if last else ""))
        if state in _ENDED:
            break
        time.sleep(_LOOK_EVERY)
    if state != "COMPLETED":
        raise ReplayError(
            f"The replay {name} is {state.lower()}: {seen.get('StateReason', 'no reason given')}. "
            "It can be started again: what was done is not done twice."
        )


def _moment(option: str, text: str) -> datetime:
    try:
        return datetime.fromtimestamp(from_iso(text) / 1000, UTC)
    except (ValueError, OverflowError) as error:
        raise ReplayError(
            f"{option} must be a time with its offset from UTC, such as 2026-11-23T10:00:00Z, not {text!r}."
        ) from error
