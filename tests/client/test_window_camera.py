"""The camera: moving around the torus, zooming at the mouse, and the rectangle of cells in view."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from umwelt.client.window.feed.camera import BODIES_FROM, DENSITIES_BELOW, FADE, MAX_SCALE, Camera

SIZES = st.integers(32, 3000)
PLACES = st.floats(0, 1)


def camera_at(height, width, view, y, x, zoom) -> Camera:
    camera = Camera.over(height, width, view)
    least = camera.min_scale
    camera.look(y * height, x * width, least * (MAX_SCALE / least) ** zoom, at_once=True)
    return camera


CAMERAS = st.builds(
    camera_at, SIZES, SIZES, st.tuples(st.integers(64, 4000), st.integers(64, 4000)), PLACES, PLACES, PLACES
)


def apart(one: float, other: float, size: float) -> float:
    """Returns the distance of two coordinates on a circle of this size."""
    return abs((one - other + size / 2) % size - size / 2)


@given(CAMERAS, PLACES, PLACES)
def test_a_cell_is_under_the_pixel_where_it_is_drawn(camera, right, down):
    y, x = camera.cell(right * camera.view[0], down * camera.view[1])
    assert 0 <= y <= camera.height and 0 <= x <= camera.width
    again_y, again_x = camera.cell(*camera.pixel(y, x))
    assert (
        apart(y, again_y, camera.height) < 1e-6 * camera.height
        and apart(x, again_x, camera.width) < 1e-6 * camera.width
    )


@given(CAMERAS, PLACES, PLACES, st.floats(0.2, 5))
def test_the_place_under_the_mouse_stays_fixed_while_zooming(camera, right, down, factor):
    at = right * camera.view[0], down * camera.view[1]
    y, x = camera.cell(*at)
    camera.zoom(factor, at)
    for _ in range(400):
        camera.update(1 / 60)
        now_y, now_x = camera.cell(*at)
        tolerance = 1.5 / camera.scale + 1e-6 * max(camera.height, camera.width)
        assert apart(y, now_y, camera.height) < tolerance and apart(x, now_x, camera.width) < tolerance
    assert camera.scale == camera.target[2]


@given(CAMERAS, PLACES, PLACES)
def test_the_rectangle_contains_every_place_in_view(camera, right, down):
    pixel = right * camera.view[0], down * camera.view[1]
    y, x = camera.cell(*pixel)
    rectangle = camera.rectangle()
    assert rectangle.height <= camera.height and rectangle.width <= camera.width
    from_y, from_x = (y - rectangle.y) % camera.height, (x - rectangle.x) % camera.width
    assert from_y <= rectangle.height + 1e-6 and from_x <= rectangle.width + 1e-6
    drawn = [
        (
            camera.view[0] / 2 + (image_x + from_x - camera.x) * camera.scale,
            camera.view[1] / 2 + (image_y + from_y - camera.y) * camera.scale,
        )
        for image_y, image_x in camera.images(rectangle)
    ]
    tolerance = 1e-5 * max(camera.height, camera.width) * camera.scale + 0.01
    assert any(math.dist(pixel, place) < tolerance for place in drawn)


@given(CAMERAS)
def test_levels_switch_without_a_jump(camera):
    before = None
    camera.scale = camera.min_scale
    while camera.scale < 40:
        levels = camera.levels()
        assert levels and max(levels.values()) == pytest.approx(1, abs=0.5)
        if camera.scale >= BODIES_FROM * FADE:
            assert levels == {"bodies": 1.0}
        if camera.scale <= DENSITIES_BELOW:
            assert levels == {"densities": 1.0}
        if before is not None:
            for name in {*levels, *before}:
                # a level of detail over another one fades in; the one below is removed when it is covered
                if name == "bodies" or (name == "dots" and levels.get("bodies", 0) == before.get("bodies", 0) == 0):
                    assert abs(levels.get(name, 0) - before.get(name, 0)) < 0.2
        before = levels
        camera.scale *= 1.01


@given(CAMERAS, st.floats(-5, 5), st.floats(-5, 5))
def test_panning_goes_round_the_world(camera, right, down):
    y, x = camera.y, camera.x
    camera.pan(right * camera.width * camera.scale, down * camera.height * camera.scale)
    assert 0 <= camera.y <= camera.height and 0 <= camera.x <= camera.width
    assert apart(camera.y, y + down * camera.height, camera.height) < 1e-3 * camera.height
    assert apart(camera.x, x + right * camera.width, camera.width) < 1e-3 * camera.width


def test_the_camera_goes_the_short_way_over_the_seam():
    camera = Camera.over(100, 100, (400, 400))
    camera.look(50, 98, 8, at_once=True)
    camera.look(50, 3)
    for _ in range(6):
        camera.update(1 / 60)
    assert camera.x > 98 or camera.x < 3
