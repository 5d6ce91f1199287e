"""Descriptions of the tools of the graphical window as data, from which the window draws and operates them."""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

Gesture = Literal["point", "stroke", "area", "target", "being", "grab", "spawn"]
"""The way a tool is used with the mouse, with the fields of the request that it sets:

- `point`: press on a cell (`y`, `x`);
- `stroke`: press and drag; one command for each cell passed (`y`, `x`);
- `area`: paint with a square brush, or drag a rectangle (`y`, `x`, `height`, `width`);
- `target`: press on a being to select its cell, or on a cell (`y`, `x`);
- `being`: press on a being (`id`);
- `grab`: press on a being, drag it, release it (`id`, `y`, `x`);
- `spawn`: press on a position; the setting `source` determines which being is created there.

Tools with `stroke` and `area` send commands instead of requests: the request class must be the command class.
"""

Known = Literal["", "substances", "fields", "plants", "monsters"]
"""The categories of names of a world that a `Choice` can offer; "" for none."""


class Number(NamedTuple):
    """A setting of a tool that is a whole number; `name` is the field of the request that it sets."""

    name: str
    label: str
    default: int
    minimum: int
    maximum: int
    unit_of: str = ""
    """The name of the `Choice` whose value determines the unit displayed after the number."""


class Choice(NamedTuple):
    """A setting of a tool that is one of several names; `name` is the field of the request that it sets."""

    name: str
    label: str
    default: str = ""
    """The name chosen at first; "" for the first of the available names."""
    known: Known = ""
    """The category of the world's names that are available."""
    only: tuple[str, ...] = ()
    """The available names, if not empty; limits the names of `known`."""


class Tool(NamedTuple):
    """The description of a tool of the window; `name` also identifies its icon."""

    name: str
    label: str
    hint: str
    gesture: Gesture
    report: str
    """The message that the window displays after use, a format string with the request's fields."""
    settings: tuple[Number | Choice, ...] = ()
    fixed: Mapping[str, Any] = {}
    """The fields of the request that have the same value whenever this tool is used."""
    radius: str = ""
    """The name of the setting that is the radius, in cells, of the disc that a press changes; "" for none."""
    repeats: bool = False
    """Whether a stroke repeats its command while the mouse is held still."""
