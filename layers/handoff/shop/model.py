"""The domain model: orders, products, customers. It knows no AWS."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Literal

from pydantic import ConfigDict, Field

from handoff.aggregate import Aggregate
from handoff.clock import from_iso
from handoff.model import HistoryEntry, Model

MAX_LINES = 50  # one transaction holds 100 items; a cancelled order needs one per product and one for itself
MAX_QUANTITY = 999
MAX_TOTAL = 10**12  # of an order, in minor units; JavaScript and others count exactly to 2**53 only
MAX_REFUNDS = 50  # of one order; an item holds 400 KB
ERASED = "erased"  # in place of a text that a stored item needs and that was personal data
MAX_SHARDS = 20  # of a product's stock; about a thousand orders a second
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
    ACTION_REQUIRED = "action_required"  # until then nothing is held: the customer has to act
    AUTHORIZED = "authorised"
    CAPTURED = "captured"
    VOIDED = "voided"
    FAILED = "failed"


EmailProblem = Literal["bounced", "complained"]
Counted = Literal["orders", "declines"]  # of a user within an hour; see `shop.limits`


class Line(Model):
    """One product of an order; the price is the one the customer agreed to, in minor units."""

    sku: str
    name: str
    quantity: int
    unit_price: int


class Address(Model):
    """Where an order goes; ``country`` is an ISO 3166-1 alpha-2 code.

    ``postal_code`` is empty if there is none: earlier releases cannot read an order without one. ``street2`` is the
    second line of the street, ``vat_id`` the company's VAT identification number.
    """

    name: str
    street: str
    city: str
    postal_code: str = ""
    country: str
    company: str | None = None
    street2: str | None = None
    region: str | None = None
    phone: str | None = None
    vat_id: str | None = None


class Packing(StrEnum):
    """What packs an order when its cancel window is over: the fulfillment consumer, or a warehouse's program."""

    AUTOMATIC = "automatic"
    MANUAL = "manual"


class RefundState(StrEnum):
    """The state of a refund. A pending one was accepted by the provider and has no result yet."""

    DUE = "due"
    PENDING = "pending"
    REFUNDED = "refunded"
    FAILED = "failed"


class Payment(Model):
    """The state of an order's payment; a hold expires at ``expires_at`` (epoch milliseconds).

    ``captured`` is the captured amount in minor units. Earlier releases cannot read ``action_required``: after a
    rollback their sweeper leaves such orders in the index, and they are finished once this release is back.
    """

    state: PaymentState = PaymentState.NONE
    reference: str | None = None
    reason: str | None = None
    expires_at: int | None = None
    captured: int | None = None


class PaymentDue(Model):
    """The request that the payment provider still has to get, and since when (epoch milliseconds).

    The action is ``refund`` while a refund is due or pending. Earlier releases cannot read an order with this action.
    So after a rollback their sweeper leaves it in the index, and the refund is finished once this release is back.
    """

    action: Literal["capture", "void", "refund"]
    since: int


class Units(Model):
    """A quantity of one product of an order."""

    sku: str
    quantity: int


class Refund(Model):
    """Money that goes back to the customer; ``amount`` in minor units.

    ``lines`` are the units that it is for, if it is not for an amount only. They return to the stock with the refund if
    ``restock`` is set. ``fingerprint`` and ``request_hash`` are as in `Order`. ``sequence`` and ``completed_at`` are
    those of the step that ended it, ``reference`` is the provider's name for it, and ``failure`` is why the provider
    refused it. ``elsewhere`` marks one that a merchant made at the provider: Handoff never asks for it.
    """

    refund_id: str
    amount: int
    lines: tuple[Units, ...] = ()
    reason: str
    restock: bool = False
    request_hash: str
    fingerprint: str | None = None
    requested_at: str
    state: RefundState = RefundState.DUE
    reference: str | None = None
    failure: str | None = None
    completed_at: str | None = None
    sequence: int | None = None
    elsewhere: bool = False

    @property
    def is_open(self) -> bool:
        """Whether the provider has to be asked about it."""
        return self.state in (RefundState.DUE, RefundState.PENDING) and not self.elsewhere


class Dispute(Model):
    """A dispute of the payment at the customer's bank; ``amount`` in minor units, ``reference`` the provider's name."""

    reference: str
    amount: int
    state: Literal["open", "won", "lost"]
    opened_at: str

    @property
    def holds_back(self) -> bool:
        """Whether goods must not be sent: the money is gone, or may go."""
        return self.state != "won"


class ReturnRequest(Model):
    """A customer's request to send products back."""

    requested_at: str
    lines: tuple[Units, ...]
    reason: str | None = None


class Cancellation(Model):
    """Who cancelled an order; the shop gives a reason."""

    by: Literal["customer", "shop"]
    reason: str | None = None


