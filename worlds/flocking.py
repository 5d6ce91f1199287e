"""The world `flocking`: Reynolds' boids with the weights of Mesa's example `boid_flockers`, as an integer law.

Each boid steers towards its neighbours, away from neighbours that are too near, and in the neighbours' direction, so
that flocks form without a leader (Reynolds, "Flocks, herds and schools: a distributed behavioral model", SIGGRAPH
1987). As in Mesa's example, these three pulls are weighted sums over the neighbours, divided by the number of
neighbours, and added to the unit vector of the boid's heading. Unlike in Mesa's example, all boids read the state
before any of them has moved, and a heading is an angle.

A boid sees up to `MAX_VISION_CELLS` cells far and moves at most one cell, so the reach, the distance in cells up to
which a result depends on other cells, is 11.

In kernels, `place` is a `Place` (sandbox/region.py), `index` the `CellIndex` of the table of boids
(sandbox/columns.py), and `boids` its record (a named tuple of columns).
"""

from collections import namedtuple
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta

from umwelt.agents.earth.laws.geometry import angle_to, cosine, sine
from umwelt.agents.earth.terrain import draws
from umwelt.agents.world_file import WorldFile
from umwelt.sandbox.columns import Column, Schema, identity
from umwelt.sandbox.dice import purpose
from umwelt.sandbox.kernel import kernel, small
from umwelt.sandbox.region import Field, Region
from umwelt.sandbox.step import Law, Laws
from umwelt.sandbox.units import (
    SINE_ONE_BITS,
    SINE_STEPS,
    SUBCELL,
    SUBCELL_BITS,
    TURN,
    arctangent_table,
    fixed_from_cells,
    rate_from_float,
    sine_table,
)

MAX_VISION_CELLS = 10
BOID = 1
SCATTER_Y = purpose("flocking.scatter_y")
SCATTER_X = purpose("flocking.scatter_x")
HEADING = purpose("flocking.heading")

DELTA_TO_UNIT_BITS = 4
"""The left shift that converts lengths in 1/1024 cell to the unit of sines, 1/16384."""
WEIGHT_BITS = 24
HALF_STEP = TURN // SINE_STEPS // 2
"""An angle that is added before a table lookup, which truncates, so that it rounds to the nearest entry."""
HALF = 1 << (SINE_ONE_BITS - 1)


class BoidSettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Settings of the boids: their number, lengths in cells (speed: per tick), and weights as in Mesa's example."""

    count: Annotated[int, Meta(ge=0, lt=1 << 30)]
    speed: Annotated[float, Meta(ge=0, le=1)] = 1.0
    vision: Annotated[float, Meta(ge=0, le=MAX_VISION_CELLS)] = 10.0
    separation: Annotated[float, Meta(ge=0, le=MAX_VISION_CELLS)] = 2.0
    cohere: Annotated[float, Meta(ge=0, le=1)] = 0.03
    separate: Annotated[float, Meta(ge=0, le=1)] = 0.015
    match: Annotated[float, Meta(ge=0, le=1)] = 0.05


