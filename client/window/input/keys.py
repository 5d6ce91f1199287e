"""The key bindings of the window, from which its help is generated."""

from typing import NamedTuple


class Binding(NamedTuple):
    """A key binding and its line in the help.

    `keys` is the displayed text, `names` are pyglet's names of the keys, `action` is the name of the action in
    `actions.Actions.by_name` (empty if the keys are handled separately), and `words` is the description.
    """

    keys: str
    names: tuple[str, ...]
    action: str
    words: str


BINDINGS = (
    Binding("drag, arrows, WASD", (), "", "move the view"),
    Binding("wheel, + and -", (), "", "zoom in and out at the cursor"),
    Binding("Home", ("HOME",), "whole", "see the whole world"),
    Binding("click", (), "", "select a being"),
    Binding("F", ("F",), "follow", "follow the selected being"),
    Binding("I", ("I",), "inhabit", "steer the selected monster; I or Esc releases it"),
    Binding("Space", ("SPACE",), "pause", "pause or continue the world"),
    Binding(".", ("PERIOD",), "step", "one tick"),
    Binding("[ and ]", (), "", "slower, faster"),
    Binding("1 to 9", (), "", "choose a tool"),
    Binding("Esc", ("ESCAPE",), "cancel", "put the tool away; clear the selection"),
    Binding("Ctrl Z", (), "", "undo: fork the run before your last command"),
    Binding("Backspace", ("BACKSPACE",), "now", "return from the past to the present"),
    Binding("L", ("L",), "layer", "the next layer"),
    Binding("N", ("N",), "nodes", "borders of nodes"),
    Binding("C", ("C",), "clades", "colour bodies by their clades"),
    Binding("Tab", ("TAB",), "panels", "hide or show all panels"),
    Binding("H, F1", ("H", "F1"), "help", "this help"),
    Binding("F2", ("F2",), "screenshot", "save a picture"),
    Binding("F3", ("F3",), "record", "record a GIF, with Shift an MP4; press again to stop"),
    Binding("F11", ("F11",), "fullscreen", "full screen"),
    Binding("Ctrl Q", (), "", "close the window; the world continues"),
)
"""All key bindings, in the order of the help."""

ACTIONS = {name: binding.action for binding in BINDINGS for name in binding.names}
"""The names of actions, by pyglet's names of the keys."""
PANS = {
    "LEFT": (-1, 0),
    "RIGHT": (1, 0),
    "UP": (0, -1),
    "DOWN": (0, 1),
    "A": (-1, 0),
    "D": (1, 0),
    "W": (0, -1),
    "S": (0, 1),
}
"""The direction (right, down) in which a key moves the view while it is down."""
ZOOMS = {"PLUS": 1, "EQUAL": 1, "NUM_ADD": 1, "PAGEUP": 1, "MINUS": -1, "NUM_SUBTRACT": -1, "PAGEDOWN": -1}
"""Keys that zoom in (1) or out (-1) while they are down."""
SPEEDS = {"BRACKETLEFT": 0.5, "BRACKETRIGHT": 2.0}
"""The factor by which a key changes the speed of the world, or of playback of the past."""
