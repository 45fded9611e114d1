"""One order's timeline."""

import re
from collections.abc import Callable

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
