"""Logs and dead letters of failures contain no personal data."""

import json

import pytest

from dev.simulated import wire
from dev.simulated.messages import envelope
from dev.simulated.world import MUG, body

CONSUMERS = ("EmailsFunction", "AnalyticsFunction", "FulfillmentFunction", "SettlementFunction")
MARK = "Quistgaard"  # part of all personal data of the customer
ADDRESS = {"name": f"Zeb {MARK}", "street": f"7 {MARK} Row", "city": f"{MARK}by", "postalCode": MARK, "country": "DK"}
MAILBOX = f"zeb@{MARK}.example"


@pytest.fixture
def order_id(world):
    """An order with the mark in all personal data; its event waits in every queue."""
    world.customer("zeb", name=f"Zeb {MARK}", email=MAILBOX)
    wanted = body() | {"shippingAddress": ADDRESS}
    return world.api("zeb").place(wanted).json["orderId"]


def secretive(world, logged):
    """Check that logs and dead letters do not contain the mark; return both."""
    letters = [letter for name in world.queues.names for letter in world.queues.dead_letters(name)]
    assert MARK.lower() not in logged().lower()
    assert MARK.lower() not in json.dumps([letter.attributes for letter in letters]).lower()
    return logged(), letters


# --- stored items -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("broken", [{"total": MARK}, {"lines": MARK}, {"shippingAddress": ADDRESS | {"city": None}}])
def test_an_unreadable_order_is_not_shown(world, order_id, logged, broken):
    # GIVEN an order that fails validation
    world.change("OrdersTable", {"orderId": order_id}, **broken, dueAt=1, unfinished=0, unfinishedSince=1)
    # WHEN the API, the consumers and the sweeper read it
    answer = world.api("zeb").get(f"/orders/{order_id}")
    for consumer in CONSUMERS:
        world.queues.deliver(consumer)
    world.sweep()
    # THEN they log its id and the names of its fields only
    assert MARK not in json.dumps(answer.json)
    lines, _ = secretive(world, logged)
    assert "validation error" in lines
    assert order_id in lines


@pytest.mark.parametrize("broken", [{"sequence": MARK}, {"email": {"is": MAILBOX}}])
def test_an_unreadable_customer_is_not_shown(world, order_id, logged, broken):
    world.change("CustomersTable", {"userId": "zeb"}, **broken, dueAt=1, unfinished=0, unfinishedSince=1)

    api = world.api("zeb")
    answers = [api.get("/me"), api.call("PUT", "/me", json.dumps({"name": MARK, "email": MAILBOX}))]
    world.queues.deliver("EmailsFunction")
    world.sweep()

    assert [answer.status for answer in answers] == [500, 500]
    assert not [answer for answer in answers if MARK in json.dumps(answer.json)]
    lines, _ = secretive(world, logged)
    assert "validation error" in lines


# --- messages and requests --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("consumer", CONSUMERS)
@pytest.mark.parametrize("field", ["source", "detail-type", "timestamp", "sequence", "data", "all"])
def test_an_invalid_message_is_not_shown(world, logged, consumer, field):
    # GIVEN a message with a value in the wrong field
    event = envelope("order_placed", "ord_" + "a" * 26, 1)
    metadata = event["detail"]["metadata"]
    wrong = {"source": event, "detail-type": event, "timestamp": metadata, "sequence": metadata}.get(field)
    if wrong:
        wrong[field] = {"to": MAILBOX} if field == "source" else MAILBOX
    elif field == "data":
        event["detail"]["data"] = ADDRESS
    # WHEN a consumer gets it
    world.queues.send(consumer, MAILBOX if field == "all" else json.dumps(event))
    world.queues.deliver(consumer)
    # THEN it is a dead letter, and neither its reason nor the log shows its content
    _, letters = secretive(world, logged)
    assert [MARK in letter.body for letter in letters] == [True]


@pytest.mark.parametrize("field", ["time", "tag", "destination", "all"])
def test_an_invalid_report_is_not_shown(world, logged, field):
    report = {
        "id": "report-1",
        "time": MAILBOX if field == "time" else "2026-11-23T10:00:00Z",
        "detail": {
            "mail": {
                "tags": {"user": [MAILBOX if field == "tag" else "emVi"]},
                "destination": MAILBOX if field == "destination" else [MAILBOX],
            },
            "bounce": {"bounceType": "Permanent"},
        },
    }
    world.queues.send("FeedbackFunction", MAILBOX if field == "all" else json.dumps(report))
    world.queues.deliver("FeedbackFunction")

    _, letters = secretive(world, logged)
    assert len(letters) == 1


