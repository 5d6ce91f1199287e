"""The camera: which point of the torus is in the middle of the window, and how large a cell is.

Pixels are the framebuffer's; y and rows grow downward, as in pictures. The torus has no edge: a view may cross the
seams, and from far away several copies of the world are side by side.
"""

import math
from dataclasses import dataclass, field

from umwelt.client.window.feed.torus import shortest
from umwelt.sandbox.region import Rectangle

MIN_SCALE, MAX_SCALE = 0.25, 400.0
SETTLED, SETTLED_PIXELS = 1e-3, 0.25
"""The camera stands still when log(scale) and the middle are this near to their targets."""
EASE_PER_S = 14.0
"""How fast the camera approaches its target: the remaining distance falls by a factor of e in 1/14 s."""

DENSITIES_BELOW, BODIES_FROM = 1.6, 7.0
"""Pixels per cell: below the first only densities are drawn, from the second on bodies; in between, dots."""
FADE = 1.25
"""From an edge to this many times it, the levels on both sides of it are drawn and blended."""
WHOLE_WORLD_SHARE = 0.9
"""The smallest scale leaves a little room around the whole world."""


@dataclass
class Camera:
    """A camera over a world of `height` x `width` cells.

    `y`, `x` is the place in the middle, `scale` the pixels per cell. `target` (y, x, scale) is what it moves toward.
    """

    height: int
    width: int
    view: tuple[int, int] = (1280, 720)
    """Width and height of the window in pixels."""
    y: float = 0.0
    x: float = 0.0
    scale: float = 8.0
    target: tuple[float, float, float] = field(default=(0.0, 0.0, 8.0))

    @classmethod
    def over(cls, height: int, width: int, view: tuple[int, int]) -> "Camera":
        """A camera whose view is filled by the world."""
        camera = cls(height, width, view)
        camera.look(height / 2, width / 2, camera.whole_scale, at_once=True)
        return camera

    @property
    def whole_scale(self) -> float:
        """The smallest scale at which the world fills the window."""
        return max(self.view[0] / self.width, self.view[1] / self.height)

    @property
    def min_scale(self) -> float:
        """The smallest scale: the whole torus is in view."""
        return max(MIN_SCALE, min(self.view[0] / self.width, self.view[1] / self.height) * WHOLE_WORLD_SHARE)

    # --- moving

    def look(self, y: float, x: float, scale: float | None = None, at_once: bool = False) -> None:
        """Move to a place by the shortest way round the torus, or jump there with `at_once`."""
        wanted = min(max(scale or self.target[2], self.min_scale), MAX_SCALE)
        self.target = (self._near(y, self.y, self.height), self._near(x, self.x, self.width), wanted)
        if at_once:
            self.y, self.x, self.scale = self.target
            self._wrap()

    def pan(self, right_pixels: float, down_pixels: float, at_once: bool = True) -> None:
        """Move the view by pixels, at once (dragging) or gliding (keys)."""
        y, x, scale = self.target
        y, x = y + down_pixels / self.scale, x + right_pixels / self.scale
        self.target = (y, x, scale)
        if at_once:
            self.y, self.x = self.y + down_pixels / self.scale, self.x + right_pixels / self.scale
        self._wrap()

    def zoom(self, factor: float, at: tuple[float, float] | None = None) -> None:
        """Multiply the scale; the place under the pixel `at` (default: the middle) stays under it."""
        y, x, scale = self.target
        wanted = min(max(scale * factor, self.min_scale), MAX_SCALE)
        right, down = self._from_middle(at)
        self.target = (y + down / scale - down / wanted, x + right / scale - right / wanted, wanted)

    def turn(self, seconds: float) -> bool:
        """Advance by one frame; returns whether the camera moved."""
        y, x, scale = self.target
        share = 1 - math.exp(-EASE_PER_S * max(0.0, seconds))
        near = abs(math.log(scale / self.scale)) < SETTLED
        if near and math.hypot(y - self.y, x - self.x) * self.scale < SETTLED_PIXELS:
            moved = (self.y, self.x, self.scale) != self.target
            self.y, self.x, self.scale = self.target
        else:
            moved = True
            # the middle follows 1 / scale, not time, so that the place under the mouse stands still while zooming
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
        """The window has another size, in framebuffer pixels."""
        self.view = (max(1, width), max(1, height))
        y, x, scale = self.target
        self.target = (y, x, max(scale, self.min_scale))

    def _wrap(self) -> None:
        """Bring the middle back onto the torus, and shift the target along with it."""
        down, across = math.floor(self.y / self.height) * self.height, math.floor(self.x / self.width) * self.width
        if down or across:
            self.y, self.x = self.y - down, self.x - across
            self.target = (self.target[0] - down, self.target[1] - across, self.target[2])

    # --- from pixels to cells and back

    def _from_middle(self, at: tuple[float, float] | None) -> tuple[float, float]:
        return (0.0, 0.0) if at is None else (at[0] - self.view[0] / 2, at[1] - self.view[1] / 2)

    def cell(self, right: float, down: float) -> tuple[float, float]:
        """The place (y, x in cells) under a pixel, counted from the upper left corner."""
        right, down = self._from_middle((right, down))
        return (self.y + down / self.scale) % self.height, (self.x + right / self.scale) % self.width

    def pixel(self, y: float, x: float) -> tuple[float, float]:
        """The pixel (right, down) of a place, of its copy that is nearest to the middle."""
        y, x = self._near(y, self.y, self.height), self._near(x, self.x, self.width)
        return self.view[0] / 2 + (x - self.x) * self.scale, self.view[1] / 2 + (y - self.y) * self.scale

    @staticmethod
    def _near(place: float, middle: float, size: int) -> float:
        return middle + shortest(place - middle, size)

    # --- what is in view

    def rectangle(self, margin_cells: float = 0.0) -> Rectangle:
        """The cells in view, never more than the world; the rectangle may cross the seams."""
        spans = []
        for middle, size, pixels in ((self.y, self.height, self.view[1]), (self.x, self.width, self.view[0])):
            half = pixels / self.scale / 2 + margin_cells
            first, count = math.floor(middle - half), math.ceil(2 * half) + 1
            spans.append((first % size, count) if count < size else (0, size))
        (y, height), (x, width) = spans
        return Rectangle(y, x, height, width)

    def images(self, rectangle: Rectangle, margin_cells: float = 2.0) -> list[tuple[int, int]]:
        """The corners (y, x) of all copies of a rectangle that are in view, in the camera's coordinates.

        A place that is `p` cells from the rectangle's corner is drawn `p + corner - camera` cells from the middle.
        """
        spans = []
        for first, count, middle, size, pixels in (
            (rectangle.y, rectangle.height, self.y, self.height, self.view[1]),
            (rectangle.x, rectangle.width, self.x, self.width, self.view[0]),
        ):
            half = pixels / self.scale / 2 + margin_cells
            low = math.ceil((middle - half - first - count) / size)
            high = math.floor((middle + half - first) / size)
            spans.append([first + n * size for n in range(low, high + 1)])
        return [(y, x) for y in spans[0] for x in spans[1]]

    def levels(self) -> dict[str, float]:
        """The levels of detail to draw, each with its strength from 0 to 1: "bodies", "dots", "densities"."""
        near = _fade_in(self.scale, BODIES_FROM)
        middle = _fade_in(self.scale, DENSITIES_BELOW)
        strengths = {"bodies": near, "dots": middle * (near < 1), "densities": 1.0 * (middle < 1)}
        return {name: strength for name, strength in strengths.items() if strength > 0}


def _fade_in(scale: float, edge: float) -> float:
    """From 0 at an edge to 1 at `FADE` times it, smoothly."""
    share = (scale / edge - 1) / (FADE - 1)
    share = min(1.0, max(0.0, share))
    return share * share * (3 - 2 * share)
