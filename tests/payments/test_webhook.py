"""Stripe's webhook: only current events that Stripe has signed reach the bus, and 200 means that the bus has them."""

import base64
import json

import boto3
import pytest
import stripe

from dev.simulated import wire
from dev.simulated.api import event as request_of
from dev.simulated.world import deployed
from dev.template import WITH_PAYMENT_EVENTS
from shop.events import EVENTS, PaymentData
from tests.support import metrics
from tests.support.stripe_events import signed

FUNCTION = "PaymentEventsFunction"
SECRET = WITH_PAYMENT_EVENTS["PaymentEventsSecret"]
FIRST, SECOND = "whsec_first", "whsec_second"
MINUTE = 60
INTENT = {"id": "pi_1", "object": "payment_intent", "status": "canceled", "last_payment_error": "card of Ada Lovelace"}


@pytest.fixture(scope="module")
def stack():
    """Deploy the template to moto with the webhook and its secret."""
    with deployed(WITH_PAYMENT_EVENTS) as stack:
        boto3.client("secretsmanager").create_secret(Name=SECRET, SecretString=FIRST)
        yield stack


@pytest.fixture
def printed(capsys):
    """Return the metrics that were printed since the last call."""
    return lambda: metrics.printed(capsys.readouterr().out)


@pytest.fixture
def rotate(world):
    """Put signing secrets into the secret."""

    def put(*secrets):
        world.client("secretsmanager").put_secret_value(SecretId=SECRET, SecretString="\n".join(secrets))

    put(FIRST)
    return put


@pytest.fixture
def send(world, rotate):
    """Send a request to the webhook as API Gateway passes it; return the answer."""

    def post(payload, header, *, is_base64=False):
        headers = {"Stripe-Signature": header} if header is not None else {}
        request = request_of("POST", "/payment-events", None, headers, None) | {"body": payload}
        if is_base64:
            request |= {"body": base64.b64encode(payload.encode()).decode(), "isBase64Encoded": True}
        return world.functions.invoke(FUNCTION, request)

    return post


