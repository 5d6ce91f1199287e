"""The last step of drawing: bloom, day and night, rain, tone mapping, a vignette and dither.

The scene is first drawn into half-float textures, then into the window by one of three shaders: without weather, with
weather, or with weather and wind. `ctx` is the `arcade.gl.Context` of the window, `quad` a geometry that covers it, and
`known` the description of the world that the window received from its server (`viewer_protocol.Welcome`).
"""

from typing import Any

from umwelt.client.window.draw.ground import GRAIN_UNIT, Composed, half_view
from umwelt.client.window.draw.programs import CLOCK_WRAP_S, give, program
from umwelt.client.window.feed.camera import Camera
from umwelt.client.window.feed.frame import Frame

BLOOM_DIVISORS = (4, 8, 16, 32)
"""Bloom (the glow around bright areas) is blurred in textures whose size is the window's divided by these numbers."""
BLOOM_THRESHOLD, BLOOM_STRENGTH = 0.58, 0.55
"""The brightness above which a pixel glows, and the factor by which the glow is multiplied."""
BLUR_SHARES = (0.62, 0.75, 0.85)
"""The factors by which a wider blur is multiplied before it is added to the next narrower one, the narrowest first."""


class Finish:
    """Owns the textures into which the scene is drawn, and draws the finished scene into the window."""

    def __init__(self, ctx: Any, known: Any, quad: Any):
        self.ctx, self.quad = ctx, quad
        self.down = program(ctx, "ground_vertex.glsl", "bloom_down_fragment.glsl")
        self.up = program(ctx, "ground_vertex.glsl", "bloom_up_fragment.glsl")
        self.plain = program(ctx, "ground_vertex.glsl", "finish_fragment.glsl")
        self.weather = program(ctx, "ground_vertex.glsl", "finish_weather_fragment.glsl")
        self.wind = program(ctx, "ground_vertex.glsl", "finish_wind_fragment.glsl")
        world = (float(known.width), float(known.height))
        for shader in (self.plain, self.weather, self.wind):
            give(shader, picture=0, glow=1, sky_plane=2, world=world, grains=GRAIN_UNIT)
        for shader in (self.down, self.up):
            give(shader, source=0, half_view=(1.0, 1.0))
        self.size = (0, 0)
        self._targets: list[Any] = []
        self._dark = ctx.texture((1, 1), components=4, dtype="f1")
        self._dark.write(b"\0\0\0\xff")

    def begin(self, width: int, height: int) -> None:
        """Directs all drawing into the scene textures, until `end`; `width` and `height` are in pixels."""
        if self.size != (width, height):
            self._resize(width, height)
        self._targets[0].use()

    def _resize(self, width: int, height: int) -> None:
        """Creates new textures: one for the scene, and one for each of `BLOOM_DIVISORS`."""
        self._drop()
        self.size = width, height
        for part in (1, *BLOOM_DIVISORS):
            texture = self.ctx.texture((max(1, width // part), max(1, height // part)), components=4, dtype="f2")
            texture.wrap_x = texture.wrap_y = self.ctx.CLAMP_TO_EDGE
            self._targets.append(self.ctx.framebuffer(color_attachments=[texture]))
        self._targets[0].clear(color_normalized=(0.02, 0.03, 0.04, 1.0))

    def _bloom(self) -> None:
        """Blurs bright areas: draws them into smaller and smaller textures, and adds these up again."""
        ctx, quad = self.ctx, self.quad
        ctx.disable(ctx.BLEND)
        for at in range(1, len(self._targets)):
            source = self._targets[at - 1].color_attachments[0]
            source.use(0)
            self._targets[at].use()
            give(
                self.down,
                texel=(1 / source.width, 1 / source.height),
                threshold=BLOOM_THRESHOLD if at == 1 else 0.0,
            )
            quad.render(self.down)
        ctx.enable(ctx.BLEND)
        ctx.blend_func = ctx.ONE, ctx.ONE
        for at in range(len(self._targets) - 1, 1, -1):
            source = self._targets[at].color_attachments[0]
            source.use(0)
            self._targets[at - 1].use()
            give(self.up, texel=(1 / source.width, 1 / source.height), share=BLUR_SHARES[at - 2])
            quad.render(self.up)

    def end(
        self,
        target: Any,
        frame: Frame,
        camera: Camera,
        bloom: float,
        composed: Composed | None,
        strength: float,
        drift: tuple[float, float],
        windy: float,
    ) -> None:
        """Draws the finished scene into the framebuffer `target`.

        `composed` are the ground's textures, which contain light and rain; None means no weather. `strength` is the
        strength of the weather and `windy` that of the wind, from 0 to 1. `drift` is the distance in cells (right,
        down) by which the wind has moved the rain so far. `bloom` is the strength of the bloom; at 0 there is none.
        """
        if bloom > 0:
            self._bloom()
        target.use()
        self.ctx.disable(self.ctx.BLEND)
        self._targets[0].color_attachments[0].use(0)
        (self._targets[1].color_attachments[0] if bloom > 0 else self._dark).use(1)
        shader = self.plain
        if composed is not None and strength > 0:
            shader = self.wind if windy > 0 else self.weather
        give(
            shader,
            half_view=half_view(camera),
            middle=(camera.x, camera.y),
            bloom=bloom * BLOOM_STRENGTH,
            viewport=(float(camera.view[0]), float(camera.view[1])),
            seconds=frame.now_s % CLOCK_WRAP_S,
        )
        if composed is not None and strength > 0:
            composed.textures[2].use(2)
            give(
                shader,
                ground_place=composed.spread.place(camera),
                ground_wraps=composed.spread.wraps,
                strength=strength,
                drift=drift,
                windy=windy,
                pixels=camera.scale,
            )
        self.quad.render(shader)

    def _drop(self) -> None:
        """Deletes the textures and framebuffers of the scene and the bloom."""
        for target in self._targets:
            for texture in target.color_attachments:
                texture.delete()
            target.delete()
        self._targets = []

    def release(self) -> None:
        """Deletes all GPU resources."""
        self._drop()
        self._dark.delete()
