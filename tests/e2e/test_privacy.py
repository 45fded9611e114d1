"""Logs, metrics, events and dead letters hold no personal data: a full run is searched for it."""

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from dev.demo import orders as demo
from dev.local.consumers import packed_after, paused
from dev.template import template_with
from ops import smoke_order
from ops.dlq import scan
from ops.dlq.dead_letter import DeadLetter
from ops.shop_client import ShopClient
from ops.stack.deployment import Deployment
from tests.e2e.support import change_order, eventually, invoke, order, overheard, received, sample, until_quiet
from tests.permissions.local_shop import LocalShop

NAME = "Zebulon Quistgaard-Featherstonehaugh"
ADDRESS = {
    "name": NAME,
    "street": "77 Gurgelthaler Hohlweg",
    "city": "Unterzwischenmooskirchen",
    "postalCode": "QX7-91Z-ZZ4",
    "country": "CH",
}
TOKEN = f"tok_{uuid.uuid4().hex}"  # unknown to the sandbox, which declines it
LAST_RECEIVE = 6
QUEUED = [found.name for found in template_with().consumers()]
TYPES = {found.name: found.detail_types for found in template_with().event_consumers()}
# The consumers that get an event of the order that is placed, or of the one that is cancelled.
CONSUMERS = [name for name, types in TYPES.items() if types & {"order_placed", "order_cancelled"}]
# Members of every request and every stored order, none of which may be logged whole.
MEMBERS = ("shippingAddress", "paymentToken", "postalCode")


@dataclass
class Run:
    """The output of a full run by place, and the personal data that must not be in it."""

    secrets: set[str]
    orders: list[str] = field(default_factory=list)
    malformed: list[str] = field(default_factory=list)
    places: dict[str, list[str]] = field(default_factory=dict)


def emails() -> tuple[str, str]:
    local = f"zebulon.quistgaard.{uuid.uuid4().hex[:8]}"
    return f"{local}@featherstonehaugh.example.com", f"{local}@moved.featherstonehaugh.example.com"


def of_the_samples() -> Iterator[str]:
    """Yield the personal data of the sample customers and orders, without texts too short to be distinctive."""
    for customer in json.loads((demo.EVENTS / "customers.json").read_text()):
        yield from (customer["name"], customer["email"])
    for name in ("good", "declined", "out_of_stock", "cancelled"):
        request = sample(name)
        yield request["paymentToken"]
        yield from (text for text in request["shippingAddress"].values() if len(text) >= 6)


def secrets_of(client: ShopClient) -> set[str]:
    """Return a bearer token and its parts."""
    return {client.token, *client.token.split(".")[1:]}


def lines(deployment: Deployment) -> list[str]:
    """Return the lines of all log groups."""
    groups = deployment.logs.get_paginator("describe_log_groups").paginate()
    pages = deployment.logs.get_paginator("filter_log_events")
    return [
        event["message"]
        for group in (found["logGroupName"] for page in groups for found in page["logGroups"])
        for page in pages.paginate(logGroupName=group)
        for event in page["events"]
    ]


# --- the run ----------------------------------------------------------------------------------------------------------


def order_in_every_way(shop: LocalShop, run: Run, client: ShopClient) -> None:
    """Place orders that are placed, declined, rejected, canceled and expired."""

    def place(**changes: Any) -> Any:
        answer = client.place(sample("cancelled", **{"shippingAddress": ADDRESS, **changes}), str(uuid.uuid4()))
        run.orders += [answer.body["orderId"]] if "orderId" in answer.body else []
        return answer

    assert place().status == 201
    assert place(paymentToken=TOKEN).status == 402
    assert place(shippingAddress=ADDRESS | {"country": NAME}).status == 400
    assert place(lines=[{"sku": "NO-SUCH-THING", "quantity": 1}]).status == 400
    cancelled = place().body["orderId"]
    assert client.cancel(cancelled).status == 200
    with shop.unreachable("orders", "DYNAMODB"):
        assert place().status == 503
    lost = place(paymentToken="tok_timeout_held")
    assert lost.status == 503
    change_order(shop.deployment, lost.body["orderId"], dueAt=1, leaseUntil=0, expiresAt=1)
    assert invoke(shop.deployment, "sweeper", {})["OrdersExpired"] == 1
    broken = f'{{"shippingAddress": "{NAME}", '
    headers = {"Authorization": f"Bearer {client.token}", "Content-Type": "application/json", "Idempotency-Key": "k"}
    answer = httpx.post(f"{shop.deployment.api_url}/orders", content=broken, headers=headers, trust_env=False)
    assert answer.status_code == 400


def move(client: ShopClient, old: str, new: str) -> str:
    """Create a profile and change its address; return the user id."""
    assert client.introduce({"name": NAME, "email": old}).status == 200
    assert client.introduce({"name": NAME, "email": new}).status == 200
    assert client.introduce({"name": NAME, "email": f"{new}@"}).status == 400
    return str(client.profile().body["userId"])


def send_malformed(shop: LocalShop, run: Run, address: str) -> None:
    """Send every consumer a malformed message full of personal data."""
    personal = {"name": NAME, "email": address, "shippingAddress": ADDRESS, "paymentToken": TOKEN}
    wrong = {
        "id": 1,
        "time": NAME,
        "source": address,
        "detail-type": NAME,
        "detail": {"metadata": personal, "mail": personal},
    }
    for consumer in QUEUED:
        run.malformed.append(json.dumps({**wrong, "for": consumer}))
        shop.send(consumer, run.malformed[-1])
    eventually(lambda: [shop.dead_letters(consumer) for consumer in QUEUED], all)


