"""Fixtures of the tests of all examples."""

import os
from unittest.mock import patch

import pytest

from dev.simulated.clock import standing
from dev.simulated.functions import forget_metrics
from dev.simulated.world import mocked
from tests.support import first_workflow
from tests.support.example_stack import VARIABLES


@pytest.fixture(autouse=True)
def _own_metrics():
    """Metrics are kept per process, which functions of other tests have used."""
    forget_metrics()


@pytest.fixture
def shop(monkeypatch):
    """The first-workflow example in moto, with a clock that stands still."""
    monkeypatch.syspath_prepend(str(first_workflow.SOURCE))
    with standing() as clock, patch.dict(os.environ, VARIABLES), mocked():
        yield first_workflow.Shop(clock)
