"""Nothing of a customer gets out: all that a full run logs, counts and sends is searched for what is theirs."""

import contextlib
import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from dev.demo import orders as demo
from dev.local.consumers import paused
from ops.dlq import scan
from ops.dlq.dead_letter import DeadLetter
from ops.shop_client import ShopClient
from ops.stack.deployment import CONSUMERS, QUEUED, Deployment
from tests.e2e.support import change_order, eventually, invoke, order, sample
from tests.permissions.local_shop import LocalShop

NAME = "Zebulon Quistgaard-Featherstonehaugh"
ADDRESS = {
    "name": NAME,
    "street": "77 Gurgelthaler Hohlweg",
    "city": "Unterzwischenmooskirchen",
    "postalCode": "QX7-91Z-ZZ4",
    "country": "CH",
}
TOKEN = f"tok_{uuid.uuid4().hex}"  # the sandbox knows none of the kind, and declines it
LAST_RECEIVE = 6
# What every request and every stored order has: none of them is to be written down whole.
MEMBERS = ("shippingAddress", "paymentToken", "postalCode")


@dataclass
class Run:
    """What a full run has put where, in the places to search; and what nobody is to find there."""

    secrets: set[str]
    orders: list[str] = field(default_factory=list)
    nonsense: list[str] = field(default_factory=list)
    places: dict[str, list[str]] = field(default_factory=dict)


def emails() -> tuple[str, str]:
    local = f"zebulon.quistgaard.{uuid.uuid4().hex[:8]}"
    return f"{local}@featherstonehaugh.example.com", f"{local}@moved.featherstonehaugh.example.com"


def of_the_samples() -> Iterator[str]:
    """What the sample customers and orders have that is nobody's business; what is too short could be anything."""
    for customer in json.loads((demo.EVENTS / "customers.json").read_text()):
        yield from (customer["name"], customer["email"])
    for name in ("good", "declined", "out_of_stock", "cancelled"):
        request = sample(name)
        yield request["paymentToken"]
        yield from (text for text in request["shippingAddress"].values() if len(text) >= 6)


def secrets_of(client: ShopClient) -> set[str]:
    """A bearer token, whole and by its parts."""
    return {client.token, *client.token.split(".")[1:]}


@contextlib.contextmanager
def overheard(deployment: Deployment) -> Iterator[str]:
    """A queue that gets everything that goes over the bus meanwhile."""
    sqs, events, bus = deployment.sqs, deployment.events, deployment.resource("Bus")
    queue = sqs.create_queue(QueueName=f"overheard-{uuid.uuid4().hex}")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    rule = {"Rule": "overheard", "EventBusName": bus}
    events.put_rule(Name="overheard", EventBusName=bus, EventPattern=json.dumps({"source": [{"prefix": ""}]}))
    events.put_targets(**rule, Targets=[{"Id": "queue", "Arn": arn}])
    yield queue
    events.remove_targets(**rule, Ids=["queue"])
    events.delete_rule(Name="overheard", EventBusName=bus)
    sqs.delete_queue(QueueUrl=queue)


def received(deployment: Deployment, queue: str) -> list[dict[str, Any]]:
    """All messages of a queue; they are taken out of it."""
    found: list[dict[str, Any]] = []
    while messages := deployment.sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", []):
        for message in messages:
            deployment.sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
            found.append(dict(message))
    return found


def lines(deployment: Deployment) -> list[str]:
    """Every line of every log group."""
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
    """Orders that are placed, declined, refused, cancelled, and left to expire."""

    def place(**changes: Any) -> Any:
        answer = client.place(sample("cancelled", **{"shippingAddress": ADDRESS, **changes}), str(uuid.uuid4()))
        run.orders += [answer.body["orderId"]] if "orderId" in answer.body else []
        return answer

    assert place().status == 201
    assert place(paymentToken=TOKEN).status == 402
    assert place(shippingAddress=ADDRESS | {"country": NAME}).status == 400
    assert place(lines=[{"sku": "NO-SUCH-THING", "quantity": 1}]).status == 400
    with paused(shop.deployment, "fulfillment"):
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
    """A profile whose address changes; returns whose it is."""
    assert client.introduce({"name": NAME, "email": old}).status == 200
    assert client.introduce({"name": NAME, "email": new}).status == 200
    assert client.introduce({"name": NAME, "email": f"{new}@"}).status == 400
    return str(client.profile().body["userId"])


def send_nonsense(shop: LocalShop, run: Run, address: str) -> None:
    """To every consumer, a message that none of them can read, and that tells all."""
    told = {"name": NAME, "email": address, "shippingAddress": ADDRESS, "paymentToken": TOKEN}
    wrong = {"id": 1, "time": NAME, "source": address, "detail-type": NAME, "detail": {"metadata": told, "mail": told}}
    for consumer in QUEUED:
        run.nonsense.append(json.dumps({**wrong, "for": consumer}))
        shop.send(consumer, run.nonsense[-1])
    eventually(lambda: [shop.dead_letters(consumer) for consumer in QUEUED], all)


