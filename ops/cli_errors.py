"""How a command says what went wrong: in one line."""

from collections.abc import Iterator
from contextlib import contextmanager

import click

from handoff import aws


@contextmanager
def told_in_a_line(*own: type[Exception]) -> Iterator[None]:
    """Errors of AWS end the command with a line, and so do a command's own, with their own words."""
    try:
        yield
    except own as error:
        raise click.ClickException(str(error)) from error
    except aws.ERRORS as error:
        raise click.ClickException(f"AWS refused, or did not answer: {error}") from error
