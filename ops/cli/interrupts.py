"""Ctrl-C, SIGTERM and SIGHUP: each ends a command with a report on the work done and left."""

import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import Any, NoReturn

import click

from handoff import aws
from handoff.errors import TransactionConflict
from ops.cli.errors import Commands
from ops.text import sentences

_SIGNALS = (signal.SIGTERM, signal.SIGHUP)  # of a job's supervisor, and of a terminal that is closed


class Terminated(KeyboardInterrupt):
    """A signal that is handled like Ctrl-C, so that the code that handles one handles both."""

    def __init__(self, signum: int) -> None:
        super().__init__()
        self.signum = signum


class InterruptibleCommands(Commands):
    """The outermost command group: SIGTERM and SIGHUP interrupt each of its commands as Ctrl-C does."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the chosen command."""
        with _signals_as_interrupts():
            try:
                return super().invoke(ctx)
            except KeyboardInterrupt as interrupt:  # of a command that has nothing to report
                _end(interrupt)


@contextmanager
def report_remaining_work(left: Callable[[], str]) -> Iterator[None]:
    """End the command with this text, on an interrupt and on an AWS error.

    ``left`` returns the work done, the work left, and how to continue.
    """
    try:
        yield
    except KeyboardInterrupt as interrupt:
        _end(interrupt, left())
    except (*aws.ERRORS, TransactionConflict) as error:
        raise click.ClickException(sentences(f"AWS request failed: {error}", left())) from error


@contextmanager
def _signals_as_interrupts() -> Iterator[None]:
    """Raise `Terminated` on a signal, unless the caller ignores it, as nohup does."""
    with ExitStack() as restored:
        for signum in _SIGNALS:
            if signal.getsignal(signum) is not signal.SIG_IGN:
                restored.callback(signal.signal, signum, signal.signal(signum, _interrupt))
        yield


def _interrupt(signum: int, _frame: FrameType | None) -> NoReturn:
    raise Terminated(signum)


def _end(interrupt: KeyboardInterrupt, *left: str) -> NoReturn:
    """End the command with the status of a shell for a signal: 128 and its number."""
    signum = interrupt.signum if isinstance(interrupt, Terminated) else signal.SIGINT
    why = "Interrupted" if signum == signal.SIGINT else f"Interrupted by {signal.Signals(signum).name}"
    click.ClickException(sentences(why, *left)).show()
    raise click.exceptions.Exit(128 + signum) from interrupt
