"""Each payment provider behind its adapter, with one interface for the tests of their common contract."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, Literal, Protocol

from dev.simulated import wire
from dev.simulated.world import World
from handoff.clock import now_ms
from shop.payments import (
    ActionRequired,
    ActsForCustomer,
    Authorized,
    Captured,
    Declined,
    Failed,
    Payments,
    Refunded,
    RefundPending,
    Voided,
    sandbox,
    stripe_intents,
    stripe_key,
)
from tests.support import stripe_server
from tests.support.merchant import Merchant
from tests.support.stripe_server import StripeServer

Step = Literal["authorise", "capture", "void", "refund"]
ORDER, OTHER = "ord_" + "a" * 26, "ord_" + "b" * 26
SECRET = "stripe-key"
_TRIES = 2  # of the Stripe adapter, if the connection is closed in place of an answer


class Provider(Protocol):
    """A provider, the faults of its connection, and its ledger."""

    payments: Payments
    approved: str
    declined: str
    unknown: str
    refunded_later: str
    needs_action: str

    def lose_request(self, step: Step) -> None:
        """Lose the next request of this step: it has no effect and no answer."""

    def lose_answer(self, step: Step) -> None:
        """Lose the answer to the next request of this step, which has its effect."""

    def refuse(self, step: Step) -> None:
        """Throttle the next request of this step."""

    def meanwhile(self, step: Step, do: Callable[[], object]) -> None:
        """Do something else before the next request of this step arrives."""

    def cut(self) -> Any:
        """Prevent all connections while the context lasts."""

    def act(self, *, succeeds: bool = True) -> bool:
        """Do what the customer does on the bank's page for the order; return whether anything was to do."""

    def capture_elsewhere(self, amount: int) -> None:
        """Capture a part of the order's hold, as the merchant can in the provider's dashboard."""

    def cancel_elsewhere(self) -> None:
        """Cancel the order's payment, as the merchant can in the provider's dashboard."""

    def refund_elsewhere(self, amount: int) -> None:
        """Refund a part of the order's captured amount, as the merchant can in the provider's dashboard."""

    def return_refund(self) -> None:
        """Return the order's latest refund, as the customer's bank can."""

    def dispute(self) -> None:
        """Dispute the order's payment, as the customer can at the bank."""

    def decide(self, state: Literal["won", "lost"]) -> None:
        """Decide the order's dispute, as the bank does."""

    def books(self, order_id: str = ORDER) -> Counter[str]:
        """Return the number of an order's holds that are held, captured and voided."""

    def refunds(self, order_id: str = ORDER) -> list[int]:
        """Return the amounts of an order's own refunds that did not fail, in ascending order."""


class PaymentsCaller:
    """Calls the payments port as the order functions do."""

    def __init__(self, provider: Provider) -> None:
        self.provider = provider

    def authorize(self, token: str, order_id: str = ORDER, **values: Any) -> Authorized | ActionRequired | Declined:
        """Authorize 45.00 EUR for a new order, from a page that does not let the customer act."""
        wanted: dict[str, Any] = {"amount": 4500, "currency": "EUR", "can_act": False, "since": now_ms()} | values
        return self.provider.payments.authorize(f"{order_id}:authorise", order_id=order_id, token=token, **wanted)

    def hold(self, order_id: str = ORDER, token: str | None = None) -> str:
        """Authorize with an approved token; return the reference."""
        held = self.authorize(token or self.provider.approved, order_id)
        assert isinstance(held, Authorized)
        return held.reference

    def waiting(self, order_id: str = ORDER) -> ActionRequired:
        """Authorize with a token that needs the customer's action."""
        waiting = self.authorize(self.provider.needs_action, order_id, can_act=True)
        assert isinstance(waiting, ActionRequired)
        return waiting

    def captured(self, order_id: str = ORDER, token: str | None = None) -> str:
        """Authorize and capture; return the reference."""
        reference = self.hold(order_id, token)
        assert self.end("capture", reference, order_id) == Captured(4500)
        return reference

    def ready(self, step: Step, order_id: str = ORDER) -> str:
        """Return the reference of a payment to which the step can be done."""
        return self.captured(order_id) if step == "refund" else self.hold(order_id)

    def end(self, step: Step, reference: str, order_id: str = ORDER) -> Any:
        """Capture, void or refund the whole amount."""
        if step == "refund":
            return self.refund(reference, order_id=order_id)
        call: Callable[..., Captured | Voided | Failed] = getattr(self.provider.payments, step)
        return call(f"{order_id}:{step}", order_id=order_id, reference=reference)

    def refund(
        self, reference: str, amount: int = 4500, key: str = "refund", order_id: str = ORDER
    ) -> Refunded | RefundPending | Failed:
        """Refund an amount in EUR."""
        values: dict[str, Any] = {"order_id": order_id, "reference": reference, "amount": amount, "currency": "EUR"}
        return self.provider.payments.refund(f"{order_id}:{key}", **values)


