"""Reads the descent of all beings of a run: the parent, species and clade of each.

Founders are read from the first snapshot (the complete state of the world at a tick, saved on disk), births from the
journal (the run's record of events), and living beings from the last snapshot. A clade is a branch of the tree of life:
genetically similar descendants of one being, its founder (clades.py).

Births are read in pages. Genomes are compared with those of the clades' founders and then discarded, so a being uses
some tens of bytes regardless of the length of its genome. Arrays are processed by generation, without a loop over
beings.

phylotrackpy is not used, because it needs every birth and death in order and keeps an object for each being, while a
journal contains millions of births and no deaths. It reads the ALife data standard, which `write_phylogeny`
(lineage.py) writes.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from umwelt.agents.world_file import WorldFile
from umwelt.client.lineage.clades import (
    DRIFT,
    MIN_BEINGS,
    NO_BIRTHS,
    START_WITH_BIRTHS,
    GenomeClades,
    IdIndex,
    genetic_distance,
    merge_small_clades,
)
from umwelt.cluster import Journal, SnapshotEntry, Store, journal_error
from umwelt.sandbox.columns import KIND_BITS, PLACE_BITS, TICK_BITS
from umwelt.sandbox.errors import RunError
from umwelt.sandbox.region import Piece
from umwelt.sandbox.text import one_of
from umwelt.sandbox.units import SUBCELL_BITS

PAGE_ROWS = 20_000
"""The number of births that are read together."""
MARKER_COUNT = 3
"""The number of marker genes of a genome."""
NO_MARKER = -1000
"""Value that stands for a missing marker gene."""

OnProgress = Callable[[int, int], None]
"""Function that is called with the number of births read so far and the number of all births."""


@dataclass
class CladeTable:
    """A table of clades, parents before the clades that split off from them. All arrays have one entry per clade."""

    parents: np.ndarray
    """Index of the clade from which the clade split off; -1 for none."""
    founders: np.ndarray
    """Id of the clade's first being, its founder."""
    species: np.ndarray
    """Index into `Descent.species_names`."""
    first_ticks: np.ndarray
    last_ticks: np.ndarray
    """Tick of the clade's last birth; `first_ticks` has that of its founder."""
    births: np.ndarray
    """Number of beings of the clade that were born; founders of the world are not among them."""
    living: np.ndarray
    """Number of beings of the clade in the last snapshot."""
    markers: np.ndarray
    """Marker genes of the clade's founder, `int16[clade, 3]`; `NO_MARKER` if it has none."""
    distances: np.ndarray
    """Distance between the genomes of the clade's founder and of its parent's founder, 0 to 1; 0 without a parent."""

    def __len__(self) -> int:
        return len(self.parents)


@dataclass
class Descent:
    """All beings of a run up to its last snapshot, in order of birth. All arrays have one entry per being."""

    world: WorldFile
    last_tick: int
    species_names: list[str]
    ids: np.ndarray
    parents: np.ndarray
    """Row of the parent; -1 if there is none or it is unknown."""
    ticks: np.ndarray
    """Tick of birth; 0 for founders."""
    y: np.ndarray
    """Row of the cell of birth; `x` is the column."""
    x: np.ndarray
    species: np.ndarray
    """Index into `species_names`."""
    clades: np.ndarray
    """Index into `clade_table`."""
    generations: np.ndarray
    """Number of known ancestors."""
    born: np.ndarray
    """Whether the being was born; False for founders."""
    living: np.ndarray
    """Whether the being is in the last snapshot."""
    clade_table: CladeTable
    unknown_count: int
    """Number of living beings that are omitted, because they are neither founders nor have a birth in the journal."""

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def children_counts(self) -> np.ndarray:
        """The number of children of each being, `int64[n]`."""
        return np.bincount(self.parents[self.parents >= 0], minlength=len(self))


