"""What the gateway tells a newcomer of the world: how large it is, what lives there, what can be watched and asked."""

from umwelt.agents.body.genome import PLANT_GENES, TRAIT
from umwelt.agents.body.interface import DRIVES
from umwelt.agents.earth.genesis import species_of as founding_species
from umwelt.agents.earth.genesis import template_kind
from umwelt.agents.earth.settings import EarthSettings
from umwelt.agents.world_file import WorldFile
from umwelt.cluster.gateway.tile_relay import MAX_TILES
from umwelt.cluster.view import queries
from umwelt.cluster.view.tiles import LEVELS, SKY_UNITS, appearances_of, layers_of
from umwelt.cluster.wire.keys import SPECTATOR
from umwelt.cluster.wire.viewer_protocol import Welcome


def greeting(world: WorldFile, role: str, directory: str) -> Welcome:
    """The welcome of a world to somebody of a role; `directory` is where nodes join."""
    fields, schemas = world.laws.layout(world)
    units = {part: one.unit for one in fields for part in one.parts or (one.name,)}
    layers = layers_of(world)
    units |= {name: unit for name, unit in SKY_UNITS.items() if name not in units}
    return Welcome(
        role,
        world.name,
        world.common.height,
        world.common.width,
        species_of(world),
        layers,
        {name: units[name] for name in layers if name in units},
        list(LEVELS),
        {schema.name: queries.column_names(schema) for schema in schemas},
        {
            name: ["id", "y", "x", *(look.name for look in appearance.looks)]
            for name, appearance in appearances_of(world).items()
        },
        list(DRIVES),
        MAX_TILES,
        directory if role != SPECTATOR else "",
        climate_of(world),
        list(world.chemistry.names) if world.chemistry is not None else [],
        kinds_of(world),
        hues_of(world),
    )


def species_of(world: WorldFile) -> list[str]:
    """The names of species by their index; none where the laws know no species."""
    return list(world.laws.species(world)) if world.laws.species else []


def climate_of(world: WorldFile) -> dict[str, int]:
    """The climate as integers, as `weather.Climate` has it; nothing for worlds without one."""
    settings = world.settings
    if not isinstance(settings, EarthSettings):
        return {}
    return settings.climate.table(settings.ground.soil_holds)._asdict()


def kinds_of(world: WorldFile) -> dict[str, str]:
    """The table in which the beings of a species are, by its name; nothing where the laws do not say."""
    if isinstance(world.settings, EarthSettings):
        groups = enumerate(world.settings.founders)
        return {group.species: f"{template_kind(group, f'founders[{at}]')}s" for at, group in groups}
    tables = [schema.name for schema in world.laws.layout(world)[1]]
    return dict.fromkeys(species_of(world), tables[0]) if len(tables) == 1 else {}


def hues_of(world: WorldFile) -> dict[str, int]:
    """The hue gene of a species' founders by its name; nothing where the laws know no such genes."""
    if not isinstance(world.settings, EarthSettings):
        return {}
    found = {}
    for species in founding_species(world.settings):
        at = PLANT_GENES.index("hue") if species["kind"] == "plant" else TRAIT["hue"]
        found[species["name"]] = int(species["genome"][at])
    return found
