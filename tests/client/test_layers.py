"""Drawing layers as colour maps, and beings from far away: the computations, without a window."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from umwelt.client.window.draw.far import KINDS, by_kind, find_runs, grid_of
from umwelt.client.window.draw.ground import Spread, grains
from umwelt.client.window.draw.layers import MAPS, colours_of, legend, mixed, span_of, ticks_between
from umwelt.client.window.feed.camera import Camera
from umwelt.client.window.feed.frame import Plane
from umwelt.sandbox.region import Rectangle

KNOWN = SimpleNamespace(units={"mineral": "count", "light": "1/1024", "temperature": "1/100 degree Celsius"})


def plane(values: np.ndarray) -> Plane:
    values = np.asarray(values, np.int32)
    return Plane(Rectangle(0, 0, *values.shape), 1, values)


def test_temperature_is_in_degrees_and_light_in_percent() -> None:
    shown = legend("temperature", KNOWN, plane(np.linspace(-1000, 3000, 400).reshape(20, 20)))
    assert shown.unit == "°C"
    assert -11 < shown.low < -8 and 28 < shown.high < 31
    assert 0 in shown.ticks
    shown = legend("light", KNOWN, plane(np.full((8, 8), 1024)))
    assert (shown.unit, shown.low, shown.high) == ("%", 0, 100)
    assert legend("mineral", KNOWN, plane(np.arange(64).reshape(8, 8))).unit == "count"


def test_temperature_changes_colour_at_zero_degrees_whatever_the_range() -> None:
    for low, high in ((-2000, 500), (-300, 3000), (-1500, 1500)):
        colours = colours_of("temperature", low, high)
        degrees = np.linspace(low, high, len(colours)) / 100
        assert (colours[degrees < -3, 2] > colours[degrees < -3, 0]).all()  # blue
        assert (colours[degrees > 3, 0] > colours[degrees > 3, 2]).all()  # red


def test_a_few_extreme_cells_do_not_change_the_range() -> None:
    values = np.arange(10_000).reshape(100, 100) % 100
    calm = span_of("mineral", plane(values))
    values[3, :5] = 1_000_000
    assert span_of("mineral", plane(values)) == pytest.approx(calm, abs=2)


def test_values_on_a_few_cells_have_a_range() -> None:
    values = np.zeros((50, 50), np.int32)
    values[7, 7] = 40
    assert span_of("alarm", plane(values)) == (0, 40)


@pytest.mark.parametrize("values", [[[0, 0]], [[-300, 900]], [[-900, 0]], [[5, 900]]])
def test_prices_change_colour_at_zero_whatever_the_range(values) -> None:
    low, high = span_of("price", plane(np.array(values)))
    assert low == -high < 0
    colours = colours_of("price", low, high)
    assert colours[128].max() < 0.15 and colours[200, 0] > colours[200, 2] and colours[60, 2] > colours[60, 0]


@given(st.integers(-(2**31), 2**31 - 1), st.integers(-(2**31), 2**31 - 1))
def test_no_range_is_empty(one: int, other: int) -> None:
    for name in ("mineral", "light", "temperature"):
        low, high = span_of(name, plane(np.array([[one, other]])))
        assert high > low
    shown = legend("mineral", KNOWN, plane(np.array([[one, other]])))
    assert shown.colours.shape == (256, 3) and np.isfinite(shown.colours).all()


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))
def test_ticks_are_round_and_few(low: float, wide: float) -> None:
    ticks = ticks_between(low, low + wide)
    assert len(ticks) <= 8
    assert all(low - 1e-6 * abs(low) - 1e-6 <= tick <= (low + wide) + 1e-6 * abs(low + wide) + 1e-6 for tick in ticks)


@pytest.mark.parametrize("name", sorted(set(MAPS) - {"warmth"}))
def test_the_lightness_of_colour_maps_increases(name: str) -> None:
    light = mixed(MAPS[name], np.linspace(0, 1, 64)) @ np.array([0.2126, 0.7152, 0.0722])
    assert (np.diff(light) > -0.004).all()
    assert light[-1] > light[0] + 0.5


def test_a_plane_over_the_seam_lies_next_to_the_camera() -> None:
    camera = Camera(100, 200, (100, 100))
    camera.look(5, 3, 10, at_once=True)
    spread = Spread.of(plane_at(90, 190, 20, 30), 20, 30, 1, 100, 200)
    assert spread.origin(camera) == pytest.approx((-13, -15))
    assert spread.repeats == (False, False)


def test_planes_around_the_whole_world_repeat() -> None:
    spread = Spread.of(plane_at(0, 0, 100, 200), 13, 25, 8, 100, 200)
    assert spread.repeats == (True, True)
    assert spread.wraps == (0, 1)  # 13 x 8 rows are more than 100


def plane_at(y: int, x: int, height: int, width: int) -> Plane:
    return Plane(Rectangle(y, x, height, width), 1, np.zeros((height, width), np.int32))


def test_a_plane_within_another_keeps_its_place_in_the_world() -> None:
    inner = Spread.of(plane_at(12, 30, 10, 10), 10, 10, 1, 100, 200)
    outer = Spread.of(plane_at(95, 190, 60, 90), 60, 90, 1, 100, 200)
    assert inner.within(outer, 100, 200) == pytest.approx((40, 17, 0.1, 0.1))
    assert outer.within(outer, 100, 200)[:2] == (0, 0)


def test_runs_of_equal_tables_are_found_for_drawing_dots() -> None:
    assert find_runs(np.array([1, 1, 0, 0, 0, 2], np.uint8)) == [(1, 0, 2), (0, 2, 3), (2, 5, 1)]
    assert find_runs(np.zeros(0, np.uint8)) == []


def test_noise_repeats_and_has_its_mean_in_the_middle() -> None:
    noise = grains().astype(int)
    assert np.abs(noise.mean(axis=(0, 1)) - 127.5).max() < 3
    steps = np.abs(np.diff(noise[:, :, 0], axis=1)).max()
    assert np.abs(noise[:, 0, 0] - noise[:, -1, 0]).max() <= steps + 1


def test_densities_count_every_kind() -> None:
    counts = {("plants", at): np.full((2, 3), at, np.int32) for at in range(7)}
    values, kinds = by_kind(counts, (2, 3))
    assert values.shape == (2, 3, KINDS) and len(kinds) == KINDS
    assert kinds[0] == ("plants", 6)
    assert values.sum() * 64 == pytest.approx(6 * 21)
    for scale in (0.25, 0.5, 1.0, 1.7):
        cells, blend = grid_of(scale)
        assert 0 <= blend < 1
        assert cells * scale <= 1.7 < 2 * cells * scale * 1.0001
