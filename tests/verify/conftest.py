"""A stack in moto for the checks of `handoff verify`, and one run of a check."""

import json
from contextlib import suppress
from functools import cache
from types import SimpleNamespace

import boto3
import pytest
from moto import mock_aws

from dev.simulated.account import ACCOUNT, REGION
from dev.simulated.world import CREDENTIALS
from handoff.clock import now_ms
from ops.stack.deployment import Deployment
from ops.verify.answers import Answers
from ops.verify.check import Attempt, Situation
from ops.verify.run import run

STACK = "handoff-test"
PARAMETERS = {"DataPolicy": "Delete", "PaymentProvider": "sandbox", "PasswordSignIn": "true", "OwnKey": "false"}
STACK_ID = f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/{STACK}/1"


@pytest.fixture
def account(clock, monkeypatch):
    """An empty AWS account, and a clock that stands still while nothing sleeps."""
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    with mock_aws():
        session = boto3.Session()
        session.events.register(
            "provide-client-params.sqs.ReceiveMessage", lambda params, **_: params.update(WaitTimeSeconds=0)
        )  # moto would wait on a clock that stands still
        yield session


@pytest.fixture
def client(account):
    """Return a client that bypasses all faults and links."""
    return _direct


@cache
def _direct(service):
    return _own_session().client(service)


@cache
def _own_session():
    return boto3.Session("testing", "testing", region_name=REGION)


@pytest.fixture
def make_deployment(account):
    """Return a deployment with resources: by logical id, the type and the physical id."""

    def make(resources, *, parameters=None, outputs=None, status="UPDATE_COMPLETE"):
        deployment = Deployment(STACK, account)
        deployment.__dict__["_description"] = {"StackStatus": status, "StackId": STACK_ID}  # as if they had been read
        deployment.__dict__["parameters"] = PARAMETERS | (parameters or {})
        deployment.__dict__["outputs"] = {"ApiId": "a1b2c3", **(outputs or {})}
        deployment.__dict__["_resources"] = {
            name: {"LogicalResourceId": name, "ResourceType": kind, "PhysicalResourceId": physical}
            for name, (kind, physical) in resources.items()
        }
        return deployment

    return make


@pytest.fixture
def subscribe(client):
    """Create a bus with rules, and return its resources and those of consumers, given the types that each one gets."""

    def create(types):
        client("events").create_event_bus(Name="bus")
        resources = {"Bus": ("AWS::Events::EventBus", "bus")}
        for name, named in types.items():
            client("events").put_rule(Name=name, EventBusName="bus", EventPattern=json.dumps({"detail-type": named}))
            stem = name.capitalize()
            resources[f"{stem}Rule"] = ("AWS::Events::Rule", f"bus|{name}")
            resources[f"{stem}Queue"] = ("AWS::SQS::Queue", name)
            resources[f"{stem}Function"] = ("AWS::Lambda::Function", name)
        return resources

    return create


@pytest.fixture
def order():
    """A smoke order that was placed now."""
    return SimpleNamespace(order_id="ord_smoke", sent_at=now_ms(), answered_at=now_ms() + 200)


@pytest.fixture
def shown():
    """The texts that were shown during a run."""
    return []


@pytest.fixture
def perform(shown):
    """Run a check on a deployment; return its result and those of its parts."""

    def perform(check, deployment, **situation):
        results = []
        with suppress(KeyboardInterrupt):
            for result in run([check], Situation(deployment, **situation), Answers(deployment.session), shown.append):
                results.append(result)  # noqa: PERF402  # those before an interrupt too
        return results

    return perform


@pytest.fixture
def attempt(shown):
    """Return an attempt on a deployment, whose clean-up the test makes."""

    def make(deployment, **situation):
        return Attempt(Situation(deployment, **situation), Answers(deployment.session), shown.append)

    return make
