"""Clades, the branches of the tree of life: assigns beings to clades, and lays out clades for drawing. No I/O.

A child belongs to its parent's clade unless its genome is further than `DRIFT` from that of the clade's founder; then
it founds a new clade, which splits off from the parent's. So a clade with all clades that split off from it,
directly or indirectly, is one branch of the tree. The distance is the mean difference of genes as a share of their
range: Gower, "A General Coefficient of Similarity and Some of Its Properties", Biometrics 27, 1971. Most branches end
soon, so a branch with fewer than `MIN_BEINGS` beings is merged into the clade from which it split off.

The window receives only three genes of each birth, and distinguishes clades by these (`window/panels/clades.py`).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from umwelt.client.pictures.scene import GOLDEN

GENE_RANGE = 255
"""The difference between the highest and the lowest value of a gene."""
DRIFT = 0.001
"""The genetic distance from the founder of a clade beyond which a being founds a new clade, by default."""
MIN_BEINGS = 12
"""The number of beings below which a branch is merged into the clade from which it split off, by default."""
MAX_HALF_WIDTH, MIN_HALF_SHARE = 0.46, 0.09
"""Half the width of the widest spindle, in rows; the minimum width of a spindle as a share of the widest."""
FIRST_HUE = 0.43
"""The hue of clade 0, in turns."""
START_WITH_BIRTHS = "begin a world with umwelt launch ... --set births=true"
NO_BIRTHS = f"no births are recorded: {START_WITH_BIRTHS}"


def clade_hue(number: int) -> float:
    """Returns the hue, 0 to 1 around the colour circle, of the clade with this number, counted from 0."""
    return (FIRST_HUE + GOLDEN * number) % 1.0


class IdIndex:
    """A compact map from ids to numbers, `int64 -> int32`, stored as sorted arrays that are merged as they grow."""

    def __init__(self) -> None:
        self._runs: list[tuple[np.ndarray, np.ndarray]] = []

    def __len__(self) -> int:
        return sum(len(ids) for ids, _ in self._runs)

    def add(self, ids: np.ndarray, numbers: np.ndarray) -> None:
        """Adds ids, which must not be in the map yet, and their numbers."""
        order = np.argsort(ids, kind="stable")
        run = ids[order].astype(np.int64), numbers[order].astype(np.int32)
        while self._runs and len(self._runs[-1][0]) <= 2 * len(run[0]):
            before = self._runs.pop()
            ids, numbers = np.concatenate([before[0], run[0]]), np.concatenate([before[1], run[1]])
            order = np.argsort(ids, kind="stable")  # a stable sort of two sorted runs is a merge
            run = ids[order], numbers[order]
        if len(run[0]):
            self._runs.append(run)

    def find(self, ids: np.ndarray) -> np.ndarray:
        """Returns the numbers of `ids`, -1 for ids that are not in the map."""
        numbers = np.full(len(ids), -1, np.int32)
        for run_ids, run_numbers in self._runs:
            places = np.minimum(np.searchsorted(run_ids, ids), len(run_ids) - 1)
            numbers = np.where(run_ids[places] == ids, run_numbers[places], numbers)
        return numbers


# --- clades by complete genomes


class GrowingArray:
    """An array to which rows can be appended in amortised constant time."""

    def __init__(self, dtype: Any, *shape: int):
        self._rows = np.empty((16, *shape), dtype)
        self.count = 0

    @property
    def rows(self) -> np.ndarray:
        """The rows added so far, as a view that the next `add` can invalidate."""
        return self._rows[: self.count]

    def add(self, rows: np.ndarray) -> np.ndarray:
        """Appends rows; returns their indices, `int32[n]`."""
        first, self.count = self.count, self.count + len(rows)
        if self.count > len(self._rows):
            longer = np.empty((2 * self.count, *self._rows.shape[1:]), self._rows.dtype)
            longer[:first] = self._rows[:first]
            self._rows = longer
        self._rows[first : self.count] = rows
        return np.arange(first, self.count, dtype=np.int32)


class GenomeClades:
    """The clades of a run, determined from complete genomes. Beings of a species without genes form one clade.

    Clades are numbered in the order in which `place` creates them, parents before the clades that split off from them.
    If beings are placed in order of birth, no clade begins before its parent.
    """

    def __init__(self, drift: float = DRIFT):
        self._drift = drift
        self._parents, self._founders = GrowingArray(np.int32), GrowingArray(np.int64)
        self._gene_counts, self._places = GrowingArray(np.int32), GrowingArray(np.int32)
        self._genomes: dict[int, GrowingArray] = {}
        """Genomes of the clades' founders, by number of genes; `_places` has the row of each clade."""
        self._roots: dict[tuple[int, int], list[int]] = {}
        """Clades founded by beings without known parents, by species and number of genes.

        The first of each list is the root, from which the others of the list split off.
        """

    def __len__(self) -> int:
        return self._parents.count

    @property
    def parents(self) -> np.ndarray:
        """The clade from which each clade split off, -1 for none: `int32[clade]`."""
        return self._parents.rows

    @property
    def founders(self) -> np.ndarray:
        """The id of each clade's founder: `int64[clade]`."""
        return self._founders.rows

    def genome(self, clade: int) -> np.ndarray:
        """Returns the genome of a clade's founder: `int8[genes]`."""
        return self._genomes[int(self._gene_counts.rows[clade])].rows[self._places.rows[clade]]

    def place(
        self, parents: np.ndarray, ids: np.ndarray, ticks: np.ndarray, species: np.ndarray, genomes: np.ndarray
    ) -> np.ndarray:
        """Assigns beings to clades, creating clades where needed; returns the clade of each being, `int32[n]`.

        The beings of one call must not descend from each other. `parents` has the clades of the beings' parents (-1:
        unknown); a parent with another number of genes is treated as unknown. `ticks` are the ticks of birth, and
        `genomes` is `int8[n, genes]`.
        """
        gene_count = genomes.shape[1]
        has_parent = parents >= 0
        has_parent[has_parent] = self._gene_counts.rows[parents[has_parent]] == gene_count
        clades = np.where(has_parent, parents, -1).astype(np.int32)
        orphans, children = np.flatnonzero(~has_parent), np.flatnonzero(has_parent)
        if len(children):
            founder_genomes = self._genomes[gene_count].rows[self._places.rows[parents[children]]]
            far = children[_gene_difference(genomes[children], founder_genomes) > self._max_difference(gene_count)]
            if len(far):
                clades[far] = self._found(parents[far], ids[far], genomes[far])
        if len(orphans):
            clades[orphans] = self._place_orphans(ids[orphans], ticks[orphans], species[orphans], genomes[orphans])
        return clades

    def _max_difference(self, gene_count: int) -> float:
        """Returns the sum of the differences of `gene_count` genes above which a genome is further than the drift."""
        return self._drift * GENE_RANGE * gene_count

    def _place_orphans(
        self, ids: np.ndarray, ticks: np.ndarray, species: np.ndarray, genomes: np.ndarray
    ) -> np.ndarray:
        """Returns the clades of beings without known parents; all beings of a species are in one tree.

        The root of the tree is the clade of the most common genome at the first tick. A genome that is further than the
        drift from the root and from all clades so far founds a clade that splits off from the root. Founders of a world
        have few distinct genomes, so a loop over distinct genomes is fast enough.
        """
        keys = np.concatenate([np.ascontiguousarray(species, "<i4").view(np.int8).reshape(-1, 4), genomes], axis=1)
        _, firsts, which, counts = np.unique(keys, axis=0, return_index=True, return_inverse=True, return_counts=True)
        clades = np.empty(len(firsts), np.int32)
        for number in np.lexsort((firsts, -counts, ticks[firsts])).tolist():
            first, gene_count = int(firsts[number]), genomes.shape[1]
            roots = self._roots.setdefault((int(species[first]), gene_count), [])
            differences = [int(_gene_difference(genomes[first], self.genome(clade))) for clade in roots]
            if roots and min(differences) <= self._max_difference(gene_count):
                clades[number] = roots[differences.index(min(differences))]
            else:
                only = slice(first, first + 1)
                parents = np.array([roots[0] if roots else -1])
                clades[number] = self._found(parents, ids[only], genomes[only])[0]
                roots.append(int(clades[number]))
        return clades[which.ravel()]

    def _found(self, parents: np.ndarray, ids: np.ndarray, genomes: np.ndarray) -> np.ndarray:
        """Creates a clade for each of these founders; returns the numbers of the clades, `int32[n]`.

        `parents` are the clades from which they split off, -1 for none; `ids` and `genomes` are those of the founders.
        """
        gene_count = genomes.shape[1]
        self._gene_counts.add(np.full(len(ids), gene_count))
        self._places.add(self._genomes.setdefault(gene_count, GrowingArray(np.int8, gene_count)).add(genomes))
        self._founders.add(ids)
        return self._parents.add(parents)


