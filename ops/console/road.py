"""The road of orders as a picture: where orders are now."""

import math
from collections.abc import Callable
from typing import NamedTuple

from nicegui import ui

from ops.console.figures import TIMES, Figures
from ops.console.parts import QUIET, SMALL_BUTTON, TROUBLE, WAITS, clock, heading, milliseconds, rate, seconds
from ops.lag.measure import Lag

_DOES = {
    "emails": "tells the customer",
    "analytics": "counts the sale",
    "fulfillment": "packs it and takes the payment",
    "feedback": "hears of mails that bounced",
}
_BEHIND = 60.0  # seconds that a message may be old before its queue counts as behind
_CARD = "gap-1 p-3 lg:w-52 w-full shrink-0"


class State(NamedTuple):
    """How a queue is: in a word, a picture and a colour."""

    word: str
    icon: str
    colour: str


_DEAD = State("dead letters", "error", TROUBLE)
_BEHIND_STATE = State("behind", "hourglass_bottom", WAITS)
_WORKING = State("working", "autorenew", "text-blue-800 dark:text-blue-300")
_QUIET = State("quiet", "check_circle", "text-green-800 dark:text-green-300")


def state_of(lag: Lag) -> State:
    """How a consumer's queue is."""
    if lag.dead_letters:
        return _DEAD
    if (lag.oldest or 0) > _BEHIND:
        return _BEHIND_STATE
    return _WORKING if lag.waiting or lag.in_flight else _QUIET


class Road:
    """The picture, with a place for each of these consumers."""

    def __init__(self, consumers: list[str], to_dead_letters: Callable[[], None]) -> None:
        self.consumers = consumers
        self._to_dead_letters = to_dead_letters
        with ui.element("section").props('aria-label="The road of orders"').classes("w-full"):
            self._draw(consumers)

    def show(self, figures: Figures) -> None:
        """Show these figures."""
        for consumer, lag in zip(self._queues, figures.lags, strict=True):
            consumer.show(lag)
        times = {name: figures.newest(figures.answer_time(name)) for name in TIMES}
        end, answered = figures.minute_answered()
        self._rate.text = f"{answered:.0f} answers in the minute to {clock(end)}"
        for name, found in times.items():
            self._times[name].text = milliseconds(found[1] if found else None)
        self._times_at.text = f"time to answer, at {clock(found[0])}" if (found := times["p50"]) else "time to answer"
        self._outbox.text = f"oldest unfinished work: {seconds(figures.unfinished)}"
        self._letters.text = f"{figures.dead_letters}"

    def _draw(self, consumers: list[str]) -> None:
        with ui.element("div").classes("w-full flex flex-nowrap flex-col lg:flex-row lg:items-center gap-1"):
            with _station("Orders", "storefront"):
                with ui.element("dl").classes("grid grid-cols-2 gap-x-3 w-full"):
                    self._times = {name: _fact(name) for name in TIMES}
                self._times_at = ui.label().classes(QUIET)
                self._rate = ui.label().props("data-testid=rate")
                ui.label("Priced, reserved, paid and stored before the answer").classes(QUIET)
            _arrow()
            with _station("Event bus", "hub"):
                ui.label("One small event for each order, to every queue")
                self._outbox = ui.label().classes(QUIET).props("data-testid=unfinished")
            _arrow()
            with ui.element("div").classes("flex flex-nowrap flex-col gap-2 grow min-w-0"):
                self._queues = [_Queue(consumer) for consumer in consumers]
            _arrow()
            with _station("Dead letters", "mail_lock"):
                self._letters = ui.label("0").classes("text-xl").props("data-testid=dead-letters")
                ui.label("given up, each with its reason").classes(QUIET)
                ui.button("Look at them", on_click=self._to_dead_letters, color=None).props(SMALL_BUTTON)


class _Queue:
    """A consumer and its queue."""

    def __init__(self, consumer: str) -> None:
        with ui.card().classes("gap-0 p-3 w-full").props(f'flat bordered tag="section" data-testid="{consumer}"'):
            with ui.row().classes("w-full items-center justify-between gap-x-3 gap-y-0"):
                with ui.row().classes("items-baseline gap-x-2 gap-y-0"):
                    heading(consumer, 3)
                    ui.label(_DOES.get(consumer, "")).classes(QUIET)
                with ui.row().classes("items-center gap-1") as self._badge:
                    self._icon = ui.icon("check_circle").props("aria-hidden=true")
                    self._word = ui.label().props("data-testid=state")
            with ui.element("dl").classes("grid grid-cols-3 gap-x-3 w-full"):
                self._facts = {
                    name: _fact(name) for name in ("waiting", "in flight", "oldest", "lag p50", "lag p99", "empty in")
                }
            self._rates = ui.label().classes(QUIET)

    def show(self, lag: Lag) -> None:
        """Show how it is."""
        state = state_of(lag)
        self._word.text = f"{lag.dead_letters} {state.word}" if state is _DEAD else state.word
        self._icon.name = state.icon
        self._badge.classes(replace=f"row items-center gap-1 {state.colour}")
        is_empty = not lag.waiting + lag.in_flight
        shown = {
            "waiting": f"{lag.waiting}",
            "in flight": f"{lag.in_flight}",
            "oldest": seconds(lag.oldest),
            "lag p50": milliseconds(lag.p50),
            "lag p99": milliseconds(lag.p99),
            "empty in": "now" if is_empty else seconds(lag.drain),
        }
        for name, text in shown.items():
            self._facts[name].text = text
        grows = ", it grows" if lag.drain is not None and math.isinf(lag.drain) else ""
        self._rates.text = f"{rate(lag.rate_in)} in, {rate(lag.rate_out)} out{grows}; lag over 5 min"


def _fact(name: str) -> ui.label:
    with ui.element("div").classes("min-w-0"):
        with ui.element("dt").classes(QUIET):
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
