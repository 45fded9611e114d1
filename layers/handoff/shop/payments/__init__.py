"""The port to the payment provider. Only an adapter knows its provider.

Every call is idempotent by its key: repeating a call, however late, never moves money twice. A provider may forget its
keys after a day; its adapter then looks up the state at the provider.
There are three ways of not getting the money. `Declined` is final. After `Unavailable`, nothing was done. After
`Unknown`, it may have been done; repeat the call with the same key to find out.

With `ActionRequired`, the customer has to confirm the payment first, as strong customer authentication (3-D Secure)
demands. The provider deals with the customer then; `look_up` finds out how it went.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, Protocol, runtime_checkable

from handoff.errors import TransientError

LONGEST_CALL = 4.0  # seconds, connecting included
AUTHENTICATION_REQUIRED = "authentication_required"  # of a `Declined` payment that needs the customer's action


@dataclass(frozen=True, slots=True)
class Authorized:
    """An amount is held; ``reference`` is the provider's name for the payment.

    ``amount`` is the held amount in minor units. ``expires_at`` is when the hold expires, in epoch milliseconds; None
    if the provider does not say.
    """

    reference: str
    amount: int
    expires_at: int | None = None


@dataclass(frozen=True, slots=True)
class ActionRequired:
    """The customer has to act before anything is held.

    ``client_secret`` lets the customer's page act on this payment. It is passed on to the customer, and never stored,
    logged or published.
    """

    reference: str
    client_secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Declined:
    """The provider has declined for good: nothing is held, and nothing will be held under this key."""

    reason: str


@dataclass(frozen=True, slots=True)
class Captured:
    """An amount was captured, in minor units. It can differ from the held one if the merchant captured it elsewhere."""

    amount: int


@dataclass(frozen=True, slots=True)
class Voided:
    """The hold was released, and nothing was captured."""


@dataclass(frozen=True, slots=True)
class Refunded:
    """The amount was refunded; ``reference`` is the provider's name for the refund."""

    reference: str


@dataclass(frozen=True, slots=True)
class RefundPending:
    """The provider has accepted the refund, which may still fail: ask with the same key later."""

    reference: str


@dataclass(frozen=True, slots=True)
class Failed:
    """The provider has refused a capture, a void or a refund for good: no money has moved."""

    reason: str


class Stage(StrEnum):
    """How far a payment is at the provider."""

    ACTION_REQUIRED = "action_required"
    PROCESSING = "processing"  # the provider has no result yet
    FAILED = "failed"  # the customer's action failed: nothing is held, but the customer's page could try again
    HELD = "held"
    CAPTURED = "captured"
    VOIDED = "voided"  # voided by us, cancelled by the merchant, or the hold has expired: nothing can be held again


@dataclass(frozen=True, slots=True)
class RefundFound:
    """A refund that the provider has. ``key`` is ours; None if the merchant made it elsewhere."""

    reference: str
    amount: int
    state: Literal["refunded", "pending", "failed"]
    key: str | None = None
    failure: str | None = None


@dataclass(frozen=True, slots=True)
class DisputeFound:
    """A dispute of a captured payment: the customer's bank takes ``amount`` back unless the merchant wins."""

    reference: str
    amount: int
    state: Literal["open", "won", "lost"]


@dataclass(frozen=True, slots=True)
class PaymentFound:
    """A payment as the provider has it now; amounts in minor units.

    ``order_id`` is the one that it was authorized for; None if the payment is not ours. ``reason`` is why it failed.
    ``client_secret`` is set while the customer has to act; see `ActionRequired`.
    """

    reference: str
    order_id: str | None
    stage: Stage
    held: int = 0
    captured: int = 0
    expires_at: int | None = None
    reason: str | None = None
    refunds: tuple[RefundFound, ...] = ()
    dispute: DisputeFound | None = None
    client_secret: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class ProviderEvent:
    """Something that happened to a payment at the provider at ``at`` (epoch milliseconds). Look it up to see what."""

    event_id: str
    reference: str
    at: int


@dataclass(frozen=True, slots=True)
class Happened:
    """Events at the provider before ``until`` (epoch milliseconds), from where to ask next."""

    events: tuple[ProviderEvent, ...]
    until: int


class ProviderError(TransientError):
    """The provider gave no definite answer."""


class Unavailable(ProviderError):
    """The provider did not accept the request: nothing was done."""


class NothingHeld(Unavailable):
    """The provider rejects the request as invalid, and nothing is held: a fault on our side, not a decline."""


class Unknown(ProviderError):
    """The provider may or may not have done it: repeat the call with the same key."""


class Payments(Protocol):
    """The interface of a payment provider. Amounts are in minor units.

    Every method raises `Unavailable` or `Unknown` if there is no definite answer within `LONGEST_CALL`.
    """

    def authorize(
        self, key: str, *, order_id: str, amount: int, currency: str, token: str, can_act: bool, since: int
    ) -> Authorized | ActionRequired | Declined:
        """Hold an amount, or start the customer's action that has to come first.

        ``can_act`` says whether the customer's page lets the customer act; otherwise a payment that needs it is
        declined. Each call with a key has the same arguments.

        ``since`` is the earliest time of an earlier call with this key (epoch milliseconds). Once the provider may have
        forgotten the key, no new hold is made: an existing hold is found, or the call is declined. A repeated call may
        return an `ActionRequired` that is outdated: `look_up` tells the present.

        Raises
        ------
        NothingHeld
            If the provider rejects the request as invalid and no earlier one succeeded.
        """
        ...

    def capture(self, key: str, *, order_id: str, reference: str) -> Captured | Failed:
        """Capture a held amount."""
        ...

    def void(self, key: str, *, order_id: str, reference: str) -> Voided | Captured | Failed:
        """Release a held amount, or end a payment that waits for the customer, so that nothing can be held anymore.

        `Captured` if the money was captured already; only a refund returns it.
        """
        ...

    def look_up(self, reference: str) -> PaymentFound | None:
        """Return a payment as it is at the provider, or None if it has none under this reference."""
        ...

    def happened(self, since: int) -> Happened:
        """Return what merchants and banks did to payments from ``since`` on (epoch milliseconds).

        Some of our own requests are among it.
        """
        ...

    def refund(
        self, key: str, *, order_id: str, reference: str, amount: int, currency: str
    ) -> Refunded | RefundPending | Failed:
        """Refund a part of the captured amount, or all of it; each refund has its own key.

        The provider refuses a refund if the sum of all refunds would exceed the captured amount, or if the customer has
        disputed the payment.
        """
        ...


@runtime_checkable
class ActsForCustomer(Protocol):
    """A provider without a page of its own, such as the sandbox: this stands for what the customer does there."""

    def act(self, client_secret: str) -> Stage | None:
        """Do what a customer does on the provider's page; None if there is no payment with this client secret."""
        ...


def connect(provider: str, sandbox_table: str) -> Payments:
    """Return the adapter of the provider that the deployment has chosen.

    Raises
    ------
    ValueError
        If the provider is unknown.
    """
    if provider == "sandbox":
        from shop.payments import sandbox  # noqa: PLC0415  # only the chosen provider costs import time

        return sandbox.connect(sandbox_table)
    if provider == "stripe":
        from shop.payments import stripe_intents  # noqa: PLC0415

        return stripe_intents.connect()
    raise ValueError(f"PAYMENT_PROVIDER is {provider!r}; known: sandbox, stripe")
