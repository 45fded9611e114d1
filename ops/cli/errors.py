"""Command groups, and one-line error messages for their commands."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from handoff import aws
from handoff.errors import TransactionConflict
from ops.cli.options import StackCommand
from ops.stack.deployment import NoSuchResource


@contextmanager
def errors_as_messages(*own: type[Exception]) -> Iterator[None]:
    """End the command with a one-line message on an AWS error, or on one of these exceptions."""
    ours: tuple[type[Exception], ...] = (NoSuchResource, *own)
    try:
        yield
    except ours as error:
        raise click.ClickException(str(error)) from error
    except (*aws.ERRORS, TransactionConflict) as error:
        raise click.ClickException(f"AWS request failed: {error}") from error


class Failed(click.ClickException):
    """An error of a command whose exit status 1 has another meaning."""

    exit_code = 2


@contextmanager
def errors_with_status_2(*own: type[Exception]) -> Iterator[None]:
    """End the command with a one-line message and status 2 on an AWS error, or on one of these exceptions."""
    try:
        with errors_as_messages(*own):
            yield
    except click.ClickException as error:
        raise Failed(error.message) from error


class Commands(click.Group):
    """A command group that reports AWS errors without a stack trace."""

    command_class = StackCommand

    def invoke(self, ctx: click.Context) -> Any:
        """Run the chosen command."""
        with errors_as_messages():
            return super().invoke(ctx)
