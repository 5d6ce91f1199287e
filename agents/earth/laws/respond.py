"""The law `respond`: computes drives from stimuli, by the default net or the behaviour of the species. Reach 0.

Drives say how strongly a monster does something, stimuli are what it senses; both are columns of the table of monsters.
Commands can override the drives of single monsters. The reach is 0: drives depend on the monster itself alone.
"""

import numpy as np

from umwelt.agents.earth.brain import think
from umwelt.agents.species.behaviour import Behaviours
from umwelt.sandbox.columns import Table
from umwelt.sandbox.controls import Controls
from umwelt.sandbox.region import Region


def respond(region: Region) -> None:
    """Computes the drives of every monster, then applies the overrides set by commands."""
    behaviours: Behaviours = region.derived["behaviours"]  # type: ignore[assignment]
    monsters = region.tables["monsters"]
    if not monsters.count:
        return
    if behaviours.has_net.any():
        region.run(
            think,
            region.index("monsters"),
            monsters["species"],
            behaviours.has_net,
            monsters["genome"],
            monsters["stimuli"],
            monsters["memory"],
            monsters["drives"],
        )
    for species, behaviour in behaviours.own.items():
        behaviour.respond(region, (monsters["species"] == species).nonzero()[0])
    if region.controls.overrides:
        override_drives(monsters, region.controls)


def override_drives(monsters: Table, controls: Controls) -> None:
    """Replaces drives of the monsters for which `controls` holds overrides, in all copies of them in the region.

    The monster's own behaviour has run before this, so its memory develops as without the override.
    """
    for row in np.flatnonzero(np.isin(monsters["id"], list(controls.overrides))).tolist():
        drives = controls.drives_of(int(monsters["id"][row])) or ()
        for index, value in enumerate(drives):
            if value is not None:
                monsters["drives"][row, index] = value