def read_descent(
    store: Store,
    world: WorldFile,
    species: str = "",
    drift: float = DRIFT,
    min_beings: int = MIN_BEINGS,
    on_progress: OnProgress = lambda count, total: None,
) -> Descent:
    """Returns the descent of all beings of a run, or of one species. Raises RunError if births are not recorded.

    A new clade begins at a genetic distance of more than `drift` from the clade's founder; branches with fewer than
    `min_beings` beings are merged into the clade from which they split off.
    """
    recorded = world.common.births
    if not recorded:
        raise RunError(f"{store.folder}: {NO_BIRTHS}")
    layout = world.laws.layout(world)
    tables = [recorded] if isinstance(recorded, str) else [schema.name for schema in layout[1]]
    names = list(world.laws.species(world)) if world.laws.species else tables
    if species:
        one_of(species, names, "--species")
    newest, _ = store.newest(layout)
    builder = DescentBuilder(names, tables, drift)
    for table, beings in _beings_by_table(store.load(SnapshotEntry(0, True), layout).pieces, tables):
        builder.add_founders(table, beings, species)
    last_tick = newest.manifest.tick
    journal = Journal.reading(store.journal)
    try:
        count, total = 0, journal.lineage.birth_count(species)
        for rows in journal.lineage.births_by_ticks(PAGE_ROWS, last_tick, species):
            try:
                builder.add_births(rows)
            except (ValueError, TypeError, OverflowError) as error:
                raise journal_error(journal.path, error) from None
            count += len(rows)
            on_progress(count, max(count, total))
    finally:
        journal.close()
    if not builder.count:
        what = f'"{species}"' if species else "any being"
        line = f"no birth of {what} is journalled, and there was no founder"
        raise RunError(f"{store.folder}: {line}: {START_WITH_BIRTHS}")
    living = [_select_species(beings, species, names)["id"] for _, beings in _beings_by_table(newest.pieces, tables)]
    return builder.build(world, last_tick, np.concatenate([np.empty(0, np.int64), *living]), min_beings)


def _beings_by_table(pieces: list[Piece], tables: list[str]) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """Yields pairs of a table's name and its columns, for each piece of a snapshot and each of `tables`.

    A piece has the state of one rectangle of the world, and a table the beings of one kind, such as "plants". The
    columns `y` and `x` are added: the cell of each being in the world.
    """
    for piece in pieces:
        for table in tables:
            rows = piece.tables[table]
            cells = {
                "y": (rows["y_fixed"] >> SUBCELL_BITS) + piece.rectangle.y,
                "x": (rows["x_fixed"] >> SUBCELL_BITS) + piece.rectangle.x,
            }
            yield table, {**rows, **cells}


def _select_species(beings: Mapping[str, np.ndarray], species: str, names: list[str]) -> dict[str, np.ndarray]:
    """Returns the columns of `beings`, limited to one species unless `species` is empty."""
    if not species or "species" not in beings:
        return dict(beings)
    selected = beings["species"] == names.index(species)
    return {name: array[selected] for name, array in beings.items()}


