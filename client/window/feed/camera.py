"""Where the window looks: a point of the torus, and how large a cell is. Pure; pixels are the framebuffer's.

Rows grow downward, as in pictures. The torus has no edge: a view may reach over the seams, and from far away the world
is seen side by side with itself.
"""

import math
from dataclasses import dataclass, field

from umwelt.client.window.feed.torus import shortest
from umwelt.sandbox.region import Rectangle

MIN_SCALE, MAX_SCALE = 0.25, 400.0
SETTLED = 1e-3
EASE_A_S = 14.0
"""How quickly the camera reaches what it was told: the share of the way that is left falls by e in 1/14 s."""

DENSITIES_BELOW, BODIES_FROM = 1.6, 7.0
"""Pixels a cell: under the first only densities are seen, from the second on bodies."""
FADE = 1.25
"""Between two levels both are drawn, from one edge to this many times it."""


@dataclass
class Camera:
    """`y`, `x` is the cell in the middle, `scale` the pixels a cell; the `wished` ones are where it is going."""

    height: int
    width: int
    view: tuple[int, int] = (1280, 720)
    """Width and height of the window in pixels."""
    y: float = 0.0
    x: float = 0.0
    scale: float = 8.0
    wished: tuple[float, float, float] = field(default=(0.0, 0.0, 8.0))

    @classmethod
    def over(cls, height: int, width: int, view: tuple[int, int]) -> "Camera":
        """A camera that sees the whole world."""
        camera = cls(height, width, view)
        camera.look(height / 2, width / 2, camera.whole_scale, at_once=True)
        return camera

    @property
    def whole_scale(self) -> float:
        """The scale at which the window is just filled by the world."""
        return max(self.view[0] / self.width, self.view[1] / self.height)

    @property
    def min_scale(self) -> float:
        """The whole torus is to be seen; much smaller makes no sense."""
        return max(MIN_SCALE, min(self.view[0] / self.width, self.view[1] / self.height) * 0.9)

    # --- moving

    def look(self, y: float, x: float, scale: float | None = None, at_once: bool = False) -> None:
        """Look at a cell, by the shortest way."""
        wanted = min(max(scale or self.wished[2], self.min_scale), MAX_SCALE)
        self.wished = (self._near(y, self.y, self.height), self._near(x, self.x, self.width), wanted)
        if at_once:
            self.y, self.x, self.scale = self.wished
            self._wrap()

    def pan(self, right_pixels: float, down_pixels: float, at_once: bool = True) -> None:
        """Move the view over the world; dragging moves at once, keys glide."""
        y, x, scale = self.wished
        y, x = y + down_pixels / self.scale, x + right_pixels / self.scale
        self.wished = (y, x, scale)
        if at_once:
            self.y, self.x = self.y + down_pixels / self.scale, self.x + right_pixels / self.scale
        self._wrap()

    def zoom(self, factor: float, at: tuple[float, float] | None = None) -> None:
        """Make cells larger or smaller; the cell under a pixel stays under it."""
        y, x, scale = self.wished
        wanted = min(max(scale * factor, self.min_scale), MAX_SCALE)
        right, down = self._from_middle(at)
        self.wished = (y + down / scale - down / wanted, x + right / scale - right / wanted, wanted)

    def turn(self, seconds: float) -> bool:
        """Let time pass; gives whether the camera moved."""
        y, x, scale = self.wished
        share = 1 - math.exp(-EASE_A_S * max(0.0, seconds))
        near = abs(math.log(scale / self.scale)) < SETTLED
        if near and math.hypot(y - self.y, x - self.x) * self.scale < 0.25:
            moved = (self.y, self.x, self.scale) != self.wished
            self.y, self.x, self.scale = self.wished
        else:
            moved = True
            # the middle moves so that the cell that is zoomed at stands still: it goes with 1 / scale, not with time
            before = self.scale
            self.scale = math.exp(math.log(before) + share * math.log(scale / before))
            if near:
                way = share
            else:
                way = (1 / before - 1 / self.scale) / (1 / before - 1 / scale)
            self.y, self.x = self.y + (y - self.y) * way, self.x + (x - self.x) * way
        self._wrap()
        return moved

    def resize(self, width: int, height: int) -> None:
        """The window has another size."""
        self.view = (max(1, width), max(1, height))
        y, x, scale = self.wished
        self.wished = (y, x, max(scale, self.min_scale))

    def _wrap(self) -> None:
        """Keep the middle on the torus; where it is going moves along."""
        down, across = math.floor(self.y / self.height) * self.height, math.floor(self.x / self.width) * self.width
        if down or across:
            self.y, self.x = self.y - down, self.x - across
            self.wished = (self.wished[0] - down, self.wished[1] - across, self.wished[2])

    # --- from pixels to cells and back

    def _from_middle(self, at: tuple[float, float] | None) -> tuple[float, float]:
        return (0.0, 0.0) if at is None else (at[0] - self.view[0] / 2, at[1] - self.view[1] / 2)

    def cell(self, right: float, down: float) -> tuple[float, float]:
        """The place (y, x) under a pixel, counted from the window's upper left corner."""
        right, down = self._from_middle((right, down))
        return (self.y + down / self.scale) % self.height, (self.x + right / self.scale) % self.width

    def pixel(self, y: float, x: float) -> tuple[float, float]:
        """The pixel (right, down) of a place, at its image next to the middle."""
        y, x = self._near(y, self.y, self.height), self._near(x, self.x, self.width)
        return self.view[0] / 2 + (x - self.x) * self.scale, self.view[1] / 2 + (y - self.y) * self.scale

    @staticmethod
    def _near(place: float, middle: float, size: int) -> float:
        return middle + shortest(place - middle, size)

    # --- what is seen

    def rectangle(self, margin_cells: float = 0.0) -> Rectangle:
        """The cells in view; reaches over the seams, and is never larger than the world."""
        spans = []
        for middle, size, pixels in ((self.y, self.height, self.view[1]), (self.x, self.width, self.view[0])):
            half = pixels / self.scale / 2 + margin_cells
            first, count = math.floor(middle - half), math.ceil(2 * half) + 1
            spans.append((first % size, count) if count < size else (0, size))
        (y, height), (x, width) = spans
        return Rectangle(y, x, height, width)

    def images(self, rectangle: Rectangle, margin_cells: float = 2.0) -> list[tuple[int, int]]:
        """Where copies of a rectangle's contents are seen: cells to add to (y, x) counted from its corner.

        The first middle is the camera's own: a place `p` of the rectangle is drawn at `p + image - camera`.
        """
        found = []
        spans = []
        for first, count, middle, size, pixels in (
            (rectangle.y, rectangle.height, self.y, self.height, self.view[1]),
            (rectangle.x, rectangle.width, self.x, self.width, self.view[0]),
        ):
            half = pixels / self.scale / 2 + margin_cells
            low = math.ceil((middle - half - first - count) / size)
            high = math.floor((middle + half - first) / size)
            spans.append([first + n * size for n in range(low, high + 1)])
        for y in spans[0]:
            for x in spans[1]:
                found.append((y, x))
        return found

    def levels(self) -> dict[str, float]:
        """How strongly each level of detail is drawn, 0 to 1; where two are, one is faded into the other."""
        near = _between(self.scale, BODIES_FROM)
        middle = _between(self.scale, DENSITIES_BELOW)
        found = {"bodies": near, "dots": middle * (near < 1), "densities": 1.0 * (middle < 1)}
        return {name: strength for name, strength in found.items() if strength > 0}


def _between(scale: float, edge: float) -> float:
    share = (scale / edge - 1) / (FADE - 1)
    share = min(1.0, max(0.0, share))
    return share * share * (3 - 2 * share)
