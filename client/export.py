"""A run's journal as Parquet files: populations and matter over time, and births."""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from umwelt.cluster.journal import Journal
from umwelt.cluster.store import Store, writing

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
    journal = Journal.reading(Store.open(folder).journal)
    try:
        rows = {
            "populations": _populations(journal),
            "matter": _matter(journal),
            "life": _life(journal),
            "births": journal.births(),
        }
        with writing(to, "--to"):
            to.mkdir(parents=True, exist_ok=True)
            return [_write(to / f"{what}.parquet", columns[what], rows[what]) for what in rows]
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


def _write(path: Path, columns: list[tuple], rows: Iterable[tuple]) -> tuple[Path, int]:
    """Write rows as they come, so that long runs need no more memory than short ones."""
    import pyarrow as pa
    from pyarrow import parquet

    schema, written = pa.schema(columns), 0
    rows = iter(rows)
    with parquet.ParquetWriter(path, schema, compression="zstd") as out:
        while batch := list(islice(rows, ROWS_AT_ONCE)):
            by_column = zip(zip(*batch, strict=True), schema, strict=True)
            arrays = [pa.array(values, one.type) for values, one in by_column]
            out.write_table(pa.Table.from_arrays(arrays, schema=schema))
            written += len(batch)
    return path, written
