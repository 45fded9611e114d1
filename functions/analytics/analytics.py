"""Analytics consumer: count orders, units and revenue per day and product, each event exactly once."""

from handoff.startup import ready

from itertools import product
from typing import TYPE_CHECKING, Any

from handoff import aws, consumer
from handoff.clock import Deadline
from handoff.consumer import DONE, REPEATED, Handled
from handoff.errors import NotYet, PermanentError, TransactionConflict
from handoff.events import Envelope
from handoff.telemetry import logger
from shop import order_store, settings
from shop.events import EVENTS, DetailType, OrderData
from shop.model import Order, Status
from shop.sales import Sale, SalesStore, sales_of
from shop.sales_generations import GenerationStore

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
    from aws_lambda_powertools.utilities.typing import LambdaContext

_dynamodb = aws.client("dynamodb")
_orders = order_store.connect(_dynamodb, settings.load())
_sales = SalesStore(_dynamodb, settings.text("SALES_TABLE"), shards=int(settings.number("SALES_SHARDS")))
_generations = GenerationStore(_dynamodb, settings.text("SALES_TABLE"))
# A batch is counted at its beginning, and a message then takes no time.
_consumer = consumer.connect("analytics", EVENTS.parse, longest=0.0)
WRITING = 15.0  # seconds for all transactions of a batch
_COUNTED = {DetailType.ORDER_PLACED, DetailType.ORDER_CANCELLED, DetailType.ORDER_REFUNDED}


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: "LambdaContext") -> "PartialItemFailureResponse":
    """Consume a batch of the analytics queue. Events are counted together and fail one by one."""
    batch = Batch()
    return _consumer.run(event, context, batch.check, batch.count)


class Batch:
    """The events of one batch, and the result of each."""

    def __init__(self) -> None:
        self._errors: dict[str, Exception] = {}
        self._new: set[str] = set()
        self._uncounted: set[str] = set()

    def count(self, envelopes: list[Envelope]) -> None:
        """Count all events whose orders can be read, in as few transactions as possible.

        The generations to count in are read after the events were received: see `shop.sales_generations`.
        """
        countable = [envelope for envelope in envelopes if envelope.detail_type in _COUNTED]
        try:
            wanted = _orders.wanted(envelope.expect(OrderData).order_id for envelope in countable)
            read = aws.read_together(_dynamodb, {**_generations.wanted, **wanted})
        except aws.ERRORS as error:
            self._errors = {envelope.event_id: error for envelope in countable}
            return
        generations = _generations.among(read)
        orders, unreadable = _orders.among(read)
        sales = {}
        for envelope in countable:
            order_id = envelope.expect(OrderData).order_id
            order = orders.get(order_id)
            if found := sale(envelope, order):
                sales[envelope.event_id] = found
            elif order and refunds_ended_order(envelope, order):
                self._uncounted.add(envelope.event_id)
            elif order_id in unreadable:  # retried: the row or the code that reads it may be fixed
                self._errors[envelope.event_id] = NotYet(f"order {order_id} is not readable")
            else:
                self._errors[envelope.event_id] = NotYet(f"order {order_id} is missing or outdated")
        groups = _sales.groups(list(sales.values()))
        deadline = Deadline(WRITING)  # events that are not written by then are retried
        for generation, group in product(generations.counted, groups):
            try:
                new = _sales.record(group, generation, deadline)
            except (*aws.ERRORS, TransactionConflict) as error:
                self._errors |= {missed.event_id: error for missed in group}
            else:
                if generation == generations.current:
                    self._new |= {counted.event_id for counted in new}

    def check(self, envelope: Envelope) -> Handled:
        """Raise the error that kept this event from being counted, if any; tell a new event from a repeated one."""
        if envelope.detail_type not in _COUNTED:
            raise PermanentError(f"{envelope.detail_type} is not counted")
        error = self._errors.get(envelope.event_id)
        if error:
            raise error
        if envelope.event_id in self._uncounted:
            return consumer.skipped("the order had ended without a sale")
        if envelope.event_id not in self._new:
            return REPEATED
        self._new.remove(envelope.event_id)  # a duplicate in the same batch is a repeat
        return DONE


def sale(envelope: Envelope, order: Order | None) -> Sale | None:
    """Return what an event adds to the sales, by its order's history; None if the order is older than the event."""
    sales = sales_of(order) if order else []
    return next((found for found in sales if found.event_id == envelope.event_id), None)


def refunds_ended_order(envelope: Envelope, order: Order) -> bool:
    """Return whether money went back for an order that ended without a sale: a void had found it captured."""
    is_refund = envelope.detail_type == DetailType.ORDER_REFUNDED and envelope.sequence <= order.sequence
    return is_refund and order.status in (Status.CANCELLED, Status.REJECTED)


ready()
