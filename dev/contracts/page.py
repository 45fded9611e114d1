"""docs/reference/events.md: each event in words, with its members from the schemas and a recorded example."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from dev.contracts import events as contracts_events
from dev.contracts.schema import Json
from dev.local.stack import ROOT
from dev.template import template_with
from handoff.events import MAX_DETAIL_BYTES
from shop.events import EVENTS, DetailType

FILE = ROOT / "docs/reference/events.md"
EXAMPLES = ROOT / "contracts/events/examples"


@dataclass(frozen=True)
class Description:
    """A type of event in words; ``consumers`` holds the effect of each one."""

    when: str
    sequence: str
    consumers: Mapping[str, str]


DESCRIPTIONS = {
    DetailType.ORDER_PLACED: Description(
        "An order is placed: its stock is taken and its payment authorized. Written together with the order's step to "
        "PLACED, by the orders function. If the customer had to confirm the payment first, the settlement function or "
        "the sweeper can be faster.",
        "1, an order's first event; 2 if the customer had to confirm the payment first.",
        {
            "emails": "confirms the order to the customer",
            "analytics": "adds the order to the sales of its day",
            "fulfillment": "packs the shipment after the cancel window, or opens it for the warehouse",
        },
    ),
    DetailType.ORDER_CANCELLED: Description(
        "The customer or the shop has cancelled an order before it was packed, or its payment hold was lost; its stock "
        "is returned. Written together with the step to CANCELLED, by the orders function, or by the settlement "
        "function or the sweeper if the hold was lost.",
        "2, or more if the payment has changed before.",
        {
            "emails": "confirms the cancellation to the customer, with the shop's reason",
            "analytics": "subtracts the order from the sales of its day",
            "settlement": "voids the payment",
        },
    ),
    DetailType.SHIPMENT_PREPARED: Description(
        "The shipment is packed, and the order cannot be cancelled anymore. Written in the same transaction as the "
        "shipment's row and the order's step to PREPARED, by the fulfillment function, or by the orders function if a "
        "warehouse reports it.",
        "2, or more if the payment has changed before.",
        {"settlement": "captures the payment, then releases the shipment"},
    ),
    DetailType.SHIPMENT_RELEASED: Description(
        "The payment is captured, and the shipment may be sent. Written in the same transaction as the captured "
        "payment, by the settlement function or the sweeper.",
        "3, or more if the payment has changed before.",
        {"emails": "informs the customer that the order is on its way"},
    ),
    DetailType.REFUND_REQUESTED: Description(
        "Money has to go back to the customer: a program has requested a refund, or a cancelled order's payment turned "
        "out to be captured. Written together with the refund, by the orders function, the settlement function or the "
        "sweeper. `order_refunded` follows if the provider makes the refund.",
        "grows with every step of the order.",
        {"settlement": "asks the payment provider for the refund"},
    ),
    DetailType.ORDER_REFUNDED: Description(
        "The payment provider has refunded an amount. Written in the same transaction as the completed refund and the "
        "stock of units that came back, by the settlement function or the sweeper. One event for each refund: the "
        "order's `history` has the refund's id at this sequence number.",
        "grows with every step of the order.",
        {
            "emails": "informs the customer of the refund",
            "analytics": "subtracts the refund from the sales of the day of the refund, with the units that came back",
        },
    ),
    DetailType.RETURN_REQUESTED: Description(
        "The customer wants to return products of a released order. Written together with the request, by the orders "
        "function. The shop refunds them when they are back.",
        "grows with every step of the order.",
        {"emails": "acknowledges the request to the customer, with its date and time"},
    ),
    DetailType.PAYMENT_DISPUTED: Description(
        "The customer has disputed the payment at the bank, or the bank has decided: won or lost. Written together "
        "with the dispute, by the settlement function or the sweeper. The order's `history` has the state of the "
        "dispute at this sequence number.",
        "grows with every step of the order.",
        {},
    ),
    DetailType.PAYMENT_EVENT: Description(
        "Something has happened to a payment at the payment provider: the provider has called its webhook, or the "
        "sweeper has found it in the provider's list of events. It says neither what nor about which order: look the "
        "payment up at the provider. Events about payments of other shops with the same account are possible.",
        "always 1: the event's id is made of the provider's.",
        {"settlement": "looks the payment up and brings its order into line with it"},
    ),
    DetailType.USER_PROFILE_UPDATED: Description(
        "A customer has created or changed a profile: one event for all changed fields, with their names and not their "
        "values. Written together with the profile, by the orders function.",
        "grows by one with every change of the profile.",
        {"emails": "notifies the old and the new address of a changed address"},
    ),
    DetailType.USER_ERASED: Description(
        "The personal data of a user was erased. Written together with the item that replaces the customer's, by the "
        "sweeper. Erase your own data about the user too, and forget the sequence: a profile that is created later "
        "continues it. Later events about the user's orders carry a random id, another one for each order.",
        "grows by one with every change of the profile.",
        {},
    ),
}

_HEAD = f"""\
# Events

