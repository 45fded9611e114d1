"""The tests of the durable functions, which need AWS's SDK: `make rivals` runs them."""

import pytest

from bench.rivals.__main__ import use_sdk

use_sdk()


@pytest.fixture(scope="session")
def stack():
    """A stack whose functions are invoked again at once after a crash."""
    from bench.rivals.durable_ways import without_backoff  # noqa: PLC0415  # after `use_sdk`
    from dev.simulated.world import deployed  # noqa: PLC0415

    with deployed() as stack, without_backoff():
        yield stack
