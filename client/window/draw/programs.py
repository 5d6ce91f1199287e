"""Shader programs from the files in `shaders/`, and the uniforms that all of them share."""

from functools import cache
from importlib import resources
from typing import Any

from umwelt.client.window.feed.camera import Camera
from umwelt.client.window.feed.frame import Frame

INCLUDE = "#include "


@cache
def source(name: str) -> str:
    """The text of a shader file; lines `#include "other.glsl"` are replaced by that file."""
    text = resources.files("umwelt.client.window.draw").joinpath("shaders", name).read_text("utf-8")
    lines = []
    for line in text.splitlines():
        lines.append(source(line.removeprefix(INCLUDE).strip().strip('"')) if line.startswith(INCLUDE) else line)
    return "\n".join(lines)


def program(ctx: Any, vertex: str, fragment: str) -> Any:
    """An `arcade.gl.Program` from two shader files."""
    return ctx.program(vertex_shader=source(vertex), fragment_shader=source(fragment))


def give(program: Any, **values: Any) -> None:
    """Set uniforms; those that the compiler has found useless are passed over."""
    for name, value in values.items():
        try:
            program[name] = value
        except KeyError:
            continue


def lay_over(ctx: Any) -> None:
    """What is drawn next is laid over what is there; its colours are multiplied with its alpha already."""
    ctx.enable(ctx.BLEND)
    ctx.blend_func = ctx.ONE, ctx.ONE_MINUS_SRC_ALPHA


def place(program: Any, camera: Camera, frame: Frame, image: tuple[int, int]) -> None:
    """Tell a program where it draws: `image` is one of `camera.images(frame.rectangle)`.

    `corner` is the way in cells (right, down) from the middle of the window to the corner of `frame.rectangle`;
    `scale` pixels a cell, `viewport` in pixels, `now_s` and `glide_s` as in the frame. See `shaders/common.glsl`.
    """
    give(
        program,
        corner=(image[1] - camera.x, image[0] - camera.y),
        scale=camera.scale,
        viewport=(float(camera.view[0]), float(camera.view[1])),
        now_s=frame.now_s % 3600.0,
        glide_s=frame.glide_s,
    )
