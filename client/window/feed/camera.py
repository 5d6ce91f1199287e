"""The camera: the position at the middle of the window, and the scale in pixels per cell.

Pixels are the framebuffer's; y and rows grow downward, as in images. The world is a torus: a view may cross the seams,
where the last row and column adjoin the first, and when zoomed out it contains several copies of the world.
"""

import math
from dataclasses import dataclass, field

from umwelt.client.window.feed.torus import shortest
from umwelt.sandbox.region import Rectangle

MIN_SCALE, MAX_SCALE = 0.25, 400.0
"""Bounds of the scale, in pixels per cell."""
SETTLED, SETTLED_PIXELS = 1e-3, 0.25
"""Distances from the target, in log(scale) and in pixels, below which the camera stops moving."""
EASE_PER_S = 14.0
"""Rate of approach to the target, per second: the remaining distance falls by a factor of e in 1/14 s."""

DENSITIES_BELOW, BODIES_FROM = 1.6, 7.0
"""Limits of the levels of detail, in pixels per cell.

Below the first, beings are drawn as densities (numbers of beings per area); from the second on, as bodies; in between,
as dots.
"""
FADE = 1.25
"""Between a limit of the scale and `FADE` times the limit, the levels on both sides of it are drawn and blended."""
WHOLE_WORLD_SHARE = 0.9
"""The share of the window that the world takes at the smallest scale, along the axis on which it takes more."""


