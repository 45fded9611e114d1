"""Randomized experiments: a sample in `make test`, more in `make chaos`, all with FULL=1."""

from dataclasses import dataclass
from typing import Literal

import pytest

from dev.simulated.world import deployed


@dataclass(frozen=True)
class Effort:
    """Number of experiments, and the seed of random choices."""

    level: Literal["slice", "sample", "full"]
    seed: int


@pytest.fixture(scope="session")
def effort(request):
    """Return the effort that the command line sets."""
    return Effort(request.config.getoption("--chaos"), request.config.getoption("--chaos-seed"))


@pytest.fixture(scope="module")
def stack():
    """One stack for a file of experiments; each `World` on it starts empty."""
    with deployed() as stack:
        yield stack
