"""The console beside the local stack: as a command, and as part of `make run`."""

from collections.abc import Iterator
from contextlib import contextmanager

import click

from dev.local.stack import variables_of
from ops.cli.console import PORT, serve
from ops.cli.options import LOCAL_DEFAULT, Port, StackCommand, Target, local_option
from ops.stack.deployment import DEFAULT_STACK, Deployment
from ops.text import sentences


@click.command(cls=StackCommand)
@click.option(
    "--port", default=PORT, type=Port(least=0), show_default=True, help="Port of the console; 0 picks a free one."
)
@local_option("The local stack on PORT.", default=LOCAL_DEFAULT)
def console(*, port: int, local: int) -> None:
    """Serve the console with sample orders and fault switches."""
    deployment = Target(DEFAULT_STACK, local).deployment()
    proxy = variables_of(local).get("AWS_ENDPOINT_URL_SESV2")
    if proxy is None:
        raise click.ClickException(f"The local stack on port {local} has no fault proxy. Start one with: make run")
    from dev.console.playground import playground  # noqa: PLC0415  # NiceGUI costs other commands a second

    serve(deployment, playground(deployment, proxy), host="127.0.0.1", port=port)


@contextmanager
def beside(deployment: Deployment, proxy: str) -> Iterator[str]:
    """Serve the console while the context lasts; yield a line that says where, or how to start it elsewhere."""
    from dev.console.playground import playground  # noqa: PLC0415
    from ops.console import server  # noqa: PLC0415

    try:
        listener = server.listen("127.0.0.1", PORT)
    except server.PortTaken as error:
        command = f".venv/bin/python -m dev console{deployment.options} --port 0"
        yield sentences(error, f"Start the console on a free port: {command}")
        return
    with server.serving(server.console_of(deployment, playground(deployment, proxy)), listener):
        yield f"Console: {server.address(listener)}"
