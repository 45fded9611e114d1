"""The deployed first-workflow example: its steps, its switch, its customers and its mails."""

import json
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

from dev.local.consumers import lambda_client
from dev.local.stack import ROOT, LocalStack
from handoff import aws, ids
from handoff.attribute_values import to_item
from handoff.clock import now_ms
from ops.compare import Comparison, compare
from ops.polling import until
from ops.stack import observe
from ops.stack.deployment import Deployment

STACK = "first-workflow"
WITH_SWITCH = 3  # the step whose code has the switch; step 4 turns it back
LAST = 5
_BACK = 4
_SWITCH = "MailByEvent"
_PRODUCTS = {"COFFEE": ("Coffee, 1 kg", 1890), "MUG": ("Mug", 1250), "TEA": ("Tea, 100 g", 690)}
_PATIENCE = 120.0  # seconds for the repetitions of a request, and for the queue
_PASSING = ("Crashed", "Busy", "Unavailable")  # errors after which a customer repeats the request

Json = dict[str, Any]


class NotAsExpected(Exception):
    """A step cannot be run, or its effects are missing. The message says what to do."""


@dataclass(frozen=True)
class Placed:
    """An answered order, how long the customer waited, and how many tries it took."""

    order_id: str
    mail_by: str | None
    seconds: float
    tries: int = 1


