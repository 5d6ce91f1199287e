"""Who descends from whom in a run: founders from its first snapshot, births from its journal, the living from its last.

Births are read a page at a time: genomes are compared with those of the clades' founders and let go, so that a being
takes some tens of bytes, however long its genome is. Work goes by generations, never being by being.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from umwelt.agents.body.genome import MARKER_A, MONSTER_GENES, P_MARKER_A, PLANT_GENES
from umwelt.agents.world_file import WorldFile
from umwelt.client.lineage.clades import BEGIN, DRIFT, MIN_BEINGS, NO_BIRTHS, GenomeClades, Known, apart, counted_in
from umwelt.cluster.run.journal import Journal, damaged
from umwelt.cluster.run.store import Entry, Store
from umwelt.sandbox.columns import KIND_BITS, PLACE_BITS, TICK_BITS
from umwelt.sandbox.errors import RunError
from umwelt.sandbox.region import Piece
from umwelt.sandbox.text import one_of
from umwelt.sandbox.units import SUBCELL_BITS

PAGE_ROWS = 20_000
MARKERS = 3
_FIRST_MARKER = {MONSTER_GENES: MARKER_A, len(PLANT_GENES): P_MARKER_A}
"""Where the markers begin in genomes of so many genes."""

Seen = Callable[[int, int], None]
"""Told how many births are read, and of how many."""


@dataclass
class CladeTable:
    """Clades by number, parents before what split off from them. All arrays have an entry a clade."""

    parents: np.ndarray
    """The clade it split off from, -1 for none."""
    founders: np.ndarray
    """The id of its first being."""
    species: np.ndarray
    """Index among the names of species."""
    first_ticks: np.ndarray
    last_ticks: np.ndarray
    """Of the last birth."""
    births: np.ndarray
    living: np.ndarray
    markers: np.ndarray
    """Of its founder, `int16[clade, 3]`; -1000 where there are no such genes."""
    distances: np.ndarray
    """Of its founder's genome from that of its parent's founder; 0 where it has none."""

    def __len__(self) -> int:
        return len(self.parents)


@dataclass
class Descent:
    """All beings of a run up to its last snapshot, in the order of their births. Arrays have an entry a being."""

    world: WorldFile
    last_tick: int
    species_names: list[str]
    ids: np.ndarray
    parents: np.ndarray
    """The row of the parent, -1 where nobody bore it or nothing is known of who did."""
    ticks: np.ndarray
    y: np.ndarray
    x: np.ndarray
    species: np.ndarray
    clades: np.ndarray
    generations: np.ndarray
    born: np.ndarray
    """False for founders."""
    living: np.ndarray
    clade_table: CladeTable
    unknown_count: int
    """The living whose birth is not journalled."""

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def children_counts(self) -> np.ndarray:
        """`int64[n]`"""
        return np.bincount(self.parents[self.parents >= 0], minlength=len(self))


def read_descent(
    store: Store,
    world: WorldFile,
    species: str = "",
    drift: float = DRIFT,
    least: int = MIN_BEINGS,
    seen: Seen = lambda read, whole: None,
) -> Descent:
    """The descent of all beings of a run, or of one species. Writes nothing. `RunError` where births are not kept.

    Clades are further apart than `drift`, and have at least so many beings.
    """
    kept = world.common.births
    if not kept:
        raise RunError(f"{store.folder}: {NO_BIRTHS}")
    layout = world.laws.layout(world)
    tables = [kept] if isinstance(kept, str) else [schema.name for schema in layout[1]]
    names = list(world.laws.species(world)) if world.laws.species else tables
    if species:
        one_of(species, names, "--species")
    newest, _ = store.newest(layout)
    gathering = Gathering(names, tables, drift)
    for table, beings in _beings(store.load(Entry(0, True), layout).pieces, tables):
        gathering.add_founders(table, beings, species)
    last_tick = newest.manifest.tick
    journal = Journal.reading(store.journal)
    try:
        read, whole = 0, journal.lineage.birth_count(species)
        for rows in journal.lineage.births_by_ticks(PAGE_ROWS, last_tick, species):
            try:
                gathering.add_births(rows)
            except (ValueError, TypeError, OverflowError) as error:
                raise damaged(journal.path, error) from None
            read += len(rows)
            seen(read, max(read, whole))
    finally:
        journal.close()
    if not gathering.count:
        what = f'"{species}"' if species else "any being"
        raise RunError(f"{store.folder}: no birth of {what} is journalled, and no founder lived: {BEGIN}")
    living = [_chosen(beings, species, names)["id"] for _, beings in _beings(newest.pieces, tables)]
    return gathering.descent(world, last_tick, np.concatenate([np.empty(0, np.int64), *living]), least)


def _beings(pieces: list[Piece], tables: list[str]) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """The beings of a snapshot, table by table, with the cells that they are in."""
    for piece in pieces:
        for table in tables:
            rows = piece.tables[table]
            cells = {
                "y": (rows["y_fixed"] >> SUBCELL_BITS) + piece.rectangle.y,
                "x": (rows["x_fixed"] >> SUBCELL_BITS) + piece.rectangle.x,
            }
            yield table, {**rows, **cells}


def _chosen(beings: Mapping[str, np.ndarray], species: str, names: list[str]) -> dict[str, np.ndarray]:
    """Those of a species, or all."""
    if not species or "species" not in beings:
        return dict(beings)
    mine = beings["species"] == names.index(species)
    return {name: array[mine] for name, array in beings.items()}


class Gathering:
    """Takes in founders, then births, parents before their children or along with them; makes a `Descent` of them."""

    def __init__(self, names: list[str], tables: list[str], drift: float):
        self._names = list(names)
        self._unnamed = tables[0] if len(tables) == 1 else "beings"
        self._clades = GenomeClades(drift)
        self._known = Known()
        """Clades by ids."""
        self._pages: list[dict[str, np.ndarray]] = []

    @property
    def count(self) -> int:
        """How many beings were taken in."""
        return len(self._known)

    def add_founders(self, table: str, beings: Mapping[str, np.ndarray], species: str) -> None:
        """Take in the beings that a piece of the first snapshot has in a table."""
        if "species" not in beings:
            beings = {**beings, "species": np.full(len(beings["id"]), self._index(table))}
        mine = _chosen(beings, species, self._names)
        count = len(mine["id"])
        page = {name: mine[name] for name in ("id", "y", "x", "species")}
        page |= {name: np.zeros(count, np.int64) for name in ("parent_id", "tick")}
        genes = mine["genome"] if "genome" in mine else np.empty((count, 0), np.int8)
        self._add(page, np.full(count, genes.shape[1]), genes.ravel(), born=False)

    def add_births(self, rows: list[tuple]) -> None:
        """Take in births, rows as the journal has them; `ValueError`, `TypeError` for what cannot be entered there."""
        import pyarrow as pa

        columns = list(zip(*rows, strict=True))
        page = {
            name: pa.array(values, pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
            for name, values in zip(("id", "parent_id", "tick", "y", "x"), columns, strict=False)
        }
        page["tick"] = (page["id"] >> PLACE_BITS) & ((1 << TICK_BITS) - 1)
        species = pa.array([self._unnamed if None in columns[5] else "", *columns[5]], pa.string())
        names = species.fill_null(self._unnamed)[1:].dictionary_encode()
        indices = np.array([self._index(name) for name in names.dictionary.to_pylist()], np.int64)
        page["species"] = indices[names.indices.to_numpy()]
        blobs = pa.array(columns[6], pa.binary()).fill_null(b"")
        offsets = np.frombuffer(blobs.buffers()[1], np.int32)[: len(rows) + 1]
        content = np.frombuffer(blobs.buffers()[2] or b"", np.int8)[: offsets[-1]]
        self._add(page, np.diff(offsets), content, born=True)

    def _index(self, name: str) -> int:
        if name not in self._names:
            self._names.append(name)
        return self._names.index(name)

    def _add(self, page: dict[str, np.ndarray], gene_counts: np.ndarray, genes: np.ndarray, born: bool) -> None:
        """Take in beings, each with so many genes, which lie one after the other."""
        ids, count = page["id"], len(page["id"])
        # whoever was placed by hand begins a line
        parents = np.where(ids >> (KIND_BITS + TICK_BITS + PLACE_BITS) > 0, 0, page["parent_id"])
        if not count:
            return
        within = _rows_of(ids, parents)
        within[page["tick"][within] >= page["tick"]] = -1
        numbers, kinds, place = self._known.find(parents), [], np.empty(count, np.int64)
        for gene_count in np.unique(gene_counts).tolist():
            mine = gene_counts == gene_count
            kinds.append((mine, genes[np.repeat(mine, gene_counts)].reshape(np.count_nonzero(mine), gene_count)))
            place[mine] = np.arange(np.count_nonzero(mine))
        for generation in _by_depth(within):
            for mine, genomes in kinds:
                now = generation[mine[generation]]
                above = np.where(within[now] >= 0, numbers[within[now]], numbers[now])
                numbers[now] = self._clades.place(
                    above, ids[now], page["tick"][now], page["species"][now], genomes[place[now]]
                )
        self._known.add(ids, numbers)
        narrow = {"y": np.int32, "x": np.int32, "tick": np.int32, "species": np.int16}
        kept = {name: array.astype(narrow.get(name, np.int64)) for name, array in page.items()}
        self._pages.append({**kept, "parent_id": parents, "number": numbers, "born": np.full(count, born)})

    def descent(self, world: WorldFile, last_tick: int, living: np.ndarray, least: int = MIN_BEINGS) -> Descent:
        """All that was taken in, put in order."""
        column = {name: np.concatenate([page[name] for page in self._pages]) for name in self._pages[0]}
        self._pages.clear()
        order = np.lexsort((column["id"], column["tick"]))
        column = {name: array[order] for name, array in column.items()}
        ids, ticks = column["id"], column["tick"]
        parents = _rows_of(ids, column["parent_id"])
        parents[(parents >= 0) & (ticks[parents] >= ticks)] = -1
        clades, table = self._tabled(column, np.isin(ids, living), least)
        return Descent(
            world,
            last_tick,
            self._names,
            ids,
            parents,
            ticks,
            column["y"],
            column["x"],
            column["species"],
            clades,
            _depths(parents)[0],
            column["born"],
            np.isin(ids, living),
            table,
            int((~np.isin(living, ids)).sum()),
        )

    def _tabled(
        self, column: Mapping[str, np.ndarray], living: np.ndarray, least: int
    ) -> tuple[np.ndarray, CladeTable]:
        """The clades of beings, and what is to be told of each; those with few beings are counted in their parents'."""
        clades, numbers = self._clades, column["number"]
        as_one = counted_in(clades.parents, np.bincount(numbers, minlength=len(clades)), least)
        kept = np.flatnonzero(as_one == np.arange(len(clades)))  # parents before what split off from them
        at = _rows_of(column["id"], clades.founders[kept])
        new = np.full(len(clades) + 1, -1, np.int32)
        new[kept] = np.arange(len(kept))
        parents = clades.parents[kept]
        numbers, above = new[as_one[numbers]], np.where(parents < 0, -1, new[as_one[parents]])
        count = len(kept)
        last = np.zeros(count, np.int64)
        np.maximum.at(last, numbers, column["tick"])
        genomes = [clades.genome(clade) for clade in kept.tolist()]
        markers = np.full((count, MARKERS), -1000, np.int16)
        for clade, genome in enumerate(genomes):
            marker = _FIRST_MARKER.get(len(genome))
            if marker is not None:
                markers[clade] = genome[marker : marker + MARKERS]
        away = [apart(genomes[one], genomes[up]) if up >= 0 else 0.0 for one, up in enumerate(above.tolist())]
        return numbers, CladeTable(
            above,
            clades.founders[kept],
            column["species"][at],
            column["tick"][at],
            last,
            np.bincount(numbers[column["born"]], minlength=count),
            np.bincount(numbers[living], minlength=count),
            markers,
            np.array(away, np.float64),
        )


def _rows_of(ids: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """The rows that these ids have, -1 where one has none: `int64[n]`."""
    sorter = np.argsort(ids)
    at = sorter[np.minimum(np.searchsorted(ids, wanted, sorter=sorter), len(ids) - 1)]
    return np.where(ids[at] == wanted, at, -1)


def _depths(parents: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How many ancestors each row has, and its first one. `parents`: rows, -1 for none; without circles.

    Every row steps up to where the row that it had reached has come to, so that each step doubles all that follow.
    """
    reached = np.where(parents < 0, np.arange(len(parents)), parents)
    depths = (parents >= 0).astype(np.int32)
    while (further := depths[reached]).any():
        depths = depths + further
        reached = reached[reached]
    return depths, reached


def _by_depth(parents: np.ndarray) -> list[np.ndarray]:
    """Rows in groups: those without parents, then their children, and so on."""
    depths, _ = _depths(parents)
    order = np.argsort(depths, kind="stable")
    return np.split(order, np.cumsum(np.bincount(depths))[:-1])
