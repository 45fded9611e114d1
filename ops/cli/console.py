"""The command `handoff console`."""

import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager

import click

from dev.local.stack import variables_of
from ops.cli import options as target
from ops.stack.deployment import Deployment

PORT = 8080


@click.command()
@click.option("--port", default=PORT, show_default=True, help="Where it listens; 0 is any port that is free.")
@click.option("--host", default="127.0.0.1", show_default=True, help="On which address. It has no passwords.")
@click.option("--open", "opens", is_flag=True, help="Open it in a browser.")
@target.stack_option
@target.local_option
def console(*, port: int, host: str, opens: bool, stack: str, local: bool) -> None:
    """Serve a web page that shows the road of orders live, dead letters, and single orders, until Ctrl-C."""
    deployment = target.deployment(stack, local=local)
    from ops.console import server  # noqa: PLC0415  # NiceGUI costs other commands a second

    try:
        listener = server.listen(host, port)
    except server.PortTaken as error:
        raise click.ClickException(f"{error}. Choose another port: handoff console --port {port + 1}") from error
    if host not in {"127.0.0.1", "localhost", "::1"}:
        click.echo(f"Mind: whoever reaches {host} may redrive dead letters with your rights.", err=True)
    click.echo(f"Console: {server.address(listener)}")
    if opens:
        webbrowser.open(server.address(listener))
    server.serve(server.console_of(deployment, _proxy() if local else None), listener, host)


@contextmanager
def beside(deployment: Deployment, proxy: str) -> Iterator[str]:
    """The console beside a local stack, for as long as the context lasts; yields what there is to say of it."""
    from ops.console import server  # noqa: PLC0415

    try:
        listener = server.listen("127.0.0.1", PORT)
    except server.PortTaken as error:
        yield f"{error}. Start it elsewhere: handoff console --local --port {PORT + 1}"
        return
    with server.serving(server.console_of(deployment, proxy), listener):
        yield f"Console: {server.address(listener)}"


def _proxy() -> str | None:
    """The address of the running local stack's fault proxy, None if it has none."""
    return variables_of(target.local_port()).get("AWS_ENDPOINT_URL_SESV2")
