"""Rerun one experiment by the name in a failure; not part of any run."""

from tests.support import experiments
from tests.support.scenarios import SCENARIOS


def test_again(request, stack):
    name, _, faults = request.config.getoption("--experiment").partition(": ")
    (scenario,) = (scenario for scenario in SCENARIOS if scenario.name == name)
    experiments.run(stack, scenario, *map(experiments.parse, faults.split(", ")))
