"""Measures: numbers by name that are read from the cells and beings of a world at a tick, without changing them.

A measure is a function of a world file and of a region that owns the whole torus, just after a tick. For one world it
always returns the same names, with NaN where there is nothing to measure, so that a misspelt name is found before
anything runs. Measures may use floats: no law reads them.
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

Measure = Callable[[WorldFile, Region], Mapping[str, float]]
"""The type of a measure."""

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
"""The measures that come with Umwelt, by name."""


def find_measure(name: str, place: str = "measures") -> Measure:
    """Returns a measure by its name, or a user's own by its reference `"package.module:function"`.

    Raises WorldFileError, which begins with `place`, if there is none.
    """
    if ":" not in name:
        return MEASURES[one_of(name, MEASURES, place)]
    measure: Measure = load_object(name, place)
    if not callable(measure):
        raise WorldFileError(f'{place}: "{name}" is not a function: name a function of a world and a region')
    return measure


def measure_region(world: WorldFile, region: Region, names: Sequence[str]) -> dict[str, float]:
    """Returns the numbers of several measures together."""
    numbers: dict[str, float] = {}
    for name in names:
        numbers |= _run_user_measure(name, world, region) if ":" in name else MEASURES[name](world, region)
    return numbers


def _run_user_measure(name: str, world: WorldFile, region: Region) -> dict[str, float]:
    """Returns the numbers of a user's own measure; raises WorldFileError if it fails or returns anything else."""
    place = f'measures: "{name}"'
    try:
        numbers = find_measure(name)(world, region)
    except Exception as error:  # a user's code may raise anything
        line = f"{place} fails at tick {region.tick}: {type(error).__name__}: {error}: correct it"
        raise WorldFileError(one_line(line)) from None
    if not isinstance(numbers, Mapping):
        raise WorldFileError(f"{place} returns {type(numbers).__name__}: return a dict of numbers by name")
    for column, value in numbers.items():
        if not isinstance(column, str) or column == "tick" or not isinstance(value, Real):
            line = f'{place} returns {column!r} = {value!r}: return numbers by name, and no name "tick"'
            raise WorldFileError(one_line(line))
    return {column: float(value) for column, value in numbers.items()}


def measure_source(name: str) -> str:
    """Returns the source text of a user's own measure, to notice that it has changed; empty for the bundled ones."""
    if ":" not in name:
        return ""
    try:
        return inspect.getsource(find_measure(name))
    except (OSError, TypeError):
        return ""


def without_nan(numbers: Mapping[str, float]) -> dict[str, float]:
    """Returns the numbers that are not NaN."""
    return {name: value for name, value in numbers.items() if not math.isnan(value)}
