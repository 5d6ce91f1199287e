"""Instanced drawing: one quad, drawn once for each row of GPU buffers; and the highlights and clade hues of beings.

A clade is a branch of the tree of life.
"""

from array import array
from typing import Any

import numpy as np
from arcade.gl import BufferDescription

MIN_ROWS = 256
"""The number of rows that a new buffer has room for."""
NEAR_FROM = 22.0
"""The scale in pixels per cell from which bodies are drawn in full detail."""


class Instances:
    """GPU buffers with one row per instance, one buffer for each group of attributes. They grow by doubling.

    `groups` gives format and shader attributes of each buffer: `{"motion": ("4f 4f", ["in_way", "in_turn"])}`. The
    corner of the quad, from -1 to 1 along both axes, is the attribute `in_corner`. Small integers are packed into
    `uint32` and unpacked in the shader, because drivers differ in how they treat attributes of single bytes.
    """

    def __init__(self, ctx: Any, groups: dict[str, tuple[str, list[str]]]):
        self.count = 0
        corners = ctx.buffer(data=array("f", [-1, -1, 1, -1, -1, 1, 1, 1]))
        descriptions = [BufferDescription(corners, "2f", ["in_corner"])]
        self._buffers = {}
        for name, (formats, attributes) in groups.items():
            row_bytes = 4 * sum(int(attribute_format[0]) for attribute_format in formats.split())
            self._buffers[name] = ctx.buffer(reserve=MIN_ROWS * row_bytes)
            descriptions.append(BufferDescription(self._buffers[name], formats, attributes, instanced=True))
        self._geometry = ctx.geometry(descriptions, mode=ctx.TRIANGLE_STRIP)

    def write(self, **groups: np.ndarray) -> None:
        """Replaces the rows of all groups; `groups[name]` is an array `[row, number]` of 4-byte numbers."""
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
        """Draws the quad once for each row."""
        if self.count:
            self._geometry.render(program, instances=self.count)


def pack_bits(*parts: tuple[np.ndarray, int]) -> np.ndarray:
    """Packs several arrays of numbers into one `uint32[n]`, the first in the lowest bits.

    Each of `parts` is an array and the number of bits for each of its numbers, which are clipped to that range.
    """
    packed, shift = None, 0
    for numbers, bits in parts:
        clipped = np.clip(numbers, 0, (1 << bits) - 1).astype(np.uint32)
        packed = clipped if packed is None else packed | (clipped << np.uint32(shift))
        shift += bits
    assert packed is not None and shift <= 32
    return packed


class Marks:
    """Reads from the drawing options (`Looks`) which beings are highlighted, and the hues of their clades."""

    def __init__(self) -> None:
        self._hues: tuple[Any, np.ndarray, np.ndarray] = (None, np.zeros(0, np.int64), np.zeros(0))

    @staticmethod
    def stamp(looks: Any) -> tuple:
        """Returns a tuple that changes when highlights or clade hues change; it serves only for comparison."""
        hues = looks.clade_hues if looks.lineages else None
        return looks.highlighted, looks.lineages, id(hues), len(hues or ())

    @staticmethod
    def highlighted(ids: np.ndarray, looks: Any) -> np.ndarray:
        """Returns whether each being is highlighted, `bool[n]`; `ids` are the beings' ids, `int64[n]`."""
        if not looks.highlighted:
            return np.zeros(len(ids), bool)
        return np.isin(ids, np.fromiter(looks.highlighted, np.int64, len(looks.highlighted)))

    def hues(self, ids: np.ndarray, own: np.ndarray, looks: Any) -> np.ndarray:
        """Returns the hues to draw, `float[n]` from 0 to 1.

        `ids` are the beings' ids, `own` the hues of their bodies. If `looks.lineages` is set, beings have the hues of
        their clades; those whose clade is not known, and all beings otherwise, have `own`.
        """
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
