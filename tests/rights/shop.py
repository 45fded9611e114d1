"""The local stack as the scenarios use it: customers who order, and messages that wait until they are handed over."""

import contextlib
import json
import re
import time
import uuid
from collections.abc import Iterator
from typing import Any

import httpx

from dev.demo import orders as demo
from dev.local.consumers import lambda_client, paused
from handoff import aws
from ops import catalog, tokens
from ops.shop_client import Answer, ShopClient, sign_up
from ops.stack import observe
from ops.stack.deployment import QUEUED, Deployment
from shop import mail_tags
from tests.e2e.support import change_order, environment, eventually, order, sample

UNREACHABLE = "http://127.0.0.1:9"  # nothing listens there: a connection is refused at once
_SKU = "RIGHTS-MUG"
_DENIED = re.compile(r"is not authorized to perform: ([\w-]+:\w+)")


class Shop:
    """One deployment whose consumers take nothing from their queues by themselves."""

    def __init__(self, deployment: Deployment, client: ShopClient, reader: ShopClient) -> None:
        self.deployment = deployment
        self.client = client
        self.reader = reader
        self._said = ""

    # --- customers ----------------------------------------------------------------------------------------------------

    def place(self, key: str = "", **changes: Any) -> Answer:
        """Order one mug."""
        body = sample("good", lines=[{"sku": _SKU, "quantity": 1}], **changes)
        del body["expectedTotal"]
        return self.client.place(body, key or str(uuid.uuid4()))

    def placed(self) -> str:
        """The id of a new order."""
        answer = self.place()
        assert answer.status == 201, answer.body
        return str(answer.body["orderId"])

    @contextlib.contextmanager
    def newcomer(self) -> Iterator[tuple[str, ShopClient]]:
        """Somebody who has just signed up: their address, and what they see of the API."""
        address = f"{uuid.uuid4().hex}@example.com"
        account = sign_up(self.deployment, address)
        with contextlib.closing(ShopClient(self.deployment.api_url, account.token)) as client:
            yield address, client

    def introduced(self, address: str, client: ShopClient) -> str:
        """The user id of a newcomer whose profile is made."""
        answer = client.introduce({"name": "New", "email": address})
        assert answer.status == 200, answer.body
        return str(answer.body["userId"])

    def catalog(self) -> int:
        """The status of ``GET /catalog``."""
        return httpx.get(f"{self.deployment.api_url}/catalog", trust_env=False).status_code

    # --- what the tables and queues hold ------------------------------------------------------------------------------

    def order(self, order_id: str) -> dict[str, Any]:
        """An order as it is stored."""
        return order(self.deployment, order_id)

    def customer(self, user_id: str) -> dict[str, Any]:
        """A customer as they are stored."""
        return next(found for found in self.deployment.scan("CustomersTable") if found["userId"] == user_id)

    def change_order(self, order_id: str, **values: int) -> None:
        """Move an order's times."""
        change_order(self.deployment, order_id, **values)

    def change_customer(self, user_id: str, due_at: int) -> None:
        """Move the time at which the sweeper looks at a customer."""
        self.deployment.dynamodb.update_item(
            TableName=self.deployment.resource("CustomersTable"),
            Key=aws.to_item({"userId": user_id}),
            UpdateExpression="SET dueAt = :dueAt",
            ExpressionAttributeValues=aws.to_item({":dueAt": due_at}),
        )

    def mails(self, order_id: str) -> int:
        """How many mails went out about an order."""
        return sum(order_id in str(mail) for mail in observe.mails(str(self.deployment.endpoint)))

    def counted(self, event_id: str) -> bool:
        """Whether analytics has counted an event."""
        return any(row["bucketId"].endswith(f"#event#{event_id}") for row in self.deployment.scan("SalesTable"))

    def dead_letters(self, consumer: str) -> int:
        """How many dead letters a consumer has."""
        return observe.depth(self.deployment, self.deployment.queue_url(consumer, dead_letters=True)).waiting

    def queued(self, consumer: str) -> dict[str, float]:
        """The messages of a consumer's queue, hidden ones as well: in how many seconds each is visible."""
        queue = self.deployment.queue_url(consumer)
        answer = httpx.get(f"{self.deployment.endpoint}/_ministack/sqs/messages", params={"QueueUrl": queue})
        return {
            message["MessageId"]: message["VisibleAt"] - time.time()
            for regions in answer.json()["messages"].values()
            for queues in regions.values()
            for messages in queues.values()
            for message in messages
        }

    # --- messages and functions ---------------------------------------------------------------------------------------

    def send(self, consumer: str, body: str) -> None:
        """Put a message into a consumer's queue."""
        self.deployment.sqs.send_message(QueueUrl=self.deployment.queue_url(consumer), MessageBody=body)

    def report_bounce(self, address: str, user_id: str) -> str:
        """Have SES say that mails to an address come back; returns the report's id."""
        (record,) = json.loads((demo.EVENTS / "feedback.json").read_text())["Records"]
        report = json.loads(record["body"])
        report["id"] = str(uuid.uuid4())
        report["detail"]["mail"]["tags"]["user"] = [mail_tags.tag_of(user_id)]
        report["detail"]["bounce"]["bouncedRecipients"][0]["emailAddress"] = address
        self.send("feedback", json.dumps(report))
        return str(report["id"])

    def message(self, consumer: str, *about: str) -> dict[str, Any]:
        """The message with these texts; what else is in the queue is thrown away, nobody waits for it."""
        queue, sqs = self.deployment.queue_url(consumer), self.deployment.sqs

        def look() -> dict[str, Any] | None:
            wanted = None
            for message in sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", []):
                if all(text in message["Body"] for text in about):
                    wanted = dict(message)
                else:
                    sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
            return wanted

        found = eventually(look, bool)
        assert found
        return found

    def hand_over(self, consumer: str, message: dict[str, Any], receives: int = 1) -> str:
        """Invoke a consumer with a message, as Lambda does; returns whether that was ``done`` or ``failed``."""
        record = {
            "messageId": message["MessageId"],
            "receiptHandle": message["ReceiptHandle"],
            "body": message["Body"],
            "attributes": {"ApproximateReceiveCount": str(receives)},
            "eventSource": "aws:sqs",
            "eventSourceARN": f"arn:aws:sqs:us-east-1:000000000000:{consumer}",
        }
        return "done" if self.invoke(consumer, {"Records": [record]}) == {"batchItemFailures": []} else "failed"

    def invoke(self, function: str, event: dict[str, Any]) -> Any:
        """Invoke a function; returns its answer, or its error."""
        answer = lambda_client(self.deployment).invoke(
            FunctionName=self.deployment.resource(f"{function.capitalize()}Function"),
            Payload=json.dumps(event).encode(),
        )
        payload = answer["Payload"].read().decode()
        self._said += payload
        return json.loads(payload)

    def sweep(self) -> None:
        """One run of the sweeper."""
        self.invoke("sweeper", {})

    def restart(self, function: str) -> None:
        """Have a function start anew, without what it remembers."""
        with environment(self.deployment, function, RESTARTED="yes"):
            pass

    @contextlib.contextmanager
    def cut_off(self, function: str, service: str) -> Iterator[None]:
        """A function that can't reach a service of AWS's, such as ``EVENTBRIDGE``."""
        with environment(self.deployment, function, **{f"AWS_ENDPOINT_URL_{service}": UNREACHABLE}):
            yield

    @contextlib.contextmanager
    def denials(self, function: str) -> Iterator[set[str]]:
        """The actions that a function was denied meanwhile, by its log and its answers; filled at the end."""
        start, self._said = int(time.time() * 1000), ""
        found: set[str] = set()
        yield found
        group = self.deployment.resource(f"{function.capitalize()}Logs")
        pages = self.deployment.logs.get_paginator("filter_log_events").paginate(logGroupName=group, startTime=start)
        lines = [event["message"] for page in pages for event in page["events"]]
        found.update(_DENIED.findall("\n".join([*lines, self._said])))


@contextlib.contextmanager
def opened(deployment: Deployment) -> Iterator[Shop]:
    """The shop, with a catalog, a customer, and consumers that wait."""
    address = f"{uuid.uuid4().hex}@example.com"
    account = sign_up(deployment, address)
    mugs = catalog.Entry(sku=_SKU, name="Mug", unitPrice=500, available=10_000)
    catalog.load(deployment.dynamodb, deployment.resource("ProductsTable"), [mugs])
    with (
        contextlib.closing(ShopClient(deployment.api_url, account.token)) as client,
        contextlib.closing(ShopClient(deployment.api_url, tokens.for_reports(deployment))) as reader,
        paused(deployment, *QUEUED),
    ):
        shop = Shop(deployment, client, reader)
        shop.introduced(address, client)
        yield shop
