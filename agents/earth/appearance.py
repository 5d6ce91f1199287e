"""The properties of Earth's beings that viewers receive, and the marker genes by which lineages are compared.

Viewers, programs that display a world, receive it in tiles: encoded squares of cells with their beings.
"""

from collections.abc import Mapping
from typing import Any

from umwelt.agents.body.genome import PLANT_GENES, TRAIT
from umwelt.agents.body.interface import ORGANS
from umwelt.sandbox.step import Appearance, Look

MARKERS = ("marker_a", "marker_b", "marker_c")
"""Genes that affect only the kinship that monsters sense."""

_PLANT_GENES_SHOWN = ("hue", "flower_hue", "leaf", "shape", "height", "thorn", *MARKERS)
_MONSTER_GENES_SHOWN = ("hue", "shade", "pattern", "fangs", "glow", *MARKERS)
_ANCESTRY = (Look("species", "int16"), Look("generation", "int16"), Look("age_ticks", "uint16", 4))
_MATTER = (Look("tissue_count", "uint16"), Look("sugar_count", "uint16"), Look("water_count", "uint16"))

PLANT_LOOKS = (
    *_ANCESTRY,
    Look("stage", "uint8"),
    Look("stem_direction", "uint8"),
    Look("stem_id", "int64"),
    *_MATTER,
    *(Look(f"gene_{name}", "int8") for name in _PLANT_GENES_SHOWN),
)
MONSTER_LOOKS = (
    *_ANCESTRY,
    Look("heading", "uint8", 8),
    Look("speed_fixed", "uint8", 2),
    *_MATTER,
    *(Look(f"{organ}_organs", "uint8") for organ in ORGANS),
    Look("asleep", "uint8"),
    Look("eyes_shut", "uint8"),
    Look("fatigue", "uint8", 2),
    Look("pain", "uint8", 2),
    *(Look(f"gene_{name}", "int8", 0, "genome", TRAIT[name]) for name in _MONSTER_GENES_SHOWN),
)


def appearance(world: Any) -> Mapping[str, Appearance]:
    """Returns the properties of plants and monsters that tiles contain; the size of a being's dot is its tissue."""
    return {
        "plants": Appearance(PLANT_LOOKS, "tissue_count"),
        "monsters": Appearance(MONSTER_LOOKS, "tissue_count"),
    }


def markers(world: Any) -> Mapping[str, tuple[int, ...]]:
    """Returns the indices of the marker genes in the genome, for each table."""
    return {
        "plants": tuple(PLANT_GENES.index(name) for name in MARKERS),
        "monsters": tuple(TRAIT[name] for name in MARKERS),
    }
