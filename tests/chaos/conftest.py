"""Randomized experiments, which prove by repetition: a sample in `make chaos`, all with FULL=1."""

import random
from dataclasses import dataclass
from typing import Literal

import pytest

from dev.simulated.world import World, deployed
from tests.support.race_harness import RaceHarness
from tests.support.scheduler import at_random, every_order, follow

# Number of interleavings per scenario of a race: systematic ones, then random ones if there are more.
ORDERS = {"sample": (3, 5), "full": (3_000, 500)}


@dataclass(frozen=True)
class Effort:
    """Number of experiments, and the seed of random choices."""

    level: Literal["sample", "full"]
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


@pytest.fixture
def run(request, stack, clock, effort, tally, capsys):
    """Run a scenario in as many interleavings as the effort allows, or in the one of the command line.

    ``settings`` replace environment variables of the functions.
    """
    only = request.config.getoption("--chaos-schedule")
    most, drawn = ORDERS[effort.level]

    def run(scenario, settings=None):
        harness = RaceHarness(World(stack, clock, settings=settings))
        seen = set()

        def play(choose):
            taken = ""

            def noting(moves):
                nonlocal taken
                move = choose(moves)
                taken += move
                return move

            try:
                turns = harness.play(scenario, noting)
            except BaseException as error:
                error.add_note(f"The order was {taken}. Again: pytest '{request.node.nodeid}' --chaos-schedule={taken}")
                raise
            capsys.readouterr()  # output matters only for a failed run
            seen.add(taken)
            return turns

        if only:
            play(follow(only))
        elif every_order(play, most):
            tally["races in every order of their calls"] += 1
        else:
            tally["races in some orders of their calls"] += 1
            choose = at_random(random.Random(f"{effort.seed} {request.node.name}"))
            for _ in range(drawn):
                play(choose)
        tally["orders of calls"] += len(seen)
        tally["different outcomes of races"] += harness.outcomes

    return run
