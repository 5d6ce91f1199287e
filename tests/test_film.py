"""The film and pictures of the README (`benchmarks/film.py`): the chosen place and monster, and that they are drawn."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from window_driver import needs_a_screen

from benchmarks.film import AROUND_CELLS, FILM, FILM_ZOOM, MORNING_DAYS, Place, largest_near, liveliest
from umwelt.agents.mesa.world import World

ROOT = Path(__file__).parent.parent
FILMED = """
from pathlib import Path
from benchmarks import film
film.PAGE, film.FILM, film.FILM_TICKS, film.PANEL_TICKS = (640, 400), (210, 140), 4, 2
film.prepare_display(hidden=True)
film.window_pictures(film.World.load("pond"), Path({folder!r}))
"""


def test_the_chosen_place_is_before_noon_and_has_beings():
    world = World.load("pond", seed=4)
    for _ in range(3):
        world.step()
    place = liveliest(world, FILM, FILM_ZOOM)
    climate, torus = world.world_file.settings.climate, world.region.torus
    until_noon = (place.x / torus.width - world.region.tick / climate.day_ticks) % 1
    half_a_picture = FILM[0] / FILM_ZOOM / torus.width / 2
    assert until_noon < MORNING_DAYS + half_a_picture
    y, x = np.divmod(world.region.global_cells("plants", np.arange(world.region.tables["plants"].count)), torus.width)
    height, width = FILM[1] / FILM_ZOOM, FILM[0] / FILM_ZOOM
    here = (np.abs(y - place.y) < height / 2) & (np.abs(x - place.x) < width / 2)
    assert here.mean() > height * width / (torus.height * torus.width), "more grows here than elsewhere"


def test_the_shown_monster_is_the_largest_awake_one_near_by():
    world = World.load("pond", seed=4)
    world.step()
    region, monsters = world.region, world.region.tables["monsters"]
    owned = np.flatnonzero(region.owned_rows("monsters"))
    monsters["eyes_shut"][owned[0]] = 0
    cells = np.stack(np.divmod(region.global_cells("monsters", owned), region.torus.width))
    sides = np.array([[region.torus.height], [region.torus.width]])
    away = np.abs((cells - cells[:, :1] + sides // 2) % sides - sides // 2).max(axis=0)
    at = int(np.flatnonzero(monsters["id"][owned] == largest_near(region, Place(*cells[:, 0].tolist())))[0])
    assert away[at] <= AROUND_CELLS and not monsters["eyes_shut"][owned[at]]
    assert monsters["organs_built"][owned[at]] >= monsters["organs_built"][owned[0]]


@needs_a_screen
@pytest.mark.slow
def test_film_and_pictures_are_drawn_by_the_window(tmp_path):
    filming = [sys.executable, "-c", FILMED.format(folder=str(tmp_path))]
    done = subprocess.run(filming, cwd=ROOT, capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr
    with Image.open(tmp_path / "window.gif") as film:
        assert film.size == (210, 140) and film.n_frames > 1
    for name in ("window", "closeup"):
        with Image.open(tmp_path / f"{name}.jpg") as picture:
            assert picture.size == (640, 400)
            assert len(set(picture.convert("L").resize((30, 20)).tobytes())) > 20, "there is something to see"
