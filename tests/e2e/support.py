"""Helpers to control the deployed stack from a test."""

import contextlib
import json
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from dev.demo import orders as demo
from dev.faults.callers import callers, kill
from dev.local.consumers import lambda_client
from handoff.attribute_values import from_item, to_item
from handoff.update import Attr, Update
from ops.shop_client import Answer, ShopClient
from ops.stack import observe
from ops.stack.deployment import Deployment

T = TypeVar("T")


def eventually(read: Callable[[], T], wanted: Callable[[T], bool], seconds: float = 180) -> T:
    """Read until the value is as wanted; return it. Fail with the last value after a timeout."""
    deadline = time.monotonic() + seconds
    seen = read()
    while not wanted(seen):
        assert time.monotonic() < deadline, f"still {seen!r} after {seconds} s"
        time.sleep(0.3)
        seen = read()
    return seen


def until_quiet(deployment: Deployment) -> None:
    """Wait until no work is left. Events that a busy machine left to the sweeper do not wait for its next run."""
    deadline = time.monotonic() + 450
    while not demo.wait_until_quiet(deployment, lambda _: None, within=15):
        assert time.monotonic() < deadline, observe.waiting(deployment)
        sweep(deployment)


def sweep(deployment: Deployment) -> None:
    """Let the sweeper finish all unfinished orders now, instead of one to two minutes later."""
    for item in deployment.scan("OrdersTable"):
        if "dueAt" in item:
            due = Update(deployment.resource("OrdersTable"), {"orderId": item["orderId"]}).set("dueAt", 1)
            due.when(Attr("dueAt").exists())
            with contextlib.suppress(deployment.dynamodb.exceptions.ConditionalCheckFailedException):  # finished
                deployment.dynamodb.update_item(**due.members())
    invoke(deployment, "sweeper", {})


def sample(name: str, **changes: Any) -> dict[str, Any]:
    return json.loads((demo.EVENTS / f"requests/{name}.json").read_text()) | changes


def place(client: ShopClient, name: str = "good", **changes: Any) -> Answer:
    return client.place(sample(name, **changes), str(uuid.uuid4()))


def patiently(request: Callable[[], Answer]) -> Answer:
    """Send a request, again if the answer says so: on a busy machine, a request can run out of time."""
    return eventually(request, lambda answer: "Retry-After" not in answer.headers)


def place_patiently(client: ShopClient, name: str = "good", **changes: Any) -> Answer:
    """Place an order patiently."""
    wanted, key = sample(name, **changes), str(uuid.uuid4())
    return patiently(lambda: client.place(wanted, key))


def order(deployment: Deployment, order_id: str) -> dict[str, Any]:
    response = deployment.dynamodb.get_item(
        TableName=deployment.resource("OrdersTable"), Key=to_item({"orderId": order_id}), ConsistentRead=True
    )
    return from_item(response["Item"])


def change_order(deployment: Deployment, order_id: str, **values: int | str) -> None:
    """Change an order's times, because the functions' clocks cannot be moved."""
    deployment.dynamodb.update_item(
        TableName=deployment.resource("OrdersTable"),
        Key=to_item({"orderId": order_id}),
        UpdateExpression="SET " + ", ".join(f"#{name} = :{name}" for name in values),
        ExpressionAttributeNames={f"#{name}": name for name in values},
        ExpressionAttributeValues=to_item({f":{name}": value for name, value in values.items()}),
    )


def about(items: list[dict[str, Any]], order_id: str) -> list[dict[str, Any]]:
    return [item for item in items if item.get("orderId") == order_id]


def invoke(deployment: Deployment, function: str, event: Any) -> Any:
    """Invoke a function and return its answer; an error of the function fails the test."""
    answer = lambda_client(deployment).invoke(
        FunctionName=deployment.resource(f"{function.capitalize()}Function"), Payload=json.dumps(event).encode()
    )
    payload = answer["Payload"].read().decode()
    assert "FunctionError" not in answer, payload
    return json.loads(payload)


@contextlib.contextmanager
def environment(deployment: Deployment, function: str, **variables: str) -> Iterator[None]:
    """Add environment variables to a function while the context lasts."""
    client, name = lambda_client(deployment), deployment.resource(f"{function.capitalize()}Function")
    original = client.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
    client.update_function_configuration(FunctionName=name, Environment={"Variables": original | variables})
    try:
        yield
    finally:
        client.update_function_configuration(FunctionName=name, Environment={"Variables": original})


@contextlib.contextmanager
def overheard(deployment: Deployment) -> Iterator[str]:
    """Yield a queue that receives every event on the bus while the context lasts."""
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
    """Return all messages of a queue, and delete them."""
    found: list[dict[str, Any]] = []
    while messages := deployment.sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", []):
        for message in messages:
            deployment.sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
            found.append(dict(message))
    return found


class KillingServer:
    """An endpoint that kills the calling process with SIGKILL, in the middle of the call."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.killed: list[int] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, peer = self._listener.accept()
                connection.recv(65536)
                threading.Thread(target=self._keep_waiting, args=(connection,), daemon=True).start()
                found = callers(peer, connection.getsockname())
                self.killed += found
                kill(found)
                connection.close()

    @staticmethod
    def _keep_waiting(connection: socket.socket) -> None:
        """Send a response that never ends, so that the caller does not time out before its process is found."""
        with contextlib.suppress(OSError):
            connection.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
            while True:
                time.sleep(0.2)
                connection.sendall(b"x")

    def close(self) -> None:
        self._listener.close()
