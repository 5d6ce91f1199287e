"""Options of drawing: set by panels and keys, read by the stage."""

from dataclasses import dataclass, field

GROUND_LAYERS = ("elevation", "water", "detritus", "aroma", "musk", "alarm", "light", "rain")
"""Layers that the ground is drawn from, where a world has them."""


@dataclass
class Looks:
    """The drawing options of one session."""

    layer: str = ""
    """The layer that is drawn as a colour map; empty: the ground."""
    layer_strength: float = 0.9
    scents: bool = True
    weather: bool = True
    """Day and night, rain, wind."""
    nodes: bool = False
    """The borders of the nodes' shards, and their loads."""
    lineages: bool = False
    """Whether beings are coloured by clade."""
    senses: bool = True
    """What the selected being senses: antennae, sight, the other body that it sees."""
    bloom: float = 1.0
    selected: int = 0
    """The id of the selected being; 0: none."""
    highlighted: frozenset[int] = field(default_factory=frozenset)
    """The ids of marked beings: those of the clade that was clicked in the lineage panel."""
    clade_hues: dict[int, float] = field(default_factory=dict)
    """By being, the hue of its clade from 0 to 1; used while `lineages` is set."""
