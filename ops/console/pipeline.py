"""The order pipeline as a picture: where orders and events are now."""

import math
from collections.abc import Callable
from typing import NamedTuple

from nicegui import ui

from ops.console.figures import PERCENTILES, Figures
from ops.console.formats import clock, milliseconds, rate, seconds
from ops.console.style import ERROR, INFO, MUTED, SUCCESS, WARNING, heading
from ops.lag.measure import Lag

_DOES = {
    "emails": "sends mail to the customer",
    "analytics": "counts sales",
    "fulfillment": "packs orders",
    "settlement": "captures, voids and refunds payments",
    "feedback": "records bounced mail",
    "partners": "posts events to the partner",
}
_BEHIND = 60.0  # seconds; a queue whose oldest message is older is behind
_CARD = "gap-1 p-3 lg:w-44 w-full shrink-0"
_FACTS = ("waiting", "in flight", "oldest", "lag p50", "lag p99", "drains in")


class State(NamedTuple):
    """The state of a queue: a word, an icon and a text style."""

    word: str
    icon: str
    style: str


_FAILED = State("dead letters", "error", ERROR)
_LATE = State("behind", "hourglass_bottom", WARNING)
_WORKING = State("working", "autorenew", INFO)
_IDLE = State("idle", "check_circle", SUCCESS)


def state_of(lag: Lag) -> State:
    """Return the state of a consumer's queue."""
    if lag.dead_letters:
        return _FAILED
    if (lag.oldest or 0) > _BEHIND:
        return _LATE
    return _WORKING if lag.backlog else _IDLE


class Pipeline:
    """The picture, with a card for each of these consumers."""

    def __init__(self, consumers: list[str], to_dead_letters: Callable[[], None]) -> None:
        self.consumers = consumers
        with ui.element("section").props('aria-label="Order pipeline"').classes("w-full"):
            self._draw(consumers, to_dead_letters)

    def show(self, figures: Figures) -> None:
        """Show these figures."""
        for queue, lag in zip(self._queues, figures.lags, strict=True):
            queue.show(lag)
        newest = {name: figures.newest(figures.response_time(name)) for name in PERCENTILES}
        for name, point in newest.items():
            self._times[name].text = milliseconds(point[1] if point else None)
        self._times_at.text = f"response time, {clock(point[0])}" if (point := newest["p50"]) else "response time"
        end, responses = figures.last_minute()
        self._rate.text = f"{responses:.0f} responses in the minute to {clock(end)}"
        self._unfinished.text = f"oldest unfinished work: {seconds(figures.unfinished)}"
        self._dead_letters.text = f"{figures.dead_letters}"

    def _draw(self, consumers: list[str], to_dead_letters: Callable[[], None]) -> None:
        with ui.element("div").classes("w-full flex flex-nowrap flex-col lg:flex-row lg:items-center gap-1"):
            with _station("Orders", "storefront"):
                with ui.element("dl").classes("grid grid-cols-2 gap-x-3 w-full"):
                    self._times = {name: _fact(name) for name in PERCENTILES}
                self._times_at = ui.label().classes(MUTED)
                self._rate = ui.label().props("data-testid=rate")
                ui.label("Before the response: price, reserve, authorize, store").classes(MUTED)
            _arrow()
            with _station("Event bus", "hub"):
                ui.label("One small event per order, delivered to every queue")
                self._unfinished = ui.label().classes(MUTED).props("data-testid=unfinished")
            _arrow()
            with ui.element("div").classes("flex flex-nowrap flex-col gap-2 grow min-w-0"):
                self._queues = [_Queue(consumer) for consumer in consumers]
            _arrow()
            with _station("Dead letters", "mail_lock"):
                self._dead_letters = ui.label("0").classes("text-xl").props("data-testid=dead-letters")
                ui.label("failed permanently, each with its reason").classes(MUTED)
                button = ui.button("View", on_click=to_dead_letters, color=None)
                button.props('outline no-caps padding="xs sm" aria-label="View dead letters"')


class _Queue:
    """A consumer and its queue."""

    def __init__(self, consumer: str) -> None:
        with ui.card().classes("gap-0 p-3 w-full").props(f'flat bordered tag="section" data-testid="{consumer}"'):
            with ui.row().classes("w-full items-start justify-between gap-x-3 no-wrap"):
                with ui.row().classes("items-baseline gap-x-2 gap-y-0 min-w-0"):
                    heading(consumer, 3)
                    ui.label(_DOES.get(consumer, "")).classes(MUTED)
                with ui.row().classes("items-center gap-1") as self._badge:
                    self._icon = ui.icon(_IDLE.icon).props("aria-hidden=true")
                    self._word = ui.label().props("data-testid=state")
            with ui.element("dl").classes("grid grid-cols-3 lg:grid-cols-6 gap-x-3 w-full"):
                self._facts = {name: _fact(name) for name in _FACTS}
            self._rates = ui.label().classes(MUTED)

    def show(self, lag: Lag) -> None:
        """Show a consumer's lag and backlog."""
        state = state_of(lag)
        plural = "" if lag.dead_letters == 1 else "s"
        self._word.text = f"{lag.dead_letters} dead letter{plural}" if state is _FAILED else state.word
        self._icon.name = state.icon
        self._badge.classes(replace=f"row items-center gap-1 no-wrap whitespace-nowrap {state.style}")
        shown = (
            f"{lag.waiting}",
            f"{lag.in_flight}",
            seconds(lag.oldest),
            milliseconds(lag.p50),
            milliseconds(lag.p99),
            seconds(lag.drain),
        )
        for name, text in zip(_FACTS, shown, strict=True):
            self._facts[name].text = text
        growing = ", growing" if lag.drain is not None and math.isinf(lag.drain) else ""
        self._rates.text = f"{rate(lag.rate_in)} in, {rate(lag.rate_out)} out{growing}; lag over 5 min"


def _fact(name: str) -> ui.label:
    with ui.element("div").classes("min-w-0"):
        with ui.element("dt").classes(MUTED):
            ui.label(name)
        with ui.element("dd").classes("m-0"):
            return ui.label("-").classes("text-base").props(f'data-testid="{name}"')


def _station(name: str, icon: str) -> ui.card:
    card = ui.card().classes(_CARD).props('flat bordered tag="section"')
    with card, ui.row().classes("items-center gap-2"):
        ui.icon(icon).props("aria-hidden=true")
        heading(name, 3)
    return card


def _arrow() -> None:
    ui.icon("arrow_forward", size="sm").classes("self-center max-lg:rotate-90").props("aria-hidden=true")
