"""Colours used both by the world view and by the panels: of species, and of the stimuli at antennae.

A table holds all beings of one kind, such as plants or monsters. `known` is the description of the world that the
window received from its server (`viewer_protocol.Welcome`).
"""

import zlib
from functools import cache
from typing import Any

import numpy as np

from umwelt.client.pictures.scene import hsv, leaf_hue, species_hue

Tint = tuple[float, float, float]
"""A colour: red, green and blue, each from 0 to 1."""

PANEL_LEAF, PANEL_LEAVES = 0.34, 0.26
"""The hue of leaves in panels, and the largest difference from it that the hue gene causes; hues are from 0 to 1."""
SENSE_COLOURS: dict[str, Tint] = {
    "light": (0.98, 0.90, 0.55),
    "water": (0.34, 0.66, 0.98),
    "plant": (0.46, 0.84, 0.46),
    "carrion": (0.75, 0.56, 0.42),
    "aroma": (0.70, 0.92, 0.45),
    "musk": (0.90, 0.55, 0.80),
    "alarm": (1.0, 0.42, 0.36),
    "heat": (0.98, 0.60, 0.36),
    "body": (0.75, 0.68, 0.95),
}
"""The colours of what antennae sense, by the name of the stimulus without the name of the antenna."""


def plant_tables(known: Any) -> frozenset[str]:
    """Returns the names of the tables that hold plants: those with a column `stage` (seed, module and so on)."""
    return frozenset(name for name, looks in known.looks.items() if "stage" in looks)


def body_hues(species: np.ndarray, hue_gene: np.ndarray | None, plant: bool) -> np.ndarray:
    """Returns the hues of bodies, `float[n]` from 0 to 1.

    `species` are the numbers of the beings' species. `hue_gene` has values from -128 to 127; if it is None, hues follow
    from the species. `plant` is whether the beings are plants, which have a narrower range of hues.
    """
    if hue_gene is None:
        return species_hue(species, plant)
    return leaf_hue(hue_gene) if plant else (hue_gene + 128) / 255


def species_colour(known: Any, table: str, species: int) -> Tint:
    """Returns the colour of a species, given by the name of its table and by its number (index in `known.species`).

    It is the body colour of the species' first beings if that is known, else a colour that follows from the number. In
    a world without species, the number is -1 and the table has a colour.
    """
    plant = table in plant_tables(known)
    if 0 <= species < len(known.species) and known.species[species] in known.hues:
        gene = np.array([known.hues[known.species[species]]])
        return _colour(float(body_hues(np.array([species]), gene, plant)[0]), plant)
    number = species if species >= 0 and known.species else zlib.crc32(table.encode()) % 97
    return _colour(float(species_hue(number, plant)), plant)


def named_colour(known: Any, name: str) -> Tint:
    """Returns the colour of a species or table by its name, for panels; plants differ more in hue than in the world."""
    number = known.species.index(name) if name in known.species else -1
    table = known.kinds.get(name, name)
    if name in known.hues and table in plant_tables(known):
        return _colour(PANEL_LEAF + known.hues[name] / 128 * PANEL_LEAVES, True)
    return species_colour(known, table, number)


@cache
def _colour(hue: float, plant: bool) -> Tint:
    """Returns the colour of a hue from 0 to 1; plants are darker and less saturated."""
    red, green, blue = hsv(np.float32(hue), *((0.55, 0.66) if plant else (0.62, 1.0))).tolist()
    return red, green, blue
