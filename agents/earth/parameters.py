"""The numbers of Earth's bodies in one table. Counts are molecules, times are ticks, factors are 1/1024.

`_64` marks rates in 1/64 of a molecule a tick, the unit of body catalysts.
"""

# --- plants
LEAF_FULL_COUNT = 48  # tissue beyond which a module's leaf grows no further
LEAF_64_PER_TISSUE = 26  # photosynthesis of one tissue in full light
PLANT_UPKEEP_64_PER_TISSUE = 1
PLANT_UPKEEP_MIN_64 = 6
PLANT_BUILDER_64 = 24  # growth of a module with sugar to spare
PLANT_STARVING_64 = 16
PLANT_ALIVE_COUNT = 4  # a module with less tissue dies
PLANT_WATER_COUNT = 64  # what a module holds
PLANT_GAS_COUNT = 48
PLANT_MINERAL_COUNT = 8
PLANT_SUGAR_KEPT_COUNT = 12  # below this it does not build
PLANT_SUGAR_MAX_COUNT = 160  # a module full of sugar stops making more
STUB_TISSUE_COUNT = 6  # of a module, too low to be grazed
BUD_TISSUE_COUNT = 8  # tissue given to a new module
BUD_SUGAR_COUNT = 8
SEED_TISSUE_MIN_COUNT = 4
SEED_ODDS_BITS = 7  # a ripe module makes a seed with odds 1 : 2^7 a tick
SEED_KEEPS_TICKS = 200
SEED_ALOFT_MIN_TICKS = 12
SEED_FLIGHT_FIXED = 700  # furthest a seed flies in a tick, in full wind
DROWNING_COUNT = 1400  # water in the cell above which modules get no light
PLANT_OLD_TICKS = 2400
PLANT_DEATH_BITS = 7  # an old module dies with odds 1 : 2^7 a tick
SHADE_PER_TISSUE = 14  # light lost to a taller neighbour, by its tissue

# --- monsters
CORE_TISSUE_COUNT = 16
ORGAN_TISSUE_COUNT = 6
ALIVE_TISSUE_COUNT = 12
SUGAR_BASE_COUNT = 160
SUGAR_PER_STORE_COUNT = 160
WATER_HELD_COUNT = 128
OXYGEN_HELD_COUNT = 48
MINERAL_KEPT_COUNT = 6
GUT_BASE_COUNT = 24
GUT_PER_ORGAN_COUNT = 12
DIGEST_64_PER_GUT = 24
DIGEST_BASE_64 = 20
DIGEST_64_PER_8_FANGS = 1  # a flesh-eater's gut is short and quick
BASAL_64_PER_8_TISSUE = 7
ORGAN_64 = 1  # upkeep of an organ
LEG_64 = 1
MOVE_64 = 48  # running at full thrust
BUILDER_64 = 14
STARVING_64 = 24
GRAZE_COUNT_PER_JAW = 3
GRAZE_COUNT_BASE = 2
BITE_COUNT_PER_JAW = 7
DRINK_COUNT = 24
SIGHT_BASE_FIXED = 1536
SIGHT_PER_EYE_FIXED = 640
SIGHT_MAX_FIXED = 4096
ANTENNA_FIXED = 1536
ANTENNA_ANGLE = 8192  # an eighth turn
SPEED_BASE_FIXED = 160
SPEED_PER_LEG_FIXED = 150
SPEED_MAX_FIXED = 900
TURN_MAX = 8192
REACH_FIXED = 1100  # how far a bite reaches
PAIN_PER_TISSUE = 48
PAIN_HEALS = 12
THIRST_PAIN = 24
EYE_DRIES = 9  # a tick, in air of full dryness, in 1/1024; one more in any air
TIRED_BY_THRUST = 2
TIRED_AWAKE_EVERY = 4  # one more point of fatigue every so many ticks awake
REST_RECOVERS = 8
REST_THRESHOLD = 400
SCENT_256 = 192  # a scent at full drive, without glands, in 1/256 of a molecule a tick
SCENT_PER_GLAND_256 = 256
LICK_COUNT = 12  # sugar licked off the ground in a tick at full drive
OLD_TICKS = 1800
DEATH_BITS = 7
BREED_SUGAR_COUNT = 60
BREED_THRESHOLD = 256