class FirstWorkflow:
    """The example's stack, beside a Handoff on the same local stack."""

    def __init__(self, local: LocalStack, handoff: Deployment) -> None:
        self._local = local
        self._handoff = handoff
        self.deployment = self._connect()

    def _connect(self) -> Deployment:
        return Deployment(STACK, self._local.session(), self._local.endpoint)

    # --- steps and switch ---------------------------------------------------------------------------------------------

    def deployed_step(self) -> int | None:
        """Return the step whose code is deployed; None if the stack does not exist."""
        try:
            return int(self._connect().parameters["Step"])
        except aws.ERRORS as error:
            if "does not exist" not in str(error):
                raise
            return None

    def run_step(self, step: int) -> None:
        """Deploy a step's code, unless it is deployed. Step 4 deploys nothing: it turns the switch back.

        Raises
        ------
        NotAsExpected
            If step 4 finds another step's code.
        """
        deployed = self.deployed_step()
        if step == _BACK:
            if deployed != WITH_SWITCH:
                raise NotAsExpected("Step 4 turns the switch of step 3 back. Run step 3 first.")
            self.turn(0)
        elif step != deployed:
            layers = {name: self._handoff.outputs[name] for name in ("HandoffLayerArn", "DependenciesLayerArn")}
            example = ROOT / "examples/first-workflow"
            names = {"Step": str(step), "HandoffStack": self._handoff.stack, "RequireTls": "false"}
            self._local.deploy_beside(example, STACK, **names, **layers)
        self.deployment = self._connect()
        self._load_products()

    def turn(self, per_cent: int) -> None:
        """Set the switch, and wait until the functions have read it.

        Raises
        ------
        NotAsExpected
            If they have not within two minutes.
        """
        ssm, name = self.deployment.client("ssm"), self.deployment.resource(_SWITCH)
        before = int(ssm.get_parameter(Name=name)["Parameter"]["Value"])
        if before == per_cent:
            return
        ssm.put_parameter(Name=name, Value=str(per_cent), Overwrite=True)
        lower, higher = sorted((before, per_cent))
        expected = "event" if per_cent > before else "request"
        email = "probe@example.com"

        def decided() -> str | None:
            """Return the decision about a new order that the two values decide differently."""
            key = next(key for key in iter(ids.unique, "") if lower <= _share(email, key) < higher)
            return self.place(key, email).mail_by

        if until(decided, lambda seen: seen == expected, _PATIENCE) != expected:
            raise NotAsExpected(f"The switch is {per_cent}, and the functions still use {before}.")

    def _load_products(self) -> None:
        for sku, (name, price) in _PRODUCTS.items():
            item = {"sku": sku, "name": name, "unitPrice": price, "available": 1_000_000}
            self.deployment.dynamodb.put_item(TableName=self.deployment.resource("ProductsTable"), Item=to_item(item))

    # --- customers ----------------------------------------------------------------------------------------------------

    def place(self, key: str, email: str = "ada@example.com") -> Placed:
        """Place an order as a patient customer does: repeat the request until it is answered.

        Raises
        ------
        NotAsExpected
            If it is refused, or not answered within two minutes.
        """
        request = {"email": email, "key": key, "quantities": {"COFFEE": 1, "MUG": 2}}
        client, function = lambda_client(self.deployment), self.deployment.resource("PlaceFunction")
        tries, started = 0, time.monotonic()

        def answer() -> Json:
            nonlocal tries
            tries += 1
            invoked = client.invoke(FunctionName=function, Payload=json.dumps(request).encode())
            found: Json = json.loads(invoked["Payload"].read())
            return {"error": "Crashed", "reason": found} if "FunctionError" in invoked else found

        last = until(answer, lambda found: found.get("error") not in _PASSING, _PATIENCE, every=0.5)
        if "orderId" not in last:
            raise NotAsExpected(f"The order {key} was not placed: {last}")
        return Placed(last["orderId"], last["mailBy"], time.monotonic() - started, tries)

    # --- effects ------------------------------------------------------------------------------------------------------

    def wait_until_quiet(self) -> None:
        """Wait until no event is in an outbox or in the queue.

        Raises
        ------
        NotAsExpected
            If that takes longer than two minutes.
        """
        left = until(self.waiting, lambda waiting: not any(waiting.values()), _PATIENCE, every=0.3)
        if any(left.values()):
            raise NotAsExpected(f"After {_PATIENCE:.0f} s there are still {left}.")

    def waiting(self) -> dict[str, int]:
        """Return the numbers of unpublished and of queued events."""
        found = {"unpublished events": observe.unfinished(self.orders())}
        if self.deployment.has("MailsQueue"):
            found["queued events"] = observe.depth(self.deployment, self.deployment.queue_url("mails")).total
        return found

    def orders(self) -> list[Json]:
        """Return all orders as they are stored."""
        return self.deployment.scan("OrdersTable")

    def change(self, order_id: str, **values: str) -> None:
        """Change attributes of a stored order."""
        (found,) = [order for order in self.orders() if order["orderId"] == order_id]
        item = to_item(found | values)
        self.deployment.dynamodb.put_item(TableName=self.deployment.resource("OrdersTable"), Item=item)

    def mails(self) -> Counter[str]:
        """Return the number of mails that the local mail service accepted about each order of this example."""
        texts = [str(mail) for mail in observe.mails(self._local.endpoint)]
        placed = {order["orderId"] for order in self.orders()}
        return Counter(order_id for text in texts for order_id in placed if order_id in text)

    def compare(self) -> Comparison:
        """Compare the records of both sides, as `handoff compare` does, once each order has both or time is over."""
        records = partial(self.deployment.scan, "ShadowTable")
        return until(lambda: compare(records(), now_ms() + 1), _has_both_sides, _PATIENCE, every=0.5)


def mailed(orders: Iterable[Json], mails: Counter[str]) -> str:
    """Return how many of these orders were mailed how often, for people."""
    often = Counter(mails[order["orderId"]] for order in orders)
    return f"{often[1]} mailed once, {often[0]} not mailed, {often.total() - often[0] - often[1]} more than once."


def _has_both_sides(found: Comparison) -> bool:
    return not {"missing", "surplus"} & {difference.kind for difference in found.differences}


def _share(email: str, key: str) -> int:
    """Return from which value of the switch on, less one, the consumer mails an order."""
    return ids.shard(ids.derived("fwo_", email, key), 100)
