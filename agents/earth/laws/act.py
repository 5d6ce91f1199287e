"""The law `act`: beings exchange matter with their cell; monsters graze on modules and bite each other. Reach 3.

A module is the part of a plant in one cell.

All monsters that eat from the same being in a tick share its edible tissue at the start, `held`. If the sum `total` of
their demands exceeds `held`, each monster gets `held * demand // total`, and the one with the largest random number
also gets the remainder. A cell divides its matter in the same way, but keeps the remainder. Amounts are in molecules,
drives in 1/1024.

The reach, the distance in cells up to which a result depends on other cells, is 3: a biter's share depends on its
victim (one cell away), on the victim's other biters (two cells), and on the monsters that these could have bitten
instead (three cells).

In kernels, `place` is a `Place` (sandbox/region.py), `plants` and `monsters` are the records (named tuples of columns)
of the tables, and indices are `CellIndex` tuples (sandbox/columns.py).
"""

import numpy as np

from umwelt.agents.body import genome as genes
from umwelt.agents.body.interface import (
    ALARM,
    ALARM_DRIVE,
    ARMOUR,
    AROMA,
    BITE,
    CARBON_DIOXIDE,
    DETRITUS,
    DRINK,
    GLAND,
    GRAZE,
    GUT,
    JAW,
    MINERAL,
    MODULE,
    MUSK,
    MUSK_DRIVE,
    OXYGEN,
    SPIKE,
    SUGAR,
    TISSUE,
    WATER,
)
from umwelt.agents.earth import parameters
from umwelt.agents.earth.laws.geometry import cosine, sine, within
from umwelt.agents.earth.laws.sense import max_sugar
from umwelt.sandbox.dice import bits, draw, pair, purpose
from umwelt.sandbox.kernel import kernel, small
from umwelt.sandbox.region import Region
from umwelt.sandbox.units import ONE, ONE_BITS, SINE_ONE_BITS, SUBCELL_BITS

GRAZE_SHARE = purpose("act.graze")
BITE_SHARE = purpose("act.bite")
SMELL = purpose("act.smell")
MOUTHFUL = purpose("act.mouthful")
GRAZED, BITTEN = 0, 1
"""Indices of the random numbers of the purpose `MOUTHFUL`: rounding of a graze demand and of a bite demand."""
MOUTH_SHIFT = SINE_ONE_BITS - SUBCELL_BITS + 1
"""Right shift from the sine of the heading (scaled by 16384) to the offset of the mouth, half a cell ahead."""

TRADED = (OXYGEN, CARBON_DIOXIDE, WATER, MINERAL, DETRITUS, SUGAR)
"""The substances that beings take from their cell, in the order in which they take them."""


FOURTH_POWER_SHIFT = 4 * parameters.TRAIT_BITS - ONE_BITS
"""Right shift from the fourth power of a trait (0 to 255 for 0 to 1) to units of 1/1024."""
CHEW_SHIFT = 2 * ONE_BITS
"""Right shift that removes two factors in units of 1/1024 from a product, which leaves molecules."""


@small
def plant_asks(plants, row, substance):
    """Returns how many molecules of `substance` the plant in `row` demands from its cell; 0 for a seed."""
    if plants.stage[row] != MODULE:
        return np.int64(0)
    have = np.int64(plants.counts[row, substance])
    if substance == OXYGEN:
        return max(0, parameters.PLANT_OXYGEN_MIN_COUNT - have)
    if substance == CARBON_DIOXIDE:
        return max(0, parameters.PLANT_GAS_COUNT - have)
    root = parameters.ROOT_BASE + genes.trait(plants.genome, row, genes.P_ROOT)
    if substance == WATER:
        return min(max(0, parameters.PLANT_WATER_COUNT - have), 1 + (root >> parameters.ROOT_WATER_SHIFT))
    if substance == MINERAL:
        return min(max(0, parameters.PLANT_MINERAL_COUNT - have), 1 + (root >> parameters.ROOT_MINERAL_SHIFT))
    return np.int64(0)


