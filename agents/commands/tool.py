"""Descriptions of the window's tools, as data: the window draws and operates a tool by its description alone."""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

Gesture = Literal["point", "stroke", "area", "target", "being", "grab", "spawn"]
"""How a tool is used, and which fields of the request come from the mouse:

- `point`: press on a cell (`y`, `x`);
- `stroke`: press and drag; one command for each cell passed (`y`, `x`);
- `area`: paint with a square brush, or drag a rectangle (`y`, `x`, `height`, `width`);
- `target`: press on a being to mean its cell, or on a cell (`y`, `x`);
- `being`: press on a being (`id`);
- `grab`: press on a being, drag it, release it (`id`, `y`, `x`);
- `spawn`: press on a place; the setting `source` tells what appears there.

Commands of `stroke` and `area` are sent as they are journalled: their request must have the command's fields.
"""

Known = Literal["", "substances", "fields", "plants", "monsters"]


class Number(NamedTuple):
    """A setting that is a whole number; `name` is the request's field."""

    name: str
    label: str
    default: int
    minimum: int
    maximum: int
    unit_of: str = ""
    """The choice whose value names the unit shown behind the number."""


class Choice(NamedTuple):
    """A setting that is one of several names; `name` is the request's field."""

    name: str
    label: str
    default: str = ""
    """"" is the first of the choices."""
    known: Known = ""
    """What the world knows of this sort can be chosen."""
    only: tuple[str, ...] = ()
    """If given, only these names."""


class Tool(NamedTuple):
    """A tool of the window; `name` also identifies its icon."""

    name: str
    label: str
    hint: str
    gesture: Gesture
    report: str
    """What the window says afterwards, with the request's fields in braces."""
    settings: tuple[Number | Choice, ...] = ()
    fixed: Mapping[str, Any] = {}
    """Fields of the request that are the same whenever this tool is used."""
    radius: str = ""
    """The setting that gives the radius in cells of what a press changes."""
    repeats: bool = False
    """Whether a stroke goes on while the mouse is held still."""
