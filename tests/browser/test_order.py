"""One order's timeline."""

import re
from collections.abc import Callable

from playwright.sync_api import Page, expect

from tests.browser.conftest import Stack


def test_timeline(console: str, stack: Stack, visit: Callable[..., Page]) -> None:
    order_id = stack.order()
    page = visit(console)
    # WHEN somebody searches for an order that was just placed
    page.get_by_role("tab", name="Order").click()
    page.get_by_label("Order id").fill(order_id)
    page.get_by_label("Order id").press("Enter")
    # THEN its story begins with the reservation
    expect(page.get_by_test_id("timeline")).to_contain_text("PLACED")
    expect(page.get_by_test_id("story")).to_contain_text("correlation id")
    # AND comes to its end
    for what in ("payment captured", "PREPARED", "analytics", "emails", "fulfillment"):
        while what not in page.get_by_test_id("story").inner_text():
            page.get_by_role("button", name="Search").click()
            expect(page.get_by_test_id("timeline")).to_be_visible()
            page.wait_for_timeout(500)


def test_a_sample_order_leads_to_its_timeline(console: str, visit: Callable[..., Page]) -> None:
    page = visit(console)
    page.get_by_role("button", name="Place a sample order").click()
    page.get_by_role("button", name="See its way").first.click()
    expect(page.get_by_label("Order id")).to_have_value(re.compile("^ord_"))
    expect(page.get_by_test_id("timeline")).to_contain_text("PLACED")


def test_unknown_orders(console: str, visit: Callable[..., Page]) -> None:
    page = visit(console)
    page.get_by_role("tab", name="Order").click()
    search = page.get_by_role("button", name="Search")
    search.click()
    expect(page.get_by_test_id("story")).to_have_text("Type an order's id first.")
    for unknown in ("ord_" + "a" * 26, "12", "<b>bold</b>"):
        page.get_by_label("Order id").fill(unknown)
        search.click()
        expect(page.get_by_test_id("story")).to_contain_text(unknown)
        expect(page.get_by_test_id("timeline")).to_have_count(0)
