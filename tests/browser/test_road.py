"""The road of orders: what it shows while orders go through, and while something is broken."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from dev.faults.proxy import FaultProxy
from dev.faults.rules import Rule
from tests.browser.conftest import Stack

SOME = re.compile(r"[1-9]")


def place(page: Page) -> None:
    """Place a sample order, and wait for its answer."""
    before = page.get_by_text("answered 201").first.inner_text() if page.get_by_text("answered 201").count() else ""
    page.get_by_role("button", name="Place a sample order").click()
    answered = page.get_by_text("answered 201").first
    expect(answered).not_to_have_text(before) if before else expect(answered).to_be_visible()


def table(page: Page, title: str):
    """A plot's figures as a table."""
    plot = page.locator("section").filter(has=page.get_by_role("heading", name=title)).last
    if not plot.locator("table").is_visible():
        plot.get_by_text("As a table").click()
    return plot.locator("tbody")


def test_no_orders_yet(console: str, visit: Callable[..., Page]) -> None:
    # GIVEN a stack that no customer has used
    # WHEN somebody opens the console
    page = visit(console)
    # THEN it says so, and what to do
    expect(page.get_by_test_id("empty")).to_contain_text("No orders in the last 10 minutes: place one below.")
    expect(page.get_by_test_id("emails").get_by_test_id("state")).to_have_text("quiet")
    expect(page.get_by_test_id("state").first).to_contain_text("live")


def test_an_order_shows(console: str, visit: Callable[..., Page]) -> None:
    page = visit(console)
    # WHEN a sample order is placed
    place(page)
    # THEN its answer and its time are on the road, in the plot, in words and as a table
    expect(page.get_by_test_id("rate")).to_contain_text(re.compile("[1-9][0-9]* answers"))
    expect(page.get_by_test_id("p99")).to_contain_text("ms")
    expect(page.get_by_test_id("empty")).to_be_hidden()
    plot = page.get_by_role("img", name=re.compile("^Answers, orders"))
    expect(plot).to_have_attribute("aria-label", re.compile("placed: [1-9]"))
    expect(table(page, "Answers, orders")).to_contain_text(SOME)
    # AND every consumer has dealt with it
    for consumer in ("analytics", "emails", "fulfillment"):
        expect(page.get_by_test_id(consumer).get_by_test_id("lag p99")).to_contain_text("s")
        expect(page.get_by_test_id(consumer).get_by_test_id("state")).to_have_text("quiet")


def test_slow_mail_fills_its_queue_and_nothing_else(console: str, stack: Stack, visit: Callable[..., Page]) -> None:
    page = visit(console)
    # WHEN e-mail is slow while orders come in
    page.get_by_role("switch", name="Slow e-mail").click()
    page.get_by_role("switch", name="one every second").click()
    # THEN its queue fills, and its events come late
    expect(page.get_by_test_id("emails").get_by_test_id("waiting")).to_have_text(SOME)
    expect(page.get_by_test_id("emails").get_by_test_id("state")).to_have_text("working")
    expect(page.get_by_role("img", name=re.compile("^In the queues"))).to_have_attribute(
        "aria-label", re.compile("emails: [1-9]")
    )
    # AND orders go on being answered
    expect(page.get_by_text(re.compile(r"^\d+\. answered 201"))).to_have_count(5)
    # AND another page shows that both are on
    other = visit(console)
    expect(other.get_by_role("switch", name="Slow e-mail")).to_be_checked()
    expect(other.get_by_role("switch", name="one every second")).to_be_checked()
    # WHEN both are off again
    other.get_by_role("switch", name="one every second").click()
    other.get_by_role("switch", name="Slow e-mail").click()
    # THEN the first page shows it, and the queue empties
    expect(page.get_by_role("switch", name="Slow e-mail")).not_to_be_checked()
    expect(page.get_by_test_id("emails").get_by_test_id("state")).to_have_text("quiet", timeout=120_000)
    assert not stack.proxy.faults.planned()


