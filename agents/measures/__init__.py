"""What is measured of a world at a tick: numbers by name, read from its cells and beings without touching them.

A measure is a function of a world and of a region that owns the torus, just after a tick. Of one world it always tells
the same names, NaN where there is nothing to be measured: so a misspelt name is found before anything is run. The
numbers are for people: floats are welcome here, since no law ever reads them.
"""

import math
from collections.abc import Callable, Mapping, Sequence

from umwelt.agents.description import WorldFile, load_object, one_of
from umwelt.agents.measures import behaviour, bodies, census, foraging, halves, plants
from umwelt.sandbox.region import Region

Measure = Callable[[WorldFile, Region], dict[str, float]]

MEASURES: dict[str, Measure] = {
    "populations": census.populations,
    "descent": census.descent,
    "matter": census.matter,
    "elements": census.elements,
    "state": bodies.state,
    "traits": bodies.traits,
    "organs": bodies.organs,
    "stand": plants.stand,
    "kinds": plants.kinds,
    "behaviour": behaviour.behaviour,
    "halves": halves.halves,
    "latitudes": halves.latitudes,
    "fodder": foraging.fodder,
    "patches": foraging.patches,
}


def measure_named(name: str, place: str = "measures") -> Measure:
    """A measure by its name, or one's own as `"package.module:function"`."""
    if ":" in name:
        return load_object(name, place)
    return MEASURES[one_of(name, MEASURES, place)]


def measured(world: WorldFile, region: Region, names: Sequence[str]) -> dict[str, float]:
    """All that some measures tell of a region."""
    found: dict[str, float] = {}
    for name in names:
        found |= measure_named(name)(world, region)
    return found


def known(found: Mapping[str, float]) -> dict[str, float]:
    """Without what is NaN."""
    return {name: value for name, value in found.items() if not math.isnan(value)}
