"""Measures: functions that compute named numbers from the cells and beings of a world at a tick, without changing it.

A measure has two parameters: a world file, and a region (the arrays of cells and beings) that owns the full torus and
has just completed a tick. For the same world file it always returns the same names, with NaN for numbers that are not
defined, so that misspelt names are detected before anything runs. Measures can use floats, because no law reads their
results.
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
"""A function from a world file and a region to numbers by name."""

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
"""The bundled measures, by name."""


def find_measure(name: str, place: str = "measures") -> Measure:
    """Returns the bundled measure `name`, or the function that a reference `"package.module:function"` names.

    Raises WorldFileError, whose message begins with `place`, if it does not exist.
    """
    if ":" not in name:
        return MEASURES[one_of(name, MEASURES, place)]
    measure: Measure = load_object(name, place)
    if not callable(measure):
        raise WorldFileError(f'{place}: "{name}" is not a function: name a function of a world and a region')
    return measure


def measure_region(world: WorldFile, region: Region, names: Sequence[str]) -> dict[str, float]:
    """Computes the measures `names` of a region and returns all their numbers in one dict."""
    numbers: dict[str, float] = {}
    for name in names:
        numbers |= _run_user_measure(name, world, region) if ":" in name else MEASURES[name](world, region)
    return numbers


def _run_user_measure(name: str, world: WorldFile, region: Region) -> dict[str, float]:
    """Computes the user-defined measure with reference `name`.

    Raises WorldFileError if it raises an exception or does not return numbers by name.
    """
    place = f'measures: "{name}"'
    try:
        numbers = find_measure(name)(world, region)
    except Exception as error:  # user code can raise any exception
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
    """Returns the source text of a user-defined measure, from which changes are detected.

    Returns an empty string for bundled measures and if the source text is not available.
    """
    if ":" not in name:
        return ""
    try:
        return inspect.getsource(find_measure(name))
    except (OSError, TypeError):
        return ""


def without_nan(numbers: Mapping[str, float]) -> dict[str, float]:
    """Returns a copy of `numbers` without the entries that are NaN."""
    return {name: value for name, value in numbers.items() if not math.isnan(value)}
