"""Why a monster does what it does: what each stimulus adds to a drive, through its net. Exact, and without a pixel.

A unit that is at its limit passes on nothing of a small change: what it gives is told by itself, not laid to stimuli.
All shares of a drive add up to what the net gives for it before it is clamped, but for what rounding takes.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from umwelt.agents.body.genome import FIRST_OUTPUT, FIRST_RECURRENT, FIRST_WEIGHT, INPUTS, MONSTER_GENES, OUTPUTS
from umwelt.agents.body.interface import DRIVES, MEMORY, STIMULI
from umwelt.sandbox.units import ONE

WEIGHT_ONE = 64
ROUNDED = 0.06
REMEMBERED, AT_LIMIT = "memory", "full units"

Weights = tuple[np.ndarray, np.ndarray, np.ndarray]


@lru_cache(maxsize=8)
def weights_of(genome: bytes) -> Weights:
    """A genome's net, in units of 1.0: by (stimulus, unit), by (memory, unit), by (drive, unit)."""
    genes = np.frombuffer(genome, np.int8)[:MONSTER_GENES].astype(np.float64) / WEIGHT_ONE
    return (
        genes[FIRST_WEIGHT:FIRST_RECURRENT].reshape(INPUTS, MEMORY),
        genes[FIRST_RECURRENT:FIRST_OUTPUT].reshape(MEMORY, MEMORY),
        genes[FIRST_OUTPUT:].reshape(OUTPUTS, MEMORY),
    )


def net_drives(genome: bytes, hidden: Sequence[int]) -> np.ndarray:
    """What the net gives for hidden activations of 1/1024: drives in units of 1.0, before they are clamped."""
    return weights_of(bytes(genome))[2] @ (np.asarray(hidden, np.float64) / ONE)


def follows_net(genome: bytes, hidden: Sequence[int], drives: Sequence[int]) -> bool:
    """Whether told drives are those of the net: a held body's, or those of a behaviour of its own, are others.

    A recording's numbers are rounded, so that some difference is no sign of it.
    """
    expected = np.clip(net_drives(genome, hidden), -1.0, 1.0)
    return bool(np.abs(expected - np.asarray(drives, np.float64) / ONE).mean() < ROUNDED)


def contributions(genome: bytes, stimuli: Sequence[int], hidden: Sequence[int], drive: int) -> np.ndarray:
    """What is added to a drive, in units of 1.0, by each stimulus, by memory, and by units at their limit: `[43]`."""
    incoming, _, outgoing = weights_of(bytes(genome))
    active = np.asarray(hidden, np.float64) / ONE
    sensed = np.asarray(stimuli, np.float64) / ONE
    free = np.abs(np.asarray(hidden)) < ONE
    onward = np.where(free, outgoing[drive], 0.0)
    by_stimulus = (incoming * sensed[:, None]) @ onward
    # what a free unit has beyond its stimuli came from the memory of the tick before
    remembered = onward @ (active - sensed @ incoming)
    limited = np.where(free, 0.0, outgoing[drive]) @ active
    return np.concatenate([by_stimulus, [remembered, limited]])


def why(
    genome: bytes, stimuli: Sequence[int], hidden: Sequence[int], drive: int | str, most: int = 0
) -> list[tuple[str, float]]:
    """What weighs in a drive, strongest first, as (name, share in units of 1.0).

    `stimuli` and `hidden` are integers of 1/1024: what was sensed in a tick, and the memory as that tick left it. With
    `most` the weakest are left out.
    """
    number = DRIVES.index(drive) if isinstance(drive, str) else drive
    shares = contributions(genome, stimuli, hidden, number)
    names = (*STIMULI, REMEMBERED, AT_LIMIT)
    order = np.argsort(-np.abs(shares), kind="stable")
    found = [(names[at], float(shares[at])) for at in order.tolist() if abs(shares[at]) > 0]
    return found[:most] if most else found


def in_words(name: str) -> str:
    """A stimulus, drive or gene as people say it; what is always sensed is its bearer's nature."""
    if name == "one":
        return "nature"
    return name.removesuffix("_drive").replace("_", " ")


def sentence(name: str, share: float, drive: str) -> str:
    """A reason in words: "plant ahead pulls: graze +0.41"."""
    if drive == "turn":
        verb = "pulls right" if share > 0 else "pulls left"
    else:
        verb = "pulls" if share > 0 else "holds back"
    if name == AT_LIMIT:
        verb = verb.replace("pulls", "pull").replace("holds", "hold")
    return f"{in_words(name)} {verb}: {in_words(drive)} {share:+.2f}"


def strongest(drives: Sequence[float]) -> int:
    """The drive that shows most: only turning means something below 0."""
    shown = [abs(value) if name == "turn" else value for name, value in zip(DRIVES, drives, strict=True)]
    return max(range(len(shown)), key=shown.__getitem__)