@pytest.fixture
def happen(clock):
    """Return an event of Stripe and its signature."""

    def sign(subject=INTENT, secret=FIRST, age=0, **values):
        event = {"id": "evt_1", "object": "event", "created": clock.ms // 1000, "data": {"object": subject}, **values}
        return signed(event, secret, clock.ms // 1000 - age)

    return sign


def problem(answer):
    """Return the status and the last part of the problem's type."""
    document = json.loads(answer["body"])
    assert answer["headers"]["content-type"] == "application/problem+json"
    assert document["status"] == answer["statusCode"]
    return answer["statusCode"], document["type"].rpartition(":")[2]


# --- events that Stripe has signed ------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_base64", [False, True], ids=["text", "base64"])
def test_a_signed_event_is_published_with_ids_only(world, send, happen, clock, is_base64):
    answer = send(*happen(), is_base64=is_base64)

    assert answer["statusCode"] == 200
    (published,) = world.events()
    delivered = {"source": published["Source"], "detail-type": published["DetailType"], "detail": published["Detail"]}
    envelope = EVENTS.parse(json.dumps(delivered))
    assert envelope.expect(PaymentData).reference == "pi_1"
    assert envelope.event_id == "evt_1-1"
    assert envelope.happened_at == clock.ms // 1000 * 1000
    assert envelope.metadata.correlation_id == "evt_1"
    assert published["Detail"]["data"] == {"reference": "pi_1"}


@pytest.mark.parametrize("kind", ["charge", "refund", "dispute"])
def test_an_event_about_an_object_of_a_payment_names_the_payment(world, send, happen, kind):
    assert send(*happen({"id": "x_1", "object": kind, "payment_intent": "pi_7"}))["statusCode"] == 200
    assert world.events()[0]["Detail"]["data"] == {"reference": "pi_7"}


@pytest.mark.parametrize("subject", [{"object": "customer"}, {"object": "charge", "payment_intent": None}])
def test_an_event_about_no_payment_is_accepted_and_ignored(world, send, happen, subject):
    assert send(*happen(subject))["statusCode"] == 200
    assert world.events() == []


def test_a_repeated_event_has_the_same_id(world, send, happen, clock):
    payload, header = happen()
    send(payload, header)
    clock.forward(MINUTE)
    send(payload, header)
    assert [event["Detail"]["metadata"]["eventId"] for event in world.events()] == ["evt_1-1"] * 2


def test_one_event_takes_one_call_to_the_bus_and_no_table(world, send, happen):
    send(*happen())
    with world.wire.watched() as calls:
        send(*happen())
    assert [call.name for call in calls] == ["eventbridge.PutEvents"]


@pytest.mark.parametrize("fault", [wire.cannot_connect, wire.refuse("InternalException", 500), wire.lose_response])
def test_without_the_bus_stripe_is_asked_to_send_the_event_again(world, send, happen, printed, fault):
    world.wire.on("eventbridge.PutEvents", fault)
    answer = send(*happen())

    assert problem(answer) == (503, "unavailable")
    assert int(answer["headers"]["retry-after"]) > 0
    assert printed()["PaymentEventsFailed"].values == [1]


def test_an_entry_that_the_bus_refuses_is_not_taken_for_published(world, send, happen):
    refused = {"FailedEntryCount": 1, "Entries": [{"ErrorCode": "ThrottlingException", "ErrorMessage": "slow down"}]}
    world.wire.on("eventbridge.PutEvents", wire.answer(refused))
    assert problem(send(*happen())) == (503, "unavailable")


# --- requests that are refused ----------------------------------------------------------------------------------------


def test_a_forged_event_is_refused(world, send, happen, printed):
    assert problem(send(*happen(secret="whsec_forged"))) == (400, "refused-event")
    assert world.events() == []
    assert printed()["PaymentEventsRefused"].values == [1]


def test_a_changed_body_is_refused(world, send, happen):
    payload, header = happen()
    assert problem(send(payload.replace("pi_1", "pi_2"), header)) == (400, "refused-event")
    assert problem(send(payload + " ", header)) == (400, "refused-event")
    assert world.events() == []


@pytest.mark.parametrize("age", [5 * MINUTE + 1, -5 * MINUTE - 1], ids=["old", "from the future"])
def test_a_signature_from_another_time_is_refused(world, send, happen, age):
    assert problem(send(*happen(age=age))) == (400, "refused-event")
    assert world.events() == []


@pytest.mark.parametrize("age", [5 * MINUTE, -5 * MINUTE])
def test_a_signature_within_the_tolerance_is_accepted(send, happen, age):
    assert send(*happen(age=age))["statusCode"] == 200


def test_a_replay_is_refused_after_the_tolerance(send, happen, clock):
    payload, header = happen()
    assert send(payload, header)["statusCode"] == 200
    clock.forward(5 * MINUTE + 1)
    assert problem(send(payload, header)) == (400, "refused-event")


@pytest.mark.parametrize(
    "header",
    [
        *(None, "", "t=,v1=", "t=NOW", "v1=00", "t=x,v1=00", "t=NOW,v0=00", "t=NOW,v1", "\u00fc", "t=NOW,v1=\u00fc"),
        f"t={'9' * 400},v1=00",  # no float is as large
        f"t={'9' * 5000},v1=00",  # Python reads no number as long
    ],
)
def test_a_malformed_signature_is_refused(send, happen, clock, header):
    payload, _ = happen()
    header = header and header.replace("NOW", str(clock.ms // 1000))
    assert problem(send(payload, header)) == (400, "refused-event")


@pytest.mark.parametrize(
    "payload",
    [
        *("", "no json", "[]", "7", "{}", '"evt"', '{"id": "evt_1", "created": 1, "data": {}}', "[" * 3000),
        '{"id": "evt_1", "created": 1, "data": {"object": "pi_1"}}',
        '{"id": 1, "created": 1, "data": {"object": {"object": "payment_intent", "id": "pi_1"}}}',
        '{"id": "evt_1", "created": "1", "data": {"object": {"object": "payment_intent", "id": "pi_1"}}}',
        '{"id": "evt_1", "created": true, "data": {"object": {"object": "payment_intent", "id": "pi_1"}}}',
        '{"id": "", "created": 1, "data": {"object": {"object": "payment_intent", "id": "pi\\n1"}}}',
    ],
)
def test_a_signed_body_that_is_no_event_is_refused(world, send, clock, payload):
    header = stripe.WebhookSignature.generate_signature_header(payload, FIRST, clock.ms // 1000)
    assert problem(send(payload, header)) == (400, "refused-event")
    assert world.events() == []


def test_a_body_that_is_no_text_is_refused(world, send):
    request = request_of("POST", "/payment-events", None, {"Stripe-Signature": "t=1,v1=00"}, None)
    for body in ("%", base64.b64encode(b"\xff\xfe").decode()):
        answer = world.functions.invoke(FUNCTION, request | {"body": body, "isBase64Encoded": True})
        assert problem(answer) == (400, "refused-event")


def test_a_large_body_is_refused_before_anything_else(world, send, happen):
    payload, header = happen({**INTENT, "description": "x" * 256 * 1024})
    world.functions.stop(FUNCTION)
    with world.wire.watched() as calls:
        assert problem(send(payload, header)) == (413, "too-large")
    assert calls == []


def test_nothing_of_a_body_or_a_secret_is_logged_but_ids(send, happen, logged):
    send(*happen())
    send(*happen(secret="whsec_forged"))
    send("Ada Lovelace", "t=1,v1=Ada")
    assert "evt_1" in logged()
    assert "Ada" not in logged()
    assert "whsec" not in logged()


# --- the signing secret -----------------------------------------------------------------------------------------------


def test_both_secrets_are_valid_while_the_secret_is_rotated(send, happen, rotate):
    rotate(f" {SECOND} ", "", FIRST)
    assert send(*happen(secret=FIRST))["statusCode"] == 200
    assert send(*happen(secret=SECOND))["statusCode"] == 200


def test_a_new_secret_is_valid_at_once_and_the_old_one_within_minutes_no_longer(send, happen, rotate, clock):
    assert send(*happen())["statusCode"] == 200
    rotate(SECOND)
    assert send(*happen(secret=SECOND))["statusCode"] == 200
    assert problem(send(*happen(secret=FIRST))) == (400, "refused-event")


def test_the_secret_is_kept_for_five_minutes(world, send, happen, clock):
    send(*happen())
    with world.wire.watched() as calls:
        clock.forward(4 * MINUTE)
        send(*happen())
        clock.forward(2 * MINUTE)
        send(*happen())
    assert [call.name for call in calls if call.service == "secrets-manager"] == ["secrets-manager.GetSecretValue"]


def test_forged_requests_read_the_secret_once_a_minute_at_most(world, send, happen, clock):
    send(*happen())
    with world.wire.watched() as calls:
        for _ in range(20):
            send(*happen(secret="whsec_forged"))
        clock.forward(MINUTE)
        for _ in range(20):
            send(*happen(secret="whsec_forged"))
    assert len([call for call in calls if call.service == "secrets-manager"]) == 2


def test_an_empty_secret_accepts_nothing(world, send, happen, rotate):
    rotate(" ")
    world.functions.stop(FUNCTION)
    for secret in ("", " "):
        assert problem(send(*happen(secret=secret))) == (400, "refused-event")


def test_a_secret_that_cannot_be_read_is_no_reason_to_refuse_an_event(world, send, happen, printed):
    world.wire.always("secrets-manager.*", wire.refuse("AccessDeniedException"))
    world.functions.stop(FUNCTION)
    assert problem(send(*happen())) == (503, "unavailable")
    assert printed()["PaymentEventsFailed"].values == [1]
    world.wire.heal()
    assert send(*happen())["statusCode"] == 200
