"""A real window on a running world, controlled by real mouse and key events.

All tests share one world and one window, and run in the order of this file.
"""

import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from window_driver import WindowDriver, launched, needs_a_screen, screen

from umwelt.client.connection.api import connect
from umwelt.cluster.process import read_announcement
from umwelt.cluster.run.journal import Journal
from umwelt.cluster.wire.viewer_protocol import LIVE

pytestmark = needs_a_screen
SIZE = (440, 330)
MIDDLE = (SIZE[0] / 2, SIZE[1] / 2)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("window") / "run"
    with launched(folder, "pond", "--nodes", "2", "--set", "width=96", "--set", "height=96"):
        yield folder


@pytest.fixture(scope="module")
def world(run):
    with connect(run) as found:
        found.wait(10, 60)
        found.speed(20)
        yield found


@pytest.fixture(scope="module")
def whole(run, world, tmp_path_factory):
    """The window, shared by all tests of this module."""
    from umwelt.client.window.app import Sight, import_window, open_session

    before = Path.cwd()
    os.chdir(tmp_path_factory.mktemp("kept"))
    with screen():
        session = open_session(run, None, False, Sight(at=(48, 48), zoom=30.0, size=SIZE))
        window = import_window()(session, SIZE, panels=False)
        stand = WindowDriver(window)
        try:
            stand.settled()
            yield stand
        finally:
            window.close()
            session.close()
            os.chdir(before)


@pytest.fixture
def stand(whole):
    """The window in its initial state: no panels, no selection, the look tool, the world at 20 ticks a second."""
    session, window = whole.session, whole.window
    window.dock.visible = False
    window.inhabiting.end()
    window.toolbox.cancel()
    window.toolbox.choose("look")
    session.following = False
    session.select(0)
    session.camera.look(48, 48, 30.0, at_once=True)
    whole.settled()
    return whole


def journalled(run: Path, kind: str) -> list[dict]:
    """Returns the journalled commands of one kind, as JSON objects."""
    import msgspec

    journal = Journal.reading(run / "journal.sqlite")
    try:
        found = [msgspec.json.decode(command.content) for _, command in journal.history.commands()]
    finally:
        journal.close()
    return [command for command in found if command["command"] == kind]


def monster(stand: WindowDriver) -> int:
    """Centres the view on the monster that is nearest to the middle of the world; returns its id."""
    found = []

    def there() -> bool:
        for swarm in stand.session.feed.frame.swarms:
            if not swarm.plant and len(swarm):
                y, x = swarm.y + swarm.corner[0], swarm.x + swarm.corner[1]
                near = np.argmin(np.hypot((y - 48 + 48) % 96 - 48, (x - 48 + 48) % 96 - 48))
                found[:] = [int(swarm.ids[near]), float(y[near]), float(x[near])]
        return bool(found)

    stand.until(there)
    stand.session.camera.look(found[1], found[2], at_once=True)
    stand.settled()
    return found[0]


def placed_on(stand: WindowDriver, being: int) -> tuple[float, float]:
    """Returns the pixel at which a being is drawn; the world must be paused and all motion on screen finished."""
    from umwelt.client.window.feed.feed import place_of

    place = place_of(stand.session.feed.frame, being, stand.session.torus)
    assert place is not None
    return stand.at(place[0], place[1])


@pytest.fixture
def resting(stand, world):
    """The window, with the world paused and all motion on screen finished."""
    tick = world.pause()
    stand.until(lambda: stand.session.tick >= tick and stand.session.feed.complete)
    stand.frames(8)
    yield stand
    world.go()


# --- navigating


@pytest.mark.slow
def test_the_window_shows_a_world_with_bodies(stand):
    stand.until(lambda: any(len(swarm) for swarm in stand.session.feed.frame.swarms))
    pixels = stand.pixels()
    assert pixels.shape == (SIZE[1], SIZE[0], 3)
    assert 15 < pixels.mean() < 200 and len(np.unique(pixels.reshape(-1, 3), axis=0)) > 5000


def test_the_picture_changes_between_ticks(stand):
    before = stand.pixels().astype(int)

    def has_changed() -> bool:
        stand.frames(5)
        return (np.abs(stand.pixels().astype(int) - before).max(axis=2) > 24).mean() > 0.0005

    stand.until(has_changed)


def test_the_world_is_dragged_with_the_mouse(stand):
    camera = stand.session.camera
    y, x = camera.y, camera.x
    stand.drag(MIDDLE, (MIDDLE[0] - 120, MIDDLE[1] + 90))
    assert camera.x - x == pytest.approx(120 / 30, abs=0.2) and camera.y - y == pytest.approx(-90 / 30, abs=0.2)