class OrderStep(HistoryEntry):
    """One step of an order.

    ``payment`` is the payment's new state if the step changed it, ``refund`` that of the refund ``refund_id``, and
    ``dispute`` that of a dispute. ``returns`` marks the customer's request to return products.
    """

    payment: PaymentState | None = None
    refund_id: str | None = None
    refund: RefundState | None = None
    returns: bool | None = None
    dispute: Literal["open", "won", "lost"] | None = None


def status_changes(history: Sequence[OrderStep]) -> list[OrderStep]:
    """Return the steps that changed the status; the others changed only the payment."""
    before = (None, *(entry.status for entry in history))
    return [entry for entry, earlier in zip(history, before, strict=False) if entry.status != earlier]


class Order(Aggregate):
    """An order. Amounts are in minor units of its currency.

    ``attempt_id`` names the request that works on a PENDING order, ``lease_until`` is the end of that request's lease,
    and ``expires_at`` the time after which the order expires (both in epoch milliseconds).
    ``unplaced_since`` is the sort key of the sparse index ``unplaced``. One that its first request places never has
    it; see `listed_since`.
    ``released_at`` is when the shipment was released; see `released`.
    ``can_act`` says whether the customer's page lets the customer confirm the payment at the provider.
    ``expire_at`` is when DynamoDB deletes the order, in epoch seconds; only a rejected one has it.
    ``fingerprint`` stands for the meaning of its request; see `shop.fingerprint`. Earlier releases, which may run
    beside this one during a deployment, compare ``request_hash`` instead.
    ``mail_problem`` is why a mail about the order could not be sent.
    ``erased_at`` is when its personal data was erased: ``user_id`` is then a random id that leads to no customer.
    """

    KEY = "order_id"
    STEP = OrderStep
    MAP_FIELDS = ("outbox", "refunds")
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
    can_act: bool = Field(default=False, exclude_if=lambda can_act: not can_act)
    placed_at: str | None = None
    unplaced_since: str | None = None
    released_at: str | None = None
    cancellation: Cancellation | None = None
    return_request: ReturnRequest | None = None
    dispute: Dispute | None = None
    refunds: Mapping[str, Refund] = Field(default={}, exclude_if=lambda refunds: not refunds)
    request_hash: str
    fingerprint: str | None = None
    mail_problem: EmailProblem | None = None
    correlation_id: str
    attempt_id: str
    lease_until: int
    expires_at: int
    expire_at: int | None = None
    erased_at: str | None = None

    @property
    def log_keys(self) -> dict[str, str]:
        """The keys that its log lines carry."""
        return {"order_id": self.order_id, "correlation_id": self.correlation_id}

    @property
    def created_at(self) -> int:
        """When its first attempt began, in epoch milliseconds."""
        return from_iso(self.history[0].at)

    @property
    def listed_since(self) -> str:
        """The value of ``unplaced_since`` once an order is not placed by its first request."""
        return self.history[0].at

    @property
    def status_changes(self) -> list[OrderStep]:
        """The steps that changed the status."""
        return status_changes(self.history)

    @property
    def capture_by(self) -> int | None:
        """When half of the hold's life is over, in epoch milliseconds; None if the hold does not expire."""
        expires_at = self.payment.expires_at
        return None if expires_at is None else (self.created_at + expires_at + 1) // 2

    def hold_is_half_over(self, now: int) -> bool:
        """Return whether the hold, if it expires at all, is past half its life."""
        return self.capture_by is not None and now >= self.capture_by

    @property
    def waits_for_customer(self) -> bool:
        """Whether the customer has to act before the payment is authorized."""
        return self.status is Status.PENDING and self.payment.state is PaymentState.ACTION_REQUIRED

    @property
    def is_captured(self) -> bool:
        """Whether the customer was charged."""
        return self.payment.state is PaymentState.CAPTURED

    def is_held_back_by(self, reason: str) -> bool:
        """Return whether the shipment is packed and paid, but was not released for this reason."""
        is_settled = self.payment_due is None or self.payment_due.action == "refund"
        is_waiting = self.is_packed and self.is_captured and is_settled and self.released_at is None
        return is_waiting and self.payment.reason == reason

    @property
    def is_voided(self) -> bool:
        """Whether the hold was released, and the customer not charged."""
        return self.payment.state is PaymentState.VOIDED

    @property
    def is_packed(self) -> bool:
        """Whether the shipment is packed."""
        return self.status is Status.PREPARED

    @property
    def captured(self) -> int:
        """The captured amount, in minor units. Earlier releases stored no amount: they captured the total."""
        if not self.is_captured:
            return 0
        return self.total if self.payment.captured is None else self.payment.captured

    @property
    def refunded(self) -> int:
        """The amount that the provider has refunded, in minor units."""
        return sum(refund.amount for refund in self.refunds.values() if refund.state is RefundState.REFUNDED)

    @property
    def refundable(self) -> int:
        """The captured amount less all refunds that have not failed, in minor units."""
        return max(0, self.captured - sum(refund.amount for refund in self._effective_refunds))

    @property
    def refundable_units(self) -> dict[str, int]:
        """The quantity of each product that no refund, unless it has failed, is for."""
        left = {line.sku: line.quantity for line in self.lines}
        for refund in self._effective_refunds:
            for units in refund.lines:
                left[units.sku] -= units.quantity
        return left

    @property
    def open_refunds(self) -> list[Refund]:
        """The refunds without a definite answer, oldest first."""
        found = [refund for refund in self.refunds.values() if refund.is_open]
        return sorted(found, key=lambda refund: (refund.requested_at, refund.refund_id))

    @property
    def due_refunds(self) -> list[Refund]:
        """The open refunds that the provider has not accepted yet, oldest first."""
        return [refund for refund in self.open_refunds if refund.state is RefundState.DUE]

    def refund_of(self, sequence: int) -> Refund | None:
        """Return the refund that the step with this sequence number is about."""
        refund_id = next((entry.refund_id for entry in self.history if entry.sequence == sequence), None)
        return self.refunds.get(refund_id) if refund_id else None

    @property
    def released(self) -> str | None:
        """When the shipment was released. Earlier releases stored no time: the step of the capture has it."""
        if self.released_at or self.status is not Status.PREPARED:
            return self.released_at
        captures = (entry for entry in self.history if entry.payment is PaymentState.CAPTURED and not entry.reason)
        return next((entry.at for entry in captures), None)

    @property
    def _effective_refunds(self) -> list[Refund]:
        return [refund for refund in self.refunds.values() if refund.state is not RefundState.FAILED]


