"""Draws leaves and bodies by shaders: functions that compute a square patch of pixels for each of many beings.

The parameters of a shader: `rows` selects the beings, whose patches all have `side` x `side` pixels; `scale` is pixels
per cell; `dy` and `dx` are the subpixel offsets of the beings' middles from the middle pixel. A shader returns
`float32[n, side, side, 4]`: premultiplied colour, and coverage from 0 to 1. Shapes are defined by distances in cells or
body lengths, so edges are smooth at any scale.

Functions that draw a part of a body blend it over the patches in `canvas`, in place. Their parameter `u` is the
position of each pixel along the body (positive toward the head) and `v` that across it, both in body lengths; `fine` is
pixels per body length, and `looks` the array of each attribute in `Beings.looks` for these beings.
"""

from collections.abc import Callable

import numpy as np

from umwelt.client.pictures.scene import Beings, cell_offsets, random_shares, rgb

MAX_SHADED_PIXELS, HELD_PIXELS = 3_000_000, 16_000_000
"""The maximum number of pixels shaded in one batch, and of pixels kept in memory until they are blended."""


def _grid(beings: Beings, rows: np.ndarray, side: int, scale: float, dy: np.ndarray, dx: np.ndarray) -> tuple:
    """Returns the position (y, x) of each pixel of the patches relative to the beings' middles, in cells.

    Both arrays are `float32[n, side, side]`; parameters as for shaders.
    """
    steps = np.arange(side, dtype=np.float32) - (side - 1) / 2
    y = (steps[None, :, None] - dy[:, None, None]) / scale
    x = (steps[None, None, :] - dx[:, None, None]) / scale
    shape = (len(rows), side, side)
    return np.broadcast_to(y, shape), np.broadcast_to(x, shape)


def _blend(canvas: np.ndarray, colour: np.ndarray, cover: np.ndarray) -> None:
    """Blends `colour` with the coverage `cover` over `canvas`, in place."""
    cover = np.clip(cover, 0, 1)[..., None]
    canvas *= 1 - cover
    canvas[..., :3] += np.clip(colour, 0, 1) * cover
    canvas[..., 3:] += cover


def _coverage(distance: np.ndarray, scale: float) -> np.ndarray:
    """Returns the coverage of pixels by a shape, from their signed distances to its edge (in cells, negative inside).

    Coverage is 1 inside and 0 outside, with a transition of one pixel.
    """
    return np.clip(0.5 - distance * scale, 0, 1)


def _spread_value(values: np.ndarray) -> np.ndarray:
    """Reshapes an array with one value per being to `[n, 1, 1]`, so that it broadcasts over patches."""
    return values.reshape(len(values), 1, 1)


def _spread_colour(values: np.ndarray) -> np.ndarray:
    """Reshapes an array with one colour per being to `[n, 1, 1, 3]`, so that it broadcasts over patches."""
    return values.reshape(len(values), 1, 1, 3)


