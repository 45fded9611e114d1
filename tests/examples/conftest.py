"""Fixtures of the tests of all examples."""

import pytest

from dev.simulated.functions import forget_metrics


@pytest.fixture(autouse=True)
def _own_metrics():
    """Metrics are kept per process, which functions of other tests have used."""
    forget_metrics()
