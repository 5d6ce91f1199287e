"""Clades, the branches of the tree of life: who belongs to which, and in which order they are drawn. Pure.

A child belongs to its parent's clade until its genome is further than `DRIFT` from that of the clade's founder; then it
founds a clade that split off there. So a clade and all that split off from it are one branch, cut off by one cut. The
distance is the mean difference of genes as a share of what they range over: Gower, "A General Coefficient of Similarity
and Some of Its Properties", Biometrics 27, 1971. Most branches end soon: one that left fewer than `MIN_BEINGS` counts
in the clade that it split off from.

The window is told three genes of each birth only, and tells clades apart by them alone (`window/panels/clades.py`).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from umwelt.client.pictures.scene import GOLDEN

GENE_RANGE = 255
DRIFT = 0.001
MIN_BEINGS = 12
WIDEST, THINNEST = 0.46, 0.09
"""Half the width of spindles, in rows; the thinnest as a share of the widest."""
BEGIN = "begin a world with umwelt launch ... --set births=true"
NO_BIRTHS = f"no births are journalled: {BEGIN}"


def clade_hue(number: int) -> float:
    """The hue (turns) of a clade by its number."""
    return (0.43 + GOLDEN * number) % 1.0


class Known:
    """Numbers of many ids, `int64 -> int32`, in sorted runs that are merged as they grow."""

    def __init__(self) -> None:
        self._runs: list[tuple[np.ndarray, np.ndarray]] = []

    def __len__(self) -> int:
        return sum(len(ids) for ids, _ in self._runs)

    def add(self, ids: np.ndarray, numbers: np.ndarray) -> None:
        """Take in ids that are not known yet."""
        order = np.argsort(ids, kind="stable")
        run = ids[order].astype(np.int64), numbers[order].astype(np.int32)
        while self._runs and len(self._runs[-1][0]) <= 2 * len(run[0]):
            before = self._runs.pop()
            ids, numbers = np.concatenate([before[0], run[0]]), np.concatenate([before[1], run[1]])
            order = np.argsort(ids, kind="stable")  # a merge of two sorted runs, for a stable sort
            run = ids[order], numbers[order]
        if len(run[0]):
            self._runs.append(run)

    def find(self, ids: np.ndarray) -> np.ndarray:
        """The numbers of ids, -1 where one is not known."""
        found = np.full(len(ids), -1, np.int32)
        for keys, numbers in self._runs:
            at = np.minimum(np.searchsorted(keys, ids), len(keys) - 1)
            found = np.where(keys[at] == ids, numbers[at], found)
        return found


# --- clades by whole genomes


class Growing:
    """An array that rows are added to."""

    def __init__(self, dtype: Any, *shape: int):
        self._rows = np.empty((16, *shape), dtype)
        self.count = 0

    @property
    def rows(self) -> np.ndarray:
        """What was added, a view."""
        return self._rows[: self.count]

    def add(self, rows: np.ndarray) -> np.ndarray:
        """Add rows; gives their numbers, `int32`."""
        first, self.count = self.count, self.count + len(rows)
        if self.count > len(self._rows):
            longer = np.empty((2 * self.count, *self._rows.shape[1:]), self._rows.dtype)
            longer[:first] = self._rows[:first]
            self._rows = longer
        self._rows[first : self.count] = rows
        return np.arange(first, self.count, dtype=np.int32)


class GenomeClades:
    """Clades by whole genomes; those who have no genes are of one clade with all of their species.

    Clades are numbered as they are found, parents before what split off from them. If those placed later did not begin
    before those placed sooner, none began before its parent.
    """

    def __init__(self, drift: float = DRIFT):
        self._drift = drift
        self._parents, self._founders = Growing(np.int32), Growing(np.int64)
        self._gene_counts, self._places = Growing(np.int32), Growing(np.int32)
        self._genomes: dict[int, Growing] = {}
        """Of founders, by the number of their genes; `_places` says where."""
        self._roots: dict[tuple[int, int], list[int]] = {}
        """The clades of those without parents, by species and number of genes; all split off from the first."""

    def __len__(self) -> int:
        return self._parents.count

    @property
    def parents(self) -> np.ndarray:
        """The clade that each split off from, -1 for none: `int32[clade]`."""
        return self._parents.rows

    @property
    def founders(self) -> np.ndarray:
        """The id of each clade's first being: `int64[clade]`."""
        return self._founders.rows

    def genome(self, clade: int) -> np.ndarray:
        """The genome of a clade's founder: `int8[genes]`."""
        return self._genomes[int(self._gene_counts.rows[clade])].rows[self._places.rows[clade]]

    def place(
        self, parents: np.ndarray, ids: np.ndarray, ticks: np.ndarray, species: np.ndarray, genomes: np.ndarray
    ) -> np.ndarray:
        """The clades of beings of which none descends from another, by their parents' clades (-1: not known).

        `genomes: int8[n, genes]`; a parent with another number of genes is no kin. `ticks` are of their births.
        """
        gene_count = genomes.shape[1]
        kin = parents >= 0
        kin[kin] = self._gene_counts.rows[parents[kin]] == gene_count
        found = np.where(kin, parents, -1).astype(np.int32)
        strangers, children = np.flatnonzero(~kin), np.flatnonzero(kin)
        if len(children):
            theirs = self._genomes[gene_count].rows[self._places.rows[parents[children]]]
            far = children[_apart(genomes[children], theirs) > self._limit(gene_count)]
            if len(far):
                found[far] = self._found(parents[far], ids[far], genomes[far])
        if len(strangers):
            found[strangers] = self._settle(ids[strangers], ticks[strangers], species[strangers], genomes[strangers])
        return found

    def _limit(self, gene_count: int) -> float:
        return self._drift * GENE_RANGE * gene_count

    def _settle(self, ids: np.ndarray, ticks: np.ndarray, species: np.ndarray, genomes: np.ndarray) -> np.ndarray:
        """Those without known parents are of one tree with all of their species.

        Its root is the genome that most of those have who began at the first tick; who is further from it than the
        drift, and from all that are already, splits off from it. A world's founders have few genomes, so that few are
        looked at one by one.
        """
        whole = np.concatenate([np.ascontiguousarray(species, "<i4").view(np.int8).reshape(-1, 4), genomes], axis=1)
        _, firsts, which, counts = np.unique(whole, axis=0, return_index=True, return_inverse=True, return_counts=True)
        found = np.empty(len(firsts), np.int32)
        for at in np.lexsort((firsts, -counts, ticks[firsts])).tolist():
            first, gene_count = int(firsts[at]), genomes.shape[1]
            own = self._roots.setdefault((int(species[first]), gene_count), [])
            away = [int(_apart(genomes[first], self.genome(clade))) for clade in own]
            if own and min(away) <= self._limit(gene_count):
                found[at] = own[away.index(min(away))]
            else:
                only = slice(first, first + 1)
                found[at] = self._found(np.array([own[0] if own else -1]), ids[only], genomes[only])[0]
                own.append(int(found[at]))
        return found[which.ravel()]

    def _found(self, parents: np.ndarray, ids: np.ndarray, genomes: np.ndarray) -> np.ndarray:
        """A clade for each of these founders; gives their numbers."""
        gene_count = genomes.shape[1]
        self._gene_counts.add(np.full(len(ids), gene_count))
        self._places.add(self._genomes.setdefault(gene_count, Growing(np.int8, gene_count)).add(genomes))
        self._founders.add(ids)
        return self._parents.add(parents)


