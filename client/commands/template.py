"""The text of the world file that `umwelt new` writes: a complete world with comments on its keys."""

WORLD = """\
# {name}: a world for Umwelt.   umwelt check {file}   umwelt launch {file}
# Keys that are left out have the default values of Earth. Counts are molecules, times are ticks.

width = 128                 # cells; the world is a torus: what leaves on the right comes back on the left
height = 128
seed = 1                    # the same file and seed give the same history, bit for bit, on any machines
summary = "{name}: a world of my own"
births = false              # true: record births with genomes, for umwelt lineage; "monsters": only those of monsters

[climate]
day_ticks = 600             # length of a day
year_ticks = 9600
light = 1.0                 # at noon; 1 is Earth's
temperature = 18.0          # mean, in degrees Celsius
season_celsius = 6.0        # how much warmer summer is than the mean
day_celsius = 4.0           # how much warmer noon is than the day's mean
cloud = 0.4                 # share of the light that a full cloud takes
wind = 1.0
tide = 0                    # height that the tide moves free water; 0: no tide
tide_ticks = 600            # from one high water to the next

[ground]
hills = 1600                # height of the highest hills; 0: a plain
sea_level = 620             # ground below this height is under water at the beginning
shape = "hills"             # or "islands"
islands = 5                 # number of islands, for that shape
channels = 0                # channels of deep water along y; 2 divide the world into halves that no being leaves
channel_cells = 16          # least width of a channel's deep water
sea_depth = 2000            # depth of its floor
soil_water = 420            # water in each cell at the beginning
soil_holds = 600            # water beyond this runs downhill
mineral = 40                # in each cell; plants need it beside light, water and air
detritus = 6                # dead matter in each cell, food for some

[chemistry]
# without = ["rot"]                         # leave out one of Earth's reactions
# rates = {{ decay = 0.01 }}                  # or change its rate
# initial = {{ nectar = 2 }}                  # molecules of your own substance in each cell at the beginning
# mobility = {{ nectar = [0.1, 0.0] }}        # share that spreads per tick, and share that a full wind carries

# Elements may be composed of particles, and substances may have charges: see worlds/particles.toml.
[chemistry.substances]
# nectar = "CH2O"                           # name = formula over elements

# [[chemistry.reactions]]                   # elements must balance; umwelt check names those that do not
# name = "nectar fades"
# equation = "nectar + oxygen -> carbon_dioxide + water"
# rate = 0.02                               # share of the substances that reacts per tick

# Founders: the beings at tick 0. Nothing after that is scripted.

[[founders]]
species = "grass"           # plants: grass, shrub, reed
count = 1200
# spores = 0.0005           # probability per tick that one sprouts in a cell with enough detritus and sugar

[[founders]]
species = "shrub"
count = 200
clumps = 12                 # they stand around so many places, instead of everywhere

[[founders]]
species = "reed"
count = 200

[[founders]]
species = "grazer"          # monsters: grazer, hunter, blank
count = 160

[[founders]]
species = "hunter"
count = 30
# genes = {{ hue = -60, longevity = 80 }}     # some genes, from -128 to 127
# variation = 0.02                            # share of its genes in which each founder differs
# organs = ["jaw", "leg", "eye", "gut"]     # the organs that it grows, in this order
# wires = {{ bite = {{ 1 = 90 }} }}             # weights of its neural net; see worlds/arena.toml for whole nets
# behaviour = "my_package.my_module:Shy"    # a Python class with `respond` instead of a net, or "snail.hocl"
# genomes = ["0aff...", "0b00..."]          # whole genomes in hexadecimal digits, given to the founders in turn
# among = "grazer"                          # placed among another group, so that neither has better places
"""


def world_text(name: str, file: str) -> str:
    """Returns the text of a new world file; `name` is the world's name, `file` its path."""
    return WORLD.format(name=name, file=file)
