"""The deployed stack: orders through every consumer, failures, and each function's sample."""

import contextlib
import json
import re
import uuid
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import httpx
import pytest
from click.testing import CliRunner

from dev import invariants, samples
from dev.commands import main as dev
from dev.demo import orders as demo
from dev.invariants import Snapshot
from dev.local.consumers import paused
from dev.local.stack import LocalStack
from dev.simulated.messages import envelope, message
from dev.template import template_with
from ops.shop_client import Answer, ShopClient, sign_up
from ops.stack import observe
from ops.stack.deployment import Deployment, event_types
from shop.model import Customer
from tests.e2e.support import (
    KillingServer,
    about,
    change_order,
    environment,
    eventually,
    invoke,
    order,
    overheard,
    place,
    received,
    until_quiet,
)

QUEUED = [found.name for found in template_with().consumers()]


def quiet(deployment: Deployment) -> Snapshot:
    until_quiet(deployment)
    return demo.take_snapshot(deployment)


@pytest.mark.usefixtures("window")
def test_the_sample_orders_have_exactly_the_expected_effects(deployment: Deployment, client: ShopClient) -> None:
    # WHEN the sample orders are placed over HTTP and the consumers are done
    placed = demo.place_samples(deployment, client, lambda _: None)
    snapshot = quiet(deployment)
    # THEN answers, mails, sales, shipments, payments, stock and lag are as expected
    assert demo.find_problems(deployment, placed, snapshot) == []


def test_the_answer_does_not_wait_for_any_consumer(deployment: Deployment, client: ShopClient) -> None:
    # GIVEN paused consumers
    with paused(deployment, *deployment.consumers):
        # WHEN an order is placed
        answer = place(client)
        # THEN it is answered, and its event waits in every queue that gets it
        assert answer.status == 201
        order_id = answer.body["orderId"]
        unhandled = {name: int("order_placed" in types) for name, types in event_types(deployment).items()}
        eventually(lambda: observe.waiting(deployment), lambda seen: seen == unhandled)
        assert order(deployment, order_id)["status"] == "PLACED"
    # AND it is handled as soon as they resume
    eventually(lambda: order(deployment, order_id)["payment"]["state"], lambda state: state == "captured")


def test_the_pages_of_the_catalog_have_every_product_once(deployment: Deployment, client: ShopClient) -> None:
    def page(**query: str) -> dict[str, Any]:
        answer = httpx.get(f"{deployment.api_url}/catalog", params=query, trust_env=False, timeout=120)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    # GIVEN the catalog in one page
    whole = [product["sku"] for product in page()["products"]]
    # WHEN it is read in pages of two
    pages, query = [], {"limit": "2"}
    while True:
        found = page(**query)
        pages.append([product["sku"] for product in found["products"]])
        if "next" not in found:
            break
        query["cursor"] = found["next"]
    # THEN they have each product once
    assert len(pages) >= len(whole) / 2 > 1
    assert sorted(sku for skus in pages for sku in skus) == whole


def test_a_function_killed_between_commit_and_publish_loses_nothing(deployment: Deployment, client: ShopClient) -> None:
    # GIVEN a bus that stalls, and a function that is killed with SIGKILL while it waits for it
    bus = KillingServer()
    before = len(quiet(deployment).orders)
    answers: list[Answer] = []  # on a busy machine, a function can give up on the bus before it is killed

    def answer() -> Answer:
        answers.append(place(client))
        return answers[-1]

    with environment(deployment, "orders", AWS_ENDPOINT_URL_EVENTBRIDGE=bus.url):
        eventually(answer, lambda answer: answer.status == 502)
        assert bus.killed
    bus.close()
    answered = [answer.body["orderId"] for answer in answers[:-1]]
    # THEN the order is placed, with its event in its outbox, and no consumer has received it
    orders = deployment.scan("OrdersTable")
    placed = [found for found in orders if found.get("outbox") and found["orderId"] not in answered]
    assert len(placed) == 1
    assert len(orders) == before + len(answers)
    order_id = placed[0]["orderId"]
    assert placed[0]["status"] == "PLACED"
    assert about(deployment.scan("ShipmentsTable"), order_id) == []
    # WHEN the sweeper finds it due
    change_order(deployment, order_id, dueAt=1)
    assert invoke(deployment, "sweeper", {})["EventsSwept"] >= 1
    # THEN every effect happens once
    snapshot = quiet(deployment)

    assert demo.effect_problems(demo.PlacedOrders(kept=[order_id, *answered]), snapshot) == []
    assert order(deployment, order_id)["outbox"] == {}
    assert "unfinished" not in order(deployment, order_id)


