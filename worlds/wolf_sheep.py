"""The world `wolf_sheep`: wolf-sheep predation as in Mesa's example, as integer laws.

The model is Wilensky's (NetLogo Wolf Sheep Predation, Center for Connected Learning, Northwestern University, 1997). In
a tick each sheep moves to one of the four neighbouring cells without a wolf, preferably one with grown grass, or stays
if all four have wolves; it loses 1 energy, eats the grass if it is grown, and dies if its energy is below 0. Otherwise
it bears a lamb with a given probability, to which it gives half of its energy. Then the wolves do the same: they move
to a neighbouring cell with sheep if there is one, otherwise to any, and each eats one sheep if any is left for it.

In Mesa animals act one after another, so that later animals find only the remaining food. Here they act at the same
time, in `ROUNDS` rounds: all animals that seek food choose a cell and join its queue in random order; the first in the
queue get the food, and the others choose again among the remaining food. The order of the animals differs from Mesa's,
but the total amount of food eaten does not.

In each round, choosing and queueing each read the state one cell away, so the result depends on cells up to `2 *
ROUNDS` away. No index by cell is needed: each pass runs once over the rows and updates counts of cells, or inserts
beings into queues ordered by random numbers, so that the order of rows does not matter.

In kernels, `place` is a `Place` (sandbox/region.py), `beings`, `sheep` and `wolves` are records (named tuples of
columns) of tables, and window cells (the cells of a region and of the halo around it) are given by their index
`y * width + x`.
"""

from collections import namedtuple
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta

from umwelt.agents.earth.terrain import draws
from umwelt.agents.world_file import WorldFile
from umwelt.sandbox.columns import Column, Schema, birth_id, identity
from umwelt.sandbox.dice import below, bits, draw, purpose
from umwelt.sandbox.kernel import call, kernel, small
from umwelt.sandbox.region import Field, Region
from umwelt.sandbox.step import Law, Laws
from umwelt.sandbox.units import ONE, RATE_BITS, SUBCELL, SUBCELL_BITS, fraction_from_float, rate_from_float

ROUNDS = 2
"""The number of rounds in a tick in which animals that seek food choose a cell."""
SHEEP, WOLF = 1, 2
"""The kinds in the ids of sheep and of wolves."""
LITTER = 3
"""The maximum number of births of each kind in a cell and tick.

Their ids differ by the kind: 1, 3, 5 for sheep and 2, 4, 6 for wolves."""

SCATTER = purpose("wolf_sheep.scatter")
VIGOUR = purpose("wolf_sheep.vigour")
GRASS = purpose("wolf_sheep.grass")
STEER = purpose("wolf_sheep.steer")
QUEUE = purpose("wolf_sheep.queue")
BREED = purpose("wolf_sheep.breed")
LITTER_QUEUE = purpose("wolf_sheep.litter")
PREY = purpose("wolf_sheep.prey")

SEEKING, ARRIVED, EATING = 0, 1, 2
"""The states of an animal in a tick: it seeks food, gets none and has chosen its cell, or gets food in its cell."""
DIRECTIONS = 4


class GrassSettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Settings of the grass: for how many ticks, after the one in which it is eaten, it is not grown."""

    regrowth_ticks: Annotated[int, Meta(ge=1, le=1_000_000)] = 30


class AnimalSettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Settings of a kind of animal.

    `count` is the number at tick 0, `reproduce` the probability of a birth per tick, and `gain` the energy from a meal.
    """

    count: Annotated[int, Meta(ge=0, lt=1 << 30)]
    reproduce: Annotated[float, Meta(ge=0, le=1)]
    gain: Annotated[float, Meta(ge=0, le=1000)]


