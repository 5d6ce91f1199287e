"""The world file that `umwelt new` writes: something to begin with, each line explained."""

WORLD = """\
# {name}: a world for Umwelt.   umwelt check {file}   umwelt launch {file}
# What is left out keeps Earth's values. Counts are molecules, times are ticks.

width = 128                 # cells; the world is a torus, so leaving on the right comes back on the left
height = 128
seed = 1                    # the same file and seed give the same history, bit for bit, on any machine
summary = "{name}: a world of my own"
births = false              # true: births are journalled with genomes, for umwelt lineage; "monsters": theirs alone

[climate]
day_ticks = 600             # the sun goes round in so many ticks
year_ticks = 9600
light = 1.0                 # noon light; 1 is Earth's
temperature = 18.0          # mean, degrees Celsius
season_celsius = 6.0        # how much warmer summer is than the mean
day_celsius = 4.0           # how much warmer noon is than the day's mean
cloud = 0.4                 # light that is lost under full cloud
wind = 1.0
tide = 0                    # how high the tide pulls free water; 0 is none
tide_ticks = 600            # from one high water to the next

[ground]
hills = 1600                # height of the highest hills; 0 is a plain
sea_level = 620             # what lies lower is filled with water
shape = "hills"             # or "islands"
islands = 5                 # how many, where the shape is islands
channels = 0                # channels of deep water along y; 2 part the world in halves that nobody leaves
channel_cells = 16          # how wide deep water is at least
sea_depth = 2000            # how deep the floor of such seas lies
soil_water = 420            # water in every cell at the beginning
soil_holds = 600            # beyond this, water runs downhill
mineral = 40                # what plants need beside light, water and air
detritus = 6                # dead matter, food for some

[chemistry]
# without = ["rot"]                         # leave out one of Earth's reactions
# rates = {{ decay = 0.01 }}                  # or change how fast it goes
# initial = {{ nectar = 2 }}                  # a substance of one's own in every cell at the beginning
# mobility = {{ nectar = [0.1, 0.0] }}        # share that spreads in a tick, share that a full wind carries

# symbols, of what elements are made, and charges: worlds/particles.toml has both
[chemistry.substances]
# nectar = "CH2O"                           # name = formula over elements

# [[chemistry.reactions]]                   # elements must balance; umwelt check says where they do not
# name = "nectar fades"
# equation = "nectar + oxygen -> carbon_dioxide + water"
# rate = 0.02                               # share of what there is, in a tick

# Founders: who is there at tick 0. What becomes of them is up to them.

[[founders]]
species = "grass"           # plants at hand: grass, shrub, reed
count = 1200
# spores = 0.0005           # odds a tick that one comes to be in a cell where enough detritus and sugar lie

[[founders]]
species = "shrub"
count = 200
clumps = 12                 # they stand around so many places

[[founders]]
species = "reed"
count = 200

[[founders]]
species = "grazer"          # monsters at hand: grazer, hunter, blank
count = 160

[[founders]]
species = "hunter"
count = 30
# genes = {{ hue = -60, longevity = 80 }}     # some genes set anew, -128 to 127
# variation = 0.02                            # share of its genes in which each founder differs
# organs = ["jaw", "leg", "eye", "gut"]     # which organs it grows, in which order
# wires = {{ bite = {{ 1 = 90 }} }}             # weights of its net; worlds/arena.toml has whole nets
# behaviour = "my_package.my_module:Shy"    # a Python class with `respond` in place of a net, or "snail.hocl"
# genomes = ["0aff...", "0b00..."]          # whole genomes in hexadecimal digits, dealt out in turn over the group
# among = "grazer"                          # mixed with another group, so that neither has the better places
"""


def world_text(name: str, file: str) -> str:
    """The text of a new world file."""
    return WORLD.format(name=name, file=file)
