"""The operation that stands for the payment provider's own page, while the provider is the sandbox."""

from typing import Annotated

from pydantic import Field

import bodies
import http_responses
import problems
import response_schemas
from bodies import Body
from http_responses import Response
from operations import BODY_PROBLEMS, App, Event, Operation
from shop.payments import ActsForCustomer


class SandboxActionIn(Body):
    """The client secret of the payment that the customer confirms."""

    client_secret: Annotated[str, Field(min_length=1, max_length=255)]


@Operation(
    "POST /sandbox/actions",
    response_schemas.SandboxAction,
    body=SandboxActionIn,
    problems=(*BODY_PROBLEMS, "unauthenticated", "no-such-payment", "no-such-route"),
)
def act_in_sandbox(app: App, event: Event) -> Response:
    """Confirm a payment in the sandbox.

    Does what a customer does on the page of a bank. Exists only with the payment provider `sandbox`. The token of the
    payment decides how it ends: see the list of the sandbox's tokens. Confirm the order afterwards.
    """
    provider = app.shop.payments
    if not isinstance(provider, ActsForCustomer):
        raise problems.no_route(event["rawPath"])
    stage = provider.act(bodies.parsed(SandboxActionIn, event).client_secret)
    if stage is None:
        raise problems.no_payment()
    return http_responses.sandbox_action(stage)
