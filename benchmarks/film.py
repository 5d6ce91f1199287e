"""`python -m benchmarks.film window` or `year`: the films and pictures of the documentation, drawn by the window.

    docs/window.gif    a few seconds of the place that has most beings of all kinds, in daylight
    docs/closeup.jpg   a selected monster of that place, with its antennae and the range of its sight
    docs/window.jpg    the same, with panels
    docs/year.gif      a small meadow as a whole for a year, one frame a day: how seasons change the ground

The first three show the world "meadow" in the run that `benchmarks.gallery` made (`make gallery`), continued from the
tick of its picture there. The window is the graphical viewer of Umwelt; here it is hidden, and the world runs in the
same process.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.gallery import PLAN
from benchmarks.viewer import Local
from umwelt.agents.mesa.world import World
from umwelt.agents.world_file import read_world
from umwelt.client.window.app import import_window, prepare_display
from umwelt.client.window.feed.camera import Camera
from umwelt.client.window.recording.recorder import Recorder, screenshot
from umwelt.client.window.session import Session
from umwelt.cluster.run.store import Store
from umwelt.sandbox.laws.weather import LIGHT

ROOT = Path(__file__).resolve().parents[1]
FRAMES_A_TICK = 2
"""How many times the window is drawn in each tick."""
FILM, FILM_ZOOM, FILM_TICKS, FILM_TICKS_A_S = (420, 280), 24, 46, 12.5
"""Of window.gif: width and height in pixels, pixels per cell, number of ticks, and ticks per second."""
PAGE, PAGE_ZOOM, CLOSE_ZOOM = (1280, 800), 36, 76
"""Of the pictures: width and height in pixels, and pixels per cell of window.jpg and of closeup.jpg."""
OPEN = ("World", "Layers", "Populations", "Inspector", "Brain")
"""The panels that are open in window.jpg."""
FORENOON_TICKS = 250
"""Ticks that the world runs first: from midnight in the middle of the world, until before noon."""
PANEL_TICKS, FOLLOWED_TICKS = 50, 6
"""For how many ticks the panels collect their curves and rates, and a being is followed, before the picture."""
YEAR, YEAR_SIDE_CELLS, YEAR_FRAMES_A_S = (384, 384), 128, 2
"""Of year.gif: width and height in pixels, side of the world in cells, and frames per second."""
MORNING_DAYS = 0.1
"""Maximum time until noon, in days, of the place that is filmed."""
AROUND_CELLS = 8
"""Distance from the middle of the film within which the monster to select is chosen, in cells."""


@dataclass
class Place:
    """A cell in the world's coordinates."""

    y: int
    x: int


