"""Laws of a world, and the functions that run them: one tick of any region, or many ticks of a whole world.

A region is a rectangle of the world with the halo around it: copies of the cells and beings that its laws read there.
"""

from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from umwelt.sandbox.chemistry import Chemistry
from umwelt.sandbox.columns import Schema
from umwelt.sandbox.errors import LawError
from umwelt.sandbox.region import SORT_EVERY_TICKS, Field, Region
from umwelt.sandbox.units import LIGHT_SPEED_CELLS


@dataclass(frozen=True)
class Law:
    """A rule of the world: `run` computes it on a region; its result depends on cells up to `reach` cells away."""

    name: str
    reach: int
    run: Callable[[Region], None]


class Look(NamedTuple):
    """A property of a being that viewers (programs that display the world) receive.

    They receive `value >> shift`, clipped to the range of `dtype`. The value is `table[name]`, or
    `table[column][:, entry]` where `column` is given (for a gene that has no column name).
    """

    name: str
    dtype: str
    shift: int = 0
    column: str = ""
    entry: int = 0


class Appearance(NamedTuple):
    """The properties of a table's beings that viewers (programs that display the world) receive.

    `size` names the column that gives the size of the dot that stands for a being; empty if all dots are equally large.
    """

    looks: Sequence[Look]
    size: str = ""


@dataclass(frozen=True, eq=False)
class Founders:
    """A group of beings of one species that exist when a world begins.

    The position of the group in the result of `Laws.founders` is the index of its species. The `count` founders receive
    the rows of `genomes: int8[genome, gene]` in rotation. `table` is the name of their table. `behaviour` is a
    behaviour reference as in a world file ("net", the file of a HOCL program, or "package.module:Class"), empty for
    beings without behaviour (plants). `hue` is -128 to 127, one turn of the colour wheel.
    """

    species: str
    table: str
    count: int
    genomes: np.ndarray
    behaviour: str
    hue: int


def no_founders(world: Any) -> Sequence[Founders]:
    """Returns an empty tuple: the default of `Laws.founders`."""
    return ()


def no_table(world: Any) -> Mapping[str, Any]:
    """Returns an empty dict: the default of `Laws.markers`, `Laws.climate` and `Laws.constants`."""
    return {}


def plain_appearance(world: Any) -> Mapping[str, Appearance]:
    """Returns, for each table, its stored columns with one number for each row, except id, position and `parent_id`.

    It is the default of `Laws.appearance`.
    """
    narrow = {"species": Look("species", "int16"), "heading": Look("heading", "uint8", 8)}
    return {
        schema.name: Appearance(
            [
                narrow.get(column.name) or Look(column.name, column.dtype)
                for column in schema.own
                if not column.derived and not column.entries and column.name != "parent_id"
            ]
        )
        for schema in world.laws.layout(world)[1]
    }


