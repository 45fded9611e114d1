"""One order's timeline."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Stack


def test_an_order_is_followed_to_its_last_consumer(console: str, stack: Stack, visit: Callable[..., Page]) -> None:
    order_id = stack.order()
    page = visit(f"{console}/orders")
    # WHEN a user searches for an order that was just placed
    page.get_by_label("Order id").fill(order_id)
    page.get_by_label("Order id").press("Enter")
    # THEN its timeline begins
    expect(page.get_by_test_id("timeline")).to_contain_text("PLACED")
    expect(page.get_by_test_id("order")).to_contain_text("correlation id")
    # AND is complete after a while
    effects = ("confirmation mailed", "sale counted", "handed to packing", "payment captured", "shipping notice mailed")
    for step in effects:
        while step not in page.get_by_test_id("order").inner_text():
            page.get_by_role("button", name="Search").click()
            expect(page.get_by_test_id("timeline")).to_be_visible()
            page.wait_for_timeout(500)
    # AND a healthy order has no warnings, and a lane for each consumer that did something
    expect(page.get_by_test_id("timeline").locator(".trouble")).to_have_count(0)
    expect(page.get_by_test_id("order").locator(".text-amber-900, .text-red-800")).to_have_count(0)
    titles = page.locator(".lane-titles")
    for lane in ("order", "analytics", "emails", "fulfillment", "settlement"):
        expect(titles.get_by_text(lane, exact=True)).to_be_visible()
    mailed = page.get_by_text("confirmation mailed").bounding_box()
    assert abs(mailed["x"] - titles.get_by_text("emails", exact=True).bounding_box()["x"]) < 30


def test_an_order_is_shown_as_a_waterfall(console: str, stack: Stack, visit: Callable[..., Page]) -> None:
    order_id = stack.order()
    page = visit(f"{console}/orders/{order_id}")
    expect(page.get_by_test_id("timeline")).to_be_visible()
    # WHEN a user chooses the waterfall
    page.get_by_role("button", name="Waterfall").click()
    # THEN the steps are hidden, and the hops appear one after the other
    waterfall = page.get_by_test_id("waterfall")
    expect(page.get_by_test_id("timeline")).to_be_hidden()
    while "shipment_released, done" not in waterfall.inner_text():
        page.get_by_role("button", name="Search").click()
        expect(waterfall).to_be_visible()
        page.wait_for_timeout(500)
    expect(waterfall.locator("li").first).to_contain_text("POST /orders")
    # AND each hop begins after the one that caused it, and its bar is within the page
    request, mailed = (
        waterfall.locator("li", has_text=text).last.locator(".bar").bounding_box()
        for text in ("POST /orders", "shipment_released, done")
    )
    assert request["x"] < mailed["x"]
    assert mailed["x"] + mailed["width"] <= page.viewport_size["width"]
    # AND the choice remains when the order is read again
    page.get_by_role("button", name="Steps").click()
    expect(page.get_by_test_id("timeline")).to_be_visible()
    expect(waterfall).to_be_hidden()


def test_an_orders_address_survives_a_reload_and_the_way_back(
    console: str, stack: Stack, visit: Callable[..., Page]
) -> None:
    first, second = stack.order(), stack.order()
    page = visit(f"{console}/orders/{first}")
    expect(page.get_by_role("heading", name=first)).to_be_visible()
    # WHEN a user searches for another order, and reloads the page
    page.get_by_label("Order id").fill(second)
    page.get_by_label("Order id").press("Enter")
    expect(page).to_have_url(f"{console}/orders/{second}")
    expect(page.get_by_role("heading", name=second)).to_be_visible()
    page.reload()
    expect(page.get_by_role("heading", name=second)).to_be_visible()
    # THEN the back button leads to the first one
    page.go_back()
    expect(page.get_by_role("heading", name=first)).to_be_visible()


def test_a_sample_order_leads_to_its_timeline(console: str, visit: Callable[..., Page]) -> None:
    page = visit(console)
    page.get_by_role("button", name="Place a sample order").click()
    page.get_by_role("link", name="View timeline").first.click()
    expect(page.get_by_label("Order id")).to_have_value(re.compile("^ord_"))
    expect(page.get_by_test_id("timeline")).to_contain_text("PLACED")


@pytest.mark.parametrize(
    ("token", "status", "result"),
    [
        ("tok_action", "PLACED", "The payment is held. The order is PLACED."),
        ("tok_action_fail", "REJECTED", "The payment is failed. The payment was declined."),
    ],
    ids=["succeeds", "fails"],
)
def test_a_payment_is_confirmed_in_the_customers_place(
    token: str, status: str, result: str, console: str, stack: Stack, visit: Callable[..., Page]
) -> None:
    # GIVEN an order that waits for its customer
    order_id = stack.order("action_required", paymentToken=token)
    page = visit(f"{console}/orders/{order_id}")
    button = page.get_by_role("button", name="Confirm the payment as the customer")
    expect(button).to_be_visible()
    expect(page.get_by_test_id("timeline")).not_to_contain_text(status)
    # WHEN the payment is confirmed
    button.click()
    # THEN the page says what came of it, and shows the order as it is now
    expect(page.get_by_text(result)).to_be_visible()
    expect(page.get_by_test_id("timeline")).to_contain_text(status)
    expect(button).to_have_count(0)
    assert stack.client.order(order_id).body["status"] in {status, "PREPARED"}


def test_an_operators_console_confirms_no_payment(
    operator_console: str, stack: Stack, visit: Callable[..., Page]
) -> None:
    order_id = stack.order("action_required")
    page = visit(f"{operator_console}/orders/{order_id}")
    expect(page.get_by_test_id("timeline")).to_contain_text("PENDING")
    expect(page.get_by_role("button", name="Confirm the payment")).to_have_count(0)
    assert stack.client.cancel(order_id).status == 200


def test_unknown_orders(console: str, visit: Callable[..., Page]) -> None:
    page = visit(f"{console}/orders")
    search = page.get_by_role("button", name="Search")
    search.click()
    expect(page.get_by_test_id("order")).to_have_text("Enter an order id.")
    for unknown in ("ord_" + "a" * 26, "12", "<b>bold</b>"):
        page.get_by_label("Order id").fill(unknown)
        search.click()
        expect(page.get_by_test_id("order")).to_contain_text(unknown)
        expect(page.get_by_test_id("timeline")).to_have_count(0)
