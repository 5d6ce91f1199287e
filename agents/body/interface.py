"""The names and order of substances, organs, stimuli and drives, which bodies and behaviours share.

A stimulus is a number that a monster senses; a drive is a number that says how strongly the monster does something.

This is the only definition of these lists: other modules import them, and viewers (programs that display a world)
receive them when they connect. The lists are append-only, because genomes, snapshots and recordings hold indices into
them. To add an organ or a stimulus, append it to `ADDED`; `genome.py` describes the genes that it gets.

Stimuli and drives are integers in units of 1/1024 (`ONE` is 1.0). Behaviours written in plain Python get floats from -1
to 1.
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
"""Formulas of Earth's substances, by name. Substances that a world file adds get the indices that follow."""

WATER, VAPOUR, OXYGEN, CARBON_DIOXIDE, MINERAL, SUGAR, TISSUE, DETRITUS, AROMA, MUSK, ALARM = range(11)

BODY_CATALYSTS = ("leaf", "gut", "muscle", "builder", "hunger")
"""Catalysts of the reactions in beings; laws set them for each being in every tick.

`leaf` is the lit leaf area, `gut` the capacity to digest, `muscle` the energy used for upkeep and movement, `builder`
the growth of tissue, and `hunger` the breakdown of tissue in a body without sugar.
"""
LEAF, GUT_CATALYST, MUSCLE, BUILDER, HUNGER = range(5)

ADDED: tuple[tuple[str, str], ...] = ()
"""Organs and stimuli added after version 1, oldest first: pairs of a kind ("organ" or "stimulus") and a name.

Never remove or reorder entries: the genes of later entries would move, and existing genomes would change their meaning.
"""

FIRST_ORGANS = ("jaw", "gut", "leg", "eye", "armour", "spike", "store", "gland")
"""The organs of version 1 of the genome."""
ORGANS = FIRST_ORGANS + tuple(name for kind, name in ADDED if kind == "organ")
JAW, GUT, LEG, EYE, ARMOUR, SPIKE, STORE, GLAND = range(8)

ANTENNAE = ("left", "ahead", "right")
ANTENNA_SENSES = ("light", "water", "plant", "carrion", "aroma", "musk", "alarm", "heat", "body")
"""The properties that an antenna senses in the cell at its tip."""
(
    SENSE_LIGHT,
    SENSE_WATER,
    SENSE_PLANT,
    SENSE_CARRION,
    SENSE_AROMA,
    SENSE_MUSK,
    SENSE_ALARM,
    SENSE_HEAT,
    SENSE_BODY,
) = range(len(ANTENNA_SENSES))
"""Offsets of the senses among the stimuli of an antenna; those of antenna `i` begin at `i * len(ANTENNA_SENSES)`."""

OTHER_SENSES = ("touch", "other_bearing", "other_distance", "other_size", "other_kinship")
SELF_SENSES = ("hunger", "thirst", "breath", "fatigue", "dry_eyes", "pain", "warmth", "age", "one")

FIRST_STIMULI = (
    tuple(f"{sense}_{antenna}" for antenna in ANTENNAE for sense in ANTENNA_SENSES) + OTHER_SENSES + SELF_SENSES
)
"""The stimuli of version 1 of the genome."""
STIMULI = FIRST_STIMULI + tuple(name for kind, name in ADDED if kind == "stimulus")
"""All stimuli of a monster: nine of the cell at the tip of each antenna, then those of other monsters and of itself.

`carrion_*` is the detritus (matter of dead beings) in the cell. `touch` grows with the number of other monsters in the
monster's own cell. The stimuli `other_*` describe the nearest other monster in sight: `other_bearing` from -1 to 1 for
half a turn to either side (positive to the right, 0 if none is in sight), `other_distance` as a fraction of the range
of sight (1 if none is in sight), `other_size` as its fraction of the tissue of both, and `other_kinship`, 1 for equal
marker genes. `hunger`, `thirst` and `breath` (lack of oxygen) are 1 when the body holds no sugar, water or oxygen.
`one` is always 1.
"""

TOUCH, OTHER_BEARING, OTHER_DISTANCE, OTHER_SIZE, OTHER_KINSHIP = range(
    len(ANTENNAE) * len(ANTENNA_SENSES), len(ANTENNAE) * len(ANTENNA_SENSES) + len(OTHER_SENSES)
)
(
    SELF_HUNGER,
    SELF_THIRST,
    SELF_BREATH,
    SELF_FATIGUE,
    SELF_DRY_EYES,
    SELF_PAIN,
    SELF_WARMTH,
    SELF_AGE,
    SELF_ONE,
) = range(len(FIRST_STIMULI) - len(SELF_SENSES), len(FIRST_STIMULI))

DRIVES = ("turn", "thrust", "bite", "graze", "drink", "grow", "breed", "rest", "blink", "musk_drive", "alarm_drive")
"""The drives of a monster: `turn` (1 is an eighth turn to the right), `thrust`, and the strengths of other actions."""
TURN_DRIVE, THRUST, BITE, GRAZE, DRINK, GROW, BREED, REST, BLINK, MUSK_DRIVE, ALARM_DRIVE = range(11)

MEMORY = 8
"""Number of hidden units of the default net, whose activations are the monster's memory."""

SEED_ALOFT, SEED_IN_GROUND, MODULE = 0, 1, 2
"""Values of the column `stage` of plants."""
STAGES = ("seed aloft", "seed in the ground", "module")

PLANT_KIND, MONSTER_KIND = 1, 2
"""Values of the kind in an id, which distinguishes plants from monsters."""