def test_the_sweeper_has_the_permissions_for_its_work(deployment: Deployment, client: ShopClient) -> None:
    # GIVEN an order that expired without an answer of the payment provider
    answer = place(client, paymentToken="tok_timeout_held")
    assert answer.status == 503
    lost = answer.body["orderId"]
    change_order(deployment, lost, dueAt=1, leaseUntil=0, expiresAt=1)
    # AND a prepared order whose capture is due
    with paused(deployment, "fulfillment", "settlement"), overheard(deployment) as queue:
        prepared = place(client).body["orderId"]
        _prepare(deployment, prepared)
        change_order(deployment, prepared, dueAt=1)
        # WHEN the sweeper runs, which its schedule may have done before
        assert invoke(deployment, "sweeper", {})["SweepFailures"] == 0
        # THEN the first is expired and its hold voided, the second paid and released
        eventually(lambda: order(deployment, lost)["payment"]["state"], lambda state: state == "voided")
        eventually(lambda: order(deployment, prepared)["payment"]["state"], lambda state: state == "captured")
        assert "expired" in [step.get("reason") for step in order(deployment, lost)["history"]]
        assert about(deployment.scan("ShipmentsTable"), prepared)[0]["state"] == "released"
        # AND its next run publishes the event of that
        change_order(deployment, prepared, dueAt=1)
        assert invoke(deployment, "sweeper", {})["SweepFailures"] == 0
        eventually(lambda: [message["Body"] for message in received(deployment, queue)], partial(_has_event, prepared))
    assert invariants.stock_adds_up(quiet(deployment), demo.initial_stock()) == []


def _has_event(order_id: str, bodies: list[str]) -> bool:
    return any(order_id in body and "shipment_released" in body for body in bodies)


def _prepare(deployment: Deployment, order_id: str) -> None:
    """Deliver an order's event to fulfillment, as Lambda's event source would."""
    queue = deployment.queue_url("fulfillment")
    messages = eventually(lambda: deployment.sqs.receive_message(QueueUrl=queue).get("Messages", []), bool)
    assert order_id in messages[0]["Body"]
    assert invoke(deployment, "fulfillment", {"Records": [_record(messages[0])]}) == {"batchItemFailures": []}
    deployment.sqs.delete_message(QueueUrl=queue, ReceiptHandle=messages[0]["ReceiptHandle"])
    assert order(deployment, order_id)["status"] == "PREPARED"


def _record(message: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": {"ApproximateReceiveCount": "1"},
        "messageAttributes": {},
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:us-east-1:000000000000:queue",
        "awsRegion": "us-east-1",
    }


@pytest.mark.parametrize("consumer", QUEUED)
def test_a_poison_message_is_a_dead_letter_with_its_reason(deployment: Deployment, consumer: str) -> None:
    # WHEN a malformed message is in a queue
    text = f"poison {uuid.uuid4()}"
    deployment.sqs.send_message(QueueUrl=deployment.queue_url(consumer), MessageBody=text)
    # THEN it becomes a dead letter with its reason
    queue = deployment.queue_url(consumer, dead_letters=True)
    letters = eventually(
        lambda: deployment.sqs.receive_message(QueueUrl=queue, MessageAttributeNames=["All"]).get("Messages", []),
        bool,
    )
    assert letters[0]["Body"] == text
    assert letters[0]["MessageAttributes"]["reason"]["StringValue"].startswith("not an event")
    deployment.sqs.delete_message(QueueUrl=queue, ReceiptHandle=letters[0]["ReceiptHandle"])


