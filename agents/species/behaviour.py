"""Behaviours: functions from the stimuli of a species' monsters to their drives, and a check that they are pure.

Stimuli are numbers that a monster senses; drives are numbers that say how strongly it does something, such as turn.

A pure behaviour computes the drives of a monster only from its own stimuli, columns and random numbers.

The behaviour of a species is the default net, a HOCL program (`hocl_behaviour.py`), or a Python class
(`python_behaviour.py`). `references.py` creates behaviours from the references in a world file.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from umwelt.sandbox.errors import SpeciesError
from umwelt.sandbox.region import Region

BATCH_GROWTH = 8
"""The factor between the numbers of batches into which a `CheckedBehaviour` divides the rows: 2, 16, 128 and so on."""


class Behaviour(Protocol):
    """Interface of behaviours: `respond` computes drives from stimuli, in place in the table of monsters."""

    name: str
    """The name of the species, used in error messages."""
    columns: tuple[str, ...]
    """The names of the columns that `respond` writes, apart from `drives`."""
    is_vectorised: bool
    """Whether the species' code is called once for all rows, with arrays, rather than once per row."""

    def respond(self, region: Region, rows: np.ndarray) -> None:
        """Writes `drives` and the `columns` of the region's monsters at `rows` (`int64[n]`)."""


@dataclass
class Behaviours:
    """The behaviours of all species of a world.

    `has_net` is `int8[species]`: 1 for a species that uses the default net, otherwise 0. `own` maps the index of every
    species that does not use the default net to its behaviour.
    """

    has_net: np.ndarray
    own: dict[int, Behaviour] = field(default_factory=dict)


class CheckedBehaviour:
    """A behaviour that checks another: it repeats each call in other orders and batches and compares the results.

    All calls are made within one tick. State that is kept outside the columns and changes only between ticks is
    therefore not detected; it causes different results when a run is resumed or computed by several nodes.
    """

    def __init__(self, behaviour: Behaviour):
        self.behaviour, self.name, self.columns = behaviour, behaviour.name, behaviour.columns
        self.is_vectorised = behaviour.is_vectorised

    def respond(self, region: Region, rows: np.ndarray) -> None:
        """Writes the drives and columns that the wrapped behaviour computes for `rows`.

        Raises SpeciesError if repeated calls with the same stimuli and columns give different results.
        """
        table = region.tables["monsters"]
        before = {name: table[name][rows] for name in self.columns}

        def answer(batches: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
            """Restores the columns, runs the behaviour for each batch, and returns the columns and drives of `rows`."""
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
        """Yields pairs: the batches of rows for one repetition, and the error text if its results differ."""
        yield [rows], "differ when computed again: keep state in columns, and take random numbers from dice alone"
        yield [shuffled], "differ in another order of beings: let the drives of a being depend on that being alone"
        advice = "differ {}: let the drives of a being depend on that being, not on the others of its batch"
        if self.is_vectorised:
            # every being twice: detects a dependence on the batch even if there is only one being
            yield [np.concatenate([rows, rows])], advice.format("in a batch twice as large")
        batch_count = 2
        while batch_count < len(rows):
            yield np.array_split(shuffled, batch_count), advice.format(f"in {batch_count} batches")
            batch_count *= BATCH_GROWTH
        yield [rows[index : index + 1] for index in range(len(rows))], advice.format("one at a time")


def set_checking(region: Region, enabled: bool = True) -> None:
    """Wraps the non-net behaviours of `region` in `CheckedBehaviour` (slow), or unwraps them if not `enabled`."""
    behaviours = region.derived.get("behaviours")
    if not isinstance(behaviours, Behaviours):
        return
    for species, behaviour in behaviours.own.items():
        unchecked = behaviour.behaviour if isinstance(behaviour, CheckedBehaviour) else behaviour
        behaviours.own[species] = CheckedBehaviour(unchecked) if enabled else unchecked
