"""Sense: what every being meets.

Modules learn how much light falls on their leaf, and in which direction they would rather grow (reach 1). Monsters read
the cells at the tips of their antennae and look for the nearest other body within sight: reach 4.
"""

import numpy as np

from umwelt.agents.body import genome as genes
from umwelt.agents.body.interface import (
    ALARM,
    ANTENNAE,
    AROMA,
    DETRITUS,
    EYE,
    FIRST_SELF,
    MODULE,
    MUSK,
    OTHER_BEARING,
    OTHER_DISTANCE,
    OTHER_KINSHIP,
    OTHER_SIZE,
    OXYGEN,
    STORE,
    SUGAR,
    TISSUE,
    TOUCH,
    WATER,
)
from umwelt.agents.earth import parameters
from umwelt.agents.earth.laws.geometry import angle_to, cosine, sine, step_x, step_y, within
from umwelt.sandbox.dice import bits, draw, purpose
from umwelt.sandbox.kernel import kernel, small
from umwelt.sandbox.laws.weather import LIGHT, WARMTH
from umwelt.sandbox.region import Region
from umwelt.sandbox.units import ONE, TURN

BUD_TASTE = purpose("sense.bud")

SIGHT_CELLS = 4
SENSES_EACH = 9
DEEP_TASTE = -(1 << 20)
"""How deep water tastes to a module: worse by far than any ground, and half of it is too bad to bud into."""


@kernel
def cover_cells(y_low, y_high, place, index, stage, counts, cover):
    """Tissue of modules in each cell, `cover: int32[height, width]`."""
    for y in range(y_low, y_high):
        for x in range(place.x_low, place.x_high):
            cell = y * place.width + x
            total = np.int64(0)
            for k in range(index.start[cell], index.start[cell + 1]):
                if stage[index.rows[k]] == MODULE:
                    total += counts[index.rows[k], TISSUE]
            cover[y, x] = total


@small
def height_of(plants, row):
    """How high a module's leaf stands: tissue times the height it is built for."""
    return np.int64(plants.counts[row, TISSUE]) * (64 + genes.trait(plants.genome, row, genes.P_HEIGHT))


