"""What viewers see of Earth's beings: the properties that tiles show, and the genes that lineages are compared by."""

from collections.abc import Mapping
from typing import Any

from umwelt.agents.body.genome import PLANT_GENES, TRAIT
from umwelt.agents.body.interface import ORGANS
from umwelt.sandbox.step import Appearance, Look

MARKERS = ("marker_a", "marker_b", "marker_c")
"""Genes that no law reads except for kinship."""

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
    """What tiles show of plants and monsters; the size of a dot is the being's tissue."""
    return {
        "plants": Appearance(PLANT_LOOKS, "tissue_count"),
        "monsters": Appearance(MONSTER_LOOKS, "tissue_count"),
    }


def markers(world: Any) -> Mapping[str, tuple[int, ...]]:
    """The positions of the marker genes in the genomes of each table."""
    return {
        "plants": tuple(PLANT_GENES.index(name) for name in MARKERS),
        "monsters": tuple(TRAIT[name] for name in MARKERS),
    }
