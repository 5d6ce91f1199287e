"""React, as life needs it: the reactions of cells, plants and monsters. Reach 0."""

from umwelt.sandbox.chemistry import ReactionTable
from umwelt.sandbox.laws.react import react_in_cells, react_table
from umwelt.sandbox.region import Region


def reactions_of(region: Region, site: str) -> ReactionTable:
    """A site's reactions, from the region's constants."""
    return ReactionTable(*[region.constants[f"{site}.{name}"] for name in ReactionTable._fields])


def react(region: Region) -> None:
    """Let everything react with what is in the same place."""
    environment = region.scratch("environment", "int16", 4)
    region.run(react_in_cells, reactions_of(region, "cell"), region.fields["substance"], environment)
    for kind in ("plants", "monsters"):
        react_table(region, kind, reactions_of(region, kind))
