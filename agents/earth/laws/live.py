"""The law `live`: beings breed, age and die, and the newborn join the tables. Reach 2.

The newborn neither act nor age in the tick of their birth; a parent may breed and die in one tick. A module buds into a
free neighbouring cell. Of several that want the same cell the one with the largest draw gets it, and the others stay
unchanged; hence the reach. Seeds and young monsters are born in their parent's cell. A body that dies gives all its
matter to its cell, so elements are conserved.
"""

import numpy as np

from umwelt.agents.body import genome as genes
from umwelt.agents.body.interface import (
    BREED,
    CARBON_DIOXIDE,
    DETRITUS,
    MINERAL,
    MODULE,
    MONSTER_KIND,
    OXYGEN,
    PLANT_KIND,
    SEED_ALOFT,
    SUGAR,
    TISSUE,
    VAPOUR,
    WATER,
)
from umwelt.agents.earth import parameters
from umwelt.agents.earth.laws.geometry import DIRECTIONS, opposite, step_x, step_y, within
from umwelt.agents.earth.laws.sense import bud_size
from umwelt.sandbox.columns import birth_id
from umwelt.sandbox.dice import bits, draw, purpose
from umwelt.sandbox.kernel import call, kernel, small
from umwelt.sandbox.laws.weather import DRYNESS, ENVIRONMENT
from umwelt.sandbox.region import Region
from umwelt.sandbox.units import ONE, ONE_BITS, SUBCELL, SUBCELL_BITS, TURN

BUD = purpose("live.bud")
SEED = purpose("live.seed")
BIRTH = purpose("live.birth")
HEADING = purpose("live.heading")
TURN_BITS = 16
DIE = purpose("live.die")
SWEAT = purpose("live.sweat")

SEED_FIRST, SEED_NOW = 0, 1
"""The draws of `SEED`: which module of a cell comes first, and whether one makes a seed in this tick."""

BEARS_BUD, BEARS_SEED = 1, 2
"""Values of the column `birth` of plants."""
DRYNESS_SHIFT = 4
SWEAT_BITS = 13
GENERATION_MAX = 32767


@small
def wants_bud(plants, row):
    """Whether a module still has the matter to bud, after what it lost since it sensed."""
    return (
        plants.stage[row] == MODULE
        and plants.bud_direction[row] > 0
        and plants.counts[row, TISSUE] >= bud_size(plants.genome, row)
        and plants.counts[row, SUGAR] >= parameters.BUD_SUGAR_COUNT + parameters.PLANT_SUGAR_KEPT_COUNT
    )


@small
def wins_cell(place, index, plants, row, y, x):
    """Whether a module wins the free cell `y, x` against every other that wants to bud into it."""
    if not within(place, y, x):
        return False
    cell = y * place.width + x
    for k in range(index.start[cell], index.start[cell + 1]):
        if plants.stage[index.rows[k]] == MODULE:
            return False
    own = draw(place.seed, place.tick, plants.id[row], BUD, 0)
    for direction in range(DIRECTIONS):
        # a rival in this direction from the cell would bud in the opposite direction
        ry, rx = y + step_y(direction), x + step_x(direction)
        if not within(place, ry, rx):
            continue
        cell = ry * place.width + rx
        for k in range(index.start[cell], index.start[cell + 1]):
            rival = index.rows[k]
            if rival == row or plants.bud_direction[rival] != opposite(direction) + 1:
                continue
            if not wants_bud(plants, rival):
                continue
            drawn = draw(place.seed, place.tick, plants.id[rival], BUD, 0)
            if drawn > own or (drawn == own and plants.id[rival] < plants.id[row]):
                return False
    return True


@kernel
def decide_buds(y_low, y_high, place, index, plants):
    """Write `birth` of the modules that win a cell to bud into."""
    for y in range(y_low, y_high):
        first = index.start[y * place.width + place.x_low]
        last = index.start[y * place.width + place.x_high]
        for k in range(first, last):
            row = np.int64(index.rows[k])
            if wants_bud(plants, row):
                direction = plants.bud_direction[row] - 1
                x = plants.x_fixed[row] >> SUBCELL_BITS
                if wins_cell(place, index, plants, row, y + step_y(direction), x + step_x(direction)):
                    plants.birth[row] = BEARS_BUD


@small
def seed_tissue(genome, row):
    """Tissue that a module gives to a seed."""
    return parameters.SEED_TISSUE_MIN_COUNT + (
        genes.trait(genome, row, genes.P_SEED_SIZE) >> parameters.SEED_SIZE_SHIFT
    )


