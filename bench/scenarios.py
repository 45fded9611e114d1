"""What customers, consumers and the sweeper do, step by step, in a `World`: one `CallLog` for each invocation."""

import importlib.util
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from bench import environment  # noqa: F401
from bench.meter import CallLog, Meter
from shop.mail_tags import tag_of
from tests.support import api, wire
from tests.support.clock import standing
from tests.support.functions import Context
from tests.support.world import World, body, deployed

EMAILS, ANALYTICS, FULFILLMENT = "EmailsFunction", "AnalyticsFunction", "FulfillmentFunction"
FEEDBACK = "FeedbackFunction"
CHAIN = "ChainFunction"
_A_LOT = 1_000_000


@contextmanager
def fresh_world() -> Iterator[World]:
    """A deployment in moto whose clock stands still."""
    with deployed() as stack, standing() as clock:
        yield World(stack, clock)


class MeteredShop:
    """A shop with fifty products, one customer, and functions that are warm."""

    def __init__(self, world: World) -> None:
        self.world = world
        for n in range(50):
            world.stock(sku(n), available=_A_LOT)
        world.stock("GONE", available=0)
        world.customer()
        self.api = world.api()
        self.meter = Meter(world)
        self._keys = 0
        self._warm_up()

    def _warm_up(self) -> None:
        self.new_order()
        self.drain()
        self.sweep()

    # --- what a customer does -----------------------------------------------------------------------------------------

    def new_order(self, lines: int = 1, *, key: str | None = None, token: str = "tok_approve") -> tuple[CallLog, str]:  # noqa: S107
        """Place an order; returns its id as well."""
        with self.meter.record() as log:
            answer = self.api.place(basket(lines, token), key=key or self._key())
        return log, answer.json.get("orderId", "")

    def out_of_stock(self) -> CallLog:
        """Want what is gone."""
        with self.meter.record() as log:
            answer = self.api.place(body(("GONE", 1)), key=self._key())
        assert answer.status == 409  # noqa: S101
        return log

    def cancel(self, order_id: str) -> CallLog:
        """Cancel an order."""
        return self._record(lambda: self.api.cancel(order_id))

    def look_up(self, order_id: str) -> CallLog:
        """Read one order."""
        return self._record(lambda: self.api.get(f"/orders/{order_id}"))

    def list_orders(self) -> CallLog:
        """Read the first page of one's orders."""
        return self._record(lambda: self.api.get("/orders"))

    # --- what happens behind the queues -------------------------------------------------------------------------------

    def deliver(self, function: str) -> CallLog:
        """Hand one batch of what waits to a consumer."""
        return self._record(lambda: self.world.queues.deliver(function))

    def bounce(self) -> CallLog:
        """Have SES report that a mail came back, and feedback mark the address."""
        mail = {"tags": {"user": [tag_of("ada")], "ses:operation": ["SendEmail"]}}
        bounce = {"bounceType": "Permanent", "bouncedRecipients": [{"emailAddress": "ada@example.com"}]}
        frame = {"version": "0", "id": "11111111-2222-3333-4444-555555555555", "time": "2026-11-23T10:00:00Z"}
        report = {
            **frame,
            "detail-type": "Email Bounced",
            "source": "aws.ses",
            "detail": {"mail": mail, "bounce": bounce},
        }
        self.world.queues.send(FEEDBACK, json.dumps(report))
        return self.deliver(FEEDBACK)

    def sweep(self) -> CallLog:
        """One run of the sweeper."""
        return self._record(self.world.sweep)

    def leave_unpublished(self, orders: int) -> None:
        """Place orders while the bus is dead, and let their events come due."""
        self.world.wire.heal()
        self.world.wire.always("eventbridge.PutEvents", wire.cannot_connect)
        for _ in range(orders):
            self.new_order()
        self.world.wire.heal()
        self.world.clock.forward(120)
        self.meter = Meter(self.world)

    def drain(self) -> None:
        """Deliver everything that waits."""
        self._record(self.world.queues.until_quiet)

    # --- the chain ----------------------------------------------------------------------------------------------------

    def chain_order(self, lines: int) -> CallLog:
        """Place an order with the chain that Handoff replaces; warm, as Handoff's functions are."""
        with patch.dict(os.environ, self._chains_environment()):
            with self.meter.record():
                chain = _module("request_chain", Path(__file__).parent / "baseline/request_chain.py")
            self._record(lambda: self._chain(chain, 1))  # warms it up
            return self._record(lambda: self._chain(chain, lines))

    def _chain(self, chain: Any, lines: int) -> None:
        headers = {"Content-Type": "application/json", "Idempotency-Key": self._key()}
        claims = {"sub": "ada", "token_use": "access"}
        request = api.event("POST", "/orders", json.dumps(basket(lines)), headers, claims)
        clock = self.world.clock
        answer = chain.handler(request, Context(CHAIN, clock.ms + 25_000, lambda: clock.ms))
        assert answer["statusCode"] == 201  # noqa: S101

    def _chains_environment(self) -> dict[str, str]:
        """What the chain's function is told: it does what these three do."""
        told: dict[str, str] = {}
        for function in ("OrdersFunction", EMAILS, ANALYTICS):
            told |= self.world.stack.environment(function)
        return {**told, "AWS_LAMBDA_FUNCTION_NAME": CHAIN}

    def _record(self, do: Callable[[], object]) -> CallLog:
        with self.meter.record() as log:
            do()
        return log

    def _key(self) -> str:
        self._keys += 1
        return f"bench-{self._keys:08}"


def _module(name: str, path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec  # noqa: S101
    assert spec.loader  # noqa: S101
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def sku(n: int) -> str:
    """The nth product."""
    return f"SKU-{n:04}"


def basket(lines: int, token: str = "tok_approve") -> dict[str, Any]:  # noqa: S107
    """An order of so many products, one of each."""
    wanted: dict[str, Any] = body(*((sku(n), 1) for n in range(lines)), token=token)
    return wanted