@dataclass
class Camera:
    """A camera over a world of `height` x `width` cells.

    `y`, `x` is the position in the middle, in cells, and `scale` the pixels per cell. `target` is the (y, x, scale)
    that the camera approaches smoothly.
    """

    height: int
    width: int
    view: tuple[int, int] = (1280, 720)
    """Width and height of the framebuffer in pixels."""
    y: float = 0.0
    x: float = 0.0
    scale: float = 8.0
    target: tuple[float, float, float] = field(default=(0.0, 0.0, 8.0))

    @classmethod
    def over(cls, height: int, width: int, view: tuple[int, int]) -> "Camera":
        """Returns a camera at the middle of the world, with the scale `whole_scale`; `view` is in pixels."""
        camera = cls(height, width, view)
        camera.look(height / 2, width / 2, camera.whole_scale, at_once=True)
        return camera

    @property
    def whole_scale(self) -> float:
        """The smallest scale at which the world fills the window."""
        return max(self.view[0] / self.width, self.view[1] / self.height)

    @property
    def min_scale(self) -> float:
        """The smallest scale allowed: the full torus is in view, unless that takes a scale below `MIN_SCALE`."""
        return max(MIN_SCALE, min(self.view[0] / self.width, self.view[1] / self.height) * WHOLE_WORLD_SHARE)

    # --- moving

    def look(self, y: float, x: float, scale: float | None = None, at_once: bool = False) -> None:
        """Moves smoothly to a position (in cells) and scale, by the shortest way; with `at_once`, jumps there.

        If `scale` is None, the scale stays.
        """
        wanted = min(max(scale or self.target[2], self.min_scale), MAX_SCALE)
        self.target = (self._near(y, self.y, self.height), self._near(x, self.x, self.width), wanted)
        if at_once:
            self.y, self.x, self.scale = self.target
            self._wrap()

    def pan(self, right_pixels: float, down_pixels: float, at_once: bool = True) -> None:
        """Moves the view by pixels, immediately (`at_once`, for dragging) or smoothly (for keys)."""
        y, x, scale = self.target
        y, x = y + down_pixels / self.scale, x + right_pixels / self.scale
        self.target = (y, x, scale)
        if at_once:
            self.y, self.x = self.y + down_pixels / self.scale, self.x + right_pixels / self.scale
        self._wrap()

    def zoom(self, factor: float, at: tuple[float, float] | None = None) -> None:
        """Multiplies the scale; the position under the pixel `at` (default: the middle) stays under it."""
        y, x, scale = self.target
        wanted = min(max(scale * factor, self.min_scale), MAX_SCALE)
        right, down = self._from_middle(at)
        self.target = (y + down / scale - down / wanted, x + right / scale - right / wanted, wanted)

    def update(self, seconds: float) -> bool:
        """Advances the motion by `seconds`; returns whether the camera moved."""
        y, x, scale = self.target
        share = 1 - math.exp(-EASE_PER_S * max(0.0, seconds))
        near = abs(math.log(scale / self.scale)) < SETTLED
        if near and math.hypot(y - self.y, x - self.x) * self.scale < SETTLED_PIXELS:
            moved = (self.y, self.x, self.scale) != self.target
            self.y, self.x, self.scale = self.target
        else:
            moved = True
            # interpolated in 1 / scale, so that the position under the mouse does not move while zooming
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
        """Sets the size of the framebuffer in pixels."""
        self.view = (max(1, width), max(1, height))
        y, x, scale = self.target
        self.target = (y, x, max(scale, self.min_scale))

    def _wrap(self) -> None:
        """Moves the camera's position into the world's cells by full turns round the torus, and the target with it."""
        down, across = math.floor(self.y / self.height) * self.height, math.floor(self.x / self.width) * self.width
        if down or across:
            self.y, self.x = self.y - down, self.x - across
            self.target = (self.target[0] - down, self.target[1] - across, self.target[2])

    # --- from pixels to cells and back

    def _from_middle(self, at: tuple[float, float] | None) -> tuple[float, float]:
        """Returns the distance (right, down) of a pixel from the middle of the window; None stands for the middle."""
        return (0.0, 0.0) if at is None else (at[0] - self.view[0] / 2, at[1] - self.view[1] / 2)

    def cell(self, right: float, down: float) -> tuple[float, float]:
        """Returns the position (y, x in cells) under a pixel, which is counted from the upper left corner."""
        right, down = self._from_middle((right, down))
        return (self.y + down / self.scale) % self.height, (self.x + right / self.scale) % self.width

    def pixel(self, y: float, x: float) -> tuple[float, float]:
        """Returns the pixel (right, down) of a position in cells, in the copy of the world nearest to the middle."""
        y, x = self._near(y, self.y, self.height), self._near(x, self.x, self.width)
        return self.view[0] / 2 + (x - self.x) * self.scale, self.view[1] / 2 + (y - self.y) * self.scale

    @staticmethod
    def _near(place: float, middle: float, size: int) -> float:
        """Returns the coordinate of the copy of `place` that is nearest to `middle`, on an axis of `size` cells."""
        return middle + shortest(place - middle, size)

    # --- what is in view

    def rectangle(self, margin_cells: float = 0.0) -> Rectangle:
        """Returns the cells in view and a margin around them, at most the full world; it may cross the seams."""
        spans = []
        for middle, size, pixels in ((self.y, self.height, self.view[1]), (self.x, self.width, self.view[0])):
            half = pixels / self.scale / 2 + margin_cells
            first, count = math.floor(middle - half), math.ceil(2 * half) + 1
            spans.append((first % size, count) if count < size else (0, size))
        (y, height), (x, width) = spans
        return Rectangle(y, x, height, width)

    def images(self, rectangle: Rectangle, margin_cells: float = 2.0) -> list[tuple[int, int]]:
        """Returns the corners (y, x) of all copies of a rectangle in view, one for each copy of the torus.

        Corners are in cells and are not wrapped to the world's size: what is `p` cells from the rectangle's corner is
        drawn `p + corner - camera` cells from the middle of the window. Copies up to `margin_cells` out of view count.
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
        """Returns the levels of detail to draw ("bodies", "dots", "densities"), each with its opacity, above 0."""
        near = _fade_in(self.scale, BODIES_FROM)
        middle = _fade_in(self.scale, DENSITIES_BELOW)
        strengths = {"bodies": near, "dots": middle * (near < 1), "densities": 1.0 * (middle < 1)}
        return {name: strength for name, strength in strengths.items() if strength > 0}


def _fade_in(scale: float, edge: float) -> float:
    """Returns a smooth transition from 0 at scale `edge` to 1 at `FADE` times `edge`."""
    share = (scale / edge - 1) / (FADE - 1)
    share = min(1.0, max(0.0, share))
    return share * share * (3 - 2 * share)
