"""The law `react`: runs the chemical reactions in cells, plants and monsters. Reach 0.

Reactions follow stochastic mass action in integers; `sandbox/chemistry.py` states the rule and its source, and
`sandbox/laws/react.py` computes it. The reach is 0 because a reaction depends only on its own cell or body.
"""

from umwelt.sandbox.chemistry import ReactionTable
from umwelt.sandbox.dice import purpose
from umwelt.sandbox.laws.react import react_in_cells, react_table
from umwelt.sandbox.laws.weather import ENVIRONMENT
from umwelt.sandbox.region import Region


def reactions_of(region: Region, site: str) -> ReactionTable:
    """Returns the compiled reactions of a `site` ("cell", "plants" or "monsters"), with the rates set by commands.

    Changed rates are written into a copy, because regions and snapshots share the region's constants.
    """
    table = ReactionTable(*[region.constants[f"{site}.{name}"] for name in ReactionTable._fields])
    if not region.controls.rates:
        return table
    rate_q24 = table.rate_q24.copy()
    for name, rate in region.controls.rates.items():
        # a compiled reaction has no name, but the purpose of its random numbers is a hash of the name
        rate_q24[table.dice_index == purpose("reaction." + name)] = rate
    return table._replace(rate_q24=rate_q24)


def react(region: Region) -> None:
    """Runs the reactions of a tick in each cell, then in each plant and each monster."""
    environment = region.scratch("environment", "int16", len(ENVIRONMENT))
    region.run(react_in_cells, reactions_of(region, "cell"), region.fields["substance"], environment)
    for kind in ("plants", "monsters"):
        react_table(region, kind, reactions_of(region, kind))
