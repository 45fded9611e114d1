"""`make invoke`: invoke one function of the running local stack."""

import json
import re
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from dev import samples
from dev.local.consumers import lambda_client
from dev.local.stack import LocalStack
from handoff.attribute_values import from_item, to_item
from handoff.clock import now_ms
from ops import smoke_order
from ops.cli.options import LOCAL_DEFAULT, StackCommand, Target, local_option
from ops.stack.deployment import DEFAULT_STACK, Deployment

_PACKED_WITHIN = 30.0  # seconds after the end of the cancel window
_REFUNDED_WITHIN = 30.0  # seconds


@click.command(cls=StackCommand)
@click.argument("function")
@click.argument("event", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@local_option("The local stack on PORT.", default=LOCAL_DEFAULT)
def invoke(function: str, event: Path | None, local: int) -> None:
    """Invoke a function of the running local stack.

    FUNCTION is its name, such as emails; EVENT is a file with a payload. EVENT defaults to the function's sample in
    events/. The events in a sample are moved to the current time, and the orders that they are about are placed first.
    """
    deployment = Target(DEFAULT_STACK, local).deployment()
    known = {_folder(name): name for name in deployment.of_type("AWS::Lambda::Function")}
    if function not in known:
        raise click.ClickException(f"No function is called {function!r}. Functions: {', '.join(sorted(known))}.")
    file = event or samples.EVENTS / f"{function}.json"
    payload: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    if file.resolve().parent == samples.EVENTS:
        if function in deployment.consumers:
            _place_sample_orders(deployment)
        # Only a mail may be repeated: new ids would make analytics count an order twice.
        payload = samples.moved_to(now_ms(), payload, new_event_ids=function == "emails")
    with tempfile.TemporaryDirectory() as folder:
        current = Path(folder) / "event.json"
        current.write_text(json.dumps(payload), encoding="utf-8")
        sys.exit(LocalStack(local).invoke(deployment.stack, known[function], current))


def _folder(function: str) -> str:
    """Return the folder of a function by its logical id, such as payment_events for PaymentEventsFunction."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", function.removesuffix("Function")).lower()


def _place_sample_orders(deployment: Deployment) -> None:
    """Make the orders that the samples are about, unless they exist: one is cancelled, the good one is refunded."""
    _request(deployment, samples.setup_requests())  # within the cancel window, so that one of them can be cancelled
    order = _wait_for(deployment, lambda order: "releasedAt" in order, smoke_order.window(deployment) + _PACKED_WITHIN)
    if order and "returnRequest" not in order:
        _request(deployment, samples.return_requests())
        _wait_for(deployment, lambda order: "paymentDue" not in order, _REFUNDED_WITHIN)


def _request(deployment: Deployment, requests: Sequence[Mapping[str, Any]]) -> None:
    client, function = lambda_client(deployment), deployment.resource("OrdersFunction")
    for request in requests:
        invoked = client.invoke(FunctionName=function, Payload=json.dumps(request))
        answer = json.loads(invoked["Payload"].read())
        if answer.get("statusCode") not in {200, 201}:
            click.echo(f"{request['routeKey']} of the sample failed: {answer.get('body', answer)}", err=True)


def _wait_for(
    deployment: Deployment, condition: Callable[[Mapping[str, Any]], bool], seconds: float
) -> Mapping[str, Any] | None:
    """Return the good order once the condition holds for it; None if it does not in time."""
    key = to_item({"orderId": samples.orders()["good"].order_id})
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = deployment.dynamodb.get_item(TableName=deployment.resource("OrdersTable"), Key=key)
        order = from_item(found.get("Item", {}))
        if order and condition(order):
            return order
        time.sleep(0.3)
    return None
