"""What a command needs to know of a world's matter to say how much it adds or removes."""

from collections.abc import Mapping
from typing import Protocol

from umwelt.sandbox.region import Torus

UNKNOWN_COUNT = 1 << 80
"""More molecules than any world holds: the bound of an amount that the command alone does not tell."""

MatterChange = dict[str, tuple[int, int]]
"""By how many molecules a command changes each substance: name -> (minimum, maximum)."""


class MatterBounds(Protocol):
    """The world's size and chemistry, and how full its cells may be."""

    torus: Torus

    @property
    def content(self) -> Mapping[str, Mapping[str, int]]:
        """The atoms of each element in a molecule of each substance."""

    def pour_bounds(self, substance: str, count: int, cells: int) -> tuple[int, int]:
        """How many molecules `cells` cells take in, at least and at most, if `count` are poured into each."""
