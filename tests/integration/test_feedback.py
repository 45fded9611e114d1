"""Bounces and complaints: the address is flagged and gets no mail until it changes."""

import json

import pytest

from shop.mail_tags import tag_of

FEEDBACK, EMAILS = "FeedbackFunction", "EmailsFunction"
BOUNCE = {"bounceType": "Permanent", "bouncedRecipients": [{"emailAddress": "ada@example.com"}]}
COMPLAINT = {"complainedRecipients": [{"emailAddress": "ada@example.com"}]}


def report(user="ada", **detail):
    """Return a report from SES as EventBridge delivers it."""
    return json.dumps(
        {
            "version": "0",
            "id": "11111111-2222-3333-4444-555555555555",
            "detail-type": "Email Bounced",
            "source": "aws.ses",
            "time": "2026-11-23T10:00:00Z",
            "detail": {"mail": {"tags": {"user": [tag_of(user)], "ses:operation": ["SendEmail"]}}, **detail},
        }
    )


def deliver(world, text):
    world.queues.send(FEEDBACK, text)
    world.queues.deliver(FEEDBACK)


def problem(world):
    return world.item("CustomersTable", userId="ada").get("emailProblem")


def test_a_mail_is_tagged_with_its_customer_in_ses_characters(world, order_id):
    world.queues.deliver(EMAILS)

    (call,) = world.wire.named("sesv2.SendEmail")
    assert call.request["EmailTags"] == [{"Name": "user", "Value": tag_of("ada")}]
    assert call.request["ConfigurationSetName"].endswith("-mail")
    assert tag_of("auth0|äöü").replace("-", "").replace("_", "").isalnum()


@pytest.mark.parametrize(
    ("detail", "marked"), [({"bounce": BOUNCE}, "bounced"), ({"complaint": COMPLAINT}, "complained")]
)
def test_a_bouncing_address_is_flagged(world, detail, marked):
    deliver(world, report(**detail))

    assert problem(world) == marked


def test_a_flagged_address_gets_no_mail(world, order_id):
    deliver(world, report(bounce=BOUNCE))

    world.queues.until_quiet(EMAILS)

    assert world.mails() == []
    assert world.queues.dead_letters(EMAILS) == []


def test_a_transient_bounce_flags_nothing(world):
    deliver(world, report(bounce=BOUNCE | {"bounceType": "Transient"}))

    assert problem(world) is None


def test_a_former_address_is_not_flagged(world):
    deliver(world, report(bounce=BOUNCE | {"bouncedRecipients": [{"emailAddress": "old@example.com"}]}))

    assert problem(world) is None


def test_a_deleted_customer_is_not_recreated(world):
    deliver(world, report(user="unknown", bounce=BOUNCE))

    assert world.item("CustomersTable", userId="unknown") == {}


def test_a_new_address_is_not_flagged(world):
    api = world.api("ada")
    api.call("PUT", "/me", json.dumps({"name": "Ada", "email": "ada@example.com"}))
    deliver(world, report(bounce=BOUNCE))
    assert problem(world) == "bounced"

    api.call("PUT", "/me", json.dumps({"name": "Ada", "email": "lovelace@example.com"}))

    assert problem(world) is None


@pytest.mark.parametrize("text", ["no json", "{}", report(bounce=BOUNCE).replace('"user"', '"other"')])
def test_an_invalid_report_is_a_dead_letter_with_its_reason(world, text):
    deliver(world, text)

    (letter,) = world.queues.dead_letters(FEEDBACK)
    assert letter.body == text
    assert letter.attributes["reason"].startswith("not an event of SES")
