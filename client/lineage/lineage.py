"""The command `umwelt lineage`: writes the tree of life of a run as tables, as Newick trees and as a picture.

A clade is a branch of the tree of life: genetically similar descendants of one being, its founder. A *snapshot* is the
complete state of the world at a tick, saved on disk; the *journal* is the run's record of births on disk.
"""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from umwelt.agents.earth.terrain import draws
from umwelt.client.lineage.ancestry import NO_MARKER, CladeTable, Descent, OnProgress, read_descent
from umwelt.client.lineage.newick import Lines, Tree, find_lines, format_newick, make_time_tree
from umwelt.client.lineage.picture import draw_lineage
from umwelt.cluster import open_store, read_run_world, replace_file, report_disk_errors
from umwelt.sandbox.dice import purpose

SAMPLE = purpose("lineage.sample")
"""The purpose of the pseudorandom numbers that choose the sample of beings; it is part of their key."""
BATCH_ROWS = 1 << 17
"""The number of rows that are written together."""


def write_lineage(
    folder: Path, to: Path | None, species: str, drift: float, max_tips: int, all_beings: bool
) -> list[tuple[Path, str]]:
    """Writes the tree of life of the run in `folder` up to its last snapshot; returns pairs of a file and a summary.

    `to` is the output folder. `species` limits the output to one species ("": all); `drift` is the genetic distance at
    which a new clade begins.

    lineage.parquet  one row per being: id, parent_id (null: none known), species, birth_tick, generation, y, x (cells),
                     clade, children_count, living
    phylogeny.csv    the same beings in the ALife data standard, see `write_phylogeny`
    clades.parquet   one row per clade: clade, parent_clade, species, first_tick, last_birth_tick, births, living,
                     founder_id, marker_a, marker_b, marker_c, distance (between the genomes of its founder and of the
                     parent clade's founder)
    tree.nwk         tree of the living beings, or with `all_beings` of all beings that ever lived, and their ancestors;
                     a random sample if there are more than `max_tips`
    clades.nwk       tree of the clades
    lineage.png      picture of the clades over time
    """
    store = open_store(folder)
    world = read_run_world(store)
    with _show_progress(f"reading {folder}") as on_progress:
        descent = read_descent(store, world, species, drift, on_progress=on_progress)
    to = to or Path(f"lineage-{folder.resolve().name}")
    tips = sample_tips(descent, max_tips, all_beings)
    beings_tree, clades_tree = make_beings_tree(descent, tips), make_clades_tree(descent)
    tip_count = len(descent) if all_beings else int(descent.living.sum())
    of_all = f" of {tip_count:,}" if len(tips) < tip_count else ""
    clade_count = f"{len(descent.clade_table):,} clade{'s' * (len(descent.clade_table) != 1)}"
    lines = {
        "lineage.parquet": f"{len(descent):,} beings",
        "phylogeny.csv": f"{len(descent):,} beings, in the ALife data standard",
        "clades.parquet": clade_count,
        "tree.nwk": f"{len(tips):,}{of_all} {'beings' if all_beings else 'living beings'} and their ancestors",
        "clades.nwk": clade_count,
        "lineage.png": "the clades over time",
    }
    if descent.unknown_count:
        line = f"{descent.unknown_count:,} of the living have no journalled birth: left out"
        print(f"{folder}: {line}", file=sys.stderr)
    with report_disk_errors(to, "--to"), ExitStack() as replacing:
        to.mkdir(parents=True, exist_ok=True)
        # all files are complete before any of them replaces an older one
        unfinished = {name: replacing.enter_context(replace_file(to / name)) for name in lines}
        write_beings(unfinished["lineage.parquet"], descent)
        write_phylogeny(unfinished["phylogeny.csv"], descent)
        write_clades(unfinished["clades.parquet"], descent)
        unfinished["tree.nwk"].write_text(format_newick(beings_tree), "utf-8")
        unfinished["clades.nwk"].write_text(format_newick(clades_tree), "utf-8")
        draw_lineage(unfinished["lineage.png"], store, descent)
    return [(to / name, line) for name, line in lines.items()]