def shade_rosettes(
    beings: Beings, rows: np.ndarray, side: int, scale: float, dy: np.ndarray, dx: np.ndarray
) -> np.ndarray:
    """Shades plants: three rings of leaves over a soft shadow, and a flower if the plant has spare sugar.

    Seeds are shaded as a small grain.
    """
    y, x = _grid(beings, rows, side, scale, dy, dx)
    canvas = np.zeros((*y.shape, 4), np.float32)
    ids, colour = beings.looks["id"][rows], beings.colour[rows]
    radius, angle = np.hypot(y, x), np.arctan2(y, x)
    size = _spread_value(beings.size[rows] / 2)
    _blend(canvas, rgb(0.0, 0.0, 0.0), 0.42 * np.exp(-((radius / (size * 0.95)) ** 2) * 1.6))
    seed = beings.looks["stage"][rows] < 2
    turn = _spread_value(random_shares(ids, 1) * 2 * np.pi)
    shape = beings.looks["shape"][rows]
    leaves = np.round(5 + 3 * random_shares(ids, 2) - 1.5 * shape).clip(4, 8)
    slim = _spread_value(0.62 - 0.34 * shape)
    for ring, (length, light, shift) in enumerate(((1.0, 0.42, 0.0), (0.78, 0.68, 0.5), (0.50, 1.0, 0.2))):
        number = _spread_value(leaves - (1 if ring == 2 else 0))
        sector = 2 * np.pi / number
        within = (angle + turn + shift * sector) % sector - sector / 2
        along, across = radius * np.cos(within), radius * np.sin(within)
        reach = size * length
        share = np.clip(along / reach, 0, 1)
        half = (
            reach * slim * 0.62 * np.sin(np.pi * share**0.72).clip(0) ** 0.85 * np.sin(sector / 2).clip(0.25, 1) * 1.3
        )
        inside = _coverage(np.abs(across) - half, scale) * (along > 0) * (along < reach)
        rib = np.exp(-((across * scale / 0.9) ** 2)) * (1 - share)
        edge = np.clip(np.abs(across) / np.maximum(half, 1e-4), 0, 1)
        shade = light * (0.62 + 0.38 * share) * (1.0 - 0.34 * edge**3) + 0.16 * rib
        tone = _spread_colour(colour) * shade[..., None] + rgb(0.10, 0.10, 0.02) * (share * light)[..., None]
        _blend(canvas, tone, inside * _spread_value(~seed) * 0.96)
    heart = np.exp(-((radius / (size * 0.17)) ** 2))
    _blend(canvas, np.clip(_spread_colour(colour) * 1.25 + 0.22, 0, 1), 0.8 * heart * _spread_value(~seed))
    _flowers(canvas, beings, rows, radius, angle + turn, size, scale)
    grain = _coverage(radius - size * 0.8, scale) * _spread_value(seed)
    _blend(canvas, rgb(0.62, 0.52, 0.34) * (1.1 - radius / np.maximum(size, 1e-4) * 0.5)[..., None], grain * 0.9)
    return canvas


def shade_stems(
    beings: Beings, rows: np.ndarray, side: int, scale: float, dy: np.ndarray, dx: np.ndarray
) -> np.ndarray:
    """Shades the stems of plants: curved cords, each over a shadow.

    A plant consists of modules, each of which is a being; a stem connects a module to the module from which it budded.
    """
    y, x = _grid(beings, rows, side, scale, dy, dx)
    canvas = np.zeros((*y.shape, 4), np.float32)
    turn = (beings.looks["stem"][rows] - 1) * (np.pi / 4)
    other, own = cell_offsets(beings.looks["stem_id"][rows]), cell_offsets(beings.looks["id"][rows])
    end_y = _spread_value(np.round(np.sin(turn) * 1.2) + other[0] - own[0]).astype(np.float32)
    end_x = _spread_value(np.round(np.cos(turn) * 1.2) + other[1] - own[1]).astype(np.float32)
    length = np.maximum(end_y**2 + end_x**2, 1e-4)
    share = np.clip((y * end_y + x * end_x) / length, 0, 1)
    bend = _spread_value(random_shares(beings.looks["id"][rows], 9) - 0.5) * 0.35 * np.sin(np.pi * share)
    distance = np.hypot(y - share * end_y - bend * end_x, x - share * end_x + bend * end_y)
    _blend(canvas, rgb(0.0, 0.0, 0.0), 0.35 * np.exp(-((distance / 0.11) ** 2)))
    tone = _spread_colour(beings.colour[rows] * 0.42 + rgb(0.10, 0.05, 0.02)) * (1.25 - distance * 6)[..., None]
    _blend(canvas, tone, _coverage(distance - 0.045, scale) * 0.95)
    return canvas


def _flowers(canvas: np.ndarray, beings: Beings, rows: np.ndarray, radius, angle, size, scale: float) -> None:
    """Blends a flower with five petals and a heart over each plant that blooms, in place.

    `radius` and `angle` are the polar coordinates of the pixels (cells, radians), and `size` is the radius of the
    plant.
    """
    blooms = _spread_value(beings.looks["flowers"][rows])
    if not blooms.any():
        return
    sector = 2 * np.pi / 5
    within = angle % sector - sector / 2
    petal = size * 0.40 * (0.45 + 0.55 * blooms)
    reach = petal * np.sqrt(np.clip(np.cos(within * 2.1), 0, 1))
    inside = _coverage(radius - reach, scale) * (blooms > 0.05)
    tone = (
        _spread_colour(beings.accent[rows]) * (0.75 + 0.35 * np.clip(radius / np.maximum(petal, 1e-4), 0, 1))[..., None]
    )
    _blend(canvas, tone, inside)
    _blend(canvas, rgb(1.0, 0.86, 0.38), _coverage(radius - petal * 0.34, scale) * (blooms > 0.05))


