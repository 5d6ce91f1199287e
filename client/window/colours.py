"""The colours of species: the same in panels, of dots and densities, and of bodies whose genes tell none. Pure."""

import zlib
from functools import cache
from typing import Any

import numpy as np

from umwelt.client.scene import hsv, leaf_hue, species_hue

Tint = tuple[float, float, float]


def plant_tables(known: Any) -> frozenset[str]:
    """The tables whose beings grow: they have stages."""
    return frozenset(name for name, looks in known.looks.items() if "stage" in looks)


def body_hues(species: np.ndarray, hue_gene: np.ndarray | None, plant: bool) -> np.ndarray:
    """The hues of bodies, `float[n]` in turns: their genes' (-128 to 127), else their species'."""
    if hue_gene is None:
        return species_hue(species, plant)
    return leaf_hue(hue_gene) if plant else (hue_gene + 128) / 255


def species_colour(known: Any, table: str, species: int) -> Tint:
    """The colour of a species by its number, 0 to 1; where a world tells no species apart (-1), that of its table."""
    number = species if species >= 0 and known.species else zlib.crc32(table.encode()) % 97
    return _colour(number, table in plant_tables(known))


def named_colour(known: Any, name: str) -> Tint:
    """The same by the name of a species, or of a table."""
    number = known.species.index(name) if name in known.species else -1
    return species_colour(known, known.kinds.get(name, name), number)


@cache
def _colour(number: int, plant: bool) -> Tint:
    red, green, blue = hsv(species_hue(number, plant), *((0.55, 0.66) if plant else (0.62, 1.0))).tolist()
    return red, green, blue
