"""The command `handoff cleanup`."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import boto3
import click
from botocore.exceptions import BotoCoreError, WaiterError

from ops.cli.errors import errors_as_messages
from ops.cli.interrupts import report_remaining_work
from ops.cli.options import stack_option
from ops.stack.deployment import Deployment
from ops.text import plain

if TYPE_CHECKING:
    from ops.cleanup.failed_stack import FailedStack
    from ops.cleanup.leftovers import Leftover


@click.command()
@click.option("--failed-create", is_flag=True, help="Remove the remains of a failed first deployment. Required.")
@click.option("--delete", "deletes", is_flag=True, help="Delete it; otherwise, it is only listed.")
@click.option(
    "--with-data",
    multiple=True,
    metavar="LOGICAL_ID",
    help="Also delete this resource although it holds data. Repeat it for others.",
)
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@stack_option
def cleanup(*, failed_create: bool, deletes: bool, with_data: tuple[str, ...], yes: bool, stack: str) -> None:
    """Remove the resources that a failed first deployment has left.

    It lists the resources that CloudFormation has kept of a stack that was never created, and deletes them only with
    --delete. It refuses every other stack. A resource that holds data (items, users, messages, events) is kept unless
    --with-data names it, as is one whose tags do not name the failed stack. The exit status is 1 if a deletion failed.
    """
    from ops.cleanup.failed_stack import Refused, failed_stacks  # noqa: PLC0415  # costs other commands time
    from ops.cleanup.leftovers import leftovers, may_delete_stack  # noqa: PLC0415

    if not failed_create:
        raise click.UsageError("Pass --failed-create: there is no other kind of cleanup.")
    with errors_as_messages(Refused):
        try:
            deployment = Deployment(stack, boto3.Session())
            found = [(one, leftovers(deployment, one, with_data)) for one in failed_stacks(deployment)]
        except BotoCoreError as error:  # such as a missing profile, region or connection
            raise click.ClickException(str(error)) from error
        for failed, left in found:
            _show(failed, left)
        _check_names(with_data, [one for _, left in found for one in left])
        nothing = not any(may_delete_stack(*one) or any(not each.kept for each in one[1]) for one in found)
        if nothing:
            click.echo("There is nothing to delete.")
        elif not deletes:
            click.echo("Nothing was deleted. To delete the resources marked so, add --delete.")
        else:
            if not yes:
                click.confirm("Delete this? It cannot be undone.", abort=True)
            with report_remaining_work(lambda: "Run the command again to delete the rest."):
                failures = [one for one in found if not _delete(deployment, *one)]
            sys.exit(1 if failures else 0)


def _check_names(with_data: Sequence[str], left: "Sequence[Leftover]") -> None:
    unknown = set(with_data) - {one.logical_id for one in left}
    if unknown:
        raise click.ClickException(f"There is no {', '.join(sorted(unknown))} in this list.")


def _show(failed: "FailedStack", left: "Sequence[Leftover]") -> None:
    from ops.cleanup.leftovers import may_delete_stack  # noqa: PLC0415

    click.echo(plain(f"{failed.stack_id}: {failed.status}, never created"))
    for one in left:
        holds = f" with {one.contents}" if one.contents else ""
        fate = f"keep: {one.kept}" if one.kept else f"delete{holds}"
        click.echo(plain(f"  {one.noun} {one.logical_id} ({one.physical_id}): {fate}"))
    if failed.exists:
        fate = (
            "delete"
            if may_delete_stack(failed, left)
            else "keep: CloudFormation might delete the resources that are kept above"
        )
        click.echo(f"  the stack itself: {fate}")


def _delete(deployment: Deployment, failed: "FailedStack", left: "Sequence[Leftover]") -> bool:
    """Delete the resources that are not kept, then the stack; return whether all succeeded."""
    from ops.cleanup.failed_stack import delete_stack  # noqa: PLC0415
    from ops.cleanup.leftovers import delete, may_delete_stack  # noqa: PLC0415

    succeeded = True
    for one, error in delete(deployment, left):
        succeeded = succeeded and not error
        result = f"not deleted: {error}" if error else "deleted"
        click.echo(plain(f"{one.noun} {one.logical_id}: {result}"), err=bool(error))
    if not succeeded or not may_delete_stack(failed, left):
        return succeeded
    try:
        delete_stack(deployment, failed)
    except WaiterError as error:
        events = f"aws cloudformation describe-stack-events --stack-name {failed.stack_id}"
        click.echo(f"the stack: not deleted: {error}. See its events: {events}", err=True)
        return False
    click.echo("the stack: deleted. Its name is free.")
    return True