def shade_monsters(
    beings: Beings, rows: np.ndarray, side: int, scale: float, dy: np.ndarray, dx: np.ndarray
) -> np.ndarray:
    """Shades monsters: legs, antennae, a striped body of segments, armour, spikes, jaws, and open or shut eyes."""
    y, x = _grid(beings, rows, side, scale, dy, dx)
    canvas = np.zeros((*y.shape, 4), np.float32)
    heading = _spread_value(beings.heading[rows])
    size = _spread_value(beings.size[rows])
    # body coordinates in body lengths: u points to the head, v to the right
    u = (x * np.cos(heading) + y * np.sin(heading)) / size
    v = (-x * np.sin(heading) + y * np.cos(heading)) / size
    fine = scale * size
    colour, looks = beings.colour[rows], {name: values[rows] for name, values in beings.looks.items()}
    shadow = np.hypot((u - 0.02) * 1.0, (v - 0.06) * 2.0)
    _blend(canvas, rgb(0.0, 0.0, 0.0), 0.55 * np.exp(-((shadow / 0.50) ** 4)))
    glow = _spread_value(looks["glow"])
    canvas[..., :3] += _spread_colour(colour) * (glow * 0.22 * np.exp(-((np.hypot(u, v * 1.5) / 0.5) ** 2)))[..., None]
    _limbs(canvas, u, v, fine, colour, looks)
    _body(canvas, u, v, fine, colour, beings.accent[rows], looks)
    _face(canvas, u, v, fine, looks)
    return canvas


def _stroke(u, v, start: tuple[float, float], end: tuple[float, float]) -> np.ndarray:
    """Returns the distance of the points `u`, `v` to the line segment from `start` to `end`, in body lengths."""
    du, dv = end[0] - start[0], end[1] - start[1]
    share = np.clip(((u - start[0]) * du + (v - start[1]) * dv) / (du * du + dv * dv), 0, 1)
    return np.hypot(u - start[0] - share * du, v - start[1] - share * dv)


def _limbs(canvas, u, v, fine, colour, looks) -> None:
    """Draws pairs of legs, the antennae with their tips, and spikes at the tail."""
    side = np.abs(v)
    tone = _spread_colour(colour) * np.float32(0.52)
    for pair in range(4):
        root = 0.20 - 0.14 * pair
        knee, foot = (root + 0.07, 0.25), (root - 0.03, 0.36)
        distance = np.minimum(_stroke(u, side, (root, 0.08), knee), _stroke(u, side, knee, foot))
        _blend(canvas, tone, np.clip(0.5 - (distance - 0.014) * fine, 0, 1) * _spread_value(looks["leg"] > pair))
    feeler = _stroke(u, side, (0.36, 0.07), (0.53, 0.16))
    _blend(canvas, _spread_colour(colour) * np.float32(0.8), np.clip(0.5 - (feeler - 0.012) * fine, 0, 1))
    tip = np.hypot(u - 0.54, side - 0.165) - 0.030
    _blend(canvas, np.clip(_spread_colour(colour) * 1.2 + 0.15, 0, 1), np.clip(0.5 - tip * fine, 0, 1))
    spike = _stroke(u, side, (-0.38, 0.02), (-0.58, 0.05)) - 0.022 * np.clip((u + 0.60) / 0.2, 0, 1)
    _blend(canvas, rgb(0.93, 0.88, 0.78), np.clip(0.5 - spike * fine, 0, 1) * _spread_value(looks["spike"] > 0))


SEGMENTS = ((0.30, 0.135), (0.10, 0.165), (-0.11, 0.150), (-0.29, 0.105))
"""Position of the middle along the body, and radius, of each body segment, in body lengths, from head to tail."""


