"""The commands of `python -m dev`, for developers and CI. Operators use `handoff`."""

import click

from dev.checkout import checkout
from dev.console.command import console
from dev.console.poison import poison
from dev.contracts.command import contracts
from dev.drills.command import drill
from dev.faults.proxy import fault_proxy
from dev.first_workflow.command import first_workflow, throw
from dev.fuzz import fuzz
from dev.invoke import invoke
from dev.reference import reference
from dev.run import run
from dev.samples import samples
from dev.scaffold.command import consumer
from dev.vulnerabilities import vulnerabilities
from ops.cli.errors import Commands


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Run, drill and check Handoff on this machine."""


_COMMANDS = (
    checkout,
    console,
    consumer,
    contracts,
    drill,
    fault_proxy,
    first_workflow,
    fuzz,
    invoke,
    poison,
    reference,
    run,
    samples,
    throw,
    vulnerabilities,
)
for command in _COMMANDS:
    main.add_command(command)