@small
def gut_room(monsters, row):
    """Returns how many molecules still fit into a monster's gut."""
    capacity = parameters.GUT_BASE_COUNT + parameters.GUT_PER_ORGAN_COUNT * np.int64(monsters.organs[row, GUT])
    return max(0, capacity - monsters.counts[row, DETRITUS])


@small
def mouthful(monsters, row):
    """Returns how many molecules of leaf or detritus a monster takes in a tick at full drive, if its jaws are blunt.

    Blunt means that its trait `fangs` is 0; see `grinding` for the effect of other values.
    """
    return parameters.GRAZE_COUNT_BASE + parameters.GRAZE_COUNT_PER_JAW * np.int64(monsters.organs[row, JAW])


@small
def grinding(genome, row):
    """Returns how well a monster's jaws grind leaves and detritus, in 1/1024: the fourth power of (1 - `fangs`).

    Jaws halfway between blunt and sharp thus neither grind nor tear well, which lets specialists persist: Levins,
    "Theory of fitness in a heterogeneous environment. I", American Naturalist 96, 1962, pp. 361-373. In trials with
    squares in place of fourth powers, hunters evolved into omnivores.
    """
    return _steep(255 - genes.trait(genome, row, genes.FANGS))


@small
def tearing(genome, row):
    """Returns how well a monster's jaws tear flesh, in 1/1024: the fourth power of `fangs`."""
    return _steep(genes.trait(genome, row, genes.FANGS))


@small
def _steep(trait):
    """Returns the fourth power of `trait` (0 to 255 for 0 to 1), in 1/1024."""
    return (trait * trait * trait * trait) >> FOURTH_POWER_SHIFT


@small
def monster_asks(monsters, row, substance):
    """Returns how many molecules of `substance` a monster demands from its cell."""
    have = np.int64(monsters.counts[row, substance])
    if substance == OXYGEN:
        return max(0, parameters.OXYGEN_HELD_COUNT - have)
    if substance == WATER:
        drinks = (max(0, np.int64(monsters.drives[row, DRINK])) * parameters.DRINK_COUNT) >> ONE_BITS
        return min(max(0, parameters.WATER_HELD_COUNT - have), drinks)
    if substance == DETRITUS and monsters.asleep[row] == 0:
        chews = max(0, np.int64(monsters.drives[row, GRAZE])) * mouthful(monsters, row) * grinding(monsters.genome, row)
        eats = (chews + (1 << (CHEW_SHIFT - 1))) >> CHEW_SHIFT
        return min(gut_room(monsters, row), eats)
    if substance == SUGAR and monsters.asleep[row] == 0:
        licks = (max(0, np.int64(monsters.drives[row, GRAZE])) * parameters.LICK_COUNT) >> ONE_BITS
        return min(max(0, max_sugar(monsters, row) - have), licks)
    return np.int64(0)


@small
def give(counts, row, substance, kept, cell_substance, y, x):
    """Moves the molecules of `substance` in a being that exceed `kept` into its cell `y, x`."""
    over = np.int64(counts[row, substance]) - kept
    if over > 0:
        counts[row, substance] -= over
        cell_substance[substance, y, x] += over


@small
def emit(place, identity, counts, row, scent, amount_256, cell_substance, y, x):
    """Turns sugar of a being into the substance `scent`, which has the same formula, and adds it to its cell `y, x`.

    `amount_256` is the amount in 1/256 molecule, rounded randomly up or down so that its mean is exact; a being with
    less sugar emits what it has. `identity`, the being's id, is part of the key of the random number.
    """
    chance = bits(draw(place.seed, place.tick, identity, SMELL, scent), parameters.SCENT_BITS)
    amount = (amount_256 + chance) >> parameters.SCENT_BITS
    amount = min(amount, np.int64(counts[row, SUGAR]))
    if amount > 0:
        counts[row, SUGAR] -= amount
        cell_substance[scent, y, x] += amount


@small
def share(have, demand, total):
    """Returns how much of the supply `have` a `demand` is granted: its proportional share of `total`, rounded down.

    `total` is the sum of all demands on the supply. If the supply covers `total`, the demand is granted in full.
    """
    return demand if total <= have else have * demand // total


