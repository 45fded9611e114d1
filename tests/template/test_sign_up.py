"""Signing up: who may, which service sends the mails, and the alarm on the daily limit of Cognito's own sender."""

import pytest

from dev.template import Properties, Template, template_with
from tests.support.cloudwatch import CloudWatch, Metric
from tests.template import test_samconfig
from tests.template.alarm_scenarios import HOUR

FROM_SHOP = {"MailFrom": "orders@shop.example"}
ISSUER = {"JwtIssuer": "https://issuer.example.com", "JwtAudience": "shop"}
BY_COGNITO = {"EmailSendingAccount": "COGNITO_DEFAULT"}


def pool(**parameters: str) -> Properties:
    """Return the properties of the user pool with these parameters."""
    (found,) = template_with(**parameters).of_type("AWS::Cognito::UserPool").values()
    return found


@pytest.mark.parametrize(("given", "is_closed"), [({}, False), ({"SelfSignUp": "false"}, True)])
def test_only_an_administrator_creates_users_if_sign_up_is_closed(given: dict[str, str], *, is_closed: bool) -> None:
    assert pool(**given)["AdminCreateUserConfig"] == {"AllowAdminCreateUserOnly": is_closed}


# --- mails ------------------------------------------------------------------------------------------------------------


def test_ses_sends_the_pools_mails_from_the_shops_address() -> None:
    """https://docs.aws.amazon.com/cognito/latest/developerguide/user-pool-email.html"""
    assert pool(**FROM_SHOP)["EmailConfiguration"] == {
        "EmailSendingAccount": "DEVELOPER",
        "From": "orders@shop.example",
        "SourceArn": "arn:${AWS::Partition}:ses:${AWS::Region}:${AWS::AccountId}:identity/orders@shop.example",
    }


@pytest.mark.parametrize("given", [{}, FROM_SHOP | {"SignUpMails": "cognito"}], ids=["no sender", "on request"])
def test_cognito_sends_them_without_a_sender_or_on_request(given: dict[str, str]) -> None:
    assert pool(**given)["EmailConfiguration"] == BY_COGNITO


def test_the_local_stack_needs_no_verified_sender() -> None:
    (local,) = test_samconfig.deployed("local").of_type("AWS::Cognito::UserPool").values()
    assert local["EmailConfiguration"] == BY_COGNITO


def test_bounces_of_the_pools_mails_do_not_reach_the_feedback_consumer() -> None:
    # GIVEN that the feedback consumer gets what is sent with the configuration set, and needs the customer's tag
    assert "ConfigurationSet" not in pool(**FROM_SHOP)["EmailConfiguration"]


# --- the alarm --------------------------------------------------------------------------------------------------------


def state_after(template: Template, client: str, *hours: float) -> str:
    """Return the alarm's state at the end, after sign-ups through a client at these hours."""
    cloudwatch = CloudWatch()
    metric = Metric.of("AWS/Cognito", "SignUpSuccesses", UserPool="${UserPool}", UserPoolClient=client)
    for hour in hours:
        cloudwatch.put(metric, int(hour * HOUR * 1000), 1)
    end = int((max(hours) + 0.1) * HOUR * 1000)
    alarm = template.resources["SignUpMailsAlarm"]["Properties"]
    return cloudwatch.states(alarm, end - HOUR * 1000, end)[-1]


def test_the_alarm_is_raised_before_the_limit_of_fifty_mails(template: Template) -> None:
    """https://docs.aws.amazon.com/cognito/latest/developerguide/quotas.html"""
    half_hours = [number / 2 for number in range(40)]
    assert state_after(template, "${UserPoolClient}", *half_hours) == "ALARM"
    assert state_after(template, "${UserPoolClient}", *half_hours[1:]) == "OK"
    # AND as many within two days raise none
    assert state_after(template, "${UserPoolClient}", *(number * 1.2 for number in range(40))) == "OK"


def test_with_closed_sign_up_the_alarm_counts_users_of_administrators() -> None:
    closed = template_with(SelfSignUp="false")
    assert state_after(closed, "Admin", *(number / 2 for number in range(40))) == "ALARM"


@pytest.mark.parametrize("given", [FROM_SHOP, ISSUER], ids=["SES", "another issuer"])
def test_without_cognitos_sender_there_is_no_alarm(given: dict[str, str]) -> None:
    template = template_with(**given)
    assert "SignUpMailsAlarm" not in template.resources
    assert "SignUpMailsAlarm" not in template.resources["Dashboard"]["Properties"]["DashboardBody"]
