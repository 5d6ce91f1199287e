"""Shader programs, compiled from the files in `shaders/`, and setting their uniforms (parameters).

`ctx` is the `arcade.gl.Context` of the window.
"""

from functools import cache
from importlib import resources
from typing import Any

from umwelt.client.window.feed.camera import Camera
from umwelt.client.window.feed.frame import Frame

INCLUDE = "#include "
CLOCK_WRAP_S = 3600.0
"""Times are given to shaders modulo this number of seconds, because a large float32 would lose precision."""


@cache
def source(name: str) -> str:
    """Returns the text of a shader file; each line `#include "other.glsl"` is replaced by that file."""
    text = resources.files("umwelt.client.window.draw").joinpath("shaders", name).read_text("utf-8")
    lines = []
    for line in text.splitlines():
        lines.append(source(line.removeprefix(INCLUDE).strip().strip('"')) if line.startswith(INCLUDE) else line)
    return "\n".join(lines)


def program(ctx: Any, vertex: str, fragment: str) -> Any:
    """Compiles the shader files named `vertex` and `fragment` into an `arcade.gl.Program`, which is returned."""
    return ctx.program(vertex_shader=source(vertex), fragment_shader=source(fragment))


def give(program: Any, **values: Any) -> None:
    """Sets uniforms by name; ignores those that the compiler removed because the shader does not use them."""
    for name, value in values.items():
        try:
            program[name] = value
        except KeyError:
            continue


def lay_over(ctx: Any) -> None:
    """Makes the following draw calls blend over the existing content; their colours are premultiplied by alpha."""
    ctx.enable(ctx.BLEND)
    ctx.blend_func = ctx.ONE, ctx.ONE_MINUS_SRC_ALPHA


def place(program: Any, camera: Camera, frame: Frame, image: tuple[int, int]) -> None:
    """Sets the uniforms that place the frame's beings in the window, for one of the copies of the torus in view.

    `image` is the corner (y, x) of the copy of `frame.rectangle`, an element of `camera.images(frame.rectangle)`. The
    uniform `corner` is the offset (right, down) in cells from the middle of the window to that corner, `scale` is in
    pixels per cell, `viewport` in pixels; `now_s` and `glide_s` are the frame's. See `shaders/common.glsl`.
    """
    give(
        program,
        corner=(image[1] - camera.x, image[0] - camera.y),
        scale=camera.scale,
        viewport=(float(camera.view[0]), float(camera.view[1])),
        now_s=frame.now_s % CLOCK_WRAP_S,
        glide_s=frame.glide_s,
    )
