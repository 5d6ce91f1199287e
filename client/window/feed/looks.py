"""Drawing options: set by panels and keys, read by the code that draws the world.

A layer is a quantity of each cell, such as water. A clade is a branch of the tree of life.
"""

from dataclasses import dataclass, field

GROUND_LAYERS = ("elevation", "water", "detritus", "aroma", "musk", "alarm", "light", "rain")
"""The layers from which the ground is drawn, if the world has them."""


@dataclass
class Looks:
    """The drawing options of one session."""

    layer: str = ""
    """The name of the layer that is drawn as a colour map; empty: the ground is drawn."""
    layer_strength: float = 0.9
    """The opacity of the colour map, from 0 to 1."""
    scents: bool = True
    """Whether scents (aroma, musk and alarm) are drawn on the ground."""
    weather: bool = True
    """Whether day and night, rain and wind are drawn."""
    nodes: bool = False
    """Whether the rectangles that nodes (processes) simulate are drawn, with the nodes' loads."""
    lineages: bool = False
    """Whether beings are coloured by clade."""
    senses: bool = True
    """Whether the selected being's senses are drawn: antennae, range of sight, and the other body that it sees."""
    bloom: float = 1.0
    """The strength of the glow around bright areas: 0 for none, 1 for the default."""
    selected: int = 0
    """The id of the selected being; 0 if there is none."""
    highlighted: frozenset[int] = field(default_factory=frozenset)
    """The ids of highlighted beings: those of the clade that was clicked in the lineage panel."""
    clade_hues: dict[int, float] = field(default_factory=dict)
    """The hue from 0 to 1 of each being's clade, by the being's id; used while `lineages` is set."""
