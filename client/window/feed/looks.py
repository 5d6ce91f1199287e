"""How the window shows things: what the panels set and the stage reads."""

from dataclasses import dataclass, field

GROUND_LAYERS = ("elevation", "water", "detritus", "aroma", "musk", "alarm", "light", "rain")
"""Layers that the ground is drawn from, where a world has them."""


@dataclass
class Looks:
    """See the page's top."""

    layer: str = ""
    """A field shown as a colour map; none: the ground as it is."""
    layer_strength: float = 0.9
    scents: bool = True
    weather: bool = True
    """Day and night, rain, wind."""
    nodes: bool = False
    """Borders of the nodes' rectangles, and their loads."""
    lineages: bool = False
    """Bodies coloured by clade."""
    senses: bool = True
    """What the selected being senses."""
    bloom: float = 1.0
    selected: int = 0
    """The id of the being that is selected; 0: none."""
    highlighted: frozenset[int] = field(default_factory=frozenset)
    """Ids of beings that are marked: a clade that was clicked at."""
    clade_hues: dict[int, float] = field(default_factory=dict)
    """The hue of a being's clade by id, where lineages are shown."""
