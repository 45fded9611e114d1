"""The console's tools for the local stack: a sample customer, the switches of the fault proxy, poison messages."""

import contextlib
import json
import uuid
from functools import partial
from typing import Any

from dev.console import poison
from dev.console.switches import ProxySwitches, switches
from dev.demo import orders as demo
from handoff.attribute_values import from_item, to_item
from ops.console.playground import Playground, SampleOrder, SampleOrders
from ops.shop_client import ShopClient, sign_in
from ops.stack.deployment import Deployment
from ops.text import sentences


def playground(deployment: Deployment, proxy: str) -> Playground:
    """Return the tools for a local stack whose fault proxy is at the URL ``proxy``."""
    _ = deployment.cognito, deployment.outputs  # made here: a boto3 session makes clients in one thread at a time only
    orders, faults = SampleOrders(lambda: _place(deployment)), ProxySwitches(proxy, switches(deployment))
    confirm = partial(act, deployment) if deployment.has("SandboxTable") else None
    return Playground(orders, faults, partial(poison.send, deployment), confirm)


def _place(deployment: Deployment) -> SampleOrder:
    """Place the sample order as the first sample customer."""
    order = json.loads((demo.EVENTS / "requests/good.json").read_text())
    email = json.loads((demo.EVENTS / "customers.json").read_text())[0]["email"]
    with contextlib.closing(ShopClient(deployment.api_url, sign_in(deployment, email))) as client:
        answer = client.place(order, str(uuid.uuid4()))
    return SampleOrder(answer.status, answer.milliseconds, answer.body.get("orderId", ""))


def act(deployment: Deployment, order_id: str) -> str:
    """Confirm the payment of a waiting order at the sandbox's bank, then the order, as customer and page do.

    Return the result as text. On the local stack, every customer can be signed in.
    """
    order = _item(deployment, "OrdersTable", orderId=order_id)
    payment = _item(deployment, "SandboxTable", key=order["payment"].get("reference", ""))
    if "secret" not in payment:
        return "This payment needs no confirmation."
    customer = _item(deployment, "CustomersTable", userId=order["userId"])
    with contextlib.closing(ShopClient(deployment.api_url, sign_in(deployment, customer["email"]))) as client:
        acted = client.act(payment["secret"])
        confirmed = client.confirm(order_id)
    became = confirmed.body.get("detail") or f"The order is {confirmed.body.get('status')}"
    return sentences(f"The payment is {acted.body.get('state') or acted.body.get('detail')}", became)


def _item(deployment: Deployment, table: str, **key: str) -> dict[str, Any]:
    found = deployment.dynamodb.get_item(TableName=deployment.resource(table), Key=to_item(key), ConsistentRead=True)
    return from_item(found.get("Item", {}))
