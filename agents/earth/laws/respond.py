"""Respond: stimuli become drives, by the default net or a species' behaviour; commands may replace them. Reach 0."""

import numpy as np

from umwelt.agents.earth.brain import think
from umwelt.agents.species.behaviour import Behaviours
from umwelt.sandbox.columns import Table
from umwelt.sandbox.controls import Controls
from umwelt.sandbox.region import Region


def respond(region: Region) -> None:
    """Compute the drives of every monster."""
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
    """Replace drives of the bodies that commands hold, in all their images.

    The net or species of such a body still runs: it senses, and its memory is what it would have been.
    """
    for row in np.flatnonzero(np.isin(monsters["id"], list(controls.overrides))).tolist():
        drives = controls.drives_of(int(monsters["id"][row])) or ()
        for index, value in enumerate(drives):
            if value is not None:
                monsters["drives"][row, index] = value
