"""How a command says what went wrong: in one line."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from handoff import aws
from ops.stack.deployment import NoSuchResource


@contextmanager
def errors_as_messages(*own: type[Exception]) -> Iterator[None]:
    """Errors of AWS end the command with a line, and so do a command's own, with their own words."""
    ours: tuple[type[Exception], ...] = (NoSuchResource, *own)
    try:
        yield
    except ours as error:
        raise click.ClickException(str(error)) from error
    except (*aws.ERRORS, aws.TransactionConflict) as error:
        raise click.ClickException(f"AWS refused, or did not answer: {error}") from error


class Commands(click.Group):
    """Commands none of which answers an error of AWS with a stack trace."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that was asked for."""
        with errors_as_messages():
            return super().invoke(ctx)
