"""Draws pictures of a world with NumPy and writes them with Pillow; no display is needed.

Below `NEAR_PIXELS` pixels per cell, beings are drawn as soft dots of light; from there on, as leaves and bodies.
"""

from pathlib import Path

import numpy as np

from umwelt.agents.world_file import parse_world
from umwelt.client.pictures import bodies
from umwelt.client.pictures.scene import Beings, Scene, ground_colour, make_scene, random_shares, rgb
from umwelt.cluster import WORLD_FILE, Journal, open_store, replace_file, restore_region
from umwelt.sandbox.errors import RunError, UmweltError
from umwelt.sandbox.region import Region

NEAR_PIXELS = 6.0
"""The number of pixels per cell from which bodies are drawn."""
MAX_PIXELS, MAX_SIDE = 34_000_000, 16383
"""Maximum size of a picture in total and per side, in pixels: sufficient for 8K; WebP stores sides in 14 bits."""
MIN_ZOOM, MAX_ZOOM = 0.1, 200.0
"""The bounds of the zoom, in pixels per cell."""
MAX_IMAGES = 256
"""Maximum number of copies of the world in a picture: beyond its edges, the torus is repeated, with all its beings."""
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
"""The suffixes of the file names of pictures."""


def draw_run(
    folder: Path,
    out: Path,
    tick: int | None,
    size: tuple[int, int],
    at: tuple[int, int] | None = None,
    zoom: float | None = None,
) -> None:
    """Draws the world of the run in `folder` at `tick` (None: its last saved state) and writes the picture to `out`.

    `size` is width, height in pixels; `at` (x, y) is the cell in the middle (None: the world's centre); `zoom` is
    pixels per cell (None: the world fills the picture). Raises UmweltError for invalid arguments, and RunError if the
    run has not reached the tick.
    """
    if out.suffix.lower() not in SUFFIXES:
        raise UmweltError(f"{out}: pictures end in {', '.join(SUFFIXES)}: name it so")
    width, height = size
    if min(width, height) < 16 or max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
        raise UmweltError(
            f"--size {width}x{height}: use at least 16x16, at most {MAX_SIDE} on a side and "
            f"{MAX_PIXELS // 1_000_000} megapixels"
        )
    if zoom is not None and not MIN_ZOOM <= zoom <= MAX_ZOOM:
        raise UmweltError(f"--zoom {zoom}: use {MIN_ZOOM:g} to {MAX_ZOOM:g} pixels per cell")
    store = open_store(folder)
    world = parse_world(store.world_text(), str(store.folder / WORLD_FILE), store.folder.name).common
    if at is not None and not (0 <= at[0] < world.width and 0 <= at[1] < world.height):
        raise UmweltError(
            f"--at {at[0]},{at[1]}: the world is {world.width} x {world.height} cells: "
            f"use 0,0 to {world.width - 1},{world.height - 1}"
        )
    if zoom is not None and (1 + width / zoom / world.width) * (1 + height / zoom / world.height) > MAX_IMAGES:
        raise UmweltError(
            f"--zoom {zoom:g}: shows the world more than {MAX_IMAGES} times: use a larger one, or a smaller --size"
        )
    if tick is not None:
        journal = Journal.reading(store.journal)
        reached = max(journal.history.last_tick(), *(entry.tick for entry in store.entries()), 0)
        journal.close()
        if tick > reached:
            raise RunError(
                f"--tick {tick}: {folder} has reached tick {reached}: give an earlier one, or resume it first"
            )
    _, region, _ = restore_region(store, tick)
    write_picture(draw_region(region, width, height, at, zoom), out)


def write_picture(pixels: np.ndarray, out: Path) -> None:
    """Writes `pixels`, `uint8[height, width, 3]`, to the file `out`, in the format given by its suffix."""
    from PIL import Image

    try:
        with replace_file(out) as unfinished:
            Image.fromarray(pixels).save(unfinished)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UmweltError(f"{out}: cannot be written: {reason}: choose another place, kind or --size") from None


def draw_region(
    region: Region, width: int, height: int, at: tuple[int, int] | None = None, zoom: float | None = None
) -> np.ndarray:
    """Returns a picture of the world in `region`, `uint8[height, width, 3]`; `width` and `height` are in pixels.

    `at` (x, y) is the cell in the middle (None: the world's centre); `zoom` is pixels per cell (None: the world fills
    the picture).
    """
    scene = make_scene(region)
    scale = zoom or min(MAX_ZOOM, max(width / scene.width, height / scene.height))
    x, y = at if at is not None else (scene.width / 2, scene.height / 2)
    top, left = y - height / scale / 2, x - width / scale / 2
    canvas = _draw_ground(scene, width, height, scale, top, left)
    for beings in sorted(scene.beings, key=lambda group: not group.plant):
        if scale >= NEAR_PIXELS:
            bodies.draw_beings(canvas, beings, scale, top, left, (scene.height, scene.width))
        else:
            _draw_dots(canvas, beings, scale, top, left, (scene.height, scene.width))
    return _finish(canvas)


# --- the ground


