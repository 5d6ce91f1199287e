"""Runs the laws of a world: one tick over one region, or many ticks of a region that owns the whole torus."""

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
    """A rule of nature: a function of a region, and its reach, the distance in cells that its result depends on."""

    name: str
    reach: int
    run: Callable[[Region], None]


class Look(NamedTuple):
    """A property of a being that viewers see. It is shown as `value >> shift`, clipped to the range of `dtype`.

    The value is `table[name]`, or `table[column][:, entry]` where `column` is given (for genes without a column name).
    """

    name: str
    dtype: str
    shift: int = 0
    column: str = ""
    entry: int = 0


class Appearance(NamedTuple):
    """What viewers see of the beings of a table.

    `size` names the column that gives a being's size where beings are drawn as dots; empty where they are all equal.
    """

    looks: Sequence[Look]
    size: str = ""


@dataclass(frozen=True, eq=False)
class Founders:
    """A group of beings that a world begins with. Its position among the groups is the species index of its beings.

    `genomes: int8[genome, gene]` are dealt out in turn over the `count` founders. `behaviour` is a behaviour reference,
    empty for beings that do not behave (plants). `hue` is their hue, -128 to 127 for one turn of the colour wheel.
    """

    species: str
    table: str
    count: int
    genomes: np.ndarray
    behaviour: str
    hue: int


def no_founders(world: Any) -> Sequence[Founders]:
    """The default of `Laws.founders`: no founders are known."""
    return ()


def no_table(world: Any) -> Mapping[str, Any]:
    """The default of `Laws.markers`, `Laws.climate` and `Laws.constants`: empty."""
    return {}


def plain_appearance(world: Any) -> Mapping[str, Appearance]:
    """The default of `Laws.appearance`: every carried column with one number a row, except `parent_id`."""
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
    """A world's physics: its laws in order, what its cells and beings hold, and how its world files are read.

    Required:

    - `settings`: a msgspec Struct, the sections of the world file that these laws read.
    - `layout(world)`: the fields of the cells and the schemas of the tables.
    - `genesis(world, region)`: fills an empty region that owns the torus and has no halo.

    Optional; the defaults say that the laws have no such thing:

    - `prepare(world, region)`: sets up, before the first tick in a process, what no snapshot carries (behaviours).
    - `chemistry(world)`: substances and elements (of a field `substance` and columns `counts`).
    - `species(world)`: the names of the species in order of their index.
    - `founders(world)`: the groups of founders in order of their species index.
    - `founder(world, species, key, genome)`: a new being as genesis makes the founders of a species: the name of its
      table, and its columns but for id and place, each a number or an array of one row. `key` replaces the founder's
      id in its dice; `genome` (bytes) replaces its genome. Raises WorldFileError for a genome that does not fit.
    - `check_row(world, table, row)`: raises ValueError if a row (column values by name) breaks what the laws rely on.
    - `sample_genomes(world, region, species)`: the ids and genomes (`int64[n]`, `int8[n, gene]`, in order of the ids)
      of the living of a species that may stand for it.
    - `replace_founders(content, species, sides, each)`: edits the content of a world file: replaces the founders of
      `species` by `each` founders for every side (its genomes by its name), mixed with each other.
    - `appearance(world)`: what viewers see of beings, by table.
    - `markers(world)`: the positions in the genome of the genes that mean nothing but kinship, by table.
    - `climate(world)`: the climate as integers by name.
    - `constants(world)`: the integer tables of a region, as genesis makes them.
    - `ids_name_tables`: whether the kind in every being's id is that of its table's schema.
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
        """The distance in cells that the result of one tick depends on: the sum of the laws' reaches."""
        return sum(law.reach for law in self.order)


def step(region: Region, laws: Laws, between: Callable[[Law], None] | None = None) -> None:
    """Run one tick. The exact part of the window shrinks by each law's reach. `between(law)` is called after each law.

    Raises LawError if less halo is left than the laws' reaches need.
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
    """Run `ticks` ticks of a region that owns the whole torus, pasting its halo from its own edges as needed."""
    for _ in range(ticks):
        if region.margin_cells < laws.light_speed:
            if region.tick % SORT_EVERY_TICKS == 0:
                region.sort()
            region.wrap()
        step(region, laws)
