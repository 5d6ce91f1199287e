"""What monsters do about what they sense, read from the stimuli and drives of the tick that has just been.

Those born in it have not sensed anything yet and are left out. Where nobody is in question a number is NaN.
"""

import numpy as np

from umwelt.agents.body.interface import OTHER_SIZE, STIMULI
from umwelt.agents.measures.census import mean_of, species_rows
from umwelt.agents.measures.others import seen_by
from umwelt.agents.world_file import WorldFile
from umwelt.sandbox.laws.weather import DRYNESS
from umwelt.sandbox.region import Region
from umwelt.sandbox.units import ONE, SUBCELL_BITS

STRANGER_KINSHIP = ONE // 2
"""Who is less akin is a stranger."""


def behaviour(world: WorldFile, region: Region) -> dict[str, float]:
    """How the awake of each monster species turn and blink, and how tired those are who fall asleep.

    `toward_food`: the mean over those who meet more plant or aroma at one side, of 1 for turning there and -1 for
    turning away. `toward_strangers`: the same for a stranger in sight, and `toward_NAME` for another species by its
    name; flight is negative. `.count` of each says over how many, and `.errors` how many standard errors the mean is
    from 0, which is that of turning by chance.
    `blinking_dry`, `blinking_moist`: the share with shut eyes in the drier and the moister half of the places where
    they are, and `blinking_more` their difference. `fatigue_falling`, `fatigue_awake`: of those who have fallen asleep
    this tick, and of all awake, 0 to 1; `fatigue_more` is the difference.
    """
    monsters = region.tables["monsters"]
    found: dict[str, float] = {}
    dryness = region.scratch("environment", "int16", 4)[DRYNESS]
    kinds = species_rows(world, region, "monsters")
    for species, rows in kinds.items():
        rows = rows[monsters["one"][rows] == ONE]
        awake = rows[monsters["asleep"][rows] == 0]
        stimuli, turn = monsters["stimuli"][awake].astype(np.int64), monsters["turn"][awake]
        found |= _turning(f"{species}.toward_food", turn, _right_more(stimuli, "plant") + _right_more(stimuli, "aroma"))
        seen = (stimuli[:, OTHER_SIZE] > 0) & (stimuli[:, STIMULI.index("other_kinship")] < STRANGER_KINSHIP)
        bearing, other = stimuli[:, STIMULI.index("other_bearing")], seen_by(region, awake)
        found |= _turning(f"{species}.toward_strangers", turn, np.where(seen, bearing, 0))
        for name, others in kinds.items():
            if name != species:
                found |= _turning(f"{species}.toward_{name}", turn, np.where(np.isin(other, others), bearing, 0))
        air = dryness[monsters["y_fixed"][awake] >> SUBCELL_BITS, monsters["x_fixed"][awake] >> SUBCELL_BITS]
        found |= _blinking(species, air, monsters["eyes_shut"][awake])
        found |= _falling_asleep(species, region, rows, awake)
    return found


def _right_more(stimuli: np.ndarray, sense: str) -> np.ndarray:
    """How much more of something the right antenna meets than the left, `int64[being]`."""
    return stimuli[:, STIMULI.index(f"{sense}_right")] - stimuli[:, STIMULI.index(f"{sense}_left")]


def _turning(name: str, turn: np.ndarray, right_more: np.ndarray) -> dict[str, float]:
    """How those whom something calls to one side turn toward it; of signs at random the mean of n errs by 1/sqrt(n)."""
    called = right_more != 0
    count = int(np.count_nonzero(called))
    mean = mean_of(np.sign(turn[called]) * np.sign(right_more[called]))
    return {f"{name}.count": float(count), name: mean, f"{name}.errors": mean * count**0.5}


def _blinking(species: str, dryness: np.ndarray, shut: np.ndarray) -> dict[str, float]:
    """Shares with shut eyes in drier and moister places, split at the median; NaN where all are alike dry.

    Were both shares one, the difference would err as that of two samples of the same share does.
    """
    dry = dryness > np.median(dryness) if len(dryness) else np.zeros(0, bool)
    in_dry, in_moist = (mean_of(shut[dry]), mean_of(shut[~dry])) if dry.any() else (np.nan, np.nan)
    more, share = in_dry - in_moist, mean_of(shut)
    error = (share * (1 - share) * (1 / dry.sum() + 1 / (~dry).sum())) ** 0.5 if dry.any() else np.nan
    return {
        f"{species}.blinking_dry": in_dry,
        f"{species}.blinking_moist": in_moist,
        f"{species}.blinking_more": more,
        f"{species}.blinking_more.errors": float(more / error) if error else 0.0,
    }


def _falling_asleep(species: str, region: Region, rows: np.ndarray, awake: np.ndarray) -> dict[str, float]:
    """How tired those are who fall asleep, against the awake.

    A sleeper's eyes are shut and moist, so one who sleeps now and sensed dry eyes has slept for this tick alone.
    """
    monsters = region.tables["monsters"]
    falling = rows[(monsters["asleep"][rows] == 1) & (monsters["dry_eyes"][rows] > 0)]
    tired = monsters["stimuli"][:, STIMULI.index("fatigue")]
    of_falling, of_awake = mean_of(tired[falling]) / ONE, mean_of(tired[awake]) / ONE
    return {
        f"{species}.falling_asleep": float(len(falling)),
        f"{species}.fatigue_awake": of_awake,
        f"{species}.fatigue_falling": of_falling,
        f"{species}.fatigue_more": of_falling - of_awake,
    }
