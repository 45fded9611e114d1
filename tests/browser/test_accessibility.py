"""Accessibility: axe-core's rules, contrast in light and dark, use with the keyboard alone, and small screens."""

from collections.abc import Callable, Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
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
  const e = document.activeElement, style = getComputedStyle(e.closest('.q-field__control') || e);
  return [e.ariaLabel || e.innerText || e.tagName, style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0];
}"""

# The marks of the focus: outlines, Quasar's shades, and its second borders, on the element, around it and in it.
RINGS = """() => {
  const e = document.activeElement, found = [];
  const visible = color => !/^rgba.*, 0\\)$/.test(color) && color !== 'transparent';
  const around = []; for (let a = e.parentElement; a; a = a.parentElement) around.push(a);
  const field = e.closest('.q-field');
  for (const x of new Set([e, ...around, ...e.querySelectorAll('*'), ...(field ? field.querySelectorAll('*') : [])])) {
    const style = getComputedStyle(x);
    const outlined = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) && visible(style.outlineColor);
    if (outlined) found.push(`outline of ${x.className}`);
    if (x.classList.contains('q-focus-helper') && style.display !== 'none' && style.opacity > 0) found.push('shade');
    for (const pseudo of ['::before', '::after']) {
      const part = getComputedStyle(x, pseudo);
      if (part.content === 'none' || part.display === 'none' || part.borderTopStyle === 'none') continue;
      if (parseFloat(part.borderTopWidth) < 2 || !visible(part.borderTopColor)) continue;
      found.push(`${pseudo} of ${x.className}`);
    }
  }
  return found;
}"""
NO_MOTION = "* { transition: none !important; animation: none !important }"


@pytest.fixture
def pages(console: str, stack: Stack) -> list[str]:
    """The addresses of all pages, each with something to show."""
    order_id = stack.order()
    stack.add_dead_letter("no event", "not an event")
    return [console, f"{console}/dead-letters", f"{console}/orders/{order_id}"]


def loaded(page: Page, address: str) -> Page:
    """Go to a page, and wait for its content."""
    page.goto(address)
    if "dead-letters" in address:
        expect(page.get_by_test_id("reason")).not_to_have_count(0)
    elif "orders" in address:
        expect(page.get_by_test_id("timeline")).to_be_visible()
    else:
        expect(page.get_by_test_id("emails")).to_be_visible()
    page.add_style_tag(content=NO_MOTION)  # else text is measured while it fades in
    return page


@pytest.mark.parametrize("width", [1440, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(scheme: str, width: int, pages: list[str], visit: Callable[..., Page]) -> None:
    page = visit(pages[0], scheme=scheme, width=width)
    for address in pages:
        found = Axe().run(loaded(page, address)).response["violations"]
        assert [(rule["id"], [node["html"] for node in rule["nodes"]]) for rule in found] == [], address


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_has_enough_contrast(scheme: str, pages: list[str], visit: Callable[..., Page]) -> None:
    page = visit(pages[0], scheme=scheme)
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(18, 18, 18)") == (scheme == "dark")
    for address in pages:
        assert loaded(page, address).evaluate(LOW_CONTRAST) == [], address


def test_nothing_is_wider_than_a_phone(pages: list[str], visit: Callable[..., Page]) -> None:
    page = visit(pages[0], width=360)
    for address in pages:
        assert loaded(page, address).evaluate("document.documentElement.scrollWidth") == 360, address


def tab_stops(page: Page) -> Iterator[str]:
    """Walk through the page with Tab; yield the name of each element that has the focus."""
    for _ in range(60):
        page.keyboard.press("Tab")
        name, has_outline = page.evaluate(FOCUS)
        assert has_outline, name
        rings = page.evaluate(RINGS)
        assert len(rings) == 1, (name, rings)
        yield name


def test_everything_works_with_the_keyboard(console: str, visit: Callable[..., Page]) -> None:
    page = loaded(visit(console), console)
    # WHEN a user walks through the page with Tab, THEN one ring shows the focus on every element
    reached = []
    for name in tab_stops(page):
        reached.append(name)
        if "Show as table" in name:
            break
    # AND it reaches every control
    wanted = ("Skip to content", "Overview", "Dead letters", "Order", "Place a sample order", "One every second")
    for name in (*wanted, "Slow e-mail", "Consumer", "Send poison", "Show as table"):
        assert any(name in each for each in reached), (name, reached)
    # AND the controls work: place an order, view its timeline, and go back
    page.get_by_role("button", name="Place a sample order").focus()
    page.keyboard.press("Enter")
    page.get_by_role("link", name="View timeline").first.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("timeline")).to_be_visible()
    page.get_by_role("link", name="Dead letters").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("dead-letter-list")).to_contain_text("dead letter")


def test_a_field_with_the_focus_has_one_ring(console: str, visit: Callable[..., Page]) -> None:
    page = visit(f"{console}/orders")
    expect(page.get_by_label("Order id")).to_be_visible()
    stops = tab_stops(page)
    reached = [next(stops) for _ in range(6)]
    assert "Order id" in reached


def test_new_orders_do_not_move_the_focus(console: str, visit: Callable[..., Page]) -> None:
    # GIVEN the focus on the link of an order
    page = visit(console)
    page.get_by_role("button", name="Place a sample order").click()
    link = page.get_by_role("link", name="View timeline").first
    link.focus()
    # WHEN another page places an order
    before = page.get_by_text("201 in").first.inner_text()
    visit(console).get_by_role("button", name="Place a sample order").click()
    expect(page.get_by_text("201 in").first).not_to_have_text(before)
    # THEN the link still has the focus, and works
    expect(link).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("timeline")).to_be_visible()
