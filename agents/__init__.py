"""Beings, their species and laws, world files, and the world as a Mesa model.

    from umwelt.agents import Drives, Monster, World

    world = World.load("meadow", seed=7)
    world.step()

Public names are imported lazily, on first access, so that code which uses only laws or world files does not need Mesa
or pandas.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from umwelt.agents.measures import Measure
    from umwelt.agents.mesa.agent_set import AgentSet
    from umwelt.agents.mesa.being_set import BeingSet
    from umwelt.agents.mesa.world import World
    from umwelt.agents.species.column_access import BeingColumns
    from umwelt.agents.species.entity import Agent, Being, Monster, Plant
    from umwelt.agents.species.species import (
        Column,
        Dice,
        DiceColumns,
        Drives,
        Stimuli,
        StimulusColumns,
        compiled,
        dot,
    )
    from umwelt.agents.world_file import WorldFile

_MODULES = {
    "Agent": "species.entity",
    "AgentSet": "mesa.agent_set",
    "Being": "species.entity",
    "BeingColumns": "species.column_access",
    "BeingSet": "mesa.being_set",
    "Column": "species.species",
    "Dice": "species.species",
    "DiceColumns": "species.species",
    "Drives": "species.species",
    "Measure": "measures",
    "Monster": "species.entity",
    "Plant": "species.entity",
    "Stimuli": "species.species",
    "StimulusColumns": "species.species",
    "World": "mesa.world",
    "WorldFile": "world_file",
    "compiled": "species.species",
    "dot": "species.species",
}

__all__ = [
    "Agent",
    "AgentSet",
    "Being",
    "BeingColumns",
    "BeingSet",
    "Column",
    "Dice",
    "DiceColumns",
    "Drives",
    "Measure",
    "Monster",
    "Plant",
    "Stimuli",
    "StimulusColumns",
    "World",
    "WorldFile",
    "compiled",
    "dot",
]


def __getattr__(name: str) -> Any:
    """Imports the public name `name` on first access."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Returns the names of the module, including public names that are not imported yet."""
    return sorted([*globals(), *__all__])
