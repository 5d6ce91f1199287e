"""What bodies and behaviours agree upon: substances, organs, stimuli and drives, with their names, units and order.

Stimuli and drives are integers of 1/1024 (`ONE` is 1.0); plain Python behaviours see them as floats from -1 to 1.
"""

SUBSTANCES = {
    "water": "H2O",
    "vapour": "H2O",
    "oxygen": "O2",
    "carbon_dioxide": "CO2",
    "mineral": "N",
    "sugar": "CH2O",
    "tissue": "C4H8O4N",
    "detritus": "C4H8O4N",
    "aroma": "CH2O",
    "musk": "CH2O",
    "alarm": "CH2O",
}
"""Earth's substances and their formulas; a world's own ones follow behind."""

WATER, VAPOUR, OXYGEN, CARBON_DIOXIDE, MINERAL, SUGAR, TISSUE, DETRITUS, AROMA, MUSK, ALARM = range(11)

BODY_CATALYSTS = ("leaf", "gut", "muscle", "builder", "hunger")
"""What bodies offer as catalysts: lit leaf area, digesting gut, working muscle, growing tissue, and starvation."""
LEAF, GUT_CATALYST, MUSCLE, BUILDER, HUNGER = range(5)

ORGANS = ("jaw", "gut", "leg", "eye", "armour", "spike", "store", "gland")
JAW, GUT, LEG, EYE, ARMOUR, SPIKE, STORE, GLAND = range(8)

ANTENNAE = ("left", "ahead", "right")
ANTENNA_SENSES = ("light", "water", "plant", "carrion", "aroma", "musk", "alarm", "heat", "body")
OTHER_SENSES = ("touch", "other_bearing", "other_distance", "other_size", "other_kinship")
SELF_SENSES = ("hunger", "thirst", "breath", "fatigue", "dry_eyes", "pain", "warmth", "age", "one")

STIMULI = tuple(f"{sense}_{antenna}" for antenna in ANTENNAE for sense in ANTENNA_SENSES) + OTHER_SENSES + SELF_SENSES
"""What a monster senses: nine things at the tip of each antenna, the nearest other being in sight, and itself.

`carrion` is dead matter, of plants and of bodies. `other_bearing` is -1 to 1 of half a turn (positive to the right, 0
with nobody in sight), `other_distance` a share of the range of sight (1 with nobody in sight), `other_size` its share
of both bodies' tissue, `other_kinship` 1 for equal markers. `one` is always 1.
"""

TOUCH = len(ANTENNAE) * len(ANTENNA_SENSES)
OTHER_BEARING, OTHER_DISTANCE, OTHER_SIZE, OTHER_KINSHIP = range(TOUCH + 1, TOUCH + 5)
FIRST_SELF = TOUCH + 5

DRIVES = ("turn", "thrust", "bite", "graze", "drink", "grow", "breed", "rest", "blink", "musk_drive", "alarm_drive")
"""What a monster does: turn (1 is an eighth turn to the right), thrust, and how strongly it does each other thing."""
TURN_DRIVE, THRUST, BITE, GRAZE, DRINK, GROW, BREED, REST, BLINK, MUSK_DRIVE, ALARM_DRIVE = range(11)

MEMORY = 8
"""Hidden units of the default net; their activations are the monster's memory."""

SEED_ALOFT, SEED_IN_GROUND, MODULE = 0, 1, 2
"""The stages of a plant's life."""
STAGES = ("seed aloft", "seed in the ground", "module")

PLANT_KIND, MONSTER_KIND = 1, 2
