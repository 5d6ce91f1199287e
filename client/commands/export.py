"""A run's journal as Parquet files: populations and matter over time, and births."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path

from umwelt.cluster.run.journal import Journal, damaged
from umwelt.cluster.run.remote_store import open_store
from umwelt.cluster.run.store import replace_file, report_disk_errors

ROWS_AT_ONCE = 100_000


def export_run(folder: Path, to: Path) -> list[tuple[Path, int]]:
    """Write `populations.parquet`, `matter.parquet`, `life.parquet` and `births.parquet`; gives them and their rows.

    populations: tick, kind, species, count; matter: tick, substance, count (molecules); life: tick, births, deaths
    (since tick 0); births: id, parent_id, tick, y, x (cells), species, genome (int8 genes as bytes).
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
            "populations": _populations(journal),
            "matter": _matter(journal),
            "life": _life(journal),
            "births": journal.births(),
        }
        with report_disk_errors(to, "--to"):
            to.mkdir(parents=True, exist_ok=True)
            # all are written before any takes its place: an older export is replaced as a whole
            paths = {what: to / f"{what}.parquet" for what in rows}
            with ExitStack() as finished:
                halves = {what: finished.enter_context(replace_file(path)) for what, path in paths.items()}
                found = {what: _write(halves[what], columns[what], rows[what], journal.path) for what in rows}
            return [(paths[what], written) for what, written in found.items()]
    finally:
        journal.close()


def _populations(journal: Journal) -> Iterator[tuple]:
    for metrics in journal.metrics():
        for kind, found in metrics.populations.items():
            for species, count in found.items():
                yield metrics.tick, kind, species, count


def _matter(journal: Journal) -> Iterator[tuple]:
    for metrics in journal.metrics():
        for substance, count in metrics.substances.items():
            yield metrics.tick, substance, count


def _life(journal: Journal) -> Iterator[tuple]:
    for metrics in journal.metrics():
        yield metrics.tick, metrics.births, metrics.deaths


def _write(path: Path, columns: list[tuple], rows: Iterable[tuple], source: Path) -> int:
    """Write rows as they come, so that long runs need no more memory than short ones; gives their number."""
    import pyarrow as pa
    from pyarrow import parquet

    schema, written = pa.schema(columns), 0
    rows = iter(rows)
    with parquet.ParquetWriter(path, schema, compression="zstd") as out:
        while batch := list(islice(rows, ROWS_AT_ONCE)):
            by_column = zip(zip(*batch, strict=True), schema, strict=True)
            try:
                arrays = [pa.array(values, one.type) for values, one in by_column]
            except (pa.ArrowException, ValueError, TypeError, OverflowError) as error:
                raise damaged(source, error) from None
            out.write_table(pa.Table.from_arrays(arrays, schema=schema))
            written += len(batch)
    return written
