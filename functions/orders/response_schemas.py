"""The bodies of successful responses: http_responses.py fills them in, and openapi.json describes them."""

from typing import Annotated, Any, Literal, NotRequired

from pydantic import Field, StringConstraints
from typing_extensions import TypedDict  # pydantic does not support typing.TypedDict before Python 3.12

from handoff.events import Timestamp
from shop.model import EmailProblem, PaymentState, RefundState, Status

ORDER_ID = r"^ord_[a-z2-7]{26}$"
REFUND_ID = r"^ref_[a-z2-7]{26}$"
DAY = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"

OrderId = Annotated[str, StringConstraints(pattern=ORDER_ID)]
RefundId = Annotated[str, StringConstraints(pattern=REFUND_ID)]
Amount = Annotated[int, Field(ge=0, description="In minor units of the currency, such as cents.")]
Currency = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$"), Field(description="ISO 4217, such as EUR.")]
Cursor = Annotated[str, Field(description="The `cursor` parameter for the next page. Absent on the last page.")]
DisputeState = Literal["open", "won", "lost"]
# Without `action_required`: clients of earlier releases do not know it, and nothing is held until then.
PaymentShown = Literal[
    PaymentState.NONE, PaymentState.AUTHORIZED, PaymentState.CAPTURED, PaymentState.VOIDED, PaymentState.FAILED
]
Day = Annotated[str, StringConstraints(pattern=DAY), Field(description="A day in UTC.")]


class Line(TypedDict):
    """A product in an order, at the price at which it was ordered."""

    sku: str
    name: str
    quantity: Annotated[int, Field(ge=1)]
    unitPrice: Amount


class Address(TypedDict):
    """The address that an order is shipped to. `postalCode` is empty if it has none."""

    name: str
    street: str
    city: str
    postalCode: str
    country: str
    company: NotRequired[str]
    street2: NotRequired[str]
    region: NotRequired[str]
    phone: NotRequired[str]
    vatId: NotRequired[str]


class Placed(TypedDict):
    """An order as it was placed."""

    orderId: OrderId
    placedAt: Timestamp
    lines: list[Line]
    total: Amount
    currency: Currency
    shippingAddress: Address
    status: Literal[Status.PLACED]


class ActionRequired(TypedDict):
    """An order whose customer has to confirm the payment until `expiresAt`, before it is placed.

    `clientSecret` is for the payment provider's library in the customer's page. Keep it out of logs and addresses.
    """

    orderId: OrderId
    status: Literal["ACTION_REQUIRED"]
    clientSecret: str
    expiresAt: Timestamp
    total: Amount
    currency: Currency


class Step(TypedDict):
    """A step of an order: of its status, its payment, one of its refunds, a dispute, or its return.

    `payment` is the payment's new state, `refund` that of the refund `refundId`, and `dispute` that of a dispute.
    `actionRequired`: the customer had to confirm the payment. `returns`: the customer requested a return.
    """

    sequence: Annotated[int, Field(ge=0)]
    status: Status
    at: Timestamp
    payment: NotRequired[PaymentShown]
    refundId: NotRequired[RefundId]
    refund: NotRequired[RefundState]
    returns: NotRequired[bool]
    dispute: NotRequired[DisputeState]
    actionRequired: NotRequired[bool]
    reason: NotRequired[str]


class Units(TypedDict):
    """A quantity of one product of an order."""

    sku: str
    quantity: Annotated[int, Field(ge=1)]


class Refund(TypedDict):
    """A refund of an order: of the units in `lines`, or of an amount if there are none.

    `due`: the payment provider has to be asked for it. `pending`: the provider has accepted it. `restock`: the units
    return to the stock once the money is refunded.
    """

    refundId: RefundId
    amount: Amount
    lines: list[Units]
    reason: str
    restock: bool
    state: RefundState
    requestedAt: Timestamp
    completedAt: NotRequired[Timestamp]


class RefundRequested(TypedDict):
    """A refund as it was recorded."""

    refundId: RefundId
    orderId: OrderId
    amount: Amount
    currency: Currency
    lines: list[Units]
    reason: str
    restock: bool
    state: Literal[RefundState.DUE]
    requestedAt: Timestamp


class ReturnRequest(TypedDict):
    """A customer's request to return units of an order."""

    requestedAt: Timestamp
    lines: list[Units]
    reason: NotRequired[str]


class Dispute(TypedDict):
    """A dispute of the payment at the customer's bank."""

    state: DisputeState
    amount: Amount
    openedAt: Timestamp


class Cancellation(TypedDict):
    """Who cancelled an order. The shop gives a reason."""

    by: Literal["customer", "shop"]
    reason: NotRequired[str]


