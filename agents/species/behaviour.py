"""Behaviours: what turns the stimuli of a species' monsters into drives, and the check of their honesty.

A species behaves by the default net, by a HOCL program (`hocl_behaviour.py`), or by a class of its own
(`python_behaviour.py`). `references.py` makes behaviours from what a world file names.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from umwelt.sandbox.errors import SpeciesError
from umwelt.sandbox.region import Region

BATCH_GROWTH = 8
"""The check splits the rows into 2 batches, then into this many times more, and so on."""


class Behaviour(Protocol):
    """Turns the stimuli of some monsters into drives, in place."""

    name: str
    """The name of the species, for errors."""
    columns: tuple[str, ...]
    """The columns that it writes, beside `drives`."""
    is_vectorised: bool
    """Whether the species' own code receives all rows of a call at once, as arrays."""

    def respond(self, region: Region, rows: np.ndarray) -> None:
        """Sets `drives` and the behaviour's own columns of the given rows (`int64[n]`) of the region's monsters."""


@dataclass
class Behaviours:
    """The behaviours of a world's species.

    `has_net` is `int8[species]`, 1 for a species that behaves by the default net; `own` maps the index of every other
    species to its behaviour.
    """

    has_net: np.ndarray
    own: dict[int, Behaviour] = field(default_factory=dict)


class CheckedBehaviour:
    """Wraps a behaviour: asks it again, in another order and in ever smaller batches, and compares the answers.

    All this happens within one tick, so that a memory outside the columns that changes only from tick to tick is not
    noticed. Such a memory shows when a run is resumed, or computed by several nodes.
    """

    def __init__(self, behaviour: Behaviour):
        self.behaviour, self.name, self.columns = behaviour, behaviour.name, behaviour.columns
        self.is_vectorised = behaviour.is_vectorised

    def respond(self, region: Region, rows: np.ndarray) -> None:
        """Responds as the wrapped behaviour. Raises SpeciesError if its answers differ between equal questions."""
        table = region.tables["monsters"]
        before = {name: table[name][rows] for name in self.columns}

        def answer(batches: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
            for name, values in before.items():
                table[name][rows] = values
            table["drives"][rows] = 0
            for batch in batches:
                self.behaviour.respond(region, batch)
            return {name: table[name][rows] for name in (*self.columns, "drives")}

        first = answer([rows])
        shuffled = np.random.default_rng(region.tick).permutation(rows)
        for batches, reason in self._variants(rows, shuffled):
            again = answer(batches)
            for name, values in first.items():
                different = np.flatnonzero((values != again[name]).reshape(len(rows), -1).any(axis=1))
                if len(different):
                    identity = int(table["id"][rows[different[0]]])
                    raise SpeciesError(
                        f"species {self.name}: at tick {region.tick} the {name} of {len(different)} of {len(rows)} "
                        f"beings (the first is {identity}) {reason}"
                    )
        for name, values in first.items():
            table[name][rows] = values

    def _variants(self, rows: np.ndarray, shuffled: np.ndarray) -> Iterator[tuple[list[np.ndarray], str]]:
        """Yields ways to divide the rows into calls, and what a difference means."""
        yield [rows], "differ when asked again: keep state in columns, and take random numbers from dice alone"
        yield [shuffled], "differ in another order of beings: let an answer depend on its own being alone"
        advice = "differ {}: let an answer depend on its own being, not on the others of its batch"
        if self.is_vectorised:
            # the same beings twice: finds a dependence on the batch even if there is only one being
            yield [np.concatenate([rows, rows])], advice.format("in a batch twice as large")
        batch_count = 2
        while batch_count < len(rows):
            yield np.array_split(shuffled, batch_count), advice.format(f"in {batch_count} batches")
            batch_count *= BATCH_GROWTH
        yield [rows[index : index + 1] for index in range(len(rows))], advice.format("one at a time")


def set_checking(region: Region, enabled: bool = True) -> None:
    """Lets every answer of a region's species be checked from now on (slow), or no longer."""
    behaviours = region.derived.get("behaviours")
    if not isinstance(behaviours, Behaviours):
        return
    for species, behaviour in behaviours.own.items():
        unchecked = behaviour.behaviour if isinstance(behaviour, CheckedBehaviour) else behaviour
        behaviours.own[species] = CheckedBehaviour(unchecked) if enabled else unchecked