def test_failing_analytics_keep_their_events(console: str, visit: Callable[..., Page]) -> None:
    page = visit(console)
    # WHEN analytics fails
    page.get_by_role("switch", name="Failing analytics").click()
    expect(page.get_by_role("switch", name="Failing analytics")).to_be_checked()
    place(page)
    # THEN its event waits for another try, which the page counts
    expect(page.get_by_test_id("analytics").get_by_test_id("in flight")).to_have_text(SOME)
    expect(page.get_by_role("img", name=re.compile("^Failed tries"))).to_have_attribute(
        "aria-label", re.compile("analytics: [1-9]")
    )
    # AND the others do not notice
    expect(page.get_by_test_id("fulfillment").get_by_test_id("state")).to_have_text("quiet")
    # WHEN it is mended, THEN the event is done with its next try
    page.get_by_role("switch", name="Failing analytics").click()
    expect(page.get_by_test_id("analytics").get_by_test_id("state")).to_have_text("quiet")


def test_a_dead_bus_changes_no_answer(console: str, stack: Stack, visit: Callable[..., Page]) -> None:
    page = visit(console)
    page.get_by_role("switch", name="Event bus down").click()
    expect(page.get_by_role("switch", name="Event bus down")).to_be_checked()
    # WHEN an order is placed while the bus takes nothing, THEN it is answered as ever
    place(page)
    assert any(planned.struck for planned in stack.proxy.faults.planned())
    page.get_by_role("switch", name="Event bus down").click()
    expect(page.get_by_role("switch", name="Event bus down")).not_to_be_checked()


def test_it_says_that_it_is_looking(console_behind: str, between: FaultProxy, visit: Callable[..., Page]) -> None:
    # GIVEN queues that take their time to answer
    with between.faults.in_force(Rule(call="sqs.GetQueueAttributes", delay=2_000)):
        page = visit(console_behind)
        # THEN the page says that it is looking
        expect(page.get_by_test_id("loading")).to_be_visible()
        expect(page.get_by_test_id("emails")).to_be_hidden()
    # WHEN they have answered, THEN it shows the road, but an operator gets no sample orders and no fault switches
    expect(page.get_by_test_id("emails")).to_be_visible()
    expect(page.get_by_test_id("loading")).to_be_hidden()
    expect(page.get_by_role("button", name="Place a sample order")).to_have_count(0)
    expect(page.get_by_role("switch", name="Slow e-mail")).to_have_count(0)


@pytest.mark.parametrize("call", ["sqs.GetQueueAttributes", "POST /*"], ids=["SQS", "CloudWatch"])
def test_it_says_what_is_wrong(call: str, console_behind: str, between: FaultProxy, visit: Callable[..., Page]) -> None:
    page = visit(console_behind)
    expect(page.get_by_test_id("emails")).to_be_visible()
    # WHEN AWS refuses
    with between.faults.in_force(Rule(call=call, refuse="AccessDeniedException", status=403)):
        # THEN the page says so, that it goes on trying, and of when its figures are
        trouble = page.get_by_role("alert").filter(has_text="Can't look")
        expect(trouble).to_contain_text("AccessDenied")
        expect(trouble).to_contain_text("Trying again every 2 s. What is shown is of")
        expect(page.get_by_test_id("state").first).to_contain_text("stopped")
        expect(page.get_by_test_id("emails")).to_be_visible()
    # WHEN it does no more, THEN all is well again
    expect(page.get_by_test_id("trouble")).to_be_hidden()
    expect(page.get_by_test_id("state").first).to_contain_text("live")


def test_it_looks_only_while_somebody_does(
    console_behind: str, between: FaultProxy, visit: Callable[..., Page]
) -> None:
    page = visit(console_behind)
    expect(page.get_by_test_id("emails")).to_be_visible()
    # WHEN the only page is closed
    page.close()
    # THEN it soon asks for nothing any more
    other = visit("about:blank")
    for _ in range(10):
        before = between.faults.calls()
        other.wait_for_timeout(6_000)  # three times as long as between two looks
        if between.faults.calls() == before:
            return
    pytest.fail("it goes on looking")