class Settings(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The sections of a world file that these laws read."""

    sheep: AnimalSettings
    wolves: AnimalSettings
    grass: GrassSettings = GrassSettings()


Rules = namedtuple("Rules", ["regrowth_ticks", "sheep_gain", "sheep_births", "wolf_gain", "wolf_births"])
"""The settings as integers: energies in 1/1024, probabilities of births in 2^-24."""

_ANIMAL = (
    Column("parent_id", "int64", unit="identity", fixed=True),
    Column("energy", "int32", unit="1/1024"),
    Column("species", "int16", unit="index among the world's species", inherited=True, fixed=True),
)
SHEEP_TABLE = Schema("sheep", SHEEP, _ANIMAL, __name__)
WOLF_TABLE = Schema("wolves", WOLF, _ANIMAL, __name__)


def rules_of(region: Region) -> Rules:
    """Returns the settings as integers, read from the region's constant `rules`."""
    return Rules(*region.constants["rules"].tolist())


# --- queues in cells


@small
def cell_of(place, beings, row):
    """Returns the index of the window cell in which a being is."""
    return np.int64(beings.y_fixed[row] >> SUBCELL_BITS) * place.width + (beings.x_fixed[row] >> SUBCELL_BITS)


@small
def inside(place, beings, row):
    """Returns whether the four neighbours of a being's cell are in the window; beings at the edge do not move."""
    y, x = beings.y_fixed[row] >> SUBCELL_BITS, beings.x_fixed[row] >> SUBCELL_BITS
    return 0 < y < place.height - 1 and 0 < x < place.width - 1


@small
def neighbour(place, cell, direction):
    """Returns the window cell next to `cell` in a direction: east, south, west, north for 0 to 3."""
    step = 1 if direction & 1 == 0 else place.width
    return cell + step if direction < 2 else cell - step


@small
def join(head, behind, drawn, ids, cell, row):
    """Inserts the being `row` into the queue of a cell, ordered by descending random numbers `drawn`, then by ids.

    `head[cell]` is the first row of the queue, `behind[row]` the next row, -1 at the end.
    """
    ahead, at = np.int64(-1), np.int64(head[cell])
    while at >= 0 and (drawn[at] > drawn[row] or (drawn[at] == drawn[row] and ids[at] < ids[row])):
        ahead, at = at, np.int64(behind[at])
    behind[row] = at
    if ahead < 0:
        head[cell] = row
    else:
        behind[ahead] = row


@small
def is_among_first(head, behind, cell, row, count):
    """Returns whether the being `row` is among the first `count` in the queue of a cell."""
    at = np.int64(head[cell])
    for _ in range(count):
        if at < 0 or at == row:
            return at == row
        at = np.int64(behind[at])
    return False


@small
def pick(options, drawn):
    """Returns a random direction whose bit is set in `options`, uniformly chosen by `drawn`, a result of `draw`."""
    count = (options & 1) + (options >> 1 & 1) + (options >> 2 & 1) + (options >> 3 & 1)
    skip = below(drawn, count)
    for direction in range(DIRECTIONS):
        if options >> direction & 1:
            if skip == 0:
                return direction
            skip -= 1
    return 0


# --- the steps of a law


@kernel
def count_in_cells(place, beings, count):
    """Adds the number of beings in each window cell to `count`."""
    for row in range(len(beings.id)):
        count[cell_of(place, beings, row)] += 1


@kernel
def seek_grass(place, turn, sheep, wolf_count, ripe_tick, state, target, drawn, head, behind):
    """Lets each seeking sheep choose a cell, and join the cell's queue if grass is grown there.

    The state of sheep that choose a cell without grown grass becomes `ARRIVED`.
    `turn` is the number of the round. Writes `target[row]`, the chosen window cell.
    """
    for row in range(len(sheep.id)):
        if state[row] != SEEKING:
            continue
        here = cell_of(place, sheep, row)
        safe, lush = 0, 0
        if inside(place, sheep, row):
            for direction in range(DIRECTIONS):
                cell = neighbour(place, here, direction)
                if wolf_count[cell] == 0:
                    safe |= 1 << direction
                    if ripe_tick[cell] <= place.tick:
                        lush |= 1 << direction
        cell = here
        if safe != 0:
            options = lush if lush != 0 else safe
            cell = neighbour(place, here, pick(options, draw(place.seed, place.tick, sheep.id[row], STEER, turn)))
        target[row] = cell
        if ripe_tick[cell] <= place.tick:
            drawn[row] = draw(place.seed, place.tick, sheep.id[row], QUEUE, turn)
            join(head, behind, drawn, sheep.id, cell, row)
        else:
            state[row] = ARRIVED


@kernel
def eat_grass(place, regrowth_ticks, last, ripe_tick, state, target, head):
    """Lets the first sheep in each queue eat; the others seek again, or in the last round get no food."""
    for row in range(len(state)):
        if state[row] == SEEKING:
            if head[target[row]] == row:
                state[row] = EATING
                ripe_tick[target[row]] = place.tick + regrowth_ticks + 1
            elif last:
                state[row] = ARRIVED


@kernel
def seek_sheep(place, turn, wolves, sheep_count, eaten, state, target, drawn, head, behind):
    """Lets each seeking wolf choose a cell, and join the cell's queue if sheep are left there.

    The state of wolves that find no such cell becomes `ARRIVED`.
    `turn` is the number of the round. Writes `target[row]`, the chosen window cell.
    """
    for row in range(len(wolves.id)):
        if state[row] != SEEKING:
            continue
        here = cell_of(place, wolves, row)
        target[row] = here
        state[row] = ARRIVED
        if not inside(place, wolves, row):
            continue
        options = 0
        for direction in range(DIRECTIONS):
            cell = neighbour(place, here, direction)
            if sheep_count[cell] > eaten[cell]:
                options |= 1 << direction
        drawn_direction = draw(place.seed, place.tick, wolves.id[row], STEER, turn)
        cell = neighbour(place, here, pick(options if options != 0 else 15, drawn_direction))
        target[row] = cell
        if options != 0:
            state[row] = SEEKING
            drawn[row] = draw(place.seed, place.tick, wolves.id[row], QUEUE, turn)
            join(head, behind, drawn, wolves.id, cell, row)


@kernel
def catch_sheep(last, sheep_count, eaten, state, target, head, behind):
    """Lets the first wolves in each queue catch the remaining sheep, one each.

    The other wolves seek again, or in the last round get no food.
    """
    for row in range(len(state)):
        if state[row] == SEEKING:
            cell = target[row]
            if is_among_first(head, behind, cell, row, sheep_count[cell] - eaten[cell]):
                state[row] = EATING
            elif last:
                state[row] = ARRIVED


@kernel
def count_caught(before, state, target, eaten):
    """Adds the number of sheep caught in this round to `eaten[cell]`; `before` are the states before the catch."""
    for row in range(len(state)):
        if state[row] == EATING and before[row] == SEEKING:
            eaten[target[row]] += 1


@kernel
def queue_prey(place, sheep, sheep_count, eaten, drawn, head, behind):
    """Inserts the sheep of cells where some but not all sheep are eaten into the cells' queues, in random order."""
    for row in range(len(sheep.id)):
        cell = cell_of(place, sheep, row)
        if 0 < eaten[cell] < sheep_count[cell]:
            drawn[row] = draw(place.seed, place.tick, sheep.id[row], PREY, 0)
            join(head, behind, drawn, sheep.id, cell, row)


@kernel
def mark_eaten(place, sheep, sheep_count, eaten, head, behind, dead):
    """Sets `dead[row]` to 1 for eaten sheep: the first `eaten[cell]` in the queue of a cell, or all sheep in it."""
    for row in range(len(sheep.id)):
        cell = cell_of(place, sheep, row)
        if eaten[cell] > 0:
            if eaten[cell] == sheep_count[cell] or is_among_first(head, behind, cell, row, eaten[cell]):
                dead[row] = 1


@kernel
def arrive(place, gain, births, beings, state, target, drawn, head, behind, dead, parents):
    """Moves animals to their chosen cells and updates their energy: -1, and `gain` for animals that eat.

    Sets `dead[row]` to 1 for animals whose energy is below 0. The others join their cell's queue for births with the
    probability `births` (2^-24). Writes the rows of these to `parents` and returns their number.
    """
    count = 0
    for row in range(len(beings.id)):
        cell = np.int64(target[row])
        beings.y_fixed[row] = ((cell // place.width) << SUBCELL_BITS) + SUBCELL // 2
        beings.x_fixed[row] = ((cell % place.width) << SUBCELL_BITS) + SUBCELL // 2
        energy = np.int64(beings.energy[row]) - ONE
        if state[row] == EATING:
            energy += gain
        beings.energy[row] = energy
        if energy < 0:
            dead[row] = 1
        elif bits(draw(place.seed, place.tick, beings.id[row], BREED, 0), RATE_BITS) < births:
            drawn[row] = draw(place.seed, place.tick, beings.id[row], LITTER_QUEUE, 0)
            join(head, behind, drawn, beings.id, cell, row)
            parents[count] = row
            count += 1
    return count


@kernel
def bear(place, kind, first_child, beings, parents, target, head, behind):
    """Creates a child of each of the first `LITTER` animals in each cell's queue. Returns the number of children.

    The children are written to the rows from `first_child` on.
    """
    count = 0
    for i in range(len(parents)):
        parent = np.int64(parents[i])
        cell = np.int64(target[parent])
        place_in_queue, at = 0, np.int64(head[cell])
        while at != parent:
            place_in_queue, at = place_in_queue + 1, np.int64(behind[at])
        if place_in_queue >= LITTER:
            continue
        child = first_child + count
        y, x = cell // place.width, cell % place.width
        home = np.int64(place.y_global[y]) * place.world_width + place.x_global[x]
        beings.id[child] = birth_id(kind + 2 * place_in_queue, place.tick + 1, home)
        beings.parent_id[child] = beings.id[parent]
        beings.species[child] = beings.species[parent]
        beings.y_fixed[child] = beings.y_fixed[parent]
        beings.x_fixed[child] = beings.x_fixed[parent]
        beings.energy[child] = beings.energy[parent] >> 1
        beings.energy[parent] -= beings.energy[child]
        count += 1
    return count


class _Walk:
    """The working arrays of a law for one table of animals, used during one tick.

    By row: `state` (such as `SEEKING`), `target` (the chosen window cell), and `drawn` and `behind`, the random number
    and the next row in the queue of a cell. By window cell: `head`, the first row in its queue.
    """

    def __init__(self, region: Region, name: str):
        rows = region.tables[name].count
        self.region, self.name, self.table = region, name, region.tables[name]
        self.state = np.zeros(rows, np.int8)
        self.target = np.empty(rows, np.int32)
        self.drawn = np.empty(rows, np.int64)
        self.behind = np.empty(rows, np.int32)
        self.head = region.scratch("head").reshape(-1)
        self.clear()

    def clear(self) -> None:
        """Empties all queues."""
        self.head.fill(-1)

    @property
    def queues(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The arrays of the queues: random numbers by row, first rows by cell, next rows by row."""
        return self.drawn, self.head, self.behind

    def live(self, kind: int, gain: int, births: int) -> None:
        """Moves the animals to their chosen cells, then lets them breed or die there.

        `kind` is the kind in their ids, `gain` the energy from a meal (1/1024), and `births` the probability of a birth
        (2^-24).
        """
        place, table = self.region.place(), self.table
        dead = np.zeros(len(self.state), np.uint8)
        parents = np.empty(len(self.state), np.int32)
        self.clear()
        wanted = call(arrive, place, gain, births, table.record(), self.state, self.target, *self.queues, dead, parents)
        if wanted:
            new = table.append(wanted)
            born = call(
                bear, place, kind, new.start, table.record(), parents[:wanted], self.target, self.head, self.behind
            )
            # parents beyond the first `LITTER` of a cell leave unused rows at the end
            self.region.record_births(self.name, slice(new.start, new.start + born))
            dead = np.concatenate([dead, np.zeros(born, np.uint8)])
            if born < wanted:
                table.keep(np.arange(table.count) < new.start + born)
        self.region.remove_dead(self.name, dead)


def count_animals(region: Region, name: str) -> np.ndarray:
    """Returns the number of animals of a table in each window cell, `int32[cells]`.

    The result is a scratch array that the next call for the table overwrites.
    """
    count = region.scratch(f"{name}_count").reshape(-1)
    count.fill(0)
    call(count_in_cells, region.place(), region.tables[name].record(), count)
    return count


def graze(region: Region) -> None:
    """Runs the law of the sheep: they avoid wolves, move to grass, eat, breed and die."""
    rules, place, walk = rules_of(region), region.place(), _Walk(region, "sheep")
    wolf_count = count_animals(region, "wolves")
    ripe_tick, sheep = region.fields["ripe_tick"].reshape(-1), walk.table.record()
    for turn in range(ROUNDS):
        call(seek_grass, place, turn, sheep, wolf_count, ripe_tick, walk.state, walk.target, *walk.queues)
        last = turn == ROUNDS - 1
        call(eat_grass, place, rules.regrowth_ticks, last, ripe_tick, walk.state, walk.target, walk.head)
    walk.live(SHEEP, rules.sheep_gain, rules.sheep_births)


def hunt(region: Region) -> None:
    """Runs the law of the wolves: they move to sheep, catch one each, breed and die."""
    rules, place, walk = rules_of(region), region.place(), _Walk(region, "wolves")
    sheep_count = count_animals(region, "sheep")
    eaten = region.scratch("eaten").reshape(-1)
    eaten.fill(0)
    wolves, before = walk.table.record(), np.empty_like(walk.state)
    for turn in range(ROUNDS):
        walk.clear()
        call(seek_sheep, place, turn, wolves, sheep_count, eaten, walk.state, walk.target, *walk.queues)
        before[:] = walk.state
        call(catch_sheep, turn == ROUNDS - 1, sheep_count, eaten, walk.state, walk.target, walk.head, walk.behind)
        call(count_caught, before, walk.state, walk.target, eaten)
    walk.live(WOLF, rules.wolf_gain, rules.wolf_births)
    remove_eaten(region, sheep_count, eaten)


def remove_eaten(region: Region, sheep_count: np.ndarray, eaten: np.ndarray) -> None:
    """Removes the caught sheep, `eaten[cell]` random ones of each cell."""
    place, prey = region.place(), _Walk(region, "sheep")
    sheep, dead = prey.table.record(), np.zeros(prey.table.count, np.uint8)
    call(queue_prey, place, sheep, sheep_count, eaten, *prey.queues)
    call(mark_eaten, place, sheep, sheep_count, eaten, prey.head, prey.behind, dead)
    region.remove_dead("sheep", dead)


# --- tick 0


def layout(world: WorldFile) -> tuple[tuple[Field, ...], list[Schema]]:
    """Returns the fields (the growth of grass) and the tables of sheep and wolves."""
    return (Field("ripe_tick", "int32", unit="tick from which on the grass is grown"),), [SHEEP_TABLE, WOLF_TABLE]


def rules_from(settings: Settings) -> Rules:
    """Returns the settings as integers."""
    sheep, wolves = settings.sheep, settings.wolves
    return Rules(
        settings.grass.regrowth_ticks,
        fraction_from_float(sheep.gain),
        rate_from_float(sheep.reproduce),
        fraction_from_float(wolves.gain),
        rate_from_float(wolves.reproduce),
    )


def genesis(world: WorldFile, region: Region) -> None:
    """Generates grass and animals.

    The grass is grown in about half of the cells and at random stages in the others. Animals have random positions and
    energies of up to two meals.
    """
    rules = rules_from(world.settings)
    region.constants = {"rules": np.array(rules, np.int64)}
    cells = np.arange(region.torus.cells, dtype=np.int64)
    is_grown = draws(cells, region.seed, GRASS, 0) % 2
    stage = draws(cells, region.seed, GRASS, 1) % rules.regrowth_ticks
    region["ripe_tick"][:] = np.where(is_grown == 1, 0, stage).reshape(region.torus)
    for kind, name, gain in ((SHEEP, "sheep", rules.sheep_gain), (WOLF, "wolves", rules.wolf_gain)):
        count = getattr(world.settings, name).count
        ids = identity(kind, 0, np.arange(count), by_hand=True)
        home = draws(ids, region.seed, SCATTER) % region.torus.cells
        columns = {
            "id": ids,
            "y_fixed": (home // region.torus.width * SUBCELL + SUBCELL // 2).astype(np.int32),
            "x_fixed": (home % region.torus.width * SUBCELL + SUBCELL // 2).astype(np.int32),
            "energy": draws(ids, region.seed, VIGOUR) % max(1, 2 * gain),
            "species": kind - 1,
        }
        region.tables[name].append(count, columns)


def species(world: WorldFile) -> list[str]:
    """Returns the names of the species in order of their index."""
    return ["sheep", "wolf"]


laws = Laws(
    name="wolf_sheep",
    order=(
        Law("graze", 2 * ROUNDS, graze),  # sheep: avoid wolves, find grass, eat, breed, die
        Law("hunt", 2 * ROUNDS, hunt),  # wolves: find sheep, eat, breed, die
    ),
    settings=Settings,
    layout=layout,
    genesis=genesis,
    species=species,
)