def _draw_ground(scene: Scene, width: int, height: int, scale: float, top: float, left: float) -> np.ndarray:
    """Returns the picture without beings: ground, detritus, scents and water, lit from the north-west.

    The result is `float32[height, width, 3]`. `scale` is pixels per cell; `top`, `left` is the picture's corner, in
    cells.
    """
    y = top + (np.arange(height) + 0.5) / scale
    x = left + (np.arange(width) + 0.5) / scale

    def smooth(plane: np.ndarray) -> np.ndarray:
        """Returns a plane of the scene, interpolated at the pixels: `float32[height, width]`."""
        return _sample(plane, y, x)

    depth, moisture = smooth(scene.depth), smooth(_blur(scene.moisture))
    ground = _blur(_blur(_blur(scene.elevation)))
    elevation = smooth(ground)
    grain = _noise(y, x, scene)
    colour = ground_colour(
        depth,
        moisture,
        smooth(_blur(scene.detritus)),
        elevation,
        smooth(scene.cover),
        np.stack([smooth(_blur(plane)) for plane in scene.scents]),
    )
    land = np.clip(1 - depth * 14, 0, 1)
    slope = smooth(_slope(ground)) * land
    colour = colour * (1 + np.clip(slope, -0.55, 0.75) + (grain - 0.5) * (0.20 + 0.75 * land))[..., None]
    shore = np.exp(-(((depth - 0.035) / 0.030) ** 2)) * (0.55 + 0.9 * grain)
    colour += shore[..., None] * rgb(0.035, 0.20, 0.21)
    return colour + _caustics(y, x, scene, depth)[..., None] * rgb(0.02, 0.10, 0.13)


