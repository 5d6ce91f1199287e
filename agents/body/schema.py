"""The fields of Earth's cells, and the columns of its plants and monsters.

Snapshots identify columns by name, so a new column may be inserted anywhere. New entries of a column must be appended
to it, as in the lists of `interface.py`. Older snapshots then open, with default values for what they lack.
"""

from umwelt.agents.body.genome import MONSTER_GENES, PLANT_GENES
from umwelt.agents.body.interface import (
    BODY_CATALYSTS,
    DRIVES,
    MEMORY,
    MONSTER_KIND,
    ORGANS,
    PLANT_KIND,
    STIMULI,
    SUBSTANCES,
)
from umwelt.sandbox.columns import Column, Schema
from umwelt.sandbox.region import Field


def cell_fields(substances: tuple[str, ...]) -> tuple[Field, ...]:
    """Returns the fields of an Earth-like world: the counts of `substances`, and the elevation."""
    return (
        Field("substance", "int32", parts=substances, unit="molecules"),
        Field("elevation", "int16", unit="height of one molecule of water", fixed=True),
    )


def _counts(substances: tuple[str, ...]) -> Column:
    """Returns the column that holds the molecules of each substance in a being."""
    return Column("counts", "int32", parts=tuple(f"{name}_count" for name in substances), unit="molecules")


_COMMON = (
    Column("parent_id", "int64", unit="identity", fixed=True),
    Column("species", "int16", unit="index among the world's species", inherited=True, fixed=True),
    Column("generation", "int16", fixed=True),
    Column("age_ticks", "int32", unit="ticks"),
    Column(
        "catalysts", "int16", parts=tuple(f"{name}_catalyst" for name in BODY_CATALYSTS), unit="1/64 molecule a tick"
    ),
)


def plant_columns(substances: tuple[str, ...]) -> tuple[Column, ...]:
    """Returns the columns of the table of plants, in which each row is a module or a seed."""
    return (
        *_COMMON,
        _counts(substances),
        Column("genome", "int8", parts=tuple(f"gene_{name}" for name in PLANT_GENES), inherited=True, fixed=True),
        Column("stem_id", "int64", unit="id of the module that it budded from"),
        Column("stem_direction", "int8", unit="0 none, else 1 + direction to the stem's module"),
        Column("stage", "int8", unit="0 seed aloft, 1 seed in the ground, 2 module"),
        Column("lit", "int16", unit="light on the leaf, 1/1024", derived=True),
        Column("bud_direction", "int8", unit="0 none, else 1 + direction", derived=True),
        Column("birth", "int8", unit="1 bears a bud, 2 a seed", derived=True),
        Column("claimed", "int32", unit="tissue that grazers request", derived=True),
        Column("claim_top", "int32", unit="row of the grazer that gets the remainder", derived=True),
        Column("held", "int32", unit="tissue that can be grazed, at the start of grazing", derived=True),
        Column("held_sugar", "int32", unit="sugar at the start of grazing", derived=True),
    )


def monster_columns(substances: tuple[str, ...]) -> tuple[Column, ...]:
    """Returns the columns of the table of monsters, in which each row is a monster."""
    return (
        *_COMMON,
        _counts(substances),
        Column("genome", "int8", width=MONSTER_GENES, inherited=True, fixed=True),
        Column("heading", "int32", unit="1/65536 turn, clockwise from x"),
        Column("speed_fixed", "int16", unit="1/1024 cell a tick"),
        Column(
            "organs",
            "int8",
            parts=tuple(f"{name}_organs" for name in ORGANS),
            unit="built organs of each sort",
        ),
        Column("organs_built", "int16", unit="organs"),
        Column("fatigue", "int16", unit="1/1024"),
        Column("dryness", "int16", unit="of the eyes, 1/1024"),
        Column("pain", "int16", unit="1/1024"),
        Column("asleep", "int8", unit="1 asleep"),
        Column("eyes_shut", "int8", unit="1 shut"),
        Column("memory", "int16", width=MEMORY, unit="activation, 1/1024"),
        Column("stimuli", "int16", parts=STIMULI, unit="1/1024", derived=True),
        Column("drives", "int16", parts=DRIVES, unit="1/1024", derived=True),
        Column("birth", "int8", unit="1 gives birth", derived=True),
        Column("graze_target", "int32", unit="row of the plant, -1 none", derived=True),
        Column("graze_demand", "int32", unit="tissue", derived=True),
        Column("bite_target", "int32", unit="row of the victim, -1 none", derived=True),
        Column("bite_demand", "int32", unit="tissue", derived=True),
        Column("claimed", "int32", unit="tissue that biters request", derived=True),
        Column("claim_top", "int32", unit="row of the biter that gets the remainder", derived=True),
        Column("held", "int32", unit="tissue at the start of biting", derived=True),
        Column("held_sugar", "int32", unit="sugar at the start of biting", derived=True),
    )


EARTH = tuple(SUBSTANCES)
PLANTS = Schema("plants", PLANT_KIND, plant_columns(EARTH), __name__)
MONSTERS = Schema("monsters", MONSTER_KIND, monster_columns(EARTH), __name__)
