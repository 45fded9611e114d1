"""The requests and responses of the pages about an order's life, run against the simulated stack."""

import json
from collections.abc import Iterator

import pytest

from dev.simulated.stack import SimulatedStack
from dev.simulated.world import World, deployed
from tests.support.markdown import ROOT
from tests.support.shell_page import ShellPage

HOW_TO = ROOT / "docs/how-to"


@pytest.fixture(scope="module")
def stack(request: pytest.FixtureRequest) -> Iterator[SimulatedStack]:
    """Deploy the template to moto, with the test's value of `Packing`."""
    with deployed({"Packing": request.param}) as stack:
        yield stack


@pytest.fixture
def page(world: World) -> ShellPage:
    """A shell on a stack with the sample catalog and a customer."""
    for product in json.loads((ROOT / "events/catalog.json").read_text()):
        world.put("ProductsTable", product)
    world.customer()

    def pause(seconds: int) -> None:
        world.clock.forward(seconds)
        world.queues.until_quiet()

    return ShellPage(world, pause)


@pytest.mark.parametrize("stack", ["automatic"], indirect=True)
def test_each_request_about_cancelling_returning_and_refunding_is_answered_as_shown(page: ShellPage) -> None:
    page.run((HOW_TO / "cancel-refund-return.md").read_text())
    page.pause(1)

    cancelled, returned = page.ids.values()
    assert page.world.order(cancelled)["status"] == "CANCELLED"
    order = page.world.order(returned)
    assert {refund["state"] for refund in order["refunds"].values()} == {"refunded"}
    assert sum(refund["amount"] for refund in order["refunds"].values()) == order["total"]
    assert page.compared == 3


@pytest.mark.parametrize("stack", ["automatic"], indirect=True)
def test_each_request_about_a_payment_to_confirm_is_answered_as_shown(page: ShellPage) -> None:
    page.run((HOW_TO / "let-customers-confirm-payments.md").read_text())
    page.pause(1)

    assert [answer.status for answer in page.answers] == [202, 200, 200]
    (placed,) = page.ids.values()
    assert page.world.order(placed)["payment"]["state"] == "captured"
    assert page.compared == 3


@pytest.mark.parametrize("stack", ["manual"], indirect=True)
def test_each_request_of_a_warehouse_is_answered_as_shown(page: ShellPage) -> None:
    order_id = page.world.api().place(json.loads((ROOT / "events/requests/good.json").read_text())).json["orderId"]
    page.pause(1)

    page.run((HOW_TO / "pack-orders.md").read_text())
    page.pause(1)

    assert page.world.order(order_id)["status"] == "PREPARED"
    assert page.world.item("ShipmentsTable", orderId=order_id)["state"] == "released"
    assert page.compared == 2