@contextmanager
def _show_progress(text: str) -> Iterator[OnProgress]:
    """Shows a progress bar on stderr if it is a terminal; yields the function to call with births read and total."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,.0f} of {task.total:,.0f} births"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(text, total=1)
        yield lambda count, total: progress.update(task, completed=count, total=total)


# --- trees


def sample_tips(descent: Descent, max_tips: int, all_beings: bool) -> np.ndarray:
    """Returns the rows of the living beings, or of all beings, in order of birth.

    If there are more than `max_tips`, returns a sample of that size, which depends only on the world's seed and the ids
    of the beings.
    """
    rows = np.arange(len(descent)) if all_beings else np.flatnonzero(descent.living)
    if len(rows) <= max_tips:
        return rows
    drawn = draws(descent.ids[rows], descent.world.common.seed, SAMPLE)
    return np.sort(rows[np.lexsort((descent.ids[rows], drawn))[:max_tips]])


def make_beings_tree(descent: Descent, tips: np.ndarray) -> Tree:
    """Returns the tree of the beings in the rows `tips` and their ancestors.

    The branch of a dead being ends at its birth, because deaths are not recorded.
    """
    lines = find_lines(descent.parents, descent.ticks, tips)
    is_tip = np.zeros(len(descent), bool)
    is_tip[tips] = True
    names, ends, groups = [], [], []
    for row in lines.rows.tolist():
        groups.append(descent.species_names[descent.species[row]])
        names.append(f"{groups[-1]} {descent.ids[row]}")
        last_tick = descent.last_tick if descent.living[row] else int(descent.ticks[row])
        ends.append(last_tick if is_tip[row] else None)
    return make_time_tree(lines, names, ends, groups, descent.world.name)


def make_clades_tree(descent: Descent) -> Tree:
    """Returns the tree of clades.

    The branch of a clade with living beings ends at the tick of the last snapshot, that of any other at its last birth.
    """
    table = descent.clade_table
    lines = Lines(np.arange(len(table)), table.parents.astype(np.int64), table.first_ticks.astype(np.int64))
    ends = np.where(table.living > 0, descent.last_tick, table.last_ticks).tolist()
    groups = [descent.species_names[species] for species in table.species.tolist()]
    return make_time_tree(lines, clade_names(descent), ends, groups, descent.world.name)


def clade_names(descent: Descent) -> list[str]:
    """Returns the name of each clade: its species and its number, counted from 1."""
    species = descent.clade_table.species.tolist()
    return [f"{descent.species_names[index]} {number}" for number, index in enumerate(species, 1)]


# --- tables


def write_beings(path: Path, descent: Descent) -> None:
    """Writes a Parquet file with one row per being, in order of birth."""
    import pyarrow as pa
    from pyarrow import parquet

    children_counts = descent.children_counts
    schema = pa.schema(
        [
            ("id", pa.int64()),
            ("parent_id", pa.int64()),
            ("species", pa.dictionary(pa.int16(), pa.string())),
            ("birth_tick", pa.int32()),
            ("generation", pa.int32()),
            ("y", pa.int32()),
            ("x", pa.int32()),
            ("clade", pa.int32()),
            ("children_count", pa.int32()),
            ("living", pa.bool_()),
        ]
    )
    with parquet.ParquetWriter(path, schema, compression="zstd") as out:
        for first in range(0, len(descent), BATCH_ROWS):
            batch = slice(first, first + BATCH_ROWS)
            parents = descent.parents[batch]
            columns: list[Any] = [
                descent.ids[batch],
                pa.array(descent.ids[parents], mask=parents < 0),
                pa.DictionaryArray.from_arrays(descent.species[batch], descent.species_names),
                descent.ticks[batch],
                descent.generations[batch],
                descent.y[batch],
                descent.x[batch],
                descent.clades[batch] + 1,
                children_counts[batch].astype(np.int32),
                descent.living[batch],
            ]
            out.write_table(pa.table([*map(pa.array, columns)], schema=schema))


def write_phylogeny(path: Path, descent: Descent) -> None:
    """Writes a CSV file in the ALife data standard for phylogenies, with one row per being, in order of birth.

    Columns: id, ancestor_list ("[none]" for founders), origin_time (tick of birth), destruction_time ("inf" for living
    beings, empty for dead ones, because a run records no deaths), taxon_label (species), and as extensions clade,
    generation, y and x.
    Lalejini et al., "Data Standards for Artificial Life Software", ALIFE 2019, pp. 507-514.
    """
    import pyarrow as pa
    from pyarrow import compute, csv

    schema = pa.schema(
        [
            ("id", pa.int64()),
            ("ancestor_list", pa.string()),
            ("origin_time", pa.int32()),
            ("destruction_time", pa.string()),
            ("taxon_label", pa.string()),
            ("clade", pa.int32()),
            ("generation", pa.int32()),
            ("y", pa.int32()),
            ("x", pa.int32()),
        ]
    )
    with csv.CSVWriter(path, schema, write_options=csv.WriteOptions(quoting_style="needed")) as out:
        for first in range(0, len(descent), BATCH_ROWS):
            batch = slice(first, first + BATCH_ROWS)
            parents = descent.parents[batch]
            parent_ids = pa.array(descent.ids[parents], mask=parents < 0).cast(pa.string()).fill_null("none")
            is_living = pa.array(descent.living[batch])
            columns: list[Any] = [
                descent.ids[batch],
                compute.binary_join_element_wise("[", parent_ids, "]", ""),
                descent.ticks[batch],
                compute.if_else(is_living, "inf", pa.scalar(None, pa.string())),
                pa.array(descent.species_names).take(pa.array(descent.species[batch])),
                descent.clades[batch] + 1,
                descent.generations[batch],
                descent.y[batch],
                descent.x[batch],
            ]
            out.write_table(pa.table([*map(pa.array, columns)], schema=schema))


def write_clades(path: Path, descent: Descent) -> None:
    """Writes a Parquet file with one row per clade, in order of number."""
    import pyarrow as pa
    from pyarrow import parquet

    table: CladeTable = descent.clade_table
    is_root, has_no_markers = table.parents < 0, table.markers[:, 0] == NO_MARKER
    columns = {
        "clade": pa.array(np.arange(1, len(table) + 1, dtype=np.int32)),
        "parent_clade": pa.array((table.parents + 1).astype(np.int32), mask=is_root),
        "species": pa.array([descent.species_names[index] for index in table.species.tolist()], pa.string()),
        "first_tick": pa.array(table.first_ticks.astype(np.int32)),
        "last_birth_tick": pa.array(table.last_ticks.astype(np.int32)),
        "births": pa.array(table.births.astype(np.int64)),
        "living": pa.array(table.living.astype(np.int64)),
        "founder_id": pa.array(table.founders),
    }
    for index, marker in enumerate(("marker_a", "marker_b", "marker_c")):
        columns[marker] = pa.array(table.markers[:, index], mask=has_no_markers)
    columns["distance"] = pa.array(table.distances, mask=is_root)
    parquet.write_table(pa.table(columns), path, compression="zstd")
