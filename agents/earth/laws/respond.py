"""Respond: stimuli become drives, by the default net or by what a species brings; people may hold a body. Reach 0."""

from collections.abc import Mapping

import numpy as np

from umwelt.agents.earth.brain import think
from umwelt.agents.species.behaviour import Behaviours
from umwelt.sandbox.columns import Table
from umwelt.sandbox.region import Region


def respond(region: Region) -> None:
    """Fill the drives of every monster."""
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
    if region.controls.held:
        hold(monsters, region.controls.held)


def hold(monsters: Table, held: Mapping[int, tuple[int, ...]]) -> None:
    """Put the drives that people chose in the place of those that held bodies have found, in all images of them.

    Its net or species goes on as ever: it senses, and remembers what it would have done.
    """
    ids = np.array(sorted(held), np.int64)
    drives = np.array([held[identity] for identity in ids.tolist()], np.int16)
    rows = np.flatnonzero(np.isin(monsters["id"], ids))
    monsters["drives"][rows] = drives[np.searchsorted(ids, monsters["id"][rows])]
