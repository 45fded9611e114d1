"""One trace id over all hops on the deployed stack: of swept, batched and redriven events too.

MiniStack gives each invocation a trace, as Lambda does. `dev.local.emulator` passes an event's trace into its messages,
as EventBridge does.
"""

from collections.abc import Callable
from typing import Any

from click.testing import CliRunner

from dev.local.consumers import paused
from dev.local.stack import LocalStack
from ops.cli.main import main
from ops.shop_client import ShopClient
from ops.stack.deployment import Deployment
from tests.e2e.support import change_order, environment, eventually, invoke, order, place, until_quiet

CONSUMERS = ("analytics", "emails", "fulfillment")
REFUSING = "http://127.0.0.1:9"  # the discard port: connections are refused


def hops_of(handoff: Callable[..., Any], order_id: str) -> list[dict[str, Any]]:
    hops: list[dict[str, Any]] = handoff("order", order_id, "--all")["hops"]
    return hops


def test_all_hops_have_the_requests_trace(
    local_stack: LocalStack, deployment: Deployment, client: ShopClient, handoff: Callable[..., Any]
) -> None:
    until_quiet(deployment)
    # GIVEN two orders whose events the bus did not get, and which wait in one batch once the sweeper has published them
    with paused(deployment, "emails"):
        with paused(deployment, *CONSUMERS[::2]):
            with environment(deployment, "orders", AWS_ENDPOINT_URL_EVENTBRIDGE=REFUSING):
                orders = [place(client).body["orderId"] for _ in range(2)]
            traces = {order_id: order(deployment, order_id)["outbox"]["1"]["trace"][5:40] for order_id in orders}
            assert len(set(traces.values())) == 2
            for order_id in orders:
                change_order(deployment, order_id, dueAt=0)
            invoke(deployment, "sweeper", {})
        for order_id in orders:
            eventually(lambda of=order_id: order(deployment, of)["payment"]["state"], lambda state: state == "captured")
        # AND one of them becomes a dead letter of emails
        first = orders[0]
        sequence = order(deployment, first)["sequence"]
        change_order(deployment, first, sequence=0)
    with environment(deployment, "emails", MAX_RECEIVES="1"):
        eventually(lambda: handoff("dlq", "list", "emails"), lambda found: len(found) > 0)
    change_order(deployment, first, sequence=sequence)

    # WHEN it is redriven
    arguments = ["dlq", "redrive", "emails", "--order", first, "--yes", f"--local={local_stack.port}"]
    assert CliRunner().invoke(main, arguments).exit_code == 0
    until_quiet(deployment)

    def kinds(hops: list[dict[str, Any]]) -> set[str]:
        return {hop["kind"] for hop in hops}

    # THEN all hops of an order have its request's trace, in any batch, from any publisher
    redriven, swept = (hops_of(handoff, order_id) for order_id in orders)
    assert kinds(redriven) >= {"outbox", "redrive"}
    assert "outbox" in kinds(swept)
    assert is_over(redriven)
    assert is_over(swept)
    for order_id, hops in ((first, redriven), (orders[1], swept)):
        assert [hop for hop in hops if hop["traceId"] != traces[order_id]] == []
        consumed = {hop["who"] for hop in hops if hop["kind"] == "consumer"}
        assert consumed - {"loyalty/points"} == {*CONSUMERS, "settlement"}  # another test may have deployed that stack
    assert any(hop["outcome"] == "dead_lettered" for hop in redriven)


def is_over(hops: list[dict[str, Any]]) -> bool:
    """Return whether nothing is missing: the request's line, the shipment's mail, and the end of each wait."""
    mailed = [hop for hop in hops if hop["who"] == "emails" and hop["outcome"] == "done"]
    return len(mailed) == 2 and all(hop["end"] for hop in hops) and hops[0]["kind"] == "request"
