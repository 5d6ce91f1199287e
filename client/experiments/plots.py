"""Draws the plots of an experiment on one page, with matplotlib.

A point is one combination of values of the varied keys of an experiment; it has a run for each seed. An outcome is a
named number of a whole run; a column has a number for each measurement in a run.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from umwelt.client.experiments.outcomes import Run
from umwelt.client.experiments.plan import Experiment
from umwelt.client.experiments.schema import Plot, matches

PALETTE = ("#1f7a8c", "#c8553d", "#7a9e3f", "#8a6d3b", "#5b5f97", "#b5838d", "#2f4858", "#d9a441")
STYLES = ("-", "--", ":", "-.")
PLOT_WIDTH_INCHES, PLOT_HEIGHT_INCHES, TITLE_INCHES = 7.2, 3.0, 0.6
RUN_ALPHA = 0.45
"""The opacity of the line of one run."""


def draw_page(path: Path, experiment: Experiment, runs: Sequence[Run]) -> None:
    """Draws all plots of `experiment` from `runs` and writes them to `path` as one PNG file."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    plots = experiment.file.plots or [Plot("living", ["plants", "monsters"], log=True)]
    columns = 1 if len(plots) == 1 else 2
    rows = -(-len(plots) // columns)
    size_inches = PLOT_WIDTH_INCHES * columns, PLOT_HEIGHT_INCHES * rows + TITLE_INCHES
    figure = Figure(figsize=size_inches, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis, plot in zip(axes, plots, strict=False):
        shown = [run for run in runs if matches(run.trial.values, plot.where)]
        (_draw_curves if plot.at else _draw_outcomes if plot.outcomes else _draw_columns)(axis, plot, experiment, shown)
        _label_axis(axis, plot)
    for axis in axes[len(plots) :]:
        axis.set_axis_off()
    quick = ", quick form" if experiment.quick else ""
    title = _escape(f"{experiment.name}{quick}: {experiment.file.summary}")
    figure.suptitle(title, fontsize=11, x=0.01, ha="left")
    figure.savefig(path, dpi=110, format="png")


def _label_axis(axis: Any, plot: Plot) -> None:
    """Sets the title, labels, scales, grid and legend of the matplotlib axis of a plot."""
    axis.set_title(_escape(plot.title), fontsize=10, loc="left")
    axis.set_xlabel(_escape(plot.x_label or ("" if plot.x == "tick" and plot.outcomes else plot.x)), fontsize=9)
    axis.set_ylabel(_escape(plot.y_label), fontsize=9)
    if plot.log:
        axis.set_yscale("symlog" if plot.x == "tick" and plot.columns else "log")
    if plot.log_x:
        axis.set_xscale("log")
    axis.spines[["top", "right"]].set_visible(False)
    axis.tick_params(labelsize=8)
    axis.grid(alpha=0.2)
    if axis.get_legend_handles_labels()[1]:
        axis.legend(fontsize=8, framealpha=0.7, edgecolor="none")


def _draw_columns(axis: Any, plot: Plot, experiment: Experiment, runs: Sequence[Run]) -> None:
    """Draws a thin line for each column of each run.

    Colours distinguish columns, and line styles distinguish points; if there is only one column, both distinguish
    points.
    """
    labelled: set[str] = set()
    for run in runs:
        x = run.columns.get(plot.x)
        for at, name in enumerate(plot.columns):
            values = run.columns.get(name)
            if x is None or values is None:
                continue
            label = (
                name if plot.where or len(experiment.points) == 1 else f"{name}, {_describe_point(run.trial.values)}"
            )
            colour = PALETTE[(run.trial.point if len(plot.columns) == 1 else at) % len(PALETTE)]
            axis.plot(
                x,
                values,
                STYLES[run.trial.point % len(STYLES)],
                color=colour,
                alpha=RUN_ALPHA,
                linewidth=1.0,
                label=None if label in labelled else label,
                marker="." if len(x) < 4 or plot.x != "tick" else None,
                markersize=3,
            )
            labelled.add(label)


def _draw_outcomes(axis: Any, plot: Plot, experiment: Experiment, runs: Sequence[Run]) -> None:
    """Draws a dot for each outcome of each run, and a dash for the median of the runs at the same x.

    The x coordinate is `plot.x` (a varied key or another outcome), by default the number of the run's point.
    """
    for at, name in enumerate(plot.outcomes):
        values = np.array([run.value(name) for run in runs])
        if plot.x != "tick":
            x = np.array([_number(run.trial.values.get(plot.x, run.value(plot.x))) for run in runs])
        else:
            x = np.array([float(run.trial.point) for run in runs])
            labels = [re.sub(", (?=[a-z])", "\n", _describe_point(point)) or "all runs" for point in experiment.points]
            axis.set_xticks(range(len(labels)), labels)
        colour = PALETTE[at % len(PALETTE)]
        axis.plot(x, values, "o", color=colour, alpha=0.6, markersize=5, label=name)
        for place in np.unique(x[~np.isnan(x)]):
            known = values[(x == place) & ~np.isnan(values)]
            if len(known) > 1:
                axis.plot([place], [np.median(known)], "_", color=colour, markersize=22, markeredgewidth=2)


def _draw_curves(axis: Any, plot: Plot, experiment: Experiment, runs: Sequence[Run]) -> None:
    """Draws a line for each run through its outcomes, at the x coordinates `plot.at`. Colours distinguish points."""
    labelled: set[str] = set()
    for run in runs:
        label = _describe_point(run.trial.values) or "a run each"
        axis.plot(
            plot.at,
            [run.value(name) for name in plot.outcomes],
            "o-",
            color=PALETTE[run.trial.point % len(PALETTE)],
            alpha=RUN_ALPHA,
            linewidth=1.0,
            markersize=4,
            label=None if label in labelled else label,
        )
        labelled.add(label)


def _escape(text: str) -> str:
    """Escapes each $ in `text`, which would start a formula in matplotlib."""
    return text.replace("$", r"\$")


def _number(value: Any) -> float:
    """Returns a value of a varied key as a coordinate; NaN if it is not a number."""
    return float(value) if isinstance(value, int | float) else float("nan")


def _describe_point(values: dict[str, Any]) -> str:
    """Returns a text for a point: the last part of each key and its value; keys with the same last part are joined."""
    groups: dict[str, list[tuple[str, str]]] = {}
    for key, value in values.items():
        groups.setdefault(key.rpartition(".")[2], []).append((key, str(value)))
    return _escape(
        ", ".join(
            f"{pairs[0][0] if len(pairs) == 1 else last} {', '.join(dict.fromkeys(value for _, value in pairs))}"
            for last, pairs in groups.items()
        )
    )
