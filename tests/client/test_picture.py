"""Pictures: water, plants and monsters are drawn at their places at every scale; drawing is deterministic."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_runs import small_run, small_world

from umwelt.agents.open_world import begin
from umwelt.agents.world_file import read_world
from umwelt.client.commands.cli import main
from umwelt.client.connection.api import View
from umwelt.client.pictures import minimap, picture
from umwelt.client.pictures.scene import hsv, make_scene
from umwelt.sandbox.region import Rectangle
from umwelt.sandbox.step import advance


@pytest.fixture(scope="module")
def region():
    world = small_world()
    made = begin(world)
    advance(made, world.laws, 10)
    return made


def test_the_command_writes_a_picture_of_the_size_asked_for(tmp_path):
    small_run(tmp_path / "small-1", 12)
    out = tmp_path / "out.png"
    for more in ([], ["--tick", "9"], ["--zoom", "40", "--at", "3,4"]):
        with pytest.raises(SystemExit) as ended:
            main(["picture", str(tmp_path / "small-1"), str(out), "--size", "200x120", *more])
        assert not ended.value.code
        assert Image.open(out).size == (200, 120)


def test_a_tick_that_was_not_reached_is_refused(tmp_path, capsys):
    small_run(tmp_path / "small-1")
    with pytest.raises(SystemExit):
        main(["picture", str(tmp_path / "small-1"), str(tmp_path / "out.png"), "--tick", "99"])
    assert "has reached tick 0" in capsys.readouterr().err
    assert not Path(tmp_path / "out.png").exists()


@pytest.mark.parametrize("zoom", [0.5, 2.5, 8.0, 30.0, 90.0])
def test_pictures_are_the_same_each_time_and_never_empty(region, zoom):
    first, second = (picture.draw_region(region, 160, 90, (20, 20), zoom) for _ in range(2))
    assert first.dtype == np.uint8 and first.shape == (90, 160, 3)
    assert np.array_equal(first, second)
    assert first.std() > 4


def test_leaves_and_bodies_show_where_beings_are(region):
    world = small_world(founders=[])
    bare = begin(world)
    advance(bare, world.laws, 10)
    zoom = 16.0
    drawn, ground = (picture.draw_region(one, 48 * 16, 40 * 16, None, zoom).astype(int) for one in (region, bare))
    changed = np.abs(drawn - ground).max(axis=2) > 40
    for beings in make_scene(region).beings:
        y, x = (beings.y * zoom).astype(int) % (40 * 16), (beings.x * zoom).astype(int) % (48 * 16)
        grown = beings.size > 0.5
        assert changed[y[grown], x[grown]].mean() > 0.9
    assert changed.mean() < 0.8


def test_prices_above_one_are_red_and_below_one_green():
    world = read_world("market", {"width": 32, "height": 32, "land.repeat": 1, "traders.count": 2})
    made = begin(world)
    assert not make_scene(made).cover.any() and not make_scene(made).scents.any()
    made.owned_view("price")[:16] = 700
    made.owned_view("price")[16:] = -300
    scene = make_scene(made)
    assert (scene.scents[:, 3, 3].tolist(), scene.scents[:, 20, 3].tolist()) == ([0, 0, 1], [1, 0, 0])
    red, green, _ = picture.draw_region(made, 320, 320, (16, 16), 10.0).astype(int).transpose(2, 0, 1)
    assert (red - green)[40:120, 60:260].mean() > 10 and (green - red)[200:280, 60:260].mean() > 5


def test_the_torus_has_no_seam_in_a_picture(region):
    here, there = (picture._draw_ground(make_scene(region), 96, 80, 2.0, top, left) for top, left in ((0, 0), (40, 48)))
    assert np.allclose(here, there, atol=1e-3)


def test_beings_on_the_seam_are_drawn_on_both_sides(region):
    middle, image = (picture.draw_region(region, 96, 80, at, 10.0).astype(int) for at in ((0, 0), (48, 40)))
    assert np.abs(middle - image).max() <= 1  # equal except for the rounding of floats


RED, GREEN = np.array([1, 0, 0], np.float32), np.array([0, 1, 0], np.float32)


def minimap_of(view: View, monkeypatch) -> minimap.Minimap:
    """Returns the minimap of a view of the small world, without a gateway."""
    monkeypatch.setattr(minimap.Minimap, "_watch", lambda self: None)
    found = minimap.Minimap(small_world(), Path("run"), "", {"plants/grass": GREEN, "monsters/hunter": RED})
    found._species, found._view = ["grass", "hunter"], view
    return found


@pytest.mark.parametrize("level", ["dots", "densities"])
def test_the_small_map_shows_water_plants_and_monsters_where_they_are(monkeypatch, level):
    whole = Rectangle(0, 0, 40, 48)
    water = np.zeros((40, 48), np.int32)
    water[:, :8] = 2000
    view = View(3, 3, whole, level, fields={"water": water, "elevation": np.zeros((40, 48), np.int32)})
    if level == "dots":
        there = {"y": np.array([35.5] * 600), "x": np.array([44.5] * 600)}
        view.beings = {
            "plants": {**there, "species": np.zeros(600, np.uint8)},
            "monsters": {"y": there["y"][:60] * 0 + 2.5, "x": there["x"][:60], "species": np.ones(60, np.uint8)},
        }
    else:
        grass, hunters = np.zeros((5, 6), np.int32), np.zeros((5, 6), np.int32)
        grass[4, 5], hunters[0, 5] = 600, 60
        view.counts = {"plants": {0: grass}, "monsters": {1: hunters}}
    pixels = minimap_of(view, monkeypatch).pixels(5, 6).astype(int)
    assert pixels[4, 5].argmax() == 1 and pixels[0, 5].argmax() == 0 and pixels[2, 0].argmax() == 2
    assert pixels[4, 5].max() > 2 * pixels[2, 3].max() < pixels[0, 5].max()
    for shape in ((1, 1), (30, 40), (97, 13), (400, 300)):
        assert minimap_of(view, monkeypatch).pixels(*shape).shape == (*shape, 3)


def test_colours_from_hue():
    assert np.allclose(hsv(np.array([0, 1 / 3, 2 / 3]), 1.0, 1.0), np.eye(3), atol=1e-5)
    assert np.allclose(hsv(np.array([0.2]), 0.0, 0.5), 0.5)
