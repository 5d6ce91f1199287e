"""The numeric parameters of Earth's plants and monsters.

Counts are in molecules, times in ticks, factors in 1/1024. The end of a name tells the unit or use:

    _64      a rate in 1/64 molecule a tick, the unit of the catalysts in bodies
    _256     a rate in 1/256 molecule a tick
    _FIXED   a length in 1/1024 cell
    _BITS    a probability of 2^-bits
    _SHIFT   a right shift of a gene or state, which divides it by 2^shift
    _BASE    a constant that is added to a trait (0 to 255) or to the effect of organs
"""

# --- all beings
TRAIT_BITS = 8  # a trait is 0 to 255; 2^8 stands for 1.0
EIGHTH_SHIFT = 3  # divides the products with parameters that are given per eight units
CATALYST_MAX_64 = 16384
MUTATION_SHIFT = 3  # left shift from the gene "mutation" to the mutation rate in 1/65536
RESERVE_SHIFT = 2  # right shift from a gene to the additional sugar needed to breed
LONGEVITY_BASE = 64
LONGEVITY_BITS = 7  # ages are multiplied by (base + gene) / 2^7

# --- plants
LEAF_BASE = 128
LEAF_WARMTH_MAX = 2048  # warmth above which photosynthesis does not get faster
ROOT_BASE = 64
ROOT_WATER_SHIFT = 4
ROOT_MINERAL_SHIFT = 7
HEIGHT_BASE = 64
LIT_MIN = 64  # minimum fraction of the light that reaches a shaded leaf, in 1/1024
THORN_HALVES = 128  # value of the gene "thorn" that halves the demand of a grazer
AROMA_SHIFT = 2  # from the gene "scent" to 1/256 molecule of aroma a tick
LEAF_FULL_COUNT = 48  # tissue above which the leaf area does not grow
LEAF_64_PER_TISSUE = 26  # photosynthesis of one molecule of tissue in full light
PLANT_UPKEEP_64_PER_TISSUE = 1
PLANT_UPKEEP_MIN_64 = 6
PLANT_BUILDER_64 = 24  # growth of a module with more than PLANT_SUGAR_KEPT_COUNT sugar
PLANT_STARVING_64 = 16  # breakdown of tissue in a module without sugar
PLANT_ALIVE_COUNT = 4  # a module with less tissue dies
PLANT_WATER_COUNT = 64  # water up to which a module takes more
PLANT_GAS_COUNT = 48  # carbon dioxide up to which a module takes more
PLANT_OXYGEN_MIN_COUNT = 4  # oxygen up to which a module takes more
PLANT_OXYGEN_KEPT_COUNT = 16  # oxygen above which a module releases the excess
PLANT_MINERAL_COUNT = 8  # mineral up to which a module takes more
PLANT_SUGAR_KEPT_COUNT = 12  # a module builds tissue only with more sugar than this
PLANT_SUGAR_MAX_COUNT = 160  # sugar from which on photosynthesis stops
STUB_TISSUE_COUNT = 6  # tissue of a module that cannot be grazed
BUD_TISSUE_COUNT = 8  # tissue given to a new module
BUD_SUGAR_COUNT = 8
SEED_TISSUE_MIN_COUNT = 4
SEED_SIZE_SHIFT = 5
SEED_SHARE_SHIFT = 2  # a seed or bud gets a quarter of its parent's other matter
SPROUT_ODDS_BITS = 4
SEED_ODDS_BITS = 7  # a ripe module makes a seed with probability 2^-7 a tick
SEED_KEEPS_TICKS = 200  # age at which a seed dies if its gene "seed_wait" is -128
SEED_ALOFT_MIN_TICKS = 12
SEED_FLIGHT_FIXED = 700  # distance that a seed of lightness 256 flies in a tick in full wind
SEED_LIGHTNESS_BASE = 64
DROWNING_COUNT = 1400  # water in the cell above which modules get no light
PLANT_OLD_TICKS = 2400
PLANT_DEATH_BITS = 7  # an old module dies with probability 2^-7 a tick
SHADE_PER_TISSUE = 14  # light lost, in 1/1024, for each molecule of tissue of a taller neighbour

PLANT_FOUNDER_COUNTS = {
    "tissue_count": 14,
    "sugar_count": 30,
    "water_count": 24,
    "oxygen_count": 4,
    "mineral_count": 2,
}