@kernel
def sense_plants(y_low, y_high, place, index, plants, environment, water, cover):
    """Write `lit` and `bud_direction` of every module."""
    for y in range(y_low, y_high):
        first = index.start[y * place.width + place.x_low]
        last = index.start[y * place.width + place.x_high]
        for k in range(first, last):
            row = index.rows[k]
            plants.bud_direction[row] = 0
            plants.lit[row] = 0
            if plants.stage[row] != MODULE:
                continue
            x = plants.x_fixed[row] >> 10
            own_height = height_of(plants, row)
            light = np.int64(environment[LIGHT, y, x])
            if water[y, x] > parameters.DROWNING_COUNT:
                light = np.int64(0)
            shade = np.int64(0)
            best, best_score = np.int64(0), np.int64(DEEP_TASTE >> 1)
            wants_bud = plants.counts[row, TISSUE] >= bud_size(plants.genome, row) and (
                plants.counts[row, SUGAR] >= parameters.BUD_SUGAR_COUNT + parameters.PLANT_SUGAR_KEPT_COUNT
            )
            for direction in range(8):
                ny, nx = y + step_y(direction), x + step_x(direction)
                if not within(place, ny, nx):
                    continue
                if cover[ny, nx] > 0:
                    cell = ny * place.width + nx
                    for j in range(index.start[cell], index.start[cell + 1]):
                        other = index.rows[j]
                        if plants.stage[other] == MODULE and height_of(plants, other) > own_height:
                            shade += np.int64(plants.counts[other, TISSUE]) * parameters.SHADE_PER_TISSUE
                elif wants_bud:
                    score = taste(plants.genome, row, place, environment, water, cover, ny, nx)
                    score += bits(draw(place.seed, place.tick, plants.id[row], BUD_TASTE, direction), 12)
                    if score > best_score:
                        best, best_score = np.int64(direction + 1), score
            plants.lit[row] = (light * max(ONE // 16, ONE - shade)) >> 10
            plants.bud_direction[row] = best


@small
def bud_size(genome, row):
    """Tissue at which a module buds."""
    return 2 * parameters.BUD_TISSUE_COUNT + (genes.trait(genome, row, genes.P_BUD_SIZE) >> 3)


@small
def taste(genome, row, place, environment, water, cover, y, x):
    """How much a module would like to grow into a cell: light, water and room, weighed by its genes."""
    score = np.int64(genome[row, genes.P_LIGHT_WEIGHT]) * environment[LIGHT, y, x] >> 3
    if water[y, x] > parameters.DROWNING_COUNT:
        return score + DEEP_TASTE
    score += np.int64(genome[row, genes.P_WATER_WEIGHT]) * min(np.int64(water[y, x]), ONE) >> 3
    room = np.int64(0)
    for direction in range(8):
        ny, nx = y + step_y(direction), x + step_x(direction)
        if within(place, ny, nx) and cover[ny, nx] == 0:
            room += 1
    return score + np.int64(genome[row, genes.P_ROOM_WEIGHT]) * room * 16


@small
def sight_of(monsters, row):
    """How far a monster sees, in 1/1024 cell; nothing with its eyes shut."""
    if monsters.eyes_shut[row] != 0:
        return np.int64(0)
    far = parameters.SIGHT_BASE_FIXED + parameters.SIGHT_PER_EYE_FIXED * np.int64(monsters.organs[row, EYE])
    return (min(far, parameters.SIGHT_MAX_FIXED) * (ONE + 256 - min(np.int64(monsters.dryness[row]), ONE))) // (
        ONE + 256
    )


@small
def kinship(genome, one, other):
    """1024 for equal markers, falling to 0 as they drift apart."""
    apart = np.int64(0)
    for gene in range(genes.MARKER_A, genes.MARKER_C + 1):
        apart += abs(np.int64(genome[one, gene]) - np.int64(genome[other, gene]))
    return max(0, ONE - apart * 8)


@kernel
def sense_monsters(y_low, y_high, place, index, monsters, sine_table, arctangent, substance, environment, cover):
    """Write the stimuli of every monster."""
    stimuli = monsters.stimuli
    for y in range(y_low, y_high):
        first = index.start[y * place.width + place.x_low]
        last = index.start[y * place.width + place.x_high]
        for k in range(first, last):
            row = index.rows[k]
            own_y, own_x = np.int64(monsters.y_fixed[row]), np.int64(monsters.x_fixed[row])
            heading = np.int64(monsters.heading[row])
            x = own_x >> 10
            for antenna in range(len(ANTENNAE)):
                angle = heading + (antenna - 1) * parameters.ANTENNA_ANGLE
                ty = (own_y + ((sine(sine_table, angle) * parameters.ANTENNA_FIXED) >> 14)) >> 10
                tx = (own_x + ((cosine(sine_table, angle) * parameters.ANTENNA_FIXED) >> 14)) >> 10
                at = antenna * SENSES_EACH
                if not within(place, ty, tx):
                    for i in range(SENSES_EACH):
                        stimuli[row, at + i] = 0
                    continue
                cell = ty * place.width + tx
                stimuli[row, at] = min(ONE, np.int64(environment[LIGHT, ty, tx]))
                stimuli[row, at + 1] = min(ONE, np.int64(substance[WATER, ty, tx]) >> 1)
                stimuli[row, at + 2] = min(ONE, np.int64(cover[ty, tx]) << 4)
                stimuli[row, at + 3] = min(ONE, np.int64(substance[DETRITUS, ty, tx]) << 3)
                stimuli[row, at + 4] = min(ONE, np.int64(substance[AROMA, ty, tx]) << 5)
                stimuli[row, at + 5] = min(ONE, np.int64(substance[MUSK, ty, tx]) << 5)
                stimuli[row, at + 6] = min(ONE, np.int64(substance[ALARM, ty, tx]) << 5)
                stimuli[row, at + 7] = min(ONE, max(-ONE, np.int64(environment[WARMTH, ty, tx]) - ONE))
                stimuli[row, at + 8] = min(ONE, np.int64(index.start[cell + 1] - index.start[cell]) << 8)
            here = y * place.width + x
            stimuli[row, TOUCH] = min(ONE, np.int64(index.start[here + 1] - index.start[here] - 1) << 9)
            look(place, index, monsters, row, y, x, sight_of(monsters, row), arctangent)
            feel(monsters, row, np.int64(environment[WARMTH, y, x]))


@small
def look(place, index, monsters, row, y, x, sight, arctangent):
    """Find the nearest other body within sight, and write where, how large and how close of kin it is."""
    stimuli = monsters.stimuli
    own_y, own_x = np.int64(monsters.y_fixed[row]), np.int64(monsters.x_fixed[row])
    nearest = np.int64(-1)
    nearest_square, nearest_id = sight * sight, np.int64(0)
    cells = (sight + 1023) >> 10
    x_first, x_last = max(x - cells, 0), min(x + cells, place.width - 1)
    for ny in range(max(y - cells, 0), min(y + cells, place.height - 1) + 1 if cells > 0 else 0):
        line = ny * place.width
        for k in range(index.start[line + x_first], index.start[line + x_last + 1]):
            other = index.rows[k]
            dy, dx = monsters.y_fixed[other] - own_y, monsters.x_fixed[other] - own_x
            square = dy * dy + dx * dx
            if square > nearest_square or monsters.id[other] == monsters.id[row]:
                continue
            # nearest first, then the smaller id, then the first in order of rows and columns of cells
            if nearest < 0 or square < nearest_square or monsters.id[other] < nearest_id:
                nearest, nearest_square, nearest_id = np.int64(other), square, monsters.id[other]
    if nearest < 0:
        stimuli[row, OTHER_BEARING] = 0
        stimuli[row, OTHER_DISTANCE] = ONE
        stimuli[row, OTHER_SIZE] = 0
        stimuli[row, OTHER_KINSHIP] = 0
        return
    dy, dx = monsters.y_fixed[nearest] - own_y, monsters.x_fixed[nearest] - own_x
    bearing = (angle_to(arctangent, dy, dx) - monsters.heading[row]) & (TURN - 1)
    if bearing > TURN // 2:
        bearing -= TURN
    stimuli[row, OTHER_BEARING] = bearing >> 5
    stimuli[row, OTHER_DISTANCE] = min(ONE, max(abs(dy), abs(dx)) * ONE // max(sight, 1))
    mine, its = np.int64(monsters.counts[row, TISSUE]), np.int64(monsters.counts[nearest, TISSUE])
    stimuli[row, OTHER_SIZE] = its * ONE // max(1, mine + its)
    stimuli[row, OTHER_KINSHIP] = kinship(monsters.genome, row, nearest)


@small
def max_sugar(monsters, row):
    """Sugar that a monster can hold."""
    return parameters.SUGAR_BASE_COUNT + parameters.SUGAR_PER_STORE_COUNT * np.int64(monsters.organs[row, STORE])


@small
def lack(count, most):
    """1024 when empty, 0 when full."""
    return max(0, ONE - count * ONE // most)


@small
def feel(monsters, row, warmth):
    """Write what a monster feels in itself."""
    stimuli = monsters.stimuli
    stimuli[row, FIRST_SELF] = lack(np.int64(monsters.counts[row, SUGAR]), max_sugar(monsters, row))
    stimuli[row, FIRST_SELF + 1] = lack(np.int64(monsters.counts[row, WATER]), parameters.WATER_HELD_COUNT)
    stimuli[row, FIRST_SELF + 2] = lack(np.int64(monsters.counts[row, OXYGEN]), parameters.OXYGEN_HELD_COUNT)
    stimuli[row, FIRST_SELF + 3] = monsters.fatigue[row]
    stimuli[row, FIRST_SELF + 4] = monsters.dryness[row]
    stimuli[row, FIRST_SELF + 5] = monsters.pain[row]
    stimuli[row, FIRST_SELF + 6] = min(ONE, max(-ONE, warmth - ONE))
    stimuli[row, FIRST_SELF + 7] = min(ONE, np.int64(monsters.age_ticks[row]) >> 2)
    stimuli[row, FIRST_SELF + 8] = ONE


def sense(region: Region) -> None:
    """Fill the stimuli of monsters, and what modules know of light and room."""
    plants, monsters = region.tables["plants"].record(), region.tables["monsters"].record()
    plant_index, monster_index = region.index("plants"), region.index("monsters")
    environment, cover = region.scratch("environment", "int16", 4), region.scratch("cover")
    substance = region.fields["substance"]
    region.run(cover_cells, plant_index, plants.stage, plants.counts, cover, grown=SIGHT_CELLS)
    region.run(sense_plants, plant_index, plants, environment, region["water"], cover)
    region.run(
        sense_monsters,
        monster_index,
        monsters,
        region.constants["sine"],
        region.constants["arctangent"],
        substance,
        environment,
        cover,
    )
