"""Many alike things in one draw call: a quad that is drawn once for each row of some buffers."""

from array import array
from typing import Any

import numpy as np
from arcade.gl import BufferDescription

MIN_ROWS = 256
NEAR_FROM = 22.0
"""Pixels a cell from which all details of bodies are drawn."""


class Instances:
    """One buffer on the card for each group of attributes, grown by doubling.

    `groups` names the attributes of each: `{"place": ("4f 4f", ["in_way", "in_turn"])}`. The corner of the quad, from
    -1 to 1 both ways, is the attribute `in_corner`. Small whole numbers are packed into `uint32`, and unpacked in the
    shader: drivers differ about attributes of single bytes.
    """

    def __init__(self, ctx: Any, groups: dict[str, tuple[str, list[str]]]):
        self.count = 0
        corners = ctx.buffer(data=array("f", [-1, -1, 1, -1, -1, 1, 1, 1]))
        told = [BufferDescription(corners, "2f", ["in_corner"])]
        self._buffers = {}
        for name, (formats, attributes) in groups.items():
            row_bytes = 4 * sum(int(one[0]) for one in formats.split())
            self._buffers[name] = ctx.buffer(reserve=MIN_ROWS * row_bytes)
            told.append(BufferDescription(self._buffers[name], formats, attributes, instanced=True))
        self._geometry = ctx.geometry(told, mode=ctx.TRIANGLE_STRIP)

    def write(self, **groups: np.ndarray) -> None:
        """Replace the rows of all groups; each array is of 4-byte numbers, `[row, number]`."""
        assert groups.keys() == self._buffers.keys()
        for name, rows in groups.items():
            rows, buffer = np.ascontiguousarray(rows), self._buffers[name]
            self.count = len(rows)
            if rows.nbytes > buffer.size:
                size = buffer.size
                while size < rows.nbytes:
                    size *= 2
                buffer.orphan(size)
            if rows.nbytes:
                buffer.write(rows)

    def render(self, program: Any) -> None:
        """Draw every row."""
        if self.count:
            self._geometry.render(program, instances=self.count)


def packed(*parts: tuple[np.ndarray, int]) -> np.ndarray:
    """`uint32[n]` from (numbers, how many bits they take), the lowest first; numbers are held to what fits."""
    found, at = None, 0
    for numbers, bits in parts:
        most = (1 << bits) - 1
        held = np.clip(numbers, 0, most).astype(np.uint32)
        found = held if found is None else found | (held << np.uint32(at))
        at += bits
    assert found is not None and at <= 32
    return found


class Marks:
    """Which beings are marked, and the hues of their clades: what `Looks` says of a swarm."""

    def __init__(self) -> None:
        self._hues: tuple[Any, np.ndarray, np.ndarray] = (None, np.zeros(0, np.int64), np.zeros(0))

    @staticmethod
    def stamp(looks: Any) -> tuple:
        """Another one when marks or hues are others."""
        hues = looks.clade_hues if looks.lineages else None
        return looks.highlighted, looks.lineages, id(hues), len(hues or ())

    @staticmethod
    def highlighted(ids: np.ndarray, looks: Any) -> np.ndarray:
        """`bool[n]`"""
        if not looks.highlighted:
            return np.zeros(len(ids), bool)
        return np.isin(ids, np.fromiter(looks.highlighted, np.int64, len(looks.highlighted)))

    def hues(self, ids: np.ndarray, own: np.ndarray, looks: Any) -> np.ndarray:
        """The hues to show: those of clades where lineages are shown and known, else `own`."""
        if not looks.lineages or not looks.clade_hues:
            return own
        of, keys, values = self._hues
        if of is not looks.clade_hues or len(keys) != len(of):
            of = looks.clade_hues
            keys = np.fromiter(of.keys(), np.int64, len(of))
            values = np.fromiter(of.values(), np.float64, len(of))
            order = np.argsort(keys)
            keys, values = keys[order], values[order]
            self._hues = (of, keys, values)
        at = np.minimum(np.searchsorted(keys, ids), len(keys) - 1)
        return np.where(keys[at] == ids, values[at], own)
