"""Layers as colour maps: the range of drawn values, the colours of a layer, and its legend.

A layer is a quantity of each cell, an integer, such as water or temperature. A plane (`frame.Plane`) holds the values
of a layer over a rectangle. `ctx` is the `arcade.gl.Context` of the window, `quad` a geometry that covers it, and
`known` the description of the world that the window received from its server (`viewer_protocol.Welcome`).
"""

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from umwelt.client.pictures.scene import TWO_SIDED
from umwelt.client.window.draw.ground import GRAIN_UNIT, Planes, half_view
from umwelt.client.window.draw.programs import give, lay_over, program
from umwelt.client.window.feed.camera import Camera
from umwelt.client.window.feed.frame import Frame, Plane
from umwelt.client.window.feed.looks import Looks
from umwelt.sandbox.units import ONE

STEPS = 256
"""The number of colours of a colour map."""
CONTOUR_COUNT = 9.0
"""The number of contour lines between the lowest and the highest value."""
MIN_PERCENT, MAX_PERCENT = 2.0, 98.0
"""The percentiles of a layer's values at the ends of the drawn range."""
SAMPLED_SIDE = 128
"""The range is estimated from about this many rows and columns of a plane."""
ZERO_BELOW = 0.35
"""If the low end of a range is above 0, but below this share of its high end, the range begins at 0."""
RANGE_EASE_PER_S = 2.5
"""How fast the drawn range approaches that of the layer's values: the difference falls by a factor of e in 0.4 s."""
TICKS = 5
"""The approximate number of tick marks of a legend."""
COLDEST, WARMEST = -25.0, 45.0
"""The temperatures in degrees Celsius at the ends of the colour map, with 0 degrees in its middle."""

Points = Sequence[tuple[float, float, float]]
"""The colours of a colour map at evenly spaced positions, low values first: red, green and blue from 0 to 1."""
MAPS: dict[str, Points] = {
    "sea": (
        (0.012, 0.030, 0.085),
        (0.016, 0.110, 0.215),
        (0.035, 0.265, 0.345),
        (0.130, 0.450, 0.430),
        (0.420, 0.690, 0.490),
        (0.780, 0.850, 0.580),
        (0.975, 0.945, 0.770),
    ),
    "ember": (
        (0.020, 0.016, 0.045),
        (0.130, 0.050, 0.220),
        (0.370, 0.085, 0.350),
        (0.640, 0.160, 0.330),
        (0.880, 0.340, 0.260),
        (0.970, 0.610, 0.300),
        (0.990, 0.880, 0.610),
    ),
    "moss": (
        (0.020, 0.035, 0.040),
        (0.045, 0.120, 0.085),
        (0.110, 0.260, 0.120),
        (0.280, 0.430, 0.140),
        (0.560, 0.610, 0.200),
        (0.850, 0.790, 0.410),
        (0.980, 0.940, 0.760),
    ),
    "dusk": (
        (0.020, 0.024, 0.070),
        (0.090, 0.085, 0.260),
        (0.200, 0.190, 0.480),
        (0.340, 0.360, 0.660),
        (0.480, 0.560, 0.780),
        (0.680, 0.770, 0.870),
        (0.920, 0.950, 0.970),
    ),
    "water": (
        (0.085, 0.060, 0.050),
        (0.095, 0.100, 0.085),
        (0.055, 0.150, 0.165),
        (0.025, 0.215, 0.300),
        (0.025, 0.310, 0.480),
        (0.090, 0.500, 0.720),
        (0.620, 0.860, 0.960),
    ),
    "relief": (
        (0.016, 0.050, 0.075),
        (0.030, 0.115, 0.110),
        (0.090, 0.190, 0.120),
        (0.230, 0.260, 0.140),
        (0.400, 0.330, 0.210),
        (0.580, 0.500, 0.400),
        (0.860, 0.840, 0.810),
    ),
    "aroma": (
        (0.012, 0.030, 0.030),
        (0.020, 0.110, 0.080),
        (0.030, 0.250, 0.150),
        (0.080, 0.450, 0.240),
        (0.250, 0.670, 0.340),
        (0.580, 0.850, 0.500),
        (0.900, 0.980, 0.800),
    ),
    "musk": (
        (0.025, 0.015, 0.045),
        (0.100, 0.035, 0.150),
        (0.230, 0.060, 0.300),
        (0.420, 0.110, 0.480),
        (0.640, 0.240, 0.660),
        (0.830, 0.490, 0.810),
        (0.970, 0.850, 0.960),
    ),
    "alarm": (
        (0.035, 0.015, 0.020),
        (0.150, 0.025, 0.035),
        (0.340, 0.045, 0.045),
        (0.590, 0.110, 0.060),
        (0.840, 0.270, 0.110),
        (0.960, 0.530, 0.260),
        (0.995, 0.880, 0.680),
    ),
    "sun": (
        (0.016, 0.022, 0.075),
        (0.075, 0.080, 0.220),
        (0.220, 0.150, 0.320),
        (0.470, 0.250, 0.320),
        (0.760, 0.430, 0.260),
        (0.950, 0.700, 0.330),
        (1.000, 0.950, 0.760),
    ),
    "warmth": (
        (0.740, 0.820, 0.980),
        (0.360, 0.540, 0.900),
        (0.120, 0.250, 0.610),
        (0.070, 0.072, 0.080),
        (0.430, 0.140, 0.100),
        (0.890, 0.420, 0.140),
        (1.000, 0.880, 0.580),
    ),
}
"""The colour maps by name, in sRGB; `mixed` interpolates between their colours."""
OWN_MAPS = {
    "water": "water",
    "elevation": "relief",
    "detritus": "ember",
    "aroma": "aroma",
    "musk": "musk",
    "alarm": "alarm",
    "light": "sun",
    "temperature": "warmth",
    "rain": "dusk",
    "vapour": "dusk",
    "sugar": "sun",
    "oxygen": "sea",
    "carbon_dioxide": "ember",
    "mineral": "sea",
    "tissue": "moss",
    "price": "warmth",
}
"""The colour map (a key of `MAPS`) of layers with these names."""
OTHER_MAPS = ("sea", "moss", "ember", "dusk")
"""The colour maps of all other layers; a hash of the layer's name selects one of them."""


