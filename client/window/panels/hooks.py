"""What panels can do to their window: the functions and objects of the window that they use."""

from collections.abc import Callable
from typing import NamedTuple

from umwelt.client.window.input.tools import Toolbox


class Hooks(NamedTuple):
    """The functions and objects that a window gives to its panels. For those that are None, panels offer no actions."""

    inhabit: Callable[[int], None] | None = None
    """A function that starts steering a being by the keyboard, given the being's id."""
    toolbox: Toolbox | None = None
    """The toolbox with the tools that change the world."""
