"""What is measured of a world at a tick: numbers by name, read from its cells and beings without touching them.

A measure is a function of a world and of a region that owns the torus, just after a tick. Of one world it always tells
the same names, NaN where there is nothing to be measured: so a misspelt name is found before anything is run. The
numbers are for people: floats are welcome here, since no law ever reads them.
"""

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from numbers import Real

from umwelt.agents.measures import behaviour, bodies, census, foraging, halves, plants
from umwelt.agents.world_file import WorldFile
from umwelt.sandbox.errors import WorldFileError
from umwelt.sandbox.region import Region
from umwelt.sandbox.text import load_object, one_line, one_of

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


def find_measure(name: str, place: str = "measures") -> Measure:
    """A measure by its name, or one's own as `"package.module:function"`."""
    if ":" not in name:
        return MEASURES[one_of(name, MEASURES, place)]
    if not callable(measure := load_object(name, place)):
        raise WorldFileError(f'{place}: "{name}" is no function: name one of a world and a region')
    return measure


def measure_region(world: WorldFile, region: Region, names: Sequence[str]) -> dict[str, float]:
    """All that some measures tell of a region."""
    found: dict[str, float] = {}
    for name in names:
        found |= _by_ones_own(name, world, region) if ":" in name else MEASURES[name](world, region)
    return found


def _by_ones_own(name: str, world: WorldFile, region: Region) -> dict[str, float]:
    """What a measure tells that is not ours; whatever is wrong with it is said in one line."""
    place = f'measures: "{name}"'
    try:
        told = find_measure(name)(world, region)
    except Exception as error:  # anything may happen in it
        line = f"{place} fails at tick {region.tick}: {type(error).__name__}: {error}: mend it"
        raise WorldFileError(one_line(line)) from None
    if not isinstance(told, Mapping):
        raise WorldFileError(f"{place} tells {type(told).__name__}: let it tell numbers by name")
    for column, value in told.items():
        if not isinstance(column, str) or column == "tick" or not isinstance(value, Real):
            line = f"{place} tells {column!r} = {value!r}: let it tell numbers by name, none called tick"
            raise WorldFileError(one_line(line))
    return {column: float(value) for column, value in told.items()}


def measure_source(name: str) -> str:
    """The text of a measure of one's own: where it has changed, results are of another. Nothing of one of ours."""
    if ":" not in name:
        return ""
    try:
        return inspect.getsource(find_measure(name))
    except (OSError, TypeError):
        return ""


def without_nan(found: Mapping[str, float]) -> dict[str, float]:
    """Without what is NaN."""
    return {name: value for name, value in found.items() if not math.isnan(value)}
