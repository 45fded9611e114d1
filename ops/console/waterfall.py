"""The waterfall of an order: a bar for each hop, below the one that caused it."""

from nicegui import ui

from handoff.clock import now_ms
from ops.console.style import ERROR, MUTED
from ops.trace import waterfall
from ops.trace.timeline import Timeline
from ops.trace.waterfall import Bar


def draw(found: Timeline) -> None:
    """Draw the hops of an order, and their trace ids."""
    with ui.element("ol").classes("waterfall").props('data-testid=waterfall aria-label="Waterfall"'):
        for bar in waterfall.bars(found.hops, now_ms()):
            _draw_bar(bar)
    for line in waterfall.traces(found.hops):
        ui.label(line).classes(f"break-all {MUTED}")


def _draw_bar(bar: Bar) -> None:
    trouble = bar.hop.trouble
    with ui.element("li"):
        with ui.element("div").classes("hop").style(f"--depth: {bar.hop.depth}"):
            ui.label(f"{bar.name}{' (problem)' if trouble else ''}").classes(ERROR if trouble else "")
            ui.label(bar.detail).classes(f"truncate {MUTED}").props(f'title="{bar.detail}"')
        ui.label(bar.since).classes(MUTED)
        ui.label(bar.lasted).classes(MUTED)
        with ui.element("div").classes("track").props("aria-hidden=true"):
            kind = "trouble" if trouble else "wait" if bar.hop.is_wait else "work"
            place = f"left: {100 * bar.left:.2f}%; width: {100 * bar.width:.2f}%"
            ui.element("div").classes(f"bar {kind}").style(place)
