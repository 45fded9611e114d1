"""The command `handoff console`."""

import webbrowser
from typing import TYPE_CHECKING

import click

from ops.cli.options import Port, StackCommand, Target, target_options
from ops.stack.deployment import Deployment
from ops.text import sentences

if TYPE_CHECKING:
    from ops.console.playground import Playground

PORT = 8080
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}


@click.command(cls=StackCommand)
@click.option(
    "--port", default=PORT, type=Port(least=0), show_default=True, help="Port to listen on; 0 picks a free one."
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on. There are no passwords.")
@click.option("--open", "opens", is_flag=True, help="Open the page in a browser.")
@target_options
def console(*, port: int, host: str, opens: bool, target: Target) -> None:
    """Serve the console, a web page.

    It shows the live order pipeline, dead letters and order timelines, until Ctrl-C.
    """
    serve(target.deployment(), None, host=host, port=port, opens=opens)


def serve(
    deployment: Deployment, playground: "Playground | None", *, host: str, port: int, opens: bool = False
) -> None:
    """Serve the console until Ctrl-C.

    Raises
    ------
    click.ClickException
        If the port is taken.
    """
    from ops.console import server  # noqa: PLC0415  # NiceGUI costs other commands a second

    try:
        listener = server.listen(host, port)
    except server.PortTaken as error:
        raise click.ClickException(sentences(error, "Choose another one with --port; 0 picks a free one.")) from error
    if host not in _LOOPBACK:
        click.echo(f"Warning: anyone who can reach {host} can redrive dead letters with your permissions.", err=True)
    click.echo(f"Console: {server.address(listener)}")
    if opens:
        webbrowser.open(server.address(listener))
    server.serve(server.console_of(deployment, playground), listener, host)
