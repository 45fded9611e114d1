"""`make invoke`: one function of the running local stack, with a payload of your choice."""

import sys
from pathlib import Path

import click

from dev.local.stack import LocalStack
from ops.stack.deployment import Deployment
from ops.stack.local import DEFAULT_PORT


@click.command()
@click.argument("function")
@click.argument("event", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--port", default=DEFAULT_PORT, envvar="PORT", show_default=True, help="Port of the local stack.")
def invoke(function: str, event: Path, port: int) -> None:
    """Invoke FUNCTION, such as orders, of the running local stack with the payload in the file EVENT."""
    stack = LocalStack(port)
    if not stack.is_up():
        raise click.ClickException(f"No local stack answers on port {port}. Start one in another terminal: make run")
    deployment = Deployment("handoff", stack.session(), stack.endpoint)
    known = {name.removesuffix("Function").lower(): name for name in deployment.of_type("AWS::Lambda::Function")}
    if function not in known:
        raise click.ClickException(f"No function is called {function!r}. Functions: {', '.join(sorted(known))}.")
    sys.exit(stack.invoke(deployment.stack, known[function], event))