def test_the_wheel_zooms_at_the_cursor(stand):
    camera = stand.session.camera
    at = (310.0, 90.0)
    stand.move(*at)
    cell = camera.cell(*at)
    stand.wheel(True)
    stand.wheel(True)
    stand.until(lambda: not stand.moving)
    assert camera.scale > 38 and np.hypot(*np.subtract(camera.cell(*at), cell)) < 0.2
    stand.wheel(False)
    stand.wheel(False)
    stand.until(lambda: not stand.moving)
    assert camera.scale == pytest.approx(30, rel=0.01)


@pytest.mark.slow
def test_keys_pan_zoom_and_show_the_whole_world(stand):
    camera = stand.session.camera
    x = camera.x
    stand.hold("Right", 12)
    stand.until(lambda: not stand.moving)
    assert camera.x > x + 2
    stand.hold("plus", 12)
    assert camera.target[2] > 32
    stand.key("Home")
    stand.settled()
    assert camera.scale == camera.min_scale


def test_three_levels_of_detail_are_drawn(stand):
    camera, seen = stand.session.camera, {}
    for name, scale in (("bodies", 30.0), ("dots", 7.0)):
        camera.look(48, 48, scale, at_once=True)
        stand.settled()
        assert name in camera.levels()
        seen[name] = stand.pixels().mean()
    assert stand.session.feed.frame.dots is not None or "dots" not in camera.levels()
    assert all(mean > 8 for mean in seen.values())


def test_layers_have_colours(stand):
    plain = stand.pixels().astype(int)
    stand.key("l")
    assert stand.session.looks.layer
    stand.session.looks.layer = "light"
    stand.settled()
    mapped = stand.pixels().astype(int)
    stand.session.looks.layer = ""
    assert (np.abs(mapped - plain).max(axis=2) > 12).mean() > 0.03


# --- selecting


def test_a_click_selects_a_monster_and_f_follows_it(resting):
    being = monster(resting)
    resting.click(*placed_on(resting, being))
    selected = resting.session.selected
    assert selected is not None and selected.id == being
    resting.until(lambda: selected.being is not None)
    assert selected.being["id"] == being and selected.being["stimuli"] and selected.being["drives"]
    resting.key("f")
    assert resting.session.following
    resting.key("Escape")
    assert resting.session.selected is None


def test_all_panels_open_and_f1_toggles_the_help(stand):
    stand.session.select(monster(stand), "monsters")
    bare = stand.pixels().astype(int)
    stand.key("Tab")
    dock = stand.window.dock
    assert dock.visible
    before = dict(dock.open)
    for panel in dock.open:
        dock.open[panel] = True
    stand.until(lambda: stand.session.selected.gone or stand.session.selected.being is not None)
    stand.frames(10)
    # at night, panels are only slightly darker than the world behind them
    assert (np.abs(stand.pixels().astype(int) - bare).max(axis=2) > 12).mean() > 0.2
    dock.open.clear()
    dock.open.update(before)
    stand.key("F1")
    assert dock.open["Help"]
    stand.key("F1")
    stand.key("Tab")
    assert not dock.visible


# --- changing the world


def touched(stand: WindowDriver, run: Path, kind: str, count: int) -> dict:
    """Runs frames until more than `count` commands of a kind are journalled; returns the newest."""
    stand.until(lambda: len(journalled(run, kind)) > count)
    return journalled(run, kind)[-1]


def test_matter_is_dropped_where_the_mouse_is(resting, run, world):
    toolbox, count = resting.window.toolbox, len(journalled(run, "drop"))
    toolbox.choose("drop")
    before = world.field("water", (45, 50, 1, 1))[0, 0]
    toolbox.settings["drop"] |= {"substance": "water", "count": 777}
    resting.click(*resting.at(45.5, 50.5))
    command = touched(resting, run, "drop", count)
    assert (command["y"], command["x"], command["substance"], command["count"]) == (45, 50, "water", 777)
    world.step(1)
    resting.until(lambda: world.field("water", (45, 50, 1, 1))[0, 0] > before + 300)


@pytest.mark.parametrize(("tool", "kind"), [("rain", "rain"), ("water", "paint"), ("rock", "paint")])
def test_rain_water_and_rock(resting, run, tool, kind):
    count = len(journalled(run, kind))
    resting.window.toolbox.choose(tool)
    resting.click(*resting.at(44.5, 44.5))
    touched(resting, run, kind, count)


