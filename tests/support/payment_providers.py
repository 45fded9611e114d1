"""Each payment provider behind its adapter, with one interface for the tests of their common contract."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, Literal, Protocol

from dev.simulated import wire
from dev.simulated.world import World
from handoff.clock import now_ms
from shop.payments import Authorized, Captured, Declined, Failed, Payments, Voided, sandbox, stripe_intents, stripe_key
from tests.support import stripe_server
from tests.support.stripe_server import StripeServer

Step = Literal["authorise", "capture", "void"]
ORDER, OTHER = "ord_" + "a" * 26, "ord_" + "b" * 26
SECRET = "stripe-key"
_TRIES = 2  # of the Stripe adapter, if the connection is closed in place of an answer


class Provider(Protocol):
    """A provider, the faults of its connection, and its ledger."""

    payments: Payments
    approved: str
    declined: str
    unknown: str

    def lose_request(self, step: Step) -> None:
        """Lose the next request of this step: it has no effect and no answer."""

    def lose_answer(self, step: Step) -> None:
        """Lose the answer to the next request of this step, which has its effect."""

    def refuse(self, step: Step) -> None:
        """Throttle the next request of this step."""

    def cut(self) -> Any:
        """Prevent all connections while the context lasts."""

    def books(self, order_id: str = ORDER) -> Counter[str]:
        """Return the number of an order's holds that are held, captured and voided."""


class PaymentsCaller:
    """Calls the payments port as the order functions do."""

    def __init__(self, provider: Provider) -> None:
        self.provider = provider

    def authorize(self, token: str, order_id: str = ORDER, **values: Any) -> Authorized | Declined:
        """Authorize 45.00 EUR for a new order."""
        wanted: dict[str, Any] = {"amount": 4500, "currency": "EUR", "since": now_ms()} | values
        return self.provider.payments.authorize(f"{order_id}:authorise", order_id=order_id, token=token, **wanted)

    def hold(self, order_id: str = ORDER) -> str:
        """Authorize with an approved token; return the reference."""
        held = self.authorize(self.provider.approved, order_id)
        assert isinstance(held, Authorized)
        return held.reference

    def end(self, step: Step, reference: str, order_id: str = ORDER) -> Captured | Voided | Failed:
        """Capture or void a hold."""
        call = self.provider.payments.capture if step == "capture" else self.provider.payments.void
        return call(f"{order_id}:{step}", order_id=order_id, reference=reference)


class Sandbox:
    """The sandbox over its table in moto."""

    approved, declined, unknown = "tok_approve", "tok_decline", "tok_unknown"
    _calls: ClassVar[dict[str, str]] = {
        "authorise": "dynamodb.PutItem",
        "capture": "dynamodb.TransactWriteItems",
        "void": "dynamodb.TransactWriteItems",
    }
    _states: ClassVar[dict[str, str]] = {"held": "held", "capture": "captured", "void": "voided"}

    def __init__(self, world: World) -> None:
        self._world = world
        self.payments: Payments = sandbox.connect(world.table("SandboxTable"))

    def lose_request(self, step: Step) -> None:
        self._world.wire.on(self._calls[step], wire.lose_request)

    def lose_answer(self, step: Step) -> None:
        self._world.wire.on(self._calls[step], wire.lose_response)

    def refuse(self, step: Step) -> None:
        self._world.wire.on(self._calls[step], wire.refuse("ProvisionedThroughputExceededException"))

    @contextmanager
    def cut(self) -> Iterator[None]:
        self._world.wire.always("*", wire.cannot_connect)
        yield
        self._world.wire.heal()

    def books(self, order_id: str = ORDER) -> Counter[str]:
        states = [entry.get("state") for entry in self._world.items("SandboxTable") if entry["orderId"] == order_id]
        return Counter(self._states[state] for state in states if state in self._states)


class Stripe:
    """The Stripe adapter, with its key in moto's Secrets Manager, connected to our own server."""

    approved, declined, unknown = stripe_server.VISA, stripe_server.DECLINED, "pm_unknown"
    _operations: ClassVar[dict[str, str]] = {"authorise": "create", "capture": "capture", "void": "cancel"}
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

    @contextmanager
    def cut(self) -> Iterator[None]:
        connected, self.payments = self.payments, self.connect("http://127.0.0.1:1")
        yield
        self.payments = connected

    def books(self, order_id: str = ORDER) -> Counter[str]:
        states = [intent["status"] for intent in self.server.of(order_id)]
        return Counter(self._states[state] for state in states if state in self._states)
