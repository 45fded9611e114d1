"""The overview, while orders are placed and while a fault is active."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psutil
import pytest
from playwright.sync_api import Locator, Page, expect

from dev.faults.proxy import FaultProxy
from dev.faults.rules import Rule
from ops.dlq.directory import directory
from tests.browser.conftest import Stack

POSITIVE = re.compile(r"[1-9]")
# Texts of the plots that another text covers, or the plot's legend.
COVERED = """() => [...document.querySelectorAll('.plot')].flatMap(plot => {
  const texts = [...plot.querySelectorAll('svg text, [data-testid=legend] > *')];
  const boxes = texts.map(text => [text.textContent, text.getBoundingClientRect()]);
  return boxes.flatMap(([text, a], n) => boxes.slice(n + 1).filter(([, b]) => a.width && b.width &&
    a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 1 && b.top < a.bottom - 1)
    .map(([other]) => `${text} / ${other}`));
})"""
NO_ANSWER = re.compile(r"^no answer since \d\d:\d\d:\d\d$")


@contextmanager
def frozen(port: int) -> Iterator[None]:
    """Stop the process that listens on a port, and its children, while the context lasts."""
    (listener,) = {found.pid for found in psutil.net_connections("tcp") if is_listener(found, port)}
    family = [psutil.Process(listener), *psutil.Process(listener).children(recursive=True)]
    for process in family:
        process.suspend()
    try:
        yield
    finally:
        for process in reversed(family):
            process.resume()


def is_listener(found: Any, port: int) -> bool:
    return bool(found.status == psutil.CONN_LISTEN and found.laddr.port == port)


def place(page: Page) -> None:
    """Place a sample order, and wait for the response."""
    responses = page.get_by_text("201 in")
    before = responses.first.inner_text() if responses.count() else ""
    page.get_by_role("button", name="Place a sample order").click()
    expect(responses.first).not_to_have_text(before) if before else expect(responses.first).to_be_visible()


def table(page: Page, title: str) -> Locator:
    """Open a plot's table."""
    plot = page.locator("section").filter(has=page.get_by_role("heading", name=title)).last
    if not plot.locator("table").is_visible():
        plot.get_by_text("Show as table").click()
    return plot.locator("tbody")


def test_no_orders_yet(console: str, visit: Callable[..., Page]) -> None:
    # GIVEN a stack that has no orders yet
    # WHEN a user opens the console
    page = visit(console)
    # THEN it says so, and what to do
    expect(page.get_by_test_id("empty")).to_contain_text("No orders in the last 10 minutes. Place one above.")
    expect(page.get_by_test_id("emails").get_by_test_id("state")).to_have_text("idle")
    expect(page.get_by_test_id("page-state")).to_contain_text("live")


def test_an_order_is_shown(console: str, visit: Callable[..., Page]) -> None:
    page = visit(console)
    # WHEN a sample order is placed
    place(page)
    # THEN the response and its time are in the pipeline, in the plot, in its description and in its table
    expect(page.get_by_test_id("rate")).to_contain_text(re.compile("[1-9][0-9]* responses"))
    expect(page.get_by_test_id("p99")).to_contain_text("ms")
    expect(page.get_by_test_id("empty")).to_be_hidden()
    plot = page.get_by_role("img", name=re.compile("^Responses, orders"))
    expect(plot).to_have_attribute("aria-label", re.compile("placed: [1-9]"))
    expect(table(page, "Responses, orders")).to_contain_text(POSITIVE)
    # AND every consumer has processed it
    for consumer in ("analytics", "emails", "fulfillment"):
        expect(page.get_by_test_id(consumer).get_by_test_id("lag p99")).to_contain_text("s")
        expect(page.get_by_test_id(consumer).get_by_test_id("state")).to_have_text("idle")


