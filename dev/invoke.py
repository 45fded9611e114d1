"""`make invoke`: invoke one function of the running local stack."""

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import click

from dev import samples
from dev.local.consumers import lambda_client, paused
from dev.local.stack import LocalStack
from handoff import aws
from handoff.clock import now_ms
from ops.cli.options import LOCAL_DEFAULT, StackCommand, Target, local_option
from ops.stack.deployment import CONSUMERS, DEFAULT_STACK, Deployment

_PACKED_WITHIN = 30.0  # seconds


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
    known = {name.removesuffix("Function").lower(): name for name in deployment.of_type("AWS::Lambda::Function")}
    if function not in known:
        raise click.ClickException(f"No function is called {function!r}. Functions: {', '.join(sorted(known))}.")
    file = event or samples.EVENTS / f"{function}.json"
    payload: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    if file.resolve().parent == samples.EVENTS:
        if function in CONSUMERS:
            _place_sample_orders(deployment)
        # Only a mail may be repeated: new ids would make analytics count an order twice.
        payload = samples.moved_to(now_ms(), payload, new_event_ids=function == "emails")
    with tempfile.TemporaryDirectory() as folder:
        current = Path(folder) / "event.json"
        current.write_text(json.dumps(payload), encoding="utf-8")
        sys.exit(LocalStack(local).invoke(deployment.stack, known[function], current))


def _place_sample_orders(deployment: Deployment) -> None:
    """Place the orders that the samples are about, unless they exist, and wait until the good one is packed."""
    client, function = lambda_client(deployment), deployment.resource("OrdersFunction")
    with paused(deployment, "fulfillment"):  # a packed order can't be cancelled
        for request in samples.setup_requests():
            invoked = client.invoke(FunctionName=function, Payload=json.dumps(request))
            answer = json.loads(invoked["Payload"].read())
            if answer.get("statusCode") not in {200, 201}:
                click.echo(f"{request['routeKey']} of the sample failed: {answer.get('body', answer)}", err=True)
    key = aws.to_item({"orderId": samples.orders()["good"].order_id})
    deadline = time.monotonic() + _PACKED_WITHIN
    while time.monotonic() < deadline:
        found = deployment.dynamodb.get_item(TableName=deployment.resource("OrdersTable"), Key=key)
        if aws.from_item(found.get("Item", {})).get("status") == "PREPARED":
            return
        time.sleep(0.3)
