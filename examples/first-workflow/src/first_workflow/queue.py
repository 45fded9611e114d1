"""The queue of the consumer: parses each event and finds its order."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from first_workflow import mails
from first_workflow.domain import EVENTS, Order, OrderData
from first_workflow.store import OrderStore
from handoff import aws, consumer
from handoff.errors import NotYet
from handoff.events import Envelope
from handoff.telemetry import logger

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
    from aws_lambda_powertools.utilities.typing import LambdaContext

Handler = Callable[[dict[str, Any], "LambdaContext"], "PartialItemFailureResponse"]

# Seconds that an event takes at most: the order is read, its mail is sent, and three records are written.
_LONGEST = mails.SENDING_SECONDS + 2 + 4 * aws.LONGEST_CALL
_consumer = consumer.connect("mails", EVENTS.parse, longest=_LONGEST)
_orders = OrderStore()


def handler_for(handle: Callable[[Order], consumer.Handled]) -> Handler:
    """Return the Lambda handler that consumes the queue with this function."""

    def of_event(envelope: Envelope) -> consumer.Handled:
        order = _orders.get(envelope.expect(OrderData).order_id)
        if order is None or order.sequence < envelope.sequence:
            raise NotYet("the order is missing or older than its event")
        return handle(order)

    @logger.inject_lambda_context(clear_state=True)
    def handler(event: dict[str, Any], context: "LambdaContext") -> "PartialItemFailureResponse":
        mails.begin(context)
        return _consumer.run(event, context, of_event)

    return handler
