"""The welcome message to viewers: it describes the world by what its laws declare."""

import numpy as np
import pytest
from sharded_regions import golden_world

from umwelt.agents.open_world import begin
from umwelt.agents.world_file import bundled_worlds, read_world
from umwelt.cluster.gateway.welcome import compose_welcome, species_tables
from umwelt.cluster.wire import viewer_protocol
from umwelt.sandbox.laws.weather import climate_of


def test_the_welcome_of_earth_has_climate_substances_and_the_table_of_each_species():
    world = golden_world(64, 64, **{"climate.cloud": 0.75})
    said = compose_welcome(world, "spectator", "tcp://directory:1")
    region = begin(world)
    assert said.climate == climate_of(region)._asdict() and said.climate["cloud_q10"] == 768
    assert said.substances == list(world.chemistry.names) and "vapour" in said.substances
    assert said.layers[-3:] == ["light", "temperature", "rain"] and said.units["rain"]
    assert said.kinds == {"grass": "plants", "shrub": "plants", "reed": "plants"} | dict.fromkeys(
        ["grazer", "hunter"], "monsters"
    )
    for name, table in said.kinds.items():
        assert said.species.index(name) in np.unique(region.tables[table]["species"])
    assert (
        said.coordinator == ""
        and compose_welcome(world, "keeper", "tcp://coordinator:1").coordinator == "tcp://coordinator:1"
    )
    assert viewer_protocol.decode(viewer_protocol.encode(said))[0] == said


def test_renamed_species_are_in_the_table_of_the_species_they_are_like():
    world = golden_world(
        64,
        64,
        **{
            "founders.0.species": "moss",
            "founders.0.like": "grass",
            "founders.4.species": "lynx",
            "founders.4.kind": "monster",
        },
    )
    assert species_tables(world)["moss"] == "plants" and species_tables(world)["lynx"] == "monsters"


@pytest.mark.parametrize("name", ["flocking", "market", "wolf_sheep"])
def test_worlds_of_other_laws_have_no_climate_and_no_substances(name):
    world = read_world(bundled_worlds()[name])
    said = compose_welcome(world, "keeper", "")
    assert said.climate == {} and said.substances == [] and "rain" not in said.layers
    if said.species and len(said.columns) == 1:
        assert set(said.kinds) == set(said.species)
    else:
        assert said.kinds == {}


def test_a_welcome_has_defaults_for_its_later_fields():
    told = ["keeper", "world", 8, 8, [], [], {}, [], {}, {}, [], 400]
    assert (viewer_protocol.Welcome(*told).climate, viewer_protocol.Welcome(*told).kinds) == ({}, {})


def test_the_welcome_has_the_hues_of_species():
    world = read_world("meadow")
    hues = compose_welcome(world, "keeper", "").hues
    assert set(hues) == {founder.species for founder in world.settings.founders}
    assert hues["grazer"] == 30 and hues["hunter"] == -110 and hues["grass"] == -20
    assert compose_welcome(read_world("wolf_sheep"), "keeper", "").hues == {}
