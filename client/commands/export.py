"""The command `umwelt export`: writes a run's journal to Parquet files.

The journal is the run's record on disk of births, and of measurements such as populations ("metrics") at many ticks.
"""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Any

from umwelt.cluster import Journal, journal_error, open_store, replace_file, report_disk_errors

BATCH_ROWS = 100_000
"""Number of rows that are kept in memory at a time."""


def export_run(folder: Path, to: Path) -> list[tuple[Path, int]]:
    """Writes four Parquet files into the folder `to`; returns the path and the number of rows of each.

    These are the files and their columns; kind is the name of a table of beings, such as "plants" or "monsters":

    populations.parquet  tick, kind, species, count
    matter.parquet       tick, substance, count (molecules)
    life.parquet         tick, births, deaths (since tick 0)
    births.parquet       id, parent_id, tick, y, x (cells), species, genome (int8 genes as bytes)
    """
    import pyarrow as pa

    number, small, name = pa.int64(), pa.int32(), pa.string()
    place = [("tick", number), ("y", small), ("x", small)]
    columns = {
        "populations": [("tick", number), ("kind", name), ("species", name), ("count", number)],
        "matter": [("tick", number), ("substance", name), ("count", number)],
        "life": [("tick", number), ("births", number), ("deaths", number)],
        "births": [("id", number), ("parent_id", number), *place, ("species", name), ("genome", pa.binary())],
    }
    journal = Journal.reading(open_store(folder).journal)
    try:
        rows = {
            "populations": _population_rows(journal),
            "matter": _matter_rows(journal),
            "life": _life_rows(journal),
            "births": journal.lineage.births(),
        }
        with report_disk_errors(to, "--to"):
            to.mkdir(parents=True, exist_ok=True)
            paths = {table: to / f"{table}.parquet" for table in rows}
            # older files are replaced only after all new files are complete
            with ExitStack() as replacing:
                unfinished = {table: replacing.enter_context(replace_file(path)) for table, path in paths.items()}
                counts = {
                    table: _write_rows(unfinished[table], columns[table], rows[table], journal.path) for table in rows
                }
            return [(paths[table], count) for table, count in counts.items()]
    finally:
        journal.close()


def _population_rows(journal: Journal) -> Iterator[tuple[Any, ...]]:
    """Yields the rows of populations.parquet (see `export_run`)."""
    for metrics in journal.history.metrics():
        for kind, counts in metrics.populations.items():
            for species, count in counts.items():
                yield metrics.tick, kind, species, count


def _matter_rows(journal: Journal) -> Iterator[tuple[Any, ...]]:
    """Yields the rows of matter.parquet."""
    for metrics in journal.history.metrics():
        for substance, count in metrics.substances.items():
            yield metrics.tick, substance, count


def _life_rows(journal: Journal) -> Iterator[tuple[Any, ...]]:
    """Yields the rows of life.parquet."""
    for metrics in journal.history.metrics():
        yield metrics.tick, metrics.births, metrics.deaths


def _write_rows(path: Path, columns: list[tuple[str, Any]], rows: Iterable[tuple[Any, ...]], source: Path) -> int:
    """Writes `rows` to a Parquet file and returns their number; `columns` has the name and the Arrow type of each.

    Writes `BATCH_ROWS` rows at a time, so that memory does not grow with the run. `source` is the path of the journal,
    for error messages.
    """
    import pyarrow as pa
    from pyarrow import parquet

    schema, count = pa.schema(columns), 0
    rows = iter(rows)
    with parquet.ParquetWriter(path, schema, compression="zstd") as out:
        while batch := list(islice(rows, BATCH_ROWS)):
            by_column = zip(zip(*batch, strict=True), schema, strict=True)
            try:
                arrays = [pa.array(values, column.type) for values, column in by_column]
            except (pa.ArrowException, ValueError, TypeError, OverflowError) as error:
                raise journal_error(source, error) from None
            out.write_table(pa.Table.from_arrays(arrays, schema=schema))
            count += len(batch)
    return count
