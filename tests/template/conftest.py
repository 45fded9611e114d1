from collections.abc import Iterator

import pytest

from tests.support.cloudwatch import CloudWatch
from tests.support.day import Day, beginning
from tests.support.stack import Stack as Deployment
from tests.support.world import deployed
from tests.template import days, translated
from tests.template.translated import Consumer, Properties, Stack

_STACK = translated.stack(**translated.EVERYTHING)
_CONSUMED = {consumer.queue_id for consumer in _STACK.consumers()}


@pytest.fixture
def stack() -> Stack:
    """The stack at the template's defaults, with all that it can have."""
    return _STACK


@pytest.fixture(params=_STACK.consumers(), ids=lambda consumer: consumer.name)
def consumer(request: pytest.FixtureRequest) -> Consumer:
    """Every consumer."""
    return request.param


@pytest.fixture(params=_STACK.functions())
def function(request: pytest.FixtureRequest) -> Properties:
    """Every function."""
    return _STACK.functions()[request.param]


@pytest.fixture(params=_STACK.of_type("AWS::SQS::Queue"))
def queue_id(request: pytest.FixtureRequest) -> str:
    """Every queue."""
    return request.param


@pytest.fixture(params=sorted(_STACK.of_type("AWS::SQS::Queue").keys() - _CONSUMED))
def dead_letters_id(request: pytest.FixtureRequest) -> str:
    """Every queue that nothing consumes: what failed is in it, or what EventBridge could not deliver."""
    return request.param


@pytest.fixture(params=_STACK.of_type("AWS::Events::Rule"))
def rule(request: pytest.FixtureRequest) -> Properties:
    """Every rule."""
    return _STACK.of_type("AWS::Events::Rule")[request.param]


# The audit's rule takes everything, and mails' feedback is SES's to tell, not ours.
@pytest.fixture(params=sorted(_STACK.of_type("AWS::Events::Rule").keys() - {"AuditRule", "FeedbackRule"}))
def choosing_rule(request: pytest.FixtureRequest) -> Properties:
    """Every rule that chooses among our own events."""
    return _STACK.of_type("AWS::Events::Rule")[request.param]


@pytest.fixture(params=_STACK.of_type("AWS::CloudWatch::Alarm"))
def alarm(request: pytest.FixtureRequest) -> Properties:
    """Every alarm."""
    return _STACK.of_type("AWS::CloudWatch::Alarm")[request.param]


@pytest.fixture(params=_STACK.of_type("AWS::DynamoDB::Table"))
def table_id(request: pytest.FixtureRequest) -> str:
    """Every table."""
    return request.param


@pytest.fixture(scope="module")
def deployment() -> Iterator[Deployment]:
    """The stack in moto."""
    with deployed() as deployment:
        yield deployment


@pytest.fixture(scope="module")
def good_day(deployment: Deployment) -> Day:
    """A good day that is over."""
    with beginning(deployment) as day:
        days.good(day)
    return day


@pytest.fixture(scope="module")
def emitted(deployment: Deployment) -> CloudWatch:
    """All metrics that our functions ever emit."""
    with beginning(deployment) as day:
        days.everything(day)
    return day.cloudwatch
