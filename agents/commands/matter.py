"""Types for the bounds of how many molecules a command adds to a world or removes from it."""

from collections.abc import Mapping
from typing import Protocol

from umwelt.sandbox.region import Torus

UNKNOWN_COUNT = 1 << 80
"""The bound of an amount that cannot be computed from the command: more molecules than any world contains."""

MatterChange = dict[str, tuple[int, int]]
"""The bounds of a command's change of each substance in molecules: `(minimum, maximum)` by name."""


class MatterBounds(Protocol):
    """The properties of a world from which a command computes its `MatterChange`."""

    torus: Torus

    @property
    def content(self) -> Mapping[str, Mapping[str, int]]:
        """The atoms of each element in a molecule of each substance."""

    def pour_bounds(self, substance: str, count: int, cells: int) -> tuple[int, int]:
        """Returns the minimum and maximum molecules added in total if `count` are poured into each of `cells` cells."""
