"""The two halves of a world, left and right along x: who lives where, and how far they have drifted apart."""

import numpy as np

from umwelt.agents.description import WorldFile
from umwelt.agents.genome import MARKER_A, MARKER_C, P_MARKER_A, P_MARKER_C
from umwelt.agents.measures.census import species_rows
from umwelt.sandbox.region import Region


def halves(world: WorldFile, region: Region) -> dict[str, float]:
    """Of each species the living in both halves, `.left` and `.right`, and `.apart`: how much their markers differ.

    `.apart` is the distance of both halves' means, over the three neutral markers, in genes' units; it is not told
    where one half is empty.
    """
    found: dict[str, float] = {}
    for name, first, last in (("plants", P_MARKER_A, P_MARKER_C), ("monsters", MARKER_A, MARKER_C)):
        table = region.tables[name]
        columns = region.global_cells(name, np.arange(table.count)) % region.torus.width
        for species, rows in species_rows(world, region, name).items():
            is_left = columns[rows] < region.torus.width // 2
            markers = table["genome"][rows, first : last + 1].astype(np.float64)
            left, right = markers[is_left], markers[~is_left]
            found |= {f"{species}.left": len(left), f"{species}.right": len(right)}
            if len(left) and len(right):
                found[f"{species}.apart"] = float(np.sqrt(((left.mean(axis=0) - right.mean(axis=0)) ** 2).sum()))
    return found
