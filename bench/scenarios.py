"""Scenarios of customers, consumers and the sweeper in a `World`; each invocation returns its `CallLog`."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any
from unittest.mock import patch

from bench import environment  # noqa: F401
from bench.meter import CallLog, Meter
from dev import samples
from dev.simulated import api, wire
from dev.simulated.clock import standing
from dev.simulated.functions import Context
from dev.simulated.world import World, body, deployed
from shop.model import Customer
from shop.payments import sandbox

EMAILS, ANALYTICS, FULFILLMENT = "EmailsFunction", "AnalyticsFunction", "FulfillmentFunction"
SETTLEMENT = "SettlementFunction"
FEEDBACK = "FeedbackFunction"
CHAIN = "ChainFunction"
_CHAIN_MODULE = "bench.baseline.request_chain"
_PLENTY = 1_000_000
# As long as in a real shop, because sizes are billed: an id of Cognito, a token of Stripe, names and an address.
USER = "0b4f6a52-6f0d-4c8e-9b55-3d1f2a7c9e10"
EMAIL = "margaret.hamilton-turing@example.com"
ADDRESS = {
    "name": "Margaret Hamilton-Turing",
    "street": "1742 Massachusetts Avenue, Apartment 12B",
    "city": "Cambridge",
    "postalCode": "02140-1234",
    "country": "US",
}
TOKEN = "pm_1QxYzA2eZvKYlo2C0aBcDeFg"  # noqa: S105
sandbox._FIRST[TOKEN] = sandbox.HELD  # the sandbox's own tokens are shorter


@contextmanager
def fresh_world() -> Iterator[World]:
    """Deploy to moto, with a clock that stands still."""
    with deployed() as stack, standing() as clock:
        yield World(stack, clock)


class MeteredShop:
    """A shop with fifty products, one customer, warm functions, and a meter on all calls."""

    def __init__(self, world: World) -> None:
        self.world = world
        for n in range(50):
            world.stock(sku(n), available=_PLENTY, name=f"Stoneware coffee mug, blue {n:03}")
        world.stock("GONE", available=0)
        world.customer(USER, name=ADDRESS["name"], email=EMAIL)
        self.api = world.api(USER)
        self.meter = Meter(world)
        self._keys = 0
        self._warm_up()

    def _warm_up(self) -> None:
        self.api.get("/catalog")  # so the function knows all products
        self.new_order()
        self.drain()
        self.sweep()

    # --- customers ----------------------------------------------------------------------------------------------------

    def new_order(self, lines: int = 1, *, key: str | None = None, token: str = TOKEN) -> tuple[CallLog, str]:
        """Place an order; return its calls and its id."""
        with self.meter.record() as log:
            answer = self.api.place(basket(lines, token), key=key or self._key())
        assert answer.status in (201, 402), answer.json  # noqa: S101  # an order that is refused earlier costs less
        return log, answer.json.get("orderId", "")

    def out_of_stock(self) -> CallLog:
        """Order a product that is out of stock."""
        with self.meter.record() as log:
            answer = self.api.place(basket(1) | {"lines": [{"sku": "GONE", "quantity": 1}]}, key=self._key())
        assert answer.status == 409  # noqa: S101
        return log

    def cancel(self, order_id: str) -> CallLog:
        """Cancel an order."""
        return self._record(lambda: self.api.cancel(order_id))

    def pack(self, order_id: str) -> CallLog:
        """Pack an order by hand, as a warehouse's program."""
        return self._record(lambda: self.world.program("shipments:write").pack(order_id))

    def refund(self, order_id: str, **body: Any) -> CallLog:
        """Request a refund of an order, as a program."""
        program = self.world.program("refunds:write")
        return self._record(lambda: program.refund(order_id, key=self._key(), **body))

    def request_return(self, order_id: str) -> CallLog:
        """Request to return an order."""
        return self._record(lambda: self.api.return_order(order_id))

    def look_up(self, order_id: str) -> CallLog:
        """Read one order."""
        return self._record(lambda: self.api.get(f"/orders/{order_id}"))

    def list_orders(self) -> CallLog:
        """Read the first page of the customer's orders."""
        return self._record(lambda: self.api.get("/orders"))

    # --- consumers and the sweeper ------------------------------------------------------------------------------------

    def deliver(self, function: str) -> CallLog:
        """Deliver one batch of waiting messages to a consumer."""
        return self._record(lambda: self.world.queues.deliver(function))

    def bounce(self) -> CallLog:
        """Send a bounce report from SES to the feedback function."""
        report = samples.bounced(Customer(user_id=USER, name=ADDRESS["name"], email=EMAIL))
        self.world.queues.send(FEEDBACK, json.dumps(report))
        return self.deliver(FEEDBACK)

    def sweep(self) -> CallLog:
        """Run the sweeper once."""
        return self._record(self.world.sweep)

    def leave_unpublished(self, orders: int) -> None:
        """Place orders while the bus is down, and let their events come due."""
        self.world.wire.heal()
        self.world.wire.always("eventbridge.PutEvents", wire.cannot_connect)
        for _ in range(orders):
            self.new_order()
        self.world.wire.heal()
        self.world.clock.forward(120)
        self.meter = Meter(self.world)

    def drain(self) -> None:
        """Deliver all waiting messages."""
        self._record(self.world.queues.until_quiet)

    # --- the request-driven chain -------------------------------------------------------------------------------------

    def chain_order(self, lines: int) -> CallLog:
        """Place an order with the request-driven chain, warmed up as Handoff's functions are."""
        with patch.dict(os.environ, self._chain_environment()):
            with self.meter.record():
                sys.modules.pop(_CHAIN_MODULE, None)  # its clients belong to one world
                chain = import_module(_CHAIN_MODULE)
            self._record(lambda: self._chain(chain, 1))  # warms up
            return self._record(lambda: self._chain(chain, lines))

    def _chain(self, chain: Any, lines: int) -> None:
        headers = {"Content-Type": "application/json", "Idempotency-Key": self._key()}
        claims = {"sub": USER, "token_use": "access"}
        request = api.event("POST", "/orders", json.dumps(basket(lines)), headers, claims)
        clock = self.world.clock
        answer = chain.handler(request, Context(CHAIN, clock.ms + 25_000, lambda: clock.ms))
        assert answer["statusCode"] == 201  # noqa: S101

    def _chain_environment(self) -> dict[str, str]:
        """Merge the environments of the three functions whose work the chain does."""
        merged: dict[str, str] = {}
        for function in ("OrdersFunction", EMAILS, ANALYTICS):
            merged |= self.world.stack.environment(function)
        return {**merged, "AWS_LAMBDA_FUNCTION_NAME": CHAIN}

    def _record(self, do: Callable[[], object]) -> CallLog:
        with self.meter.record() as log:
            do()
        return log

    def _key(self) -> str:
        self._keys += 1
        return f"bench-{self._keys:08}"


def sku(n: int) -> str:
    """Return the SKU of the nth product."""
    return f"SKU-{n:04}"


def basket(lines: int, token: str = TOKEN) -> dict[str, Any]:
    """Return an order of ``lines`` products, one of each."""
    order: dict[str, Any] = body(*((sku(n), 1) for n in range(lines)), token=token, shippingAddress=ADDRESS)
    return order
