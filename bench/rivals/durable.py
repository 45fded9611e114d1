"""The order as a Lambda durable function, twice: as AWS's order saga sample does it, and with every care.

The sample: https://docs.aws.amazon.com/durable-execution/patterns/best-practices/saga-pattern/. Its steps only print,
so the bodies in `SampleSteps` are ours. They get what the sample's steps get: the order, or an amount. `CarefulSteps`
follows AWS's page on idempotency beside it: conditional writes, keys that are the same on every attempt, and
compensations that are safe to repeat. It also compensates a step that failed, because it can have had its effect, and
nothing once the payment is authorized: storing and publishing are tried until they succeed.
"""

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import boto3
from aws_durable_execution_sdk_python import DurableContext, StepError, durable_execution
from aws_durable_execution_sdk_python.config import StepConfig
from aws_durable_execution_sdk_python.retries import RetryDecision
from aws_durable_execution_sdk_python.waits import Duration

from bench.rivals.shop import Parts, placement, stored
from handoff import aws, ids
from handoff.attribute_values import to_item
from handoff.clock import Deadline, now_ms
from handoff.errors import ConcurrentUpdate
from handoff.update import Attr, Update, put_new
from shop import transitions
from shop.ids import payment_key
from shop.model import Order
from shop.payments import ActionRequired, Authorized, Declined
from shop.placing import price
from shop.settlement import ask_for_hold
from shop.transitions import OrderTransition

if TYPE_CHECKING:
    from handoff.model import OutboxEntry

Document = dict[str, Any]
Handler = Callable[[Any, Any], Any]


class PaymentDeclined(Exception):
    """The provider declined the payment."""


class SampleSteps:
    """The steps as the sample has them: each does its work with no regard to whether it did it before."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._dynamodb: Any = boto3.client("dynamodb")
        self._events: Any = boto3.client("events")

    def price(self, event: Document) -> Document:
        """Return the order at current prices."""
        return price(self._parts.shop, placement(event), Deadline(20)).dump()

    def reserve(self, order: Document) -> Document:
        """Take the stock."""
        for line in order["lines"]:
            self._add(line["sku"], -line["quantity"], Attr("available").gte(line["quantity"]))
        return {"id": f"RES-{order['orderId']}"}

    def cancel_reservation(self, order: Document) -> None:
        """Return the stock."""
        for line in order["lines"]:
            self._add(line["sku"], line["quantity"], Attr("sku").exists())

    def charge(self, order: Document) -> Document:
        """Hold the amount: the sample's step gets no key."""
        return _hold(self._authorize(order, ids.unique()))

    def void(self, order: Document, hold: Document) -> None:
        """Void the hold."""
        self._parts.payments.void(ids.unique(), order_id=order["orderId"], reference=hold["id"])

    def store(self, order: Document, hold: Document) -> Document:
        """Write the order."""
        step = _placing(Order.model_validate(order), hold["id"])
        self._dynamodb.put_item(TableName=self._parts.settings.orders_table, Item=to_item(stored(step.after)))
        return _event_of(step)

    def publish(self, event: Document) -> None:
        """Publish the event."""
        _publish(self._events, self._parts, event)

    def _add(self, sku: str, quantity: int, condition: Any) -> None:
        update = Update(self._parts.settings.products_table, {"sku": sku}).increase("available", quantity)
        self._dynamodb.update_item(**update.when(condition).members())

    def _authorize(self, order: Document, key: str) -> Any:
        return self._parts.payments.authorize(
            key,
            order_id=order["orderId"],
            amount=order["total"],
            currency=order["currency"],
            token=order["paymentToken"],
            can_act=False,
            since=now_ms(),
        )


def as_sampled(parts: Parts) -> Handler:
    """Return the durable function that has the sample's form."""
    steps = SampleSteps(parts)

    @durable_execution
    def handler(event: Document, context: DurableContext) -> Document:
        compensations: list[tuple[str, Callable[[], None]]] = []
        order = _step(context, "price", lambda: steps.price(event))
        try:
            _step(context, "reserve-inventory", lambda: steps.reserve(order))
            compensations.append(("cancel-reservation", lambda: steps.cancel_reservation(order)))
            hold = _step(context, "charge-payment", lambda: steps.charge(order))
            if "declined" in hold:  # raised here, so that it is not tried six times
                raise PaymentDeclined(hold["declined"])  # noqa: TRY301  # as in the sample
            compensations.append(("refund-payment", lambda: steps.void(order, hold)))
            placed = _step(context, "create-order", lambda: steps.store(order, hold))
            _step(context, "publish", lambda: steps.publish(placed))
        except Exception:
            for name, undo in reversed(compensations):
                _step(context, name, undo)
            raise
        return _answer(order)

    return handler


