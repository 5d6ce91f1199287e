"""Nets written in a world file: which stimuli a hidden unit hears, which units a drive hears, and how strongly.

[founders.wires]
0 = {plant_right = 50, plant_left = -50}    # unit 0: food to the right
turn = {0 = 40}                             # and the drive that follows it
"""

from collections.abc import Mapping

import numpy as np

from umwelt.agents.body.genome import FIRST_OUTPUT, FIRST_WEIGHT
from umwelt.agents.body.interface import DRIVES, MEMORY, STIMULI
from umwelt.agents.earth.founders import GENE_MAX, GENE_MIN
from umwelt.sandbox.errors import WorldFileError
from umwelt.sandbox.text import one_of

UNITS = tuple(str(unit) for unit in range(MEMORY))
HEARD = (*STIMULI, *(f"memory_{unit}" for unit in range(MEMORY)))
"""What hidden units hear, in the order of their weights: stimuli, and what the units were a tick before."""


def wire(genome: np.ndarray, wires: Mapping[str, Mapping[str, int]], place: str) -> None:
    """Set weights of a monster's genome, `int8[genes]`; 64 stands for 1. `place` is named where one is wrong."""
    for target, sources in wires.items():
        one_of(target, (*UNITS, *DRIVES), place)
        for source, weight in sources.items():
            if not GENE_MIN <= weight <= GENE_MAX:
                raise WorldFileError(f"{place}.{target}.{source}: {weight} is no gene: use {GENE_MIN} to {GENE_MAX}")
            if target in UNITS:
                heard = HEARD.index(one_of(source, HEARD, f"{place}.{target}"))
                genome[FIRST_WEIGHT + heard * MEMORY + int(target)] = weight
            else:
                unit = int(one_of(source, UNITS, f"{place}.{target}"))
                genome[FIRST_OUTPUT + DRIVES.index(target) * MEMORY + unit] = weight
