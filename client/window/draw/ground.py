"""The ground of the window: soil, water and what lies on it, from the planes of a frame.

Planes come over rectangles and with steps of their own. They are first composed into three textures over one rectangle,
eased from what was there before, and the ground is drawn from those: sampled by splines, so that no cell shows.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from umwelt.client.pictures.scene import DETRITUS_MUCH_COUNT, SCENT_STRONG_COUNT, WATER_DEEP_COUNT
from umwelt.client.window.draw.programs import give, program
from umwelt.client.window.feed.camera import Camera
from umwelt.client.window.feed.frame import Frame, Plane
from umwelt.client.window.feed.looks import Looks
from umwelt.client.window.feed.torus import shortest
from umwelt.sandbox.region import Rectangle
from umwelt.sandbox.units import ONE

CAPACITY_COUNT = 640
"""Where the world does not tell how much water soil holds."""
READ = ("elevation", "water", "detritus", "aroma", "musk", "alarm", "light", "temperature", "rain", "cover")
MISSING = {"light": float(ONE), "temperature": 2000.0, "elevation": 0.0}
"""What is drawn where a plane is not there: full sun, 20 degrees."""
EASE_PER_S = 5.0
"""What changed is reached but for a share of 1/e in a fifth of a second."""
EASED_S = 1.0
COMPOSE_EVERY_S = 1 / 30
NEAR_PIXELS = 3.0
"""Pixels a cell from which stones, crumbs and ripples are drawn: they fade in from there."""


@dataclass(frozen=True)
class Spread:
    """Where a texture lies in the world: its rectangle, and the cells (right, down) that its values cover."""

    rectangle: Rectangle
    extent: tuple[float, float]
    repeats: tuple[bool, bool]
    """Whether it goes all round the torus, across and down."""
    wraps: tuple[float, float]
    """1 where it does so with cells to spare: its last values are for fewer cells than the others."""

    @classmethod
    def of(cls, plane: Any, rows: int, columns: int, step: int, height: int, width: int) -> "Spread":
        """Where a plane (or densities) of so many values lies in a world."""
        across, down = columns * step, rows * step
        wraps = float(across > width), float(down > height)
        return cls(plane.rectangle, (across, down), (across >= width, down >= height), wraps)

    def origin(self, camera: Camera) -> tuple[float, float]:
        """Cells (right, down) from the window's middle to the corner, of the image nearest to it."""
        found = []
        for corner, size, middle, world in (
            (self.rectangle.x, self.extent[0], camera.x, camera.width),
            (self.rectangle.y, self.extent[1], camera.y, camera.height),
        ):
            found.append(shortest(corner + size / 2 - middle, world) - size / 2)
        return found[0], found[1]

    def place(self, camera: Camera) -> tuple[float, float, float, float]:
        """As shaders take it: the origin, and one over the extent."""
        return (*self.origin(camera), 1 / self.extent[0], 1 / self.extent[1])

    def within(self, other: "Spread", height: int, width: int) -> tuple[float, float, float, float]:
        """The same, from another's corner instead of the window's middle."""
        found = []
        for own, own_size, its, its_size, world in (
            (self.rectangle.x, self.extent[0], other.rectangle.x, other.extent[0], width),
            (self.rectangle.y, self.extent[1], other.rectangle.y, other.extent[1], height),
        ):
            if own_size >= world and its_size >= world:
                found.append(float(shortest(own - its, world)))
                continue
            way = shortest(own + own_size / 2 - its - its_size / 2, world)
            found.append(way + its_size / 2 - own_size / 2)
        return found[0], found[1], 1 / self.extent[0], 1 / self.extent[1]


def wrapped(ctx: Any, texture: Any, spread: Spread) -> None:
    """Let a texture repeat in the directions in which it goes all round."""
    texture.wrap_x, texture.wrap_y = (ctx.REPEAT if repeats else ctx.CLAMP_TO_EDGE for repeats in spread.repeats)


GRAIN_SIDE, GRAIN_WIDTHS = 512, (8, 32, 96, 224)
"""Texels of a tile of noise, and how many grains lie side by side in each of its four channels."""


def grains() -> np.ndarray:
    """Noise of gradients (Perlin 2002) that repeats, `uint8[side, side, 4]`: half is the mean."""
    dice, found = np.random.default_rng(7), np.zeros((GRAIN_SIDE, GRAIN_SIDE, 4), np.uint8)
    at = np.arange(GRAIN_SIDE) / GRAIN_SIDE
    for channel, count in enumerate(GRAIN_WIDTHS):
        low = np.floor(at * count).astype(np.int64)
        off = (at * count - low).astype(np.float32)
        tilts = dice.uniform(-1, 1, (2, count, count)).astype(np.float32)
        ease = off**3 * (off * (off * 6 - 15) + 10)
        total = np.zeros((GRAIN_SIDE, GRAIN_SIDE), np.float32)
        for down, y_share in ((0, 1 - ease), (1, ease)):
            for across, x_share in ((0, 1 - ease), (1, ease)):
                y_tilt, x_tilt = tilts[:, ((low + down) % count)[:, None], ((low + across) % count)[None, :]]
                part = y_tilt * (off - down)[:, None] + x_tilt * (off - across)[None, :]
                total += part * y_share[:, None] * x_share[None, :]
        found[..., channel] = np.clip(total * 0.95 + 0.5, 0, 1) * 255 + 0.5
    return found