class DescentBuilder:
    """Builds a `Descent` from founders and births.

    Beings must be added in order: parents in the same call as their children or in an earlier one. `names` are the
    species of the world, `tables` the tables with recorded births, and `drift` the genetic distance beyond which a
    clade begins.
    """

    def __init__(self, names: list[str], tables: list[str], drift: float):
        self._names = list(names)
        self._unnamed = tables[0] if len(tables) == 1 else "beings"
        self._clades = GenomeClades(drift)
        self._clade_of_id = IdIndex()
        self._pages: list[dict[str, np.ndarray]] = []

    @property
    def count(self) -> int:
        """The number of beings added so far."""
        return len(self._clade_of_id)

    def add_founders(self, table: str, beings: Mapping[str, np.ndarray], species: str) -> None:
        """Adds the beings of one table in one piece of the first snapshot, limited to `species` unless it is empty.

        `beings` are the columns of the table, with the cells `y` and `x`.
        """
        if "species" not in beings:
            beings = {**beings, "species": np.full(len(beings["id"]), self._species_index(table))}
        selected = _select_species(beings, species, self._names)
        count = len(selected["id"])
        page = {name: selected[name] for name in ("id", "y", "x", "species")}
        page |= {name: np.zeros(count, np.int64) for name in ("parent_id", "tick")}
        genomes = selected["genome"] if "genome" in selected else np.empty((count, 0), np.int8)
        self._add(page, np.full(count, genomes.shape[1]), genomes.ravel(), born=False)

    def add_births(self, rows: list[tuple[Any, ...]]) -> None:
        """Adds births, given as rows of the journal: id, parent_id, tick, y, x, species, genome.

        Raises ValueError, TypeError or OverflowError for invalid rows.
        """
        import pyarrow as pa

        columns = list(zip(*rows, strict=True))
        page = {
            name: pa.array(values, pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
            for name, values in zip(("id", "parent_id", "tick", "y", "x"), columns, strict=False)
        }
        page["tick"] = (page["id"] >> PLACE_BITS) & ((1 << TICK_BITS) - 1)
        species = pa.array([self._unnamed if None in columns[5] else "", *columns[5]], pa.string())
        names = species.fill_null(self._unnamed)[1:].dictionary_encode()
        indices = np.array([self._species_index(name) for name in names.dictionary.to_pylist()], np.int64)
        page["species"] = indices[names.indices.to_numpy()]
        blobs = pa.array(columns[6], pa.binary()).fill_null(b"")
        offsets = np.frombuffer(blobs.buffers()[1], np.int32)[: len(rows) + 1]
        genes = np.frombuffer(blobs.buffers()[2] or b"", np.int8)[: offsets[-1]]
        self._add(page, np.diff(offsets), genes, born=True)

    def _species_index(self, name: str) -> int:
        """Returns the index of the species `name`, which is added if it is new."""
        if name not in self._names:
            self._names.append(name)
        return self._names.index(name)

    def _add(self, page: dict[str, np.ndarray], gene_counts: np.ndarray, genes: np.ndarray, born: bool) -> None:
        """Adds beings with the columns of `page`.

        `genes` is the concatenation of their genomes, and `gene_counts` the length of each; `born` is False for
        founders.
        """
        ids, count = page["id"], len(page["id"])
        # ids of founders and of beings that a command placed have the highest bit set: these beings have no parent
        parents = np.where(ids >> (KIND_BITS + TICK_BITS + PLACE_BITS) > 0, 0, page["parent_id"])
        if not count:
            return
        parents_within = _rows_of(ids, parents)
        parents_within[page["tick"][parents_within] >= page["tick"]] = -1
        clades, groups, place = self._clade_of_id.find(parents), [], np.empty(count, np.int64)
        for gene_count in np.unique(gene_counts).tolist():
            members = gene_counts == gene_count
            member_count = np.count_nonzero(members)
            groups.append((members, genes[np.repeat(members, gene_counts)].reshape(member_count, gene_count)))
            place[members] = np.arange(member_count)
        for generation in _split_by_depth(parents_within):
            for members, genomes in groups:
                rows = generation[members[generation]]
                above = np.where(parents_within[rows] >= 0, clades[parents_within[rows]], clades[rows])
                clades[rows] = self._clades.place(
                    above, ids[rows], page["tick"][rows], page["species"][rows], genomes[place[rows]]
                )
        self._clade_of_id.add(ids, clades)
        narrow = {"y": np.int32, "x": np.int32, "tick": np.int32, "species": np.int16}
        columns = {name: array.astype(narrow.get(name, np.int64)) for name, array in page.items()}
        self._pages.append({**columns, "parent_id": parents, "clade": clades, "born": np.full(count, born)})

    def build(self, world: WorldFile, last_tick: int, living: np.ndarray, min_beings: int = MIN_BEINGS) -> Descent:
        """Returns the descent of all beings added; `living` has the ids of the beings alive at `last_tick`.

        Discards the builder's data; the builder cannot be used again.
        """
        columns = {name: np.concatenate([page[name] for page in self._pages]) for name in self._pages[0]}
        self._pages.clear()
        order = np.lexsort((columns["id"], columns["tick"]))
        columns = {name: array[order] for name, array in columns.items()}
        ids, ticks = columns["id"], columns["tick"]
        parents = _rows_of(ids, columns["parent_id"])
        parents[(parents >= 0) & (ticks[parents] >= ticks)] = -1
        lives = np.isin(ids, living)
        clades, table = self._tabulate_clades(world, columns, lives, min_beings)
        return Descent(
            world,
            last_tick,
            self._names,
            ids,
            parents,
            ticks,
            columns["y"],
            columns["x"],
            columns["species"],
            clades,
            _depths(parents)[0],
            columns["born"],
            lives,
            table,
            int((~np.isin(living, ids)).sum()),
        )

    def _tabulate_clades(
        self, world: WorldFile, columns: Mapping[str, np.ndarray], lives: np.ndarray, min_beings: int
    ) -> tuple[np.ndarray, CladeTable]:
        """Returns the clade of each being, `int32[n]`, and the table of clades, after merging small ones into others.

        `columns` are those of all beings in order of birth, and `lives` is whether each is alive. A being's clade is
        the index in the table.
        """
        clades, numbers = self._clades, columns["clade"]
        merged = merge_small_clades(clades.parents, np.bincount(numbers, minlength=len(clades)), min_beings)
        kept = np.flatnonzero(merged == np.arange(len(clades)))  # parents before the clades that split off from them
        founder_rows = _rows_of(columns["id"], clades.founders[kept])
        new_number = np.full(len(clades) + 1, -1, np.int32)
        new_number[kept] = np.arange(len(kept))
        parents = clades.parents[kept]
        numbers = new_number[merged[numbers]]
        above = np.where(parents < 0, -1, new_number[merged[parents]])
        count = len(kept)
        last_ticks = np.zeros(count, np.int64)
        np.maximum.at(last_ticks, numbers, columns["tick"])
        genomes = [clades.genome(clade) for clade in kept.tolist()]
        distances = [
            genetic_distance(genomes[clade], genomes[parent]) if parent >= 0 else 0.0
            for clade, parent in enumerate(above.tolist())
        ]
        return numbers, CladeTable(
            above,
            clades.founders[kept],
            columns["species"][founder_rows],
            columns["tick"][founder_rows],
            last_ticks,
            np.bincount(numbers[columns["born"]], minlength=count),
            np.bincount(numbers[lives], minlength=count),
            _markers_of(world, clades.founders[kept], genomes),
            np.array(distances, np.float64),
        )


def _markers_of(world: WorldFile, ids: np.ndarray, genomes: Sequence[np.ndarray]) -> np.ndarray:
    """Returns the marker genes of `genomes`, `int16[n, 3]`; `NO_MARKER` where a genome has none.

    `ids` are the ids of the beings with these genomes; an id contains the kind of its table, which determines the
    positions of the marker genes.
    """
    markers = np.full((len(genomes), MARKER_COUNT), NO_MARKER, np.int16)
    if not world.laws.ids_name_tables:
        return markers
    positions_by_table = world.laws.markers(world)
    positions_by_kind = {
        schema.kind: list(positions_by_table[schema.name])
        for schema in world.laws.layout(world)[1]
        if schema.name in positions_by_table
    }
    kinds = (ids >> (TICK_BITS + PLACE_BITS)) & ((1 << KIND_BITS) - 1)
    for row, (kind, genome) in enumerate(zip(kinds.tolist(), genomes, strict=True)):
        positions = positions_by_kind.get(kind)
        if positions and max(positions) < len(genome):
            markers[row] = genome[positions[:MARKER_COUNT]]
    return markers


def _rows_of(ids: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Returns the position in `ids` of each id in `wanted`, -1 if it is missing: `int64[n]`."""
    sorter = np.argsort(ids)
    rows = sorter[np.minimum(np.searchsorted(ids, wanted, sorter=sorter), len(ids) - 1)]
    return np.where(ids[rows] == wanted, rows, -1)


def _depths(parents: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the number of ancestors of each row, and its earliest ancestor (the row itself if it has no parent).

    `parents` has the row of each parent, -1 for none, without cycles. Computed by pointer doubling: each step doubles
    the distance to the ancestor reached, so the number of steps is logarithmic in the depth.
    """
    reached = np.where(parents < 0, np.arange(len(parents)), parents)
    depths = (parents >= 0).astype(np.int32)
    while (further := depths[reached]).any():
        depths = depths + further
        reached = reached[reached]
    return depths, reached


def _split_by_depth(parents: np.ndarray) -> list[np.ndarray]:
    """Returns the rows grouped by number of ancestors: rows without parents first, then their children, and so on."""
    depths, _ = _depths(parents)
    order = np.argsort(depths, kind="stable")
    return np.split(order, np.cumsum(np.bincount(depths))[:-1])