def die_of_an_outage(shop: LocalShop, client: ShopClient, address: str, user_id: str) -> None:
    """For every consumer, an event that fails on its last receive."""
    with paused(shop.deployment, *QUEUED):
        answer = client.place(sample("cancelled", shippingAddress=ADDRESS), str(uuid.uuid4()))
        about = dict.fromkeys(CONSUMERS, answer.body["orderId"])
        about["feedback"] = shop.report_bounce(address, user_id)
        for consumer in QUEUED:
            message = shop.message(consumer, about[consumer])
            with shop.unreachable(consumer, "DYNAMODB"):
                assert shop.deliver(consumer, message, receives=LAST_RECEIVE) == "done"


def wake_everybody(shop: LocalShop, client: ShopClient, address: str, user_id: str) -> None:
    """Have every function run once more: MiniStack keeps a line that comes late for the next invocation."""
    assert client.place(sample("cancelled", shippingAddress=ADDRESS), str(uuid.uuid4())).status == 201
    shop.report_bounce(address, user_id)
    demo.wait_until_quiet(shop.deployment, lambda _: None)
    eventually(lambda: shop.queued("feedback"), lambda queued: not queued)
    shop.sweep()


def letters_of(deployment: Deployment, consumer: str) -> list[DeadLetter]:
    """A consumer's dead letters. Its events are put back into its queue, all else is thrown away."""
    queue, dead = deployment.queue_url(consumer), deployment.queue_url(consumer, dead_letters=True)
    found = list(scan.dead_letters(deployment.sqs, dead))
    for letter in found:
        if letter.order_id:
            scan.redrive(deployment.sqs, letter, dead_letters_url=dead, queue_url=queue)
        else:
            deployment.sqs.delete_message(QueueUrl=dead, ReceiptHandle=letter.message["ReceiptHandle"])
    return found


@pytest.fixture(scope="module")
def run(deployment: Deployment, client: ShopClient) -> Run:
    """Everything that customers do, and everything that goes wrong; then all that has come of it."""
    demo.wait_until_quiet(deployment, lambda _: None)
    shop = LocalShop(deployment, client, client)
    old, new = emails()
    run = Run({*ADDRESS.values(), *NAME.split(), old, new, TOKEN, "tok_timeout_held", *of_the_samples(), *MEMBERS})
    run.secrets -= {ADDRESS["country"]}
    with overheard(deployment) as bus, shop.newcomer() as (_, newcomer):
        run.secrets |= secrets_of(client) | secrets_of(newcomer)
        demo.place_samples(client, lambda _: None)
        user_id = move(newcomer, old, new)
        order_in_every_way(shop, run, newcomer)
        shop.report_bounce(new, user_id)
        eventually(lambda: newcomer.profile().body, lambda profile: "emailProblem" in profile)
        send_nonsense(shop, run, new)
        demo.wait_until_quiet(deployment, lambda _: None)
        die_of_an_outage(shop, newcomer, new, user_id)
        letters = {consumer: letters_of(deployment, consumer) for consumer in QUEUED}
        wake_everybody(shop, newcomer, new, user_id)
        run.places["events"] = [message["Body"] for message in received(deployment, bus)]
    run.places["logs"] = lines(deployment)
    run.places["metrics"] = [line for line in run.places["logs"] if '"_aws"' in line]  # functions count in their logs
    for page in deployment.cloudwatch.get_paginator("list_metrics").paginate():
        run.places["metrics"] += [json.dumps(metric) for metric in page["Metrics"]]
    run.places["dead letters' attributes"] = [
        json.dumps(letter.message.get("MessageAttributes", {})) for found in letters.values() for letter in found
    ]
    # The bodies of feedback's letters are SES's reports, which name the address that they are about; and nonsense is
    # what the test itself has written.
    run.places["dead events"] = [
        letter.message["Body"]
        for consumer in CONSUMERS
        for letter in letters[consumer]
        if letter.message["Body"] not in run.nonsense
    ]
    return run


# --- what came of it --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["logs", "metrics", "events", "dead letters' attributes", "dead events"])
def test_nothing_of_a_customer_gets_out(run: Run, place: str) -> None:
    for text in run.places[place]:
        shown = [secret for secret in run.secrets if secret.lower() in text.lower() or _escaped(secret) in text]
        assert not shown, f"{shown} in {text}"


def _escaped(secret: str) -> str:
    return json.dumps(secret)[1:-1]


def test_the_search_was_where_everything_is(deployment: Deployment, run: Run) -> None:
    # GIVEN what the run has done
    logs, events = "\n".join(run.places["logs"]), "\n".join(run.places["events"])
    # THEN its orders are in the logs, and in the events if they were placed
    assert [order_id for order_id in run.orders if order_id not in logs] == []
    placed = [order_id for order_id in run.orders if "placedAt" in order(deployment, order_id)]
    assert len(placed) == 2
    assert [order_id for order_id in placed if order_id not in events] == []
    for detail_type in ("order_placed", "order_cancelled", "shipment_prepared", "user_profile_updated"):
        assert f'"{detail_type}"' in events
    # AND so are its failures
    for said in (
        "aws request failed",
        "dead_lettered",
        "address flagged",
        "sweep finished",
        "provider gave no answer",
    ):
        assert said in logs
    # AND every consumer has its two letters
    assert len(run.places["dead letters' attributes"]) == 2 * len(QUEUED)
    assert len(run.places["dead events"]) == len(CONSUMERS)
    assert "EventLagDone" in "\n".join(run.places["metrics"])