def grain_texture(ctx: Any) -> Any:
    """That noise on the device: what all programs of the ground read as `grains`."""
    texture = ctx.texture((GRAIN_SIDE, GRAIN_SIDE), components=4, dtype="f1")
    texture.write(grains())
    texture.build_mipmaps()
    texture.filter = ctx.LINEAR_MIPMAP_LINEAR, ctx.LINEAR
    texture.wrap_x = texture.wrap_y = ctx.REPEAT
    return texture


GRAIN_UNIT = 14
"""Where that texture is bound while a stage draws."""


class Planes:
    """The planes of a frame as textures, uploaded when they are others."""

    def __init__(self, ctx: Any, height: int, width: int):
        self.ctx, self.height, self.width = ctx, height, width
        self._held: dict[str, tuple[Any, int, Spread]] = {}
        self.changes = 0
        """How often anything was uploaded."""

    def get(self, name: str, plane: Plane) -> tuple[Any, Spread]:
        """A plane's texture (one float each) and where it lies."""
        held = self._held.get(name)
        if held is not None and held[1] == plane.number and held[2].rectangle == plane.rectangle:
            return held[0], held[2]
        rows, columns = plane.values.shape
        texture = held[0] if held is not None and held[0].size == (columns, rows) else None
        if texture is None:
            if held is not None:
                held[0].delete()
            texture = self.ctx.texture((columns, rows), components=1, dtype="f4")
        texture.write(np.ascontiguousarray(plane.values, np.float32))
        spread = Spread.of(plane, rows, columns, plane.step, self.height, self.width)
        wrapped(self.ctx, texture, spread)
        self._held[name] = texture, plane.number, spread
        self.changes += 1
        return texture, spread

    def release(self) -> None:
        """Give the textures back."""
        for texture, _, _ in self._held.values():
            texture.delete()
        self._held.clear()


@dataclass
class Composed:
    """Three textures over one rectangle, and how to draw into them."""

    textures: list[Any]
    target: Any
    spread: Spread

    def release(self) -> None:
        """Give the textures back."""
        self.target.delete()
        for texture in self.textures:
            texture.delete()