@kernel
def trade(y_low, y_high, place, plant_index, monster_index, plants, monsters, substance):
    """Exchanges matter between each cell and its beings: beings first release their excess, then take what they need.

    Competing demands are granted by `share`; the remainder left by rounding stays in the cell.
    """
    for y in range(y_low, y_high):
        for x in range(place.x_low, place.x_high):
            cell = y * place.width + x
            plant_first, plant_last = plant_index.start[cell], plant_index.start[cell + 1]
            monster_first, monster_last = monster_index.start[cell], monster_index.start[cell + 1]
            if plant_first == plant_last and monster_first == monster_last:
                continue
            for k in range(plant_first, plant_last):
                row = plant_index.rows[k]
                if plants.stage[row] == MODULE:
                    give(plants.counts, row, OXYGEN, parameters.PLANT_OXYGEN_KEPT_COUNT, substance, y, x)
                    give(plants.counts, row, MINERAL, 2 * parameters.PLANT_MINERAL_COUNT, substance, y, x)
                    give(plants.counts, row, WATER, 2 * parameters.PLANT_WATER_COUNT, substance, y, x)
                    if plants.counts[row, SUGAR] > 2 * parameters.PLANT_SUGAR_KEPT_COUNT:
                        scent = genes.trait(plants.genome, row, genes.P_SCENT) >> parameters.AROMA_SHIFT
                        emit(place, plants.id[row], plants.counts, row, AROMA, scent, substance, y, x)
            for k in range(monster_first, monster_last):
                row = monster_index.rows[k]
                give(monsters.counts, row, CARBON_DIOXIDE, 0, substance, y, x)
                give(monsters.counts, row, WATER, parameters.WATER_HELD_COUNT, substance, y, x)
                give(monsters.counts, row, MINERAL, parameters.MINERAL_KEPT_COUNT, substance, y, x)
                strength = parameters.SCENT_256 + parameters.SCENT_PER_GLAND_256 * np.int64(monsters.organs[row, GLAND])
                musk = max(0, np.int64(monsters.drives[row, MUSK_DRIVE])) * strength >> ONE_BITS
                emit(place, monsters.id[row], monsters.counts, row, MUSK, musk, substance, y, x)
                alarm = max(0, np.int64(monsters.drives[row, ALARM_DRIVE])) * strength >> ONE_BITS
                emit(place, monsters.id[row], monsters.counts, row, ALARM, alarm, substance, y, x)
            for s in TRADED:
                have = np.int64(substance[s, y, x])
                if have == 0:
                    continue
                total = np.int64(0)
                for k in range(plant_first, plant_last):
                    total += plant_asks(plants, plant_index.rows[k], s)
                for k in range(monster_first, monster_last):
                    total += monster_asks(monsters, monster_index.rows[k], s)
                if total == 0:
                    continue
                for k in range(plant_first, plant_last):
                    row = plant_index.rows[k]
                    got = share(have, plant_asks(plants, row, s), total)
                    plants.counts[row, s] += got
                    substance[s, y, x] -= got
                for k in range(monster_first, monster_last):
                    row = monster_index.rows[k]
                    got = share(have, monster_asks(monsters, row, s), total)
                    monsters.counts[row, s] += got
                    substance[s, y, x] -= got


@small
def choose_module(place, index, plants, y, x):
    """Returns the row of the module that is grazed in the cell `y, x`, or -1 if it holds no module.

    This is the module with the most tissue; of several, the one with the smallest id.
    """
    best = np.int64(-1)
    if within(place, y, x):
        cell = y * place.width + x
        for k in range(index.start[cell], index.start[cell + 1]):
            row = np.int64(index.rows[k])
            if plants.stage[row] != MODULE:
                continue
            if (
                best < 0
                or plants.counts[row, TISSUE] > plants.counts[best, TISSUE]
                or (plants.counts[row, TISSUE] == plants.counts[best, TISSUE] and plants.id[row] < plants.id[best])
            ):
                best = row
    return best