@dataclass(frozen=True)
class Laws:
    """The laws of a world in order, with functions that define its fields, tables, genesis and species.

    Arguments named `world` are `WorldFile` objects, those named `region` are `Region` objects.

    Required:

    - `settings`: a msgspec Struct class: the sections of the world file that these laws read.
    - `layout(world)`: the fields (properties of all cells) and the schemas (the columns of each table of beings).
    - `genesis(world, region)`: creates the state of tick 0 in an empty region that owns the torus and has no halo.

    Optional; the defaults stand for laws without the feature:

    - `prepare(world, region)`: called before the first tick in a process; sets up state that snapshots do not contain,
      such as behaviours.
    - `chemistry(world)`: the substances in the field `substance` and in the columns `counts`, and their reactions.
    - `species(world)`: the names of the species in order of their index.
    - `founders(world)`: the groups of founders in order of their species index.
    - `founder(world, species, key, genome)`: a new founder of a species, as genesis makes it: the name of its table and
      its columns without id and position, each a number or an array of one row. `key` replaces the founder's id in its
      random numbers; `genome` (bytes) replaces its genome. Raises WorldFileError for an invalid genome.
    - `check_row(world, table, row)`: raises ValueError if a row (column values by name) has values that the laws
      cannot process.
    - `sample_genomes(world, region, species)`: the ids and genomes (`int64[n]`, `int8[n, gene]`) of living beings of a
      species, from which the founders of a duel are chosen.
    - `replace_founders(content, species, sides, each)`: edits the content of a world file for a duel, which compares
      groups of founders in one world. `sides` maps the name of each group to its genomes. The founders of `species` are
      replaced by `each` founders of every group, in mixed positions.
    - `appearance(world)`: the properties of beings that viewers receive, by table.
    - `markers(world)`: the indices of the genes that have no effect except on the kinship that beings sense, by table.
    - `climate(world)`: the climate as integers by name.
    - `constants(world)`: the constants of a region (integer tables by name), as genesis computes them.
    - `ids_name_tables`: whether every being's id encodes the kind (a number from 0 to 7) of the schema of its table.
    """

    name: str
    order: Sequence[Law]
    settings: type
    layout: Callable[[Any], tuple[Sequence[Field], Sequence[Schema]]]
    genesis: Callable[[Any, Region], None]
    prepare: Callable[[Any, Region], None] | None = None
    chemistry: Callable[[Any], Chemistry] | None = None
    species: Callable[[Any], Sequence[str]] | None = None
    founders: Callable[[Any], Sequence[Founders]] = no_founders
    founder: Callable[[Any, str, int, bytes | None], tuple[str, dict[str, Any]]] | None = None
    check_row: Callable[[Any, str, Mapping[str, Any]], None] | None = None
    sample_genomes: Callable[[Any, Region, str], tuple[np.ndarray, np.ndarray]] | None = None
    replace_founders: Callable[[MutableMapping[str, Any], str, Mapping[str, Sequence[bytes]], int], None] | None = None
    appearance: Callable[[Any], Mapping[str, Appearance]] = plain_appearance
    markers: Callable[[Any], Mapping[str, tuple[int, ...]]] = no_table
    climate: Callable[[Any], Mapping[str, int]] = no_table
    constants: Callable[[Any], Mapping[str, np.ndarray]] = no_table
    ids_name_tables: bool = False

    def __post_init__(self) -> None:
        if self.light_speed > LIGHT_SPEED_CELLS:
            raise LawError(
                f"laws {self.name}: their reaches add up to {self.light_speed} cells a tick; at most "
                f"{LIGHT_SPEED_CELLS} are allowed: shorten one of {[(law.name, law.reach) for law in self.order]}"
            )

    def __iter__(self) -> Iterator[Law]:
        return iter(self.order)

    @property
    def light_speed(self) -> int:
        """The sum of the laws' reaches: how many cells an effect can travel in one tick."""
        return sum(law.reach for law in self.order)


def step(region: Region, laws: Laws, between: Callable[[Law], None] | None = None) -> None:
    """Computes one tick of a region: of its rectangle and of the halo, the copies of the cells around it.

    Each law makes an outer part of the halo inexact, as wide as its reach, and reduces `region.margin_cells`, the width
    of the part that is still exact, by that. Calls `between(law)` after each law. Raises LawError if the exact part of
    the halo is narrower than the sum of all reaches.
    """
    if region.margin_cells < laws.light_speed:
        raise LawError(
            f"{region.margin_cells} cells of halo are left at tick {region.tick}, {laws.light_speed} are needed"
        )
    for law in laws:
        region.margin_cells -= law.reach
        law.run(region)
        if between is not None:
            between(law)
    region.tick += 1
    region.controls.expire(region.tick)


def advance(region: Region, laws: Laws, ticks: int) -> None:
    """Computes `ticks` ticks of a region that owns the whole torus; refills its halo from its own edges when needed."""
    for _ in range(ticks):
        if region.margin_cells < laws.light_speed:
            if region.tick % SORT_EVERY_TICKS == 0:
                region.sort()
            region.wrap()
        step(region, laws)
