"""Run the rivals and write docs/reference/rivals.md: ``python -m bench.rivals``."""

import site
import time
from importlib.metadata import version
from io import StringIO
from pathlib import Path

import click

from bench.markdown import ROOT


def use_sdk() -> None:
    """Add AWS's SDK for durable functions and its test runner, last: ours comes first where both have a package."""
    (packages,) = (ROOT / ".tools/rivals/lib").glob("python*/site-packages")
    site.addsitedir(str(packages))


def generate() -> str:
    """Run everything and return the page."""
    use_sdk()
    # They import the SDK.
    from bench.meter import output_to  # noqa: PLC0415
    from bench.rivals import page, quantities, trials  # noqa: PLC0415
    from bench.rivals.durable_ways import CAREFUL, SAMPLE, without_backoff  # noqa: PLC0415
    from bench.rivals.experiments import WAYS  # noqa: PLC0415
    from dev.simulated.world import deployed  # noqa: PLC0415

    start = time.perf_counter()

    def say(text: str) -> None:
        click.echo(f"{time.perf_counter() - start:6.0f} s  {text}", err=True)

    with deployed() as stack, without_backoff(), output_to(StringIO()):
        found = quantities.measure(stack)
        say("orders without a fault")
        ways = dict(zip((quantities.HANDOFF, quantities.RELAY), WAYS, strict=True))
        ways |= {way.name: way for way in (CAREFUL, SAMPLE)}
        tried = {name: trials.run_all(stack, way, say) for name, way in ways.items()}
        sdk = version("aws-durable-execution-sdk-python-testing")
        return page.page(found, tried, quantities.monthly_sweeper(stack), sdk)


def main() -> None:
    """Write the page."""
    text = generate()
    from bench.rivals.page import PAGE  # noqa: PLC0415

    Path(ROOT / PAGE).write_text(text)


if __name__ == "__main__":
    main()
