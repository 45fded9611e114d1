"""The commands `handoff orders ...`: cancel and refund an order."""

import sys
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ops import tokens
from ops.cli.errors import Commands, errors_as_messages
from ops.cli.interrupts import report_remaining_work
from ops.cli.options import Target, target_options
from ops.text import plain, sentences

if TYPE_CHECKING:
    from ops.order_changes import OrderContents
    from ops.stack.deployment import Deployment


class Quantity(click.ParamType[tuple[str, int]]):
    """Units of a product, such as MUG-BLUE=2."""

    name = "sku=n"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, int]:
        """Return the sku and the quantity."""
        sku, separator, quantity = str(value).rpartition("=")
        if not (sku and separator and quantity.isascii() and quantity.isdecimal() and 0 < len(quantity) <= 4):
            self.fail(f"{value!r} is not a product and a quantity, such as MUG-BLUE=2.", param, ctx)
        return sku, int(quantity)


def _common_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of both commands; they get the token's file as ``token_file``."""

    @click.option("--reason", required=True, help="The reason, for the order's history and its customer.")
    @click.option(
        "--token-file",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="File with a program's token, for stacks whose user pool issues none. HANDOFF_PROGRAM_TOKEN may hold it.",
    )
    @click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
    @target_options
    @wraps(command)
    def with_options(**options: Any) -> None:
        command(**options)

    return with_options


@click.group(cls=Commands)
def orders() -> None:
    """Cancel and refund orders, through the API as a program."""


@orders.command()
@click.argument("order_id", metavar="ID")
@_common_options
def cancel(order_id: str, *, reason: str, token_file: Path | None, yes: bool, target: Target) -> None:
    """Cancel order ID, which is not packed yet.

    The customer gets a mail with the reason. It needs a token with the scope orders:write. Repeating it is safe.
    """
    from ops import order_changes  # noqa: PLC0415  # costs other commands half a second

    with errors_as_messages(*_errors()):
        deployment, contents = _read(target, order_id)
        _show([*order_changes.cancellation_effects(contents.order), ("reason", reason)])
        _confirm("Cancel this order?", yes=yes)
        token = order_changes.program_token(deployment, tokens.ORDERS, token_file)
        answer = _send(
            lambda: order_changes.cancel(deployment, token, order_id, reason),
            "It is unknown whether the order was cancelled. Run the command again: repeating it is safe.",
        )
        click.echo(plain(f"The order is {answer['status']}."))


@orders.command()
@click.argument("order_id", metavar="ID")
@click.option("--line", "lines", type=Quantity(), multiple=True, help="Units to refund; repeat it for other products.")
@click.option("--amount", type=click.IntRange(1), help="Amount in minor units, such as cents, instead of units.")
@click.option("--restock", is_flag=True, help="The units are back: return them to the stock.")
@click.option("--key", help="Idempotency key, for another refund that equals an earlier one.")
@_common_options
def refund(
    order_id: str,
    *,
    lines: tuple[tuple[str, int], ...],
    amount: int | None,
    restock: bool,
    key: str | None,
    reason: str,
    token_file: Path | None,
    yes: bool,
    target: Target,
) -> None:
    """Refund order ID, or a part of it.

    Without --line and --amount, everything that is left is refunded. It needs a token with the scope refunds:write.
    Repeating the same command is safe: it has the same idempotency key, which is shown, until the refund has failed.
    """
    from ops import order_changes  # noqa: PLC0415  # costs other commands half a second

    if lines and amount is not None:
        raise click.UsageError("Pass --line or --amount, not both.")
    wanted = order_changes.RefundWanted(_added_up(lines), amount, reason, restock)
    with errors_as_messages(*_errors()):
        deployment, contents = _read(target, order_id)
        chosen = key or wanted.key(contents.order)
        follow = f"See its result: handoff order {order_id}{deployment.options}"
        _show([*order_changes.refund_effects(contents.order, wanted), ("reason", reason), ("key", chosen)])
        earlier = order_changes.refund_with(contents.order, chosen)
        if earlier and not key:
            again = "For another refund that equals it, pass --key with a key of your own."
            click.echo(plain(f"This refund was requested at {earlier.requested_at}. {follow}\n{again}"))
            return
        _confirm("Request this refund?", yes=yes)
        token = order_changes.program_token(deployment, tokens.REFUNDS, token_file)
        answer = _send(
            lambda: order_changes.refund(deployment, token, order_id, wanted, chosen),
            f"It is unknown whether the refund was requested. Run the command again with --key {chosen}: "
            "nothing is refunded twice.",
        )
        click.echo(plain(f"Refund {answer['refundId']} was requested. {follow}"))


def _added_up(lines: Iterable[tuple[str, int]]) -> dict[str, int]:
    quantities: dict[str, int] = {}
    for sku, quantity in lines:
        quantities[sku] = quantities.get(sku, 0) + quantity
    return quantities


def _errors() -> tuple[type[Exception], ...]:
    from ops.order_changes import Refused  # noqa: PLC0415
    from ops.trace.order_record import NoSuchOrder  # noqa: PLC0415

    return NoSuchOrder, Refused, tokens.TokenError


def _read(target: Target, order_id: str) -> "tuple[Deployment, OrderContents]":
    from ops.order_changes import OrderContents  # noqa: PLC0415
    from ops.trace.order_record import read_order  # noqa: PLC0415

    deployment = target.deployment()
    return deployment, read_order(deployment, order_id, OrderContents)


def _show(facts: Iterable[tuple[str, str]]) -> None:
    for name, value in facts:
        click.echo(plain(f"{name:10}{value}"))


def _confirm(question: str, *, yes: bool) -> None:
    """Ask, unless confirmed by an option; without a terminal there is no one to ask."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.ClickException("Nothing was done: there is no terminal to ask on. Pass --yes to confirm.")
    click.confirm(question, abort=True)


def _send(request: Callable[[], Mapping[str, Any]], unknown: str) -> Mapping[str, Any]:
    """Send a request. After an interrupt, or without a definite answer, say how to repeat it."""
    from ops.order_changes import NoAnswer  # noqa: PLC0415

    with report_remaining_work(lambda: unknown):
        try:
            return request()
        except NoAnswer as error:
            raise click.ClickException(sentences(error, unknown)) from error
