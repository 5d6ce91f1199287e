"""Earth's reactions and the mobility of its substances: the default chemistry, which a world file can change.

A rate is the fraction that reacts in a tick. Reactions in beings have the rate 1/64, because their catalysts
(`interface.BODY_CATALYSTS`) are in 1/64 molecule a tick. `sandbox/chemistry.py` defines catalysts and order.
"""

from umwelt.sandbox.chemistry import Reaction

REACTIONS = (
    # --- in cells
    Reaction("evaporation", "water -> vapour", 0.004, catalysts=("dryness", "warmth")),
    Reaction("rain", "vapour -> water", 0.2, catalysts=("glut",)),
    Reaction(
        "decay",
        "detritus + 4 oxygen -> 4 carbon_dioxide + 4 water + mineral",
        0.006,
        catalysts=("warmth", "water"),
        order={"detritus": 1, "oxygen": 0},
    ),
    Reaction(
        "rot", "sugar + oxygen -> carbon_dioxide + water", 0.02, catalysts=("warmth",), order={"sugar": 1, "oxygen": 0}
    ),
    Reaction("aroma fades", "aroma + oxygen -> carbon_dioxide + water", 0.06, order={"aroma": 1, "oxygen": 0}),
    Reaction("musk fades", "musk + oxygen -> carbon_dioxide + water", 0.012, order={"musk": 1, "oxygen": 0}),
    Reaction("alarm fades", "alarm + oxygen -> carbon_dioxide + water", 0.12, order={"alarm": 1, "oxygen": 0}),
    # --- in plants
    Reaction("photosynthesis", "carbon_dioxide + water -> sugar + oxygen", 1 / 64, "plants", ("leaf",), 0),
    Reaction("plant respiration", "sugar + oxygen -> carbon_dioxide + water", 1 / 64, "plants", ("muscle",), 0),
    Reaction("plant growth", "4 sugar + mineral -> tissue", 1 / 64, "plants", ("builder",), 0),
    Reaction("plant starvation", "tissue -> 4 sugar + mineral", 1 / 64, "plants", ("hunger",), 0),
    # --- in monsters
    Reaction(
        "digestion",
        "detritus + 2 oxygen -> 2 sugar + 2 carbon_dioxide + 2 water + mineral",
        1 / 64,
        "monsters",
        ("gut",),
        0,
    ),
    Reaction("respiration", "sugar + oxygen -> carbon_dioxide + water", 1 / 64, "monsters", ("muscle",), 0),
    Reaction("growth", "4 sugar + mineral -> tissue", 1 / 64, "monsters", ("builder",), 0),
    Reaction("starvation", "tissue -> 4 sugar + mineral", 1 / 64, "monsters", ("hunger",), 0),
)

SITES = ("cell", "plants", "monsters")
"""The places of reactions: cells, or the beings of a table."""

MOBILITY: dict[str, tuple[float, float]] = {
    "vapour": (0.40, 0.40),
    "aroma": (0.45, 0.30),
    "musk": (0.35, 0.25),
    "alarm": (0.50, 0.30),
    "oxygen": (0.60, 0.0),
    "carbon_dioxide": (0.60, 0.0),
    "mineral": (0.01, 0.0),
}
"""Mobility of substances, by name: two fractions of a cell's molecules.

The first spreads to the four neighbours in a tick; the second is carried to the next cell by a full wind.
"""
