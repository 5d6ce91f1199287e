"""The inhabitants: what lives, senses and acts, and the world as Mesa users know it.

    from umwelt.agents import World
    w = World.load("meadow", seed=7)
    w.step()

What is named here is loaded when it is asked for: the laws alone need none of Mesa.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from umwelt.agents.mesa.agent_set import Population
    from umwelt.agents.mesa.world import World
    from umwelt.agents.species.entity import Agent, Being, Monster, Plant
    from umwelt.agents.species.species import Column, Drives, compiled, dot

_HOMES = {
    "Agent": "species.entity",
    "Being": "species.entity",
    "Column": "species.species",
    "Drives": "species.species",
    "Monster": "species.entity",
    "Plant": "species.entity",
    "Population": "mesa.agent_set",
    "World": "mesa.world",
    "compiled": "species.species",
    "dot": "species.species",
}

__all__ = ["Agent", "Being", "Column", "Drives", "Monster", "Plant", "Population", "World", "compiled", "dot"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
