"""The `handoff` command."""

import contextlib
import signal
import sys
import threading
import time
from pathlib import Path
from types import FrameType

import click
from rich.console import Console
from rich.markup import escape

from dev import samples
from dev.demo import orders as demo
from dev.demo import report
from dev.drills import command as cli_drill
from dev.local.metrics import pumping
from dev.local.stack import DEFAULT_PORT, LocalStackError, running
from ops import catalog as catalogs
from ops import rebuild as rebuilds
from ops import replay as replays
from ops import tokens
from ops.cli import console as cli_console
from ops.cli import dlq as cli_dead_letters
from ops.cli import lag as cli_lag
from ops.cli import order as cli_order
from ops.cli import smoke as cli_smoke
from ops.cli.errors import Commands
from ops.cli.options import deployment as _deployment
from ops.cli.options import local_option as _local_option
from ops.cli.options import running_stack as _running_stack
from ops.cli.options import stack_option as _stack_option
from ops.shop_client import Account, ShopClient
from ops.stack.deployment import Deployment

console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Handoff: run it locally, load its catalog, invoke its functions."""


@main.command()
@click.option("--port", default=DEFAULT_PORT, envvar="PORT", show_default=True, help="Where the local stack listens.")
@click.option("--once", is_flag=True, envvar="ONCE", help="End after the summary; the default without a terminal.")
def run(port: int, once: bool) -> None:
    """Start the local stack, place the sample orders, and show what happened."""
    for signum in (signal.SIGTERM, signal.SIGHUP):
        _end_on(signum)
    try:
        status = _run(port, once=once or not sys.stdin.isatty())
    except (LocalStackError, demo.DemoError) as error:
        raise click.ClickException(str(error)) from error
    except KeyboardInterrupt:
        console.print("\nEnded; the local stack is gone.")
        status = 130
    sys.exit(status)


@main.group(name="catalog")
def catalog() -> None:
    """The products."""


@catalog.command()
@click.argument("file", type=click.Path(path_type=Path))
@_stack_option
@_local_option
def load(file: Path, stack: str, local: bool) -> None:
    """Load FILE: add products; rename, reprice, list and delist known ones; count deliveries in.

    FILE is a JSON list like events/catalog.json. A known product's stock changes by a delivery only:
    {"sku": ..., "delivery": {"id": "2026-11-23-a", "units": 20}}; the same id counts once.
    """
    deployment = _deployment(stack, local=local)
    try:
        entries = catalogs.read(file)
    except catalogs.BadCatalog as error:
        raise click.ClickException(str(error)) from error
    products, markers = deployment.resource("ProductsTable"), deployment.resource("IdempotencyTable")
    loaded = catalogs.load(deployment.dynamodb, products, entries)
    counted = catalogs.count_deliveries(deployment.dynamodb, products, markers, entries)
    console.print(f"{loaded.added} added, {loaded.updated} updated, {counted} deliveries counted in")


main.add_command(cli_console.console)
main.add_command(cli_dead_letters.dlq)
main.add_command(cli_drill.drill)
main.add_command(cli_smoke.smoke)
main.add_command(cli_lag.lag)
main.add_command(cli_order.order)


@main.command()
@click.argument("function")
@click.argument("event", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--port", default=DEFAULT_PORT, envvar="PORT", show_default=True)
def invoke(function: str, event: Path, port: int) -> None:
    """Invoke FUNCTION, such as orders, of the running local stack with the payload in the file EVENT."""
    stack = _running_stack(port)
    deployment = Deployment("handoff", stack.session(), stack.endpoint)
    known = {name.removesuffix("Function").lower(): name for name in deployment.of_type("AWS::Lambda::Function")}
    if function not in known:
        raise click.ClickException(f"There is no function {function!r}. There are: {', '.join(sorted(known))}.")
    sys.exit(stack.invoke(deployment.stack, known[function], event))


@main.command()
@click.option("--from", "start", required=True, help="Published from when on, such as 2026-11-23T10:00:00Z.")
@click.option("--to", "end", required=True, help="Published up to when.")
@click.option("--rules", multiple=True, default=replays.DEFAULT, show_default=True, help="To which rules, by name.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@_stack_option
@_local_option
def replay(*, start: str, end: str, rules: tuple[str, ...], yes: bool, stack: str, local: bool) -> None:
    """Replay archived events to the named rules alone: it fills gaps, and does nothing twice."""
    try:
        wanted = replays.parse(start, end, rules)
        deployment = _deployment(stack, local=local)
        route = replays.route(deployment, wanted)
        for caution in wanted.cautions:
            console.print(f"[yellow]Mind:[/] {escape(caution)}")
        if not yes:
            click.confirm(f"Replay {start} to {end} of {stack} to {', '.join(wanted.rules)}?", abort=True)
        replays.run(deployment.events, wanted, route, _say)
    except replays.ReplayError as error:
        raise click.ClickException(str(error)) from error


@main.group(name="rebuild")
def rebuild() -> None:
    """What is derived from the orders, made anew."""


@rebuild.command(name="sales")
@click.option("--prune", is_flag=True, help="Only remove the counters that earlier rebuilds have replaced.")
@_stack_option
@_local_option
def rebuild_sales(prune: bool, stack: str, local: bool) -> None:
    """Count all orders anew, while the shop goes on, and switch over. Interrupted, run it again."""
    deployment = _deployment(stack, local=local)
    try:
        if prune:
            rebuilds.prune(deployment.dynamodb, deployment.resource("SalesTable"), _say)
        else:
            done = rebuilds.of(deployment).run(_say)
            console.print(f"Generation {done.generation} counts now: {done.events} events of {done.orders} orders.")
    except rebuilds.RebuildError as error:
        raise click.ClickException(str(error)) from error


@main.command()
@_stack_option
@_local_option
def token(stack: str, local: bool) -> None:
    """Print a token that may read reports, good for an hour."""
    try:
        print(tokens.for_reports(_deployment(stack, local=local)))  # noqa: T201  # as it is: it will be pasted
    except tokens.TokenError as error:
        raise click.ClickException(str(error)) from error


@main.group(name="events")
def events_() -> None:
    """The sample payloads in events/."""


@events_.command()
def write() -> None:
    """Write the payloads anew from the contract models."""
    samples.write(demo.EVENTS)


def _run(port: int, *, once: bool) -> int:
    # Imported here: it costs other commands a quarter of a second.
    from dev.faults.proxy import routes, running_proxy  # noqa: PLC0415

    start = time.monotonic()
    with console.status("Starting the local stack") as status:
        said = ""

        def progress(what: str) -> None:
            nonlocal said
            status.update(what)
            if not console.is_terminal and what != said:
                console.print(f"{time.monotonic() - start:5.1f} s  {what}")
            said = what

        with (
            running_proxy(f"http://127.0.0.1:{port}") as proxy,
            running(port, variables=routes(proxy.url)) as stack,
            contextlib.ExitStack() as opened,
        ):
            progress("sam build")
            stack.build()
            progress("sam deploy")
            deployment = Deployment(stack.deploy(), stack.session(), stack.endpoint)
            opened.enter_context(pumping(deployment))
            progress("loading the catalog and the customers")
            account = demo.prepare(deployment)
            with contextlib.closing(ShopClient(deployment.api_url, account.token)) as client:
                story = demo.place_samples(client, progress)
            answered = time.monotonic() - start
            demo.wait_until_quiet(deployment, progress)
            outcome = demo.look(deployment)
            status.stop()
            report.show(console, story, outcome)
            wrong = demo.complaints(story, outcome)
            for complaint in wrong:
                console.print(f"[red]wrong:[/] {escape(complaint)}")
            console.print(f"All orders answered {answered:.0f} s after the start; {len(wrong) or 'no'} complaints.")
            if not once:
                _serve(deployment, account, proxy.url, port)
    return 1 if wrong else 0


def _serve(deployment: Deployment, account: Account, proxy: str, port: int) -> None:
    """Tell how to go on, and wait for Ctrl-C."""
    token = f".local/token-{port}"  # each local stack has a pool of its own
    token_file = demo.EVENTS.parent / token
    try:
        token_file.touch(mode=0o600)
        token_file.write_text(account.token)
        console.print(f"\nServing on {deployment.api_url}\n\nA token, good for an hour, also in {token}:\n")
        print(account.token)  # noqa: T201  # as it is: it will be pasted
        console.print("\nTry, in this folder:\n")
        print(_curl(deployment.api_url, token))  # noqa: T201
        with cli_console.beside(deployment, proxy) as said:
            console.print(f"\n{said}\n\nCtrl-C ends it.")
            threading.Event().wait()
    except KeyboardInterrupt:
        console.print("\nEnded; cleaning up.")
    finally:
        token_file.unlink(missing_ok=True)


def _curl(api_url: str, token: str) -> str:
    return (
        f"curl -i '{api_url}/orders' -H \"Authorization: Bearer $(cat {token})\" "
        "-H 'Content-Type: application/json' -H \"Idempotency-Key: $(date +%s)\" -d @events/requests/good.json"
    )


def _say(what: str) -> None:
    console.print(escape(what))


def _end_on(signum: signal.Signals) -> None:
    """Have this signal clean up as Ctrl-C does."""

    def end(_signum: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signum, end)