@pytest.mark.parametrize(("tool", "table"), [("seed", "plants"), ("monster", "monsters")])
def test_seeds_and_monsters_are_put_into_the_world(resting, run, world, tool, table):
    count = len(journalled(run, "spawn"))
    resting.window.toolbox.choose(tool)
    resting.click(*resting.at(50.5, 44.5))
    command = touched(resting, run, "spawn", count)
    assert command["kind"] == table and (command["y_fixed"] >> 10, command["x_fixed"] >> 10) == (50, 44)


def test_a_being_is_moved_wounded_and_removed(resting, run, world):
    toolbox, being = resting.window.toolbox, monster(resting)
    toolbox.choose("wound")
    count = len(journalled(run, "wound"))
    resting.click(*placed_on(resting, being))
    assert touched(resting, run, "wound", count)["id"] == being
    toolbox.choose("move")
    count = len(journalled(run, "move"))
    to = [(place + 2.5) % 96 for place in (resting.session.camera.y, resting.session.camera.x)]
    resting.drag(placed_on(resting, being), resting.at(*to))
    command = touched(resting, run, "move", count)
    assert command["id"] == being and abs(command["y_fixed"] / 1024 - to[0]) < 1
    world.step(1)
    resting.until(lambda: abs(placed_on(resting, being)[0] - resting.at(*to)[0]) < 60)
    resting.frames(8)
    toolbox.choose("remove")
    count = len(journalled(run, "remove"))
    resting.click(*placed_on(resting, being))
    gone = touched(resting, run, "remove", count)["id"]
    world.step(1)
    resting.until(lambda: world.fetch(gone) is None)


def test_a_person_steers_a_body_and_releases_it(stand, run, world):
    being = monster(stand)
    stand.session.select(being, "monsters")
    stand.key("i")
    assert stand.window.inhabiting.being == being
    count = len(journalled(run, "drive"))
    stand.hold("w", 20)

    def thrusts() -> list[bool]:
        drives = journalled(run, "drive")[count:]
        assert all(command["id"] == being for command in drives)
        return [True for command in drives if command["drives"] and command["drives"][1] > 0]

    stand.until(thrusts)
    stand.key("i")
    assert not stand.window.inhabiting.being
    stand.until(lambda: journalled(run, "drive")[-1].get("drives") is None)
    stand.until(lambda: (world.fetch(being) or {"held": None})["held"] is None)


# --- time


def test_space_pauses_and_resumes_and_the_full_stop_steps(stand):
    session = stand.session
    stand.key("space")
    stand.until(lambda: session.status["paused"])
    tick = session.status["granted"]
    stand.key("period")
    stand.until(lambda: session.status["tick"] == tick + 1)
    stand.key("space")
    stand.until(lambda: not session.status["paused"] and session.status["tick"] > tick + 3)


def test_the_past_is_shown_beside_the_world_that_goes_on(stand):
    session = stand.session
    session.show(12)
    stand.until(lambda: session.shown == 12 and stand.session.feed.complete and session.tick == 12)
    tick = session.status["tick"]
    stand.until(lambda: session.status["tick"] > tick)
    assert session.tick == 12
    stand.key("BackSpace")
    stand.until(lambda: session.shown == LIVE and session.tick > 12)


# --- screenshots and recordings


def test_a_screenshot_and_a_recording_are_saved(stand):
    from PIL import Image

    stand.key("F2")
    pictures = list(Path("pictures").glob("*.png"))
    assert len(pictures) == 1
    with Image.open(pictures[0]) as image:
        assert image.size == SIZE
    stand.key("F3")
    began_s, count = time.monotonic(), 0
    while time.monotonic() < began_s + 1.0 or count < 12:
        stand.frame()
        count += 1
    stand.key("F3")
    stand.until(lambda: list(Path("pictures").glob("[!.]*.gif")))
    with Image.open(next(iter(Path("pictures").glob("[!.]*.gif")))) as image:
        assert image.n_frames >= 3


# --- reconnecting


def test_a_killed_gateway_shows_reconnecting_and_comes_back_by_itself(stand, run):
    session = stand.session
    pid = read_announcement(run / "gateway.json")["pid"]
    os.kill(pid, signal.SIGSTOP)
    stand.until(lambda: session.reconnecting)
    stand.frames(3)
    os.kill(pid, signal.SIGKILL)
    stand.until(lambda: not session.reconnecting)
    tick = session.tick
    stand.until(lambda: session.tick > tick + 2 and session.feed.complete)