def test_the_story_is_on_one_screen(console: str, stack: Stack, visit: Callable[..., Page]) -> None:
    # WHEN the overview is shown on a usual screen
    page = visit(console, width=1440)
    expect(page.get_by_test_id("emails")).to_be_visible()
    for _ in range(3):
        place(page)
    # THEN the switches, the plots of answer times and backlogs, and all consumers are above the fold
    shown = [page.get_by_role("switch", name=name) for name in ("Slow e-mail", "Failing analytics", "Event bus down")]
    shown += [page.get_by_role("img", name=re.compile(f"^{name}")) for name in ("Response time", "Backlog")]
    shown += [page.get_by_test_id(consumer) for consumer in (*directory(stack.deployment).queues, "bus")]
    for part in shown:
        box = part.bounding_box()
        assert box["y"] + box["height"] <= 900, part
    # AND each consumer is one line
    assert all(page.get_by_test_id(name).bounding_box()["height"] < 50 for name in directory(stack.deployment).queues)


def test_no_legend_covers_an_axis_on_a_phone(console: str, visit: Callable[..., Page]) -> None:
    page = visit(console, width=390, height=844)
    expect(page.get_by_test_id("legend")).to_have_count(6)
    expect(page.get_by_role("img", name=re.compile("^Backlog")).locator("svg text").first).to_be_attached()
    assert page.evaluate(COVERED) == []


def test_slow_mail_fills_only_its_own_queue(console: str, stack: Stack, visit: Callable[..., Page]) -> None:
    page = visit(console)
    # WHEN e-mail is slow while orders are placed
    page.get_by_role("switch", name="Slow e-mail").click()
    page.get_by_role("switch", name="One every second").click()
    # THEN its queue fills
    expect(page.get_by_test_id("emails").get_by_test_id("backlog")).to_have_text(POSITIVE)
    # AND it is amber at once, long before its events are late
    emails = page.get_by_test_id("emails")
    expect(emails.get_by_test_id("state")).to_have_text("growing")
    expect(emails).to_have_class(re.compile("tone-warning"))
    backlog = page.get_by_role("img", name=re.compile("^Backlog"))
    expect(backlog).to_have_attribute("aria-label", re.compile("emails: [1-9]"))
    # AND the plots shade the time since the switch was turned on
    expect(backlog).to_have_attribute("aria-label", re.compile("Faults on: Slow e-mail"))
    # AND orders are still accepted
    expect(page.get_by_text(re.compile(r"^Request \d+: 201 in"))).to_have_count(3)
    # AND another page shows that both switches are on
    other = visit(console)
    expect(other.get_by_role("switch", name="Slow e-mail")).to_be_checked()
    expect(other.get_by_role("switch", name="One every second")).to_be_checked()
    # WHEN both are turned off
    other.get_by_role("switch", name="One every second").click()
    other.get_by_role("switch", name="Slow e-mail").click()
    # THEN the first page shows it, and the queue drains
    expect(page.get_by_role("switch", name="Slow e-mail")).not_to_be_checked()
    expect(page.get_by_test_id("emails").get_by_test_id("state")).to_have_text("idle", timeout=120_000)
    assert not stack.proxy.faults.planned()


def test_failing_analytics_retries_its_events(console: str, visit: Callable[..., Page]) -> None:
    page = visit(console)
    # WHEN analytics fails
    page.get_by_role("switch", name="Failing analytics").click()
    expect(page.get_by_role("switch", name="Failing analytics")).to_be_checked()
    place(page)
    # THEN its event waits for a retry, and the page counts the failed attempt
    expect(page.get_by_test_id("analytics").get_by_test_id("backlog")).to_have_text(POSITIVE)
    expect(page.get_by_role("img", name=re.compile("^Failed attempts"))).to_have_attribute(
        "aria-label", re.compile("analytics: [1-9]")
    )
    # AND other consumers are not affected
    expect(page.get_by_test_id("fulfillment").get_by_test_id("state")).to_have_text("idle")
    # WHEN the fault is over, THEN a retry processes the event
    page.get_by_role("switch", name="Failing analytics").click()
    expect(page.get_by_test_id("analytics").get_by_test_id("state")).to_have_text("idle")


