"""Earth's laws in their order: the table of contents of the physics.

Each law declares its reach, the distance in cells that its result depends on (the sum over its phases). Nothing farther
than the sum of all reaches affects a cell within a tick.
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
        Law("weather", 0, weather),  # sun, wind, temperature and moisture of the tick
        Law("flow", 2, flow),  # water runs downhill; gases and scents spread and drift
        Law("react", 0, react),  # chemistry in cells and in bodies
        Law("sense", SIGHT_CELLS, sense),  # stimuli of monsters; light and free neighbours of modules
        Law("respond", 0, respond),  # stimuli become drives
        Law("act", 3, act),  # breathe, drink, graze, bite; demands on one supply are shared
        Law("move", 1, move),  # monsters turn and run; seeds drift
        Law("grow", 1, grow),  # modules share along stems, seeds sprout, organs are built
        Law("live", 2, live),  # beings breed, age and die; the newborn join
        Law("spore", 0, spore),  # in worlds with spores, seeds appear from the matter of a cell
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