class Shipment(Model):
    """A shipment.

    It is ``open`` while a warehouse has to pack it, and carries the keys of the sparse index ``open`` then:
    ``open_key`` and ``open_since``. ``pack_by`` is when half of the payment hold's life is over (epoch milliseconds).
    A packed shipment is ``prepared``. It may be sent once it is ``released``, that is, paid.
    """

    order_id: str
    lines: tuple[Line, ...]
    address: Address
    state: Literal["open", "prepared", "released"] = "prepared"
    prepared_at: str | None = None
    open_key: Literal["open"] | None = None
    open_since: str | None = None
    pack_by: int | None = None


class Product(Model):
    """A product of the catalog. ``available`` is the stock left to sell; a delisted product is kept, not deleted.

    ``shards`` is the number of its stock shards, if it has any: ``available`` is only a part of the stock then. See
    `shop.stock`.
    Strict like the condition of reserving it: a row that fails it would be shown, but could never be ordered.
    """

    model_config = ConfigDict(strict=True)

    sku: str
    name: str
    unit_price: int
    available: int
    listed: bool
    shards: int | None = Field(default=None, ge=1, le=MAX_SHARDS)


class AddressChange(Model):
    """A changed e-mail address, kept until both addresses are mailed; ``at`` in epoch milliseconds."""

    old: str | None = None
    new: str
    at: int | None = None  # items of earlier releases have none


class Customer(Aggregate):
    """A customer. ``address_changes`` by the sequence of the change; ``email_problem`` marks an unusable address.

    ``language`` is the customer's choice for mails. ``erasing_since`` is set while the customer's data is being erased,
    and ``erased_at`` once that is done; both are ISO timestamps. ``correlation_id`` is that of the request to erase it.
    While the data is being erased there is no ``name``. Earlier releases cannot read such an item: after a rollback
    their sweeper leaves it in the index, and the erasure is finished once this release is back.
    """

    KEY = "user_id"
    PENDING_FIELDS = ("erasing_since",)
    # The newest steps. As many within a day, and no new address is accepted: each change mails two addresses unasked.
    HISTORY_LIMIT = 20
    MAP_FIELDS = ("outbox", "address_changes")

    user_id: str
    name: str = Field(default="", exclude_if=lambda name: not name)
    email: str | None = None
    email_problem: EmailProblem | None = None
    language: str | None = None
    address_changes: Mapping[str, AddressChange] = {}
    erasing_since: str | None = None
    erased_at: str | None = None
    correlation_id: str | None = None

    @property
    def is_erased(self) -> bool:
        """Whether the customer's data was erased or is being erased."""
        return bool(self.erasing_since or self.erased_at)


class OrderSummary(Model):
    """An order as the list of a customer's orders shows it; one of the times is set."""

    order_id: str
    status: Status
    total: int
    currency: str
    placed_at: str | None = None
    unplaced_since: str | None = None
