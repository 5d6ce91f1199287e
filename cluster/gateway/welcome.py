"""The message that describes the world to a viewer that connects: size, species, layers of tiles, query columns."""

from umwelt.agents.body.interface import DRIVES
from umwelt.agents.world_file import WorldFile
from umwelt.cluster.gateway.tile_relay import MAX_TILES
from umwelt.cluster.view import queries
from umwelt.cluster.view.tiles import LEVELS, SKY_UNITS, layers_of
from umwelt.cluster.wire.keys import SPECTATOR
from umwelt.cluster.wire.viewer_protocol import Welcome

PLACE_COLUMNS = ("id", "y", "x")
"""Columns that the tiles of every table have, before the columns of its appearance."""


def compose_welcome(world: WorldFile, role: str, coordinator_address: str) -> Welcome:
    """Returns the welcome message for a viewer with `role`.

    `coordinator_address`, at which nodes join, is not sent to spectators.
    """
    fields, schemas = world.laws.layout(world)
    units = {part: field.unit for field in fields for part in field.parts or (field.name,)}
    units = SKY_UNITS | units
    layers = layers_of(world)
    appearance = world.laws.appearance(world)
    return Welcome(
        role,
        world.name,
        world.common.height,
        world.common.width,
        species_names(world),
        layers,
        {name: units[name] for name in layers if name in units},
        list(LEVELS),
        {schema.name: queries.column_names(schema) for schema in schemas},
        {schema.name: [*PLACE_COLUMNS, *(look.name for look in appearance[schema.name].looks)] for schema in schemas},
        list(DRIVES),
        MAX_TILES,
        coordinator_address if role != SPECTATOR else "",
        dict(world.laws.climate(world)),
        list(world.chemistry.names) if world.chemistry is not None else [],
        species_tables(world),
        {founders.species: founders.hue for founders in world.laws.founders(world)},
    )


def species_names(world: WorldFile) -> list[str]:
    """Returns the names of the species by index; empty if the laws have no species."""
    return list(world.laws.species(world)) if world.laws.species else []


def species_tables(world: WorldFile) -> dict[str, str]:
    """Returns the table of each species, by species name; empty if it cannot be determined from the laws."""
    founders = world.laws.founders(world)
    if founders:
        return {group.species: group.table for group in founders}
    tables = [schema.name for schema in world.laws.layout(world)[1]]
    return dict.fromkeys(species_names(world), tables[0]) if len(tables) == 1 else {}
