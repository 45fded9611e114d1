"""The shapes of the answers: what http_responses.py fills in, and what openapi.json is generated from."""

from typing import Annotated, Literal, NotRequired

from pydantic import Field, StringConstraints
from typing_extensions import TypedDict  # pydantic can't read typing's own before Python 3.12

from handoff.events import Timestamp
from shop.model import PaymentState, Status

ORDER_ID = r"^ord_[a-z2-7]{26}$"
DAY = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"

OrderId = Annotated[str, StringConstraints(pattern=ORDER_ID)]
Amount = Annotated[int, Field(ge=0, description="In minor units of the currency.")]
Currency = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$"), Field(description="ISO 4217.")]
Cursor = Annotated[str, Field(description="The parameter `cursor` of the page after this one; absent on the last.")]
Day = Annotated[str, StringConstraints(pattern=DAY), Field(description="A day in UTC.")]


class Line(TypedDict):
    """A product of an order, at the price that was agreed to."""

    sku: str
    name: str
    quantity: Annotated[int, Field(ge=1)]
    unitPrice: Amount


class Address(TypedDict):
    """Where an order goes."""

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
    """A step that an order took."""

    sequence: Annotated[int, Field(ge=0)]
    status: Status
    at: Timestamp
    reason: NotRequired[str]


class Order(TypedDict):
    """An order as it stands now. One that was never placed has no `placedAt`."""

    orderId: OrderId
    placedAt: Timestamp | None
    lines: list[Line]
    total: Amount
    currency: Currency
    shippingAddress: Address
    status: Status
    sequence: Annotated[int, Field(ge=0, description="It grows by one with every step.")]
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
    """A customer's profile. `emailProblem`: mails to the address came back, or were not wanted."""

    userId: str
    name: str
    email: NotRequired[str]
    emailProblem: NotRequired[Literal["bounced", "complained"]]


class SalesRow(TypedDict):
    """What was sold of a product on a day, net of cancellations."""

    day: Day
    sku: str
    orders: int
    units: int
    revenue: Annotated[int, Field(description="In minor units of the currency.")]


class SalesPage(TypedDict):
    """A page of a report. It may be empty and still not be the last."""

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
    """What is on sale; stock is at most a minute old."""

    currency: Currency
    products: list[Product]


class Health(TypedDict):
    """The function runs."""

    status: Literal["ok"]
    paymentProvider: str
