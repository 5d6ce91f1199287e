"""The tree of life of a run as a picture: a spindle for each clade over time, and below it how many live of each.

Who dies is not journalled, so that nobody knows which of a species lived at a tick, only how many: as many as are
counted are taken from its last born. The numbers at the right are counted in the last snapshot.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from umwelt.client.lineage.ancestry import Descent
from umwelt.client.lineage.clades import drawn_rows, spindles
from umwelt.client.pictures.scene import GOLDEN, hsv, species_hue
from umwelt.cluster.run.journal import Journal, Metrics
from umwelt.cluster.run.store import Store
from umwelt.sandbox.columns import Schema

BINS = 240
MAX_ROWS, MAX_MOMENTS = 36, 2000
GAP_ROWS = 0.9
"""Between species."""
PAPER, INK, DIM, RULE = "#0c1216", "#e2efed", "#8ba0a2", "#1d2a30"
WIDTH_INCHES, ROW_INCHES, STACK_INCHES, SPACE_INCHES, DOTS_PER_INCH = 13.0, 0.235, 1.75, 0.25, 130
LEFT, RIGHT, TOP_INCHES, BOTTOM_INCHES = 0.075, 0.80, 0.75, 0.60
HUES_APART = {True: 0.10, False: 0.13}
"""How far the clades of a species of plants, or of others, are from its hue at most (turns)."""
SHADES = ((0.58, 0.80), (0.42, 0.95), (0.70, 0.62), (0.50, 0.70))
"""Saturation and value, one after the other."""


class Row(NamedTuple):
    """A clade that is drawn, with the small ones below it that are not."""

    name: str
    clade: int
    species: int
    table: str
    at: float
    """Its middle, in rows from the top."""
    above: int
    """The row it split off from, -1 for none."""
    colour: tuple[float, float, float]
    births: int
    living: int


class Chart(NamedTuple):
    """All that is drawn, in numbers."""

    rows: list[Row]
    edges: np.ndarray
    """Ticks between bins: `float64[BINS + 1]`."""
    counts: np.ndarray
    """Births by row and bin."""
    living: np.ndarray
    """The living by row and edge."""


def draw_lineage(path: Path, store: Store, descent: Descent) -> None:
    """Write the picture as PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    journal = Journal.reading(store.journal)
    try:
        chart = charted(descent, journal)
    finally:
        journal.close()
    tables = list(dict.fromkeys(row.table for row in chart.rows))
    tree_inches = max(2.0, ROW_INCHES * (chart.rows[-1].at + 2))
    height = TOP_INCHES + tree_inches + (STACK_INCHES + SPACE_INCHES) * len(tables) + BOTTOM_INCHES
    panel_inches = (tree_inches + STACK_INCHES * len(tables)) / (1 + len(tables))
    figure = Figure((WIDTH_INCHES, height), DOTS_PER_INCH, facecolor=PAPER)
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(
        1 + len(tables),
        1,
        height_ratios=[tree_inches, *[STACK_INCHES] * len(tables)],
        left=LEFT,
        right=RIGHT,
        top=1 - TOP_INCHES / height,
        bottom=BOTTOM_INCHES / height,
        hspace=SPACE_INCHES / panel_inches,
    )
    tree = figure.add_subplot(grid[0])
    _draw_tree(tree, chart, descent)
    axes = [figure.add_subplot(grid[1 + at], sharex=tree) for at in range(len(tables))]
    for table, axis in zip(tables, axes, strict=True):
        _draw_living(axis, chart, table)
    axes[-1].set_xlabel("time (ticks)", color=DIM, fontsize=9)
    for axis in [tree, *axes[:-1]]:
        axis.tick_params(labelbottom=False)
    figure.text(LEFT, 1 - 0.30 / height, descent.world.name, color=INK, fontsize=15, fontweight="bold", va="center")
    figure.text(
        LEFT,
        1 - 0.56 / height,
        f"{len(descent):,} beings in {len(descent.clade_table):,} clades until tick "
        f"{descent.last_tick:,}; the wider a spindle, the more were born",
        color=DIM,
        fontsize=9,
        va="center",
    )
    figure.savefig(path, format="png", metadata={"Software": "Umwelt"})


# --- what is drawn


