"""Drawing of the ground: soil, water, detritus and scents, from the planes of a frame.

A plane (`frame.Plane`) has the values of one layer over a rectangle, one for each square of `step` x `step` cells.
Planes differ in rectangle and step. All are first composed into three textures over one rectangle, blended over time
with the previously composed textures. The ground is drawn from these textures, sampled by splines, so that no cell
edges are visible. The world is a torus; a texture appears in the window once for each copy of the torus in view.

`ctx` is the `arcade.gl.Context` of the window, `quad` a geometry that covers it, and `known` the description of the
world that the window received from its server (`viewer_protocol.Welcome`).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from umwelt.client.pictures.scene import DETRITUS_MUCH_COUNT, SCENT_STRONG_COUNT, WATER_DEEP_COUNT
from umwelt.client.window.draw.programs import CLOCK_WRAP_S, give, program
from umwelt.client.window.feed.camera import Camera
from umwelt.client.window.feed.frame import Frame, Plane
from umwelt.client.window.feed.looks import Looks
from umwelt.client.window.feed.torus import shortest
from umwelt.sandbox.region import Rectangle
from umwelt.sandbox.units import ONE

CAPACITY_COUNT = 640
"""The number of water molecules that the soil of a cell holds, for a world whose climate does not specify it."""
READ = ("elevation", "water", "detritus", "aroma", "musk", "alarm", "light", "temperature", "rain", "cover")
"""The layers from which the ground is composed; a layer's index is also its texture unit.

