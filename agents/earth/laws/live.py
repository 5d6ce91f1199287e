"""The law `live`: beings breed, age and die; the newborn are appended to the tables. Reach 2.

Newborn beings neither act nor age in the tick of their birth; a parent can breed and die in the same tick. A module,
the part of a plant in one cell, buds into a free neighbouring cell. Of several modules that compete for a cell, the one
with the largest random number wins and the others do not bud; this determines the reach, the distance up to which a
result depends on other cells. Seeds and young monsters are born in their parent's cell. A being that dies leaves all
its matter in its cell, so elements are conserved.

In kernels, `place` is a `Place` (sandbox/region.py), `plants` and `monsters` are the records (named tuples of columns)
of the tables, and indices are `CellIndex` tuples (sandbox/columns.py).
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
"""Number of random bits of a heading, for 2^16 units in a turn."""
DIE = purpose("live.die")
SWEAT = purpose("live.sweat")

SEED_FIRST, SEED_NOW = 0, 1
"""Indices of the random numbers of the purpose `SEED`: a module's priority in its cell, and whether it makes a seed."""

BEARS_BUD, BEARS_SEED = 1, 2
"""Values of the column `birth` of plants."""
DRYNESS_SHIFT = 4
"""Right shift from tissue times dryness (1/1024) to the water that a module loses in a tick, in 1/1024 molecule."""
SWEAT_BITS = 13
"""Fraction bits of the probability that a monster loses a molecule of water in a tick."""
GENERATION_MAX = 32767


@small
def wants_bud(plants, row):
    """Returns whether a module can bud: the law `sense` has chosen a cell, and its tissue and sugar still suffice."""
    return (
        plants.stage[row] == MODULE
        and plants.bud_direction[row] > 0
        and plants.counts[row, TISSUE] >= bud_size(plants.genome, row)
        and plants.counts[row, SUGAR] >= parameters.BUD_SUGAR_COUNT + parameters.PLANT_SUGAR_KEPT_COUNT
    )


@small
def wins_cell(place, index, plants, row, y, x):
    """Returns whether the cell `y, x` is free and the module in `row` wins it against all others that bud into it."""
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
    """Sets the column `birth` to `BEARS_BUD` for the modules that win the cell that they bud into."""
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
    """Returns how many molecules of tissue a module gives to a seed."""
    return parameters.SEED_TISSUE_MIN_COUNT + (
        genes.trait(genome, row, genes.P_SEED_SIZE) >> parameters.SEED_SIZE_SHIFT
    )


@small
def is_ripe(plants, row):
    """Returns whether the plant in `row` is a module with enough sugar and tissue to make a seed."""
    gene = genes.trait(plants.genome, row, genes.P_SEED_RESERVE)
    reserve = parameters.PLANT_SUGAR_KEPT_COUNT + (gene >> parameters.RESERVE_SHIFT)
    tissue = parameters.BUD_TISSUE_COUNT + 2 * seed_tissue(plants.genome, row)
    return plants.stage[row] == MODULE and plants.counts[row, SUGAR] >= reserve and plants.counts[row, TISSUE] >= tissue


@small
def wants_young(monsters, row):
    """Returns whether a monster is awake, has a sufficient drive to breed, and has enough tissue and sugar."""
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
    """Returns the number of organ slots that are built at birth, 1 to 8."""
    return 1 + (genes.trait(genome, row, genes.BIRTH_ORGANS) >> parameters.BIRTH_ORGANS_SHIFT)


