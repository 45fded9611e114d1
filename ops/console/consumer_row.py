"""A consumer as one row: its queue, its lag, what it has done, and its dead letters as a way aside."""

from nicegui import ui

from ops.console import routes, states
from ops.console.figures import Figures
from ops.console.formats import milliseconds, rate, seconds
from ops.console.sparkline import Sparkline
from ops.console.state_badge import StateBadge
from ops.console.style import ERROR, MUTED, SUCCESS, WARNING
from ops.lag.measure import Lag
from ops.trace import effects

# Titles of the columns, and whether they are left out on a phone.
_TITLES = (
    ("Consumer", False),
    ("State", False),
    ("Backlog", False),
    ("Trend", True),
    ("Oldest", True),
    ("Drains in", True),
    ("Lag p50", True),
    ("Lag p99", False),
    ("In, out", True),
    ("Done", True),
    ("Dead letters", True),
)


def draw_titles() -> None:
    """Draw the table's head."""
    with ui.element("thead"), ui.element("tr"):
        for title, is_extra in _TITLES:
            with ui.element("th").props("scope=col").classes("extra" if is_extra else ""):
                ui.label(title)


class ConsumerRow:
    """One row; its sparkline has the color of the consumer's line in the plots."""

    def __init__(self, consumer: str, color: str) -> None:
        self._consumer = consumer
        with ui.element("tr").props(f'data-testid="{consumer}"') as self._row:
            with ui.element("th").props("scope=row"):
                ui.label(consumer)
            with ui.element("td"):
                self._state = StateBadge()
            with ui.element("td"), ui.element("div").classes("backlog"):
                with ui.element("div").classes("backlog-track").props("aria-hidden=true"):
                    self._bar = ui.element("div").classes("backlog-bar")
                self._backlog = ui.label().props("data-testid=backlog")
            with ui.element("td").classes("extra"):
                self._trend = Sparkline(color)
            self._oldest, self._drain = _cell("oldest"), _cell("drains in")
            self._p50, self._p99 = _cell("lag p50"), _cell("lag p99", is_extra=False)
            self._rates = _cell("rates")
            with ui.element("td").classes("extra"), ui.row().classes(f"items-center gap-1 no-wrap {SUCCESS}"):
                ui.icon("arrow_forward").props("aria-hidden=true")
                self._done = ui.label().props("data-testid=done")
            with ui.element("td").classes("extra"), ui.element("div").classes("aside"):
                ui.icon("subdirectory_arrow_right").props("aria-hidden=true")
                self._none = ui.label(states.dead_letters_text(0)).classes(MUTED)
                self._dead = ui.link(target=routes.dead_letters(consumer)).classes(ERROR).props("data-testid=dead")

    def show(self, lag: Lag, figures: Figures, most: int) -> None:
        """Show a consumer's figures; ``most`` is the backlog that fills the bar."""
        state = states.of_consumer(lag, is_growing=self._consumer in figures.growing)
        self._state.show(state)
        self._row.classes(replace=state.tone)
        self._backlog.text = f"{lag.backlog}"
        self._backlog.classes(replace=state.style if lag.backlog else "")
        self._bar.style(f"width: {100 * lag.backlog / most:.0f}%").classes(replace=f"backlog-bar {state.style}")
        self._trend.show(figures.queued(self._consumer), figures.begin, figures.at, figures.period)
        self._oldest.text = seconds(lag.oldest)
        self._drain.text = seconds(lag.drain)
        self._drain.classes(replace=WARNING if states.is_endless(lag) else "")
        self._p50.text, self._p99.text = milliseconds(lag.p50), milliseconds(lag.p99)
        self._rates.text = f"{rate(lag.rate_in)}, {rate(lag.rate_out)}"
        self._done.text = f"{effects.end(self._consumer)} {figures.done(self._consumer)}"
        self._dead.text = states.dead_letters_text(lag.dead_letters)
        self._dead.visible, self._none.visible = bool(lag.dead_letters), not lag.dead_letters


def _cell(name: str, *, is_extra: bool = True) -> ui.label:
    with ui.element("td").classes("extra" if is_extra else ""):
        return ui.label("-").props(f'data-testid="{name}"')
