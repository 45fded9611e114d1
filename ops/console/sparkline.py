"""A line without axes in a row of text."""

from nicegui import ui

from ops.console.chart import with_gaps
from ops.console.figures import Points

_WIDTH, _HEIGHT = 100, 24  # units of the drawing, which is as large as its style says
_FLAT = 10.0  # up to here, a value is drawn small: a queue that holds one event now and then is no mountain range


def path(points: Points, begin: int, end: int, period: int) -> str:
    """Return an SVG path from ``begin`` to ``end`` (epoch milliseconds), interrupted where points are missing."""
    top = max([_FLAT, *(value for _, value in points)])
    drawn, is_down = [], False
    for at, value in with_gaps(points, period):
        if value is None:
            is_down = False
            continue
        x, y = _WIDTH * (at - begin) / (end - begin), 1 + (_HEIGHT - 2) * (1 - value / top)
        # A line of no length with round ends is a dot: a point between two gaps.
        drawn.append(f"{'L' if is_down else f'M{x:.1f} {y:.1f}L'}{x:.1f} {y:.1f}")
        is_down = True
    return "".join(drawn)


class Sparkline:
    """One line; the numbers beside it say the same to screen readers."""

    def __init__(self, color: str) -> None:
        with ui.element("svg").classes("sparkline") as svg:
            self._path = ui.element("path")
        svg.props(f'viewBox="0 0 {_WIDTH} {_HEIGHT}" preserveAspectRatio=none aria-hidden=true')
        self._path.props(f'fill=none stroke="{color}" stroke-width=2 stroke-linecap=round stroke-linejoin=round')
        self._path.props('vector-effect="non-scaling-stroke"')

    def show(self, points: Points, begin: int, end: int, period: int) -> None:
        """Draw these points."""
        self._path.props["d"] = path(points, begin, end, period)
        self._path.update()