def fail_on_last_receive(shop: LocalShop, client: ShopClient, address: str, user_id: str) -> None:
    """Let an event of every consumer fail on its last receive."""
    assert client.introduce({"name": NAME, "email": address}).status == 200  # the bounce would refuse the orders
    with paused(shop.deployment, *QUEUED):
        answer = client.place(sample("cancelled", shippingAddress=ADDRESS), str(uuid.uuid4()))
        about = dict.fromkeys(CONSUMERS, answer.body["orderId"])
        cancelled = client.place(sample("cancelled", shippingAddress=ADDRESS), str(uuid.uuid4())).body["orderId"]
        assert client.cancel(cancelled).status == 200
        about |= {name: cancelled for name in CONSUMERS if "order_placed" not in TYPES[name]}
        about["feedback"] = shop.report_bounce(address, user_id)
        for consumer, text in about.items():
            message = shop.message(consumer, text)
            with shop.unreachable(consumer, "DYNAMODB"):
                assert shop.deliver(consumer, message, receives=LAST_RECEIVE) == "done"


def letters_of(deployment: Deployment, consumer: str) -> list[DeadLetter]:
    """Return a consumer's dead letters. Events are redriven, other messages are deleted."""
    queue, dead = deployment.queue_url(consumer), deployment.queue_url(consumer, dead_letters=True)
    found = list(scan.dead_letters(deployment.sqs, dead))
    for letter in found:
        if letter.order_id:
            scan.redrive(deployment.sqs, [letter], dead_letters_url=dead, queue_url=queue)
        else:
            deployment.sqs.delete_message(QueueUrl=dead, ReceiptHandle=letter.message["ReceiptHandle"])
    return found


@pytest.fixture(scope="module")
def run(deployment: Deployment, client: ShopClient) -> Run:
    """Run everything that customers do, with failures; then collect the output."""
    until_quiet(deployment)
    shop = LocalShop(deployment, client, reader=client, warehouse=client, refunder=client, lookup=client)
    old, new = emails()
    run = Run({*ADDRESS.values(), *NAME.split(), old, new, TOKEN, "tok_timeout_held", *of_the_samples(), *MEMBERS})
    run.secrets -= {ADDRESS["country"]}
    with overheard(deployment) as bus, shop.newcomer() as (_, newcomer):
        run.secrets |= secrets_of(client) | secrets_of(newcomer)
        with packed_after(deployment, smoke_order.window(deployment)):
            demo.place_samples(deployment, client, lambda _: None)
            user_id = move(newcomer, old, new)
            order_in_every_way(shop, run, newcomer)
        shop.report_bounce(new, user_id)
        eventually(lambda: newcomer.profile().body, lambda profile: "emailProblem" in profile)
        send_malformed(shop, run, new)
        until_quiet(deployment)
        assert newcomer.request_return(run.orders[0], {"reason": NAME}).status == 200
        fail_on_last_receive(shop, newcomer, new, user_id)
        letters = {consumer: letters_of(deployment, consumer) for consumer in QUEUED}
        until_quiet(deployment)
        run.places["events"] = [message["Body"] for message in received(deployment, bus)]
    run.places["logs"] = lines(deployment)
    run.places["metrics"] = [
        line for line in run.places["logs"] if '"_aws"' in line
    ]  # functions write metrics to their logs
    for page in deployment.cloudwatch.get_paginator("list_metrics").paginate():
        run.places["metrics"] += [json.dumps(metric) for metric in page["Metrics"]]
    run.places["dead letters' attributes"] = [
        json.dumps(letter.message.get("MessageAttributes", {})) for found in letters.values() for letter in found
    ]
    # The bodies of feedback's dead letters are SES reports, which name their address. The malformed ones are ours.
    run.places["dead events"] = [
        letter.message["Body"]
        for consumer in CONSUMERS
        for letter in letters[consumer]
        if letter.message["Body"] not in run.malformed
    ]
    return run


# --- the search -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["logs", "metrics", "events", "dead letters' attributes", "dead events"])
def test_the_output_has_no_personal_data(run: Run, place: str) -> None:
    for text in run.places[place]:
        shown = [secret for secret in run.secrets if secret.lower() in text.lower() or _escaped(secret) in text]
        assert not shown, f"{shown} in {text}"


def _escaped(secret: str) -> str:
    return json.dumps(secret)[1:-1]


def test_the_search_covered_the_whole_run(deployment: Deployment, run: Run) -> None:
    # GIVEN the output of the run
    logs, events = "\n".join(run.places["logs"]), "\n".join(run.places["events"])
    # THEN its orders are in the logs, and in the events if they were placed
    assert [order_id for order_id in run.orders if order_id not in logs] == []
    placed = [order_id for order_id in run.orders if "placedAt" in order(deployment, order_id)]
    assert len(placed) == 2
    assert [order_id for order_id in placed if order_id not in events] == []
    for detail_type in (
        "order_placed",
        "order_cancelled",
        "shipment_released",
        "order_refunded",
        "return_requested",
        "user_profile_updated",
    ):
        assert f'"{detail_type}"' in events
    # AND its failures are in the logs
    for text in (
        "aws request failed",
        "dead_lettered",
        "address flagged",
        "sweep finished",
        "provider gave no answer",
    ):
        assert text in logs
    # AND every consumer has a dead letter for the malformed message, and one for its event
    assert len(run.places["dead letters' attributes"]) == len(QUEUED) + len([*CONSUMERS, "feedback"])
    assert len(run.places["dead events"]) == len(CONSUMERS)
    assert "EventLagDone" in "\n".join(run.places["metrics"])
