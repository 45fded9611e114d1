"""The local stack for scenarios: customers who order, and messages that are delivered one by one."""

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

UNREACHABLE = "http://127.0.0.1:9"  # nothing listens there: connections are refused at once
_SKU = "PERMISSIONS-MUG"
_DENIED = re.compile(r"is not authorized to perform: ([\w-]+:\w+)")


class LocalShop:
    """One deployment whose event sources are paused."""

    def __init__(self, deployment: Deployment, client: ShopClient, reader: ShopClient) -> None:
        self.deployment = deployment
        self.client = client
        self.reader = reader
        self._answers = ""

    # --- customers ----------------------------------------------------------------------------------------------------

    def place(self, key: str = "", **changes: Any) -> Answer:
        """Order one mug."""
        body = sample("good", lines=[{"sku": _SKU, "quantity": 1}], **changes)
        del body["expectedTotal"]
        return self.client.place(body, key or str(uuid.uuid4()))

    def placed(self) -> str:
        """Place an order; return its id."""
        answer = self.place()
        assert answer.status == 201, answer.body
        return str(answer.body["orderId"])

    @contextlib.contextmanager
    def newcomer(self) -> Iterator[tuple[str, ShopClient]]:
        """Yield the address and the API client of a user who has just signed up."""
        address = f"{uuid.uuid4().hex}@example.com"
        account = sign_up(self.deployment, address)
        with contextlib.closing(ShopClient(self.deployment.api_url, account.token)) as client:
            yield address, client

    def introduced(self, address: str, client: ShopClient) -> str:
        """Create a newcomer's profile; return the user id."""
        answer = client.introduce({"name": "New", "email": address})
        assert answer.status == 200, answer.body
        return str(answer.body["userId"])

    def catalog(self) -> int:
        """Return the status of ``GET /catalog``."""
        return httpx.get(f"{self.deployment.api_url}/catalog", trust_env=False).status_code

    # --- content of tables and queues ---------------------------------------------------------------------------------

    def order(self, order_id: str) -> dict[str, Any]:
        """Return an order as it is stored."""
        return order(self.deployment, order_id)

    def customer(self, user_id: str) -> dict[str, Any]:
        """Return a customer as it is stored."""
        return next(found for found in self.deployment.scan("CustomersTable") if found["userId"] == user_id)

    def change_order(self, order_id: str, **values: int) -> None:
        """Change an order's times."""
        change_order(self.deployment, order_id, **values)

    def change_customer(self, user_id: str, due_at: int) -> None:
        """Change the time at which the sweeper processes a customer."""
        self.deployment.dynamodb.update_item(
            TableName=self.deployment.resource("CustomersTable"),
            Key=aws.to_item({"userId": user_id}),
            UpdateExpression="SET dueAt = :dueAt",
            ExpressionAttributeValues=aws.to_item({":dueAt": due_at}),
        )

    def mails(self, order_id: str) -> int:
        """Return the number of mails about an order."""
        return sum(order_id in str(mail) for mail in observe.mails(str(self.deployment.endpoint)))

    def counted(self, event_id: str) -> bool:
        """Return whether analytics has counted an event."""
        return any(row["bucketId"].endswith(f"#event#{event_id}") for row in self.deployment.scan("SalesTable"))

    def dead_letters(self, consumer: str) -> int:
        """Return the number of a consumer's dead letters."""
        return observe.depth(self.deployment, self.deployment.queue_url(consumer, dead_letters=True)).waiting

    def queued(self, consumer: str) -> dict[str, float]:
        """Return the seconds until each message in a consumer's queue is visible, by message id."""
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
        """Send a message to a consumer's queue."""
        self.deployment.sqs.send_message(QueueUrl=self.deployment.queue_url(consumer), MessageBody=body)

    def report_bounce(self, address: str, user_id: str) -> str:
        """Queue an SES report that mails to an address bounce; return the report's id."""
        (record,) = json.loads((demo.EVENTS / "feedback.json").read_text())["Records"]
        report = json.loads(record["body"])
        report["id"] = str(uuid.uuid4())
        report["detail"]["mail"]["tags"]["user"] = [mail_tags.tag_of(user_id)]
        report["detail"]["bounce"]["bouncedRecipients"][0]["emailAddress"] = address
        self.send("feedback", json.dumps(report))
        return str(report["id"])

    def message(self, consumer: str, *about: str) -> dict[str, Any]:
        """Receive the message that contains these texts. Other messages in the queue are deleted."""
        queue, sqs = self.deployment.queue_url(consumer), self.deployment.sqs

        def receive() -> dict[str, Any] | None:
            wanted = None
            for message in sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", []):
                if all(text in message["Body"] for text in about):
                    wanted = dict(message)
                else:
                    sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
            return wanted

        found = eventually(receive, bool)
        assert found
        return found

    def deliver(self, consumer: str, message: dict[str, Any], receives: int = 1) -> str:
        """Invoke a consumer with a message, as Lambda does; return ``done`` or ``failed``."""
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
        """Invoke a function; return its answer or its error."""
        answer = lambda_client(self.deployment).invoke(
            FunctionName=self.deployment.resource(f"{function.capitalize()}Function"),
            Payload=json.dumps(event).encode(),
        )
        payload = answer["Payload"].read().decode()
        self._answers += payload
        return json.loads(payload)

    def sweep(self) -> None:
        """Run the sweeper once."""
        self.invoke("sweeper", {})

    def restart(self, function: str) -> None:
        """Replace a function's instance, so that its caches are empty."""
        with environment(self.deployment, function, RESTARTED="yes"):
            pass

    @contextlib.contextmanager
    def unreachable(self, function: str, service: str) -> Iterator[None]:
        """Make an AWS service, such as ``EVENTBRIDGE``, unreachable for a function."""
        with environment(self.deployment, function, **{f"AWS_ENDPOINT_URL_{service}": UNREACHABLE}):
            yield

    @contextlib.contextmanager
    def denials(self, function: str) -> Iterator[set[str]]:
        """Yield a set; at the end it has the actions that the function was denied, by its log and its answers."""
        start, self._answers = int(time.time() * 1000), ""
        found: set[str] = set()
        yield found
        group = self.deployment.resource(f"{function.capitalize()}Logs")
        pages = self.deployment.logs.get_paginator("filter_log_events").paginate(logGroupName=group, startTime=start)
        lines = [event["message"] for page in pages for event in page["events"]]
        found.update(_DENIED.findall("\n".join([*lines, self._answers])))


@contextlib.contextmanager
def open_shop(deployment: Deployment) -> Iterator[LocalShop]:
    """Yield the shop with a catalog, a customer and paused consumers."""
    address = f"{uuid.uuid4().hex}@example.com"
    account = sign_up(deployment, address)
    mugs = catalog.Entry(sku=_SKU, name="Mug", unitPrice=500, available=10_000)
    catalog.load(deployment.dynamodb, deployment.resource("ProductsTable"), [mugs])
    with (
        contextlib.closing(ShopClient(deployment.api_url, account.token)) as client,
        contextlib.closing(ShopClient(deployment.api_url, tokens.for_reports(deployment))) as reader,
        paused(deployment, *QUEUED),
    ):
        shop = LocalShop(deployment, client, reader)
        shop.introduced(address, client)
        yield shop
