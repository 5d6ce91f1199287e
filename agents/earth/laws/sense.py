"""The law `sense`: writes what plants and monsters sense of their surroundings and of themselves. Reach 4.

A module, the part of a plant in one cell, senses the light on its leaf, and which neighbouring cell is best for a bud.
A monster senses the cells at the tips of its antennae, the nearest other monster within sight (at most 4 cells away),
and its own state. Stimuli are in 1/1024; see `interface.STIMULI`. The reach is the distance in cells up to which they
depend on other cells.

In kernels, `place` is a `Place` (sandbox/region.py), `plants` and `monsters` are the records (named tuples of columns)
of the tables, and `index` is the `CellIndex` of a table (sandbox/columns.py).
"""

import numpy as np

from umwelt.agents.body import genome as genes
from umwelt.agents.body.interface import (
    ALARM,
    ANTENNA_SENSES,
    ANTENNAE,
    AROMA,
    DETRITUS,
    EYE,
    MODULE,
    MUSK,
    OTHER_BEARING,
    OTHER_DISTANCE,
    OTHER_KINSHIP,
    OTHER_SIZE,
    OXYGEN,
    SELF_AGE,
    SELF_BREATH,
    SELF_DRY_EYES,
    SELF_FATIGUE,
    SELF_HUNGER,
    SELF_ONE,
    SELF_PAIN,
    SELF_THIRST,
    SELF_WARMTH,
    SENSE_ALARM,
    SENSE_AROMA,
    SENSE_BODY,
    SENSE_CARRION,
    SENSE_HEAT,
    SENSE_LIGHT,
    SENSE_MUSK,
    SENSE_PLANT,
    SENSE_WATER,
    STORE,
    SUGAR,
    TISSUE,
    TOUCH,
    WATER,
)
from umwelt.agents.earth import parameters
from umwelt.agents.earth.laws.geometry import DIRECTIONS, along, angle_to, cosine, sine, step_x, step_y, within
from umwelt.sandbox.dice import bits, draw, purpose
from umwelt.sandbox.kernel import kernel, small
from umwelt.sandbox.laws.weather import ENVIRONMENT, LIGHT, WARMTH
from umwelt.sandbox.region import Region
from umwelt.sandbox.units import ONE, ONE_BITS, SUBCELL, SUBCELL_BITS, TURN

BUD_TASTE = purpose("sense.bud")

SIGHT_CELLS = 4
"""Maximum range of sight of a monster, and the reach of the law."""
SENSES_EACH = len(ANTENNA_SENSES)
AHEAD = ANTENNAE.index("ahead")
TASTE_BITS = 12
"""Number of bits of the random number that is added to the score of a cell."""
TASTE_SHIFT = 3
"""Right shift from gene times light or water to the score of a cell."""
TASTE_PER_ROOM = 16
"""Score of a cell for each of its free neighbours, times a gene."""
DEEP_TASTE = -(1 << 20)
"""Added to the score of a cell with deep water. Buds need a score above half of this, which all other cells have."""

WATER_SHIFT, BODY_SHIFT, TOUCH_SHIFT, BEARING_SHIFT, AGE_SHIFT = 1, 8, 9, 5, 2
PLANT_SHIFT, CARRION_SHIFT, SCENT_SHIFT = 4, 3, 5
"""Shifts that scale measured values to stimuli in 1/1024: to the right for water, bearing and age, else to the left."""


@kernel
def cover_cells(y_low, y_high, place, index, stage, counts, cover):
    """Writes the sum of the tissue of the modules in each cell, `cover: int32[height, width]`."""
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
    """Returns the height of a module's leaf in arbitrary units: its tissue times its trait `height` plus a constant."""
    tissue = np.int64(plants.counts[row, TISSUE])
    return tissue * (parameters.HEIGHT_BASE + genes.trait(plants.genome, row, genes.P_HEIGHT))


@kernel
def sense_plants(y_low, y_high, place, index, plants, environment, water, cover):
    """Writes `lit` and `bud_direction` of every module.

    `lit` is the light in the cell less the shade of taller modules in neighbouring cells, in 1/1024; 0 in deep water.
    `bud_direction` is 1 + the direction of the free neighbouring cell with the best score (`taste` plus a random
    number), or 0 if the module cannot bud.
    """
    for y in range(y_low, y_high):
        first = index.start[y * place.width + place.x_low]
        last = index.start[y * place.width + place.x_high]
        for k in range(first, last):
            row = index.rows[k]
            plants.bud_direction[row] = 0
            plants.lit[row] = 0
            if plants.stage[row] != MODULE:
                continue
            x = plants.x_fixed[row] >> SUBCELL_BITS
            own_height = height_of(plants, row)
            light = np.int64(environment[LIGHT, y, x])
            if water[y, x] > parameters.DROWNING_COUNT:
                light = np.int64(0)
            shade = np.int64(0)
            best, best_score = np.int64(0), np.int64(DEEP_TASTE >> 1)
            wants_bud = plants.counts[row, TISSUE] >= bud_size(plants.genome, row) and (
                plants.counts[row, SUGAR] >= parameters.BUD_SUGAR_COUNT + parameters.PLANT_SUGAR_KEPT_COUNT
            )
            for direction in range(DIRECTIONS):
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
                    score += bits(draw(place.seed, place.tick, plants.id[row], BUD_TASTE, direction), TASTE_BITS)
                    if score > best_score:
                        best, best_score = np.int64(direction + 1), score
            plants.lit[row] = (light * max(parameters.LIT_MIN, ONE - shade)) >> ONE_BITS
            plants.bud_direction[row] = best


