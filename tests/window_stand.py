"""A real window on a real world for tests: an X server of their own, true mouse and keys, frames stepped by hand."""

import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ctypes.util import find_library
from pathlib import Path
from typing import Any

import numpy as np
import pytest

SCREEN = "1280x800x24"
WITHIN_S = 60.0
NEEDED = "as root, apt-get install libegl1 libfontconfig1 libfreetype6 libgl1 xauth xdotool xvfb"


def missing() -> str:
    """What keeps a window from being opened here; nothing if one can be."""
    if sys.platform != "linux":
        return "the tests' X server is Linux's"
    for name in ("Xvfb", "xdotool"):
        if shutil.which(name) is None:
            return f"no {name} here: {NEEDED}"
    for name in ("GL", "EGL", "freetype", "fontconfig"):
        if find_library(name) is None:
            return f"no library {name} here: {NEEDED}"
    return ""


needs_a_screen = pytest.mark.skipif(bool(missing()), reason=missing())


@contextmanager
def screen() -> Iterator[str]:
    """An X server of our own; `DISPLAY` is its while it lasts. Gives its name."""
    read, write = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(write), "-screen", "0", SCREEN, "-nolisten", "tcp"],
        pass_fds=[write],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(write)
    number = b""
    while not number.endswith(b"\n"):
        ready, _, _ = select.select([read], [], [], 20)
        more = os.read(read, 16) if ready else b""
        assert more, "Xvfb does not start"
        number += more
    os.close(read)
    before = os.environ.get("DISPLAY")
    os.environ["DISPLAY"] = f":{int(number)}"
    try:
        yield os.environ["DISPLAY"]
    finally:
        if before is None:
            del os.environ["DISPLAY"]
        else:
            os.environ["DISPLAY"] = before
        server.terminate()
        server.wait(10)


@contextmanager
def launched(folder: Path, *arguments: str) -> Iterator[subprocess.Popen]:
    """`umwelt launch` as a process of its own, without a window; stopped at the end."""
    command = [sys.executable, "-m", "umwelt.client.commands.cli", "launch", *arguments, "--run", str(folder)]
    process = subprocess.Popen(
        [*command, "--no-view", "--no-window"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        end_s = time.monotonic() + 180
        while not (folder / "gateway.json").is_file():
            assert process.poll() is None, process.stderr.read().decode()  # type: ignore[union-attr]
            assert time.monotonic() < end_s, "the world does not start"
            time.sleep(0.05)
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            process.wait(60)


class Stand:
    """A window and its session; `until` turns it frame by frame."""

    def __init__(self, window: Any):
        self.window, self.session = window, window.session
        self._id = str(window._window)  # the X window's number, for xdotool

    def frame(self) -> None:
        """One frame, as the window's own loop makes them."""
        window = self.window
        window.switch_to()
        window.dispatch_events()
        window.on_update(1 / 60)
        window.on_draw()
        window.flip()

    def frames(self, count: int) -> None:
        """So many frames."""
        for _ in range(count):
            self.frame()

    def until(self, come: Callable[[], Any], within_s: float = WITHIN_S) -> None:
        """Frames until something has come."""
        end_s = time.monotonic() + within_s
        while not come():
            assert time.monotonic() < end_s, f"it did not come; notices: {[n.line for n in self.session.notices]}"
            self.frame()

    def settled(self) -> None:
        """Frames until all that is wanted has come, and the camera rests."""
        self.frame()
        self.until(lambda: self.session.feed.complete and not self.moving)
        self.frames(3)

    @property
    def moving(self) -> bool:
        """Whether the camera is on its way."""
        camera = self.session.camera
        return (camera.y, camera.x, camera.scale) != camera.target

    def pixels(self) -> np.ndarray:
        """What is seen, `uint8[height, width, 3]`; the last frame's, drawn once more."""
        self.window.switch_to()
        self.window.on_draw()
        return self.window.pixels()

    # --- true events

    def do(self, *arguments: str) -> None:
        """Let xdotool do something, and the window hear of it."""
        subprocess.run(["xdotool", *arguments], check=True, timeout=20)
        time.sleep(0.03)  # the X server tells the window
        self.frames(2)

    def move(self, x: float, y: float) -> None:
        """The mouse to a pixel, counted from the upper left corner."""
        self.do("mousemove", "--window", self._id, str(round(x)), str(round(y)))

    def click(self, x: float, y: float, button: int = 1) -> None:
        """A click at a pixel."""
        self.move(x, y)
        self.do("mousedown", str(button))
        self.do("mouseup", str(button))

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Press, go there in steps, let go."""
        self.move(*start)
        self.do("mousedown", "1")
        for share in (0.25, 0.5, 0.75, 1.0):
            self.move(*(a + (b - a) * share for a, b in zip(start, end, strict=True)))
        self.do("mouseup", "1")

    def wheel(self, up: bool) -> None:
        """One notch."""
        self.do("click", "4" if up else "5")

    def key(self, *names: str) -> None:
        """Keys, one after the other."""
        self.do("windowfocus", self._id, "key", *names)

    def hold(self, name: str, frames: int) -> None:
        """A key held for so many frames."""
        self.do("windowfocus", self._id, "keydown", name)
        self.frames(frames)
        self.do("keyup", name)

    def at(self, y: float, x: float) -> tuple[float, float]:
        """The pixel of a place of the world."""
        return self.session.camera.pixel(y, x)