def charted(descent: Descent, journal: Journal) -> Chart:
    """Choose the clades to draw, and count births and the living of each over time."""
    table = descent.clade_table
    species = table.species.tolist()
    order, row_of = drawn_rows(table.parents.tolist(), species, _chosen(descent))
    edges = np.linspace(0, max(1, descent.last_tick + 1), BINS + 1)
    mine = row_of[descent.clades].astype(np.int64)
    bins = np.minimum(np.searchsorted(edges, descent.ticks, side="right") - 1, BINS - 1)

    def counted(which: np.ndarray) -> np.ndarray:
        flat = np.bincount(mine[which] * BINS + bins[which], minlength=len(order) * BINS)
        return flat.reshape(len(order), BINS)

    counts, founders = counted(descent.born), counted(~descent.born).sum(axis=1)
    living = np.bincount(mine[descent.living], minlength=len(order))
    moments = [one for one in journal.history.metrics_from(0, MAX_MOMENTS) if one.tick <= descent.last_tick]
    tables = {name: table for one in moments for table, found in one.populations.items() for name in found}
    growing = {schema.name for schema in descent.world.laws.layout(descent.world)[1] if _grows(schema)}
    rows: list[Row] = []
    within: dict[int, int] = {}
    at = -1.0
    for row, clade in enumerate(order):
        name = descent.species_names[species[clade]]
        nth = within[species[clade]] = within.get(species[clade], -1) + 1
        at += 1.0 if nth or not rows else 1.0 + GAP_ROWS
        parent = int(table.parents[clade])
        rows.append(
            Row(
                f"{name} {clade + 1}",
                clade,
                species[clade],
                tables.get(name, "beings"),
                at,
                int(row_of[parent]) if parent >= 0 else -1,
                _colour(species[clade], nth, tables.get(name) in growing),
                int(counts[row].sum()),
                int(living[row]),
            )
        )
    born = np.concatenate([np.zeros((len(order), 1)), founders[:, None], counts], axis=1).cumsum(axis=1)
    return Chart(rows, edges, counts, _living(descent, rows, edges, born, moments))


def _chosen(descent: Descent) -> set[int]:
    """The clades with the most births, as many of each species as there is room for."""
    table = descent.clade_table
    births = np.lexsort((np.arange(len(table)), -table.births))
    ranks: list[tuple[int, int]] = []
    for species in np.unique(table.species).tolist():
        ranks += [(rank, clade) for rank, clade in enumerate(births[table.species[births] == species].tolist())]
    return {clade for _, clade in sorted(ranks)[:MAX_ROWS]}


def _grows(schema: Schema) -> bool:
    return any(column.name == "stage" for column in schema.own)


def _colour(species: int, nth: int, plant: bool) -> tuple[float, float, float]:
    """A species' first clade has its hue, the others hues near it."""
    spread = ((nth * GOLDEN + 0.5) % 1.0 - 0.5) * 2 * HUES_APART[plant]
    saturation, value = SHADES[nth % len(SHADES)]
    red, green, blue = hsv((float(species_hue(species, plant)) + spread) % 1.0, saturation, value).tolist()
    return red, green, blue


def _living(
    descent: Descent, rows: list[Row], edges: np.ndarray, born: np.ndarray, moments: list[Metrics]
) -> np.ndarray:
    """About how many live of each row at each edge: of all that were born of its species, the last.

    `born[row]`: how many there were before founders were placed, before any was born, and at the end of each bin.
    """
    ticks = [one.tick for one in moments]
    found = np.zeros((len(rows), len(edges)))
    places = np.arange(born.shape[1], dtype=float)
    for species in {row.species for row in rows}:
        mine = [at for at, row in enumerate(rows) if row.species == species]
        table, name = rows[mine[0]].table, descent.species_names[species]
        counts = [one.populations.get(table, {}).get(name, 0) for one in moments]
        if not counts:
            continue
        whole = born[mine].sum(axis=0)
        dead = np.clip(whole[1:] - np.interp(edges, ticks, counts), 0, whole[1:])
        until = np.interp(dead, whole, places)
        for at in mine:
            found[at] = born[at, 1:] - np.interp(until, places, born[at])
    return np.maximum(found, 0)


# --- drawing


