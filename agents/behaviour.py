"""How a species behaves: by the default net, or by a function of its own."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from umwelt.sandbox.columns import Column
from umwelt.sandbox.region import Region

NET = "net"


class Behaviour(Protocol):
    """Turns the stimuli of some monsters into drives, in place."""

    def respond(self, region: Region, rows: np.ndarray) -> None:
        """Set `drives` of the given rows of the region's monsters."""


@dataclass
class Behaviours:
    """The behaviours of a world's species: `has_net: int8[species]`, and those that bring their own, by index."""

    has_net: np.ndarray
    own: dict[int, Behaviour] = field(default_factory=dict)


def behaviours_for(references: Sequence[str]) -> Behaviours:
    """The behaviours that world files name, by species index."""
    return Behaviours(np.array([reference == NET for reference in references] or [True], np.int8))


def columns_for(references: Sequence[str]) -> tuple[Column, ...]:
    """The columns that the named species declare for themselves."""
    return ()