def _apart(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The sum of the differences of genes, `int64[n]`."""
    return np.abs(one.astype(np.int16) - other).sum(axis=-1, dtype=np.int64)


def apart(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The distance of genomes, from 0 to 1: see the page's top."""
    return _apart(one, other) / max(1, GENE_RANGE * one.shape[-1])


def counted_in(parents: np.ndarray, beings: np.ndarray, least: int = MIN_BEINGS) -> np.ndarray:
    """The clade that each counts in: itself, if it and all that split off have enough beings, else its parent's.

    `parents: int32[clade]`, smaller than their clades or -1; `beings: int[clade]`, each in its own clade alone.
    """
    whole = beings.astype(np.int64).tolist()
    above = parents.tolist()
    for number in range(len(whole) - 1, -1, -1):
        if above[number] >= 0:
            whole[above[number]] += whole[number]
    found = list(range(len(whole)))
    for number, parent in enumerate(above):
        if parent >= 0 and whole[number] < least:
            found[number] = found[parent]
    return np.array(found, np.int32)


# --- how they are drawn


def drawn_rows(parents: Sequence[int], species: Sequence[Any], chosen: set[int]) -> tuple[list[int], np.ndarray]:
    """The clades to draw, parents before what split off from them, and for each clade the row that it counts in.

    Clades that are not chosen count in their nearest ancestor that is drawn; those that split off from none are drawn.
    What split off last comes first, so that no branch crosses another.
    """
    below: dict[int, list[int]] = {}
    shown_as = np.full(len(parents), -1, np.int32)
    for number, parent in enumerate(parents):  # parents have smaller numbers
        above = int(shown_as[parent]) if parent >= 0 else -1
        if number in chosen or above < 0:
            shown_as[number] = number
            below.setdefault(above, []).append(number)
        else:
            shown_as[number] = above
    order: list[int] = []
    stack = sorted(below.get(-1, []), key=lambda number: (str(species[number]), number))[::-1]
    while stack:
        number = stack.pop()
        order.append(number)
        stack += below.get(number, [])
    row = {number: at for at, number in enumerate(order)}
    return order, np.array([row[int(number)] for number in shown_as], np.int32)


def spindles(counts: np.ndarray, most: np.ndarray | float | None = None) -> np.ndarray:
    """Half the widths of spindles in rows, `float64[row, bin]`, from births: their area grows with births.

    `most` births make the widest; without it, the most that there are.
    """
    padded = np.pad(counts.astype(np.float64), ((0, 0), (1, 1)), mode="edge")
    smooth = 0.25 * padded[:, :-2] + 0.5 * padded[:, 1:-1] + 0.25 * padded[:, 2:]
    widths = np.sqrt(smooth / np.maximum(1.0, smooth.max(initial=0.0) if most is None else most))
    widths[smooth > 0] = np.maximum(widths[smooth > 0], THINNEST)
    return widths * WIDEST
