"""The request and its answer. The function is invoked directly, with a `Request` as its event.

``key`` is the customer's idempotency key: the same request again continues or returns the same order.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

from aws_lambda_powertools.utilities.idempotency.exceptions import (
    IdempotencyAlreadyInProgressError,
    IdempotencyPersistenceLayerError,
)
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from first_workflow import mails
from handoff import aws, ids
from handoff.clock import Deadline
from handoff.errors import TransactionConflict
from handoff.telemetry import logger

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

    from first_workflow.domain import Order

_SECONDS = 20.0  # for a whole request; the function's timeout is 25 s
_BUSY = (IdempotencyAlreadyInProgressError, TransactionConflict)
_FAILED = (*aws.ERRORS, IdempotencyPersistenceLayerError)

Text = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9@._-]{1,64}$")]
Place = Callable[["Request", Deadline], "Order"]
Handler = Callable[[dict[str, Any], "LambdaContext"], dict[str, Any]]


class Refused(Exception):
    """The order is not possible. The text says why."""


class Request(BaseModel):
    """A request to place an order: how many of each product."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    email: Text
    key: Text
    quantities: dict[Text, Annotated[int, Field(ge=1, le=99)]] = Field(min_length=1, max_length=20)

    @property
    def order_id(self) -> str:
        """The order's id, the same for each repetition of the request."""
        return ids.derived("fwo_", self.email, self.key)


def handler_for(place: Place) -> Handler:
    """Return the Lambda handler that places an order with this function."""

    @logger.inject_lambda_context(clear_state=True)
    def handler(event: dict[str, Any], context: "LambdaContext") -> dict[str, Any]:
        mails.begin(context)
        try:
            request = Request.model_validate(event)
            logger.append_keys(order_id=request.order_id)
            order = place(request, Deadline(_SECONDS))
        except ValidationError as error:
            return {"error": "Invalid", "fields": sorted({".".join(map(str, part["loc"])) for part in error.errors()})}
        except Refused as error:
            return {"error": "Refused", "reason": str(error)}
        except _BUSY:
            return {"error": "Busy", "reason": "the same order is being placed; repeat the request in a moment"}
        except _FAILED as error:
            logger.warning("order not placed", reason=aws.failure_reason(error), exc_info=error)
            return {"error": "Unavailable", "reason": "a service did not answer; repeat the request with the same key"}
        return {"orderId": order.key, "total": order.total, "status": order.status, "mailBy": order.mail_by}

    return handler