class Sandbox:
    """The sandbox over its table in moto."""

    approved, declined, unknown = "tok_approve", "tok_decline", "tok_unknown"
    refunded_later, needs_action = "tok_refund_pending", "tok_action"
    _calls: ClassVar[dict[str, str]] = {
        "authorise": "dynamodb.PutItem",
        "capture": "dynamodb.TransactWriteItems",
        "void": "dynamodb.TransactWriteItems",
        "refund": "dynamodb.TransactWriteItems",
    }
    _states: ClassVar[dict[str, str]] = {"held": "held", "capture": "captured", "void": "voided"}

    def __init__(self, world: World) -> None:
        self._world = world
        self._merchant = Merchant(world)
        self.payments: Payments = sandbox.connect(world.table("SandboxTable"))

    def lose_request(self, step: Step) -> None:
        self._world.wire.on(self._calls[step], wire.lose_request)

    def lose_answer(self, step: Step) -> None:
        self._world.wire.on(self._calls[step], wire.lose_response)

    def refuse(self, step: Step) -> None:
        self._world.wire.on(self._calls[step], wire.refuse("ProvisionedThroughputExceededException"))

    def meanwhile(self, step: Step, do: Callable[[], object]) -> None:
        self._world.wire.on(self._calls[step], wire.meanwhile(do))

    @contextmanager
    def cut(self) -> Iterator[None]:
        self._world.wire.always("*", wire.cannot_connect)
        yield
        self._world.wire.heal()

    def act(self, *, succeeds: bool = True) -> bool:
        if not succeeds:
            self._fail_action()
        secret = self._hold().get("secret", "no secret")
        waited = self._hold().get("state") == "action"
        assert isinstance(self.payments, ActsForCustomer)
        self.payments.act(secret)
        return waited

    def _fail_action(self) -> None:
        self._world.change("SandboxTable", {"key": f"{ORDER}:authorise"}, afterAction="action_failed")

    def capture_elsewhere(self, amount: int) -> None:
        assert self._merchant.capture(ORDER, amount)

    def cancel_elsewhere(self) -> None:
        assert self._merchant.cancel(ORDER)

    def refund_elsewhere(self, amount: int) -> None:
        assert self._merchant.refund(ORDER, amount)

    def return_refund(self) -> None:
        assert self._merchant.return_refund(ORDER)

    def dispute(self) -> None:
        assert self._merchant.dispute(ORDER)

    def decide(self, state: Literal["won", "lost"]) -> None:
        assert self._merchant.decide(ORDER, state)

    def _hold(self) -> dict[str, Any]:
        return self._world.item("SandboxTable", key=f"{ORDER}:authorise")

    def books(self, order_id: str = ORDER) -> Counter[str]:
        states = [entry.get("state") for entry in self._world.items("SandboxTable") if entry.get("orderId") == order_id]
        return Counter(self._states[state] for state in states if state in self._states)

    def refunds(self, order_id: str = ORDER) -> list[int]:
        entries = [entry for entry in self._world.items("SandboxTable") if entry.get("orderId") == order_id]
        ours = [entry for entry in entries if entry["kind"] == "refund" and entry.get("by") != "merchant"]
        return sorted(entry["amount"] for entry in ours if entry["state"] != "failed")


class Stripe:
    """The Stripe adapter, with its key in moto's Secrets Manager, connected to our own server."""

    approved, declined, unknown = stripe_server.VISA, stripe_server.DECLINED, "pm_unknown"
    refunded_later, needs_action = stripe_server.PENDING_REFUND, stripe_server.NEEDS_CUSTOMER
    _operations: ClassVar[dict[str, str]] = {
        "authorise": "create",
        "capture": "capture",
        "void": "cancel",
        "refund": "refund",
    }
    _states: ClassVar[dict[str, str]] = {"requires_capture": "held", "succeeded": "captured", "canceled": "voided"}

    def __init__(self, world: World, server: StripeServer) -> None:
        self.world = world
        self.server = server
        self.store_key("sk_test_first")
        self.payments: Payments = self.connect()

    def connect(self, base: str | None = None, **values: Any) -> stripe_intents.Stripe:
        """Return a new adapter with empty caches."""
        return stripe_intents.Stripe(stripe_key.connect(SECRET), base or self.server.base, **values)

    def store_key(self, api_key: str) -> None:
        """Store a key in Secrets Manager."""
        self.world.client("secretsmanager").put_secret_value(SecretId=SECRET, SecretString=api_key)

    def lose_request(self, step: Step) -> None:
        self.server.on(self._operations[step], stripe_server.lose_request, times=_TRIES)

    def lose_answer(self, step: Step) -> None:
        self.server.on(self._operations[step], stripe_server.lose_answer, times=_TRIES)

    def refuse(self, step: Step) -> None:
        self.server.on(self._operations[step], stripe_server.refuse(429, code="rate_limit"))

    def meanwhile(self, step: Step, do: Callable[[], object]) -> None:
        self.server.on(self._operations[step], stripe_server.meanwhile(do))

    @contextmanager
    def cut(self) -> Iterator[None]:
        connected, self.payments = self.payments, self.connect("http://127.0.0.1:1")
        yield
        self.payments = connected

    def act(self, *, succeeds: bool = True) -> bool:
        return self.server.act(ORDER, succeeds=succeeds)

    def capture_elsewhere(self, amount: int) -> None:
        assert self.server.capture_in_dashboard(ORDER, amount)

    def cancel_elsewhere(self) -> None:
        assert self.server.cancel_in_dashboard(ORDER)

    def refund_elsewhere(self, amount: int) -> None:
        assert self.server.refund_in_dashboard(ORDER, amount)

    def return_refund(self) -> None:
        assert self.server.fail_refund(ORDER)

    def dispute(self) -> None:
        assert self.server.dispute(ORDER)

    def decide(self, state: Literal["won", "lost"]) -> None:
        assert self.server.decide_dispute(ORDER, state)

    def books(self, order_id: str = ORDER) -> Counter[str]:
        states = [intent["status"] for intent in self.server.of(order_id)]
        return Counter(self._states[state] for state in states if state in self._states)

    def refunds(self, order_id: str = ORDER) -> list[int]:
        refunds = self.server.refunds_of(order_id)
        return sorted(refund["amount"] for refund in refunds if refund["metadata"] and refund["status"] != "failed")