def _sample(plane: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Interpolates `plane` on the torus by splines at pixel rows `y` and pixel columns `x` (both in cells).

    Returns `float32[len(y), len(x)]`.
    """

    def weights(at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns the cell below each coordinate in `at` and the fraction of the way to the next cell."""
        low = np.floor(at - 0.5)
        share = (at - 0.5 - low).astype(np.float32)
        return low.astype(np.int64), share

    low_y, share_y = weights(y)
    low_x, share_x = weights(x)
    rows = np.zeros((len(y), plane.shape[1]), np.float32)
    for at, weight in zip(range(-1, 3), _spline(share_y), strict=True):
        rows += plane[(low_y + at) % plane.shape[0]] * weight[:, None]
    result = np.zeros((len(y), len(x)), np.float32)
    for at, weight in zip(range(-1, 3), _spline(share_x), strict=True):
        result += rows[:, (low_x + at) % plane.shape[1]] * weight
    return result


def _spline(share: np.ndarray) -> tuple[np.ndarray, ...]:
    """Returns the four weights of a cubic B-spline at the fraction `share`; it shows no edges between cells."""
    rest = 1 - share
    return (
        rest**3 / 6,
        (3 * share**3 - 6 * share**2 + 4) / 6,
        (3 * rest**3 - 6 * rest**2 + 4) / 6,
        share**3 / 6,
    )


def _blur(plane: np.ndarray) -> np.ndarray:
    """Returns `plane` with each cell averaged with its neighbours on the torus."""
    for axis in (0, 1):
        plane = (np.roll(plane, 1, axis) + 2 * plane + np.roll(plane, -1, axis)) / 4
    return plane


def _slope(elevation: np.ndarray) -> np.ndarray:
    """Returns the relief shading of each cell: positive on slopes that face north-west, negative on opposite slopes."""
    dy, dx = ((np.roll(elevation, -1, axis) - np.roll(elevation, 1, axis)) / 2 for axis in (0, 1))
    return (dy + dx) * 22


def _noise(y: np.ndarray, x: np.ndarray, scene: Scene) -> np.ndarray:
    """Returns the grain of the ground at the places `y`, `x` (cells), from 0 to 1: `float32[len(y), len(x)]`.

    It is the sum of noise of three widths, and depends only on the place and the world's size.
    """
    dice = np.random.default_rng(7)
    total = np.zeros((len(y), len(x)), np.float32)
    for cells, strength in ((5.0, 0.45), (1.6, 0.33), (0.55, 0.22)):
        shape = (max(4, min(1024, round(scene.height / cells))), max(4, min(1024, round(scene.width / cells))))
        plane = dice.random(shape, np.float32)
        total += strength * _sample(plane, y * shape[0] / scene.height, x * shape[1] / scene.width)
    return np.clip((total - 0.5) * 1.8 + 0.5, 0, 1)


def _caustics(y: np.ndarray, x: np.ndarray, scene: Scene, depth: np.ndarray) -> np.ndarray:
    """Returns the brightness of the lines of light on water, `float32[len(y), len(x)]`.

    It is high where either of two noise fields is near its mean, and 0 on land.
    """
    dice = np.random.default_rng(11)
    net = np.zeros((len(y), len(x)), np.float32)
    for cells in (9.0, 5.5):
        shape = (max(4, round(scene.height / cells)), max(4, round(scene.width / cells)))
        plane = _blur(dice.random(shape, np.float32))
        field = _sample(plane, y * shape[0] / scene.height, x * shape[1] / scene.width)
        net += np.exp(-(((field - 0.5) / 0.022) ** 2))
    return net * np.clip(depth * 14, 0, 1) * np.exp(-depth * 1.6)


# --- beings as dots


def _draw_dots(
    canvas: np.ndarray, beings: Beings, scale: float, top: float, left: float, world: tuple[int, int]
) -> None:
    """Draws beings onto `canvas` (in place) as dots with a soft glow: plants as a haze, monsters as bright points.

    The parameters are those of `bodies.draw_beings`.
    """
    height, width = canvas.shape[:2]
    rows, y, x = bodies.find_visible(beings, (height, width), scale, top, left, world)
    colour, area = beings.colour[rows], (beings.size[rows] * scale) ** 2
    if beings.plant:
        # places vary within cells to hide the grid; flowering plants are brighter
        ids, blooms = beings.looks["id"][rows], beings.looks["flowers"][rows, None]
        y, x = y + (random_shares(ids, 7) - 0.5) * 0.6 * scale, x + (random_shares(ids, 8) - 0.5) * 0.6 * scale
        colour = (
            colour * (0.7 + 0.5 * random_shares(ids, 4))[:, None] * (1 - 0.55 * blooms)
            + beings.accent[rows] * blooms * 0.7
        )
        area = area * 0.42
    else:
        area = np.maximum(area * 0.5, 1.2)
    light: np.ndarray = np.zeros((height, width, 4), np.float32)
    low_y, low_x = np.floor(y - 0.5).astype(np.int64), np.floor(x - 0.5).astype(np.int64)
    share_y, share_x = y - 0.5 - low_y, x - 0.5 - low_x
    paint = np.concatenate([colour, np.ones((len(rows), 1), np.float32)], axis=1) * area[:, None]
    for down in (0, 1):
        for across in (0, 1):
            weight = (share_y if down else 1 - share_y) * (share_x if across else 1 - share_x)
            at_y, at_x = low_y + down, low_x + across
            inside = (at_y >= 0) & (at_y < height) & (at_x >= 0) & (at_x < width)
            at = at_y[inside] * width + at_x[inside]
            for channel in range(4):
                values = (paint[:, channel] * weight)[inside]
                light[..., channel] += np.bincount(at, values, height * width).reshape(height, width).astype(np.float32)
    near, far = _blur_times(light, max(1, round(scale * 0.6))), _blur_times(light, max(2, round(scale * scale * 0.9)))
    if beings.plant:
        light = 0.20 * light + 0.45 * near + 0.45 * far
    else:
        light = 0.45 * light + 0.75 * near
    amount = light[..., 3:]
    tint = light[..., :3] / np.maximum(amount, 1e-5)
    cover = 1 - np.exp(-amount * (0.95 if beings.plant else 0.9))
    canvas += (tint * (0.92 if beings.plant else 1.2) - canvas) * cover * (0.85 if beings.plant else 0.95)
    canvas += _blur_times(far[..., :3], 4) * (0.06 if beings.plant else 0.20)


def _blur_times(light: np.ndarray, times: int) -> np.ndarray:
    """Returns `light` blurred `times` times; edge pixels are repeated beyond the edges."""
    for _ in range(times):
        for axis in (0, 1):
            padded = np.concatenate([light.take([0], axis), light, light.take([-1], axis)], axis)
            size = light.shape[axis]
            light = (padded.take(range(size), axis) + 2 * light + padded.take(range(2, size + 2), axis)) / 4
    return light


# --- the finish


def _finish(canvas: np.ndarray) -> np.ndarray:
    """Adds bloom, a vignette, a tone curve, and dither against banding; returns `uint8[height, width, 3]`."""
    height, width = canvas.shape[:2]
    bright = np.maximum(canvas - 0.62, 0)
    canvas = canvas + 0.35 * _bloom(bright, max(2, min(height, width) // 120))
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    canvas = canvas * (1 - 0.20 * np.clip(y * y + x * x - 0.35, 0, 2) ** 1.2)[..., None]
    canvas = np.clip(canvas, 0, None)
    canvas = canvas * (1 + canvas / 6.0) / (1 + 0.30 * canvas)  # keeps dark tones, compresses light ones
    dither = np.random.default_rng(3).random((height, width, 1), np.float32) - np.float32(0.5)
    return np.clip(np.clip(canvas, 0, 1) ** (1 / 1.12) * 255 + dither + 0.5, 0, 255).astype(np.uint8)


def _bloom(bright: np.ndarray, radius: int) -> np.ndarray:
    """Returns `bright` blurred twice by a box of `radius` pixels on each side."""
    for _ in range(2):
        for axis in (0, 1):
            padded = np.concatenate(
                [bright.take([0] * (radius + 1), axis), bright, bright.take([-1] * radius, axis)], axis
            )
            sums = np.cumsum(padded, axis=axis, dtype=np.float32)
            size = bright.shape[axis]
            bright = (sums.take(range(2 * radius + 1, 2 * radius + 1 + size), axis) - sums.take(range(size), axis)) / (
                2 * radius + 1
            )
    return bright
