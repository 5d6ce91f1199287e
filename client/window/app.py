"""`umwelt view`: opens the window, or draws one frame into a picture file.

Missing packages, libraries or displays are reported as one error line.
"""

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from umwelt.client.connection.promises import PromisedConnection
from umwelt.client.window.feed.camera import MAX_SCALE, MIN_SCALE, Camera
from umwelt.client.window.session import NEAR_BYTES_PER_S, Session
from umwelt.sandbox.errors import RunError, UmweltError

SIZE = (1280, 800)
MIN_SIDE, MAX_SIDE = 64, 8192
"""Bounds of the width and height of the window, in pixels."""
SETTLES_WITHIN_S = 30.0
"""Time limit in seconds for the arrival of the world's data in view before a picture is taken."""
SETTLED_FRAMES = 12
"""The number of frames to draw after all data has arrived, before a picture is taken, so that animations have ended."""
ANSWER_S = 10.0
"""Time limit of connecting and of each request, in seconds."""


@dataclass
class Sight:
    """The initial view of the window. None means the default, which `umwelt view --help` states."""

    at: tuple[int, int] | None = None
    """The cell in the middle of the window (x, y)."""
    zoom: float | None = None
    """Pixels per cell."""
    size: tuple[int, int] = SIZE
    """The window's width and height in pixels."""
    panels: bool | None = None
    """Whether panels are visible. None: visible in a window, hidden in a picture."""


def view(place: str | Path | None, keys: Path | None, demo: bool, picture: Path | None, sight: Sight) -> None:
    """Opens a window on a running world, or on the bundled recording if `demo` is set.

    `place` is the world's address or run folder (None: the only world that runs), `keys` the folder with the user's
    keys, which prove permissions. With `picture`, instead writes one picture to this file, after all data in view has
    arrived. Returns when the window has closed and its recordings are written.
    """
    check(sight, picture)
    if demo and place is not None:
        raise UmweltError(f"view {place} --demo: give an address, or --demo without an address")
    prepare_display(picture is not None)
    window_type = import_window()
    session = open_session(place, keys, demo, sight)
    window = None
    try:
        with _delay_ctrl_c():
            window = _open_window(window_type, session, sight, picture)
        if picture is None:
            import arcade

            arcade.run()
        else:
            settle(window)
            from umwelt.client.window.recording.recorder import screenshot

            screenshot(window.pixels(), picture)
            window.close()
    finally:
        session.close()
        if window is not None:
            window.captures.finish()


def check(sight: Sight, picture: Path | None) -> None:
    """Raises UmweltError if options are out of range; called before anything is opened."""
    width, height = sight.size
    if min(sight.size) < MIN_SIDE or max(sight.size) > MAX_SIDE:
        raise UmweltError(f"--size {width}x{height}: use {MIN_SIDE} to {MAX_SIDE} pixels a side")
    if sight.zoom is not None and not MIN_SCALE <= sight.zoom <= MAX_SCALE:
        raise UmweltError(f"--zoom {sight.zoom:g}: use {MIN_SCALE:g} to {MAX_SCALE:g} pixels per cell")
    if picture is not None:
        from umwelt.client.pictures.picture import SUFFIXES

        if picture.suffix.lower() not in SUFFIXES:
            suffixes = ", ".join(SUFFIXES)
            raise UmweltError(f"--screenshot {picture}: unknown picture format: use a name that ends in {suffixes}")


def has_display() -> bool:
    """Returns whether this machine has a display on which a window can open."""
    return sys.platform in ("win32", "darwin") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def prepare_display(hidden: bool) -> None:
    """Makes Arcade draw without a display if the window is to be `hidden` and there is no display.

    Raises UmweltError if the window is to be visible and there is no display. Must be called before Arcade is imported.
    """
    if hidden and not has_display():
        os.environ.setdefault("ARCADE_HEADLESS", "1")
    if not has_display() and os.environ.get("ARCADE_HEADLESS", "").lower() not in ("1", "true"):
        fix = "set DISPLAY, or use --screenshot FILE; umwelt launch shows worlds in the terminal"
        raise UmweltError(f"view: there is no display: {fix}")


