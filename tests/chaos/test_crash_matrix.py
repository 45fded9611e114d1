"""Inject every fault into every call of every scenario, alone and in pairs; nothing is lost or done twice.

`make chaos` tries a sample of each scenario, `make chaos FULL=1` every fault and all pairs.
"""

import random

import pytest

from tests.support import experiments
from tests.support.experiments import PAIRED
from tests.support.scenarios import SCENARIOS

# By effort: single faults of a scenario, first faults of pairs, second faults for each; None means all.
_PORTIONS = {"sample": (30, 2, 2), "full": (None, None, None)}
_PARTS = 8  # of a scenario, for parallel processes

pytestmark = pytest.mark.timeout(0)


def pytest_generate_tests(metafunc):
    """Each scenario, split into parts for parallel processes."""
    metafunc.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
    if "part" in metafunc.fixturenames:
        metafunc.parametrize("part", range(_PARTS), ids=lambda part: f"{part + 1} of {_PARTS}")


@pytest.fixture(scope="module")
def undisturbed(stack):
    """Run a scenario once without faults."""
    runs = {}

    def find(scenario):
        if scenario.name not in runs:
            runs[scenario.name] = experiments.run(stack, scenario)
        return runs[scenario.name]

    return find


@pytest.fixture
def choose(effort, scenario):
    """Choose a number of items, deterministically for a seed."""
    chance = random.Random(f"{effort.seed} {scenario.name}")
    return lambda choices, most: choices if most is None else chance.sample(choices, min(most, len(choices)))


def test_without_a_fault(undisturbed, tally, scenario):
    undisturbed(scenario)
    tally["scenarios"] += 1


def test_one_fault(stack, effort, undisturbed, choose, tally, scenario, part):
    strikes = choose(list(undisturbed(scenario).further()), _PORTIONS[effort.level][0])
    for strike in strikes[part::_PARTS]:
        experiments.run(stack, scenario, strike)
        tally["experiments with one fault"] += 1


def test_two_faults(stack, effort, undisturbed, choose, tally, scenario, part):
    _, firsts, seconds = _PORTIONS[effort.level]
    for first in choose(list(undisturbed(scenario).further(PAIRED)), firsts)[part::_PARTS]:
        struck = experiments.run(stack, scenario, first)
        for second in choose(list(struck.further(PAIRED)), seconds):
            experiments.run(stack, scenario, first, second)
            tally["experiments with two faults"] += 1
