"""The stage: draws the world view, from the ground to the marks over it.

`ctx` is the `arcade.gl.Context` of the window, `known` the description of the world that the window received from its
server (`viewer_protocol.Welcome`).
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from arcade import gl

from umwelt.client.window.draw.far import DensitiesDrawer, DotsDrawer
from umwelt.client.window.draw.finish import Finish
from umwelt.client.window.draw.ground import GRAIN_UNIT, Ground, Planes, grain_texture
from umwelt.client.window.draw.layers import LayerDrawer, Legend, legend
from umwelt.client.window.draw.monsters import Monsters
from umwelt.client.window.draw.overlay import Overlay
from umwelt.client.window.draw.plants import Plants
from umwelt.client.window.feed.camera import Camera
from umwelt.client.window.feed.frame import Frame
from umwelt.client.window.feed.looks import Looks

FULL_WIND_CELLS_S = 6.0
"""The wind speed in cells per second at which its effects are strongest."""
UNDER_A_MAP = 0.3
"""The opacity of plants while a layer (a quantity of each cell) is drawn as a colour map."""
MAP_HIDES_WEATHER, MAP_HIDES_BLOOM = 0.9, 0.7
"""The shares of the weather and of the bloom (glow) that an opaque colour map removes, so that it can be read."""


def _late(share: float) -> float:
    """Returns 0 for a `share` up to one half, then rises linearly to 1."""
    return max(0.0, share * 2.0 - 1.0)


class Stage:
    """Draws the frames of one window, which sets `wind` (cells per second, right and down) and the overlay's marks.

    `bloom` is whether bright areas glow.
    """

    def __init__(self, ctx: Any, known: Any, bloom: bool = True):
        self.ctx, self.known, self.bloom = ctx, known, bloom
        self.wind: tuple[float, float] = (0.0, 0.0)
        self._drift = [0.0, 0.0]
        self._drawn_s: float | None = None
        self._size = known.width, known.height
        self._quad = gl.geometry.quad_2d_fs()
        self.grains = grain_texture(ctx)
        self.planes = Planes(ctx, known.height, known.width)
        self.ground = Ground(ctx, known, self.planes, self._quad)
        self.layer = LayerDrawer(ctx, known, self.planes, self._quad)
        self.dots = DotsDrawer(ctx, known)
        self.densities = DensitiesDrawer(ctx, known, self._quad)
        self.finish = Finish(ctx, known, self._quad)
        self.overlay = Overlay(ctx)
        self.plants, self.monsters = Plants(ctx), Monsters(ctx)

    def draw(self, frame: Frame, camera: Camera, looks: Looks, nodes: Sequence[Mapping[str, Any]] = ()) -> None:
        """Draws a frame into the bound framebuffer.

        `nodes` are the nodes' entries in the world's status; the borders of their parts of the world are drawn.
        """
        ctx, target = self.ctx, self.ctx.active_framebuffer
        self._blow(frame.now_s)
        right, down = (min(1.0, max(-1.0, speed / FULL_WIND_CELLS_S)) for speed in self.wind)
        self.plants.wind = right, down
        self.grains.use(GRAIN_UNIT)
        self.ground.prepare(frame)
        self.finish.begin(*camera.view)
        self.ground.draw(frame, camera, looks)
        self.layer.draw(frame, camera, looks)
        levels = camera.levels()
        near, middle = levels.get("bodies", 0.0), levels.get("dots", 0.0)
        # the coarser level fades out while the finer level fades in, so that beings do not vanish suddenly
        if "densities" in levels:
            self.densities.draw(frame, camera, levels["densities"] * (1.0 - _late(middle)))
        if "dots" in levels:
            self.dots.draw(frame, camera, middle * (1.0 - _late(near)))
        if "bodies" in levels:
            self._bodies(frame, camera, looks, levels["bodies"])
        mapped = looks.layer_strength if looks.layer in frame.planes else 0.0
        bloom = looks.bloom * (1.0 - MAP_HIDES_BLOOM * mapped) if self.bloom else 0.0
        weather = (1.0 - MAP_HIDES_WEATHER * mapped) if looks.weather and "light" in frame.planes else 0.0
        windy = min(1.0, math.hypot(*self.wind) / FULL_WIND_CELLS_S)
        self.finish.end(
            target,
            frame,
            camera,
            bloom,
            self.ground.composed,
            weather,
            (self._drift[0], self._drift[1]),
            windy,
        )
        self.overlay.draw(frame, camera, looks, nodes)
        ctx.enable(ctx.BLEND)
        ctx.blend_func = ctx.BLEND_DEFAULT

    def _bodies(self, frame: Frame, camera: Camera, looks: Looks, strength: float) -> None:
        """Draws the beings of all tables as bodies with opacity `strength`: plants first, then monsters."""
        for drawer, plant in ((self.plants, True), (self.monsters, False)):
            for swarm in frame.swarms:
                if swarm.plant == plant and len(swarm):
                    # leaves are drawn faintly, so that a map can be read through them
                    share = UNDER_A_MAP if plant and looks.layer else 1.0
                    drawer.draw(swarm, frame, camera, looks, strength * share)

    def legend(self, frame: Frame, looks: Looks) -> Legend | None:
        """Returns the legend of the layer that is drawn as a colour map; None if there is none."""
        plane = frame.planes.get(looks.layer)
        return None if plane is None else legend(looks.layer, self.known, plane, self.layer.span_of(looks.layer))

    def _blow(self, now_s: float) -> None:
        """Adds to the distance that the wind has carried the rain; as a sum, it does not jump when the wind changes."""
        passed = 0.0 if self._drawn_s is None else min(0.25, max(0.0, now_s - self._drawn_s))
        self._drawn_s = now_s
        for axis in (0, 1):
            self._drift[axis] = (self._drift[axis] + self.wind[axis] * passed) % self._size[axis]

    def release(self) -> None:
        """Deletes all GPU resources."""
        for part in (self.ground, self.layer, self.dots, self.densities, self.finish, self.overlay, self.planes):
            part.release()
        self.grains.delete()
