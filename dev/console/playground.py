"""The console's tools for the local stack: a sample customer, and the switches of the fault proxy."""

import contextlib
import json
import uuid

from dev.console.switches import ProxySwitches, switches
from dev.demo import orders as demo
from ops.console.playground import Playground, SampleOrder, SampleOrders
from ops.shop_client import ShopClient, sign_in
from ops.stack.deployment import Deployment


def playground(deployment: Deployment, proxy: str) -> Playground:
    """Return the tools for a local stack whose fault proxy is at the URL ``proxy``."""
    _ = deployment.cognito, deployment.outputs  # made here: a boto3 session makes clients in one thread at a time only
    return Playground(SampleOrders(lambda: _place(deployment)), ProxySwitches(proxy, switches(deployment)))


def _place(deployment: Deployment) -> SampleOrder:
    """Place the sample order as the first sample customer."""
    order = json.loads((demo.EVENTS / "requests/good.json").read_text())
    email = json.loads((demo.EVENTS / "customers.json").read_text())[0]["email"]
    with contextlib.closing(ShopClient(deployment.api_url, sign_in(deployment, email))) as client:
        answer = client.place(order, str(uuid.uuid4()))
    return SampleOrder(answer.status, answer.milliseconds, answer.body.get("orderId", ""))