@small
def choose_victim(place, index, monsters, row, y, x):
    """Returns the row of the monster that the monster in `row`, in the cell `y, x`, can bite, or -1 if there is none.

    This is the nearest other monster within `REACH_FIXED`; of several, the one with the smallest id. In a small torus,
    a monster can be in the window several times, with the same id; the first in the order of cells is taken.
    """
    best, best_square, best_id = np.int64(-1), np.int64(parameters.REACH_FIXED * parameters.REACH_FIXED), np.int64(0)
    for ny in range(max(y - 1, 0), min(y + 2, place.height)):
        line = ny * place.width
        for k in range(index.start[line + max(x - 1, 0)], index.start[line + min(x + 1, place.width - 1) + 1]):
            other = np.int64(index.rows[k])
            dy = np.int64(monsters.y_fixed[other]) - monsters.y_fixed[row]
            dx = np.int64(monsters.x_fixed[other]) - monsters.x_fixed[row]
            square = dy * dy + dx * dx
            if square > best_square or monsters.id[other] == monsters.id[row]:
                continue
            if best < 0 or square < best_square or monsters.id[other] < best_id:
                best, best_square, best_id = other, square, monsters.id[other]
    return best


@kernel
def choose_food(y_low, y_high, place, plant_index, monster_index, plants, monsters, sine_table):
    """Writes the rows that each monster grazes and bites and its demands, and sets `claimed` of these rows to 1.

    Threads may set the same entry of `claimed` concurrently, because all write the same value.
    """
    for y in range(y_low, y_high):
        first = monster_index.start[y * place.width + place.x_low]
        last = monster_index.start[y * place.width + place.x_high]
        for k in range(first, last):
            row = monster_index.rows[k]
            monsters.graze_target[row] = -1
            monsters.bite_target[row] = -1
            if monsters.asleep[row] != 0:
                continue
            x = monsters.x_fixed[row] >> SUBCELL_BITS
            room = gut_room(monsters, row)
            grazes = np.int64(monsters.drives[row, GRAZE])
            if grazes > 0 and room > 0:
                heading = np.int64(monsters.heading[row])
                mouth_y = (monsters.y_fixed[row] + (sine(sine_table, heading) >> MOUTH_SHIFT)) >> SUBCELL_BITS
                mouth_x = (monsters.x_fixed[row] + (cosine(sine_table, heading) >> MOUTH_SHIFT)) >> SUBCELL_BITS
                target = choose_module(place, plant_index, plants, mouth_y, mouth_x)
                if target >= 0:
                    asks = (grazes * mouthful(monsters, row) * grinding(monsters.genome, row)) >> ONE_BITS
                    thorn = genes.trait(plants.genome, target, genes.P_THORN)
                    asks = asks * parameters.THORN_HALVES // (parameters.THORN_HALVES + thorn)
                    chance = bits(draw(place.seed, place.tick, monsters.id[row], MOUTHFUL, GRAZED), ONE_BITS)
                    asks = (asks + chance) >> ONE_BITS
                    monsters.graze_target[row] = target
                    plants.claimed[target] = 1
                    monsters.graze_demand[row] = min(asks, room)
            bites = np.int64(monsters.drives[row, BITE])
            if bites > 0 and room > 0 and monsters.organs[row, JAW] > 0:
                target = choose_victim(place, monster_index, monsters, row, y, x)
                if target >= 0:
                    asks = bites * parameters.BITE_COUNT_PER_JAW * monsters.organs[row, JAW]
                    asks = (asks * tearing(monsters.genome, row)) >> ONE_BITS
                    armour = np.int64(monsters.organs[target, ARMOUR])
                    asks = asks * parameters.ARMOUR_HALVES // (parameters.ARMOUR_HALVES + armour)
                    chance = bits(draw(place.seed, place.tick, monsters.id[row], MOUTHFUL, BITTEN), ONE_BITS)
                    asks = (asks + chance) >> ONE_BITS
                    monsters.bite_target[row] = target
                    monsters.claimed[target] = 1
                    monsters.bite_demand[row] = min(asks, room)


