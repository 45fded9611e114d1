"""`make run`: the local stack, the sample orders, and a summary of the result."""

import contextlib
import signal
import sys
import time

import click
from rich.console import Console
from rich.markup import escape

from dev.console.command import beside
from dev.demo import orders as demo
from dev.demo import report
from dev.faults.proxy import routes, running_proxy
from dev.local import records
from dev.local.metrics import publishing_metrics
from dev.local.stack import SIGNALS, LocalStack, LocalStackError, running
from dev.options import local_port_option
from ops.shop_client import Account, ShopClient
from ops.stack.deployment import Deployment

console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)


@click.command()
@local_port_option
@click.option("--once", is_flag=True, envvar="ONCE", help="End after the summary; the default without a terminal.")
def run(port: int, once: bool) -> None:
    """Start the local stack and place the sample orders."""
    for signum in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, signal.default_int_handler)  # clean up as after Ctrl-C
    try:
        status = _run(port, once=once or not sys.stdin.isatty())
    except (LocalStackError, demo.DemoError) as error:
        raise click.ClickException(str(error)) from error
    except KeyboardInterrupt:
        for signum in SIGNALS:  # everything has been removed
            signal.signal(signum, signal.SIG_IGN)
        console.print("\nStopped. The local stack has been removed.")
        status = 130
    sys.exit(status)


def _run(port: int, *, once: bool) -> int:
    start = time.monotonic()
    with console.status("Starting the local stack") as status:
        last = ""

        def progress(step: str) -> None:
            nonlocal last
            status.update(step)
            if not console.is_terminal and step != last:
                console.print(f"{time.monotonic() - start:5.1f} s  {step}")
            last = step

        def build(stack: LocalStack) -> None:
            progress("sam build")
            stack.build()

        with (
            running_proxy(f"http://127.0.0.1:{port}") as proxy,
            running(port, variables=routes(proxy.url), while_starting=build) as stack,
            contextlib.ExitStack() as opened,
        ):
            progress("sam deploy")
            deployment = Deployment(stack.deploy(), stack.session(), stack.endpoint)
            opened.enter_context(publishing_metrics(deployment))
            progress("loading the catalog and the customers")
            account = demo.prepare(deployment)
            with contextlib.closing(ShopClient(deployment.api_url, account.token)) as client:
                placed = demo.place_samples(deployment, client, progress)
            answered = time.monotonic() - start
            demo.wait_until_quiet(deployment, progress)
            snapshot = demo.take_snapshot(deployment)
            status.stop()
            report.show(console, placed, snapshot)
            problems = demo.find_problems(deployment, placed, snapshot)
            for problem in problems:
                console.print(f"[red]problem:[/] {escape(problem)}")
            console.print(f"All requests answered {answered:.0f} s after the start; {len(problems) or 'no'} problems.")
            if not once:
                _serve(stack, deployment, account, proxy.url)
    return 1 if problems else 0


def _serve(stack: LocalStack, deployment: Deployment, account: Account, proxy: str) -> None:
    """Show how to continue, and wait for Ctrl-C, or for the stack to end unexpectedly."""
    token_file = records.token_file(stack.port)
    token = str(token_file.relative_to(records.ROOT))
    try:
        token_file.touch(mode=0o600)
        token_file.write_text(account.token)
        console.print(f"\nServing on {deployment.api_url}\n\nA token, valid for one hour, also in {token}:\n")
        print(account.token)  # noqa: T201  # unwrapped, so that it can be pasted
        console.print("\nTry, in this folder:\n")
        print(_curl(deployment.api_url, token))  # noqa: T201
        with beside(deployment, proxy) as console_message:
            console.print(f"\n{console_message}")
            console.print(f"A checkout page: .venv/bin/python -m dev checkout{deployment.options}")
            console.print("\nPress Ctrl-C to stop.")
            stack.wait()
            console.print("\nMiniStack has ended unexpectedly. Cleaning up.")
    except KeyboardInterrupt:
        console.print("\nStopped. Cleaning up.")
    finally:
        token_file.unlink(missing_ok=True)


def _curl(api_url: str, token: str) -> str:
    return (
        f"curl -i '{api_url}/orders' -H \"Authorization: Bearer $(cat {token})\" "
        "-H 'Content-Type: application/json' -H \"Idempotency-Key: $(date +%s)\" -d @events/requests/good.json"
    )
