"""Webhooks to a partner: each event is delivered, retried, or a dead letter with a reason."""

import json

import pytest
from standardwebhooks import Webhook

import partner_endpoint
from dev.simulated import wire
from dev.simulated.messages import message
from dev.simulated.world import body
from dev.template import WITH_PARTNER
from handoff import aws
from handoff.errors import RetryLater
from tests.support.partner_server import refusing_port, status
from tests.support.partners import FUNCTION, SECRET, deployed_with_partner

OTHER = "whsec_AfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NAME = WITH_PARTNER["PartnerSecret"]


@pytest.fixture(scope="module")
def deployed():
    with deployed_with_partner() as both:
        yield both


@pytest.fixture(scope="module")
def stack(deployed):
    return deployed[0]


@pytest.fixture
def partner(deployed, rotate):
    deployed[1].reset()
    return deployed[1]


@pytest.fixture
def rotate(world):
    """Put signing secrets into the secret; the first one is there."""

    def put(text):
        world.client("secretsmanager").put_secret_value(SecretId=NAME, SecretString=text)

    put(SECRET)
    return put


@pytest.fixture
def send(world):
    """Send an event to the queue and deliver it; return nothing."""

    def deliver(event_type="order_placed", order="ord_1", sequence=1):
        world.queues.send(FUNCTION, message(event_type, order, sequence))
        world.queues.deliver(FUNCTION)

    return deliver


def verified(request, secret=SECRET):
    """Return the body of a request that this secret has signed. The clock of the tests stands still."""
    return Webhook(secret).verify(request.body, request.headers)


def reasons(world):
    return [letter.attributes["reason"] for letter in world.queues.dead_letters(FUNCTION)]


def retry(world, clock, times, pause=3600):
    for _ in range(times):
        clock.forward(pause)
        world.queues.deliver(FUNCTION)