@small
def is_ripe(plants, row):
    """Whether a module has enough matter for a seed; it flowers then."""
    gene = genes.trait(plants.genome, row, genes.P_SEED_RESERVE)
    reserve = parameters.PLANT_SUGAR_KEPT_COUNT + (gene >> parameters.RESERVE_SHIFT)
    tissue = parameters.BUD_TISSUE_COUNT + 2 * seed_tissue(plants.genome, row)
    return plants.stage[row] == MODULE and plants.counts[row, SUGAR] >= reserve and plants.counts[row, TISSUE] >= tissue


@small
def wants_young(monsters, row):
    """Whether a monster is able to give birth, and driven to."""
    tissue = parameters.CORE_TISSUE_COUNT * 2 + birth_organs(monsters.genome, row) * parameters.ORGAN_TISSUE_COUNT
    gene = genes.trait(monsters.genome, row, genes.BREED_RESERVE)
    reserve = parameters.BREED_SUGAR_COUNT + (gene >> parameters.RESERVE_SHIFT)
    return (
        monsters.drives[row, BREED] > parameters.BREED_THRESHOLD
        and monsters.asleep[row] == 0
        and monsters.counts[row, TISSUE] >= tissue + parameters.ORGAN_TISSUE_COUNT
        and monsters.counts[row, SUGAR] >= reserve
    )


@small
def birth_organs(genome, row):
    """Number of organs that a child is born with, 1 to 8."""
    return 1 + (genes.trait(genome, row, genes.BIRTH_ORGANS) >> parameters.BIRTH_ORGANS_SHIFT)


@kernel
def decide_births(y_low, y_high, place, plant_index, monster_index, plants, monsters):
    """Write `birth` of the parents of seeds and young monsters: at most one of a kind in a cell, by the largest draw.

    Ids hold cell and tick of birth, so a second birth of a kind in a cell would have the same id.
    """
    for y in range(y_low, y_high):
        for x in range(place.x_low, place.x_high):
            cell = y * place.width + x
            best, best_draw = np.int64(-1), np.int64(-1)
            for k in range(plant_index.start[cell], plant_index.start[cell + 1]):
                row = np.int64(plant_index.rows[k])
                if plants.birth[row] != 0 or not is_ripe(plants, row):
                    continue
                drawn = draw(place.seed, place.tick, plants.id[row], SEED, SEED_FIRST)
                if bits(draw(place.seed, place.tick, plants.id[row], SEED, SEED_NOW), parameters.SEED_ODDS_BITS) != 0:
                    continue
                if drawn > best_draw or (drawn == best_draw and plants.id[row] < plants.id[best]):
                    best, best_draw = row, drawn
            if best >= 0:
                plants.birth[best] = BEARS_SEED
            best, best_draw = np.int64(-1), np.int64(-1)
            for k in range(monster_index.start[cell], monster_index.start[cell + 1]):
                row = np.int64(monster_index.rows[k])
                if not wants_young(monsters, row):
                    continue
                drawn = draw(place.seed, place.tick, monsters.id[row], BIRTH, 0)
                if drawn > best_draw or (drawn == best_draw and monsters.id[row] < monsters.id[best]):
                    best, best_draw = row, drawn
            if best >= 0:
                monsters.birth[best] = 1


@small
def transfer(counts, parent, child, substance, amount):
    """Move an amount of a substance from parent to child, or all that the parent has if that is less."""
    amount = min(amount, np.int64(counts[parent, substance]))
    counts[parent, substance] -= amount
    counts[child, substance] = amount


@small
def descend(beings, parent, child, place, kind, cell):
    """Set id, ancestry, species and generation of a newborn, and copy its parent's genome."""
    beings.id[child] = birth_id(kind, place.tick + 1, cell)
    beings.parent_id[child] = beings.id[parent]
    beings.species[child] = beings.species[parent]
    beings.generation[child] = min(beings.generation[parent] + 1, GENERATION_MAX)
    for gene in range(beings.genome.shape[1]):
        beings.genome[child, gene] = beings.genome[parent, gene]


