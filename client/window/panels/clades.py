"""The tree of life in the window: the clade of each being, and the births of each clade over time.

A clade is a group of beings that descend from one being, its founder. A child belongs to its parent's clade while its
neutral markers (three genes without effect) are near those of the clade's founder. If a marker differs by more than
`DRIFT`, the child belongs to a clade that splits off there. On neutral mutations as a clock of descent, see Kimura,
"Evolutionary Rate at the Molecular Level", Nature 217, 1968. Where whole genomes are available,
`client/lineage/clades.py` uses them instead.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from umwelt.client.lineage.clades import IdIndex, clade_hue, lay_out_rows

DRIFT = 24
"""The difference of a marker gene from the founder's beyond which a new clade begins."""
BINS = 96
"""The number of intervals of time in which births are counted."""
MAX_CLADES = 4000
"""The number of clades beyond which no clade splits off."""


@dataclass
class Clade:
    """A clade; its number is its index in `Clades.clades`.

    `parent` is the number of the clade that it split off from, -1 if its parents are not known, as for the first beings
    of the run. `tick` is the tick of its first birth, `last_tick` that of its latest, `births` their number. `markers`
    are the marker genes of its founder; `hue` is the hue of its colour, from 0 to 1.
    """

    species: int | str
    parent: int
    tick: int
    markers: tuple[int, int, int]
    hue: float
    births: int = 0
    last_tick: int = 0


