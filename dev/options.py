"""Options that commands for developers share."""

import click

from ops.cli.options import Port
from ops.stack.local import DEFAULT_PORT

local_port_option = click.option(
    "--port",
    default=DEFAULT_PORT,
    type=Port(),
    envvar="PORT",
    show_default=True,
    show_envvar=True,
    help="Port of the local stack.",
)
