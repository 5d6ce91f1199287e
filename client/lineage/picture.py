"""Draws the tree of life of a run: births of each clade over time as spindles, and below, the living beings by clade.

A clade is a branch of the tree of life: genetically similar descendants of one being. A spindle is a horizontal shape
that is wider where more beings of the clade were born. The run's journal records the number of living beings of each
species, but no deaths, so it is unknown which beings lived at a past tick. The picture assumes that they are those born
last. The numbers at the right are counted in the last snapshot (saved state) of the world.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from umwelt.client.lineage.ancestry import Descent
from umwelt.client.lineage.clades import lay_out_rows, spindle_widths
from umwelt.client.pictures.scene import GOLDEN, hsv, species_hue
from umwelt.cluster import Journal, Metrics, Store
from umwelt.sandbox.columns import Schema

BINS = 240
"""The number of time bins (equal intervals of ticks) of the picture."""
MAX_ROWS, MAX_MOMENTS = 36, 2000
"""The maximum numbers of clades that are chosen for drawing, and of ticks whose recorded populations are read."""
GAP_ROWS = 0.9
"""Space between species, in rows."""
PAPER, INK, DIM, RULE = "#0c1216", "#e2efed", "#8ba0a2", "#1d2a30"
"""The colours of the background, of text, of secondary text, and of grid lines."""
WIDTH_INCHES, ROW_INCHES, STACK_INCHES, SPACE_INCHES, DOTS_PER_INCH = 13.0, 0.235, 1.75, 0.25, 130
LEFT, RIGHT, TOP_INCHES, BOTTOM_INCHES = 0.075, 0.80, 0.75, 0.60
HUES_APART = {True: 0.10, False: 0.13}
"""Maximum difference between the hues of a clade and of its species, in turns; for plants (True) and others."""
SHADES = ((0.58, 0.80), (0.42, 0.95), (0.70, 0.62), (0.50, 0.70))
"""Pairs of saturation and value, assigned cyclically to the clades of a species."""


class Row(NamedTuple):
    """A clade that is drawn in a row of the picture; its counts include the descendant clades that are not drawn."""

    name: str
    clade: int
    species: int
    table: str
    middle: float
    """Vertical position, in rows from the top."""
    parent: int
    """Index of the row from which the clade split off; -1 for none."""
    colour: tuple[float, float, float]
    births: int
    living: int


class Chart(NamedTuple):
    """The data of the picture."""

    rows: list[Row]
    edges: np.ndarray
    """Edges of the time bins, in ticks: `float64[BINS + 1]`."""
    counts: np.ndarray
    """Number of births by row and bin: `int64[row, BINS]`."""
    living: np.ndarray
    """Estimated number of living beings by row and bin edge: `float64[row, BINS + 1]`."""


def draw_lineage(path: Path, store: Store, descent: Descent) -> None:
    """Draws the tree of life of the run in `store` and writes it to `path` as a PNG file."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    journal = Journal.reading(store.journal)
    try:
        chart = make_chart(descent, journal)
    finally:
        journal.close()
    tables = list(dict.fromkeys(row.table for row in chart.rows))
    tree_inches = max(2.0, ROW_INCHES * (chart.rows[-1].middle + 2))
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
    axes = [figure.add_subplot(grid[1 + number], sharex=tree) for number in range(len(tables))]
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


