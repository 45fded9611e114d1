"""One deployment in moto, with everything that a caller does to it or reads from it."""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any, Protocol
from unittest.mock import patch

import boto3
from moto import mock_aws
from moto.dynamodb.models import dynamodb_backends

from dev.invariants import Mail, Snapshot, order_in
from dev.simulated import moto_copies, sessions, traces
from dev.simulated.account import ACCOUNT, REGION
from dev.simulated.api import Api
from dev.simulated.clock import Clock
from dev.simulated.functions import Functions
from dev.simulated.queues import Queues
from dev.simulated.stack import SimulatedStack
from dev.simulated.wire import Call, Crash, Wire
from handoff import aws
from handoff.attribute_values import from_item, to_item
from shop.stock import product_of

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": REGION,
    "AWS_EC2_METADATA_DISABLED": "true",
    "MOTO_ACCOUNT_ID": ACCOUNT,  # moto would search all accounts for the key
}
ADDRESS = {"name": "Ada Lovelace", "street": "12 Engine Way", "city": "London", "postalCode": "E1 7AA", "country": "GB"}
_PAUSES = [60] * 20 + [600] * 30 + [1800] * 60  # seconds between two runs, longer and longer
_STATES = {  # of a hold in the sandbox, by Stripe's status
    "requires_capture": "held",
    "succeeded": "capture",
    "canceled": "void",
    "requires_payment_method": "declined",
    "requires_action": "action",
}
_DISPUTE_STATES = {"won": "won", "lost": "lost"}  # others are open
_REFUND_STATES = {  # of a refund in the sandbox, by Stripe's status
    "succeeded": "refunded",
    "pending": "pending",
    "requires_action": "pending",
    "failed": "failed",
    "canceled": "failed",
}
MUG, TEE = "MUG-01", "TEE-02"