def _dress(axis: Any, last_tick: float) -> None:
    from matplotlib.ticker import MaxNLocator, StrMethodFormatter

    axis.set_facecolor(PAPER)
    axis.set_xlim(0, last_tick)
    axis.grid(axis="x", color=RULE, linewidth=0.8)
    axis.set_axisbelow(True)
    axis.tick_params(colors=DIM, labelsize=8, length=0)
    axis.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    axis.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    for side in axis.spines.values():
        side.set_visible(False)


def _draw_tree(axis: Any, chart: Chart, descent: Descent) -> None:
    """Spindles, where they split off, and what they are called."""
    table, last = descent.clade_table, float(chart.edges[-1])
    _dress(axis, last)
    axis.set_ylim(chart.rows[-1].at + 0.9, -0.9)
    axis.set_yticks([])
    middles = (chart.edges[:-1] + chart.edges[1:]) / 2
    most = {kind: 1.0 for kind in {row.table for row in chart.rows}}
    for at, row in enumerate(chart.rows):
        most[row.table] = max(most[row.table], float(chart.counts[at].max()))
    widths = spindles(chart.counts, np.array([[most[row.table]] for row in chart.rows]))
    species = [row.species for row in chart.rows]
    for at, row in enumerate(chart.rows):
        first = float(table.first_ticks[row.clade])
        alive = np.flatnonzero(widths[at])
        end = last if row.living else max(first, float(middles[alive[-1]]) if len(alive) else first)
        if row.above >= 0:
            axis.plot([first, first], [chart.rows[row.above].at, row.at], color=row.colour, alpha=0.55, linewidth=0.9)
            axis.plot([first], [chart.rows[row.above].at], "o", color=row.colour, markersize=2.6)
        axis.plot([first, end], [row.at, row.at], color=row.colour, linewidth=0.8, alpha=0.7)
        inside = (middles >= first) & (middles <= end)
        axis.fill_between(
            middles[inside], row.at - widths[at][inside], row.at + widths[at][inside], color=row.colour, linewidth=0
        )
        shade = row.colour if row.living else DIM
        for place, text, side in (
            (1.012, row.name, "left"),
            (1.165, f"{row.births:,}", "right"),
            (1.235, f"{row.living:,}" if row.living else "–", "right"),
        ):
            axis.text(
                place, row.at, text, color=shade, fontsize=8, va="center", ha=side, transform=axis.get_yaxis_transform()
            )
        if at == 0 or species[at - 1] != row.species:
            rows = [one.at for one in chart.rows if one.species == row.species]
            axis.text(
                -0.012,
                (rows[0] + rows[-1]) / 2,
                descent.species_names[row.species],
                color=INK,
                fontsize=9,
                rotation=90 if len(rows) > 2 else 0,
                va="center",
                ha="right",
                transform=axis.get_yaxis_transform(),
            )
            if at:
                axis.axhline(row.at - (1 + GAP_ROWS) / 2, color=RULE, linewidth=0.8)
    for place, text, side in ((1.012, "clade", "left"), (1.165, "born", "right"), (1.235, "living", "right")):
        axis.text(place, 1.0, text, color=DIM, fontsize=8, va="bottom", ha=side, transform=axis.transAxes)


def _draw_living(axis: Any, chart: Chart, table: str) -> None:
    """The living of a table, one clade on the other."""
    from matplotlib.ticker import MaxNLocator, StrMethodFormatter

    _dress(axis, float(chart.edges[-1]))
    mine = [at for at, row in enumerate(chart.rows) if row.table == table]
    axis.stackplot(
        chart.edges, chart.living[mine], colors=[chart.rows[at].colour for at in mine], linewidth=0.2, edgecolor=PAPER
    )
    axis.set_ylim(0, None)
    axis.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    axis.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axis.grid(axis="y", color=RULE, linewidth=0.8)
    species = {chart.rows[at].name.rpartition(" ")[0] for at in mine}
    what = species.pop() if len(species) == 1 else table
    axis.text(1.012, 1, f"living {what}", color=INK, fontsize=9, va="top", transform=axis.transAxes)
    axis.text(
        1.012,
        0.85,
        "counted by species; in each, those\nborn last are taken for the living",
        color=DIM,
        fontsize=7.5,
        va="top",
        linespacing=1.4,
        transform=axis.transAxes,
    )
