"""Webhooks: signed as the Standard Webhooks specification says, by secrets that are checked."""

import json
from datetime import UTC, datetime

import pytest
from standardwebhooks import Webhook

import webhooks
from handoff.errors import RetryLater
from handoff.events import Envelope, Metadata
from shop.events import OrderData

# The example of the specification's libraries: their tests sign the same text with the same secret.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_" + "b3RoZXIgc2VjcmV0IG9mIDMyIGJ5dGVzIGluIGFsbCE="
NOW = 1_795_000_000_000  # ms


class Stored:
    """A secret in Secrets Manager."""

    def __init__(self, text):
        self._text = text

    def text(self):
        return self._text


def envelope(event_id="ord_a-1"):
    metadata = Metadata(event_id=event_id, timestamp="2026-11-23T10:00:00.123Z", sequence=1, correlation_id="c")
    return Envelope("handoff.orders", "order_placed", metadata, OrderData(order_id="ord_a", user_id="ada"))


def signers(text):
    return webhooks.SigningSecrets(Stored(text)).read()


def test_a_webhook_is_signed_as_the_specification_says():
    # GIVEN the values of the specification's own example, which was not signed by this library
    (signer,) = signers(SECRET)
    at = datetime.fromtimestamp(1614265330, UTC)
    # THEN the signature is the one that it has there
    signed = signer.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", at, '{"test": 2432232314}')
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_webhook_has_the_event_id_the_time_of_the_attempt_and_ids_only():
    webhook = webhooks.sign(envelope(), signers(SECRET), NOW)

    assert json.loads(webhook.body) == {
        "type": "order_placed",
        "timestamp": "2026-11-23T10:00:00.123Z",
        "data": {"orderId": "ord_a", "userId": "ada"},
    }
    assert webhook.headers["webhook-id"] == "ord_a-1"
    assert webhook.headers["webhook-timestamp"] == str(NOW // 1000)
    assert webhook.headers["content-type"] == "application/json"


def test_both_secrets_sign_while_one_is_rotated(monkeypatch):
    webhook = webhooks.sign(envelope(), signers(f"{SECRET}\n\n  {OTHER}  \n"), NOW)

    monkeypatch.setattr("standardwebhooks.webhooks.datetime", FixedDatetime)
    assert len(webhook.headers["webhook-signature"].split(" ")) == 2
    for secret in (SECRET, OTHER):
        assert Webhook(secret).verify(webhook.body, webhook.headers)["type"] == "order_placed"


class FixedDatetime:
    """The library's clock, at the time of the attempt."""

    @staticmethod
    def now(tz):
        return FixedDatetime.fromtimestamp(NOW / 1000, tz=tz)

    @staticmethod
    def fromtimestamp(seconds, tz):
        return datetime.fromtimestamp(seconds, tz=tz)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "PartnerSecret can't sign: it has 0 lines; store one secret, or two while you rotate it"),
        (
            f"{SECRET}\n{OTHER}\n{SECRET}",
            "PartnerSecret can't sign: it has 3 lines; store one secret, or two while you rotate it",
        ),
        ('{"apiKey": "secret"}', "PartnerSecret can't sign: line 1 is not"),
        (SECRET.removeprefix("whsec_"), "PartnerSecret can't sign: line 1 is not"),
        (f"{SECRET}\nwhsec_short", "PartnerSecret can't sign: line 2 is not"),
        # The library drops characters that are not of base64, and signs with the rest.
        (f"{SECRET[:-4]}-ä!{SECRET[-4:]}", "PartnerSecret can't sign: line 1 is not"),
        ("whsec_" + "A" * 92, "PartnerSecret can't sign: line 1 is not"),  # 69 bytes
    ],
)
def test_a_malformed_secret_signs_nothing_and_is_not_shown(text, reason):
    with pytest.raises(RetryLater, match=f"^{reason}") as raised:
        signers(text)
    assert "secret_" not in str(raised.value)
    assert not [line for line in text.split() if len(line) > 5 and line in str(raised.value)]


def test_a_secret_without_padding_is_accepted():
    assert len(signers("whsec_" + "A" * 34)) == 1  # 25 bytes


@pytest.mark.parametrize(
    ("event_id", "webhook_id"),
    [
        ("ord_a-1", "ord_a-1"),
        ("auth0|ada@example-7", "auth0|ada@example-7"),
        ("ada.lovelace-7", "ada%2Elovelace-7"),
        ("ada%2Elovelace-7", "ada%252Elovelace-7"),
        ("ädä 1", "%C3%A4d%C3%A4%201"),
        ("a\u2028b", "a%E2%80%A8b"),
    ],
)
def test_an_id_is_sent_in_the_characters_of_a_header_without_full_stops(event_id, webhook_id):
    assert webhooks.sign(envelope(event_id), signers(SECRET), NOW).headers["webhook-id"] == webhook_id


def test_different_events_have_different_ids():
    visible = [chr(code) for code in range(0x20, 0x7F)]
    assert len({webhooks.id_of(one) for one in visible}) == len(visible)
    assert [one for one in visible if webhooks.id_of(one) != one] == [" ", "%", "."]
