"""The measure `behaviour`: how monsters react to their stimuli, computed from their columns after a tick.

Monsters that were born in that tick have no stimuli yet and are excluded. A mean over no monsters is NaN.
"""

import numpy as np

from umwelt.agents.body.interface import OTHER_SIZE, STIMULI
from umwelt.agents.measures.census import mean_of, species_rows
from umwelt.agents.measures.others import sensed_others
from umwelt.agents.world_file import WorldFile
from umwelt.sandbox.laws.weather import DRYNESS
from umwelt.sandbox.region import Region
from umwelt.sandbox.units import ONE, SUBCELL_BITS

STRANGER_KINSHIP = ONE // 2
"""A being whose kinship (in 1/1024) is below this value is a stranger."""
ENVIRONMENT_LAYERS = 4
"""The number of planes of a region's scratch array "environment", one of which is the dryness of the air in cells."""


def behaviour(world: WorldFile, region: Region) -> dict[str, float]:
    """Returns how the awake monsters of each species turn and blink, and the fatigue of those that fall asleep.

    - `toward_food`: the mean, over the monsters whose right and left antennae sense different amounts of plant and
      aroma, of 1 for a turn to the side with more and -1 for a turn to the other side.
    - `toward_strangers`, `toward_NAME`: the same mean for turns to the side of the nearest other monster if it is a
      stranger, or of species NAME. Negative values mean flight.
    - `.count` of each of these: the number of monsters in the mean. `.errors`: the mean divided by its standard error
      for random turns.
    - `blinking_dry`, `blinking_moist`: the share of monsters with shut eyes among those in air that is drier than the
      median, and among the others. `blinking_more` is the difference, `.errors` the same in standard errors.
    - `falling_asleep`: the number of monsters that fell asleep in this tick. `fatigue_falling`, `fatigue_awake`: the
      mean fatigue (0 to 1) of these, and of all awake monsters; `fatigue_more` is the difference.
    """
    monsters = region.tables["monsters"]
    numbers: dict[str, float] = {}
    dryness = region.scratch("environment", "int16", ENVIRONMENT_LAYERS)[DRYNESS]
    rows_by_species = species_rows(world, region, "monsters")
    for species, rows in rows_by_species.items():
        rows = rows[monsters["one"][rows] == ONE]
        awake = rows[monsters["asleep"][rows] == 0]
        stimuli, turn = monsters["stimuli"][awake].astype(np.int64), monsters["turn"][awake]
        food = _right_minus_left(stimuli, "plant") + _right_minus_left(stimuli, "aroma")
        numbers |= _turning(f"{species}.toward_food", turn, food)
        kinship = stimuli[:, STIMULI.index("other_kinship")]
        is_stranger = (stimuli[:, OTHER_SIZE] > 0) & (kinship < STRANGER_KINSHIP)
        bearing, others = stimuli[:, STIMULI.index("other_bearing")], sensed_others(region, awake)
        numbers |= _turning(f"{species}.toward_strangers", turn, np.where(is_stranger, bearing, 0))
        for name, rows_of_name in rows_by_species.items():
            if name != species:
                side = np.where(np.isin(others, rows_of_name), bearing, 0)
                numbers |= _turning(f"{species}.toward_{name}", turn, side)
        air = dryness[monsters["y_fixed"][awake] >> SUBCELL_BITS, monsters["x_fixed"][awake] >> SUBCELL_BITS]
        numbers |= _blinking(species, air, monsters["eyes_shut"][awake])
        numbers |= _falling_asleep(species, region, rows, awake)
    return numbers


def _right_minus_left(stimuli: np.ndarray, sense: str) -> np.ndarray:
    """Returns the stimulus `sense` of the right antenna minus that of the left, `int64[beings]`."""
    return stimuli[:, STIMULI.index(f"{sense}_right")] - stimuli[:, STIMULI.index(f"{sense}_left")]


def _turning(name: str, turn: np.ndarray, side: np.ndarray) -> dict[str, float]:
    """Returns the mean sign of turns toward a direction, with its count and its errors.

    `turn` is the drive and `side` the direction, one number for each being, positive to the right; beings with `side` 0
    are excluded. The standard error of the mean of n random signs is 1/sqrt(n).
    """
    has_side = side != 0
    count = int(np.count_nonzero(has_side))
    mean = mean_of(np.sign(turn[has_side]) * np.sign(side[has_side]))
    return {f"{name}.count": float(count), name: mean, f"{name}.errors": mean * count**0.5}


def _blinking(species: str, dryness: np.ndarray, shut: np.ndarray) -> dict[str, float]:
    """Returns the shares of `shut` eyes where `dryness` is above its median, and elsewhere; both are `int[beings]`.

    The shares are NaN if dryness is equal for all beings. The standard error of their difference assumes that both
    groups have the same true share.
    """
    dry = dryness > np.median(dryness) if len(dryness) else np.zeros(0, bool)
    in_dry, in_moist = (mean_of(shut[dry]), mean_of(shut[~dry])) if dry.any() else (np.nan, np.nan)
    difference, share = in_dry - in_moist, mean_of(shut)
    error = (share * (1 - share) * (1 / dry.sum() + 1 / (~dry).sum())) ** 0.5 if dry.any() else np.nan
    return {
        f"{species}.blinking_dry": in_dry,
        f"{species}.blinking_moist": in_moist,
        f"{species}.blinking_more": difference,
        f"{species}.blinking_more.errors": float(difference / error) if error else 0.0,
    }


def _falling_asleep(species: str, region: Region, rows: np.ndarray, awake: np.ndarray) -> dict[str, float]:
    """Returns the number and mean fatigue of monsters that fell asleep in this tick, and the mean of the awake ones.

    The eyes of a sleeping monster are shut and moist. A monster that is asleep but sensed dry eyes in this tick
    therefore fell asleep in it.
    """
    monsters = region.tables["monsters"]
    falling = rows[(monsters["asleep"][rows] == 1) & (monsters["dry_eyes"][rows] > 0)]
    fatigue = monsters["stimuli"][:, STIMULI.index("fatigue")]
    of_falling, of_awake = mean_of(fatigue[falling]) / ONE, mean_of(fatigue[awake]) / ONE
    return {
        f"{species}.falling_asleep": float(len(falling)),
        f"{species}.fatigue_awake": of_awake,
        f"{species}.fatigue_falling": of_falling,
        f"{species}.fatigue_more": of_falling - of_awake,
    }