@kernel
def decide_births(y_low, y_high, place, plant_index, monster_index, plants, monsters):
    """Sets the column `birth` of the beings that bear a seed or a young monster: at most one of each in a cell.

    Of several candidates the one with the largest random number is chosen. A newborn's id is made from kind, cell and
    tick, so a second birth of the same kind in a cell would produce the same id.
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
    """Moves `amount` molecules of `substance` from row `parent` to row `child`, or all that the parent has if fewer."""
    amount = min(amount, np.int64(counts[parent, substance]))
    counts[parent, substance] -= amount
    counts[child, substance] = amount


@small
def descend(beings, parent, child, place, kind, cell):
    """Sets id, parent, species, generation and genome of the newborn in row `child`, which is born in `cell`."""
    beings.id[child] = birth_id(kind, place.tick + 1, cell)
    beings.parent_id[child] = beings.id[parent]
    beings.species[child] = beings.species[parent]
    beings.generation[child] = min(beings.generation[parent] + 1, GENERATION_MAX)
    for gene in range(beings.genome.shape[1]):
        beings.genome[child, gene] = beings.genome[parent, gene]


@kernel
def bear_plants(place, parents, first_child, plants):
    """Fills the rows of newborn modules and seeds, from `first_child` on, in the order of `parents` (rows).

    Their matter is taken from the parents. The genome of a seed is mutated, that of a new module is an exact copy.
    """
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
    """Fills the rows of newborn monsters, from `first_child` on, in the order of `parents` (rows).

    Each gets half of its parent's sugar, water, oxygen and mineral, and the tissue for its organs.
    """
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
    """Moves all matter of a dead being into its cell `y, x`; tissue becomes detritus, which has the same formula."""
    for s in range(counts.shape[1]):
        amount = np.int64(counts[row, s])
        substance[DETRITUS if s == TISSUE else s, y, x] += amount
        counts[row, s] = 0


@small
def sweat(counts, row, amount, substance, y, x):
    """Turns `amount` molecules of a being's water, or as many as it has, into vapour in its cell `y, x`."""
    amount = min(amount, np.int64(counts[row, WATER]))
    counts[row, WATER] -= amount
    substance[VAPOUR, y, x] += amount


@small
def dies_of_age(place, identity, age, limit, odds_bits):
    """Returns whether a being dies of age in this tick: beyond `limit` ticks, with probability 2^-`odds_bits`."""
    return age > limit and bits(draw(place.seed, place.tick, identity, DIE, 0), odds_bits) == 0


@small
def plant_lives(place, plants, row, age):
    """Returns whether a plant, `age` ticks old, survives this tick."""
    if plants.stage[row] != MODULE:
        return age <= parameters.SEED_KEEPS_TICKS + 2 * genes.trait(plants.genome, row, genes.P_SEED_WAIT)
    if plants.counts[row, TISSUE] < parameters.PLANT_ALIVE_COUNT:
        return False
    longevity = parameters.LONGEVITY_BASE + genes.trait(plants.genome, row, genes.P_LONGEVITY)
    limit = parameters.PLANT_OLD_TICKS * longevity >> parameters.LONGEVITY_BITS
    return not dies_of_age(place, plants.id[row], age, limit, parameters.PLANT_DEATH_BITS)


@small
def monster_lives(place, monsters, row, age):
    """Returns whether a monster, `age` ticks old, survives this tick."""
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
    """Evaporates water of beings, lowers pain and raises ages; moves the matter of those that die into their cells.

    Writes 1 to the entry of `plant_dead` or `monster_dead` of each being that dies.
    """
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
    """Appends the children of all beings of the table `name` whose `birth` is set, and records their births.

    `kernel_of_kind` is the kernel that fills the new rows: `bear_plants` or `bear_monsters`.
    """
    table = region.tables[name]
    parents = np.flatnonzero(table["birth"])
    # the kernel is called without parents as well, so that it is compiled in the first tick
    new = table.append(len(parents))
    call(kernel_of_kind, region.place(), parents, new.start, table.record())
    for column in table.schema.columns:
        # columns declared by species are not part of the record that kernels get
        if column.inherited and column.name not in table.schema.record._fields:  # type: ignore[union-attr]
            table[column.name][new] = table[column.name][parents]
    region.record_births(name, new)


def live(region: Region) -> None:
    """Runs the law: decides births, appends the newborn, ages beings, and removes the dead."""
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
