"""Which deployment a command is for: the options --stack and --local."""

import os

import boto3
import click
from botocore.exceptions import BotoCoreError

from ops.stack.deployment import Deployment, NoSuchStack
from ops.stack.local import DEFAULT_PORT, LocalEndpoint

stack_option = click.option(
    "--stack", default="handoff", envvar="HANDOFF_STACK", show_default=True, show_envvar=True, help="The stack's name."
)
local_option = click.option("--local", is_flag=True, help="The local stack (on $PORT, or 4566) instead of AWS.")


def deployment(stack: str, *, local: bool) -> Deployment:
    """The deployment that the options name.

    Raises
    ------
    click.ClickException
        If it is not there.
    """
    try:
        if local:
            running = running_stack(local_port())
            found = Deployment(stack, running.session(), running.endpoint)
        else:
            found = Deployment(stack, boto3.Session())
        found.check()
    except NoSuchStack as error:
        hint = "Name another with --stack, or with HANDOFF_STACK for all commands"
        raise click.ClickException(f"{error}. {hint}") from error
    except BotoCoreError as error:  # such as a profile that is not there
        raise click.ClickException(str(error)) from error
    return found


def local_port() -> int:
    """The local stack's port: $PORT, if it is set.

    Raises
    ------
    click.ClickException
        If that is no port.
    """
    given = os.environ.get("PORT", "")
    if given and not given.isdecimal():
        raise click.ClickException(f"PORT is {given!r}, and should be the number of the local stack's port")
    return int(given or DEFAULT_PORT)


def running_stack(port: int) -> LocalEndpoint:
    """The local stack on a port.

    Raises
    ------
    click.ClickException
        If none answers there.
    """
    stack = LocalEndpoint(port)
    if not stack.is_up():
        raise click.ClickException(f"No local stack answers on port {port}. Start one in another terminal: make run")
    return stack
