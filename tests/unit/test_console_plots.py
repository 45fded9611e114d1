"""The console's plots: their lines, gaps, shaded periods and descriptions."""

from ops.console import chart, sparkline
from ops.console.recent import FaultPeriod

AT = 1_764_000_000_000


def test_lines_of_many_consumers_all_look_different() -> None:
    lines = chart.series({f"consumer {n}": [(AT, 1.0)] for n in range(20)}, "line", 10)
    assert len({str((one["color"], one["symbol"], one["lineStyle"])) for one in lines}) == 20


def test_a_gap_in_the_data_is_not_joined_by_a_line() -> None:
    points = [(AT, 1.0), (AT + 10_000, 2.0), (AT + 40_000, 3.0)]
    # WHEN three periods are missing, THEN an empty point interrupts the line
    assert chart.with_gaps(points, 10) == [*points[:2], (AT + 20_000, None), points[2]]
    (line,) = chart.series({"p50": points}, "line", 10)
    assert (AT + 20_000, None) in line["data"]
    # AND so does a new stroke in a sparkline
    assert sparkline.path(points, AT, AT + 40_000, 10).count("M") == 2
    assert sparkline.path(points[:2], AT, AT + 40_000, 10).count("M") == 1


def test_a_sparkline_fits_its_box() -> None:
    assert sparkline.path([(AT, 0.0), (AT + 10_000, 40.0)], AT, AT + 10_000, 10) == "M0.0 23.0L0.0 23.0L100.0 1.0"
    assert sparkline.path([], AT, AT + 10_000, 10) == ""


def test_periods_with_a_fault_are_shaded() -> None:
    begin, end = AT, AT + 600_000
    periods = [FaultPeriod("mail", AT - 5_000, AT + 10_000), FaultPeriod("bus", AT + 500_000)]
    (shade,) = chart.shades(periods, begin, end)
    assert shade["markArea"]["data"] == [
        [{"xAxis": begin}, {"xAxis": AT + 10_000}],
        [{"xAxis": AT + 500_000}, {"xAxis": end}],
    ]
    assert chart.shades([], begin, end) == []


def test_the_axis_names_its_unit_and_the_legend_is_beside_the_chart() -> None:
    options = chart.options("ms")
    assert options["yAxis"]["name"] == "ms"
    assert "legend" not in options  # inside, it covers the axis labels of a narrow plot


def test_a_plot_is_described_in_words() -> None:
    text = chart.description("Backlog", "events", {"emails": [(AT, 3.0), (AT + 1, 2.0)], "points": []}, ["Slow e-mail"])
    assert text.startswith("Backlog, events. emails: 2 at ")
    assert text.endswith("maximum 3. Faults on: Slow e-mail.")
    assert chart.description("Backlog", "events", {"emails": []}) == "Backlog, events. No data yet."