class Clades:
    """The clades of one run. `add` takes births in order of tick, a page (many births) at a time."""

    def __init__(self) -> None:
        self.clades: list[Clade] = []
        self.known = IdIndex()
        """A map from the ids of all beings whose births were added to the numbers of their clades."""
        self.first_tick, self.last_tick = 0, 0
        self.bin_ticks = 8
        self._counts = np.zeros((16, BINS), np.int32)
        self._founders = np.zeros((16, 3), np.int16)
        """The marker genes of the founder of each clade: `int16[clade, marker]`."""
        self._children: dict[tuple[Any, int], list[int]] = {}
        """The numbers of the clades that split off from a clade, by (species, number of that clade).

        Those that split off from none have the key (species, -1).
        """

    def __len__(self) -> int:
        return len(self.known)

    @property
    def counts(self) -> np.ndarray:
        """Births by clade and time, `int32[clade, bin]`; bins are `bin_ticks` long, from `first_tick` on."""
        return self._counts[: len(self.clades)]

    def of(self, ids: np.ndarray) -> np.ndarray:
        """Returns the number of each being's clade, `int32[n]`, by its id; -1 if the being's birth was not added."""
        return self.known.find(np.asarray(ids, np.int64))

    def add(self, page: Mapping[str, Any]) -> int:
        """Adds births and returns how many of them were new.

        `page` has arrays with one entry per birth: id, parent_id, tick, species, marker_a, marker_b, marker_c.
        """
        ids = np.asarray(page["id"], np.int64)
        if not len(ids):
            return 0
        _, first = np.unique(ids, return_index=True)
        new = np.sort(first)
        new = new[self.known.find(ids[new]) < 0]
        if not len(new):
            return 0
        ids, parents = ids[new], np.asarray(page["parent_id"], np.int64)[new]
        ticks, species = np.asarray(page["tick"], np.int64)[new], np.asarray(page["species"])[new]
        markers = np.stack([np.asarray(page[f"marker_{letter}"], np.int16)[new] for letter in "abc"], axis=1)
        if not self.clades:
            self.first_tick = int(ticks.min())
        numbers = self._numbers(ids, parents, ticks, species, markers)
        self.known.add(ids, numbers)
        self._count(numbers, ticks)
        return len(ids)

    def _numbers(
        self, ids: np.ndarray, parents: np.ndarray, ticks: np.ndarray, species: np.ndarray, markers: np.ndarray
    ) -> np.ndarray:
        """Returns the number of each newborn's clade, `int32[n]`; creates clades that are needed.

        Parents that are in the same page are processed before their children.
        """
        numbers = np.full(len(ids), -1, np.int32)
        order = np.argsort(ids)
        at = np.minimum(np.searchsorted(ids, parents, sorter=order), len(ids) - 1)
        within = np.where(ids[order[at]] == parents, order[at], -1)
        within[within == np.arange(len(ids))] = -1
        earlier = self.known.find(parents)
        waiting = np.arange(len(ids))
        while len(waiting):
            own = within[waiting]
            ready = (own < 0) | (numbers[own] >= 0)
            if not ready.any():
                ready[:] = True  # circular parents: the page is invalid
            now = waiting[ready]
            parent_clade = np.where(within[now] >= 0, numbers[within[now]], earlier[now])
            numbers[now] = self._place(parent_clade, ticks[now], species[now], markers[now])
            waiting = waiting[~ready]
        return numbers

    def _place(
        self, parent_clade: np.ndarray, ticks: np.ndarray, species: np.ndarray, markers: np.ndarray
    ) -> np.ndarray:
        """Returns the number of each newborn's clade, `int32[n]`, given that of its parent (-1 if it is not known).

        It is the parent's clade if the markers are near its founder's, else that of `_branch`.
        """
        numbers = parent_clade.copy()
        stray = parent_clade < 0
        if self.clades:
            drift = np.abs(markers - self._founders[np.maximum(parent_clade, 0)])
            stray |= drift.max(axis=1) > DRIFT
        for at in np.flatnonzero(stray).tolist():
            first, second, third = markers[at].tolist()
            kind = species[at : at + 1].tolist()[0]
            numbers[at] = self._branch(int(parent_clade[at]), kind, (first, second, third), int(ticks[at]))
        return numbers

    def _branch(self, parent: int, species: int | str, markers: tuple[int, int, int], tick: int) -> int:
        """Returns the number of the clade that split off from `parent` and has about these markers; else creates one.

        If there are already `MAX_CLADES` clades, returns `parent` instead of creating one, unless `parent` is -1.
        """
        branches = self._children.setdefault((species, parent), [])
        for number in branches:
            if max(abs(a - b) for a, b in zip(markers, self.clades[number].markers, strict=True)) <= DRIFT:
                return number
        if len(self.clades) >= MAX_CLADES and parent >= 0:
            return parent
        number = len(self.clades)
        self.clades.append(Clade(species, parent, tick, markers, clade_hue(number)))
        branches.append(number)
        if number >= len(self._counts):
            self._counts = np.concatenate([self._counts, np.zeros_like(self._counts)])
            self._founders = np.concatenate([self._founders, np.zeros_like(self._founders)])
        self._founders[number] = markers
        return number

    def _count(self, numbers: np.ndarray, ticks: np.ndarray) -> None:
        """Counts births, given the number of the clade and the tick of each; doubles `bin_ticks` until all fit."""
        self.last_tick = max(self.last_tick, int(ticks.max()))
        while (self.last_tick - self.first_tick) // self.bin_ticks >= BINS:
            pairs = self._counts[:, 0::2] + self._counts[:, 1::2]
            self._counts = np.concatenate([pairs, np.zeros_like(pairs)], axis=1)
            self.bin_ticks *= 2
        bins = np.clip((ticks - self.first_tick) // self.bin_ticks, 0, BINS - 1)
        flat = np.bincount(numbers * np.int64(BINS) + bins, minlength=len(self.clades) * BINS)
        self._counts[: len(self.clades)] += flat.reshape(-1, BINS).astype(np.int32)
        for number, count in enumerate(np.bincount(numbers, minlength=len(self.clades)).tolist()):
            if count:
                self.clades[number].births += count
        last = np.zeros(len(self.clades), np.int64)
        np.maximum.at(last, numbers, ticks)
        for number in np.flatnonzero(last).tolist():
            self.clades[number].last_tick = max(self.clades[number].last_tick, int(last[number]))

    def rows(self, max_count: int) -> tuple[list[int], np.ndarray]:
        """Returns the numbers of the clades that have a row, from the top row down, and the row of every clade.

        The `max_count` clades with the most births have a row, and those without a parent. The births of any other
        clade are counted in the row of its nearest ancestor that has one. The second result is `int32[clade]`.
        """
        if not self.clades:
            return [], np.empty(0, np.int32)
        births = np.array([clade.births for clade in self.clades])
        strongest = set(np.argsort(-births, kind="stable")[:max_count].tolist())
        return lay_out_rows(
            [clade.parent for clade in self.clades], [clade.species for clade in self.clades], strongest
        )

    def row_counts(self, order: list[int], row_of: np.ndarray) -> np.ndarray:
        """Returns the births by row and time, `int64[row, bin]`; the arguments are the results of `rows`."""
        counts = np.zeros((len(order), BINS), np.int64)
        np.add.at(counts, row_of, self.counts)
        return counts
