"""Why a monster does what it does: what each stimulus contributes to a drive through its neural net.

A saturated unit does not pass on small changes, so its output is listed by itself and not attributed to stimuli. The
contributions to a drive add up to what the net computes for it before it is clamped, except for rounding.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from umwelt.agents.body.genome import DRIVE_GENES, INPUT_GENES, INPUTS, MONSTER_GENES
from umwelt.agents.body.interface import DRIVES, MEMORY, STIMULI
from umwelt.sandbox.units import ONE

WEIGHT_ONE = 64
"""The gene that stands for a weight of 1.0."""
MAX_ROUNDING = 0.06
"""Drives of a recording are rounded: up to this mean difference they count as the net's."""
REMEMBERED, AT_LIMIT = "memory", "saturated units"

Weights = tuple[np.ndarray, np.ndarray, np.ndarray]


@lru_cache(maxsize=8)
def weights_of(genome: bytes) -> Weights:
    """The weights of a genome's net, 1.0 as 1.0: `[stimulus, unit]`, `[memory, unit]`, `[drive, unit]`."""
    genes = np.zeros(MONSTER_GENES)
    known = np.frombuffer(genome, np.int8)[:MONSTER_GENES]
    genes[: len(known)] = known / WEIGHT_ONE
    units = np.arange(MEMORY)
    incoming, outgoing = genes[INPUT_GENES[:, None] + units], genes[DRIVE_GENES[:, None] + units]
    return incoming[:INPUTS], incoming[INPUTS:], outgoing


def net_drives(genome: bytes, hidden: Sequence[int]) -> np.ndarray:
    """The drives that the net computes from hidden activations (in units of 1/1024), before they are clamped."""
    return weights_of(bytes(genome))[2] @ (np.asarray(hidden, np.float64) / ONE)


def follows_net(genome: bytes, hidden: Sequence[int], drives: Sequence[int]) -> bool:
    """Whether drives (in units of 1/1024) come from the net.

    Those of a steered body, or of a species with a behaviour of its own, do not.
    """
    expected = np.clip(net_drives(genome, hidden), -1.0, 1.0)
    return bool(np.abs(expected - np.asarray(drives, np.float64) / ONE).mean() < MAX_ROUNDING)


def contributions(genome: bytes, stimuli: Sequence[int], hidden: Sequence[int], drive: int) -> np.ndarray:
    """What each stimulus, the memory, and saturated units (in this order, `float[43]`) contribute to a drive."""
    incoming, _, outgoing = weights_of(bytes(genome))
    active = np.asarray(hidden, np.float64) / ONE
    sensed = np.asarray(stimuli, np.float64) / ONE
    free = np.abs(np.asarray(hidden)) < ONE
    onward = np.where(free, outgoing[drive], 0.0)
    by_stimulus = (incoming * sensed[:, None]) @ onward
    # what a unit holds beyond its stimuli came from the memory of the tick before
    remembered = onward @ (active - sensed @ incoming)
    limited = np.where(free, 0.0, outgoing[drive]) @ active
    return np.concatenate([by_stimulus, [remembered, limited]])


def why(
    genome: bytes, stimuli: Sequence[int], hidden: Sequence[int], drive: int | str, max_count: int = 0
) -> list[tuple[str, float]]:
    """The contributions to a drive as (name, share), the strongest first.

    `stimuli` and `hidden` are in units of 1/1024: what was sensed in a tick, and the memory after that tick. With
    `max_count` the weakest are left out.
    """
    number = DRIVES.index(drive) if isinstance(drive, str) else drive
    shares = contributions(genome, stimuli, hidden, number)
    names = (*STIMULI, REMEMBERED, AT_LIMIT)
    order = np.argsort(-np.abs(shares), kind="stable")
    reasons = [(names[at], float(shares[at])) for at in order.tolist() if abs(shares[at]) > 0]
    return reasons[:max_count] if max_count else reasons


def in_words(name: str) -> str:
    """The name of a stimulus, drive or gene as text; the constant stimulus "one" is called "bias"."""
    if name == "one":
        return "bias"
    return name.removesuffix("_drive").replace("_", " ")


def sentence(name: str, share: float, drive: str) -> str:
    """A contribution as text: "plant ahead raises graze: +0.41"."""
    plural = name == AT_LIMIT
    if drive == "turn":
        effect = f"{'turn' if plural else 'turns'} {'right' if share > 0 else 'left'}"
    else:
        verb = "raise" if share > 0 else "lower"
        effect = f"{verb if plural else verb + 's'} {in_words(drive)}"
    return f"{in_words(name)} {effect}: {share:+.2f}"


def strongest(drives: Sequence[float]) -> int:
    """The index of the strongest drive; of all drives only turning has an effect below 0."""
    shown = [abs(value) if name == "turn" else value for name, value in zip(DRIVES, drives, strict=True)]
    return max(range(len(shown)), key=shown.__getitem__)
