"""Lines and rings over the world: borders of shards, the selected being, and marks (`marks.py`) of tools and senses.

A shard is the rectangle of the world that one node (a process) simulates.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from arcade.gl import BufferDescription

from umwelt.agents.earth.parameters import LEAF_FULL_COUNT
from umwelt.client.pictures.scene import GOLDEN, body_cells, hsv
from umwelt.client.window.draw.marks import Line, Ring
from umwelt.client.window.draw.programs import CLOCK_WRAP_S, give, lay_over, program
from umwelt.client.window.feed.camera import Camera
from umwelt.client.window.feed.feed import place_of, row_of
from umwelt.client.window.feed.frame import Frame
from umwelt.client.window.feed.looks import Looks
from umwelt.client.window.feed.torus import shortest
from umwelt.sandbox.region import Rectangle, Torus

MIN_RING_PIXELS = 16.0
"""The minimum radius of the ring around the selected being, in pixels."""
DASHES = 5.0
"""The number of dashes of the ring around the selected being."""
NODE_LINE_PIXELS, LOAD_PIXELS = 2.0, 120.0
"""The width of borders of shards, and the length of the bar that displays the load of a node, in pixels."""
MIN_ROWS = 256
"""The number of rows that a new buffer has room for."""


class _Batch:
    """Draws one quad for each row of a buffer of floats.

    `formats` and `names` are the formats and names of the shader attributes of a row; `vertex` and `fragment` are the
    names of the shader files.
    """

    def __init__(self, ctx: Any, formats: str, names: list[str], vertex: str, fragment: str):
        self.ctx = ctx
        row_bytes = 4 * sum(int(attribute_format[0]) for attribute_format in formats.split())
        self.program = program(ctx, vertex, fragment)
        corners = np.array([-1, -1, 1, -1, -1, 1, 1, 1], np.float32)
        self._corners = ctx.buffer(data=corners.tobytes())
        self._buffer = ctx.buffer(reserve=MIN_ROWS * row_bytes, usage="stream")
        self._formats, self._names = formats, names
        self._describe()

    def _describe(self) -> None:
        """Creates the geometry that reads the buffer."""
        self._geometry = self.ctx.geometry(
            [
                BufferDescription(self._corners, "2f", ["in_vert"]),
                BufferDescription(self._buffer, self._formats, self._names, instanced=True),
            ],
            mode=self.ctx.TRIANGLE_STRIP,
        )

    def draw(self, rows: list[tuple[float, ...]], viewport: tuple[float, float], seconds: float) -> None:
        """Copies the rows to the GPU and draws a quad for each; `viewport` (width, height) is in pixels."""
        if not rows:
            return
        values = np.array(rows, np.float32)
        if values.nbytes > self._buffer.size:
            self._buffer.delete()
            self._buffer = self.ctx.buffer(reserve=values.nbytes * 2, usage="stream")
            self._describe()
        self._buffer.write(values)
        give(self.program, viewport=viewport, seconds=seconds)
        self._geometry.render(self.program, instances=len(rows))

    def release(self) -> None:
        """Deletes the buffers."""
        self._buffer.delete()
        self._corners.delete()


class Overlay:
    """Draws lines and rings at the window's resolution, after the effects of `finish.py`, so that they stay sharp.

    The window sets `rings` and `lines` (types in `marks`); they stay until it sets others.
    """

    def __init__(self, ctx: Any):
        self.ctx = ctx
        self.rings: Sequence[Ring] = []
        self.lines: Sequence[Line] = []
        self._lines = _Batch(
            ctx, "4f 4f 1f", ["in_line", "in_tint", "in_width"], "line_vertex.glsl", "line_fragment.glsl"
        )
        self._rings = _Batch(ctx, "4f 4f", ["in_ring", "in_tint"], "line_ring_vertex.glsl", "line_ring_fragment.glsl")

    def draw(self, frame: Frame, camera: Camera, looks: Looks, nodes: Sequence[Mapping[str, Any]] = ()) -> None:
        """Draws lines and rings into the bound framebuffer; `nodes` are the nodes' entries in the world's status."""
        lines: list[tuple[float, ...]] = []
        rings: list[tuple[float, ...]] = []
        if looks.nodes:
            for at, node in enumerate(nodes):
                lines += node_lines(camera, node, at)
        for y, x, radius, colour in self.rings:
            rings.append((*camera.pixel(y, x), max(radius * camera.scale, 4.0), 0.0, *colour))
        for y, x, y_end, x_end, colour, width in self.lines:
            lines.append((*_way(camera, y, x, y_end, x_end), *colour, width))
        if looks.selected:
            rings += selection(frame, camera, looks.selected)
        if not lines and not rings:
            return
        lay_over(self.ctx)
        viewport = (float(camera.view[0]), float(camera.view[1]))
        self._lines.draw(lines, viewport, frame.now_s % CLOCK_WRAP_S)
        self._rings.draw(rings, viewport, frame.now_s % CLOCK_WRAP_S)

    def release(self) -> None:
        """Deletes all GPU resources."""
        self._lines.release()
        self._rings.release()


def _way(camera: Camera, y: float, x: float, y_end: float, x_end: float) -> tuple[float, float, float, float]:
    """Returns the pixels of both ends of a line: right and down of the first end, right and down of the second.

    Of the first end, the copy nearest to the middle of the window is used; of the second end, the copy nearest to the
    first.
    """
    right, down = camera.pixel(y, x)
    far_y, far_x = shortest(y_end - y, camera.height), shortest(x_end - x, camera.width)
    return right, down, right + far_x * camera.scale, down + far_y * camera.scale


def selection(frame: Frame, camera: Camera, being: int) -> list[tuple[float, ...]]:
    """Returns the dashed ring around the being with the id `being`; empty if the being is not in the frame.

    A ring is (right, down, radius, number of dashes, red, green, blue, opacity); the first three are in pixels.
    """
    location, place = row_of(frame, being), place_of(frame, being, Torus(camera.height, camera.width))
    if location is None or place is None:
        return []
    swarm, row = location
    tissue = float(swarm.columns["tissue_count"][row]) if "tissue_count" in swarm.columns else 30.0
    radius = 0.6 + 0.8 * min(1.0, tissue / LEAF_FULL_COUNT) if swarm.plant else float(body_cells(tissue))
    wide = max(radius * camera.scale * 1.55 + 6.0, MIN_RING_PIXELS)
    return [(*camera.pixel(place[0], place[1]), wide, DASHES, 0.86, 0.98, 1.0, 1.0)]


def node_colour(at: int) -> tuple[float, float, float]:
    """Returns the colour of the node with the index `at`: red, green and blue from 0 to 1."""
    red, green, blue = hsv((0.48 + at * GOLDEN) % 1, 0.42, 0.95).tolist()
    return red, green, blue


def node_lines(camera: Camera, node: Mapping[str, Any], at: int) -> list[tuple[float, ...]]:
    """Returns lines: the border of a node's shard and a bar for its load, for each copy of the torus in view.

    `node` is the node's entry in the world's status, `at` its index, which determines the colour. A line is (right and
    down of one end, right and down of the other, red, green, blue, opacity, width); lengths are in pixels.
    """
    if not node.get("rectangle"):
        return []
    rectangle = Rectangle(*(int(part) for part in node["rectangle"]))
    colour = node_colour(at)
    lines: list[tuple[float, ...]] = []
    busy = 1.0 - min(1.0, max(0.0, float(node.get("waiting_share") or 0.0)))
    for down, right in camera.images(rectangle):
        left = camera.view[0] / 2 + (right - camera.x) * camera.scale
        top = camera.view[1] / 2 + (down - camera.y) * camera.scale
        wide, high = rectangle.width * camera.scale, rectangle.height * camera.scale
        inset = NODE_LINE_PIXELS
        a, b, c, d = left + inset, top + inset, left + wide - inset, top + high - inset
        for ends in ((a, b, c, b), (a, d, c, d), (a, b, a, d), (c, b, c, d)):
            lines.append((*ends, *colour, 0.8, NODE_LINE_PIXELS))
        full = min(LOAD_PIXELS, wide * 0.4)
        x, y = max(a, 0.0) + 12, max(b, 0.0) + 12
        if x + full < c and y < d:
            lines.append((x, y, x + full, y, 0.05, 0.07, 0.09, 0.85, 6.0))
            lines.append((x, y, x + max(1.0, full * busy), y, *colour, 1.0, 4.0))
    return lines