def make_chart(descent: Descent, journal: Journal) -> Chart:
    """Returns the clades to draw, with their births and living beings over time."""
    table = descent.clade_table
    species = table.species.tolist()
    order, row_of = lay_out_rows(table.parents.tolist(), species, _choose_clades(descent))
    edges = np.linspace(0, max(1, descent.last_tick + 1), BINS + 1)
    row_of_being = row_of[descent.clades].astype(np.int64)
    bins = np.minimum(np.searchsorted(edges, descent.ticks, side="right") - 1, BINS - 1)

    def count_by_bin(chosen: np.ndarray) -> np.ndarray:
        """Counts the beings in `chosen`, `bool[beings]`, by row and bin of their birth: `int64[row, bin]`."""
        flat = np.bincount(row_of_being[chosen] * BINS + bins[chosen], minlength=len(order) * BINS)
        return flat.reshape(len(order), BINS)

    counts, founders = count_by_bin(descent.born), count_by_bin(~descent.born).sum(axis=1)
    living = np.bincount(row_of_being[descent.living], minlength=len(order))
    moments = [metrics for metrics in journal.history.metrics_from(0, MAX_MOMENTS) if metrics.tick <= descent.last_tick]
    tables = {
        name: table_name
        for metrics in moments
        for table_name, populations in metrics.populations.items()
        for name in populations
    }
    plant_tables = {schema.name for schema in descent.world.laws.layout(descent.world)[1] if _holds_plants(schema)}
    rows: list[Row] = []
    numbers_within: dict[int, int] = {}
    middle = -1.0
    for row, clade in enumerate(order):
        name = descent.species_names[species[clade]]
        nth = numbers_within[species[clade]] = numbers_within.get(species[clade], -1) + 1
        middle += 1.0 if nth or not rows else 1.0 + GAP_ROWS
        parent = int(table.parents[clade])
        rows.append(
            Row(
                f"{name} {clade + 1}",
                clade,
                species[clade],
                tables.get(name, "beings"),
                middle,
                int(row_of[parent]) if parent >= 0 else -1,
                _colour(species[clade], nth, tables.get(name) in plant_tables),
                int(counts[row].sum()),
                int(living[row]),
            )
        )
    born = np.concatenate([np.zeros((len(order), 1)), founders[:, None], counts], axis=1).cumsum(axis=1)
    return Chart(rows, edges, counts, _estimate_living(descent, rows, edges, born, moments))


def _choose_clades(descent: Descent) -> set[int]:
    """Returns up to `MAX_ROWS` clades to draw: those with the most births, taking one from each species per round."""
    table = descent.clade_table
    births = np.lexsort((np.arange(len(table)), -table.births))
    ranks: list[tuple[int, int]] = []
    for species in np.unique(table.species).tolist():
        ranks += [(rank, clade) for rank, clade in enumerate(births[table.species[births] == species].tolist())]
    return {clade for _, clade in sorted(ranks)[:MAX_ROWS]}


def _holds_plants(schema: Schema) -> bool:
    """Returns whether a table contains plants, whose modules have the column `stage`."""
    return any(column.name == "stage" for column in schema.own)


def _colour(species: int, nth: int, plant: bool) -> tuple[float, float, float]:
    """Returns red, green and blue, 0 to 1, of the clade number `nth` of a species.

    The first clade (0) has the hue of the species, and the others have hues near it.
    """
    spread = ((nth * GOLDEN + 0.5) % 1.0 - 0.5) * 2 * HUES_APART[plant]
    saturation, value = SHADES[nth % len(SHADES)]
    red, green, blue = hsv((float(species_hue(species, plant)) + spread) % 1.0, saturation, value).tolist()
    return red, green, blue


def _estimate_living(
    descent: Descent, rows: list[Row], edges: np.ndarray, born: np.ndarray, moments: list[Metrics]
) -> np.ndarray:
    """Returns the estimated number of living beings by row and bin edge, assuming that those born last are alive.

    `born`, `float64[row, BINS + 2]`, has the number of beings so far: 0, the founders, and founders and births up to
    the end of each bin. `moments` are the recorded populations at many ticks; rows of a species without records are 0.
    """
    ticks = [metrics.tick for metrics in moments]
    living = np.zeros((len(rows), len(edges)))
    places = np.arange(born.shape[1], dtype=float)
    for species in {row.species for row in rows}:
        members = [number for number, row in enumerate(rows) if row.species == species]
        table, name = rows[members[0]].table, descent.species_names[species]
        counts = [metrics.populations.get(table, {}).get(name, 0) for metrics in moments]
        if not counts:
            continue
        born_of_species = born[members].sum(axis=0)
        dead = np.clip(born_of_species[1:] - np.interp(edges, ticks, counts), 0, born_of_species[1:])
        last_dead = np.interp(dead, born_of_species, places)
        for number in members:
            living[number] = born[number, 1:] - np.interp(last_dead, places, born[number])
    return np.maximum(living, 0)