def _body(canvas, u, v, fine, colour, accent, looks) -> None:
    """Draws the body of four merged segments, with stripes, plates of armour and an outline."""
    # smooth union of the segments, by a sum of exponentials of their distances
    melted = sum(np.exp(-26.0 * (np.hypot(u - at, v) - radius)) for at, radius in SEGMENTS)
    distance = -np.log(np.maximum(melted, 1e-12)) / 26.0
    inside = np.clip(0.5 - distance * fine, 0, 1)
    depth = np.clip(-distance / 0.16, 0, 1)
    dome = np.sqrt(1 - (1 - depth) ** 2)
    stripe = 0.5 + 0.5 * np.cos(u * (26 + 20 * _spread_value(looks["pattern"])))
    stripe = stripe**3 * (0.15 + 0.75 * _spread_value(looks["pattern"]))
    tone = _spread_colour(colour) + (_spread_colour(accent) - _spread_colour(colour)) * stripe[..., None]
    plates = (np.cos(u * 34) > 0.35) * np.clip(depth * 3, 0, 1) * _spread_value(np.clip(looks["armour"] / 2, 0, 1))
    tone = tone + (rgb(0.46, 0.44, 0.50) - tone) * (0.65 * plates)[..., None]
    light = 0.36 + 0.64 * dome
    shine = np.exp(-(((v + 0.055) / 0.045) ** 2)) * np.exp(-(((u - 0.04) / 0.24) ** 2)) * 0.34
    tone = tone * light[..., None] + shine[..., None] * _spread_value(1 - 0.5 * looks["asleep"])[..., None]
    _blend(canvas, rgb(0.02, 0.02, 0.04), np.clip(0.5 - (distance - 0.018) * fine, 0, 1) * 0.55)
    _blend(canvas, tone, inside)


def _face(canvas, u, v, fine, looks) -> None:
    """Draws the jaws, and eyes that are open or shut."""
    side = np.abs(v)
    jaw = np.abs(np.hypot(u - 0.44, side - 0.015) - 0.065) - 0.018
    jaw = np.where((u > 0.40) & (side > 0.02), jaw, 1.0)
    _blend(canvas, rgb(0.95, 0.90, 0.80), np.clip(0.5 - jaw * fine, 0, 1) * _spread_value(looks["jaw"] > 1))
    number = looks["eye"]
    large = _spread_value(np.where(number > 0, 0.050 + 0.014 * np.minimum(number, 3), 0.034))
    eye = np.hypot(u - 0.335, side - 0.085)
    shut = _spread_value((looks["eyes_shut"] > 0) | (looks["asleep"] > 0))
    _blend(canvas, rgb(0.03, 0.03, 0.05), np.clip(0.5 - (eye - large - 0.014) * fine, 0, 1) * 0.8)
    white = np.clip(0.5 - (eye - large) * fine, 0, 1)
    _blend(canvas, rgb(0.96, 0.97, 0.94), white * (1 - shut))
    pupil = np.hypot(u - 0.335 - large * 0.28, side - 0.085) - large * 0.56
    _blend(canvas, rgb(0.03, 0.03, 0.06), np.clip(0.5 - pupil * fine, 0, 1) * (1 - shut))
    spark = np.hypot(u - 0.335 - large * 0.5, v - np.sign(v) * 0.085 + large * 0.25) - large * 0.2
    _blend(canvas, rgb(1.0, 1.0, 1.0), np.clip(0.5 - spark * fine, 0, 1) * (1 - shut) * white)
    lid = np.abs(u - 0.335 + (side - 0.085) ** 2 * 4) - 0.010
    _blend(canvas, rgb(0.05, 0.05, 0.08), np.clip(0.5 - lid * fine, 0, 1) * white * shut)


def draw_beings(
    canvas: np.ndarray, beings: Beings, scale: float, top: float, left: float, world: tuple[int, int]
) -> int:
    """Draws all visible beings onto `canvas` in place, in every copy of the torus in view; returns the number drawn.

    `canvas` is `float32[h, w, 3]`, `scale` is pixels per cell, `top`, `left` is the position of the canvas's corner in
    cells, and `world` is the height and width of the torus in cells.
    """
    seen = find_visible(beings, canvas.shape[:2], scale, top, left, world)
    rows, y, _ = seen
    if beings.plant and "stem" in beings.looks:
        tied = beings.looks["stem"][rows] > 0
        _draw_patches(
            canvas, beings, scale, shade_stems, tuple(part[tied] for part in seen), np.full(tied.sum(), 3.6), y[tied]
        )
    if beings.plant:
        _draw_patches(canvas, beings, scale, shade_rosettes, seen, beings.size[rows] * 1.25, beings.size[rows])
    else:
        _draw_patches(canvas, beings, scale, shade_monsters, seen, beings.size[rows] * 1.35, y)
    return len(rows)