# --- monsters
FOUNDER_ORGANS_MIN = 3  # range of the organs of founders, which their gene "birth_organs" sets
FOUNDER_ORGANS_MAX = 8
FOUNDER_SUGAR_COUNT = 70
FOUNDER_SUGAR_RANGE = 60  # upper bound of the random addition to FOUNDER_SUGAR_COUNT
FOUNDER_WATER_COUNT = 80
FOUNDER_AGE_RANGE_TICKS = 800
FOUNDER_FATIGUE_RANGE = 500
BIRTH_ORGANS_SHIFT = 5  # right shift from the gene "birth_organs" to the number of organs at birth less 1
CORE_TISSUE_COUNT = 16  # tissue of a body without organs
ORGAN_TISSUE_COUNT = 6
ALIVE_TISSUE_COUNT = 12  # a monster with less tissue dies
SUGAR_BASE_COUNT = 160  # sugar up to which a monster without stores takes more
SUGAR_PER_STORE_COUNT = 160
WATER_HELD_COUNT = 128  # water up to which a monster takes more, and above which it releases the excess
OXYGEN_HELD_COUNT = 48  # oxygen up to which a monster takes more
MINERAL_KEPT_COUNT = 6  # mineral above which a monster releases the excess
GUT_BASE_COUNT = 24  # food that a body without guts can contain
GUT_PER_ORGAN_COUNT = 12
DIGEST_64_PER_GUT = 24
DIGEST_BASE_64 = 20
DIGEST_64_PER_8_FANGS = 1  # monsters with fangs digest faster
BASAL_64_PER_8_TISSUE = 7
ORGAN_64 = 1  # upkeep of an organ
LEG_64 = 1
MOVE_64 = 48  # running at full thrust
BUILDER_64 = 14  # growth at full drive
STARVING_64 = 24  # breakdown of tissue in a monster without sugar
GRAZE_COUNT_PER_JAW = 3
GRAZE_COUNT_BASE = 2
BITE_COUNT_PER_JAW = 7
ARMOUR_HALVES = 4  # number of armour organs that halves the demand of a biter
DRINK_COUNT = 24
SIGHT_BASE_FIXED = 1536
SIGHT_PER_EYE_FIXED = 640
SIGHT_MAX_FIXED = 4096
SIGHT_DRY = 256  # fully dry eyes see SIGHT_DRY / (1024 + SIGHT_DRY) of the range
KINSHIP_PER_STEP = 8  # kinship lost for each unit of difference in a marker gene
ANTENNA_FIXED = 1536
ANTENNA_ANGLE = 8192  # an eighth turn
SPEED_BASE_FIXED = 160
SPEED_PER_LEG_FIXED = 150
SPEED_MAX_FIXED = 900
SPEED_FACTOR = 64
SPEED_TISSUE_COUNT = 32  # maximum speed is power * SPEED_FACTOR / (SPEED_TISSUE_COUNT + tissue)
STAGGER_BASE = 128  # random turning of a monster without fatigue
TURN_MAX = 8192  # an eighth turn
REACH_FIXED = 1100  # maximum distance of a bite
PAIN_PER_TISSUE = 48  # pain for each molecule of tissue that is bitten off, and of each spike of a victim
PAIN_HEALS = 12  # pain that ends in a tick
THIRST_PAIN = 24  # pain added in a tick without water or without oxygen
SWEAT_BASE = 256  # in a tick, a monster loses a molecule of water with probability (SWEAT_BASE + dryness) / 2^13
EYE_DRIES = 9  # dryness gained a tick, in 1/1024, in fully dry air; 1 is added in any air
TIRED_BY_THRUST = 2
TIRED_AWAKE_EVERY = 4  # ticks awake after which fatigue grows by 1
REST_RECOVERS = 8
REST_THRESHOLD = 400  # drive to rest above which a monster sleeps
SCENT_BITS = 8
SCENT_256 = 192  # scent emitted at full drive without glands, in 1/256 molecule a tick
SCENT_PER_GLAND_256 = 256
LICK_COUNT = 12  # sugar licked off the ground in a tick at full drive
OLD_TICKS = 1800
DEATH_BITS = 7  # an old monster dies with probability 2^-7 a tick
BREED_SUGAR_COUNT = 60  # sugar needed to breed if the gene "breed_reserve" is -128
BREED_THRESHOLD = 256  # drive above which a monster breeds
