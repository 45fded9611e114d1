"""docs/reference/events.md: each event in words, with its members from the schemas and a recorded example."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from dev.contracts import events as contracts_events
from dev.contracts.schema import Json
from dev.local.stack import ROOT
from handoff.events import MAX_DETAIL_BYTES
from shop.events import SOURCES, DetailType

FILE = ROOT / "docs/reference/events.md"
EXAMPLES = ROOT / "contracts/events/examples"


@dataclass(frozen=True)
class Story:
    """What a type of event tells. ``consumers`` says what each one does on it."""

    when: str
    sequence: str
    consumers: Mapping[str, str]


STORIES = {
    DetailType.ORDER_PLACED: Story(
        "An order stands: its stock is taken and its payment authorised. In the same write as the order's step to "
        "PLACED, by the orders function.",
        "1: an order's first event.",
        {
            "emails": "confirms the order to the customer",
            "analytics": "adds it to the sales of its day",
            "fulfillment": "prepares the shipment",
        },
    ),
    DetailType.ORDER_CANCELLED: Story(
        "The customer has cancelled an order that was not packed yet; its stock is back. In the same write as the "
        "step to CANCELLED, by the orders function.",
        "2: it ends the order.",
        {
            "emails": "tells the customer",
            "analytics": "takes it out of the sales of its day",
            "fulfillment": "has the payment voided",
        },
    ),
    DetailType.SHIPMENT_PREPARED: Story(
        "The shipment is packed. In the same transaction as the shipment's row and the order's step to PREPARED, by "
        "the fulfillment function.",
        "2.",
        {
            "emails": "tells the customer that it is on its way",
            "fulfillment": "has the payment captured, and then releases the shipment",
        },
    ),
    DetailType.USER_PROFILE_UPDATED: Story(
        "A customer has made or changed a profile: one event for all changed fields, which it names and does not "
        "show. In the same write as the profile, by the orders function.",
        "Grows by one with every change of this profile.",
        {"emails": "tells a changed address at the old one and at the new one"},
    ),
}

_HEAD = f"""\
# Events

<!-- Generated from layers/handoff/handoff/events.py and dev/contracts/page.py: make contracts -->

What has happened, on the bus that the stack exports as `<stack>-BusName`. An event carries ids, a time and a sequence
number, no personal data, and at most {MAX_DETAIL_BYTES:,} bytes; who needs more looks up the current state. How to hear
them: [Add a consumer](../how-to/add-a-consumer.md).

- **At least once, in any order.** `detail.metadata.eventId` is the same for each delivery of an event: go by it. Within
  one order or one profile, `sequence` says what came first.
- **JSON Schemas** are in [contracts/events](../../contracts/events): `<type>.json` is the event as it arrives. Its
  readers ignore members that they do not know; `<type>.detail.json` is what its producer may write, and nothing else.
- **Examples** are in [contracts/events/examples](../../contracts/events/examples), recorded from a run.
- Besides the consumers named below, the audit log and the archive keep all events, and a partner, if there is one, is
  sent those of the orders.

## What may change

Against what was released, which is in [contracts/released](../../contracts/released):

- at any time: a new type of event, a new member;
- never: a member that goes, or has another name, another type or a wider range of values, or may be missing. A new
  detail-type is published beside the old one instead, until nobody hears the old one;
- never: a consumer that insists on more. The archive replays events as they were written.

Main is deployed as it is, so what is written there is released: `make release-contracts` copies it, and refuses what
may never change; `make test` insists on both. What has not been on main yet may be taken back, after
`git checkout main -- contracts/released`.
"""


def page() -> str:
    """The whole page."""
    return "\n".join([_HEAD, *(_section(detail_type) for detail_type in DetailType)])


def _section(detail_type: DetailType) -> str:
    story = STORIES[detail_type]
    schema = contracts_events.delivered(detail_type)
    members = [
        f"| `detail.{part}.{name}` | {_value(member)} |"
        for part, reference in schema["properties"]["detail"]["properties"].items()
        for name, member in schema["$defs"][reference["$ref"].rpartition("/")[2]]["properties"].items()
    ]
    heard = [f"| {name} | {what} |" for name, what in story.consumers.items()]
    example = (EXAMPLES / f"{detail_type}.json").read_text(encoding="utf-8").rstrip()
    return "\n".join(
        [
            f"## {detail_type}\n",
            f"{story.when}\n",
            f"Source `{SOURCES[detail_type]}`. Sequence: {story.sequence}\n",
            *("| consumer | |", "|---|---|", *heard, ""),
            *("| member | |", "|---|---|", *members, ""),
            *("```json", example, "```", ""),
        ]
    )


def _value(member: Json) -> str:
    """A member's values in words."""
    if "description" in member:
        return str(member["description"])
    if "const" in member:
        return f"`{json.dumps(member['const'])}`"
    if "items" in member:
        return f"a list, not empty, of {_value(member['items'])}"
    if "enum" in member:
        return " or ".join(f"`{json.dumps(value)}`" for value in member["enum"])
    least = f", at least {member['minimum']}" if "minimum" in member else ""
    like = f" like <code>{member['pattern'].replace('|', '&#124;')}</code>" if "pattern" in member else ""
    return f"{member['type']}{least}{like}"
