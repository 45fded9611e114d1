"""`python -m dev contracts`: write the generated contracts, or record them as released."""

import sys

import click

from dev.local.stack import ROOT


@click.group()
def contracts() -> None:
    """Generate the contracts, or record them as released."""
    # The API is described from the code that answers, and webhooks from the code that signs them.
    sys.path[:0] = [str(ROOT / "functions/orders"), str(ROOT / "functions/partners")]


@contracts.command()
def write() -> None:
    """Generate openapi.json, contracts/events, contracts/asyncapi.json and docs/reference/events.md."""
    from dev.contracts import files  # noqa: PLC0415  # it imports functions

    files.write()


@contracts.command()
def release() -> None:
    """Record the contracts as released.

    Fails if they break clients or consumers of the released ones.
    """
    from dev.contracts import files  # noqa: PLC0415

    found = files.breaks() if files.RELEASED.exists() else []
    if found:
        raise click.ClickException("\n".join(["This change breaks released contracts:", *found]))
    files.release()
