"""The console beside the local stack: as a command, and as part of `make run`."""

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import click

from dev.local.stack import variables_of
from ops.cli import options as target
from ops.cli.console import PORT, serve
from ops.stack.deployment import Deployment


@click.command()
@click.option("--port", default=PORT, show_default=True, help="Port of the console; 0 picks a free one.")
def console(*, port: int) -> None:
    """Serve the console with sample orders and fault switches, for the local stack on $PORT or 4566."""
    deployment = target.deployment("handoff", local=True)
    stack_port = target.local_port()
    proxy = variables_of(stack_port).get("AWS_ENDPOINT_URL_SESV2")
    if proxy is None:
        raise click.ClickException(f"The local stack on port {stack_port} has no fault proxy. Start one with: make run")
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
        stack_port = urlsplit(deployment.endpoint).port
        yield f"{error}. Start it on another port: PORT={stack_port} .venv/bin/python -m dev console --port {PORT + 1}"
        return
    with server.serving(server.console_of(deployment, playground(deployment, proxy)), listener):
        yield f"Console: {server.address(listener)}"