@dataclass(frozen=True)
class Legend:
    """The range and tick marks of a layer in its displayed unit, and its colours from low to high (sRGB, 0 to 1)."""

    low: float
    high: float
    unit: str
    ticks: tuple[float, ...]
    colours: np.ndarray
    """The colours, `float32[256, 3]`."""


def scaled(name: str, units: Any) -> tuple[float, str]:
    """Returns the factor that converts a layer's integers to the displayed unit, and the unit's name.

    `units` has the names of units by layer, for layers without a special rule.
    """
    if name == "temperature":
        return 0.01, "°C"
    if name in ("light", "rain"):
        return 100.0 / ONE, "%"
    return 1.0, str(units.get(name, ""))


def span_of(name: str, plane: Plane) -> tuple[float, float]:
    """Returns the lowest and highest value to draw of a plane, in the layer's integers; they always differ.

    Nearly all values of the plane are between them, see `MIN_PERCENT`. The range of light and rain starts at 0; that of
    layers in `TWO_SIDED` is symmetric around 0.
    """
    rows, columns = plane.values.shape
    sampled = plane.values[:: max(1, rows // SAMPLED_SIDE), :: max(1, columns // SAMPLED_SIDE)]
    if not sampled.size:
        return 0.0, 1.0
    low, high = (float(value) for value in np.percentile(sampled, (MIN_PERCENT, MAX_PERCENT)))
    if high <= low:  # only a few cells have other values
        low, high = float(sampled.min()), float(sampled.max())
    if name in ("light", "rain"):
        low, high = 0.0, max(high, ONE / 4)
    elif name in TWO_SIDED:
        high = max(-low, high, 1.0)
        low = -high
    elif name != "temperature" and 0 < low < ZERO_BELOW * high:
        low = 0.0
    min_width = 100.0 if name == "temperature" else 1.0
    return low, max(high, low + min_width)


def ticks_between(low: float, high: float, wanted: int = TICKS) -> tuple[float, ...]:
    """Returns evenly spaced round numbers from `low` to `high`, about `wanted` of them; `low` if that is no range."""
    if not (math.isfinite(low) and math.isfinite(high)) or high <= low:
        return (low,)
    exact = (high - low) / max(1, wanted)
    power = 10.0 ** math.floor(math.log10(exact))
    step = next(power * digit for digit in (1, 2, 5, 10) if power * digit >= exact * 0.999)
    first = math.ceil(low / step - 1e-9)
    return tuple(round(n * step, 10) for n in range(first, math.floor(high / step + 1e-9) + 1))


def mixed(points: Points, at: np.ndarray) -> np.ndarray:
    """Returns the colours of a colour map at the positions `at`, from 0 to 1: sRGB, `float32[n, 3]`.

    Interpolates in Oklab (Ottosson, "A perceptual color space for image processing", 2020), where equal steps look
    equal.
    """
    to_cone = np.array(
        [
            [0.4122214708, 0.5363325363, 0.0514459929],
            [0.2119034982, 0.6806995451, 0.1073969566],
            [0.0883024619, 0.2817188376, 0.6299787005],
        ]
    )
    to_lab = np.array(
        [
            [0.2104542553, 0.7936177850, -0.0040720468],
            [1.9779984951, -2.4285922050, 0.4505937099],
            [0.0259040371, 0.7827717662, -0.8086757660],
        ]
    )
    lab = np.cbrt((np.asarray(points) ** 2.2) @ to_cone.T) @ to_lab.T
    places = np.linspace(0, 1, len(points))
    between = np.stack([np.interp(at, places, lab[:, axis]) for axis in range(3)], axis=-1)
    light = ((between @ np.linalg.inv(to_lab).T) ** 3) @ np.linalg.inv(to_cone).T
    return (np.clip(light, 0, 1) ** (1 / 2.2)).astype(np.float32)


def colours_of(name: str, low: float, high: float) -> np.ndarray:
    """Returns the colours of 256 values from `low` to `high` (in the layer's integers), `float32[256, 3]`.

    Only the colours of temperatures depend on `low` and `high`: 0 degrees has the middle of the colour map.
    """
    points = MAPS[OWN_MAPS.get(name) or OTHER_MAPS[zlib.crc32(name.encode()) % len(OTHER_MAPS)]]
    at = np.linspace(0, 1, STEPS)
    if name == "temperature":
        degrees = (low + at * (high - low)) / 100
        at = np.clip(np.where(degrees < 0, 0.5 - 0.5 * degrees / COLDEST, 0.5 + 0.5 * degrees / WARMEST), 0, 1)
    return mixed(points, at)


def legend(name: str, known: Any, plane: Plane, span: tuple[float, float] | None = None) -> Legend:
    """Returns the legend of a layer.

    `span` is the drawn range, in the layer's integers; by default, the range of the plane's values.
    """
    low, high = span or span_of(name, plane)
    factor, unit = scaled(name, known.units)
    return Legend(
        low * factor, high * factor, unit, ticks_between(low * factor, high * factor), colours_of(name, low, high)
    )


class LayerDrawer:
    """Draws the chosen layer as a colour map. `span`, the drawn range in the layer's integers, changes smoothly.

    `planes` are the textures of planes, which `ground.Ground` uses too.
    """

    def __init__(self, ctx: Any, known: Any, planes: Planes, quad: Any):
        self.ctx, self.planes, self.quad = ctx, planes, quad
        self.program = program(ctx, "ground_vertex.glsl", "layer_fragment.glsl")
        world = (float(known.width), float(known.height))
        give(self.program, field=0, map_colours=1, world=world, lines=CONTOUR_COUNT, grains=GRAIN_UNIT)
        self._colours = ctx.texture((STEPS, 1), components=4, dtype="f1")
        self._colours.wrap_x = ctx.CLAMP_TO_EDGE
        self._painted: tuple[Any, ...] = ()
        self._name = ""
        self._number: int | None = None
        self._target_span = self.span = (0.0, 1.0)
        self._drawn_s = 0.0

    def _follow(self, name: str, plane: Plane, now_s: float) -> None:
        """Moves `span` toward the range of the plane's values, and updates the texture of colours if necessary.

        `name` is the layer's name; for another layer than before, `span` jumps.
        """
        fresh = name != self._name
        if fresh or plane.number != self._number:
            self._target_span = span_of(name, plane)
            self._name, self._number = name, plane.number
        passed = min(1.0, max(0.0, now_s - self._drawn_s))
        share = 1.0 if fresh else 1 - math.exp(-RANGE_EASE_PER_S * passed)
        low, high = (old + (new - old) * share for old, new in zip(self.span, self._target_span, strict=True))
        self.span, self._drawn_s = (low, high), now_s
        # the colours depend on the range for temperature only
        painted = (name, round(low / 50), round(high / 50)) if name == "temperature" else (name,)
        if painted != self._painted:
            self._painted = painted
            colours = np.full((1, STEPS, 4), 255, np.uint8)
            colours[..., :3] = colours_of(name, low, high) * 255 + 0.5
            self._colours.write(colours)

    def span_of(self, name: str) -> tuple[float, float] | None:
        """Returns the range in which the layer `name` is drawn, in the layer's integers; None if it is not drawn."""
        return self.span if name == self._name else None

    def draw(self, frame: Frame, camera: Camera, looks: Looks) -> None:
        """Draws the layer `looks.layer` over the ground, if the frame contains it."""
        plane = frame.planes.get(looks.layer)
        if plane is None or looks.layer_strength <= 0:
            self._name = ""
            return
        self._follow(looks.layer, plane, frame.now_s)
        texture, spread = self.planes.get(looks.layer, plane)
        texture.use(0)
        self._colours.use(1)
        lay_over(self.ctx)
        low, high = self.span
        give(
            self.program,
            half_view=half_view(camera),
            middle=(camera.x, camera.y),
            strength=looks.layer_strength,
            layer_place=spread.place(camera),
            layer_wraps=spread.wraps,
            range=(low, 1 / max(1e-6, high - low)),
            repeats=(float(spread.repeats[0]), float(spread.repeats[1])),
        )
        self.quad.render(self.program)

    def release(self) -> None:
        """Deletes all GPU resources."""
        self._colours.delete()
