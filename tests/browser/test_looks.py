"""The page for everybody: with the keyboard alone, on a phone, in light and dark; and its pictures for the docs."""

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Stack

PICTURES = Path(__file__).parents[2] / "docs/how-to/console"

# Every visible text whose colour stands out less than 4.5 to one (3 for large text) against what is behind it.
TOO_FAINT = """() => {
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
  return [e.innerText || e.ariaLabel || e.tagName, style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0];
}"""


def parts(page: Page):
    """Each part of the page, with something in it."""
    expect(page.get_by_test_id("emails")).to_be_visible()
    yield "Road"
    page.get_by_role("tab", name="Dead letters").click()
    expect(page.get_by_test_id("letters")).not_to_be_empty()
    yield "Dead letters"
    page.get_by_role("tab", name="Order").click()
    yield "Order"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everything_can_be_read(scheme: str, console: str, stack: Stack, visit: Callable[..., Page]) -> None:
    page = visit(console, scheme=scheme)
    page.add_style_tag(content="* { transition: none !important }")  # what fades is there, or it is not
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (dark == "rgb(18, 18, 18)") == (scheme == "dark")
    for part in parts(page):
        assert page.evaluate(TOO_FAINT) == [], part


def test_nothing_is_wider_than_a_phone(console: str, stack: Stack, visit: Callable[..., Page]) -> None:
    order_id = stack.order()
    page = visit(console, width=360)
    for part in parts(page):
        assert page.evaluate("document.documentElement.scrollWidth") == 360, part
    page.get_by_label("Order id").fill(order_id)
    page.get_by_label("Order id").press("Enter")
    expect(page.get_by_test_id("timeline")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") == 360


def test_the_keyboard_is_enough(console: str, visit: Callable[..., Page]) -> None:
    page = visit(console)
    expect(page.get_by_test_id("emails")).to_be_visible()
    # WHEN somebody goes through the page with Tab
    reached = []
    while "As a table" not in str(reached):
        page.keyboard.press("Tab")
        name, is_marked = page.evaluate(FOCUS)
        # THEN wherever it stops, that is to be seen
        assert is_marked, name
        reached.append(name)
        assert len(reached) < 30, reached
    # AND it reaches everything that can be done
    for name in ("Skip to the content", "Road", "Place a sample order", "one every second", "Look at them"):
        assert any(name in each for each in reached), (name, reached)
    # AND it works: an order, its timeline, and back
    page.get_by_role("button", name="Place a sample order").focus()
    page.keyboard.press("Enter")
    page.get_by_role("button", name="See its way").first.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("timeline")).to_be_visible()
    page.get_by_role("tab", name="Order").focus()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("letters")).to_be_visible()


def test_new_orders_take_nothing_from_under_the_hand(console: str, visit: Callable[..., Page]) -> None:
    # GIVEN somebody about to look at an order
    page = visit(console)
    page.get_by_role("button", name="Place a sample order").click()
    way = page.get_by_role("button", name="See its way").first
    way.focus()
    # WHEN others order meanwhile
    before = page.get_by_text("answered 201").first.inner_text()
    visit(console).get_by_role("button", name="Place a sample order").click()
    expect(page.get_by_text("answered 201").first).not_to_have_text(before)
    # THEN the button is still there, and works
    expect(way).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("timeline")).to_be_visible()


def test_pictures_for_the_docs(
    request: pytest.FixtureRequest, console: str, visit: Callable[..., Page], tmp_path: Path
) -> None:
    """Where they go is all that `make test-browser SCREENSHOTS=1` changes."""
    folder = PICTURES if request.config.getoption("screenshots") else tmp_path
    page = visit(console, width=1100)
    page.get_by_role("switch", name="Slow e-mail").click()
    page.get_by_role("switch", name="one every second").click()
    expect(page.get_by_test_id("emails").get_by_test_id("waiting")).not_to_have_text("0")
    page.wait_for_timeout(20_000 if folder == PICTURES else 0)  # the queue fills: that is the picture
    page.screenshot(path=folder / "light.png", full_page=True, animations="disabled")
    dark = visit(console, scheme="dark")
    expect(dark.get_by_test_id("emails")).to_be_visible()
    dark.wait_for_timeout(3_000 if folder == PICTURES else 0)
    dark.screenshot(path=folder / "dark.png", animations="disabled")
    phone = visit(console, width=360)
    phone.get_by_role("button", name="See its way").last.click()  # the oldest has come farthest
    expect(phone.get_by_test_id("timeline")).to_be_visible()
    expect(phone.get_by_role("heading", name="One order's way")).to_be_in_viewport()
    phone.screenshot(path=folder / "phone.png", animations="disabled")
    page.get_by_role("switch", name="one every second").click()
    page.get_by_role("switch", name="Slow e-mail").click()
    expect(page.get_by_test_id("emails").get_by_test_id("state")).to_have_text("quiet", timeout=120_000)
    assert all((folder / name).stat().st_size < 250_000 for name in ("light.png", "dark.png", "phone.png"))
