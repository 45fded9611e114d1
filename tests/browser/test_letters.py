"""Dead letters: shown with their reasons, and redriven when somebody confirms it."""

import re
from collections.abc import Callable

from playwright.sync_api import Page, expect

from ops.stack.observe import depth
from tests.browser.conftest import Stack

FOCUS_OUTSIDE = """() => { const e = document.activeElement;
  return e === document.body || e.closest("[role=dialog]") ? null : e.outerHTML; }"""
HOSTILE = "<img src=x onerror=alert(1)>"


def bury(stack: Stack, body: str, reason: str) -> None:
    """Put a letter where analytics' dead ones are."""
    stack.deployment.sqs.send_message(
        QueueUrl=stack.deployment.queue_url("analytics", dead_letters=True),
        MessageBody=body,
        MessageAttributes={"reason": {"DataType": "String", "StringValue": reason}},
    )


def empty(stack: Stack) -> None:
    stack.deployment.sqs.purge_queue(QueueUrl=stack.deployment.queue_url("analytics", dead_letters=True))


def until_dead_again(stack: Stack, page: Page) -> None:
    """Wait for what was redriven: else it would be a letter of the next test's."""
    queue = stack.deployment.queue_url("analytics")
    for _ in range(300):
        if not depth(stack.deployment, queue).total:
            return
        page.wait_for_timeout(200)
    raise AssertionError("what was redriven stays in its queue")


def test_redrive(console: str, stack: Stack, visit: Callable[..., Page]) -> None:
    page = visit(console)
    expect(page.get_by_test_id("analytics").get_by_test_id("state")).to_have_text("quiet")
    # GIVEN an event that analytics can't count, and nobody can
    queue = stack.deployment.queue_url("analytics")
    stack.deployment.sqs.send_message(QueueUrl=queue, MessageBody="no event")
    # THEN the road shows that it has died
    expect(page.get_by_test_id("analytics").get_by_test_id("state")).to_have_text("1 dead letters")
    expect(page.get_by_test_id("dead-letters")).to_have_text("1")
    # AND the list why
    page.get_by_role("tab", name="Dead letters").click()
    expect(page.get_by_test_id("reason")).to_contain_text("not an event")
    # WHEN somebody begins to redrive it, with the keyboard, but thinks better of it
    page.get_by_role("button", name="Redrive", exact=True).press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("1 would be redriven: 1 to analytics")
    for _ in range(5):  # more often than there are buttons: the focus stays in the dialog
        page.keyboard.press("Tab")
        assert page.evaluate(FOCUS_OUTSIDE) is None
    page.keyboard.press("Escape")
    # THEN nothing has happened, and the focus is where it was
    expect(dialog).to_have_count(0)
    expect(page.get_by_role("button", name="Redrive", exact=True)).to_be_focused()
    page.get_by_role("button", name="Look again").click()
    expect(page.get_by_test_id("reason")).to_have_count(1)
    # WHEN somebody confirms it
    page.get_by_role("button", name="Redrive", exact=True).click()
    expect(dialog).to_contain_text("1 would be redriven")
    dialog.get_by_role("button", name="Redrive").click()
    # THEN it is said what came of it; and as nothing can mend it, it dies again
    expect(dialog).to_contain_text("1 redriven: 1 to analytics")
    dialog.get_by_role("button", name="Close").click()
    expect(dialog).to_have_count(0)
    page.get_by_role("tab", name="Road").click()
    expect(page.get_by_test_id("dead-letters")).to_have_text("1")
    empty(stack)
    expect(page.get_by_test_id("dead-letters")).to_have_text("0")
    page.get_by_role("button", name="Look at them").click()
    expect(page.get_by_test_id("letters")).to_contain_text("No dead letters")


def test_what_others_wrote_is_text(console: str, stack: Stack, visit: Callable[..., Page]) -> None:
    # GIVEN a letter that tries to be part of the page
    body = f'{{"detail-type": "{HOSTILE}", "detail": {{"data": {{"orderId": "{HOSTILE}"}}}}}}'
    bury(stack, body, HOSTILE)
    page = visit(console)
    # WHEN it is shown
    page.get_by_role("tab", name="Dead letters").click()
    # THEN as text
    expect(page.get_by_test_id("reason")).to_have_text(HOSTILE)
    page.get_by_role("button", name="See the order").click()
    expect(page.get_by_test_id("story")).to_contain_text(HOSTILE)
    assert page.locator("img").count() == 0


def test_a_redrive_is_stopped(console: str, stack: Stack, visit: Callable[..., Page]) -> None:
    # GIVEN more letters than are redriven in ten seconds
    for n in range(100):
        bury(stack, f"no event {n}", "the same")
    page = visit(console)
    page.get_by_role("tab", name="Dead letters").click()
    page.get_by_role("button", name=re.compile("Redrive all of analytics")).click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("100 would be redriven")
    dialog.get_by_role("button", name="Redrive").press("Enter")
    expect(dialog).to_contain_text(re.compile("[1-9][0-9]? so far"))
    # THEN it stays in sight, and another page shows it instead of a list without letters
    page.keyboard.press("Escape")
    other = visit(console)
    other.get_by_role("tab", name="Dead letters").click()
    expect(other.get_by_test_id("letters")).to_contain_text("A redrive is under way")
    # WHEN somebody stops it, with the keyboard
    for _ in range(5):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.innerText") == "Stop":
            break
    page.keyboard.press("Enter")
    # THEN it says so, and the rest is still there
    expect(dialog).to_contain_text("Stopped. What was not redriven is where it was")
    dialog.get_by_role("button", name="Close").press("Enter")
    expect(dialog).to_have_count(0)
    expect(page.get_by_test_id("reason").filter(has_text="the same")).not_to_have_count(0)
    until_dead_again(stack, page)


def test_many_are_redriven_together(console: str, stack: Stack, visit: Callable[..., Page]) -> None:
    for n in range(3):
        bury(stack, f"no event {n}", f"reason {n}")
    page = visit(console)
    page.get_by_role("tab", name="Dead letters").click()
    expect(page.get_by_test_id("reason")).to_have_count(3)
    page.get_by_role("button", name=re.compile("Redrive all of analytics")).click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("3 would be redriven")
    dialog.get_by_role("button", name="Cancel").click()
    expect(dialog).to_have_count(0)
    expect(page.get_by_test_id("reason")).to_have_count(3)