<!-- Generated from layers/handoff/shop/events.py and dev/contracts/page.py by `make contracts` -->

Events are published on the bus that the stack exports as `<stack>-BusName`. An event carries ids, a time and a sequence
number, no personal data, and at most {MAX_DETAIL_BYTES:,} bytes. A consumer that needs more reads the current state.
[Add a consumer](../how-to/add-a-consumer.md) explains how to subscribe.

- **At least once, in any order.** Recognize duplicates by `detail.metadata.eventId`, which is the same for each
  delivery of an event. Within one order or one profile, `sequence` gives the order of events.
- **JSON Schemas** are in [contracts/events](../../contracts/events): `<type>.json` describes the event as it arrives.
  Consumers ignore members that they do not know. `<type>.detail.json` describes the event that its producer may
  write, and forbids other members.
- **AsyncAPI**: [contracts/asyncapi.json](../../contracts/asyncapi.json) describes the bus and the webhooks in one file
  (AsyncAPI 3.0), for tools that make pages or code from it. To read it, open it in
  [AsyncAPI Studio](https://studio.asyncapi.com). EventBridge's schema registry can't import it: it reads OpenAPI 3 and
  JSON Schema Draft 4.
- **Examples** are in [contracts/events/examples](../../contracts/events/examples), recorded from a run.
- The audit log and the archive keep all events as well. A partner, if configured,
  receives those of orders, and `user_erased`, as [webhooks](../how-to/send-events-to-a-partner.md).

## Compatibility

Compared with the released contracts in [contracts/released](../../contracts/released):

- allowed at any time: a new type of event, a new member;
- never allowed: to remove or rename a member, to change its type, to widen its range of values, or to make it optional.
  Publish a new detail type beside the old one instead, until no consumer needs the old one;
- never allowed: a consumer that requires more than before. The archive replays events as they were written.

Main is deployed as it is, so contracts on main are released. `make release-contracts` copies them and refuses forbidden
changes, and `make test` checks both. A change that has not been on main can still be undone, after
`git checkout main -- contracts/released`.
"""


def page() -> str:
    """Return the whole page."""
    return "\n".join([_HEAD, *(_section(detail_type) for detail_type in DetailType)])


def effects(detail_type: DetailType) -> dict[str, str]:
    """Return the effect of each consumer; one that is not described above has its function's Description."""
    known = DESCRIPTIONS[detail_type].consumers
    others = {
        found.name: str(found.function["Description"])
        for found in template_with().event_consumers()
        if detail_type in found.detail_types and found.name not in known
    }
    return {**known, **others}


def _section(detail_type: DetailType) -> str:
    described = DESCRIPTIONS[detail_type]
    schema = contracts_events.delivered(detail_type)
    members = [
        f"| `detail.{part}.{name}` | {_value(member)} |"
        for part, reference in schema["properties"]["detail"]["properties"].items()
        for name, member in schema["$defs"][reference["$ref"].rpartition("/")[2]]["properties"].items()
    ]
    consumers = [f"| {name} | {what} |" for name, what in effects(detail_type).items()]
    example = (EXAMPLES / f"{detail_type}.json").read_text(encoding="utf-8").rstrip()
    return "\n".join(
        [
            f"## {detail_type}\n",
            f"{described.when}\n",
            f"Source `{EVENTS[detail_type].source}`. Sequence: {described.sequence}\n",
            *("| consumer | |", "|---|---|", *consumers, ""),
            *("| member | |", "|---|---|", *members, ""),
            *("```json", example, "```", ""),
        ]
    )


def _value(member: Json) -> str:
    """Return a member's values in words."""
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
