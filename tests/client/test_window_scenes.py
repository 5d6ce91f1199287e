"""Fixed scenes, drawn by the window and compared with the pictures in `scenes/`.

Every run draws the same time of the bundled recording, with a clock that the test sets. After an intended change of
the drawing, run UMWELT_NEW_SCENES=1 pytest tests/client/test_window_scenes.py and look at the pictures.
"""

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from window_driver import needs_a_screen, screen

pytestmark = needs_a_screen
FOLDER = Path(__file__).with_name("scenes")
SIZE = (320, 240)
MOMENT_S, FRAMES, FRAME_S = 20.0, 16, 1 / 20
AT = (17, 17)
"""The cell (row, column) in the middle of the scenes, near monsters and plants."""
KEPT_STEPS = 4
"""Colours are rounded to multiples of this in saved pictures, which halves the size of the files."""
TOLERANCE, MAX_SHARE = 24, 0.02
"""A picture agrees if at most `MAX_SHARE` of its pixels differ by more than `TOLERANCE` (of 255) in any channel."""
WITHIN_S = 300.0


@dataclass(frozen=True)
class Scene:
    """What a scene shows; `scale` is in pixels per cell, or None for the whole world."""

    scale: float | None
    layer: str = ""
    broken: str = ""
    """The part that is not drawn, to show that the comparison detects it; "" for none."""


SCENES = {"whole": Scene(None), "middle": Scene(14.0), "near": Scene(60.0), "water": Scene(14.0, "water")}
BROKEN = {
    "no plants": ("middle", Scene(14.0, broken="plants")),
    "no monsters": ("near", Scene(60.0, broken="monsters")),
    "no dots": ("whole", Scene(None, broken="dots")),
    "another palette": ("water", Scene(14.0, "water", "palette")),
}


class Clock:
    """A clock that the test sets."""

    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def draw(scenes: dict[str, Scene]) -> dict[str, np.ndarray]:
    """Draws the scenes in this process; returns their pictures, `uint8[height, width, 3]`, by name."""
    from umwelt.client.window.app import import_window
    from umwelt.client.window.feed.camera import Camera
    from umwelt.client.window.recording.demo import Demo
    from umwelt.client.window.session import Session

    drawn, window_type = {}, import_window()
    from umwelt.client.window.draw import layers  # imported after the options of pyglet are set

    for name, scene in scenes.items():
        played, clock = Clock(), Clock()
        demo = Demo(clock=played)
        played.now_s += MOMENT_S
        camera = Camera.over(demo.core.known.height, demo.core.known.width, SIZE)
        camera.look(*AT, scene.scale or camera.whole_scale, at_once=True)
        session = Session(demo, camera, clock)
        session.looks.layer = scene.layer
        window = window_type(session, SIZE, panels=False)
        if scene.broken == "palette":
            layers.OWN_MAPS["water"] = "ember"
        elif scene.broken:
            getattr(window.stage, scene.broken).draw = lambda *_: None
        for _ in range(FRAMES):
            clock.now_s += FRAME_S
            window.switch_to()
            window.dispatch_events()
            window.on_update(FRAME_S)
            window.on_draw()
            drawn[name] = window.pixels()
            window.flip()
        assert session.feed.complete and session.status, name
        layers.OWN_MAPS["water"] = "water"
        window.close()
        session.close()
    return drawn


@pytest.fixture(scope="module")
def drawn():
    """The pictures of all scenes, drawn in another process, because a process can use only one display."""
    everything = SCENES | {"middle again": SCENES["middle"]} | {name: scene for name, (_, scene) in BROKEN.items()}
    with screen(), ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as aside:
        return aside.submit(draw, everything).result(WITHIN_S)


def differing(one: np.ndarray, other: np.ndarray) -> float:
    """Returns the share of pixels that differ by more than `TOLERANCE`."""
    return float((np.abs(one.astype(int) - other.astype(int)).max(axis=2) > TOLERANCE).mean())


def kept(name: str) -> np.ndarray:
    with Image.open(FOLDER / f"{name}.png") as image:
        return np.asarray(image.convert("RGB"))


@pytest.mark.parametrize("name", SCENES)
@pytest.mark.slow
def test_a_scene_looks_as_saved(drawn, name, tmp_path):
    if os.environ.get("UMWELT_NEW_SCENES") == "1":
        FOLDER.mkdir(exist_ok=True)
        steps = drawn[name] // KEPT_STEPS * KEPT_STEPS + KEPT_STEPS // 2
        Image.fromarray(steps).save(FOLDER / f"{name}.png", optimize=True)
    share = differing(drawn[name], kept(name))
    if share > MAX_SHARE:
        Image.fromarray(drawn[name]).save(tmp_path / f"{name}.png")
    assert share <= MAX_SHARE, f"{share:.1%} of {name} differ: see {tmp_path / f'{name}.png'}"


def test_a_scene_drawn_twice_is_the_same(drawn):
    assert differing(drawn["middle"], drawn["middle again"]) < 0.001


@pytest.mark.parametrize("what", BROKEN)
def test_a_missing_part_is_noticed(drawn, what):
    name, _ = BROKEN[what]
    assert differing(drawn[what], kept(name)) > MAX_SHARE


def test_a_layer_covers_the_ground(drawn):
    assert differing(drawn["middle"], kept("water")) > MAX_SHARE
