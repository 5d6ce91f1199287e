"""Mesa's own examples, run as they are shipped: what Umwelt is measured against."""

import importlib
import importlib.util
import sys
import types
from pathlib import Path
from typing import Any

SHEEP_REPRODUCE, WOLF_REPRODUCE = 0.1, 0.05
WOLF_SHARE = 0.25
ANIMALS_A_CELL = 0.12
"""Parameters under which sheep and wolves live on together; with the shipped ones both die out within 100 steps."""


def mesa_example(name: str) -> Any:
    """A module of Mesa's examples, as `"advanced.wolf_sheep.model"`.

    Importing `mesa.examples` itself loads all of them, and with them libraries that these do not need: so an empty
    package of that name stands in.
    """
    if "mesa.examples" not in sys.modules:
        found = importlib.util.find_spec("mesa")
        assert found is not None and found.origin is not None, "Mesa is not installed"
        package = types.ModuleType("mesa.examples")
        package.__path__ = [str(Path(found.origin).parent / "examples")]
        sys.modules["mesa.examples"] = package
    return importlib.import_module(f"mesa.examples.{name}")


def side_for(animals: int) -> int:
    """The side of a square on which that many animals stand as thinly as they should."""
    return round((animals / ANIMALS_A_CELL) ** 0.5)


def wolf_sheep(side: int, seed: int) -> Any:
    """Mesa's Wolf-Sheep on a square torus with the parameters of coexistence; one step is `simulator.run_for(1)`.

    Its `step()` alone would leave the clock standing, and no grass would grow again.
    """
    from mesa.experimental.devs import ABMSimulator

    animals = round(side * side * ANIMALS_A_CELL)
    wolves = round(animals * WOLF_SHARE)
    return mesa_example("advanced.wolf_sheep.model").WolfSheep(
        width=side,
        height=side,
        initial_sheep=animals - wolves,
        initial_wolves=wolves,
        sheep_reproduce=SHEEP_REPRODUCE,
        wolf_reproduce=WOLF_REPRODUCE,
        seed=seed,
        simulator=ABMSimulator(),
    )
