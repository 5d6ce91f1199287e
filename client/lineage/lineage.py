"""The tree of life of a run: tables of beings and clades, trees as text, and a picture."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from umwelt.agents.earth.terrain import draws
from umwelt.client.lineage.ancestry import CladeTable, Descent, Seen, read_descent
from umwelt.client.lineage.newick import Lines, Tree, ancestry, newick, time_tree
from umwelt.client.lineage.picture import draw_lineage
from umwelt.cluster.run.remote_store import open_store
from umwelt.cluster.run.replay import read_run_world
from umwelt.cluster.run.store import replace_file, report_disk_errors
from umwelt.sandbox.dice import purpose

SAMPLE = purpose("lineage.sample")
ROWS_AT_ONCE = 1 << 17


def write_lineage(
    folder: Path, to: Path | None, species: str, drift: float, most: int, all_beings: bool
) -> list[tuple[Path, str]]:
    """Write the tree of life of a run up to its last snapshot; gives the files, and what is in each.

    lineage.parquet  a row a being: id, parent_id (null: nobody bore it), species, birth_tick, generation, y, x (cells),
                     clade, children_count, living
    clades.parquet   a row a clade: clade, parent_clade, species, first_tick, last_birth_tick, births, living,
                     founder_id, marker_a, marker_b, marker_c, distance (of its founder from its parent's)
    tree.nwk         the ancestry of the living, at most `most` of them, or of all beings that ever were
    clades.nwk       the clades
    lineage.png      the clades over time
    """
    store = open_store(folder)
    world = read_run_world(store)
    with _progress(f"reading {folder}") as seen:
        descent = read_descent(store, world, species, drift, seen=seen)
    to = to or Path(f"lineage-{folder.resolve().name}")
    tips = sampled(descent, most, all_beings)
    beings, clades = beings_tree(descent, tips), clades_tree(descent)
    whole = len(descent) if all_beings else int(descent.living.sum())
    of_whole = f" of {whole:,}" if len(tips) < whole else ""
    clade_count = f"{len(descent.clade_table):,} clade{'s' * (len(descent.clade_table) != 1)}"
    told = {
        "lineage.parquet": f"{len(descent):,} beings",
        "clades.parquet": clade_count,
        "tree.nwk": f"{len(tips):,}{of_whole} {'beings' if all_beings else 'living beings'} and whom they descend from",
        "clades.nwk": clade_count,
        "lineage.png": "the clades over time",
    }
    if descent.unknown_count:
        print(f"{folder}: of {descent.unknown_count:,} of the living no birth is journalled: left out", file=sys.stderr)
    with report_disk_errors(to, "--to"), ExitStack() as finished:
        to.mkdir(parents=True, exist_ok=True)
        # all are written before any takes its place: an older lineage is replaced as a whole
        half = {name: finished.enter_context(replace_file(to / name)) for name in told}
        write_beings(half["lineage.parquet"], descent)
        write_clades(half["clades.parquet"], descent)
        half["tree.nwk"].write_text(newick(beings), "utf-8")
        half["clades.nwk"].write_text(newick(clades), "utf-8")
        draw_lineage(half["lineage.png"], store, descent)
    return [(to / name, line) for name, line in told.items()]


@contextmanager
def _progress(what: str) -> Iterator[Seen]:
    """A bar for the births that are read, where somebody sees it."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,.0f} of {task.total:,.0f} births"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(what, total=1)
        yield lambda read, whole: progress.update(task, completed=read, total=whole)


# --- trees


def sampled(descent: Descent, most: int, all_beings: bool) -> np.ndarray:
    """The rows that the tree is of: the living, or all; where they are more than `most`, so many, chosen by dice."""
    rows = np.arange(len(descent)) if all_beings else np.flatnonzero(descent.living)
    if len(rows) <= most:
        return rows
    drawn = draws(descent.ids[rows], descent.world.common.seed, SAMPLE)
    return np.sort(rows[np.lexsort((descent.ids[rows], drawn))[:most]])


def beings_tree(descent: Descent, tips: np.ndarray) -> Tree:
    """The tree of some beings and those they descend from; of the dead it is known that they were born, no more."""
    lines = ancestry(descent.parents, descent.ticks, tips)
    is_tip = np.zeros(len(descent), bool)
    is_tip[tips] = True
    names, ends, groups = [], [], []
    for row in lines.rows.tolist():
        groups.append(descent.species_names[descent.species[row]])
        names.append(f"{groups[-1]} {descent.ids[row]}")
        last = descent.last_tick if descent.living[row] else int(descent.ticks[row])
        ends.append(last if is_tip[row] else None)
    return time_tree(lines, names, ends, groups, descent.world.name)


def clades_tree(descent: Descent) -> Tree:
    """The tree of clades: those that live reach the last tick, others their last birth."""
    table = descent.clade_table
    lines = Lines(np.arange(len(table)), table.parents.astype(np.int64), table.first_ticks.astype(np.int64))
    ends = np.where(table.living > 0, descent.last_tick, table.last_ticks).tolist()
    groups = [descent.species_names[species] for species in table.species.tolist()]
    return time_tree(lines, clade_names(descent), ends, groups, descent.world.name)


def clade_names(descent: Descent) -> list[str]:
    """What clades are called: their species, and their number, counted from 1."""
    species = descent.clade_table.species.tolist()
    return [f"{descent.species_names[kind]} {number}" for number, kind in enumerate(species, 1)]


# --- tables


def write_beings(path: Path, descent: Descent) -> None:
    """Write a row a being, in the order of births."""
    import pyarrow as pa
    from pyarrow import parquet

    children = descent.children_counts
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
        for first in range(0, len(descent), ROWS_AT_ONCE):
            part = slice(first, first + ROWS_AT_ONCE)
            parents = descent.parents[part]
            columns: list[Any] = [
                descent.ids[part],
                pa.array(descent.ids[parents], mask=parents < 0),
                pa.DictionaryArray.from_arrays(descent.species[part], descent.species_names),
                descent.ticks[part],
                descent.generations[part],
                descent.y[part],
                descent.x[part],
                descent.clades[part] + 1,
                children[part].astype(np.int32),
                descent.living[part],
            ]
            out.write_table(pa.table([*map(pa.array, columns)], schema=schema))


def write_clades(path: Path, descent: Descent) -> None:
    """Write a row a clade, in the order of their founders' births."""
    import pyarrow as pa
    from pyarrow import parquet

    table: CladeTable = descent.clade_table
    roots, no_markers = table.parents < 0, table.markers[:, 0] < -128
    columns = {
        "clade": pa.array(np.arange(1, len(table) + 1, dtype=np.int32)),
        "parent_clade": pa.array((table.parents + 1).astype(np.int32), mask=roots),
        "species": pa.array([descent.species_names[kind] for kind in table.species.tolist()], pa.string()),
        "first_tick": pa.array(table.first_ticks.astype(np.int32)),
        "last_birth_tick": pa.array(table.last_ticks.astype(np.int32)),
        "births": pa.array(table.births.astype(np.int64)),
        "living": pa.array(table.living.astype(np.int64)),
        "founder_id": pa.array(table.founders),
    }
    for at, marker in enumerate(("marker_a", "marker_b", "marker_c")):
        columns[marker] = pa.array(table.markers[:, at], mask=no_markers)
    columns["distance"] = pa.array(table.distances, mask=roots)
    parquet.write_table(pa.table(columns), path, compression="zstd")