@kernel
def bear_plants(place, parents, first_child, plants):
    """Fill the rows of newborn buds and seeds; their matter comes from the parents. Seeds mutate, buds are clones."""
    for i in range(len(parents)):
        parent, child = parents[i], first_child + i
        y, x = plants.y_fixed[parent] >> SUBCELL_BITS, plants.x_fixed[parent] >> SUBCELL_BITS
        if plants.birth[parent] == BEARS_BUD:
            direction = plants.bud_direction[parent] - 1
            y, x = y + step_y(direction), x + step_x(direction)
            tissue, sugar = np.int64(parameters.BUD_TISSUE_COUNT), np.int64(parameters.BUD_SUGAR_COUNT)
            plants.stage[child] = MODULE
            plants.stem_id[child] = plants.id[parent]
            plants.stem_direction[child] = opposite(direction) + 1
        else:
            tissue, sugar = (
                seed_tissue(plants.genome, parent),
                np.int64(plants.counts[parent, SUGAR]) >> parameters.SEED_SHARE_SHIFT,
            )
            plants.stage[child] = SEED_ALOFT
        plants.y_fixed[child] = (y << SUBCELL_BITS) + SUBCELL // 2
        plants.x_fixed[child] = (x << SUBCELL_BITS) + SUBCELL // 2
        cell = np.int64(place.y_global[y]) * place.world_width + place.x_global[x]
        descend(plants, parent, child, place, PLANT_KIND, cell)
        if plants.birth[parent] == BEARS_SEED:
            rate = genes.trait(plants.genome, parent, genes.P_MUTATION) << parameters.MUTATION_SHIFT
            traits = plants.genome.shape[1]
            genes.mutate(plants.genome, child, rate, 0, traits, place.seed, place.tick, plants.id[child])
        transfer(plants.counts, parent, child, TISSUE, tissue)
        transfer(plants.counts, parent, child, SUGAR, sugar)
        for s in (WATER, OXYGEN, CARBON_DIOXIDE, MINERAL):
            transfer(plants.counts, parent, child, s, np.int64(plants.counts[parent, s]) >> parameters.SEED_SHARE_SHIFT)


@kernel
def bear_monsters(place, parents, first_child, monsters):
    """Fill the rows of newborn monsters; half of the parent's sugar, water, oxygen and mineral goes to the child."""
    for i in range(len(parents)):
        parent, child = parents[i], first_child + i
        y, x = monsters.y_fixed[parent] >> SUBCELL_BITS, monsters.x_fixed[parent] >> SUBCELL_BITS
        monsters.y_fixed[child] = monsters.y_fixed[parent]
        monsters.x_fixed[child] = monsters.x_fixed[parent]
        cell = np.int64(place.y_global[y]) * place.world_width + place.x_global[x]
        descend(monsters, parent, child, place, MONSTER_KIND, cell)
        identity = monsters.id[child]
        rate = genes.trait(monsters.genome, parent, genes.MUTATION) << parameters.MUTATION_SHIFT
        first, last = genes.FIRST_TRAIT, genes.FIRST_WEIGHT
        genes.mutate(monsters.genome, child, rate, first, last, place.seed, place.tick, identity)
        monsters.heading[child] = bits(draw(place.seed, place.tick, identity, HEADING, 0), TURN_BITS) & (TURN - 1)
        organs = birth_organs(monsters.genome, parent)
        transfer(
            monsters.counts,
            parent,
            child,
            TISSUE,
            parameters.CORE_TISSUE_COUNT + organs * parameters.ORGAN_TISSUE_COUNT,
        )
        for s in (SUGAR, WATER, OXYGEN, MINERAL):
            transfer(monsters.counts, parent, child, s, np.int64(monsters.counts[parent, s]) >> 1)
        for slot in range(organs):
            organ = genes.organ_in_slot(monsters.genome, child, slot)
            if organ != genes.NO_ORGAN:
                monsters.organs[child, organ] += 1
        monsters.organs_built[child] = organs


@small
def open_membrane(counts, row, substance, y, x):
    """Move all matter of a body to its cell; its tissue becomes detritus, which has the same formula."""
    for s in range(counts.shape[1]):
        amount = np.int64(counts[row, s])
        substance[DETRITUS if s == TISSUE else s, y, x] += amount
        counts[row, s] = 0


@small
def sweat(counts, row, amount, substance, y, x):
    """Move water of a body, as vapour, to its cell."""
    amount = min(amount, np.int64(counts[row, WATER]))
    counts[row, WATER] -= amount
    substance[VAPOUR, y, x] += amount


@small
def dies_of_age(place, identity, age, limit, odds_bits):
    """Whether a being dies of age in this tick: beyond the age `limit`, with odds 1 : 2^odds_bits."""
    return age > limit and bits(draw(place.seed, place.tick, identity, DIE, 0), odds_bits) == 0


@small
def plant_lives(place, plants, row, age):
    """Whether a plant survives this tick."""
    if plants.stage[row] != MODULE:
        return age <= parameters.SEED_KEEPS_TICKS + 2 * genes.trait(plants.genome, row, genes.P_SEED_WAIT)
    if plants.counts[row, TISSUE] < parameters.PLANT_ALIVE_COUNT:
        return False
    longevity = parameters.LONGEVITY_BASE + genes.trait(plants.genome, row, genes.P_LONGEVITY)
    limit = parameters.PLANT_OLD_TICKS * longevity >> parameters.LONGEVITY_BITS
    return not dies_of_age(place, plants.id[row], age, limit, parameters.PLANT_DEATH_BITS)