@kernel
def sum_demands(
    y_low, y_high, place, prey_index, prey, eater_index, eater_id, eater_target, eater_demand, kept, share_purpose
):
    """Sums the demands on each being of the table `prey` whose `claimed` is not 0.

    `eater_id`, `eater_target` and `eater_demand` are columns of the eaters: ids, rows of the beings that they eat from,
    and demands.

    Writes `claimed` (the sum), `claim_top` (the row of the eater that gets the remainder), and `held` and `held_sugar`
    (the edible tissue and the sugar at this time). Tissue up to `kept` is not edible. `share_purpose` is the purpose of
    the random numbers that select the eater for the remainder.
    """
    for y in range(y_low, y_high):
        for k in range(
            prey_index.start[y * place.width + place.x_low], prey_index.start[y * place.width + place.x_high]
        ):
            row = prey_index.rows[k]
            if prey.claimed[row] == 0:
                continue
            x = prey.x_fixed[row] >> SUBCELL_BITS
            total, top, top_draw = np.int64(0), np.int64(-1), np.int64(-1)
            for ny in range(max(y - 1, 0), min(y + 2, place.height)):
                line = ny * place.width
                first = eater_index.start[line + max(x - 1, 0)]
                last = eater_index.start[line + min(x + 1, place.width - 1) + 1]
                for j in range(first, last):
                    eater = np.int64(eater_index.rows[j])
                    if eater_target[eater] != row or eater_demand[eater] <= 0:
                        continue
                    total += eater_demand[eater]
                    drawn = draw(place.seed, place.tick, pair(eater_id[eater], prey.id[row]), share_purpose, 0)
                    if drawn > top_draw or (drawn == top_draw and eater_id[eater] < eater_id[top]):
                        top, top_draw = eater, drawn
            prey.claimed[row] = total
            prey.claim_top[row] = top
            prey.held[row] = max(0, np.int64(prey.counts[row, TISSUE]) - kept)
            prey.held_sugar[row] = prey.counts[row, SUGAR]


@small
def eaten(prey, target, demand):
    """Returns the tissue of the being in row `target` that an eater with this `demand` gets, rounded down."""
    have, total = np.int64(prey.held[target]), np.int64(prey.claimed[target])
    if total <= have:
        return demand
    return have * demand // total


@kernel
def take_shares(y_low, y_high, place, plant_index, monster_index, plants, monsters):
    """Adds to each monster its shares of the beings that it grazes and bites; spikes of a victim cause pain in the
    biter.

    Reads only the amounts in those beings at the start (`held`, `held_sugar`), so the order of rows has no effect.
    """
    for y in range(y_low, y_high):
        first = monster_index.start[y * place.width + place.x_low]
        last = monster_index.start[y * place.width + place.x_high]
        for k in range(first, last):
            row = monster_index.rows[k]
            target = monsters.graze_target[row]
            if target >= 0 and monsters.graze_demand[row] > 0:
                got = eaten(plants, target, np.int64(monsters.graze_demand[row]))
                if plants.claim_top[target] == row:
                    got += left_over(place, monster_index, monsters.graze_target, monsters.graze_demand, plants, target)
                monsters.counts[row, DETRITUS] += got
            target = monsters.bite_target[row]
            if target >= 0 and monsters.bite_demand[row] > 0:
                got = eaten(monsters, target, np.int64(monsters.bite_demand[row]))
                if monsters.claim_top[target] == row:
                    got += left_over(place, monster_index, monsters.bite_target, monsters.bite_demand, monsters, target)
                monsters.counts[row, DETRITUS] += got
                monsters.counts[row, SUGAR] += blood(monsters, target, got)
                pricks = np.int64(monsters.organs[target, SPIKE]) * parameters.PAIN_PER_TISSUE
                monsters.pain[row] = min(ONE, monsters.pain[row] + pricks)