def _gene_difference(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Returns the sum of the absolute differences of genes, `int64[n]`."""
    return np.abs(first.astype(np.int16) - second).sum(axis=-1, dtype=np.int64)


def genetic_distance(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Returns the distance between genomes, 0 to 1: the mean difference of genes as a share of their range."""
    return _gene_difference(first, second) / max(1, GENE_RANGE * first.shape[-1])


def merge_small_clades(parents: np.ndarray, beings: np.ndarray, min_beings: int = MIN_BEINGS) -> np.ndarray:
    """Returns the clade into which each clade is merged: itself, if its branch has at least `min_beings` beings.

    A clade without a parent is merged into itself, a clade with a smaller branch into the same clade as its parent.
    `parents: int32[clade]` has the clade from which each one split off, which has a smaller number, or -1 for none;
    `beings: int[clade]` has the number of its beings, without those of clades that split off from it.
    """
    branch_sizes = beings.astype(np.int64).tolist()
    above = parents.tolist()
    for number in range(len(branch_sizes) - 1, -1, -1):
        if above[number] >= 0:
            branch_sizes[above[number]] += branch_sizes[number]
    merged = list(range(len(branch_sizes)))
    for number, parent in enumerate(above):
        if parent >= 0 and branch_sizes[number] < min_beings:
            merged[number] = merged[parent]
    return np.array(merged, np.int32)


# --- layout for drawing


def lay_out_rows(parents: Sequence[int], species: Sequence[Any], chosen: set[int]) -> tuple[list[int], np.ndarray]:
    """Returns the clades that have a row, in order from the top, and for every clade the row in which it is drawn.

    The clades in `chosen` and those without a parent have a row; any other clade is drawn in the row of its nearest
    ancestor that has one. Parents come before children. Of the children of a clade, the last to split off comes first,
    so that branches do not cross.
    """
    children: dict[int, list[int]] = {}
    shown_as = np.full(len(parents), -1, np.int32)
    for number, parent in enumerate(parents):  # parents have smaller numbers
        above = int(shown_as[parent]) if parent >= 0 else -1
        if number in chosen or above < 0:
            shown_as[number] = number
            children.setdefault(above, []).append(number)
        else:
            shown_as[number] = above
    order: list[int] = []
    stack = sorted(children.get(-1, []), key=lambda number: (str(species[number]), number))[::-1]
    while stack:
        number = stack.pop()
        order.append(number)
        stack += children.get(number, [])
    row = {number: place for place, number in enumerate(order)}
    return order, np.array([row[int(number)] for number in shown_as], np.int32)


def spindle_widths(births: np.ndarray, max_births: np.ndarray | float | None = None) -> np.ndarray:
    """Returns half the widths of spindles, in rows, for numbers of births: `float64[row, bin]`.

    A spindle is a shape along the axis of time, which is wider where more beings of a clade were born. Births are
    smoothed over neighbouring bins (intervals of time); the width is proportional to the square root of their number. A
    bin with `max_births` (default: the highest smoothed number) has the maximum width; a bin with any births has at
    least the minimum width.
    """
    padded = np.pad(births.astype(np.float64), ((0, 0), (1, 1)), mode="edge")
    smooth = 0.25 * padded[:, :-2] + 0.5 * padded[:, 1:-1] + 0.25 * padded[:, 2:]
    highest = smooth.max(initial=0.0) if max_births is None else max_births
    widths = np.sqrt(smooth / np.maximum(1.0, highest))
    widths[smooth > 0] = np.maximum(widths[smooth > 0], MIN_HALF_SHARE)
    return widths * MAX_HALF_WIDTH
