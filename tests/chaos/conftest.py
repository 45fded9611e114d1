"""Experiments that look for a fault: a slice of them in `make test`, more in `make chaos`, all with FULL=1."""

from dataclasses import dataclass
from typing import Literal

import pytest

from dev.simulated.world import deployed


@dataclass(frozen=True)
class Effort:
    """How far to go, and what random choices begin with."""

    level: Literal["slice", "sample", "full"]
    seed: int


@pytest.fixture(scope="session")
def effort(request):
    """As the command line says."""
    return Effort(request.config.getoption("--chaos"), request.config.getoption("--chaos-seed"))


@pytest.fixture(scope="module")
def stack():
    """One stack for a file of experiments; a `World` on it begins empty."""
    with deployed() as stack:
        yield stack