@pytest.mark.usefixtures("order_id")
@pytest.mark.parametrize("how", ["a wrong body", "no JSON", "another type", "a wrong key", "an unknown product"])
def test_an_invalid_request_is_not_logged(world, logged, how):
    wanted = body() | {"shippingAddress": ADDRESS, "paymentToken": f"tok_{MARK}"}
    api = world.api("zeb")
    match how:
        case "a wrong body":
            answer = api.place(wanted | {"shippingAddress": ADDRESS | {"country": MARK}})
        case "no JSON":
            answer = api.call("POST", "/orders", body=MARK, **{"idempotency-key": "k"})
        case "another type":
            answer = api.call("POST", "/orders", body=MARK, **{"content-type": f"text/{MARK}"})
        case "a wrong key":
            answer = api.place(wanted, key=f"{MARK} {MARK}")
        case "an unknown product":
            answer = api.place(wanted | {"lines": [{"sku": MARK, "quantity": 1}]})
    assert 400 <= answer.status < 500
    secretive(world, logged)


@pytest.mark.parametrize("ends", ["well", "badly"])
def test_reasons_and_addresses_are_not_logged(world, order_id, logged, ends):
    # GIVEN a packed order, and requests about it with a customer's or a program's words
    world.stock(MUG, available=1)
    world.queues.until_quiet()
    customer, shop = world.api("zeb"), world.program("orders:write", "refunds:write", "shipments:write")
    second = customer.place(body() | {"shippingAddress": ADDRESS}, key="second").json["orderId"]
    reason = f"For {MARK}, {MAILBOX}"
    if ends == "badly":
        world.wire.always("dynamodb.UpdateItem", wire.refuse("ValidationException"))
        world.wire.always("dynamodb.TransactWriteItems", wire.refuse("InternalServerError", 500))
    # WHEN they are answered
    answers = [
        customer.return_order(order_id, reason=reason),
        shop.refund(order_id, reason=reason, amount=1),
        shop.refund(order_id, reason=MARK * 30, key=MARK),
        shop.cancel(order_id, reason),
        shop.cancel(second, reason),
    ]
    world.wire.reset()
    shop.shipments()
    world.settle_down(2)
    # THEN no log line and no dead letter has the words
    expected = [200, 201, 400, 409, 200] if ends == "well" else [503, 503, 400, 409, 503]
    assert [answer.status for answer in answers] == expected
    secretive(world, logged)


# --- errors of other services -----------------------------------------------------------------------------------------


@pytest.mark.usefixtures("order_id")
@pytest.mark.parametrize("code", ["MessageRejected", "BadRequestException", "MailFromDomainNotVerifiedException"])
@pytest.mark.parametrize("receives", [1, 6])
def test_error_messages_of_the_mail_service_are_not_shown(world, logged, code, receives):
    # GIVEN a mail service whose error message has the recipient
    said = f"Email address is not verified. The following identities failed the check: {MAILBOX}, <{MAILBOX}>"
    world.wire.always("sesv2.SendEmail", wire.refuse(code, message=said))
    # WHEN a mail is sent, up to the last retry
    for _ in range(receives):
        world.queues.deliver("EmailsFunction")
        world.clock.forward(4000)
    # THEN the error code is shown, but not the message
    lines, letters = secretive(world, logged)
    assert code in lines or code == "BadRequestException"
    assert len(letters) == (1 if receives == 6 or code == "BadRequestException" else 0)


def test_a_dynamodb_error_is_shown_by_its_code(world, api, logged):
    world.stock(MUG)
    world.wire.on("dynamodb.TransactWriteItems", wire.refuse("ValidationException", message="refused by the test"))

    answer = api.place(body() | {"shippingAddress": ADDRESS, "paymentToken": f"tok_{MARK}"})

    assert answer.status == 503
    lines, _ = secretive(world, logged)
    assert "ValidationException" in lines


def test_a_provider_failure_is_shown_with_its_cause(world, api, logged):
    world.wire.on("dynamodb.PutItem", wire.refuse("AccessDeniedException"), where=world.to_provider)

    assert api.place(body() | {"shippingAddress": ADDRESS}).status == 503

    lines, _ = secretive(world, logged)
    assert "payment provider gave no answer" in lines
    assert "AccessDeniedException" in lines