class Settings(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The sections of a world file that these laws read."""

    boids: BoidSettings


Rules = namedtuple("Rules", ["speed", "vision", "separation", "cohere", "separate", "match"])
"""The settings as integers: lengths in 1/1024 cell, weights in 2^-24."""

BOIDS = Schema(
    "boids",
    BOID,
    (
        Column("species", "int16", unit="index among the world's species", inherited=True, fixed=True),
        Column("heading", "int32", unit="1/65536 turn, clockwise from x"),
    ),
    __name__,
)


@small
def round_quotient(value, divisor):
    """Returns `value / divisor` rounded to the nearest integer; floor division would bias headings to one side."""
    return (2 * value + divisor) // (2 * divisor)


@small
def unit_y(sine_table, angle):
    """Returns the y component of the unit vector of an angle, in 1/16384."""
    return sine(sine_table, angle + HALF_STEP)


@small
def unit_x(sine_table, angle):
    """Returns the x component of the unit vector of an angle, in 1/16384."""
    return cosine(sine_table, angle + HALF_STEP)


@small
def pull(rules, together, apart, along):
    """Returns the weighted sum of the three pulls along an axis, in units of 2^-38.

    `together` is the sum of the offsets of all neighbours, `apart` the sum of the offsets of those that are too near,
    and `along` the sum of the unit vectors of the neighbours' headings.
    """
    near = rules.cohere * together - rules.separate * apart
    return (near << DELTA_TO_UNIT_BITS) + rules.match * along


@kernel
def steer(y_low, y_high, place, index, boids, rules, sine_table, arctangent, heading):
    """Writes the new heading of each boid to `heading[row]`, computed from its neighbours' positions and headings."""
    cells = (rules.vision + SUBCELL - 1) >> SUBCELL_BITS
    for y in range(y_low, y_high):
        for k in range(index.start[y * place.width + place.x_low], index.start[y * place.width + place.x_high]):
            row = index.rows[k]
            x = boids.x_fixed[row] >> SUBCELL_BITS
            count = np.int64(0)
            together_y, together_x, apart_y, apart_x = np.int64(0), np.int64(0), np.int64(0), np.int64(0)
            along_y, along_x = np.int64(0), np.int64(0)
            left, right = max(x - cells, 0), min(x + cells, place.width - 1)
            for ny in range(max(y - cells, 0), min(y + cells + 1, place.height)):
                line = ny * place.width
                for n in range(index.start[line + left], index.start[line + right + 1]):
                    other = index.rows[n]
                    dy = np.int64(boids.y_fixed[other]) - boids.y_fixed[row]
                    dx = np.int64(boids.x_fixed[other]) - boids.x_fixed[row]
                    square = dy * dy + dx * dx
                    if other == row or square > rules.vision * rules.vision:
                        continue
                    count += 1
                    together_y, together_x = together_y + dy, together_x + dx
                    if square < rules.separation * rules.separation:
                        apart_y, apart_x = apart_y + dy, apart_x + dx
                    along_y += unit_y(sine_table, np.int64(boids.heading[other]))
                    along_x += unit_x(sine_table, np.int64(boids.heading[other]))
            own = np.int64(boids.heading[row])
            heading[row] = own
            if count == 0:
                continue
            # weights of 24 bits times sums of lengths stay below 2^63 for a million neighbours
            share = count << WEIGHT_BITS
            own_y, own_x = unit_y(sine_table, own), unit_x(sine_table, own)
            turned_y = own_y + round_quotient(pull(rules, together_y, apart_y, along_y), share)
            turned_x = own_x + round_quotient(pull(rules, together_x, apart_x, along_x), share)
            # the angle between the old and the new vector, so that rounding never turns a boid without a pull
            across, onward = own_x * turned_y - own_y * turned_x, own_x * turned_x + own_y * turned_y
            heading[row] = (own + angle_to(arctangent, across, onward)) & (TURN - 1)


@kernel
def fly(y_low, y_high, place, index, boids, rules, sine_table, heading):
    """Sets the heading of each boid to `heading[row]`, and moves the boid."""
    for y in range(y_low, y_high):
        for k in range(index.start[y * place.width + place.x_low], index.start[y * place.width + place.x_high]):
            row = index.rows[k]
            angle = np.int64(heading[row])
            boids.heading[row] = angle
            boids.y_fixed[row] += (unit_y(sine_table, angle) * rules.speed + HALF) >> SINE_ONE_BITS
            boids.x_fixed[row] += (unit_x(sine_table, angle) * rules.speed + HALF) >> SINE_ONE_BITS


def flock(region: Region) -> None:
    """Runs the law: computes all headings, then moves all boids."""
    boids, index = region.tables["boids"], region.index("boids")
    rules, sines = Rules(*region.constants["rules"].tolist()), region.constants["sine"]
    heading = np.empty(boids.count, np.int32)
    region.run(steer, index, boids.record(), rules, sines, region.constants["arctangent"], heading, grown=1)
    region.run(fly, index, boids.record(), rules, sines, heading, grown=1)
    region.reindex("boids")


def layout(world: WorldFile) -> tuple[tuple[Field, ...], list[Schema]]:
    """Returns the fields (none) and the table of boids."""
    return (), [BOIDS]


def rules_from(settings: Settings) -> Rules:
    """Returns the settings as integers."""
    boids = settings.boids
    lengths = [fixed_from_cells(length) for length in (boids.speed, boids.vision, boids.separation)]
    return Rules(*lengths, *[rate_from_float(weight) for weight in (boids.cohere, boids.separate, boids.match)])


def genesis(world: WorldFile, region: Region) -> None:
    """Places boids at random positions with random headings."""
    region.constants = {
        "rules": np.array(rules_from(world.settings), np.int64),
        "sine": sine_table(),
        "arctangent": arctangent_table(),
    }
    ids = identity(BOID, 0, np.arange(world.settings.boids.count), by_hand=True)
    region.tables["boids"].append(
        len(ids),
        {
            "id": ids,
            "y_fixed": draws(ids, region.seed, SCATTER_Y) % (region.torus.height * SUBCELL),
            "x_fixed": draws(ids, region.seed, SCATTER_X) % (region.torus.width * SUBCELL),
            "heading": draws(ids, region.seed, HEADING) % TURN,
        },
    )


def species(world: WorldFile) -> list[str]:
    """Returns the names of the species in order of their index."""
    return ["boid"]


laws = Laws(
    name="flocking",
    order=(Law("flock", MAX_VISION_CELLS + 1, flock),),
    settings=Settings,
    layout=layout,
    genesis=genesis,
    species=species,
)