def import_window() -> Any:
    """Imports and returns the class `Window`. Raises UmweltError that names the package or library that is missing."""
    try:
        import pyglet

        pyglet.options.debug_gl = False  # checking for errors after every GL call takes as long as the calls
        from umwelt.client.window.window import Window
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] in ("arcade", "pyglet", "imgui_bundle"):
            line = f"view: {error.name} is not installed: pip install 'umwelt[viewer]'"
            raise UmweltError(line) from None
        raise
    except ImportError as error:
        raise UmweltError(_missing_library(error)) from None
    return Window


def _missing_library(error: Exception) -> str:
    """Returns the error line for a library or driver that could not be loaded."""
    reason = " ".join(str(error).split()) or type(error).__name__
    fix = "install OpenGL's libraries (Debian: apt-get install libgl1 libegl1 libfreetype6 libfontconfig1)"
    return f"view: no window can be opened: {reason}: {fix}"


def open_session(place: str | Path | None, keys: Path | None, demo: bool, sight: Sight) -> Session:
    """Connects to a running world, or opens the bundled recording, and places the camera as `sight` specifies."""
    world: Any
    if demo:
        from umwelt.client.window.recording.demo import Demo

        world = Demo()
    else:
        from umwelt.client.connection.api import open_link
        from umwelt.client.connection.places import place_of

        core = open_link(place_of(None if place is None else str(place)), keys, NEAR_BYTES_PER_S)
        world = PromisedConnection(core, ANSWER_S)
    try:
        known = world.core.known
        camera = Camera.over(known.height, known.width, sight.size)
        if sight.at is not None and not (0 <= sight.at[0] < known.width and 0 <= sight.at[1] < known.height):
            raise UmweltError(
                f"--at {sight.at[0]},{sight.at[1]}: the world is {known.width} x {known.height} cells: "
                f"use 0,0 to {known.width - 1},{known.height - 1}"
            )
        x, y = sight.at if sight.at is not None else (known.width // 2, known.height // 2)
        camera.look(y, x, sight.zoom or camera.whole_scale, at_once=True)
    except UmweltError:
        world.close()
        raise
    return Session(world, camera)


@contextmanager
def _delay_ctrl_c() -> Iterator[None]:
    """Defers Ctrl-C: raises KeyboardInterrupt only after the `with` block has ended.

    Used while a window is created, because Arcade cannot delete a window that is half created.

    Must be used in the main thread.
    """
    interrupts: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: interrupts.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if interrupts:
        raise KeyboardInterrupt


def _open_window(window_type: Any, session: Session, sight: Sight, picture: Path | None) -> Any:
    """Creates the window; raises UmweltError if the display or its driver fails."""
    panels = sight.panels if sight.panels is not None else picture is None
    try:
        return window_type(session, sight.size, panels, shown=picture is None)
    except UmweltError:
        raise
    except Exception as error:
        of_display = ("NoSuchDisplay", "NoSuchConfig", "ContextException", "GLException", "MissingFunction", "EGL")
        name = type(error).__name__
        if name.startswith(of_display) or isinstance(error, ImportError | OSError):
            if "Display" in name:
                display = os.environ.get("DISPLAY", "")
                line = f"view: display {display} cannot be opened: check DISPLAY and that an X server runs there"
                raise UmweltError(line) from None
            raise UmweltError(_missing_library(error)) from None
        raise


def settle(window: Any) -> None:
    """Runs the window until all data in view has arrived and `SETTLED_FRAMES` frames have been drawn from it.

    Raises RunError if the data does not arrive within `SETTLES_WITHIN_S` seconds.
    """
    session, end_s, frames = window.session, time.monotonic() + SETTLES_WITHIN_S, 0
    while frames < SETTLED_FRAMES:
        window.switch_to()
        window.dispatch_events()
        window.on_update(1 / 60)
        window.on_draw()
        if session.feed.complete and session.status:
            frames += 1
        elif time.monotonic() > end_s:
            raise RunError("view: nothing arrived from the world: check that it still runs: umwelt status")
        if frames < SETTLED_FRAMES:
            window.flip()
            time.sleep(0.005)