def test_the_events_of_an_order_are_delivered_signed(world, api, partner, clock):
    order_id = api.place(body()).json["orderId"]
    clock.forward(30)
    world.queues.until_quiet()

    events = [verified(request) for request in partner.requests]
    assert [event["type"] for event in events] == ["order_placed", "shipment_prepared", "shipment_released"]
    assert {json.dumps(event["data"]) for event in events} == {json.dumps({"orderId": order_id, "userId": "ada"})}
    assert [request.headers["webhook-id"] for request in partner.requests] == [f"{order_id}-{n}" for n in (1, 2, 3)]
    # AND the times are those of the event and of the attempt
    assert partner.requests[0].headers["webhook-timestamp"] == str(clock.ms // 1000)
    assert events[0]["timestamp"] == "2026-11-23T10:00:00.000Z"
    assert partner.requests[0].path == "/events"


@pytest.mark.parametrize("code", [200, 202, 204, 299])
def test_any_success_is_a_delivery(world, partner, send, printed, code):
    partner.usual = status(code)
    send()

    assert world.queues.waiting(FUNCTION) == 0
    assert len(printed()["EventLagDone"].values) == 1


@pytest.mark.parametrize("code", [400, 401, 404, 500, 502, 301, 307])
def test_a_refused_event_is_retried_as_the_same_webhook(world, partner, send, clock, code):
    partner.answers = [status(code)]
    send()
    assert world.queues.waiting(FUNCTION) == 1
    retry(world, clock, 1, pause=11)

    assert world.queues.waiting(FUNCTION) == 0
    first, second = partner.requests
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.body == second.body
    # AND each attempt has its own time, so that a receiver can refuse old ones
    assert int(second.headers["webhook-timestamp"]) - int(first.headers["webhook-timestamp"]) == 11


def test_an_event_that_stays_refused_is_a_dead_letter_with_the_answer(world, partner, send, clock):
    partner.usual = status(500)
    send()
    retry(world, clock, 5)

    assert reasons(world) == ["the partner answered 500"]
    assert len(partner.requests) == 6


def test_a_redirect_is_a_refusal_that_says_so(world, partner, send, clock):
    partner.usual = status(301, location="https://127.0.0.1/elsewhere")
    send()
    retry(world, clock, 5)

    assert reasons(world) == [
        "the partner answered 301: a redirect, which is not followed; set PartnerEndpoint to the final URL"
    ]


def test_a_pause_that_the_partner_asks_for_is_kept(world, partner, send, clock):
    partner.answers = [status(429, retry_after="900")]
    send()
    retry(world, clock, 1, pause=890)
    assert len(partner.requests) == 1

    retry(world, clock, 1, pause=11)

    assert len(partner.requests) == 2
    assert world.queues.waiting(FUNCTION) == 0


def test_a_pause_is_never_shorter_than_the_backoff_or_longer_than_sqs_allows(world, partner, send):
    partner.answers = [status(503, retry_after="0"), status(503, retry_after="99999999")]
    send(order="ord_1")
    send(order="ord_2")

    short, long = [call.request["VisibilityTimeout"] for call in world.wire.named("sqs.ChangeMessageVisibility")]
    assert 8 <= short <= 10
    assert long == 43_200 - 900


def test_a_partner_that_is_gone_is_left_alone(world, partner, send, clock):
    # GIVEN a 410, which means that the endpoint wants no more
    partner.usual = status(410)
    send(order="ord_1")
    assert reasons(world) == ["the partner answered 410 Gone: it wants no more events at this endpoint"]
    # WHEN another event follows within ten minutes, THEN it is a dead letter without a request
    partner.usual = status(204)
    clock.forward(599)
    send(order="ord_2")
    assert "not sent: the partner answered 410 Gone 599 s ago" in reasons(world)
    assert len(partner.requests) == 1
    # AND afterwards the endpoint is asked again
    clock.forward(2)
    send(order="ord_3")
    assert len(partner.requests) == 2
    assert world.queues.waiting(FUNCTION) == 0


def test_an_endpoint_that_does_not_answer_is_retried(world, partner, send, clock):
    world.functions.settings = {"PARTNER_ENDPOINT": f"https://localhost:{refusing_port()}/secret-path"}
    world.functions.stop(FUNCTION)
    send()
    retry(world, clock, 5)

    assert reasons(world) == ["no connection to localhost"]
    world.functions.settings = {}
    world.functions.stop(FUNCTION)


def test_both_secrets_sign_while_one_is_rotated(world, partner, send, rotate, clock):
    send(order="ord_1")
    rotate(f"{SECRET}\n{OTHER}")
    clock.forward(301)
    send(order="ord_2")
    rotate(OTHER)
    clock.forward(301)
    send(order="ord_3")

    first, second, third = partner.requests
    assert [len(request.headers["webhook-signature"].split()) for request in (first, second, third)] == [1, 2, 1]
    assert verified(third, OTHER)


def test_the_secret_is_read_once_in_five_minutes(world, partner, send, clock):
    world.functions.stop(FUNCTION)
    send(order="ord_1")
    clock.forward(299)
    send(order="ord_2")

    assert len(world.wire.named("secrets-manager.GetSecretValue")) == 1


def test_known_secrets_sign_for_an_hour_if_they_cannot_be_read(world, partner, send, clock):
    send(order="ord_1")
    world.wire.always("secrets-manager.*", wire.refuse("InternalServiceError", 500))
    clock.forward(3500)
    send(order="ord_2")
    assert len(partner.requests) == 2

    clock.forward(3600)
    send(order="ord_3")

    assert len(partner.requests) == 2
    assert world.queues.waiting(FUNCTION) == 1


def test_a_malformed_secret_sends_nothing_and_shows_nothing(world, partner, send, rotate, clock):
    rotate("hidden")
    world.functions.stop(FUNCTION)
    send()
    retry(world, clock, 5)

    (reason,) = reasons(world)
    assert reason.startswith("PartnerSecret can't sign: line 1 is not whsec_")
    assert partner.requests == []


@pytest.mark.parametrize("event_type", ["user_profile_updated", "refund_requested", "payment_event"])
def test_an_event_that_is_not_for_partners_is_not_sent(world, partner, event_type):
    data = {
        "user_profile_updated": {"userId": "ada", "changedFields": ["name"]},
        "refund_requested": {"orderId": "ord_1", "userId": "ada"},
        "payment_event": {"reference": "pi_1"},
    }[event_type]
    text = json.loads(message("order_placed", "ord_1", 1))
    text["detail-type"], text["detail"]["data"] = event_type, data
    world.queues.send(FUNCTION, json.dumps(text))
    world.queues.deliver(FUNCTION)

    assert reasons(world) == [f"{event_type} is not for partners"]
    assert partner.requests == []


def test_the_erasure_of_a_user_is_sent_too(world, partner):
    event = json.loads(message("order_placed", "ada.lovelace", 7))
    event |= {"detail-type": "user_erased", "source": "handoff.customers"}
    event["detail"]["data"] = {"userId": "ada.lovelace"}
    world.queues.send(FUNCTION, json.dumps(event))
    world.queues.deliver(FUNCTION)

    (request,) = partner.requests
    assert verified(request)["data"] == {"userId": "ada.lovelace"}
    assert request.headers["webhook-id"] == "ada%2Elovelace-7"


def test_a_lost_answer_delivers_an_event_twice_under_one_id(world, partner, send, clock):
    # GIVEN a function that dies after the partner's answer
    world.queues.send(FUNCTION, message("order_placed", "ord_1", 1))
    records = world.queues.receive(FUNCTION)
    world.functions.invoke(FUNCTION, {"Records": records})  # and does not delete the message
    # WHEN the message is visible again
    clock.forward(721)
    world.queues.deliver(FUNCTION)

    assert [request.headers["webhook-id"] for request in partner.requests] == ["ord_1-1"] * 2


def test_each_answer_is_logged_and_nothing_that_was_sent(world, partner, send, caplog):
    caplog.set_level("INFO")
    partner.answers = [status(503)]
    send()
    send(order="ord_2")

    answers = [record for record in caplog.records if record.message == "partner answered"]
    assert [(line.levelname, line.status, line.outcome) for line in answers] == [
        ("WARNING", 503, "refused"),
        ("INFO", 204, "delivered"),
    ]
    (failed,) = [record for record in caplog.records if record.message == "event failed"]
    assert 8 <= failed.retry_in <= 10  # seconds, for `handoff order`
    assert "v1," not in caplog.text
    assert "whsec" not in caplog.text
    assert "/events" not in caplog.text  # a path can hold a token


def test_a_batch_ends_in_time_if_neither_partner_nor_aws_answers_sooner(world, partner, clock, monkeypatch):
    # GIVEN a full batch, and calls that all take their maximum
    def unanswered(*_):
        clock.forward(partner_endpoint.LONGEST_ATTEMPT)
        raise RetryLater("no answer")

    monkeypatch.setattr(partner_endpoint.Endpoint, "post", unanswered)
    consumer = next(found for found in world.stack.template.consumers() if found.name == "partners")
    for n in range(consumer.mapping["BatchSize"]):
        world.queues.send(FUNCTION, message("order_placed", f"ord_{n}", 1))
    world.functions.stop(FUNCTION)  # so that the secrets are read
    world.wire.gate = lambda _: clock.forward(aws.LONGEST_CALL) if world.functions.running else None
    began = clock.ms
    # WHEN it is handled
    world.queues.deliver(FUNCTION)
    world.wire.gate = lambda _: None
    # THEN Lambda does not stop the function
    assert (clock.ms - began) / 1000 <= consumer.function["Timeout"]
    # AND an attempt takes no longer than the consumer assumes, its secrets included
    assert world.functions.module(FUNCTION)._consumer._longest == partner_endpoint.LONGEST_ATTEMPT + aws.LONGEST_CALL
