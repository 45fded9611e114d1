"""Parts that the rivals share with Handoff: its domain, stores and payment adapter, and one customer's request."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from bench.scenarios import ADDRESS, EMAIL, TOKEN, USER, sku
from dev.simulated import clients
from dev.simulated.account import REGION
from dev.simulated.clock import Clock
from dev.simulated.stack import SimulatedStack
from dev.simulated.world import World
from handoff import aws
from shop import fingerprint, order_store, payments, settings
from shop.catalog import Catalog
from shop.fingerprint import Fingerprint
from shop.model import Address, Order
from shop.order_store import OrderStore
from shop.payments import Payments
from shop.placing import Dependencies, PlaceOrder

if TYPE_CHECKING:
    from handoff.bus import Bus

KEY = "5f0c9b1e-8f57-4f0e-9b6e-2a4d8f3c1b77"  # the customer's idempotency key
APPROVED, DECLINED = TOKEN, "tok_decline"
UNITS = 10  # of each product, before the order
_NO_BUS: "Bus" = None  # type: ignore[assignment]  # rivals publish in their own ways
_ORDERS = "OrdersFunction"


@dataclass(frozen=True)
class Parts:
    """Handoff's stores and clients in a stack, as a function of that stack has them."""

    shop: Dependencies
    dynamodb: Any
    events: Any
    settings: settings.Settings

    @property
    def orders(self) -> OrderStore:
        """The orders."""
        return self.shop.orders

    @property
    def payments(self) -> Payments:
        """The payment provider."""
        return self.shop.payments


def request(lines: int, token: str, key: str = KEY) -> dict[str, Any]:
    """Return a customer's request, as the event of a function that takes orders without an API in front of it."""
    return {
        "userId": USER,
        "idempotencyKey": key,
        "quantities": {sku(n): 1 for n in range(lines)},
        "shippingAddress": ADDRESS,
        "paymentToken": token,
    }


def placement(event: Mapping[str, Any]) -> PlaceOrder:
    """Return the validated request."""
    return PlaceOrder(
        user_id=event["userId"],
        verified_email=None,
        idempotency_key=event["idempotencyKey"],
        quantities=event["quantities"],
        shipping_address=Address.model_validate(event["shippingAddress"]),
        payment_token=event["paymentToken"],
        can_act=False,
        expected_total=None,
        fingerprint=Fingerprint(fingerprint.of(event), legacy=""),
        correlation_id=event["idempotencyKey"],
    )


def new_world(stack: SimulatedStack, clock: Clock, lines: int) -> World:
    """Return a world with a customer and some products."""
    world = World(stack, clock)
    world.customer(USER, name=ADDRESS["name"], email=EMAIL)
    for n in range(lines):
        world.stock(sku(n), available=UNITS, name=f"Stoneware coffee mug, blue {n:03}")
    return world


@contextmanager
def process(stack: SimulatedStack) -> Iterator[None]:
    """Set the environment of the orders function while the context lasts."""
    own = {"AWS_LAMBDA_FUNCTION_NAME": _ORDERS, "AWS_REGION": REGION, "AWS_DEFAULT_REGION": REGION}
    with patch.dict(os.environ, {**stack.environment(_ORDERS), **own}):
        yield


def connect(stack: SimulatedStack) -> Parts:
    """Return new parts, as at a cold start."""
    with process(stack), clients.kept():
        settings.load.cache_clear()
        found = settings.load()
        dynamodb = aws.client("dynamodb")
        shop = Dependencies(
            catalog=Catalog(dynamodb, found.products_table),
            orders=order_store.connect(dynamodb, found),
            payments=payments.connect(found.payment_provider, found.sandbox_table),
            bus=_NO_BUS,
            currency=found.currency,
            action_expires_after=0,
            ships_to=frozenset(),
        )
        return Parts(shop, dynamodb, aws.client("events"), found)


def stored(order: Order) -> dict[str, Any]:
    """Return the order's item without events, and without the keys of the index of unfinished orders."""
    unused = {"dueAt", "unfinishedSince"}
    return {name: value for name, value in order.dump().items() if name not in unused} | {"outbox": {}}
