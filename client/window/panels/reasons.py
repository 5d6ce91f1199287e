"""Explanations of a monster's behaviour: the contribution of each stimulus to a drive through the neural net.

Stimuli are what a monster senses, drives are what it decides: numbers by name, stored in units of 1/1024. A net has one
layer of hidden units, whose activations are also its memory: each unit sums weighted stimuli and weighted activations
of the previous tick, limited to -1 to 1. The output of a unit at a limit (saturated) does not follow small changes of
stimuli, so it is listed separately and not attributed to stimuli. The contributions to a drive add up to the net's
output for the drive before clamping, except for rounding.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from umwelt.agents.body.genome import DRIVE_GENES, INPUT_GENES, INPUTS, MONSTER_GENES
from umwelt.agents.body.interface import DRIVES, MEMORY, STIMULI
from umwelt.sandbox.units import ONE

WEIGHT_ONE = 64
"""The value of a gene that stands for a weight of 1.0."""
MAX_ROUNDING = 0.06
"""The mean difference below which drives count as the net's output; the drives in recordings are rounded."""
REMEMBERED, AT_LIMIT = "memory", "saturated units"
"""The names under which the contributions of the memory and of saturated units are listed."""

Weights = tuple[np.ndarray, np.ndarray, np.ndarray]
"""The weights of a net; see `weights_of`."""


@lru_cache(maxsize=8)
def weights_of(genome: bytes) -> Weights:
    """Returns the weights of a genome's net: to hidden units from stimuli and from the memory, and to drives.

    The three arrays are `float64[stimulus, unit]`, `float64[memory, unit]` and `float64[drive, unit]`.
    """
    genes = np.zeros(MONSTER_GENES)
    known = np.frombuffer(genome, np.int8)[:MONSTER_GENES]
    genes[: len(known)] = known / WEIGHT_ONE
    units = np.arange(MEMORY)
    incoming, outgoing = genes[INPUT_GENES[:, None] + units], genes[DRIVE_GENES[:, None] + units]
    return incoming[:INPUTS], incoming[INPUTS:], outgoing


def net_drives(genome: bytes, hidden: Sequence[int]) -> np.ndarray:
    """Returns the net's output for each drive before it is clamped to -1 to 1, `float64[drive]`.

    `hidden` are the activations of the hidden units, in 1/1024.
    """
    return weights_of(bytes(genome))[2] @ (np.asarray(hidden, np.float64) / ONE)


def follows_net(genome: bytes, hidden: Sequence[int], drives: Sequence[int]) -> bool:
    """Returns whether drives (in units of 1/1024) are the output of the genome's net.

    They are not if a viewer steers the body, or if its species has a behaviour other than a net.
    """
    expected = np.clip(net_drives(genome, hidden), -1.0, 1.0)
    return bool(np.abs(expected - np.asarray(drives, np.float64) / ONE).mean() < MAX_ROUNDING)


def contributions(genome: bytes, stimuli: Sequence[int], hidden: Sequence[int], drive: int) -> np.ndarray:
    """Returns the contributions to a drive: of each stimulus, then of the memory, and of saturated units.

    `drive` is an index, the other arguments are those of `why`; the result is `float64[len(STIMULI) + 2]`.
    """
    incoming, _, outgoing = weights_of(bytes(genome))
    active = np.asarray(hidden, np.float64) / ONE
    sensed = np.asarray(stimuli, np.float64) / ONE
    free = np.abs(np.asarray(hidden)) < ONE
    onward = np.where(free, outgoing[drive], 0.0)
    by_stimulus = (incoming * sensed[:, None]) @ onward
    # what stimuli do not explain of a unit's activation came from the memory of the previous tick
    remembered = onward @ (active - sensed @ incoming)
    limited = np.where(free, 0.0, outgoing[drive]) @ active
    return np.concatenate([by_stimulus, [remembered, limited]])


def why(
    genome: bytes, stimuli: Sequence[int], hidden: Sequence[int], drive: int | str, max_count: int = 0
) -> list[tuple[str, float]]:
    """Returns the contributions to a drive as (name, contribution), the strongest first.

    `stimuli` (sensed in a tick) and `hidden` (the activations in this tick) are in units of 1/1024. `drive` is an index
    or a name. Contributions of 0 are left out. If `max_count` is not 0, at most this many are returned.
    """
    number = DRIVES.index(drive) if isinstance(drive, str) else drive
    shares = contributions(genome, stimuli, hidden, number)
    names = (*STIMULI, REMEMBERED, AT_LIMIT)
    order = np.argsort(-np.abs(shares), kind="stable")
    reasons = [(names[at], float(shares[at])) for at in order.tolist() if abs(shares[at]) > 0]
    return reasons[:max_count] if max_count else reasons


def in_words(name: str) -> str:
    """Returns the name of a stimulus, drive or gene as text; the constant stimulus "one" is called "bias"."""
    if name == "one":
        return "bias"
    return name.removesuffix("_drive").replace("_", " ")


def sentence(name: str, share: float, drive: str) -> str:
    """Returns the contribution `share` of `name` to a drive as text, such as "plant ahead raises graze: +0.41"."""
    plural = name == AT_LIMIT
    if drive == "turn":
        effect = f"{'turn' if plural else 'turns'} {'right' if share > 0 else 'left'}"
    else:
        verb = "raise" if share > 0 else "lower"
        effect = f"{verb if plural else verb + 's'} {in_words(drive)}"
    return f"{in_words(name)} {effect}: {share:+.2f}"


def strongest(drives: Sequence[float]) -> int:
    """Returns the index of the strongest drive; values below 0 have an effect only for turning."""
    shown = [abs(value) if name == "turn" else value for name, value in zip(DRIVES, drives, strict=True)]
    return max(range(len(shown)), key=shown.__getitem__)