class CarefulSteps:
    """The steps with every care: each can run any number of times, and has one effect."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def price(self, event: Document) -> Document:
        """Return the order at current prices. Its id is derived from the customer's key."""
        return price(self._parts.shop, placement(event), Deadline(20)).dump()

    def reserve(self, order: Document) -> bool:
        """Write the PENDING order and take its stock, all or nothing. Return whether that is done, now or earlier."""
        new = Order.model_validate(order)
        writes = [
            put_new(self._parts.settings.orders_table, stored(new), "orderId"),
            *(self._taking(line.sku, line.quantity, line.unit_price) for line in new.lines),
        ]
        try:
            aws.write(self._parts.dynamodb, writes, Deadline(20))
        except aws.ConditionFailed as failed:
            return bool(failed.images.get(0))  # the order exists; otherwise a product is short or has another price
        return True

    def authorize(self, order: Document) -> Document:
        """Hold the amount, under a key derived from the order's id."""
        return _hold(ask_for_hold(self._parts.payments, Order.model_validate(order)))

    def store(self, order: Document, hold: Document) -> Document:
        """Make the PENDING order PLACED, unless an earlier attempt has."""
        step = _placing(Order.model_validate(order), hold["id"])
        self._move(step)
        return _event_of(step)

    def reject(self, order: Document, reason: str) -> None:
        """Make the PENDING order REJECTED and return its stock, unless that is done or the order was not written."""
        self._move(transitions.declined(Order.model_validate(order), reason, now_ms()))

    def void(self, order: Document) -> None:
        """Void the hold that an unanswered attempt can have made: asking again with its key finds it."""
        answer = ask_for_hold(self._parts.payments, Order.model_validate(order))
        if isinstance(answer, Authorized):
            key = payment_key(order["orderId"], "void")
            self._parts.payments.void(key, order_id=order["orderId"], reference=answer.reference)

    def publish(self, event: Document) -> None:
        """Publish the event. Its id is derived, so that consumers recognize a duplicate."""
        _publish(self._parts.events, self._parts, event)

    def _move(self, step: OrderTransition) -> None:
        """Write a step of a PENDING order. If it is not PENDING, an earlier attempt of this step was faster."""
        without_event = OrderTransition(
            step.id, step.before, step.after.model_copy(update={"outbox": {}}), restock=step.restock
        )
        with suppress(ConcurrentUpdate):
            self._parts.orders.transition(without_event, Deadline(20))

    def _taking(self, sku: str, quantity: int, unit_price: int) -> Any:
        update = Update(self._parts.settings.products_table, {"sku": sku}).increase("available", -quantity)
        return update.when(Attr("available").gte(quantity), Attr("unitPrice").eq(unit_price)).write()


def with_care(parts: Parts) -> Handler:
    """Return the durable function with idempotent steps and compensations."""
    steps = CarefulSteps(parts)

    @durable_execution
    def handler(event: Document, context: DurableContext) -> Document:
        order = _step(context, "price", lambda: steps.price(event))
        try:
            if not _step(context, "reserve-stock", lambda: steps.reserve(order)):
                return {"status": 409}
            hold = _step(context, "authorize-payment", lambda: steps.authorize(order))
        except StepError:  # all attempts of a step failed, and each can have had its effect
            _step(context, "reject-order", lambda: steps.reject(order, "no_answer"), _FOREVER)
            _step(context, "void-hold", lambda: steps.void(order), _FOREVER)
            return {"status": 503}
        if "declined" in hold:
            _step(context, "reject-order", lambda: steps.reject(order, hold["declined"]), _FOREVER)
            return {"status": 402}
        placed = _step(context, "store-order", lambda: steps.store(order, hold), _FOREVER)
        _step(context, "publish-event", lambda: steps.publish(placed), _FOREVER)
        return _answer(order)

    return handler


def _retry_forever(_error: Exception, attempts: int) -> RetryDecision:
    """Retry until the execution's own timeout: 1 s, 2 s, ... up to 60 s apart."""
    return RetryDecision.retry(Duration.from_seconds(min(60, 2 ** min(attempts - 1, 6))))


_FOREVER = StepConfig(retry_strategy=_retry_forever)


def _step(context: DurableContext, name: str, do: Callable[[], Any], config: StepConfig | None = None) -> Any:
    return context.step(lambda _: do(), name=name, config=config)


def _hold(answer: Authorized | ActionRequired | Declined) -> Document:
    """Return a provider's answer as the result of a step."""
    if isinstance(answer, Declined):
        return {"declined": answer.reason}
    return {"id": answer.reference}


def _placing(order: Order, reference: str) -> OrderTransition:
    return transitions.placed(order, reference, now_ms())


def _event_of(step: OrderTransition) -> Document:
    """Return the event of a step; its id is the order's id and the step's number."""
    entry: OutboxEntry = step.after.outbox[str(step.after.sequence)]
    return entry.dump()


def _publish(client: Any, parts: Parts, event: Mapping[str, str]) -> None:
    entry = {"Source": event["source"], "DetailType": event["detailType"], "Detail": event["detail"]}
    answer = client.put_events(Entries=[{"EventBusName": parts.settings.bus_name, **entry}])
    if answer["FailedEntryCount"]:
        raise RuntimeError(f"the bus refused the event: {json.dumps(answer['Entries'])}")


def _answer(order: Document) -> Document:
    return {"status": 201, "orderId": order["orderId"], "lines": order["lines"], "total": order["total"]}
