"""The inhabitants: what lives, senses and acts, and the world as Mesa users know it.

    from umwelt.agents import World
    w = World.load("meadow", seed=7)
    w.step()

What is named here is loaded when it is asked for: the laws alone need none of Mesa.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from umwelt.agents.entity import Agent, Being, Monster, Plant
    from umwelt.agents.population import Population
    from umwelt.agents.species import Column, Drives, compiled, dot
    from umwelt.agents.world import World

_HOMES = {
    "Agent": "entity",
    "Being": "entity",
    "Column": "species",
    "Drives": "species",
    "Monster": "entity",
    "Plant": "entity",
    "Population": "population",
    "World": "world",
    "compiled": "species",
    "dot": "species",
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