@pytest.mark.parametrize("token", ["", "Bearer nonsense", "Bearer a.b.c"])
def test_requests_without_a_token_of_the_pool_are_rejected(deployment: Deployment, token: str) -> None:
    # WHEN a request has no valid token
    answer = httpx.get(f"{deployment.api_url}/orders", headers={"Authorization": token} if token else {})
    # THEN the gateway answers 401
    assert answer.status_code == 401


def test_health_and_catalog_are_public_and_unknown_paths_are_404(deployment: Deployment) -> None:
    # THEN public routes answer without a token, and the rest is a problem document
    assert httpx.get(f"{deployment.api_url}/health").json()["status"] == "ok"
    assert len(httpx.get(f"{deployment.api_url}/catalog").json()["products"]) >= 11
    nowhere = httpx.get(f"{deployment.api_url}/nowhere")
    assert nowhere.status_code == 404
    assert nowhere.headers["content-type"] == "application/problem+json"


def test_a_client_that_has_the_catalog_gets_304(deployment: Deployment) -> None:
    url = f"{deployment.api_url}/catalog"
    first = httpx.get(url)
    assert re.fullmatch(r"public, max-age=\d+", first.headers["cache-control"])
    again = httpx.get(url, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]


@pytest.mark.usefixtures("window")  # one of the samples' orders is cancelled
def test_invoking_emails_with_its_sample_sends_mails_each_time(
    local_stack: LocalStack, deployment: Deployment, client: ShopClient, capfd: pytest.CaptureFixture[str]
) -> None:
    # GIVEN the sample orders, mailed by the queue's own consumer
    invoke_emails = partial(CliRunner().invoke, dev, ["invoke", "emails"], env={"PORT": str(local_stack.port)})
    invoke_emails()
    before = quiet(deployment)
    # WHEN the function is invoked once more
    invoke_emails()
    # THEN the mails of confirmation, return, refund and cancellation are sent again, without lag. That of the shipment
    # is not: its key is the event of the packing, which no sample has
    after = quiet(deployment)
    assert len(after.mails) == len(before.mails) + 4, capfd.readouterr()
    assert max(after.lags["emails"][len(before.lags["emails"]) :]) < 60_000


@pytest.mark.parametrize("function", ["orders", "sweeper", *QUEUED])
@pytest.mark.usefixtures("window")  # one of the samples' orders is cancelled
def test_each_function_accepts_its_sample(
    local_stack: LocalStack, client: ShopClient, function: str, capfd: pytest.CaptureFixture[str]
) -> None:
    # WHEN a function is invoked with its sample, as `make invoke` does
    done = CliRunner().invoke(dev, ["invoke", function], env={"PORT": str(local_stack.port)})
    # THEN it answers, and a consumer has handled all events
    output = capfd.readouterr().out
    assert done.exit_code == 0, done.output + output
    if function in QUEUED:
        assert json.loads(output) == {"batchItemFailures": []}


@pytest.fixture
def newcomer(deployment: Deployment) -> Iterator[tuple[str, ShopClient]]:
    """A customer with a new profile: address and API client."""
    address = f"{uuid.uuid4().hex}@example.com"
    with contextlib.closing(ShopClient(deployment.api_url, sign_up(deployment, address).token)) as client:
        assert client.introduce({"name": "New", "email": address}).status == 200
        yield address, client


def test_an_address_change_notifies_the_old_and_the_new_address(
    deployment: Deployment, newcomer: tuple[str, ShopClient]
) -> None:
    # GIVEN a customer
    old, client = newcomer
    # WHEN they change their address
    assert client.introduce({"name": "New", "email": f"new-{old}"}).status == 200
    quiet(deployment)
    # THEN both addresses get a mail about it
    assert deployment.endpoint
    notices = [mail for mail in map(str, observe.mails(deployment.endpoint)) if "address was changed" in mail]
    assert sum(f"'{old}'" in mail for mail in notices) == 2  # the first is about the first address
    assert sum(f"'new-{old}'" in mail for mail in notices) == 1


