"""The first-workflow example, beside Handoff: each step by its command. `make throw` throws the switch under load."""

import shlex
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner, Result

from dev.commands import main as developers
from dev.first_workflow.deployed import STACK, WITH_SWITCH, FirstWorkflow
from dev.first_workflow.throw import plant_difference
from dev.local.stack import ROOT, LocalStack
from ops.cli.main import main as operators
from ops.stack.deployment import Deployment
from tests.support.markdown import commands

PAGE = ROOT / "docs/how-to/move-a-workflow-to-events.md"
SHOWN = [words for words, _ in commands(PAGE.read_text()) if words[:2] == ["make", "first-workflow"]]
Run = Callable[..., Result]


@pytest.fixture(scope="module")
def workflow(local_stack: LocalStack, deployment: Deployment) -> FirstWorkflow:
    return FirstWorkflow(local_stack, deployment)


@pytest.fixture
def run(local_stack: LocalStack, deployment: Deployment) -> Run:
    """Run the command of a step, as `make first-workflow` does."""

    def run(**variables: str) -> Result:
        environment = {"PORT": str(local_stack.port), **variables}
        return CliRunner(env=environment).invoke(developers, ["first-workflow", "--orders", "3"])

    return run


def compare(local_stack: LocalStack, *options: str) -> Result:
    return CliRunner(env={"PORT": str(local_stack.port)}).invoke(operators, ["compare", STACK, "--local", *options])


def variables(words: list[str]) -> dict[str, str]:
    return dict(word.split("=") for word in words[2:])


def test_the_page_runs_all_steps_in_their_order() -> None:
    steps = [int(variables(words)["STEP"]) for words in SHOWN]
    assert sorted(set(steps)) == [0, 1, 2, 3, 4, 5]
    assert steps == sorted(steps)


def test_the_steps_of_the_page_up_to_the_switch(run: Run, local_stack: LocalStack) -> None:
    for words in SHOWN:
        if int(variables(words)["STEP"]) <= WITH_SWITCH:
            done = run(**variables(words))
            assert done.exit_code == 0, f"{shlex.join(words)}: {done.output}"
            assert "3 mailed once, 0 not mailed, 0 more than once." in done.output
    done = compare(local_stack)
    assert (done.exit_code, " 0 differences." in done.output) == (0, True), done.output


def test_a_planted_difference_is_found(workflow: FirstWorkflow, local_stack: LocalStack) -> None:
    order_id, found = plant_difference(workflow)

    differences = [one for one in found.differences if one.kind != "doubled"]
    assert [(one.subject, one.kind, one.what.split(":")[0]) for one in differences] == [
        (order_id, "different", "recipient")
    ]
    done = compare(local_stack)
    assert done.exit_code == 1
    (shown,) = [line for line in done.output.splitlines() if line.startswith(f"{order_id}  different  recipient: ")]
    assert "15 characters by request" in shown
    assert "24 characters by event" in shown


def test_the_steps_of_the_page_after_the_switch(run: Run, workflow: FirstWorkflow, local_stack: LocalStack) -> None:
    answers: dict[str, Any] = {}
    for words in SHOWN:
        step = variables(words)["STEP"]
        if int(step) > WITH_SWITCH:
            done = run(**variables(words))
            answers[step] = done.output
            assert "3 mailed once, 0 not mailed, 0 more than once." in done.output, done.output
            assert done.exit_code == (1 if step == "4" else 0)  # step 4 compares, and finds the planted difference
    assert "3 to be mailed by the request, 0 by the consumer." in answers["4"]
    assert "0 to be mailed by the request, 3 by the consumer." in answers["5"]
    assert compare(local_stack).exit_code == 2  # no shadow is left to compare
