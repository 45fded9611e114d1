"""The plots of the section."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter, StrMethodFormatter

# Okabe and Ito's palette, told apart by colour-blind readers, too: https://jfly.uni-koeln.de/color/
COLOURS = {"chain": "#D55E00", "hybrid": "#0072B2"}
_STEP_COLOURS = ("#0072B2", "#56B4E9", "#D55E00", "#E69F00", "#009E73", "#BBBBBB")
_SIZE = (8, 4.5)
_DPI = 110


def over_users(results: Mapping[str, Any], days: Mapping[str, str], path: Path) -> None:
    """The 95th percentile and the errors over the number of users, one column for each day."""
    figure = Figure(figsize=(8, 6), dpi=_DPI, layout="tight")
    grid = figure.subplots(2, len(days), sharex=True, sharey="row")
    for column, (day, title) in enumerate(days.items()):
        for wiring, colour in COLOURS.items():
            simulated = _of(results["forecast"]["more"], day, wiring)
            users = [row["users"] for row in simulated]
            answers, errors = grid[0][column], grid[1][column]
            p95 = [row["percentiles"][1] for row in simulated]
            answers.plot(users, p95, color=colour, label=f"{wiring}, simulated")
            errors.plot(users, [row["errors"] for row in simulated], color=colour)
            measured = results["p95"][day][wiring]
            answers.plot(list(measured), list(measured.values()), "o", color=colour, label=f"{wiring}, measured")
        grid[0][column].set_title(title)
        _users_axis(grid[1][column])
        grid[0][column].grid(alpha=0.3)
        grid[1][column].grid(alpha=0.3)
        grid[1][column].yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    grid[0][0].set_ylabel("95th percentile of answers (s)")
    grid[0][0].set_ylim(bottom=0)
    grid[1][0].set_ylabel("refused orders")
    grid[0][0].legend(fontsize=8)
    figure.savefig(path)


def _users_axis(axes: Axes) -> None:
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.set_xlabel("users")


def _of(rows: Sequence[Mapping[str, Any]], day: str, wiring: str) -> list[Mapping[str, Any]]:
    return [row for row in rows if row["day"] == day and row["wiring"] == wiring]


def side_by_side(medians: Mapping[str, Mapping[str, float]], titles: Mapping[str, str], path: Path) -> None:
    """The median answer of both wirings, in seconds, on a normal day and when e-mail is slow."""
    figure = Figure(figsize=_SIZE, dpi=_DPI, layout="tight")
    axes = figure.subplots()
    width = 0.36
    for n, (wiring, colour) in enumerate(COLOURS.items()):
        places = [place + (n - 0.5) * width for place in range(len(titles))]
        bars = axes.bar(places, [medians[day][wiring] for day in titles], width, color=colour, label=wiring)
        axes.bar_label(bars, fmt="%.2f s", padding=2)
    axes.set_xticks(range(len(titles)), list(titles.values()))
    axes.set_ylabel("median answer, one user (s)")
    axes.margins(y=0.12)
    axes.legend()
    figure.savefig(path)


def steps(rows: Mapping[str, Mapping[str, float]], path: Path) -> None:
    """Where the time of one order goes: one bar for each row, from its steps in milliseconds."""
    figure = Figure(figsize=_SIZE, dpi=_DPI, layout="tight")
    axes = figure.subplots()
    names = list(rows)[::-1]
    left = [0.0] * len(names)
    for step, colour in zip(next(iter(rows.values())), _STEP_COLOURS, strict=True):
        lengths = [rows[name][step] for name in names]
        axes.barh(names, lengths, left=left, color=colour, label=step)
        left = [start + length for start, length in zip(left, lengths, strict=True)]
    for name, end in zip(names, left, strict=True):
        axes.annotate(f"{end:,.0f} ms", (end, name), xytext=(4, 0), textcoords="offset points", va="center")
    axes.set_xlabel("time of the answer, one user (ms)")
    axes.margins(x=0.16)
    axes.legend(fontsize=8, ncols=3, loc="upper center", bbox_to_anchor=(0.45, -0.15))
    figure.savefig(path)