def liveliest(world: World, size: tuple[int, int], zoom: float) -> Place:
    """Returns the middle of the part of the world with most beings of all kinds, in bright light before noon.

    The parts have the size of a picture of `size` (width, height in pixels) with `zoom` pixels per cell.
    """
    region, climate = world.region, world.world_file.settings.climate
    width, height = (max(1, round(side / zoom)) for side in size)
    columns, rows = region.torus.width // width, region.torus.height // height
    light = region.scratch("environment", "int16", 4)[LIGHT]

    def part_of(cells: np.ndarray) -> np.ndarray:
        down, across = np.divmod(cells, region.torus.width)
        return np.minimum(down // height, rows - 1) * columns + np.minimum(across // width, columns - 1)

    everywhere = part_of(np.arange(light.size))
    lit = np.bincount(everywhere, light.ravel()) / np.bincount(everywhere)
    until_noon = (np.arange(columns) / columns - region.tick / climate.day_ticks) % 1
    score = (lit > 0.8 * lit.max()) * np.tile(until_noon < MORNING_DAYS, rows).astype(float)
    for name, table in region.tables.items():
        owned = np.flatnonzero(region.owned_rows(name))
        parts, kinds = part_of(region.global_cells(name, owned)), table["species"][owned]
        for kind in np.unique(kinds):
            score *= 1 + np.bincount(parts[kinds == kind], minlength=len(score))
    down, across = divmod(int(score.argmax()), columns)
    return Place(down * height + height // 2, across * width + width // 2)


def run_window(window: Any, local: Local, ticks: int) -> Iterator[np.ndarray]:
    """Runs the world and the window for some ticks; yields the last frame of each, `uint8[height, width, 3]`."""
    frame_s = 1 / (FILM_TICKS_A_S * FRAMES_A_TICK)
    for _ in range(ticks):
        local.world.step()
        local.next()
        for _ in range(FRAMES_A_TICK):
            local.clock_s += frame_s
            window.switch_to()
            window.dispatch_events()
            window.on_update(frame_s)
            window.on_draw()
            pixels = window.pixels()
            window.flip()
        yield pixels


def open_window(world: World, size: tuple[int, int]) -> tuple[Any, Local]:
    """Opens a hidden window on a world in this process; returns the window, and the object that gives it the world.

    `size` is width and height in pixels.
    """
    window_type = import_window()
    local = Local(world)
    camera = Camera.over(local.known.height, local.known.width, size)
    return window_type(Session(local, camera, lambda: local.clock_s), size, panels=False, shown=False), local


def close_window(window: Any) -> None:
    """Closes the window and its session."""
    window.close()
    window.session.close()


def last_of(frames: Iterator[np.ndarray]) -> np.ndarray:
    """Returns the last of several frames."""
    *_, frame = frames
    return frame


def window_pictures(world: World, docs: Path) -> None:
    """Draws the film of the place with most beings, and two pictures of its largest monster, which is selected."""
    window, local = open_window(world, PAGE)
    session = window.session
    place = liveliest(world, FILM, FILM_ZOOM)
    session.camera.look(place.y, place.x, FILM_ZOOM, at_once=True)
    last_of(run_window(window, local, 4))
    recorder = Recorder(docs / "window.gif", FILM, FILM_TICKS_A_S)
    right, down = ((page - side) // 2 for page, side in zip(PAGE, FILM, strict=True))
    for frame in run_window(window, local, FILM_TICKS):
        recorder.add(frame[down:, right:])
    recorder.finish(wait=True)
    session.camera.look(place.y, place.x, PAGE_ZOOM, at_once=True)
    window.dock.visible = True
    for panel in window.dock.open:
        window.dock.open[panel] = panel in OPEN
    last_of(run_window(window, local, PANEL_TICKS))
    session.select(largest_near(world.region, place))
    session.following = True
    screenshot(last_of(run_window(window, local, FOLLOWED_TICKS)), docs / "window.jpg")
    window.dock.visible = False
    session.camera.look(session.camera.y, session.camera.x, CLOSE_ZOOM, at_once=True)
    screenshot(last_of(run_window(window, local, 3)), docs / "closeup.jpg")
    close_window(window)


def largest_near(region: Any, place: Place) -> int:
    """Returns the id of the monster with the most organs among those with open eyes near `place`.

    Near means within `AROUND_CELLS` cells; if there is none, returns the id of the nearest one with open eyes.
    """
    monsters, torus = region.tables["monsters"], region.torus
    rows = np.flatnonzero(region.owned_rows("monsters") & (monsters["eyes_shut"] == 0))
    y, x = np.divmod(region.global_cells("monsters", rows), torus.width)
    away = [
        (there - here + side // 2) % side - side // 2
        for there, here, side in ((y, place.y, torus.height), (x, place.x, torus.width))
    ]
    cells = np.hypot(*away)
    near = rows[cells <= max(AROUND_CELLS, cells.min())]
    return int(monsters["id"][near[monsters["organs_built"][near].argmax()]])


def year(path: Path) -> None:
    """Draws a film of a small meadow for a year, one frame a day."""
    file = read_world("meadow")
    share = YEAR_SIDE_CELLS**2 / (file.common.width * file.common.height)
    counts = {f"founders.{at}.count": round(share * founder.count) for at, founder in enumerate(file.settings.founders)}
    world = World.load("meadow", width=YEAR_SIDE_CELLS, height=YEAR_SIDE_CELLS, **counts)
    window, local = open_window(world, YEAR)
    window.session.camera.look(YEAR_SIDE_CELLS / 2, YEAR_SIDE_CELLS / 2, YEAR[0] / YEAR_SIDE_CELLS, at_once=True)
    climate = world.world_file.settings.climate
    recorder = Recorder(path, YEAR, YEAR_FRAMES_A_S)
    for _ in range(climate.year_ticks // climate.day_ticks):
        for _ in range(climate.day_ticks - 1):
            world.step()
        recorder.add(last_of(run_window(window, local, 1)))
    recorder.finish(wait=True)
    close_window(window)


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.film", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=("window", "year"))
    parser.add_argument("--to", type=Path, default=ROOT / "docs")
    given = parser.parse_args(arguments)
    prepare_display(hidden=True)
    if given.what == "year":
        year(given.to / "year.gif")
        return
    world = World.load(Store.open(ROOT / "runs" / "gallery" / "meadow").path(PLAN["meadow"].tick))
    for _ in range(FORENOON_TICKS):
        world.step()
    window_pictures(world, given.to)


if __name__ == "__main__":
    main()
