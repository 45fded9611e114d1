"""Which deployment a command is for: the options --stack and --local."""

import os

import boto3
import click

from ops.deployment import Deployment, NoSuchStack
from ops.local import DEFAULT_PORT, LocalStack

stack_option = click.option("--stack", default="handoff", show_default=True, help="The stack's name.")
local_option = click.option("--local", is_flag=True, help="The local stack (on $PORT, or 4566) instead of AWS.")


def deployment(stack: str, *, local: bool) -> Deployment:
    """The deployment that the options name.

    Raises
    ------
    click.ClickException
        If it is not there.
    """
    if local:
        running = running_stack(int(os.environ.get("PORT", DEFAULT_PORT)))
        found = Deployment(stack, running.session(), running.endpoint)
    else:
        found = Deployment(stack, boto3.Session())
    try:
        found.check()
    except NoSuchStack as error:
        raise click.ClickException(str(error)) from error
    return found


def running_stack(port: int) -> LocalStack:
    """The local stack on a port.

    Raises
    ------
    click.ClickException
        If none answers there.
    """
    stack = LocalStack(port)
    if not stack.is_up():
        raise click.ClickException(f"No local stack answers on port {port}. Start one in another terminal: make run")
    return stack
