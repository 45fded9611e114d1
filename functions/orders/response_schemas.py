"""The bodies of successful responses: http_responses.py fills them in, and openapi.json describes them."""

from typing import Annotated, Literal, NotRequired

from pydantic import Field, StringConstraints
from typing_extensions import TypedDict  # pydantic does not support typing.TypedDict before Python 3.12

from handoff.events import Timestamp
from shop.model import PaymentState, Status

ORDER_ID = r"^ord_[a-z2-7]{26}$"
DAY = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"

OrderId = Annotated[str, StringConstraints(pattern=ORDER_ID)]
Amount = Annotated[int, Field(ge=0, description="In minor units of the currency, such as cents.")]
Currency = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$"), Field(description="ISO 4217, such as EUR.")]
Cursor = Annotated[str, Field(description="The `cursor` parameter for the next page. Absent on the last page.")]
Day = Annotated[str, StringConstraints(pattern=DAY), Field(description="A day in UTC.")]


class Line(TypedDict):
    """A product in an order, at the price at which it was ordered."""

    sku: str
    name: str
    quantity: Annotated[int, Field(ge=1)]
    unitPrice: Amount


class Address(TypedDict):
    """The address that an order is shipped to."""

    name: str
    street: str
    city: str
    postalCode: str
    country: str


class Placed(TypedDict):
    """An order as it was placed."""

    orderId: OrderId
    placedAt: Timestamp
    lines: list[Line]
    total: Amount
    currency: Currency
    shippingAddress: Address
    status: Literal[Status.PLACED]


class Step(TypedDict):
    """A step of an order: a change of its status, of its payment, or of both."""

    sequence: Annotated[int, Field(ge=0)]
    status: Status
    at: Timestamp
    payment: NotRequired[PaymentState]
    reason: NotRequired[str]


class Order(TypedDict):
    """The current state of an order. `placedAt` is null if the order was never placed."""

    orderId: OrderId
    placedAt: Timestamp | None
    lines: list[Line]
    total: Amount
    currency: Currency
    shippingAddress: Address
    status: Status
    sequence: Annotated[int, Field(ge=0, description="Increases by one with every change of the order.")]
    payment: PaymentState
    history: list[Step]


class OrderSummary(TypedDict):
    """An order in a list."""

    orderId: OrderId
    status: Status
    total: Amount
    currency: Currency
    placedAt: Timestamp


class OrdersPage(TypedDict):
    """A page of orders, newest first."""

    orders: list[OrderSummary]
    next: NotRequired[Cursor]


class Profile(TypedDict):
    """A customer's profile. `emailProblem`: e-mail to the address bounced, or its owner complained about it."""

    userId: str
    name: str
    email: NotRequired[str]
    emailProblem: NotRequired[Literal["bounced", "complained"]]


class SalesRow(TypedDict):
    """The sales of a product on a day, net of cancellations."""

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
    """The products on sale. `inStock` is at most a minute old."""

    currency: Currency
    products: list[Product]


class Health(TypedDict):
    """The API responds."""

    status: Literal["ok"]
    paymentProvider: str