class Disputes(Protocol):
    """A Stripe server's disputes."""

    def of(self, intent: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the disputes of an intent, oldest first."""


class PaymentIntents(Protocol):
    """A Stripe server's payment intents and their refunds, by id, and their disputes."""

    intents: dict[str, dict[str, Any]]
    refunds: dict[str, dict[str, Any]]
    disputes: Disputes


class World:
    """The stack, its functions, its queues, the wire between them, and the shop's data.

    ``settings`` replace environment variables of the functions.
    """

    def __init__(
        self,
        stack: SimulatedStack,
        clock: Clock,
        stripe: PaymentIntents | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        stack.empty()
        self.stripe = stripe
        self.stack = stack
        self.clock = clock
        self.client = direct_client
        self.wire = shared_wire()
        self.wire.reset()
        self.functions = Functions(stack, clock, settings)
        self.queues = Queues(stack, self.functions, self.client("sqs"))

    # --- customers and schedules --------------------------------------------------------------------------------------

    def api(self, user: str = "ada", **claims: str) -> Api:
        """Return the API with this user's token, which has these claims as well."""
        return Api(self.functions, {"sub": user, "token_use": "access", **claims})

    def program(self, *scopes: str, name: str = "program") -> Api:
        """Return the API with the token of a program that has these scopes, as Cognito issues it."""
        granted = " ".join(f"handoff/{scope}" for scope in scopes)
        return Api(self.functions, {"sub": name, "client_id": name, "token_use": "access", "scope": granted})

    def sweep(self) -> dict[str, int]:
        """Run the sweeper once; return its report."""
        report: dict[str, int] = self.functions.invoke("SweeperFunction", {})
        return report

    def settle_down(self, minutes: int = 20) -> None:
        """Let minutes pass, with the runs of the sweeper and of the consumers."""
        for _ in range(minutes):
            self.clock.forward(60)
            self.sweep()
            self.queues.until_quiet()

    def until_quiet(self) -> None:
        """Let time pass, as `settle_down` does, until no work is left. Faults may still strike."""
        for pause in _PAUSES:
            with suppress(Crash, *aws.ERRORS):  # the next run retries
                self.sweep()
            self.queues.until_quiet()
            if not self.unfinished():
                return
            self.clock.forward(pause)
        raise AssertionError(f"still unfinished after {sum(_PAUSES) / 3600:.0f} hours: {self.unfinished()}")

    def unfinished(self) -> list[str]:
        """Return the keys of unfinished aggregates, and the functions whose queues hold messages."""
        orders = [item["orderId"] for item in self.items("OrdersTable") if "unfinished" in item]
        customers = [item["userId"] for item in self.items("CustomersTable") if "unfinished" in item]
        return orders + customers + self.queues.busy()

    # --- the shop's data ----------------------------------------------------------------------------------------------

    def stock(self, sku: str = MUG, available: int = 10, unit_price: int = 1250, **values: Any) -> None:
        """Write a product."""
        product = {"sku": sku, "name": sku.title(), "unitPrice": unit_price, "available": available, "listed": True}
        self.put("ProductsTable", product | values)

    def customer(self, user: str = "ada", **values: Any) -> None:
        """Write a customer with an address."""
        self.put("CustomersTable", {"userId": user, "name": user.title(), "email": f"{user}@example.com"} | values)

    def available(self, sku: str = MUG) -> int:
        """Return a product's available stock, with that in its shards."""
        return sum(item["available"] for item in self.items("ProductsTable") if product_of(item["sku"]) == sku)

    def order(self, order_id: str) -> dict[str, Any]:
        """Return an order as it is stored."""
        return self.item("OrdersTable", orderId=order_id)

    # --- tables, by logical id ----------------------------------------------------------------------------------------

    def put(self, table: str, item: dict[str, Any]) -> None:
        """Write an item to moto's memory: a request takes ten times as long, and each test writes some."""
        dynamodb_backends[ACCOUNT][REGION].put_item(self.table(table), to_item(item))

    def change(self, table: str, key: dict[str, str], **values: Any) -> None:
        """Set attributes of an item."""
        self.put(table, self.item(table, **key) | values)

    def item(self, table: str, **key: str) -> dict[str, Any]:
        """Return an item; empty if it does not exist."""
        found = dynamodb_backends[ACCOUNT][REGION].get_item(self.table(table), to_item(key))
        return from_item(found.to_json()["Attributes"]) if found else {}

    def items(self, table: str) -> list[dict[str, Any]]:
        """Return all items, read from moto's memory because experiments ask often."""
        held = dynamodb_backends[ACCOUNT][REGION].tables[self.table(table)].all_items()
        return [from_item(item.to_json()["Attributes"]) for item in held]

    def table(self, name: str) -> str:
        """Return the table's name."""
        return self.stack.resource(name).ref

    # --- results ------------------------------------------------------------------------------------------------------

    def to_provider(self, call: Call) -> bool:
        """Return whether a call goes to the payment provider: the sandbox keeps its ledger in a table."""
        return self.table("SandboxTable") in call.tables

    def touching(self, table: str) -> Callable[[Call], bool]:
        """Return a predicate for calls that read or write a table, by logical id."""
        return lambda call: self.table(table) in call.tables

    def ledger(self, kind: str = "authorise") -> dict[str, str]:
        """Return the state of each order's authorization, or the orders that were captured or voided."""
        return {
            entry["orderId"]: entry.get("state", kind) for entry in self.items("SandboxTable") if entry["kind"] == kind
        }

    def snapshot(self) -> Snapshot:
        """Read everything that the invariants are about, except for the queues."""
        mails = [Mail(mail["subject"], order_in(mail["text"]), mail["text"]) for mail in self.mails()]
        ledger = _ledger(self.stripe) if self.stripe else None
        return Snapshot.read(self.items, ledger=ledger, mails=mails, events=self.events())

    def events(self) -> list[dict[str, Any]]:
        """Return the events that the bus accepted, oldest first, with the parsed detail."""
        calls = [call for call in self.wire.named("eventbridge.PutEvents") if call.status == 200]
        entries = [entry for call in calls for entry in call.request["Entries"]]
        return [{**entry, "Detail": json.loads(entry["Detail"])} for entry in entries]

    def event_types(self) -> list[str]:
        """Return the types of the events that the bus accepted, oldest first."""
        return [event["DetailType"] for event in self.events()]

    def mails(self) -> list[dict[str, str]]:
        """Return the mails that SES accepted, oldest first: to, subject, text, html."""
        sent = [call.request for call in self.wire.named("sesv2.SendEmail") if call.status == 200]
        return [
            {
                "from": mail["FromEmailAddress"],
                "to": mail["Destination"]["ToAddresses"][0],
                "subject": mail["Content"]["Simple"]["Subject"]["Data"],
                "text": mail["Content"]["Simple"]["Body"]["Text"]["Data"],
                "html": mail["Content"]["Simple"]["Body"]["Html"]["Data"],
            }
            for mail in sent
        ]


def _ledger(stripe: PaymentIntents) -> list[dict[str, Any]]:
    """Return Stripe's payment intents and refunds as the entries that the sandbox's ledger would have."""
    entries = []
    for intent in stripe.intents.values():
        entry = {"orderId": intent["metadata"]["order_id"], "amount": intent["amount"]}
        state = _STATES[intent["status"]]
        refunds = [refund for refund in stripe.refunds.values() if _is_refund_of(refund, intent)]
        refunded = sum(refund["amount"] for refund in refunds if _REFUND_STATES[refund["status"]] != "failed")
        sums = {"captured": intent["amount_received"], "refunded": refunded} if state == "capture" else {}
        entries.append({**entry, **sums, "kind": "authorise", "state": state, **_dispute(stripe, intent)})
        if state in {"capture", "void"}:
            entries.append({**entry, "kind": state})
        entries += [_refund(entry["orderId"], refund) for refund in refunds]
    return entries


def _is_refund_of(refund: dict[str, Any], intent: dict[str, Any]) -> bool:
    """Return whether captured money was refunded. Stripe has a refund without a transaction for the rest of a hold."""
    return bool(refund["payment_intent"] == intent["id"] and refund["balance_transaction"])


def _dispute(stripe: PaymentIntents, intent: dict[str, Any]) -> dict[str, Any]:
    """Return the latest dispute of an intent, and the state that it gives to the hold."""
    for dispute in stripe.disputes.of(intent)[-1:]:
        state = _DISPUTE_STATES.get(dispute["status"], "open")
        shown = {"reference": dispute["id"], "amount": dispute["amount"], "state": state}
        return {"dispute": shown, "state": "capture" if state == "won" else "disputed"}
    return {}


def _refund(order_id: str, refund: dict[str, Any]) -> dict[str, Any]:
    """Return a refund as the sandbox's ledger would have it; a merchant's own has a key that no order knows."""
    key = refund["metadata"].get("refund_key", refund["id"])
    state = _REFUND_STATES[refund["status"]]
    return {"key": key, "kind": "refund", "orderId": order_id, "amount": refund["amount"], "state": state}


def body(*lines: tuple[str, int], token: str = "tok_approve", **values: Any) -> dict[str, Any]:  # noqa: S107
    """Return the body of ``POST /orders``; by default for one mug."""
    wanted = [{"sku": sku, "quantity": quantity} for sku, quantity in lines or [(MUG, 1)]]
    return {"lines": wanted, "shippingAddress": ADDRESS, "paymentToken": token, **values}


@cache
def shared_wire() -> Wire:
    """Return the wire of this process."""
    return Wire()


@cache
def direct_client(service: str) -> Any:
    """Return a client of the caller, which bypasses the wire."""
    session: Any = _own_session()
    return session.client(service)


@cache
def _own_session() -> boto3.Session:
    return boto3.Session()


@contextmanager
def mocked() -> Iterator[None]:
    """Mock AWS by moto, with the shared wire between it and the functions."""
    keep_ours: Any = {"core": {"reset_boto3_session": False, "mock_credentials": False}}
    with (
        patch.dict(os.environ, CREDENTIALS),
        mock_aws(config=keep_ours),
        sessions.used(shared_wire().session),
        moto_copies.avoided(),
        traces.delivered(),
    ):
        yield


@contextmanager
def deployed(parameters: dict[str, str] | None = None) -> Iterator[SimulatedStack]:
    """Create a stack in moto while the context lasts. A `World` on it starts with empty tables and queues."""
    with mocked():
        stack = SimulatedStack(direct_client, parameters)
        direct_client("sesv2").create_email_identity(EmailIdentity=stack.parameters["MailFrom"])
        yield stack
