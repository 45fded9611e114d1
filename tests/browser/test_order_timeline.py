"""One order's timeline."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Stack


def test_an_order_is_followed_to_its_last_consumer(console: str, stack: Stack, visit: Callable[..., Page]) -> None:
    order_id = stack.order()
    page = visit(console)
    # WHEN a user searches for an order that was just placed
    page.get_by_role("tab", name="Order").click()
    page.get_by_label("Order id").fill(order_id)
    page.get_by_label("Order id").press("Enter")
    # THEN its timeline begins
    expect(page.get_by_test_id("timeline")).to_contain_text("PLACED")
    expect(page.get_by_test_id("order")).to_contain_text("correlation id")
    # AND is complete after a while
    for step in ("payment captured", "PREPARED", "analytics", "emails", "fulfillment"):
        while step not in page.get_by_test_id("order").inner_text():
            page.get_by_role("button", name="Search").click()
            expect(page.get_by_test_id("timeline")).to_be_visible()
            page.wait_for_timeout(500)


def test_a_sample_order_leads_to_its_timeline(console: str, visit: Callable[..., Page]) -> None:
    page = visit(console)
    page.get_by_role("button", name="Place a sample order").click()
    page.get_by_role("button", name="View timeline").first.click()
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
    page = visit(console)
    page.get_by_role("tab", name="Order").click()
    page.get_by_label("Order id").fill(order_id)
    page.get_by_label("Order id").press("Enter")
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
    page = visit(operator_console)
    page.get_by_role("tab", name="Order").click()
    page.get_by_label("Order id").fill(order_id)
    page.get_by_label("Order id").press("Enter")
    expect(page.get_by_test_id("timeline")).to_contain_text("PENDING")
    expect(page.get_by_role("button", name="Confirm the payment")).to_have_count(0)
    assert stack.client.cancel(order_id).status == 200


def test_unknown_orders(console: str, visit: Callable[..., Page]) -> None:
    page = visit(console)
    page.get_by_role("tab", name="Order").click()
    search = page.get_by_role("button", name="Search")
    search.click()
    expect(page.get_by_test_id("order")).to_have_text("Enter an order id.")
    for unknown in ("ord_" + "a" * 26, "12", "<b>bold</b>"):
        page.get_by_label("Order id").fill(unknown)
        search.click()
        expect(page.get_by_test_id("order")).to_contain_text(unknown)
        expect(page.get_by_test_id("timeline")).to_have_count(0)