def _draw_patches(
    canvas: np.ndarray,
    beings: Beings,
    scale: float,
    shader: Callable,
    seen: tuple,
    reach: np.ndarray,
    height_order: np.ndarray,
) -> None:
    """Shades a patch for each visible being, and blends the patches over `canvas`, in place.

    `seen` is the result of `find_visible`; `reach` and `height_order` have an entry for each of its entries: the width
    of the patch in cells, and a number in whose ascending order the patches are blended, so that high ones are on top.
    Patches are held in memory in groups of about `HELD_PIXELS` pixels.
    """
    sides = np.maximum(5, np.ceil(reach * scale / 4) * 4 + 3).astype(np.int64)
    order = np.lexsort((seen[0], height_order))
    held = np.cumsum(sides[order] ** 2) // HELD_PIXELS
    for group in np.split(order, np.flatnonzero(np.diff(held)) + 1):
        _draw_patch_group(canvas, beings, scale, shader, seen, sides, group)


def _draw_patch_group(
    canvas: np.ndarray,
    beings: Beings,
    scale: float,
    shader: Callable,
    seen: tuple,
    sides: np.ndarray,
    order: np.ndarray,
) -> None:
    """Shades the patches with the indices `order`, in batches of equal size, and blends them in this order.

    `sides` are the sides of all patches in pixels; `seen` is the result of `find_visible`.
    """
    rows, y, x = seen
    patches: dict[int, np.ndarray] = {}
    for side in np.unique(sides[order]).tolist():
        chosen = order[sides[order] == side]
        batch = max(1, MAX_SHADED_PIXELS // (side * side * 4))
        for at in range(0, len(chosen), batch):
            some = chosen[at : at + batch]
            middle_y, middle_x = np.floor(y[some]), np.floor(x[some])
            dy, dx = (y[some] - middle_y - 0.5).astype(np.float32), (x[some] - middle_x - 0.5).astype(np.float32)
            drawn = shader(beings, rows[some], side, scale, dy, dx).astype(np.float16)
            patches.update(zip(some.tolist(), drawn, strict=True))
    height, width = canvas.shape[:2]
    for i in order.tolist():
        patch = patches[i]
        half = patch.shape[0] // 2
        low_y, low_x = int(np.floor(y[i])) - half, int(np.floor(x[i])) - half
        a, b = max(0, low_y), min(height, low_y + patch.shape[0])
        c, d = max(0, low_x), min(width, low_x + patch.shape[1])
        if a < b and c < d:
            part = patch[a - low_y : b - low_y, c - low_x : d - low_x].astype(np.float32)
            canvas[a:b, c:d] = canvas[a:b, c:d] * (1 - part[..., 3:]) + part[..., :3]


def find_visible(
    beings: Beings, shape: tuple[int, int], scale: float, top: float, left: float, world: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the rows in `beings` and the pixel positions (y, x) of all beings in view, in three arrays.

    Beyond the edges of the torus, a view shows copies of it; a being is listed once for each copy in which it is in
    view.

    `shape` is the height and width of the view in pixels; other parameters as for `draw_beings`.
    """
    rows, ys, xs = [], [], []
    margin = 2.5
    for down in range(-1, 2 + int(shape[0] / scale // world[0])):
        for across in range(-1, 2 + int(shape[1] / scale // world[1])):
            y, x = beings.y - top + down * world[0], beings.x - left + across * world[1]
            seen = np.flatnonzero(
                (y > -margin) & (y < shape[0] / scale + margin) & (x > -margin) & (x < shape[1] / scale + margin)
            )
            rows.append(seen)
            ys.append(y[seen] * scale)
            xs.append(x[seen] * scale)
    return np.concatenate(rows), np.concatenate(ys), np.concatenate(xs)