@small
def monster_lives(place, monsters, row, age):
    """Whether a monster survives this tick."""
    if monsters.counts[row, TISSUE] < parameters.ALIVE_TISSUE_COUNT:
        return False
    suffers = monsters.counts[row, WATER] == 0 or monsters.counts[row, OXYGEN] == 0
    if suffers and monsters.pain[row] >= ONE:
        return False
    longevity = parameters.LONGEVITY_BASE + genes.trait(monsters.genome, row, genes.LONGEVITY)
    limit = parameters.OLD_TICKS * longevity >> parameters.LONGEVITY_BITS
    return not dies_of_age(place, monsters.id[row], age, limit, parameters.DEATH_BITS)


@kernel
def metabolise_and_die(
    y_low, y_high, place, plant_index, monster_index, plants, monsters, substance, environment, plant_dead, monster_dead
):
    """Sweat, heal and age; mark the dead, and move their matter to their cells."""
    for y in range(y_low, y_high):
        for x in range(place.x_low, place.x_high):
            cell = y * place.width + x
            for k in range(plant_index.start[cell], plant_index.start[cell + 1]):
                row = plant_index.rows[k]
                age = np.int64(plants.age_ticks[row]) + 1
                plants.age_ticks[row] = age
                if plants.stage[row] == MODULE:
                    thirst = (plants.counts[row, TISSUE] * np.int64(environment[DRYNESS, y, x])) >> DRYNESS_SHIFT
                    drawn = bits(draw(place.seed, place.tick, plants.id[row], SWEAT, 0), ONE_BITS)
                    sweat(plants.counts, row, (thirst + drawn) >> ONE_BITS, substance, y, x)
                if not plant_lives(place, plants, row, age):
                    open_membrane(plants.counts, row, substance, y, x)
                    plant_dead[row] = 1
            for k in range(monster_index.start[cell], monster_index.start[cell + 1]):
                row = monster_index.rows[k]
                age = np.int64(monsters.age_ticks[row]) + 1
                monsters.age_ticks[row] = age
                dryness = parameters.SWEAT_BASE + np.int64(environment[DRYNESS, y, x])
                if bits(draw(place.seed, place.tick, monsters.id[row], SWEAT, 0), SWEAT_BITS) < dryness:
                    sweat(monsters.counts, row, np.int64(1), substance, y, x)
                pain = np.int64(monsters.pain[row]) - parameters.PAIN_HEALS
                if monsters.counts[row, WATER] == 0 or monsters.counts[row, OXYGEN] == 0:
                    pain += parameters.THIRST_PAIN
                monsters.pain[row] = min(max(pain, 0), ONE)
                if not monster_lives(place, monsters, row, age):
                    open_membrane(monsters.counts, row, substance, y, x)
                    monster_dead[row] = 1


def bear(region: Region, name: str, kernel_of_kind) -> None:
    """Append the children of all rows whose `birth` is set, and record those that the region owns."""
    table = region.tables[name]
    parents = np.flatnonzero(table["birth"])
    # the kernel is called without parents as well, so that it is compiled in the first tick
    new = table.append(len(parents))
    call(kernel_of_kind, region.place(), parents, new.start, table.record())
    for column in table.schema.columns:
        # the kernels' record lacks the columns that species declare
        if column.inherited and column.name not in table.schema.record._fields:  # type: ignore[union-attr]
            table[column.name][new] = table[column.name][parents]
    region.record_births(name, new)


def live(region: Region) -> None:
    """Let beings breed, age and die, and append the newborn."""
    plants, monsters = region.tables["plants"], region.tables["monsters"]
    indices = (region.index("plants"), region.index("monsters"))
    plants["birth"][:] = 0
    monsters["birth"][:] = 0
    region.run(decide_buds, indices[0], plants.record(), grown=1)
    region.run(decide_births, *indices, plants.record(), monsters.record())
    bear(region, "plants", bear_plants)
    bear(region, "monsters", bear_monsters)
    dead = {name: np.zeros(region.tables[name].count, np.uint8) for name in ("plants", "monsters")}
    region.run(
        metabolise_and_die,
        *indices,
        plants.record(),
        monsters.record(),
        region.fields["substance"],
        region.scratch("environment", "int16", len(ENVIRONMENT)),
        dead["plants"],
        dead["monsters"],
    )
    for name, flags in dead.items():
        region.remove_dead(name, flags)