# --- drawing


def _style_axis(axis: Any, last_tick: float) -> None:
    """Sets the colours, the grid and the time axis from 0 to `last_tick` of a matplotlib axis."""
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
    """Draws a spindle for each clade, the place where it splits off, its name, and its numbers of beings."""
    table, last = descent.clade_table, float(chart.edges[-1])
    _style_axis(axis, last)
    axis.set_ylim(chart.rows[-1].middle + 0.9, -0.9)
    axis.set_yticks([])
    middles = (chart.edges[:-1] + chart.edges[1:]) / 2
    max_births = {table_name: 1.0 for table_name in {row.table for row in chart.rows}}
    for number, row in enumerate(chart.rows):
        max_births[row.table] = max(max_births[row.table], float(chart.counts[number].max()))
    widths = spindle_widths(chart.counts, np.array([[max_births[row.table]] for row in chart.rows]))
    species = [row.species for row in chart.rows]
    for number, row in enumerate(chart.rows):
        first = float(table.first_ticks[row.clade])
        alive = np.flatnonzero(widths[number])
        end = last if row.living else max(first, float(middles[alive[-1]]) if len(alive) else first)
        if row.parent >= 0:
            origin = chart.rows[row.parent].middle
            axis.plot([first, first], [origin, row.middle], color=row.colour, alpha=0.55, linewidth=0.9)
            axis.plot([first], [origin], "o", color=row.colour, markersize=2.6)
        axis.plot([first, end], [row.middle, row.middle], color=row.colour, linewidth=0.8, alpha=0.7)
        inside = (middles >= first) & (middles <= end)
        axis.fill_between(
            middles[inside],
            row.middle - widths[number][inside],
            row.middle + widths[number][inside],
            color=row.colour,
            linewidth=0,
        )
        shade = row.colour if row.living else DIM
        for place, text, side in (
            (1.012, row.name, "left"),
            (1.165, f"{row.births:,}", "right"),
            (1.235, f"{row.living:,}" if row.living else "–", "right"),
        ):
            axis.text(
                place,
                row.middle,
                text,
                color=shade,
                fontsize=8,
                va="center",
                ha=side,
                transform=axis.get_yaxis_transform(),
            )
        if number == 0 or species[number - 1] != row.species:
            rows = [other.middle for other in chart.rows if other.species == row.species]
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
            if number:
                axis.axhline(row.middle - (1 + GAP_ROWS) / 2, color=RULE, linewidth=0.8)
    for place, text, side in ((1.012, "clade", "left"), (1.165, "born", "right"), (1.235, "living", "right")):
        axis.text(place, 1.0, text, color=DIM, fontsize=8, va="bottom", ha=side, transform=axis.transAxes)


def _draw_living(axis: Any, chart: Chart, table: str) -> None:
    """Draws the number of living beings of `table` over time, stacked by clade."""
    from matplotlib.ticker import MaxNLocator, StrMethodFormatter

    _style_axis(axis, float(chart.edges[-1]))
    members = [number for number, row in enumerate(chart.rows) if row.table == table]
    axis.stackplot(
        chart.edges,
        chart.living[members],
        colors=[chart.rows[number].colour for number in members],
        linewidth=0.2,
        edgecolor=PAPER,
    )
    axis.set_ylim(0, None)
    axis.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    axis.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axis.grid(axis="y", color=RULE, linewidth=0.8)
    species = {chart.rows[number].name.rpartition(" ")[0] for number in members}
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
