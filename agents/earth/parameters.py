"""The parameters of Earth's bodies in one table. Counts are molecules, times are ticks, factors are in 1/1024.

Names end in `_64` for rates in 1/64 molecule a tick, the unit of body catalysts; in `_FIXED` for lengths in 1/1024
cell; in `_BITS` for odds of 1 : 2^bits; in `_SHIFT` for a gene or state that counts by 1 : 2^shift; in `_BASE` for what
is added to a trait (0 to 255).
"""

# --- all beings
TRAIT_BITS = 8  # a trait of 256 would stand for 1.0
EIGHTH_SHIFT = 3  # of parameters that are given per eight of something
CATALYST_MAX_64 = 16384
MUTATION_SHIFT = 3  # from the gene "mutation" to the mutation rate in 1/65536 (here a shift to the left)
RESERVE_SHIFT = 2  # from a gene to sugar kept back when breeding
LONGEVITY_BASE = 64
LONGEVITY_BITS = 7  # ages are multiplied by (base + gene) / 2^7

# --- plants
LEAF_BASE = 128
LEAF_WARMTH_MAX = 2048  # leaves work no faster in greater warmth
ROOT_BASE = 64
ROOT_WATER_SHIFT = 4
ROOT_MINERAL_SHIFT = 7
HEIGHT_BASE = 64
LIT_MIN = 64  # share of the light that reaches a leaf in any shade, in 1/1024
THORN_HALVES = 128  # this much of the gene "thorn" halves what a grazer gets
AROMA_SHIFT = 2  # from the gene "scent" to 1/256 molecule of aroma a tick
LEAF_FULL_COUNT = 48  # tissue beyond which a leaf does not grow
LEAF_64_PER_TISSUE = 26  # photosynthesis of one tissue in full light
PLANT_UPKEEP_64_PER_TISSUE = 1
PLANT_UPKEEP_MIN_64 = 6
PLANT_BUILDER_64 = 24  # growth of a module with sugar to spare
PLANT_STARVING_64 = 16
PLANT_ALIVE_COUNT = 4  # a module with less tissue dies
PLANT_WATER_COUNT = 64  # what a module holds
PLANT_GAS_COUNT = 48
PLANT_OXYGEN_MIN_COUNT = 4  # a module takes oxygen up to this
PLANT_OXYGEN_KEPT_COUNT = 16  # and gives off what it makes beyond this
PLANT_MINERAL_COUNT = 8
PLANT_SUGAR_KEPT_COUNT = 12  # a module with no more sugar does not build
PLANT_SUGAR_MAX_COUNT = 160  # a module with this much makes no more sugar
STUB_TISSUE_COUNT = 6  # tissue of a module that is too low to be grazed
BUD_TISSUE_COUNT = 8  # tissue given to a new module
BUD_SUGAR_COUNT = 8
SEED_TISSUE_MIN_COUNT = 4
SEED_SIZE_SHIFT = 5
SEED_SHARE_SHIFT = 2  # a seed or bud gets a quarter of its parent's other matter
SPROUT_ODDS_BITS = 4
SEED_ODDS_BITS = 7  # a ripe module makes a seed with odds 1 : 2^7 a tick
SEED_KEEPS_TICKS = 200
SEED_ALOFT_MIN_TICKS = 12
SEED_FLIGHT_FIXED = 700  # furthest a seed flies in a tick, in full wind
SEED_LIGHTNESS_BASE = 64
DROWNING_COUNT = 1400  # water in the cell above which modules get no light
PLANT_OLD_TICKS = 2400
PLANT_DEATH_BITS = 7  # an old module dies with odds 1 : 2^7 a tick
SHADE_PER_TISSUE = 14  # light lost to a taller neighbour, by its tissue

PLANT_FOUNDER_COUNTS = {
    "tissue_count": 14,
    "sugar_count": 30,
    "water_count": 24,
    "oxygen_count": 4,
    "mineral_count": 2,
}

# --- monsters
FOUNDER_ORGANS_MIN = 3  # organs that founders are built with, by their gene "birth_organs"
FOUNDER_ORGANS_MAX = 8
FOUNDER_SUGAR_COUNT = 70
FOUNDER_SUGAR_RANGE = 60  # up to so much more
FOUNDER_WATER_COUNT = 80
FOUNDER_AGE_RANGE_TICKS = 800
FOUNDER_FATIGUE_RANGE = 500
BIRTH_ORGANS_SHIFT = 5
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
DIGEST_64_PER_8_FANGS = 1  # fangs come with a short, quick gut
BASAL_64_PER_8_TISSUE = 7
ORGAN_64 = 1  # upkeep of an organ
LEG_64 = 1
MOVE_64 = 48  # running at full thrust
BUILDER_64 = 14
STARVING_64 = 24
GRAZE_COUNT_PER_JAW = 3
GRAZE_COUNT_BASE = 2
BITE_COUNT_PER_JAW = 7
ARMOUR_HALVES = 4  # so many organs of armour halve what a biter gets
DRINK_COUNT = 24
SIGHT_BASE_FIXED = 1536
SIGHT_PER_EYE_FIXED = 640
SIGHT_MAX_FIXED = 4096
SIGHT_DRY = 256  # eyes of full dryness see this much / (1024 + this much) of the range
KINSHIP_PER_STEP = 8  # kinship lost by each unit of difference in marker genes
ANTENNA_FIXED = 1536
ANTENNA_ANGLE = 8192  # an eighth turn
SPEED_BASE_FIXED = 160
SPEED_PER_LEG_FIXED = 150
SPEED_MAX_FIXED = 900
SPEED_FACTOR = 64
SPEED_TISSUE_COUNT = 32  # speed is power * SPEED_FACTOR / (this + tissue)
STAGGER_BASE = 128  # of a body without fatigue
TURN_MAX = 8192  # an eighth turn
REACH_FIXED = 1100  # how far a bite reaches
PAIN_PER_TISSUE = 48
PAIN_HEALS = 12
THIRST_PAIN = 24
SWEAT_BASE = 256  # a monster loses a molecule of water with odds (this + dryness) : 2^13 a tick
EYE_DRIES = 9  # in 1/1024 a tick, in air of full dryness; one more in any air
TIRED_BY_THRUST = 2
TIRED_AWAKE_EVERY = 4  # one more point of fatigue every so many ticks awake
REST_RECOVERS = 8
REST_THRESHOLD = 400
SCENT_BITS = 8
SCENT_256 = 192  # a scent at full drive, without glands, in 1/256 molecule a tick
SCENT_PER_GLAND_256 = 256
LICK_COUNT = 12  # sugar licked off the ground in a tick at full drive
OLD_TICKS = 1800
DEATH_BITS = 7
BREED_SUGAR_COUNT = 60
BREED_THRESHOLD = 256
