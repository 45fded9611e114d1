"""Accessibility: contrast in light and dark, use with the keyboard alone, and small screens."""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Stack

# All visible text with a contrast of less than 4.5:1 (3:1 for large text) with its background. WCAG 2.2, 1.4.3.
LOW_CONTRAST = """() => {
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const parsed = text => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = text; canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data; return [r, g, b, a / 255];
  };
  const over = (top, below) => [0, 1, 2].map(i => top[i] * top[3] + below[i] * (1 - top[3])).concat(1);
  const light = c => { const [r, g, b] = c.slice(0, 3).map(v => { v /= 255;
    return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; }); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const faint = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node; node = walker.nextNode();) {
    const element = node.parentElement;
    if (!node.textContent.trim()) continue;
    if (!element.checkVisibility({visibilityProperty: true, opacityProperty: true})) continue;
    if (element.closest('script, style, [aria-hidden=true], [disabled]')) continue;
    const box = element.getBoundingClientRect();
    if (!box.width || !box.height) continue;
    let layers = [], alpha = 1;
    for (let e = element; e; e = e.parentElement) {
      layers.push(parsed(getComputedStyle(e).backgroundColor)); alpha *= getComputedStyle(e).opacity;
    }
    const behind = layers.reverse().reduce((below, layer) => over(layer, below), [255, 255, 255, 1]);
    const style = getComputedStyle(element);
    const ink = parsed(element.closest('svg') && style.fill !== 'none' ? style.fill : style.color);
    const seen = over([ink[0], ink[1], ink[2], ink[3] * alpha], behind);
    const [a, b] = [light(seen), light(behind)];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    const large = parseFloat(style.fontSize) >= 24;
    if (ratio < (large ? 3 : 4.5)) faint.push(`${node.textContent.trim()}: ${ratio.toFixed(2)}`);
  }
  return faint;
}"""

FOCUS = """() => {
  const e = document.activeElement, style = getComputedStyle(e);
  return [e.ariaLabel || e.innerText || e.tagName, style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0];
}"""


def tabs(page: Page) -> Iterator[str]:
    """Show each tab with its content; yield its name."""
    expect(page.get_by_test_id("emails")).to_be_visible()
    yield "Overview"
    page.get_by_role("tab", name="Dead letters").click()
    expect(page.get_by_test_id("dead-letter-list")).not_to_be_empty()
    yield "Dead letters"
    page.get_by_role("tab", name="Order").click()
    yield "Order"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_has_enough_contrast(scheme: str, console: str, stack: Stack, visit: Callable[..., Page]) -> None:
    page = visit(console, scheme=scheme)
    page.add_style_tag(content="* { transition: none !important }")  # else text is measured while it fades in
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(18, 18, 18)") == (scheme == "dark")
    for tab in tabs(page):
        assert page.evaluate(LOW_CONTRAST) == [], tab


def test_nothing_is_wider_than_a_phone(console: str, stack: Stack, visit: Callable[..., Page]) -> None:
    order_id = stack.order()
    page = visit(console, width=360)
    for tab in tabs(page):
        assert page.evaluate("document.documentElement.scrollWidth") == 360, tab
    page.get_by_label("Order id").fill(order_id)
    page.get_by_label("Order id").press("Enter")
    expect(page.get_by_test_id("timeline")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") == 360


def test_everything_works_with_the_keyboard(console: str, visit: Callable[..., Page]) -> None:
    page = visit(console)
    expect(page.get_by_test_id("emails")).to_be_visible()
    # WHEN a user walks through the page with Tab
    reached = []
    while "Show as table" not in str(reached):
        page.keyboard.press("Tab")
        name, has_outline = page.evaluate(FOCUS)
        # THEN the focus is visible on every element
        assert has_outline, name
        reached.append(name)
        assert len(reached) < 30, reached
    # AND it reaches every control
    for name in ("Skip to content", "Overview", "Place a sample order", "One every second", "View dead letters"):
        assert any(name in each for each in reached), (name, reached)
    # AND the controls work: place an order, view its timeline, and go back
    page.get_by_role("button", name="Place a sample order").focus()
    page.keyboard.press("Enter")
    page.get_by_role("button", name="View timeline").first.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("timeline")).to_be_visible()
    page.get_by_role("tab", name="Order").focus()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("dead-letter-list")).to_be_visible()


def test_new_orders_do_not_move_the_focus(console: str, visit: Callable[..., Page]) -> None:
    # GIVEN the focus on the button of an order
    page = visit(console)
    page.get_by_role("button", name="Place a sample order").click()
    button = page.get_by_role("button", name="View timeline").first
    button.focus()
    # WHEN another page places an order
    before = page.get_by_text("201 in").first.inner_text()
    visit(console).get_by_role("button", name="Place a sample order").click()
    expect(page.get_by_text("201 in").first).not_to_have_text(before)
    # THEN the button still has the focus, and works
    expect(button).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("timeline")).to_be_visible()
