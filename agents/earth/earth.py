"""The laws of Earth, the default world, in the order in which they run each tick.

Each law declares its reach: the distance in cells up to which its result depends on other cells, summed over the law's
phases. Within a tick, a cell is affected only by cells within the sum of all reaches, the light speed.
"""

from umwelt.agents.earth.appearance import appearance, markers
from umwelt.agents.earth.duels import replace_founders, sample_genomes
from umwelt.agents.earth.genesis import (
    check_row,
    chemistry,
    climate,
    constants,
    founder,
    founders,
    genesis,
    layout,
    prepare,
    species,
)
from umwelt.agents.earth.laws.act import act
from umwelt.agents.earth.laws.grow import grow
from umwelt.agents.earth.laws.live import live
from umwelt.agents.earth.laws.metabolism import react
from umwelt.agents.earth.laws.move import move
from umwelt.agents.earth.laws.respond import respond
from umwelt.agents.earth.laws.sense import SIGHT_CELLS, sense
from umwelt.agents.earth.laws.spore import spore
from umwelt.agents.earth.settings import EarthSettings
from umwelt.sandbox.laws.flow import flow
from umwelt.sandbox.laws.weather import weather
from umwelt.sandbox.step import Law, Laws

laws = Laws(
    name="earth",
    order=(
        Law("weather", 0, weather),  # computes sun, wind, temperature and moisture of the tick
        Law("flow", 2, flow),  # moves water downhill; spreads gases and scents, also by wind
        Law("react", 0, react),  # runs the reactions in cells and in bodies
        Law("sense", SIGHT_CELLS, sense),  # writes the stimuli of monsters, and the light and bud direction of modules
        Law("respond", 0, respond),  # computes drives from stimuli
        Law("act", 3, act),  # lets beings breathe, drink, graze and bite; competing demands share a supply
        Law("move", 1, move),  # turns and moves monsters; moves seeds with the wind
        Law("grow", 1, grow),  # moves matter along stems, sprouts seeds, builds organs
        Law("live", 2, live),  # lets beings breed, age and die; appends the newborn to the tables
        Law("spore", 0, spore),  # in worlds with spores, makes seeds without parents from the matter of a cell
    ),
    settings=EarthSettings,
    layout=layout,
    genesis=genesis,
    prepare=prepare,
    chemistry=chemistry,
    species=species,
    founders=founders,
    founder=founder,
    check_row=check_row,
    sample_genomes=sample_genomes,
    replace_founders=replace_founders,
    appearance=appearance,
    markers=markers,
    climate=climate,
    constants=constants,
    ids_name_tables=True,
)
