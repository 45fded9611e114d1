"""Run a load test: set up, measure each number of users, check that the stack is consistent, and clear up."""

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from uuid import uuid4

import httpx

from handoff import aws
from ops import smoke, smoke_order
from ops.load import measure
from ops.load.consistency import Consistency
from ops.load.measure import GeneratorFailed, Level
from ops.load.settings import Settings
from ops.load.stage import PATIENCE, Stage, is_definite
from ops.load.users import PLACED, Request, order
from ops.polling import until
from ops.shop_client import ShopClient
from ops.smoke import Check
from ops.smoke_order import CheckFailed
from shop.ids import order_id

_ERRORS = (CheckFailed, GeneratorFailed, httpx.HTTPError, *aws.ERRORS)


@dataclass
class LoadTest:
    """A load test of a stack; ``show`` gets its progress. Its results are there even if it ends early."""

    stage: Stage
    settings: Settings
    show: Callable[[str], None]
    levels: list[Level] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    interrupt: KeyboardInterrupt | None = None
    is_consistent: bool | None = None  # None: no orders were sent
    _sent: list[Request] = field(default_factory=list)

    def run(self) -> None:
        """Measure, check and clear up. After Ctrl-C no more orders are sent, and the rest is done all the same."""
        self.show(f"Creating {self.settings.customers} customers and the products")
        consistency = None
        try:
            self.stage.set_up(self.settings.customers)
            # Events of before would count as those of the test.
            measure.drain(self.stage.deployment, self.settings.within)
            consistency = Consistency(self.stage)
            self._try()
            for users in self.settings.users:
                self.show(f"{users} user{'s' * (users > 1)}")
                self.levels.append(measure.measure(self.stage, self.settings, users, self._sent))
        except KeyboardInterrupt as interrupt:
            self.interrupt = interrupt
            self.show("Interrupted. No more orders are sent; checking the stack")
        except _ERRORS as error:
            self.checks.append(Check("the load was sent", f"{type(error).__name__}: {error}", passed=False))
        if consistency:
            self._check(consistency)
        if self.is_consistent is not False:  # what is left shows what went wrong
            self.show("Removing the customers and products")
            self.checks.append(smoke.check("the test is cleared up", "handoff customers erase", self.stage.clear))

    @property
    def passed(self) -> bool:
        """Whether every check has passed."""
        return all(check.passed for check in self.checks)

    def _try(self) -> None:
        """Place one order, so that a stack which accepts none gets no load.

        Raises
        ------
        CheckFailed
            If it is not placed.
        """
        token, key = self.stage.tokens()[0], str(uuid4())
        client = ShopClient(self.stage.deployment.api_url, token)
        try:
            body = order(self.stage.skus, self.settings.payment_token, Random(0))
            answer = until(lambda: client.place(body, key), is_definite, PATIENCE)
        finally:
            client.close()
        self._sent.append(Request(0.0, answer.milliseconds, str(answer.status), 0, key))
        if answer.status != 201:
            raise CheckFailed(f"the first order was answered {answer.status} {answer.body}. No others were sent")

    def _check(self, consistency: Consistency) -> None:
        """Cancel the orders if that is possible, wait for the consumers, and check the stack."""
        orders = {order_id(self.stage.accounts[sent.token].user_id, sent.key): sent for sent in self._sent}
        if smoke_order.can_cancel(self.stage.deployment):
            self.show(f"Cancelling {len(orders)} orders")
            stored = consistency.stored(orders)
            self.checks.append(
                smoke.check(
                    "the orders are cancelled",
                    "the log of the orders function",
                    lambda: self.stage.cancel({one: orders[one].token for one in stored}),
                )
            )
        self.show("Waiting for the consumers, and checking")
        answered = (one for one, sent in orders.items() if sent.answer == PLACED)
        found = consistency.check(orders, answered, self.settings.within, self.show)
        self.is_consistent = all(check.passed for check in found)
        self.checks += found