def test_a_bounced_address_is_flagged(deployment: Deployment, newcomer: tuple[str, ShopClient]) -> None:
    # GIVEN a customer whose mails bounce
    address, client = newcomer
    user_id = client.profile().body["userId"]
    report = samples.bounced(Customer(user_id=user_id, name="", email=address))
    # WHEN SES reports it
    deployment.sqs.send_message(QueueUrl=deployment.queue_url("feedback"), MessageBody=json.dumps(report))
    # THEN the profile shows it
    seen = eventually(lambda: client.profile().body, lambda profile: "emailProblem" in profile)
    assert seen["emailProblem"] == "bounced"


def test_a_customer_is_mailed_in_their_language_and_an_unsent_mail_is_shown(
    deployment: Deployment, newcomer: tuple[str, ShopClient]
) -> None:
    # GIVEN a customer who reads German, and an order
    address, client = newcomer
    profile = {"name": "Neu", "email": address, "language": "de"}
    user_id = client.introduce(profile).body["userId"]
    first = place(client).body["orderId"]
    quiet(deployment)
    # THEN the mails about it are in German
    assert deployment.endpoint
    (confirmation,) = [
        mail
        for mail in map(str, observe.mails(deployment.endpoint))
        if f"Bestellung {first}" in mail and "bestätigt" in mail
    ]
    assert "Guten Tag Neu," in confirmation
    # WHEN mail to the address bounces before the next confirmation is sent
    with paused(deployment, "emails"):
        second = place(client).body["orderId"]
        report = samples.bounced(Customer(user_id=user_id, name="", email=address.upper()))
        deployment.sqs.send_message(QueueUrl=deployment.queue_url("feedback"), MessageBody=json.dumps(report))
        eventually(lambda: client.profile().body, lambda seen: seen.get("emailProblem") == "bounced")
    # THEN the order shows that it was not sent, and no order is accepted until the address is saved again
    eventually(lambda: client.order(second).body, lambda seen: seen.get("mailProblem") == "bounced")
    assert place(client).status == 409
    assert "emailProblem" not in client.introduce(profile).body
    assert place(client).status == 201


def points(loyalty: Deployment) -> list[int]:
    return [item["points"] for item in loyalty.scan("PointsTable") if "points" in item]


def outcomes(timeline: dict[str, Any], consumer: str) -> list[str]:
    return [step["detail"] for step in timeline["steps"] if step["who"] == consumer]


def test_a_consumer_in_another_stack_handles_each_event_once(
    deployment: Deployment, loyalty: Deployment, client: ShopClient, handoff: Callable[..., Any]
) -> None:
    # WHEN orders are placed, and the event of one is delivered twice
    placed = [place(client).body for _ in range(2)]
    orders = [order["orderId"] for order in placed]
    # THEN the consumer has looked each order up, of which the event says no amount
    given = sum(order["total"] // 100 for order in placed)
    assert given > len(placed)
    eventually(lambda: points(loyalty), lambda seen: seen == [given])
    loyalty.sqs.send_message(QueueUrl=loyalty.queue_url("points"), MessageBody=message("order_placed", orders[0], 1))
    # AND the order's timeline shows both deliveries
    both = ["order_placed, done", "order_placed, repeated, correlation id trace-me"]
    eventually(lambda: outcomes(handoff("order", orders[0]), "loyalty/points"), lambda seen: seen == both)
    # AND each order has given its points once
    assert points(loyalty) == [given]
    quiet(deployment)


def test_a_dead_letter_of_another_stack_is_listed_with_its_reason(
    loyalty: Deployment, handoff: Callable[..., Any]
) -> None:
    # WHEN an event lacks its user
    event = envelope("order_placed", "ord_poison", 1)
    del event["detail"]["data"]["userId"]
    loyalty.sqs.send_message(QueueUrl=loyalty.queue_url("points"), MessageBody=json.dumps(event))
    # THEN it is a dead letter with its reason
    (row,) = eventually(lambda: handoff("dlq", "list", "loyalty/points"), bool)
    assert (row["eventId"], row["reason"]) == ("ord_poison-1", "not an event: detail.data.userId")
    loyalty.sqs.purge_queue(QueueUrl=loyalty.queue_url("points", dead_letters=True))
