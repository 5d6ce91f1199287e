"""The law `react`: chemistry in cells, plants and monsters. Reach 0.

Stochastic mass action in integers; `sandbox/laws/react.py` states the rule and its source.
"""

from umwelt.sandbox.chemistry import ReactionTable
from umwelt.sandbox.dice import purpose
from umwelt.sandbox.laws.react import react_in_cells, react_table
from umwelt.sandbox.laws.weather import ENVIRONMENT
from umwelt.sandbox.region import Region


def reactions_of(region: Region, site: str) -> ReactionTable:
    """The reactions of a site ("cell", "plants" or "monsters"), with the rates that commands have set.

    The constants stay as genesis made them, since regions and snapshots share them: changed rates go into a copy.
    """
    table = ReactionTable(*[region.constants[f"{site}.{name}"] for name in ReactionTable._fields])
    if not region.controls.rates:
        return table
    rate_q24 = table.rate_q24.copy()
    for name, rate in region.controls.rates.items():
        # compiled reactions have no names, but the purpose of their dice is made from the name
        rate_q24[table.dice_index == purpose("reaction." + name)] = rate
    return table._replace(rate_q24=rate_q24)


def react(region: Region) -> None:
    """Let the substances in each cell react, then those in each plant and in each monster."""
    environment = region.scratch("environment", "int16", len(ENVIRONMENT))
    region.run(react_in_cells, reactions_of(region, "cell"), region.fields["substance"], environment)
    for kind in ("plants", "monsters"):
        react_table(region, kind, reactions_of(region, kind))
