"""What panels may ask of the window that they are drawn in."""

from collections.abc import Callable
from typing import NamedTuple

from umwelt.client.window.input.tools import Toolbox


class Hooks(NamedTuple):
    """Set by the window; a panel does not offer what is None."""

    inhabit: Callable[[int], None] | None = None
    """Steer a being, by its id."""
    toolbox: Toolbox | None = None
    """The tools that change the world."""
