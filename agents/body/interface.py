"""The names, units and order of what bodies and behaviours share: substances, organs, stimuli and drives.

Each list stands here only; all other modules import it, and viewers get it in the welcome message. The lists are
append-only, because genomes, snapshots and recordings hold positions in them. A new organ or stimulus is one entry at
the end of `ADDED`; see `genome.py` for the genes that it gets.

Stimuli and drives are integers in 1/1024 (`ONE` is 1.0); behaviours in plain Python get them as floats from -1 to 1.
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
"""Earth's substances and their formulas. The substances that a world file adds follow after them."""

WATER, VAPOUR, OXYGEN, CARBON_DIOXIDE, MINERAL, SUGAR, TISSUE, DETRITUS, AROMA, MUSK, ALARM = range(11)

BODY_CATALYSTS = ("leaf", "gut", "muscle", "builder", "hunger")
"""Catalysts of reactions in bodies: lit leaf area, digesting gut, working muscle, growing tissue, and starvation."""
LEAF, GUT_CATALYST, MUSCLE, BUILDER, HUNGER = range(5)

ADDED: tuple[tuple[str, str], ...] = ()
"""What was added after version 1, in the order in which it was added: pairs of "organ" or "stimulus" and a name.

Never remove an entry or change their order: the genes of later entries would move, and change their meaning.
"""

FIRST_ORGANS = ("jaw", "gut", "leg", "eye", "armour", "spike", "store", "gland")
"""The organs of version 1."""
ORGANS = FIRST_ORGANS + tuple(name for kind, name in ADDED if kind == "organ")
JAW, GUT, LEG, EYE, ARMOUR, SPIKE, STORE, GLAND = range(8)

ANTENNAE = ("left", "ahead", "right")
ANTENNA_SENSES = ("light", "water", "plant", "carrion", "aroma", "musk", "alarm", "heat", "body")
"""What an antenna senses in the cell at its tip."""
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
"""Positions among the stimuli of one antenna; those of antenna `i` begin at `i * len(ANTENNA_SENSES)`."""

OTHER_SENSES = ("touch", "other_bearing", "other_distance", "other_size", "other_kinship")
SELF_SENSES = ("hunger", "thirst", "breath", "fatigue", "dry_eyes", "pain", "warmth", "age", "one")

FIRST_STIMULI = (
    tuple(f"{sense}_{antenna}" for antenna in ANTENNAE for sense in ANTENNA_SENSES) + OTHER_SENSES + SELF_SENSES
)
"""The stimuli of version 1."""
STIMULI = FIRST_STIMULI + tuple(name for kind, name in ADDED if kind == "stimulus")
"""What a monster senses: nine properties of the cell at the tip of each antenna, the nearest other monster, and itself.

`carrion` is detritus, the matter of dead plants and bodies. `other_bearing` is -1 to 1 for half a turn (positive to the
right, 0 with nothing in sight). `other_distance` is a share of the range of sight (1 with nothing in sight),
`other_size` the other's share of the tissue of both, `other_kinship` 1 for equal marker genes. `hunger`, `thirst` and
`breath` (lack of oxygen) are 1 when the body holds nothing. `one` is always 1.
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
"""What a monster does: `turn` (1 is an eighth turn to the right), `thrust`, and the strength of each other action."""
TURN_DRIVE, THRUST, BITE, GRAZE, DRINK, GROW, BREED, REST, BLINK, MUSK_DRIVE, ALARM_DRIVE = range(11)

MEMORY = 8
"""Hidden units of the default net; their activations are the monster's memory."""

SEED_ALOFT, SEED_IN_GROUND, MODULE = 0, 1, 2
"""The stages of a plant's life."""
STAGES = ("seed aloft", "seed in the ground", "module")

PLANT_KIND, MONSTER_KIND = 1, 2
"""The kinds in the ids of plants and monsters."""
