"""Opening the window, or drawing one frame: what `umwelt view` does. What is missing becomes one line."""

import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from umwelt.client.connection.promises import PromisedConnection
from umwelt.client.window.feed.camera import MAX_SCALE, MIN_SCALE, Camera
from umwelt.client.window.session import NEAR_BYTES_A_S, Session
from umwelt.sandbox.errors import RunError, UmweltError

SIZE = (1280, 800)
MIN_SIDE, MAX_SIDE = 64, 8192
SETTLES_WITHIN_S = 30.0
SETTLED_FRAMES = 12
ANSWER_S = 10.0


@dataclass
class Sight:
    """Where to look first: the cell in the middle (x, y), pixels a cell, the window's size."""

    at: tuple[int, int] | None = None
    zoom: float | None = None
    size: tuple[int, int] = SIZE
    panels: bool | None = None
    """None: shown in a window, not in a screenshot."""


def view(place: str | Path | None, keys: Path | None, demo: bool, picture: Path | None, sight: Sight) -> None:
    """Open the window on a running world, or on the recording; with a picture's path, draw one settled frame of it."""
    check(sight, picture)
    if demo and place is not None:
        raise UmweltError(f"view {place} --demo: give an address, or --demo without one")
    prepare_display(picture is not None)
    window_type = imported()
    session = opened(place, keys, demo, sight)
    try:
        window = _made(window_type, session, sight, picture)
        if picture is None:
            import arcade

            arcade.run()
        else:
            settled(window)
            from umwelt.client.window.recording.recorder import screenshot

            screenshot(window.pixels(), picture)
            window.close()
    finally:
        session.close()


def check(sight: Sight, picture: Path | None) -> None:
    """Refuse what cannot be shown, before anything is opened."""
    width, height = sight.size
    if min(sight.size) < MIN_SIDE or max(sight.size) > MAX_SIDE:
        raise UmweltError(f"--size {width}x{height}: use {MIN_SIDE} to {MAX_SIDE} pixels a side")
    if sight.zoom is not None and not MIN_SCALE <= sight.zoom <= MAX_SCALE:
        raise UmweltError(f"--zoom {sight.zoom:g}: use {MIN_SCALE:g} to {MAX_SCALE:g} pixels a cell")
    if picture is not None:
        from umwelt.client.pictures.picture import SUFFIXES

        if picture.suffix.lower() not in SUFFIXES:
            raise UmweltError(f"--screenshot {picture}: pictures end in {', '.join(SUFFIXES)}: name it so")


def has_display() -> bool:
    """Whether a window could be opened here."""
    return sys.platform in ("win32", "darwin") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def prepare_display(hidden: bool) -> None:
    """A screenshot needs no display; a window does."""
    if hidden and not has_display():
        os.environ.setdefault("ARCADE_HEADLESS", "1")
    if not has_display() and os.environ.get("ARCADE_HEADLESS", "").lower() not in ("1", "true"):
        raise UmweltError(
            "view: no display here: set DISPLAY, or use --screenshot FILE; umwelt launch shows worlds in the terminal"
        )


def imported() -> Any:
    """The window's class; one line for each library that is missing."""
    try:
        import pyglet

        pyglet.options.debug_gl = False  # asking for errors after every call of GL takes as long as the calls
        from umwelt.client.window.window import Window
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] in ("arcade", "pyglet", "imgui_bundle"):
            line = f"view: {error.name} is not installed: pip install 'umwelt[viewer]'"
            raise UmweltError(line) from None
        raise
    except ImportError as error:
        raise UmweltError(_missing(error)) from None
    return Window


def _missing(error: Exception) -> str:
    what = " ".join(str(error).split()) or type(error).__name__
    mend = "install OpenGL's libraries (Debian: apt-get install libgl1 libegl1 libfreetype6 libfontconfig1)"
    return f"view: no window can be opened: {what}: {mend}"


def opened(place: str | Path | None, keys: Path | None, demo: bool, sight: Sight) -> Session:
    """A session on a running world, or on the recording."""
    world: Any
    if demo:
        from umwelt.client.window.recording.demo import Demo

        world = Demo()
    else:
        from umwelt.client.commands.remote import place_of
        from umwelt.client.connection.api import open_link

        core = open_link(place_of(None if place is None else str(place)), keys, NEAR_BYTES_A_S)
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


def _made(window_type: Any, session: Session, sight: Sight, picture: Path | None) -> Any:
    """The window; whatever a display or its driver lacks becomes one line."""
    panels = sight.panels if sight.panels is not None else picture is None
    try:
        return window_type(session, sight.size, panels, shown=picture is None)
    except UmweltError:
        raise
    except Exception as error:
        known = ("NoSuchDisplay", "NoSuchConfig", "ContextException", "GLException", "MissingFunction", "EGL")
        name = type(error).__name__
        if name.startswith(known) or isinstance(error, ImportError | OSError):
            if "Display" in name:
                line = f"view: display {os.environ.get('DISPLAY', '')!s} cannot be opened: see that it runs"
                raise UmweltError(line) from None
            raise UmweltError(_missing(error)) from None
        raise


def settled(window: Any) -> None:
    """Turn the window by hand until all that is to be seen has come and has been drawn a few times."""
    session, end_s, frames = window.session, time.monotonic() + SETTLES_WITHIN_S, 0
    while frames < SETTLED_FRAMES:
        window.switch_to()
        window.dispatch_events()
        window.on_update(1 / 60)
        window.on_draw()
        if session.feed.complete and session.status:
            frames += 1
        elif time.monotonic() > end_s:
            raise RunError("view: nothing came to see: see whether the world still runs: umwelt status")
        if frames < SETTLED_FRAMES:
            window.flip()
            time.sleep(0.005)