class Order(TypedDict):
    """The current state of an order. `placedAt` is null if the order was never placed.

    `refunded` is the amount that the customer got back, without refunds that are due, pending or failed. `releasedAt`
    is when the order was paid and its shipment released. `actionExpiresAt` is set while the customer has to confirm the
    payment. `userId` is the customer's id, for programs only. `mailProblem`: an e-mail about the order was not sent,
    because e-mail to the customer's address bounced or was reported as spam. `PUT /me` with an address lets later ones
    be sent.
    """

    orderId: OrderId
    userId: NotRequired[str]
    placedAt: Timestamp | None
    lines: list[Line]
    total: Amount
    currency: Currency
    shippingAddress: Address
    status: Status
    sequence: Annotated[int, Field(ge=0, description="Increases by one with every change of the order.")]
    payment: PaymentShown
    cancellation: NotRequired[Cancellation]
    releasedAt: NotRequired[Timestamp]
    returnRequest: NotRequired[ReturnRequest]
    refunds: NotRequired[list[Refund]]
    refunded: NotRequired[Amount]
    dispute: NotRequired[Dispute]
    actionExpiresAt: NotRequired[Timestamp]
    mailProblem: NotRequired[EmailProblem]
    history: list[Step]


class OrderSummary(TypedDict):
    """An order in a list. If it was never placed, `placedAt` is when it was requested.

    `userId` is the customer's id, in the list of all customers' orders only.
    """

    orderId: OrderId
    userId: NotRequired[str]
    status: Status
    total: Amount
    currency: Currency
    placedAt: Timestamp


class OrdersPage(TypedDict):
    """A page of orders, newest first; with `since`, oldest first. An empty page is not necessarily the last one.

    `until` is on the last page with `since`: the list is complete up to this time.
    """

    orders: list[OrderSummary]
    next: NotRequired[Cursor]
    until: NotRequired[Timestamp]


class ShipmentLine(TypedDict):
    """A product to pack."""

    sku: str
    name: str
    quantity: Annotated[int, Field(ge=1)]


class Shipment(TypedDict):
    """A shipment to pack. Packed after `packBy`, it may be too late to capture the payment; absent without a limit."""

    orderId: OrderId
    openSince: Timestamp
    packBy: NotRequired[Timestamp]
    lines: list[ShipmentLine]
    shippingAddress: Address


class ShipmentsPage(TypedDict):
    """A page of shipments to pack, oldest first. An empty page is not necessarily the last one."""

    shipments: list[Shipment]
    next: NotRequired[Cursor]


class Packed(TypedDict):
    """A packed order."""

    orderId: OrderId
    packedAt: Timestamp


class Profile(TypedDict):
    """A customer's profile. `emailProblem`: e-mail to the address bounced, or its owner complained about it.

    No e-mail is sent while there is such a problem, and no order is accepted. Saving an address, which can be the same,
    removes it. `emailAdvice` says what the customer has to do before an order is accepted.
    """

    userId: str
    name: str
    email: NotRequired[str]
    language: NotRequired[str]
    emailProblem: NotRequired[EmailProblem]
    emailAdvice: NotRequired[str]


class Erasure(TypedDict):
    """The erasure of a customer's data: it has begun at `erasingSince`, or was done at `erasedAt`."""

    userId: str
    erasingSince: NotRequired[Timestamp]
    erasedAt: NotRequired[Timestamp]


Kept = Annotated[dict[str, Any], Field(description="As it is stored. Releases can add members.")]


class Export(TypedDict):
    """A page of all data that is kept about a customer. `profile` is null if there is none.

    An order that has a shipment has it as `shipment`. `counts` are those of the limits on orders, by user and hour.
    Amounts are in minor units of the currency. Payment tokens are left out: they are secrets of the payment provider.
    """

    exportedAt: Timestamp
    profile: Kept | None
    orders: list[Kept]
    counts: list[Kept]
    next: NotRequired[Cursor]


class SalesRow(TypedDict):
    """The sales of a product on a day, net of cancellations and refunds.

    A row is negative if more came back on its day than was sold.
    """

    day: Day
    sku: str
    orders: int
    units: int
    revenue: Annotated[int, Field(description="In minor units of the currency, such as cents.")]


class SalesPage(TypedDict):
    """A page of a report. An empty page is not necessarily the last one."""

    currency: Currency
    sales: list[SalesRow]
    next: NotRequired[Cursor]


class Product(TypedDict):
    """A product that is on sale."""

    sku: str
    name: str
    unitPrice: Amount
    inStock: bool


class Catalog(TypedDict):
    """A page of the products on sale. `inStock` is at most a minute old."""

    currency: Currency
    products: list[Product]
    next: NotRequired[Cursor]


class SandboxAction(TypedDict):
    """How far the payment is after the customer's action."""

    state: Literal["action_required", "failed", "held", "captured", "voided"]


class Health(TypedDict):
    """The API responds."""

    status: Literal["ok"]
    paymentProvider: str
