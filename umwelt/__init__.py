"""Umwelt: an artificial-life sandbox whose worlds are the same, bit for bit, on any number of machines.

    import umwelt

    world = umwelt.World.load("meadow", seed=7)
    world.step()

`World`, `Monster`, `Plant`, `Drives`, `Column` and `compiled` are for worlds and species in one process; `connect`
opens a connection to a running world. They are imported when they are first used, so that `import umwelt` itself is
quick.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from umwelt.agents import Column as Column
    from umwelt.agents import Drives as Drives
    from umwelt.agents import Monster as Monster
    from umwelt.agents import Plant as Plant
    from umwelt.agents import World as World
    from umwelt.agents import compiled as compiled
    from umwelt.client.connection.api import connect as connect

    __version__: str

_MODULES = {
    "Column": "umwelt.agents",
    "Drives": "umwelt.agents",
    "Monster": "umwelt.agents",
    "Plant": "umwelt.agents",
    "World": "umwelt.agents",
    "compiled": "umwelt.agents",
    "connect": "umwelt.client.connection.api",
}

__all__ = ["Column", "Drives", "Monster", "Plant", "World", "__version__", "compiled", "connect"]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        value: Any = version("umwelt")
    elif name in _MODULES:
        value = getattr(importlib.import_module(_MODULES[name]), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
