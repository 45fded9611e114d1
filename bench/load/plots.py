"""The plots of the load section."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter, StrMethodFormatter

# Okabe and Ito's palette for color-blind readers: https://jfly.uni-koeln.de/color/
COLORS = {"chain": "#D55E00", "Handoff": "#0072B2"}
_STEP_COLORS = ("#0072B2", "#56B4E9", "#D55E00", "#E69F00", "#009E73", "#BBBBBB")
_SIZE = (8, 4.5)
_DPI = 110


def over_users(
    simulated: Sequence[Mapping[str, Any]],
    measured: Mapping[str, Mapping[str, Mapping[int, float]]],
    titles: Mapping[str, str],
    path: Path,
) -> None:
    """Draw the 95th percentile and the errors over the number of users, a column for each condition.

    ``measured``: the 95th percentile in seconds by condition, wiring and number of users.
    """
    figure = Figure(figsize=(8, 6), dpi=_DPI, layout="tight")
    grid = figure.subplots(2, len(titles), sharex=True, sharey="row")
    for column, (conditions, title) in enumerate(titles.items()):
        answers, errors = grid[0][column], grid[1][column]
        for wiring, color in COLORS.items():
            rows = [row for row in simulated if (row["conditions"], row["wiring"]) == (conditions, wiring)]
            users = [row["users"] for row in rows]
            p95 = measured[conditions][wiring]
            answers.plot(users, [row["percentiles"][1] for row in rows], color=color, label=f"{wiring}, simulated")
            answers.plot(list(p95), list(p95.values()), "o", color=color, label=f"{wiring}, measured")
            errors.plot(users, [row["errors"] for row in rows], color=color)
        answers.set_title(title)
        answers.grid(alpha=0.3)
        errors.grid(alpha=0.3)
        errors.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        errors.set_xscale("log")
        errors.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        errors.set_xlabel("users")
    grid[0][0].set_ylabel("95th percentile of answers (s)")
    grid[0][0].set_ylim(bottom=0)
    grid[1][0].set_ylabel("throttled orders")
    grid[0][0].legend(fontsize=8)
    figure.savefig(path)


def side_by_side(medians: Mapping[str, Mapping[str, float]], titles: Mapping[str, str], path: Path) -> None:
    """Draw the median answer of both wirings, in seconds by condition and wiring."""
    figure = Figure(figsize=_SIZE, dpi=_DPI, layout="tight")
    axes = figure.subplots()
    width = 0.36
    for n, (wiring, color) in enumerate(COLORS.items()):
        positions = [position + (n - 0.5) * width for position in range(len(titles))]
        bars = axes.bar(
            positions, [medians[conditions][wiring] for conditions in titles], width, color=color, label=wiring
        )
        axes.bar_label(bars, fmt="%.2f s", padding=2)
    axes.set_xticks(range(len(titles)), list(titles.values()))
    axes.set_ylabel("median answer, one user (s)")
    axes.margins(y=0.12)
    axes.legend()
    figure.savefig(path)


def steps(rows: Mapping[str, Mapping[str, float]], path: Path) -> None:
    """Draw the parts of an answer's time: a bar for each row, from its steps in milliseconds."""
    figure = Figure(figsize=_SIZE, dpi=_DPI, layout="tight")
    axes = figure.subplots()
    names = list(rows)[::-1]
    left = [0.0] * len(names)
    for step, color in zip(next(iter(rows.values())), _STEP_COLORS, strict=True):
        lengths = [rows[name][step] for name in names]
        axes.barh(names, lengths, left=left, color=color, label=step)
        left = [start + length for start, length in zip(left, lengths, strict=True)]
    for name, end in zip(names, left, strict=True):
        axes.annotate(f"{end:,.0f} ms", (end, name), xytext=(4, 0), textcoords="offset points", va="center")
    axes.set_xlabel("time of the answer, one user (ms)")
    axes.margins(x=0.16)
    axes.legend(fontsize=8, ncols=3, loc="upper center", bbox_to_anchor=(0.45, -0.15))
    figure.savefig(path)
