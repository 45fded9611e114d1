"""`python -m dev poison`: a message that a consumer rejects, so that dead letters can be tried."""

from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from dev.commands import main as dev
from dev.console import poison
from ops.cli.main import main as handoff
from ops.cli.options import Target
from ops.dlq.directory import directory


@pytest.fixture
def deployment(sqs, resources) -> SimpleNamespace:
    return SimpleNamespace(
        sqs=sqs,
        endpoint="http://127.0.0.1:1",
        options=" --local=1",
        importers={},
        of_type=resources.__getitem__,
        resource=lambda name: next(found[name] for found in resources.values() if name in found),
    )


def test_every_consumer_makes_it_a_dead_letter_at_its_first_receive(world, deployment, monkeypatch) -> None:
    monkeypatch.setattr(Target, "deployment", lambda _: deployment)
    queues = directory(deployment).queues
    assert {"emails", "feedback"} < queues.keys()
    for consumer in queues:
        # WHEN it is sent to a consumer
        done = CliRunner().invoke(dev, ["poison", consumer])
        assert done.exit_code == 0, done.output
        assert f"handoff dlq list {consumer} --local=1" in done.output
        # THEN the consumer does not retry it
        function = f"{consumer.capitalize()}Function"
        world.queues.until_quiet(function)
        (dead,) = world.queues.dead_letters(function)
        assert dead.attributes["reason"].startswith("not an event")


def test_an_unknown_consumer_is_an_error(deployment, monkeypatch) -> None:
    monkeypatch.setattr(Target, "deployment", lambda _: deployment)
    done = CliRunner().invoke(dev, ["poison", "audit"])
    assert done.exit_code == 1
    assert "The stack has no queue of audit. It has: analytics, emails, " in done.output


def test_it_is_never_sent_on_aws(deployment) -> None:
    deployment.endpoint = None
    with pytest.raises(ValueError, match="local stack only"):
        poison.send(deployment, "emails")
    # AND the operator's command has no such command
    assert "poison" not in handoff.commands
