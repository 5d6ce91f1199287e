"""Live: breed, metabolise, die, and only then do the newborn join.

Children neither act nor age in the tick of their birth; a parent may breed and die in one tick. A module buds into a
free neighbouring cell; where several want the same cell, the largest draw has it and the others are left as they were:
reach 2. Seeds and young monsters are born in their parent's cell.
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
from umwelt.agents.earth.laws.geometry import step_x, step_y, within
from umwelt.agents.earth.laws.sense import bud_size
from umwelt.sandbox.columns import birth_id
from umwelt.sandbox.dice import bits, draw, purpose
from umwelt.sandbox.kernel import call, kernel, small
from umwelt.sandbox.laws.weather import DRYNESS
from umwelt.sandbox.region import Region
from umwelt.sandbox.units import ONE, TURN

BUD = purpose("live.bud")
SEED = purpose("live.seed")
BIRTH = purpose("live.birth")
HEADING = purpose("live.heading")
DIE = purpose("live.die")
SWEAT = purpose("live.sweat")

BEARS_BUD, BEARS_SEED = 1, 2


@small
def wants_bud(plants, row):
    """Whether a module is ready to bud, after what it lost since it sensed."""
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
    for direction in range(8):
        # a rival in this direction from the cell would bud the opposite way
        ry, rx = y + step_y(direction), x + step_x(direction)
        if not within(place, ry, rx):
            continue
        cell = ry * place.width + rx
        for k in range(index.start[cell], index.start[cell + 1]):
            rival = index.rows[k]
            if rival == row or plants.bud_direction[rival] != ((direction + 4) & 7) + 1:
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
                x = plants.x_fixed[row] >> 10
                if wins_cell(place, index, plants, row, y + step_y(direction), x + step_x(direction)):
                    plants.birth[row] = BEARS_BUD


@small
def seed_tissue(genome, row):
    """Tissue that a module gives to a seed."""
    return parameters.SEED_TISSUE_MIN_COUNT + (genes.trait(genome, row, genes.P_SEED_SIZE) >> 5)


@small
def is_ripe(plants, row):
    """Whether a module has enough for a seed: it flowers."""
    reserve = parameters.PLANT_SUGAR_KEPT_COUNT + (genes.trait(plants.genome, row, genes.P_SEED_RESERVE) >> 2)
    tissue = parameters.BUD_TISSUE_COUNT + 2 * seed_tissue(plants.genome, row)
    return plants.stage[row] == MODULE and plants.counts[row, SUGAR] >= reserve and plants.counts[row, TISSUE] >= tissue


@small
def wants_young(monsters, row):
    """Whether a monster is able and driven to give birth."""
    tissue = parameters.CORE_TISSUE_COUNT * 2 + birth_organs(monsters.genome, row) * parameters.ORGAN_TISSUE_COUNT
    reserve = parameters.BREED_SUGAR_COUNT + (genes.trait(monsters.genome, row, genes.BREED_RESERVE) >> 2)
    return (
        monsters.drives[row, BREED] > parameters.BREED_THRESHOLD
        and monsters.asleep[row] == 0
        and monsters.counts[row, TISSUE] >= tissue + parameters.ORGAN_TISSUE_COUNT
        and monsters.counts[row, SUGAR] >= reserve
    )


@small
def birth_organs(genome, row):
    """Organs that a child is born with."""
    return 1 + (genes.trait(genome, row, genes.BIRTH_ORGANS) >> 5)


@kernel
def decide_births(y_low, y_high, place, plant_index, monster_index, plants, monsters):
    """Write `birth` of those who bear a seed or young: at most one of each kind in a cell, by the largest draw."""
    for y in range(y_low, y_high):
        for x in range(place.x_low, place.x_high):
            cell = y * place.width + x
            best, best_draw = np.int64(-1), np.int64(-1)
            for k in range(plant_index.start[cell], plant_index.start[cell + 1]):
                row = np.int64(plant_index.rows[k])
                if plants.birth[row] != 0 or not is_ripe(plants, row):
                    continue
                drawn = draw(place.seed, place.tick, plants.id[row], SEED, 0)
                if bits(draw(place.seed, place.tick, plants.id[row], SEED, 1), parameters.SEED_ODDS_BITS) != 0:
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
def hand(counts, parent, child, substance, amount):
    """Give matter from parent to child, as much as there is."""
    amount = min(amount, np.int64(counts[parent, substance]))
    counts[parent, substance] -= amount
    counts[child, substance] = amount


@small
def descend(beings, parent, child, place, kind, cell):
    """What every child has of its parent: id, ancestry, species and a genome that may have mutated."""
    beings.id[child] = birth_id(kind, place.tick + 1, cell)
    beings.parent_id[child] = beings.id[parent]
    beings.species[child] = beings.species[parent]
    beings.generation[child] = min(beings.generation[parent] + 1, 32767)
    for gene in range(beings.genome.shape[1]):
        beings.genome[child, gene] = beings.genome[parent, gene]


@kernel
def bear_plants(place, parents, first_child, plants):
    """Make the buds and seeds; matter comes from the parent."""
    for i in range(len(parents)):
        parent, child = parents[i], first_child + i
        y, x = plants.y_fixed[parent] >> 10, plants.x_fixed[parent] >> 10
        if plants.birth[parent] == BEARS_BUD:
            direction = plants.bud_direction[parent] - 1
            y, x = y + step_y(direction), x + step_x(direction)
            tissue, sugar = np.int64(parameters.BUD_TISSUE_COUNT), np.int64(parameters.BUD_SUGAR_COUNT)
            plants.stage[child] = MODULE
            plants.stem_id[child] = plants.id[parent]
            plants.stem_direction[child] = ((direction + 4) & 7) + 1
        else:
            tissue, sugar = seed_tissue(plants.genome, parent), np.int64(plants.counts[parent, SUGAR]) >> 2
            plants.stage[child] = SEED_ALOFT
        plants.y_fixed[child] = (y << 10) + 512
        plants.x_fixed[child] = (x << 10) + 512
        cell = np.int64(place.y_global[y]) * place.world_width + place.x_global[x]
        descend(plants, parent, child, place, PLANT_KIND, cell)
        if plants.birth[parent] == BEARS_SEED:
            rate = genes.trait(plants.genome, parent, genes.P_MUTATION) << 3
            traits = plants.genome.shape[1]
            genes.mutate(plants.genome, child, rate, 0, traits, place.seed, place.tick, plants.id[child])
        hand(plants.counts, parent, child, TISSUE, tissue)
        hand(plants.counts, parent, child, SUGAR, sugar)
        for s in (WATER, OXYGEN, CARBON_DIOXIDE, MINERAL):
            hand(plants.counts, parent, child, s, np.int64(plants.counts[parent, s]) >> 2)


@kernel
def bear_monsters(place, parents, first_child, monsters):
    """Make the young; matter comes from the parent."""
    for i in range(len(parents)):
        parent, child = parents[i], first_child + i
        y, x = monsters.y_fixed[parent] >> 10, monsters.x_fixed[parent] >> 10
        monsters.y_fixed[child] = monsters.y_fixed[parent]
        monsters.x_fixed[child] = monsters.x_fixed[parent]
        cell = np.int64(place.y_global[y]) * place.world_width + place.x_global[x]
        descend(monsters, parent, child, place, MONSTER_KIND, cell)
        identity = monsters.id[child]
        rate = genes.trait(monsters.genome, parent, genes.MUTATION) << 3
        first, last = genes.FIRST_TRAIT, genes.FIRST_WEIGHT
        genes.mutate(monsters.genome, child, rate, first, last, place.seed, place.tick, identity)
        monsters.heading[child] = bits(draw(place.seed, place.tick, identity, HEADING, 0), 16) & (TURN - 1)
        organs = birth_organs(monsters.genome, parent)
        hand(
            monsters.counts,
            parent,
            child,
            TISSUE,
            parameters.CORE_TISSUE_COUNT + organs * parameters.ORGAN_TISSUE_COUNT,
        )
        for s in (SUGAR, WATER, OXYGEN, MINERAL):
            hand(monsters.counts, parent, child, s, np.int64(monsters.counts[parent, s]) >> 1)
        for slot in range(organs):
            code = genes.organ_code(monsters.genome, child, slot)
            if code < monsters.organs.shape[1]:
                monsters.organs[child, code] += 1
        monsters.organs_built[child] = organs


@small
def open_membrane(counts, row, substance, y, x):
    """All that a body holds goes to its cell; its tissue as detritus, which is the same matter."""
    for s in range(counts.shape[1]):
        amount = np.int64(counts[row, s])
        substance[DETRITUS if s == TISSUE else s, y, x] += amount
        counts[row, s] = 0


@small
def sweat(counts, row, amount, substance, y, x):
    """Water leaves a body into the air."""
    amount = min(amount, np.int64(counts[row, WATER]))
    counts[row, WATER] -= amount
    substance[VAPOUR, y, x] += amount


@small
def old_and_unlucky(place, identity, age, limit, odds_bits):
    """Whether a being past its prime dies of age this tick."""
    return age > limit and bits(draw(place.seed, place.tick, identity, DIE, 0), odds_bits) == 0


@small
def plant_lives(place, plants, row, age):
    """Whether a plant goes on living."""
    if plants.stage[row] != MODULE:
        return age <= parameters.SEED_KEEPS_TICKS + 2 * genes.trait(plants.genome, row, genes.P_SEED_WAIT)
    if plants.counts[row, TISSUE] < parameters.PLANT_ALIVE_COUNT:
        return False
    limit = parameters.PLANT_OLD_TICKS * (64 + genes.trait(plants.genome, row, genes.P_LONGEVITY)) >> 7
    return not old_and_unlucky(place, plants.id[row], age, limit, parameters.PLANT_DEATH_BITS)


@small
def monster_lives(place, monsters, row, age):
    """Whether a monster goes on living."""
    if monsters.counts[row, TISSUE] < parameters.ALIVE_TISSUE_COUNT:
        return False
    suffers = monsters.counts[row, WATER] == 0 or monsters.counts[row, OXYGEN] == 0
    if suffers and monsters.pain[row] >= ONE:
        return False
    limit = parameters.OLD_TICKS * (64 + genes.trait(monsters.genome, row, genes.LONGEVITY)) >> 7
    return not old_and_unlucky(place, monsters.id[row], age, limit, parameters.DEATH_BITS)


@kernel
def metabolise_and_die(
    y_low, y_high, place, plant_index, monster_index, plants, monsters, substance, environment, plant_dead, monster_dead
):
    """Sweat, heal and age; bodies that die give all they hold to their cell."""
    for y in range(y_low, y_high):
        for x in range(place.x_low, place.x_high):
            cell = y * place.width + x
            for k in range(plant_index.start[cell], plant_index.start[cell + 1]):
                row = plant_index.rows[k]
                age = np.int64(plants.age_ticks[row]) + 1
                plants.age_ticks[row] = age
                if plants.stage[row] == MODULE:
                    thirst = (plants.counts[row, TISSUE] * np.int64(environment[DRYNESS, y, x])) >> 4
                    drawn = bits(draw(place.seed, place.tick, plants.id[row], SWEAT, 0), 10)
                    sweat(plants.counts, row, (thirst + drawn) >> 10, substance, y, x)
                if not plant_lives(place, plants, row, age):
                    open_membrane(plants.counts, row, substance, y, x)
                    plant_dead[row] = 1
            for k in range(monster_index.start[cell], monster_index.start[cell + 1]):
                row = monster_index.rows[k]
                age = np.int64(monsters.age_ticks[row]) + 1
                monsters.age_ticks[row] = age
                dryness = 256 + np.int64(environment[DRYNESS, y, x])
                if bits(draw(place.seed, place.tick, monsters.id[row], SWEAT, 0), 13) < dryness:
                    sweat(monsters.counts, row, np.int64(1), substance, y, x)
                pain = np.int64(monsters.pain[row]) - parameters.PAIN_HEALS
                if monsters.counts[row, WATER] == 0 or monsters.counts[row, OXYGEN] == 0:
                    pain += parameters.THIRST_PAIN
                monsters.pain[row] = min(max(pain, 0), ONE)
                if not monster_lives(place, monsters, row, age):
                    open_membrane(monsters.counts, row, substance, y, x)
                    monster_dead[row] = 1


def bear(region: Region, name: str, kernel_of_kind) -> None:
    """Append the children of all rows whose `birth` is set, and record those born in what the region owns."""
    table = region.tables[name]
    parents = np.flatnonzero(table["birth"])
    # none, often; the kernel is called all the same, so that it compiles with the others
    new = table.append(len(parents))
    call(kernel_of_kind, region.place(), parents, new.start, table.record())
    for column in table.schema.columns:
        # columns that species declare are not in the kernels' record
        if column.inherited and column.name not in table.schema.record._fields:  # type: ignore[union-attr]
            table[column.name][new] = table[column.name][parents]
    region.record_births(name, new)


def live(region: Region) -> None:
    """Breed, metabolise, die, append."""
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
        region.scratch("environment", "int16", 4),
        dead["plants"],
        dead["monsters"],
    )
    for name, flags in dead.items():
        region.remove_dead(name, flags)