@small
def left_over(place, eater_index, eater_target, eater_demand, prey, target):
    """Returns the tissue of the being in row `target` that no eater got because all shares were rounded down."""
    have, total = np.int64(prey.held[target]), np.int64(prey.claimed[target])
    if total <= have:
        return np.int64(0)
    y, x = prey.y_fixed[target] >> SUBCELL_BITS, prey.x_fixed[target] >> SUBCELL_BITS
    rest = have
    for ny in range(max(y - 1, 0), min(y + 2, place.height)):
        line = ny * place.width
        first = eater_index.start[line + max(x - 1, 0)]
        last = eater_index.start[line + min(x + 1, place.width - 1) + 1]
        for j in range(first, last):
            eater = eater_index.rows[j]
            if eater_target[eater] == target and eater_demand[eater] > 0:
                rest -= have * eater_demand[eater] // total
    return rest


@small
def blood(prey, target, got):
    """Returns the sugar that an eater of `got` molecules of tissue also takes from the being in row `target`.

    It is the same fraction of the being's sugar as `got` is of its edible tissue, rounded down.
    """
    return np.int64(prey.held_sugar[target]) * got // max(1, np.int64(prey.held[target]))


@small
def blood_lost(place, index, monsters, victim):
    """Returns the sugar that all biters together take from the monster in row `victim`."""
    lost = np.int64(0)
    y, x = monsters.y_fixed[victim] >> SUBCELL_BITS, monsters.x_fixed[victim] >> SUBCELL_BITS
    rest = left_over(place, index, monsters.bite_target, monsters.bite_demand, monsters, victim)
    for ny in range(max(y - 1, 0), min(y + 2, place.height)):
        line = ny * place.width
        for j in range(index.start[line + max(x - 1, 0)], index.start[line + min(x + 1, place.width - 1) + 1]):
            biter = index.rows[j]
            if monsters.bite_target[biter] == victim and monsters.bite_demand[biter] > 0:
                got = eaten(monsters, victim, np.int64(monsters.bite_demand[biter]))
                lost += blood(monsters, victim, got + (rest if monsters.claim_top[victim] == biter else 0))
    return lost


@kernel
def lose_tissue(y_low, y_high, place, plant_index, monster_index, plants, monsters):
    """Subtracts from each grazed or bitten being what its eaters got; adds pain to bitten monsters."""
    for y in range(y_low, y_high):
        first = plant_index.start[y * place.width + place.x_low]
        last = plant_index.start[y * place.width + place.x_high]
        for k in range(first, last):
            row = plant_index.rows[k]
            if plants.claimed[row] > 0:
                plants.counts[row, TISSUE] -= min(plants.held[row], plants.claimed[row])
                plants.claimed[row] = 0
        first = monster_index.start[y * place.width + place.x_low]
        last = monster_index.start[y * place.width + place.x_high]
        for k in range(first, last):
            row = monster_index.rows[k]
            lost = min(np.int64(monsters.held[row]), np.int64(monsters.claimed[row]))
            if lost > 0:
                monsters.counts[row, TISSUE] -= lost
                monsters.counts[row, SUGAR] -= blood_lost(place, monster_index, monsters, row)
                monsters.pain[row] = min(ONE, monsters.pain[row] + lost * parameters.PAIN_PER_TISSUE)
            monsters.claimed[row] = 0


def act(region: Region) -> None:
    """Exchanges matter between beings and cells, then resolves grazing and biting simultaneously."""
    plants, monsters = region.tables["plants"].record(), region.tables["monsters"].record()
    plant_index, monster_index = region.index("plants"), region.index("monsters")
    both = (plant_index, monster_index, plants, monsters)
    region.run(trade, *both, region.fields["substance"], grown=3)
    region.run(choose_food, *both, region.constants["sine"], grown=2)
    region.run(
        sum_demands,
        plant_index,
        plants,
        monster_index,
        monsters.id,
        monsters.graze_target,
        monsters.graze_demand,
        parameters.STUB_TISSUE_COUNT,
        GRAZE_SHARE,
        grown=1,
    )
    region.run(
        sum_demands,
        monster_index,
        monsters,
        monster_index,
        monsters.id,
        monsters.bite_target,
        monsters.bite_demand,
        0,
        BITE_SHARE,
        grown=1,
    )
    region.run(take_shares, *both)
    region.run(lose_tissue, *both)
