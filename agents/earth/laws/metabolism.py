"""React, as life needs it: the reactions of cells, plants and monsters. Reach 0."""

from umwelt.sandbox.chemistry import ReactionTable
from umwelt.sandbox.dice import purpose
from umwelt.sandbox.laws.react import react_in_cells, react_table
from umwelt.sandbox.region import Region


def reactions_of(region: Region, site: str) -> ReactionTable:
    """A site's reactions, from the region's constants; those that people gave another rate have it.

    The constants stay as genesis made them (regions and snapshots share them): what was changed is laid over them.
    """
    table = ReactionTable(*[region.constants[f"{site}.{name}"] for name in ReactionTable._fields])
    if not region.controls.rates:
        return table
    rate_q24 = table.rate_q24.copy()
    for name, rate in region.controls.rates.items():
        # compiled reactions have no names; their dice are named by them
        rate_q24[table.dice_index == purpose("reaction." + name)] = rate
    return table._replace(rate_q24=rate_q24)


def react(region: Region) -> None:
    """Let everything react with what is in the same place."""
    environment = region.scratch("environment", "int16", 4)
    region.run(react_in_cells, reactions_of(region, "cell"), region.fields["substance"], environment)
    for kind in ("plants", "monsters"):
        react_table(region, kind, reactions_of(region, kind))
