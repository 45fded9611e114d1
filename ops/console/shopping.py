"""Sample orders on the local stack: one, or one every second."""

import asyncio
import contextlib
import itertools
import json
import uuid
from collections import deque
from dataclasses import dataclass

from nicegui import run

from dev.demo import orders as demo
from ops.console.watch import ERRORS, anybody, said
from ops.shop_client import ShopClient, sign_in
from ops.stack.deployment import Deployment

_PAUSE = 1.0  # seconds between two orders
KEPT = 5  # purchases to show


@dataclass(frozen=True)
class Purchase:
    """An order as it was answered; the id is empty if there is none."""

    number: int
    status: int
    milliseconds: float
    order_id: str


class Customer:
    """The first of the sample customers, whom all pages share."""

    def __init__(self, deployment: Deployment) -> None:
        self.goes_on = False  # ordering, every second
        self.trouble = ""
        self.purchases: deque[Purchase] = deque(maxlen=KEPT)
        self._deployment = deployment
        self._numbers = itertools.count(1)

    async def order(self) -> None:
        """Place the sample order once; what goes wrong is in ``trouble``."""
        try:
            bought = await run.io_bound(self._buy)
        except ERRORS as error:
            self.trouble = said(error)
        else:
            self.trouble = ""
            if bought:  # None when the console ends meanwhile
                self.purchases.appendleft(bought)

    async def run(self) -> None:
        """Order every second while that is switched on and anybody looks, until cancelled."""
        while True:
            if self.goes_on and anybody():
                await self.order()
            self.goes_on = self.goes_on and anybody()
            await asyncio.sleep(_PAUSE)

    def _buy(self) -> Purchase:
        sample = json.loads((demo.EVENTS / "requests/good.json").read_text())
        email = json.loads((demo.EVENTS / "customers.json").read_text())[0]["email"]
        token = sign_in(self._deployment, email)
        with contextlib.closing(ShopClient(self._deployment.api_url, token)) as client:
            answer = client.place(sample, str(uuid.uuid4()))
        return Purchase(next(self._numbers), answer.status, answer.milliseconds, answer.body.get("orderId", ""))
