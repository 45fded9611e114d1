"""The domain model: orders, products, customers. It knows no AWS."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Literal

from pydantic import ConfigDict

from handoff.aggregate import Aggregate
from handoff.clock import from_iso
from handoff.model import HistoryEntry, Model

MAX_LINES = 50  # one transaction holds 100 items; a cancelled order needs one per product and one for itself
MAX_QUANTITY = 999
SKU = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"


class Status(StrEnum):
    """The status of an order."""

    PENDING = "PENDING"
    PLACED = "PLACED"
    PREPARED = "PREPARED"
    CANCELLED = "CANCELLED"
    REJECTED = "REJECTED"


class PaymentState(StrEnum):
    """The state of an order's payment."""

    NONE = "none"
    AUTHORIZED = "authorised"
    CAPTURED = "captured"
    VOIDED = "voided"
    FAILED = "failed"


class Line(Model):
    """One product of an order; the price is the one the customer agreed to, in minor units."""

    sku: str
    name: str
    quantity: int
    unit_price: int


class Address(Model):
    """Where an order goes."""

    name: str
    street: str
    city: str
    postal_code: str
    country: str


class Payment(Model):
    """The state of an order's payment; a hold expires at ``expires_at`` (epoch milliseconds)."""

    state: PaymentState = PaymentState.NONE
    reference: str | None = None
    reason: str | None = None
    expires_at: int | None = None


class PaymentDue(Model):
    """The request that the payment provider still has to get, and since when (epoch milliseconds)."""

    action: Literal["capture", "void"]
    since: int


class OrderStep(HistoryEntry):
    """One step of an order; ``payment`` is the payment's new state if the step changed it."""

    payment: PaymentState | None = None


def status_changes(history: Sequence[OrderStep]) -> list[OrderStep]:
    """Return the steps that changed the status; the others changed only the payment."""
    before = (None, *(entry.status for entry in history))
    return [entry for entry, earlier in zip(history, before, strict=False) if entry.status != earlier]


class Order(Aggregate):
    """An order. Amounts are in minor units of its currency.

    ``attempt_id`` names the request that works on a PENDING order, ``lease_until`` is the end of that request's lease,
    and ``expires_at`` the time after which the order expires (both in epoch milliseconds).
    """

    KEY = "order_id"
    STEP = OrderStep
    PENDING_FIELDS = ("payment_due",)
    OPEN_STATUSES = (Status.PENDING,)
    VERSION_FIELDS = ("status", "attempt_id")

    history: tuple[OrderStep, ...] = ()
    order_id: str
    user_id: str
    status: Status
    lines: tuple[Line, ...]
    shipping_address: Address
    total: int
    currency: str
    payment: Payment = Payment()
    payment_due: PaymentDue | None = None
    payment_token: str | None = None
    placed_at: str | None = None
    request_hash: str
    correlation_id: str
    attempt_id: str
    lease_until: int
    expires_at: int

    @property
    def log_keys(self) -> dict[str, str]:
        """The keys that its log lines carry."""
        return {"order_id": self.order_id, "correlation_id": self.correlation_id}

    @property
    def created_at(self) -> int:
        """When its first attempt began, in epoch milliseconds."""
        return from_iso(self.history[0].at)

    @property
    def status_changes(self) -> list[OrderStep]:
        """The steps that changed the status."""
        return status_changes(self.history)

    def hold_is_half_over(self, now: int) -> bool:
        """Return whether the hold, if it expires at all, is past half its life."""
        lapses = self.payment.expires_at
        return lapses is not None and now - self.created_at >= lapses - now


class Shipment(Model):
    """A packed shipment; it may be sent once it is ``released``, that is, paid."""

    order_id: str
    lines: tuple[Line, ...]
    address: Address
    state: Literal["prepared", "released"] = "prepared"
    prepared_at: str


class Product(Model):
    """A product of the catalog. ``available`` is the stock left to sell; a delisted product is kept, not deleted.

    Strict like the condition of reserving it: a row that fails it would be shown, but could never be ordered.
    """

    model_config = ConfigDict(strict=True)

    sku: str
    name: str
    unit_price: int
    available: int
    listed: bool


class AddressChange(Model):
    """A changed e-mail address, kept until both addresses are mailed; ``at`` in epoch milliseconds."""

    old: str | None = None
    new: str
    at: int | None = None  # items of earlier releases have none


class Customer(Aggregate):
    """A customer. ``address_changes`` by the sequence of the change; ``email_problem`` marks an unusable address."""

    KEY = "user_id"
    # The newest steps. As many within a day, and no new address is accepted: each change mails two addresses unasked.
    HISTORY_LIMIT = 20
    MAP_FIELDS = ("outbox", "address_changes")

    user_id: str
    name: str
    email: str | None = None
    email_problem: Literal["bounced", "complained"] | None = None
    address_changes: Mapping[str, AddressChange] = {}


class OrderSummary(Model):
    """An order as the list of a customer's orders shows it."""

    order_id: str
    status: Status
    total: int
    currency: str
    placed_at: str