def test_orders_are_accepted_while_the_bus_is_down(console: str, stack: Stack, visit: Callable[..., Page]) -> None:
    page = visit(console)
    page.get_by_role("switch", name="Event bus down").click()
    expect(page.get_by_role("switch", name="Event bus down")).to_be_checked()
    # WHEN an order is placed while the bus rejects events, THEN it is accepted
    place(page)
    assert any(planned.struck for planned in stack.proxy.faults.planned())
    # AND the page shows within seconds that its event waits
    bus = page.get_by_test_id("bus")
    expect(bus.get_by_test_id("state")).to_have_text("events wait", timeout=20_000)
    expect(bus.get_by_test_id("outboxes")).to_contain_text(re.compile("[1-9][0-9]* events? waits? in"))
    expect(bus).to_have_class(re.compile("tone-warning"))
    page.get_by_role("switch", name="Event bus down").click()
    expect(page.get_by_role("switch", name="Event bus down")).not_to_be_checked()


def test_the_first_read_takes_a_while(operator_console: str, between: FaultProxy, visit: Callable[..., Page]) -> None:
    # GIVEN queues that respond slowly
    with between.faults.in_force(Rule(call="sqs.GetQueueAttributes", delay=2_000)):
        page = visit(operator_console)
        # THEN the page says that it is loading
        expect(page.get_by_test_id("loading")).to_be_visible()
        expect(page.get_by_test_id("emails")).to_be_hidden()
    # WHEN they have responded, THEN it shows the pipeline, but an operator gets no sample orders and no fault switches
    expect(page.get_by_test_id("emails")).to_be_visible()
    expect(page.get_by_test_id("loading")).to_be_hidden()
    expect(page.get_by_role("button", name="Place a sample order")).to_have_count(0)
    expect(page.get_by_role("switch", name="Slow e-mail")).to_have_count(0)
    expect(page.get_by_role("button", name="Send poison")).to_have_count(0)


@pytest.mark.parametrize("call", ["sqs.GetQueueAttributes", "POST /*"], ids=["SQS", "CloudWatch"])
def test_errors_are_shown(call: str, operator_console: str, between: FaultProxy, visit: Callable[..., Page]) -> None:
    page = visit(operator_console)
    expect(page.get_by_test_id("emails")).to_be_visible()
    # WHEN AWS rejects requests
    with between.faults.in_force(Rule(call=call, refuse="AccessDeniedException", status=403)):
        # THEN the page shows the error, when it retries, and the age of its data
        error = page.get_by_role("alert").filter(has_text="Cannot read the stack")
        expect(error).to_contain_text("AccessDenied")
        expect(error).to_contain_text("Retrying every 2 s. The page shows data from")
        expect(page.get_by_test_id("page-state")).to_contain_text("stale")
        expect(page.get_by_test_id("emails")).to_be_visible()
    # WHEN AWS accepts them again, THEN the page is live again
    expect(page.get_by_test_id("error")).to_be_hidden()
    expect(page.get_by_test_id("page-state")).to_contain_text("live")


def test_a_frozen_stack_is_not_shown_as_live(operator_console: str, stack: Stack, visit: Callable[..., Page]) -> None:
    page = visit(operator_console)
    state = page.get_by_test_id("page-state")
    expect(state).to_contain_text("live")
    # WHEN the stack's processes stop answering, and keep their connections
    with frozen(stack.port):
        # THEN the page says so long before the requests time out
        expect(state).to_contain_text(NO_ANSWER, timeout=15_000)
        expect(page.get_by_role("alert")).to_contain_text("The stack has not answered since")
        expect(page.get_by_test_id("emails")).to_be_visible()
    # WHEN they answer again, THEN the page is live
    expect(state).to_contain_text("live")
    expect(page.get_by_test_id("error")).to_be_hidden()


def test_polling_stops_when_no_page_is_open(
    operator_console: str, between: FaultProxy, visit: Callable[..., Page]
) -> None:
    page = visit(operator_console)
    expect(page.get_by_test_id("emails")).to_be_visible()
    # WHEN the only page is closed
    page.close()
    # THEN the console soon sends no requests
    other = visit("about:blank")
    for _ in range(10):
        before = between.faults.calls()
        other.wait_for_timeout(6_000)  # three times the polling interval
        if between.faults.calls() == before:
            return
    pytest.fail("the console keeps polling")
