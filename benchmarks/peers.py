"""Mesa's own examples, unchanged, to compare Umwelt with."""

import importlib
import importlib.util
import sys
import types
from pathlib import Path
from typing import Any

SHEEP_REPRODUCE, WOLF_REPRODUCE = 0.1, 0.05
WOLF_SHARE = 0.25
ANIMALS_A_CELL = 0.12
"""Parameters with which sheep and wolves coexist; with Mesa's defaults both die out within 100 steps."""


def mesa_example(name: str) -> Any:
    """Imports a module of Mesa's examples, such as `"advanced.wolf_sheep.model"`.

    An empty package takes the place of `mesa.examples`, because importing the real one loads all examples and more
    libraries.
    """
    if "mesa.examples" not in sys.modules:
        spec = importlib.util.find_spec("mesa")
        assert spec is not None and spec.origin is not None, "Mesa is not installed"
        package = types.ModuleType("mesa.examples")
        package.__path__ = [str(Path(spec.origin).parent / "examples")]
        sys.modules["mesa.examples"] = package
    return importlib.import_module(f"mesa.examples.{name}")


def side_for(animals: int) -> int:
    """Returns the side, in cells, of a square on which this number of animals has the density `ANIMALS_A_CELL`."""
    return round((animals / ANIMALS_A_CELL) ** 0.5)


def wolf_sheep(side: int, seed: int) -> Any:
    """Returns Mesa's Wolf-Sheep on a square torus, with the parameters above; a step is `simulator.run_for(1)`.

    The model's `step()` alone does not advance the simulator's clock, so that grass would not grow again.
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