@small
def bud_size(genome, row):
    """Returns the smallest tissue, in molecules, with which a module can bud."""
    return 2 * parameters.BUD_TISSUE_COUNT + (genes.trait(genome, row, genes.P_BUD_SIZE) >> parameters.EIGHTH_SHIFT)


@small
def taste(genome, row, place, environment, water, cover, y, x):
    """Returns the score of the cell `y, x` as a place for a bud of the module in `row`.

    The score is the sum of the cell's light, water and number of free neighbours, weighted by the module's genes.
    """
    score = np.int64(genome[row, genes.P_LIGHT_WEIGHT]) * environment[LIGHT, y, x] >> TASTE_SHIFT
    if water[y, x] > parameters.DROWNING_COUNT:
        return score + DEEP_TASTE
    score += np.int64(genome[row, genes.P_WATER_WEIGHT]) * min(np.int64(water[y, x]), ONE) >> TASTE_SHIFT
    room = np.int64(0)
    for direction in range(DIRECTIONS):
        ny, nx = y + step_y(direction), x + step_x(direction)
        if within(place, ny, nx) and cover[ny, nx] == 0:
            room += 1
    return score + np.int64(genome[row, genes.P_ROOM_WEIGHT]) * room * TASTE_PER_ROOM


@small
def sight_of(monsters, row):
    """Returns a monster's range of sight in 1/1024 cell: 0 with shut eyes, shorter with dry eyes."""
    if monsters.eyes_shut[row] != 0:
        return np.int64(0)
    far = parameters.SIGHT_BASE_FIXED + parameters.SIGHT_PER_EYE_FIXED * np.int64(monsters.organs[row, EYE])
    clear = ONE + parameters.SIGHT_DRY - min(np.int64(monsters.dryness[row]), ONE)
    return (min(far, parameters.SIGHT_MAX_FIXED) * clear) // (ONE + parameters.SIGHT_DRY)


@small
def kinship(genome, one, other):
    """Returns the kinship of the genomes in rows `one` and `other`: 1024 if their marker genes are equal.

    Each unit of difference in a marker gene lowers it by `KINSHIP_PER_STEP`, down to 0.
    """
    apart = np.int64(0)
    for gene in range(genes.MARKER_A, genes.MARKER_C + 1):
        apart += abs(np.int64(genome[one, gene]) - np.int64(genome[other, gene]))
    return max(0, ONE - apart * parameters.KINSHIP_PER_STEP)


@kernel
def sense_monsters(y_low, y_high, place, index, monsters, sine_table, arctangent, substance, environment, cover):
    """Writes the stimuli of every monster."""
    stimuli = monsters.stimuli
    for y in range(y_low, y_high):
        first = index.start[y * place.width + place.x_low]
        last = index.start[y * place.width + place.x_high]
        for k in range(first, last):
            row = index.rows[k]
            own_y, own_x = np.int64(monsters.y_fixed[row]), np.int64(monsters.x_fixed[row])
            heading = np.int64(monsters.heading[row])
            x = own_x >> SUBCELL_BITS
            for antenna in range(len(ANTENNAE)):
                angle = heading + (antenna - AHEAD) * parameters.ANTENNA_ANGLE
                ty = (own_y + along(sine(sine_table, angle), parameters.ANTENNA_FIXED)) >> SUBCELL_BITS
                tx = (own_x + along(cosine(sine_table, angle), parameters.ANTENNA_FIXED)) >> SUBCELL_BITS
                first_sense = antenna * SENSES_EACH
                if not within(place, ty, tx):
                    for i in range(SENSES_EACH):
                        stimuli[row, first_sense + i] = 0
                    continue
                cell = ty * place.width + tx
                bodies = np.int64(index.start[cell + 1] - index.start[cell])
                light, warmth = np.int64(environment[LIGHT, ty, tx]), np.int64(environment[WARMTH, ty, tx])
                carrion, plant = np.int64(substance[DETRITUS, ty, tx]), np.int64(cover[ty, tx])
                stimuli[row, first_sense + SENSE_LIGHT] = min(ONE, light)
                stimuli[row, first_sense + SENSE_WATER] = min(ONE, np.int64(substance[WATER, ty, tx]) >> WATER_SHIFT)
                stimuli[row, first_sense + SENSE_PLANT] = min(ONE, plant << PLANT_SHIFT)
                stimuli[row, first_sense + SENSE_CARRION] = min(ONE, carrion << CARRION_SHIFT)
                stimuli[row, first_sense + SENSE_AROMA] = min(ONE, np.int64(substance[AROMA, ty, tx]) << SCENT_SHIFT)
                stimuli[row, first_sense + SENSE_MUSK] = min(ONE, np.int64(substance[MUSK, ty, tx]) << SCENT_SHIFT)
                stimuli[row, first_sense + SENSE_ALARM] = min(ONE, np.int64(substance[ALARM, ty, tx]) << SCENT_SHIFT)
                stimuli[row, first_sense + SENSE_HEAT] = min(ONE, max(-ONE, warmth - ONE))
                stimuli[row, first_sense + SENSE_BODY] = min(ONE, bodies << BODY_SHIFT)
            cell = y * place.width + x
            others = np.int64(index.start[cell + 1] - index.start[cell] - 1)
            stimuli[row, TOUCH] = min(ONE, others << TOUCH_SHIFT)
            look(place, index, monsters, row, y, x, sight_of(monsters, row), arctangent)
            feel(monsters, row, np.int64(environment[WARMTH, y, x]))


