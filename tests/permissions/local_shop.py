"""The local stack for scenarios: customers who order, and messages that are delivered one by one."""

import contextlib
import json
import re
import time
import uuid
from collections.abc import Iterator
from typing import Any

import httpx

from dev import samples
from dev.local.consumers import lambda_client, paused
from handoff.attribute_values import to_item
from handoff.clock import Deadline, now_ms
from handoff.update import Update
from ops import catalog, tokens
from ops.shop_client import Answer, ShopClient, sign_up
from ops.stack import observe
from ops.stack.deployment import Deployment
from shop import ids, retention_cursor
from shop.model import Customer, Order
from shop.payments import sandbox
from shop.shipment_store import ShipmentStore
from tests.e2e.support import change_order, environment, eventually, order, sample

UNREACHABLE = "http://127.0.0.1:9"  # nothing listens there: connections are refused at once
_SKU = "PERMISSIONS-MUG"
_LONG_AGO = "2020-01-01T00:00:00.000Z"
_DENIED = re.compile(r"is not authorized to perform: ([\w-]+:\w+)")


class LocalShop:
    """One deployment whose event sources are paused, with a customer and the programs of four scopes."""

    def __init__(
        self,
        deployment: Deployment,
        client: ShopClient,
        *,
        reader: ShopClient,
        warehouse: ShopClient,
        refunder: ShopClient,
        lookup: ShopClient,
    ) -> None:
        self.deployment = deployment
        self.client = client
        self.reader = reader
        self.warehouse = warehouse
        self.refunder = refunder
        self.lookup = lookup
        self._answers = ""

    # --- customers ----------------------------------------------------------------------------------------------------

    def place(self, key: str = "", client: ShopClient | None = None, **changes: Any) -> Answer:
        """Order one mug, as another client if there is one."""
        body = sample("good", lines=[{"sku": _SKU, "quantity": 1}], **changes)
        del body["expectedTotal"]
        return (client or self.client).place(body, key or str(uuid.uuid4()))

    def placed(self, client: ShopClient | None = None) -> str:
        """Place an order; return its id."""
        answer = self.place(client=client)
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
        return httpx.get(f"{self.deployment.api_url}/catalog", trust_env=False, timeout=120).status_code

    # --- content of tables and queues ---------------------------------------------------------------------------------

    def order(self, order_id: str) -> dict[str, Any]:
        """Return an order as it is stored."""
        return order(self.deployment, order_id)

    def customer(self, user_id: str) -> dict[str, Any]:
        """Return a customer as it is stored."""
        return next(found for found in self.deployment.scan("CustomersTable") if found["userId"] == user_id)

    def open_shipment(self, order_id: str) -> None:
        """Store a shipment that waits to be packed, as fulfillment does where a warehouse packs by hand."""
        orders, shipments = (self.deployment.resource(name) for name in ("OrdersTable", "ShipmentsTable"))
        store = ShipmentStore(self.deployment.dynamodb, orders=orders, shipments=shipments)
        store.open(Order.model_validate(self.order(order_id)), now_ms(), Deadline(10))

    def change_order(self, order_id: str, **values: int | str) -> None:
        """Change an order's times."""
        change_order(self.deployment, order_id, **values)

    def age(self, order_id: str) -> None:
        """Move an order's placing and steps into the past."""
        steps = self.order(order_id)["history"]
        aged = Update(self.deployment.resource("OrdersTable"), {"orderId": order_id})
        aged.set("placedAt", _LONG_AGO).set("history", [{**step, "at": _LONG_AGO} for step in steps])
        self.deployment.dynamodb.update_item(**aged.members())

    def forget_retention(self) -> None:
        """Let the next sweep begin a pass of the retention."""
        table = self.deployment.resource("LimitsTable")
        self.deployment.dynamodb.delete_item(TableName=table, Key=to_item({"id": retention_cursor.ITEM}))

    def shipment(self, order_id: str) -> dict[str, Any]:
        """Return an order's shipment as it is stored; empty without one."""
        found = (row for row in self.deployment.scan("ShipmentsTable") if row["orderId"] == order_id)
        return next(found, {})

    def change_shipment(self, order_id: str, pack_by: int) -> None:
        """Change the time by which a shipment has to be packed."""
        self.deployment.dynamodb.update_item(
            TableName=self.deployment.resource("ShipmentsTable"),
            Key=to_item({"orderId": order_id}),
            UpdateExpression="SET packBy = :packBy",
            ExpressionAttributeValues=to_item({":packBy": pack_by}),
        )

    def cancel_hold(self, order_id: str) -> None:
        """Void an order's hold in the sandbox provider's ledger, as a merchant can at a provider."""
        self.deployment.dynamodb.update_item(
            TableName=self.deployment.resource("SandboxTable"),
            Key=to_item({"key": ids.payment_key(order_id, "authorise")}),
            UpdateExpression="SET #state = :void",
            ExpressionAttributeNames={"#state": "state"},
            ExpressionAttributeValues=to_item({":void": sandbox.VOIDED}),
        )

    def change_customer(self, user_id: str, **values: int | str) -> None:
        """Set attributes of a customer, such as the time at which the sweeper processes it."""
        update = Update(self.deployment.resource("CustomersTable"), {"userId": user_id})
        for name, value in values.items():
            update.set(name, value)
        self.deployment.dynamodb.update_item(**update.members())

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
        report = samples.bounced(Customer(user_id=user_id, name="", email=address)) | {"id": str(uuid.uuid4())}
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

    def sweep(self) -> dict[str, int]:
        """Run the sweeper once; return its report."""
        report: dict[str, int] = self.invoke("sweeper", {})
        return report

    def restart(self, function: str) -> None:
        """Replace a function's instance, so that its caches are empty."""
        with environment(self.deployment, function, RESTARTED="yes"):
            pass

    @contextlib.contextmanager
    def changed(self, function: str, **variables: str) -> Iterator[None]:
        """Change a function's environment variables while the context lasts."""
        with environment(self.deployment, function, **variables):
            yield

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
    # No scenario is about the cancel window.
    queue = deployment.queue_url("fulfillment")
    deployment.sqs.set_queue_attributes(QueueUrl=queue, Attributes={"DelaySeconds": "0"})
    catalog.load(deployment.dynamodb, deployment.resource("ProductsTable"), [mugs])
    accesses = (tokens.REPORTS, tokens.SHIPMENTS, tokens.REFUNDS, tokens.LOOK_UP)
    reports, shipments, refunds, orders = (tokens.token_for(deployment, access) for access in accesses)
    with (
        contextlib.closing(ShopClient(deployment.api_url, account.token)) as client,
        contextlib.closing(ShopClient(deployment.api_url, reports)) as reader,
        contextlib.closing(ShopClient(deployment.api_url, shipments)) as warehouse,
        contextlib.closing(ShopClient(deployment.api_url, refunds)) as refunder,
        contextlib.closing(ShopClient(deployment.api_url, orders)) as lookup,
        paused(deployment, *deployment.queued),
    ):
        shop = LocalShop(deployment, client, reader=reader, warehouse=warehouse, refunder=refunder, lookup=lookup)
        shop.introduced(address, client)
        yield shop