class Ground:
    """Composes planes and draws the ground. `planes` is shared with the colour maps."""

    def __init__(self, ctx: Any, known: Any, planes: Planes, quad: Any):
        self.ctx, self.planes, self.quad = ctx, planes, quad
        self.world = (float(known.width), float(known.height))
        self.capacity = float(known.climate.get("capacity_count", CAPACITY_COUNT))
        self.light_most = float(known.climate.get("light_q10", ONE)) or float(ONE)
        self.compose = program(ctx, "ground_vertex.glsl", "ground_compose_fragment.glsl")
        self.near = program(ctx, "ground_vertex.glsl", "ground_fragment.glsl")
        self.far = program(ctx, "ground_vertex.glsl", "ground_far_fragment.glsl")
        give(self.compose, **{name: at for at, name in enumerate(READ)}, before_a=10, before_b=11, before_c=12)
        for one in (self.near, self.far):
            give(one, lie_plane=0, smell_plane=1, sky_plane=2, world=self.world, grains=GRAIN_UNIT)
        self._missing = {name: self._plain(MISSING.get(name, 0.0)) for name in READ}
        self.composed: Composed | None = None
        self._before: Composed | None = None
        self._seen: tuple[Any, ...] = ()
        self._changed_s = self._composed_s = -math.inf
        self._heights = [math.inf, -math.inf]
        self._cover = (0.0, 1.0)

    def _plain(self, value: float) -> Any:
        texture = self.ctx.texture((1, 1), components=1, dtype="f4")
        texture.write(np.array([value], np.float32))
        return texture

    # --- composing

    def prepare(self, frame: Frame) -> None:
        """Bring the composed textures up to date; draws into them, not into the window."""
        names = {name: name for name in READ if name in frame.planes}
        earthly = "water" in names or "elevation" in names
        if not earthly:
            other = next((name for name in frame.planes if name not in READ), None)
            if other is not None:
                names["cover"] = other
        if not names and self.composed is not None:
            return
        seen = tuple((name, frame.planes[name].number, frame.planes[name].rectangle) for name in names.values())
        now = frame.now_s
        # elsewhere: what was composed does not fit the view, so it cannot wait
        moved = [one[2] for one in seen] != [one[2] for one in self._seen]
        if seen != self._seen:
            self._seen, self._changed_s = seen, now
            self._measure(frame, names)
        settled = now - self._changed_s > EASED_S
        waits = 0 <= now - self._composed_s < COMPOSE_EVERY_S
        if moved or self.composed is None or not (settled or waits):
            self._compose(frame, names, now)

    def _measure(self, frame: Frame, names: Mapping[str, str]) -> None:
        """What the highest and lowest seen so far are; the range only grows, so that nothing jumps while moving."""
        if "elevation" in names:
            values = frame.planes["elevation"].values
            self._heights = [
                min(self._heights[0], float(values.min(initial=0))),
                max(self._heights[1], float(values.max(initial=0))),
            ]
        if "cover" in names:
            values = frame.planes[names["cover"]].values
            low, high = float(values.min(initial=0)), float(values.max(initial=0))
            self._cover = low, max(1.0, high - low)

    def _compose(self, frame: Frame, names: Mapping[str, str], now: float) -> None:
        height, width = int(self.world[1]), int(self.world[0])
        plane = Plane(Rectangle(0, 0, height, width), max(height, width), np.zeros((1, 1), np.int32))
        if names:
            plane = min((frame.planes[name] for name in names.values()), key=lambda one: (one.step, -one.values.size))
        rows, columns = plane.values.shape
        spread = Spread.of(plane, rows, columns, plane.step, height, width)
        into, was = self._target(columns, rows, spread), self.composed
        fresh = was is None
        for at, name in enumerate(READ):
            if name in names:
                texture, lies = self.planes.get(names[name], frame.planes[names[name]])
                texture.use(at)
                give(self.compose, **{f"place_{name}": lies.within(spread, height, width)})
            else:
                self._missing[name].use(at)
                give(self.compose, **{f"place_{name}": (0.0, 0.0, 1.0, 1.0)})
        source = was or into
        for at, texture in enumerate(source.textures):
            texture.use(10 + at)
        since = now - self._composed_s
        low, high = self._heights
        give(
            self.compose,
            extent=spread.extent,
            half_view=(1.0, 1.0),
            step_cells=float(plane.step),
            place_before=source.spread.within(spread, height, width),
            heights=(
                low if high > low else 0.0,
                1 / max(1.0, high - low) if high > low else 1.0,
                self.capacity if "water" in names else 0.0,
                1 / WATER_DEEP_COUNT,
            ),
            strengths=(1 / DETRITUS_MUCH_COUNT, 1 / SCENT_STRONG_COUNT, 1 / self.light_most, 1 / self._cover[1]),
            cover_low=self._cover[0],
            ease=1.0 if fresh or not 0 < since < EASED_S else 1 - math.exp(-EASE_PER_S * since),
        )
        self.ctx.disable(self.ctx.BLEND)
        into.target.use()
        self.quad.render(self.compose)
        self.composed, self._before = into, was
        self._composed_s = now

    def _target(self, columns: int, rows: int, spread: Spread) -> Composed:
        """What is written next: the one that was read last, if it fits."""
        old = self._before
        if old is not None and old.target.size == (columns, rows):
            old.spread = spread
        else:
            if old is not None:
                old.release()
            textures = [self.ctx.texture((columns, rows), components=4, dtype="f2") for _ in range(3)]
            old = Composed(textures, self.ctx.framebuffer(color_attachments=textures), spread)
        for texture in old.textures:
            wrapped(self.ctx, texture, spread)
        return old

    # --- drawing

    def draw(self, frame: Frame, camera: Camera, looks: Looks) -> None:
        """Draw the ground over the whole target."""
        if self.composed is None:
            return
        for at, texture in enumerate(self.composed.textures):
            texture.use(at)
        self.ctx.disable(self.ctx.BLEND)
        one = self.near if camera.scale >= NEAR_PIXELS else self.far
        give(
            one,
            half_view=half_view(camera),
            middle=(camera.x, camera.y),
            pixels=camera.scale,
            ground_place=self.composed.spread.place(camera),
            ground_wraps=self.composed.spread.wraps,
            seconds=frame.now_s % 3600.0,
            scents=float(looks.scents),
            weather=float(looks.weather),
        )
        self.quad.render(one)

    def release(self) -> None:
        """Give everything back."""
        for one in (self.composed, self._before):
            if one is not None:
                one.release()
        self.composed = self._before = None
        for texture in self._missing.values():
            texture.delete()


def half_view(camera: Camera) -> tuple[float, float]:
    """Half of the window's width and height, in cells."""
    return camera.view[0] / camera.scale / 2, camera.view[1] / camera.scale / 2
