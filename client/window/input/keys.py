"""What the window's keys do: one table, for the window and for its help."""

from typing import NamedTuple


class Binding(NamedTuple):
    """`keys` as people read them, `names` as pyglet calls the symbols, `action` as the window does it."""

    keys: str
    names: tuple[str, ...]
    action: str
    words: str


BINDINGS = (
    Binding("drag, arrows, WASD", (), "", "look elsewhere"),
    Binding("wheel, + and -", (), "", "nearer, farther: at the cursor"),
    Binding("Home", ("HOME",), "whole", "see the whole world"),
    Binding("click", (), "", "select a being"),
    Binding("F", ("F",), "follow", "follow the selected being"),
    Binding("I", ("I",), "inhabit", "steer the selected monster yourself; I or Esc gives it back"),
    Binding("Space", ("SPACE",), "pause", "pause the world, or let it go on"),
    Binding(".", ("PERIOD",), "step", "one tick"),
    Binding("[ and ]", (), "", "slower, faster"),
    Binding("1 to 9", (), "", "choose a tool"),
    Binding("Esc", ("ESCAPE",), "cancel", "put the tool away; select nothing"),
    Binding("Ctrl Z", (), "", "undo: fork the run from before your last command"),
    Binding("Backspace", ("BACKSPACE",), "now", "from the past back to now"),
    Binding("L", ("L",), "layer", "the next layer"),
    Binding("N", ("N",), "nodes", "borders of nodes"),
    Binding("C", ("C",), "clades", "bodies in the colours of their clades"),
    Binding("Tab", ("TAB",), "panels", "hide or show all panels"),
    Binding("H, F1", ("H", "F1"), "help", "this help"),
    Binding("F2", ("F2",), "screenshot", "keep a picture"),
    Binding("F3", ("F3",), "record", "record a GIF; with Shift an MP4; again to end"),
    Binding("F11", ("F11",), "fullscreen", "the whole screen"),
    Binding("Ctrl Q", (), "", "close the window; the world goes on"),
)

ACTIONS = {name: binding.action for binding in BINDINGS for name in binding.names}
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
"""Keys that move the view while they are held: right, down."""
ZOOMS = {"PLUS": 1, "EQUAL": 1, "NUM_ADD": 1, "PAGEUP": 1, "MINUS": -1, "NUM_SUBTRACT": -1, "PAGEDOWN": -1}
SPEEDS = {"BRACKETLEFT": 0.5, "BRACKETRIGHT": 2.0}
