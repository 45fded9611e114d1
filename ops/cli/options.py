"""Options that commands share: --stack and --local name a deployment; ages such as 30m."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, TypeVar

import boto3
import click
from botocore.exceptions import BotoCoreError

from ops import ages
from ops.stack.deployment import DEFAULT_STACK, Deployment, NoSuchStack
from ops.stack.local import DEFAULT_PORT, LocalEndpoint
from ops.text import sentences

F = TypeVar("F", bound=Callable[..., Any])

_LOCAL = "--local"
LOCAL_DEFAULT = "default"  # stands for the port of a plain --local


class StackCommand(click.Command):
    """A command with the option ``--local[=PORT]``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep click from taking the argument after a plain ``--local`` as its port."""
        end = args.index("--") if "--" in args else len(args)
        options = [f"{_LOCAL}={LOCAL_DEFAULT}" if arg == _LOCAL else arg for arg in args[:end]]
        return super().parse_args(ctx, options + args[end:])


class Age(click.ParamType[int]):
    """An age such as 30m, as milliseconds."""

    name = "age"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return milliseconds."""
        try:
            return ages.parse(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Port(click.ParamType[int]):
    """A port to listen on or to connect to; with ``least=0`` also 0, which picks a free one."""

    name = "port"

    def __init__(self, least: int = 1) -> None:
        self._least = least

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the number."""
        text = str(value)
        if not (text.isdecimal() and len(text) <= 5 and self._least <= int(text) <= 65535):
            self.fail(f"{text!r} is not a port number. Ports are {self._least} to 65535.", param, ctx)
        return int(text)


class _LocalPort(Port):
    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if value != LOCAL_DEFAULT:
            return super().convert(value, param, ctx)
        try:
            return super().convert(os.environ.get("PORT") or DEFAULT_PORT, param, ctx)
        except click.BadParameter as error:
            raise click.ClickException(f"The variable PORT is invalid: {error.message}") from error


class _LocalOption(click.Option):
    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        record = super().get_help_record(ctx)
        return record and (f"{_LOCAL}[=PORT]", record[1])


def local_option(description: str, default: str | None = None) -> Callable[[F], F]:
    """Return the option ``--local[=PORT]``, whose value is a port; the command's class must be `StackCommand`."""
    text = f"{description}  [default port: $PORT or {DEFAULT_PORT}]"
    return click.option(_LOCAL, cls=_LocalOption, type=_LocalPort(), default=default, help=text)


stack_option = click.option(
    "--stack",
    default=DEFAULT_STACK,
    envvar="HANDOFF_STACK",
    show_default=True,
    show_envvar=True,
    help="Name of the stack.",
)


@dataclass(frozen=True)
class Target:
    """The deployment that a command is for; ``port`` is the local stack's, None for AWS."""

    stack: str
    port: int | None

    def deployment(self) -> Deployment:
        """Return the deployment.

        Raises
        ------
        click.ClickException
            If it does not exist, or cannot be reached.
        """
        try:
            found = self.connection()
            found.check()
        except NoSuchStack as error:
            hint = "Name another one with --stack, or with HANDOFF_STACK for all commands."
            raise click.ClickException(sentences(error, hint)) from error
        except BotoCoreError as error:  # such as a missing profile, region or connection
            raise click.ClickException(str(error)) from error
        return found

    def connection(self) -> Deployment:
        """Return the stack without a check that it is a Handoff; one of an example is none."""
        if self.port is None:
            return Deployment(self.stack, boto3.Session())
        running = running_stack(self.port)
        return Deployment(self.stack, running.session(), running.endpoint)


def target_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add --stack and --local to a command, which gets them as ``target``. Its class must be `StackCommand`."""

    @wraps(command)
    def with_target(*args: Any, stack: str, local: int | None, **others: Any) -> None:
        command(*args, target=Target(stack, local), **others)

    return stack_option(local_option("Use the local stack on PORT instead of AWS.")(with_target))


def running_stack(port: int) -> LocalEndpoint:
    """Return the local stack on a port.

    Raises
    ------
    click.ClickException
        If none is running there.
    """
    stack = LocalEndpoint(port)
    if not stack.is_up():
        start = "make run" if port == DEFAULT_PORT else f"make run PORT={port}"
        raise click.ClickException(f"No local stack is running on port {port}. Start one in another terminal: {start}")
    return stack
