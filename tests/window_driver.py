"""Opens the graphical window for tests: on an X server of its own, with real mouse and key events, frame by frame."""

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
    """Returns why no window can be opened on this machine, or "" if one can."""
    if sys.platform != "linux":
        return "these tests need Linux: they start Xvfb"
    for name in ("Xvfb", "xdotool"):
        if shutil.which(name) is None:
            return f"{name} is not installed: {NEEDED}"
    for name in ("GL", "EGL", "freetype", "fontconfig"):
        if find_library(name) is None:
            return f"library {name} is not installed: {NEEDED}"
    return ""


needs_a_screen = pytest.mark.skipif(bool(missing()), reason=missing())


@contextmanager
def screen() -> Iterator[str]:
    """Start an X server and set `DISPLAY` to it; yields the display's name."""
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
        part = os.read(read, 16) if ready else b""
        assert part, "Xvfb does not start"
        number += part
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
        server.wait(60)


@contextmanager
def launched(folder: Path, *arguments: str) -> Iterator[subprocess.Popen]:
    """Runs `umwelt launch` without a window in another process; yields the process, and stops it at the end."""
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
            process.wait(180)


class WindowDriver:
    """A window and its session: methods run its frames and send it mouse and key events."""

    def __init__(self, window: Any):
        self.window, self.session = window, window.session
        self._id = str(window._window)  # the id of the X window, for xdotool

    def frame(self) -> None:
        """Run one frame, as Arcade's loop does."""
        window = self.window
        window.switch_to()
        window.dispatch_events()
        window.on_update(1 / 60)
        window.on_draw()
        window.flip()

    def frames(self, count: int) -> None:
        """Run a number of frames."""
        for _ in range(count):
            self.frame()

    def until(self, condition: Callable[[], Any], within_s: float = WITHIN_S) -> None:
        """Run frames until a condition holds."""
        end_s = time.monotonic() + within_s
        while not condition():
            assert time.monotonic() < end_s, f"timed out; notices: {[n.line for n in self.session.notices]}"
            self.frame()

    def settled(self) -> None:
        """Run frames until every tile in view has arrived and the camera no longer moves."""
        self.frame()
        self.until(lambda: self.session.feed.complete and not self.moving)
        self.frames(3)

    @property
    def moving(self) -> bool:
        """Whether the camera moves."""
        camera = self.session.camera
        return (camera.y, camera.x, camera.scale) != camera.target

    def pixels(self) -> np.ndarray:
        """Returns the window's content, `uint8[height, width, 3]`; draws the last frame again."""
        self.window.switch_to()
        self.window.on_draw()
        return self.window.pixels()

    # --- real events

    def do(self, *arguments: str) -> None:
        """Run xdotool, then two frames, so that the window handles the events."""
        subprocess.run(["xdotool", *arguments], check=True, timeout=20)
        time.sleep(0.03)  # for the X server to send the events
        self.frames(2)

    def move(self, x: float, y: float) -> None:
        """Move the mouse to a pixel, counted from the upper left corner."""
        self.do("mousemove", "--window", self._id, str(round(x)), str(round(y)))

    def click(self, x: float, y: float, button: int = 1) -> None:
        """Click at a pixel."""
        self.move(x, y)
        self.do("mousedown", str(button))
        self.do("mouseup", str(button))

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Press the button at `start`, move in steps to `end`, release it."""
        self.move(*start)
        self.do("mousedown", "1")
        for share in (0.25, 0.5, 0.75, 1.0):
            self.move(*(a + (b - a) * share for a, b in zip(start, end, strict=True)))
        self.do("mouseup", "1")

    def wheel(self, up: bool) -> None:
        """Turn the wheel by one notch."""
        self.do("click", "4" if up else "5")

    def key(self, *names: str) -> None:
        """Press and release keys, one after the other."""
        self.do("windowfocus", self._id, "key", *names)

    def hold(self, name: str, frames: int) -> None:
        """Hold a key for a number of frames."""
        self.do("windowfocus", self._id, "keydown", name)
        self.frames(frames)
        self.do("keyup", name)

    def at(self, y: float, x: float) -> tuple[float, float]:
        """Returns the pixel (x, y), from the upper left corner, at which a place in the world is drawn."""
        return self.session.camera.pixel(y, x)
