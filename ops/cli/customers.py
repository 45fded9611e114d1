"""The commands `handoff customers ...`: export and erase a customer's personal data."""

import json
import sys

import click

from ops.cli.errors import Commands, errors_as_messages
from ops.cli.options import Target, target_options
from ops.text import plain


@click.group(cls=Commands)
def customers() -> None:
    """Export and erase the personal data of customers."""


@customers.command()
@click.argument("user_id", metavar="USER")
@target_options
def export(user_id: str, *, target: Target) -> None:
    """Print all data that is kept about USER, as JSON.

    USER is the user's id: the claim sub of its tokens.
    """
    from ops.customers import CustomerData, CustomerError  # noqa: PLC0415  # costs other commands half a second

    with errors_as_messages(CustomerError):
        data = CustomerData(target.deployment(), user_id)
        data.check()
        click.echo(json.dumps(data.export(), indent=2))


@customers.command()
@click.argument("user_id", metavar="USER")
@click.option(
    "--delete-user", is_flag=True, help="Also delete the user of the stack's user pool: it can't sign in again."
)
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@target_options
def erase(user_id: str, *, delete_user: bool, yes: bool, target: Target) -> None:
    """Erase the personal data of USER, as DELETE /me does.

    The profile is erased at once, and orders that are not packed yet are cancelled. The sweeper erases the rest within
    about an hour. Amounts, products and times of orders stay. Refused while an order is under way. Repeating it is safe
    and shows how far it is.
    """
    from ops.customers import CustomerData, CustomerError  # noqa: PLC0415

    with errors_as_messages(CustomerError):
        deployment = target.deployment()
        data = CustomerData(deployment, user_id)
        data.check()
        if delete_user:
            data.check_user_pool()
        if not yes:
            if not sys.stdin.isatty():
                raise click.ClickException("Nothing was done: there is no terminal to ask on. Pass --yes to confirm.")
            click.confirm(plain(f"Erase the personal data of {user_id} in {deployment.stack}, for good?"), abort=True)
        begun = data.erase()
        if begun.customer.erased_at:
            click.echo(f"Erased at {begun.customer.erased_at}.")
        else:
            click.echo(
                f"The profile is erased since {begun.customer.erasing_since}. The rest follows within about an hour. "
                f"Orders that are cancelled first, within minutes: {begun.cancelled}.\n"
                f"To see how far it is: handoff customers erase {user_id}{deployment.options}"
            )
        if delete_user:
            existed = data.delete_user()
            click.echo(
                "The user is deleted. Its tokens end within an hour." if existed else "The user pool has no such user."
            )
