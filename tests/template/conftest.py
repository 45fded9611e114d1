from collections.abc import Iterator

import pytest

from dev.simulated.stack import SimulatedStack
from dev.template import WITH_PARTNER, Consumer, Properties, Template, template_with
from tests.support.cloudwatch import CloudWatch
from tests.support.monitored_stack import MonitoredStack, monitoring
from tests.support.partners import deployed_with_partner
from tests.template import alarm_scenarios

_TEMPLATE = template_with(**WITH_PARTNER)
_CONSUMED = {consumer.queue_id for consumer in _TEMPLATE.consumers()}


@pytest.fixture
def template() -> Template:
    """The template at its defaults, with the partner's resources."""
    return _TEMPLATE


@pytest.fixture(params=_TEMPLATE.consumers(), ids=lambda consumer: consumer.name)
def consumer(request: pytest.FixtureRequest) -> Consumer:
    """Every consumer."""
    return request.param


@pytest.fixture(params=_TEMPLATE.functions())
def function(request: pytest.FixtureRequest) -> Properties:
    """Every function."""
    return _TEMPLATE.functions()[request.param]


@pytest.fixture(params=_TEMPLATE.of_type("AWS::SQS::Queue"))
def queue_id(request: pytest.FixtureRequest) -> str:
    """Every queue."""
    return request.param


@pytest.fixture(params=sorted(_TEMPLATE.of_type("AWS::SQS::Queue").keys() - _CONSUMED))
def dead_letters_id(request: pytest.FixtureRequest) -> str:
    """Every queue without a consumer: for dead letters, or for events that EventBridge could not deliver."""
    return request.param


@pytest.fixture(params=_TEMPLATE.of_type("AWS::Events::Rule"))
def rule(request: pytest.FixtureRequest) -> Properties:
    """Every rule."""
    return _TEMPLATE.of_type("AWS::Events::Rule")[request.param]


# Except the audit's rule, which matches everything, and the feedback's rule, which matches events of SES.
@pytest.fixture(params=sorted(_TEMPLATE.of_type("AWS::Events::Rule").keys() - {"AuditRule", "FeedbackRule"}))
def choosing_rule(request: pytest.FixtureRequest) -> Properties:
    """Every rule that matches some of Handoff's events."""
    return _TEMPLATE.of_type("AWS::Events::Rule")[request.param]


@pytest.fixture(params=_TEMPLATE.of_type("AWS::CloudWatch::Alarm"))
def alarm(request: pytest.FixtureRequest) -> Properties:
    """Every alarm."""
    return _TEMPLATE.of_type("AWS::CloudWatch::Alarm")[request.param]


@pytest.fixture(params=_TEMPLATE.of_type("AWS::DynamoDB::Table"))
def table_id(request: pytest.FixtureRequest) -> str:
    """Every table."""
    return request.param


@pytest.fixture(scope="module")
def stack() -> Iterator[SimulatedStack]:
    """The stack in moto, with a partner that accepts everything."""
    with deployed_with_partner() as (stack, _):
        yield stack


@pytest.fixture(scope="module")
def normal(stack: SimulatedStack) -> MonitoredStack:
    """A stack after a period of normal operation."""
    with monitoring(stack) as monitored:
        alarm_scenarios.normal(monitored)
    return monitored


@pytest.fixture(scope="module")
def emitted(stack: SimulatedStack) -> CloudWatch:
    """All metrics that the functions can emit."""
    with monitoring(stack) as monitored:
        alarm_scenarios.everything(monitored)
    return monitored.cloudwatch
