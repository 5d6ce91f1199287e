"""The functions and objects of the window that its panels use."""

from collections.abc import Callable
from typing import NamedTuple

from umwelt.client.window.input.tools import Toolbox


class Hooks(NamedTuple):
    """The hooks of a window, set by the window. If a hook is None, panels do not offer its actions."""

    inhabit: Callable[[int], None] | None = None
    """A function that starts steering a being by the keyboard, given the being's id."""
    toolbox: Toolbox | None = None
    """The toolbox with the tools that change the world."""
