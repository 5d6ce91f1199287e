"""Respond: stimuli become drives, by the default net or by what a species brings. Reach 0."""

from umwelt.agents.behaviour import Behaviours
from umwelt.agents.brain import think
from umwelt.sandbox.region import Region


def respond(region: Region) -> None:
    """Fill the drives of every monster."""
    behaviours: Behaviours = region.derived["behaviours"]  # type: ignore[assignment]
    monsters = region.tables["monsters"]
    if not monsters.count:
        return
    if behaviours.has_net.any():
        region.run(
            think, region.index("monsters"), monsters["species"], behaviours.has_net, monsters["genome"],
            monsters["stimuli"], monsters["memory"], monsters["drives"],
        )  # fmt: skip
    for species, behaviour in behaviours.own.items():
        behaviour.respond(region, (monsters["species"] == species).nonzero()[0])