@small
def look(place, index, monsters, row, y, x, sight, arctangent):
    """Writes the stimuli `other_*` of the monster in `row`: those of the nearest other monster within sight.

    `y, x` is the monster's cell, `sight` its range of sight in 1/1024 cell.
    """
    stimuli = monsters.stimuli
    own_y, own_x = np.int64(monsters.y_fixed[row]), np.int64(monsters.x_fixed[row])
    nearest = np.int64(-1)
    nearest_square, nearest_id = sight * sight, np.int64(0)
    cells = (sight + SUBCELL - 1) >> SUBCELL_BITS
    x_first, x_last = max(x - cells, 0), min(x + cells, place.width - 1)
    for ny in range(max(y - cells, 0), min(y + cells, place.height - 1) + 1 if cells > 0 else 0):
        line = ny * place.width
        for k in range(index.start[line + x_first], index.start[line + x_last + 1]):
            other = index.rows[k]
            dy, dx = monsters.y_fixed[other] - own_y, monsters.x_fixed[other] - own_x
            square = dy * dy + dx * dx
            if square > nearest_square or monsters.id[other] == monsters.id[row]:
                continue
            # ties go to the smaller id; of several copies of a monster, which share an id, to the first by cell
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
    stimuli[row, OTHER_BEARING] = bearing >> BEARING_SHIFT
    stimuli[row, OTHER_DISTANCE] = min(ONE, max(abs(dy), abs(dx)) * ONE // max(sight, 1))
    own_tissue, other_tissue = np.int64(monsters.counts[row, TISSUE]), np.int64(monsters.counts[nearest, TISSUE])
    stimuli[row, OTHER_SIZE] = other_tissue * ONE // max(1, own_tissue + other_tissue)
    stimuli[row, OTHER_KINSHIP] = kinship(monsters.genome, row, nearest)


@small
def max_sugar(monsters, row):
    """Returns how many molecules of sugar a monster can hold."""
    return parameters.SUGAR_BASE_COUNT + parameters.SUGAR_PER_STORE_COUNT * np.int64(monsters.organs[row, STORE])


@small
def lack(count, capacity):
    """Returns how far `count` is below `capacity`: 1024 if it is 0, 0 if it is `capacity` or more."""
    return max(0, ONE - count * ONE // capacity)


@small
def feel(monsters, row, warmth):
    """Writes the stimuli of a monster's own state; `warmth` is that of its cell, 1024 at 20 degrees Celsius."""
    stimuli = monsters.stimuli
    stimuli[row, SELF_HUNGER] = lack(np.int64(monsters.counts[row, SUGAR]), max_sugar(monsters, row))
    stimuli[row, SELF_THIRST] = lack(np.int64(monsters.counts[row, WATER]), parameters.WATER_HELD_COUNT)
    stimuli[row, SELF_BREATH] = lack(np.int64(monsters.counts[row, OXYGEN]), parameters.OXYGEN_HELD_COUNT)
    stimuli[row, SELF_FATIGUE] = monsters.fatigue[row]
    stimuli[row, SELF_DRY_EYES] = monsters.dryness[row]
    stimuli[row, SELF_PAIN] = monsters.pain[row]
    stimuli[row, SELF_WARMTH] = min(ONE, max(-ONE, warmth - ONE))
    stimuli[row, SELF_AGE] = min(ONE, np.int64(monsters.age_ticks[row]) >> AGE_SHIFT)
    stimuli[row, SELF_ONE] = ONE


def sense(region: Region) -> None:
    """Writes the stimuli of monsters, and the light and bud direction of modules."""
    plants, monsters = region.tables["plants"].record(), region.tables["monsters"].record()
    plant_index, monster_index = region.index("plants"), region.index("monsters")
    environment, cover = region.scratch("environment", "int16", len(ENVIRONMENT)), region.scratch("cover")
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