"cover" stands for the first layer of a world that has neither water nor elevation.
"""
MISSING = {"light": float(ONE), "temperature": 2000.0, "elevation": 0.0}
"""Values of layers that the frame does not contain: full sunlight, 20 degrees, elevation 0; 0 for all others."""
EASE_PER_S = 5.0
"""How fast drawn values approach changed ones, per second: the difference falls by a factor of e in 1/5 second."""
EASED_S = 1.0
"""The time in seconds after which the approach to changed values counts as complete."""
COMPOSE_PERIOD_S = 1 / 30
"""The minimum time in seconds between two compositions while the view does not move."""
NEAR_PIXELS = 3.0
"""The scale in pixels per cell from which stones, crumbs and ripples fade in."""
BEFORE_UNIT = 10
BEFORE_UNITS = {"before_a": BEFORE_UNIT, "before_b": BEFORE_UNIT + 1, "before_c": BEFORE_UNIT + 2}
"""Texture units of the previously composed textures."""


@dataclass(frozen=True)
class Spread:
    """The location of a texture in the world: the corner of `rectangle`, and the cells that the texture covers."""

    rectangle: Rectangle
    extent: tuple[float, float]
    """The numbers of cells (right, down) that the texture covers; they can exceed the rectangle and the torus."""
    repeats: tuple[bool, bool]
    """Whether the texture covers the full torus, across and down."""
    wraps: tuple[float, float]
    """1 along each axis (right, down) on which the values cover more cells than the torus has, else 0.

    The last value on such an axis covers fewer cells than the others.
    """

    @classmethod
    def of(cls, plane: Any, rows: int, columns: int, step: int, height: int, width: int) -> "Spread":
        """Returns the location of a texture with the `rows` x `columns` values of a plane, or of densities.

        Each value covers `step` x `step` cells; the world has `height` x `width` cells.
        """
        across, down = columns * step, rows * step
        wraps = float(across > width), float(down > height)
        return cls(plane.rectangle, (across, down), (across >= width, down >= height), wraps)

    def origin(self, camera: Camera) -> tuple[float, float]:
        """Returns the offset in cells (right, down) from the window's middle to the corner of the nearest copy.

        The nearest copy is the one whose middle is nearest to the middle of the window.
        """
        origin = []
        for corner, size, middle, world in (
            (self.rectangle.x, self.extent[0], camera.x, camera.width),
            (self.rectangle.y, self.extent[1], camera.y, camera.height),
        ):
            origin.append(shortest(corner + size / 2 - middle, world) - size / 2)
        return origin[0], origin[1]

    def place(self, camera: Camera) -> tuple[float, float, float, float]:
        """Returns the numbers by which shaders locate the texture: the two of `origin`, 1 / width, 1 / height."""
        return (*self.origin(camera), 1 / self.extent[0], 1 / self.extent[1])

    def within(self, other: "Spread", height: int, width: int) -> tuple[float, float, float, float]:
        """Returns the same as `place`, but with the offset counted from the corner of `other`, not the window's middle.

        `height` and `width` are those of the world, in cells.
        """
        origin = []
        for own, own_size, its, its_size, world in (
            (self.rectangle.x, self.extent[0], other.rectangle.x, other.extent[0], width),
            (self.rectangle.y, self.extent[1], other.rectangle.y, other.extent[1], height),
        ):
            if own_size >= world and its_size >= world:
                origin.append(float(shortest(own - its, world)))
                continue
            way = shortest(own + own_size / 2 - its - its_size / 2, world)
            origin.append(way + its_size / 2 - own_size / 2)
        return origin[0], origin[1], 1 / self.extent[0], 1 / self.extent[1]


def set_wrap(ctx: Any, texture: Any, spread: Spread) -> None:
    """Makes a texture repeat along the axes on which it covers the full torus."""
    texture.wrap_x, texture.wrap_y = (ctx.REPEAT if repeats else ctx.CLAMP_TO_EDGE for repeats in spread.repeats)


GRAIN_SIDE, GRAIN_WIDTHS = 512, (8, 32, 96, 224)
"""The side of the noise texture in texels, and the number of grains along it in each of its four channels."""


def grains() -> np.ndarray:
    """Returns gradient noise that repeats at its edges, `uint8[side, side, 4]`; the mean of its values is near 128.

    Perlin, "Improving Noise", 2002.
    """
    random, noise = np.random.default_rng(7), np.zeros((GRAIN_SIDE, GRAIN_SIDE, 4), np.uint8)
    at = np.arange(GRAIN_SIDE) / GRAIN_SIDE
    for channel, count in enumerate(GRAIN_WIDTHS):
        low = np.floor(at * count).astype(np.int64)
        off = (at * count - low).astype(np.float32)
        tilts = random.uniform(-1, 1, (2, count, count)).astype(np.float32)
        ease = off**3 * (off * (off * 6 - 15) + 10)
        total = np.zeros((GRAIN_SIDE, GRAIN_SIDE), np.float32)
        for down, y_share in ((0, 1 - ease), (1, ease)):
            for across, x_share in ((0, 1 - ease), (1, ease)):
                y_tilt, x_tilt = tilts[:, ((low + down) % count)[:, None], ((low + across) % count)[None, :]]
                part = y_tilt * (off - down)[:, None] + x_tilt * (off - across)[None, :]
                total += part * y_share[:, None] * x_share[None, :]
        noise[..., channel] = np.clip(total * 0.95 + 0.5, 0, 1) * 255 + 0.5
    return noise


def grain_texture(ctx: Any) -> Any:
    """Creates the texture of the noise (`grains`), which the shaders of the ground read as the uniform `grains`."""
    texture = ctx.texture((GRAIN_SIDE, GRAIN_SIDE), components=4, dtype="f1")
    texture.write(grains())
    texture.build_mipmaps()
    texture.filter = ctx.LINEAR_MIPMAP_LINEAR, ctx.LINEAR
    texture.wrap_x = texture.wrap_y = ctx.REPEAT
    return texture


GRAIN_UNIT = 14
"""The texture unit to which the noise is bound while the world is drawn."""


class Planes:
    """The textures of the planes of a frame; a plane is copied to the GPU when it has changed."""

    def __init__(self, ctx: Any, height: int, width: int):
        self.ctx, self.height, self.width = ctx, height, width
        self._held: dict[str, tuple[Any, int, Spread]] = {}
        """By layer: the texture, the `number` of the plane that it contains, and its location."""

    def get(self, name: str, plane: Plane) -> tuple[Any, Spread]:
        """Returns the texture of the layer `name` (one float per value) and its location.

        Copies `plane` into the texture first if it has changed.
        """
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
        set_wrap(self.ctx, texture, spread)
        self._held[name] = texture, plane.number, spread
        return texture, spread

    def release(self) -> None:
        """Deletes the textures."""
        for texture, _, _ in self._held.values():
            texture.delete()
        self._held.clear()


@dataclass
class Composed:
    """The three composed textures, the framebuffer that draws into them, and their location.

    Their channels are: depth of water, moisture, elevation, slope; aroma, musk, alarm, detritus; light, temperature,
    rain, cover.
    """

    textures: list[Any]
    framebuffer: Any
    spread: Spread

    def release(self) -> None:
        """Deletes the framebuffer and the textures."""
        self.framebuffer.delete()
        for texture in self.textures:
            texture.delete()


class Ground:
    """Composes planes into textures and draws the ground from them.

    `planes` are the textures of single planes, which `layers.LayerDrawer` uses too.
    """

    def __init__(self, ctx: Any, known: Any, planes: Planes, quad: Any):
        self.ctx, self.planes, self.quad = ctx, planes, quad
        self.world = (float(known.width), float(known.height))
        self.capacity = float(known.climate.get("capacity_count", CAPACITY_COUNT))
        self.max_light = float(known.climate.get("light_q10", ONE)) or float(ONE)
        self.compose = program(ctx, "ground_vertex.glsl", "ground_compose_fragment.glsl")
        self.near = program(ctx, "ground_vertex.glsl", "ground_fragment.glsl")
        self.far = program(ctx, "ground_vertex.glsl", "ground_far_fragment.glsl")
        give(self.compose, **{name: at for at, name in enumerate(READ)}, **BEFORE_UNITS)
        for shader in (self.near, self.far):
            give(shader, lie_plane=0, smell_plane=1, sky_plane=2, world=self.world, grains=GRAIN_UNIT)
        self._missing = {name: self._plain(MISSING.get(name, 0.0)) for name in READ}
        self.composed: Composed | None = None
        self._before: Composed | None = None
        self._numbers: tuple[Any, ...] = ()
        self._changed_s = self._composed_s = -math.inf
        self._heights = [math.inf, -math.inf]
        self._cover = (0.0, 1.0)

    def _plain(self, value: float) -> Any:
        """Returns a texture of 1 x 1 with this value, for a plane that the frame does not contain."""
        texture = self.ctx.texture((1, 1), components=1, dtype="f4")
        texture.write(np.array([value], np.float32))
        return texture

    # --- composing

    def prepare(self, frame: Frame) -> None:
        """Updates the composed textures if that is due; draws into them, not into the window."""
        names = {name: name for name in READ if name in frame.planes}
        if "water" not in names and "elevation" not in names:  # a world without Earth's layers: draw its first layer
            other = next((name for name in frame.planes if name not in READ), None)
            if other is not None:
                names["cover"] = other
        if not names and self.composed is not None:
            return
        numbers = tuple((name, frame.planes[name].number, frame.planes[name].rectangle) for name in names.values())
        now = frame.now_s
        # after a move the composed textures do not cover the view: compose immediately
        moved = [rectangle for _, _, rectangle in numbers] != [rectangle for _, _, rectangle in self._numbers]
        if numbers != self._numbers:
            self._numbers, self._changed_s = numbers, now
            self._measure(frame, names)
        settled = now - self._changed_s > EASED_S
        waits = 0 <= now - self._composed_s < COMPOSE_PERIOD_S
        if moved or self.composed is None or not (settled or waits):
            self._compose(frame, names, now)

    def _measure(self, frame: Frame, names: Mapping[str, str]) -> None:
        """Updates the drawn ranges of elevation and cover, the two layers without a fixed range.

        `names` are as in `_compose`. The range of elevation only grows, to prevent jumps of colour when the view moves.
        """
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
        """Draws all planes into the three composed textures, blended with the previous ones.

        `names[name]` is the layer of the frame that is drawn as the layer `name` of `READ`; these differ only for
        "cover". `now` is the time in seconds.
        """
        height, width = int(self.world[1]), int(self.world[0])
        plane = Plane(Rectangle(0, 0, height, width), max(height, width), np.zeros((1, 1), np.int32))
        if names:
            plane = min(
                (frame.planes[name] for name in names.values()), key=lambda held: (held.step, -held.values.size)
            )
        rows, columns = plane.values.shape
        spread = Spread.of(plane, rows, columns, plane.step, height, width)
        target, before = self._target(columns, rows, spread), self.composed
        for at, name in enumerate(READ):
            if name in names:
                texture, plane_spread = self.planes.get(names[name], frame.planes[names[name]])
                texture.use(at)
                give(self.compose, **{f"place_{name}": plane_spread.within(spread, height, width)})
            else:
                self._missing[name].use(at)
                give(self.compose, **{f"place_{name}": (0.0, 0.0, 1.0, 1.0)})
        source = before or target
        for at, texture in enumerate(source.textures):
            texture.use(BEFORE_UNIT + at)
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
            strengths=(1 / DETRITUS_MUCH_COUNT, 1 / SCENT_STRONG_COUNT, 1 / self.max_light, 1 / self._cover[1]),
            cover_low=self._cover[0],
            ease=1.0 if before is None or not 0 < since < EASED_S else 1 - math.exp(-EASE_PER_S * since),
        )
        self.ctx.disable(self.ctx.BLEND)
        target.framebuffer.use()
        self.quad.render(self.compose)
        self.composed, self._before = target, before
        self._composed_s = now

    def _target(self, columns: int, rows: int, spread: Spread) -> Composed:
        """Returns the textures to compose into: those of the composition before the last, or new ones of this size."""
        old = self._before
        if old is not None and old.framebuffer.size == (columns, rows):
            old.spread = spread
        else:
            if old is not None:
                old.release()
            textures = [self.ctx.texture((columns, rows), components=4, dtype="f2") for _ in range(3)]
            old = Composed(textures, self.ctx.framebuffer(color_attachments=textures), spread)
        for texture in old.textures:
            set_wrap(self.ctx, texture, spread)
        return old

    # --- drawing

    def draw(self, frame: Frame, camera: Camera, looks: Looks) -> None:
        """Draws the ground over the full framebuffer; does nothing before the first `prepare`."""
        if self.composed is None:
            return
        for at, texture in enumerate(self.composed.textures):
            texture.use(at)
        self.ctx.disable(self.ctx.BLEND)
        shader = self.near if camera.scale >= NEAR_PIXELS else self.far
        give(
            shader,
            half_view=half_view(camera),
            middle=(camera.x, camera.y),
            pixels=camera.scale,
            ground_place=self.composed.spread.place(camera),
            ground_wraps=self.composed.spread.wraps,
            seconds=frame.now_s % CLOCK_WRAP_S,
            scents=float(looks.scents),
            weather=float(looks.weather),
        )
        self.quad.render(shader)

    def release(self) -> None:
        """Deletes all GPU resources."""
        for composed in (self.composed, self._before):
            if composed is not None:
                composed.release()
        self.composed = self._before = None
        for texture in self._missing.values():
            texture.delete()


def half_view(camera: Camera) -> tuple[float, float]:
    """Returns half of the window's width and height, in cells."""
    return camera.view[0] / camera.scale / 2, camera.view[1] / camera.scale / 2
