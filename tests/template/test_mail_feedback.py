"""Reports of SES on mails: enabled on AWS, matched for this stack's mails only, and disabled locally."""

import json

from moto.events.models import EventPattern

from dev import samples
from dev.template import Template, template_with


def bounce() -> dict:
    """Return the sample report as EventBridge gets it."""
    (record,) = samples.payloads()["feedback.json"]["Records"]
    report: dict = json.loads(record["body"])
    report["detail"]["mail"]["tags"]["ses:configuration-set"] = [
        "${AWS::StackName}-mail"
    ]  # as the translated template writes it
    return report


def test_ses_reports_bounces_and_complaints_to_the_default_bus(template: Template) -> None:
    (destination,) = template.of_type("AWS::SES::ConfigurationSetEventDestination").values()
    settings = destination["EventDestination"]
    assert set(settings["MatchingEventTypes"]) == {"BOUNCE", "COMPLAINT"}
    assert settings["EventBridgeDestination"]["EventBusArn"].endswith(":event-bus/default")
    assert template.of_type("AWS::Events::Rule")["FeedbackRule"]["EventBusName"] == "default"


def test_mails_are_sent_with_the_reporting_configuration_set(template: Template) -> None:
    (name,) = template.of_type("AWS::SES::ConfigurationSet")
    destination = template.of_type("AWS::SES::ConfigurationSetEventDestination")["MailFeedbackDestination"]
    sender = template.functions()["emails"]["Environment"]["Variables"]["CONFIGURATION_SET"]
    assert sender == destination["ConfigurationSetName"]
    assert name == "MailConfiguration"


def test_the_rule_matches_reports_on_this_stacks_mails_only(template: Template) -> None:
    pattern = EventPattern.load(json.dumps(template.of_type("AWS::Events::Rule")["FeedbackRule"]["EventPattern"]))
    report = bounce()
    assert pattern.matches_event(report)

    for change in ({"eventType": "Delivery"}, {"mail": {"tags": {"ses:configuration-set": ["another-stack-mail"]}}}):
        assert not pattern.matches_event(report | {"detail": report["detail"] | change})


def test_an_address_whose_flag_is_lifted_is_not_suppressed_by_ses(template: Template) -> None:
    # An empty list disables the account's list for this configuration set, while an absent one leaves it enabled:
    # https://docs.aws.amazon.com/ses/latest/dg/sending-email-suppression-list-config-level.html
    (configuration,) = template.of_type("AWS::SES::ConfigurationSet").values()
    assert configuration["SuppressionOptions"] == {"SuppressedReasons": []}


def test_mail_feedback_can_be_disabled() -> None:
    assert "MailFeedbackDestination" in template_with().resources
    assert "MailFeedbackDestination" not in template_with(MailFeedback="false").resources
