"""Screenshots and recordings (GIF or MP4) of the window, saved in the folder `pictures/`."""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from umwelt.client.window.recording.recorder import Recorder, screenshot
from umwelt.client.window.session import Session
from umwelt.sandbox.errors import UmweltError

FRAMES_PER_S = {".gif": 20, ".mp4": 30}
"""The frames per second of a recording, by the suffix of its file."""
EARLY_SHARE = 0.98
"""The share of the time between two frames of a recording after which the next frame is added.

Less than 1, because the window's frames are not evenly spaced.
"""
FOLDER = Path("pictures")
POLL_S = 0.05
"""The time in seconds between two checks whether a file is complete."""


class Captures:
    """The screenshots and recordings of one window. `pixels` returns its framebuffer, `uint8[height, width, 3]`.

    The window calls `add_frame` when it has drawn the world and nothing over it, `update` once a frame, and `finish`
    when it closes.
    """

    def __init__(self, session: Session, pixels: Callable[[], np.ndarray]):
        self.session, self._pixels = session, pixels
        self.recorder: Recorder | None = None
        """The recording in progress, or None."""
        self.writing: list[Recorder] = []
        """Recordings that have ended and whose files are still being written."""
        self._added_s = 0.0

    def take_screenshot(self) -> None:
        """Saves a picture of the window with its panels."""
        try:
            path = _free_path(self.session.known.world, self.session.tick, ".png")
            screenshot(self._pixels(), path)
            self.session.say(f"saved {path}")
        except UmweltError as error:
            self.session.say(str(error), bad=True)

    def toggle_recording(self, suffix: str = ".gif") -> None:
        """Starts recording the world without panels, or ends the recording in progress.

        `suffix` selects the format of a new recording; it is a key of `FRAMES_PER_S`.
        """
        session = self.session
        if self.recorder is not None:
            recorder, self.recorder = self.recorder, None
            recorder.finish()
            self.writing.append(recorder)
            session.say(f"writing {recorder.path} ...")
            return
        try:
            path = _free_path(session.known.world, session.tick, suffix)
            width, height = session.camera.view
            self.recorder = Recorder(path, (width // 2 * 2, height // 2 * 2), FRAMES_PER_S[suffix])
            self._added_s = 0.0
            session.say(f"recording {path}: F3 ends it")
        except UmweltError as error:
            session.say(str(error), bad=True)

    def add_frame(self) -> None:
        """Adds the framebuffer's content to the recording in progress, if its next frame is due."""
        recorder, now_s = self.recorder, self.session.clock()
        if recorder is None or now_s - self._added_s < EARLY_SHARE / recorder.frames_per_s:
            return
        self._added_s = now_s
        try:
            recorder.add(self._pixels())
        except UmweltError as error:
            self.recorder = None
            self.session.say(str(error), bad=True)

    def update(self) -> None:
        """Reports recordings whose files were completed since the previous frame."""
        for recorder in [recorder for recorder in self.writing if recorder.done]:
            self.writing.remove(recorder)
            self.session.say(recorder.error_line or f"saved {recorder.path}", bad=bool(recorder.error_line))

    def finish(self) -> None:
        """Ends the recording in progress and waits until all files are written; Ctrl-C deletes unfinished files."""
        if self.recorder is not None:
            self.toggle_recording()
        try:
            for recorder in self.writing:
                if not recorder.done:
                    print(f"umwelt: writing {recorder.path} ... (Ctrl-C deletes it)", file=sys.stderr)
                while not recorder.done:
                    time.sleep(POLL_S)
                if recorder.error_line:
                    print(f"umwelt: {recorder.error_line}", file=sys.stderr)
        except KeyboardInterrupt:
            for recorder in self.writing:
                recorder.abort()
        self.writing.clear()


def _free_path(world: str, tick: int, suffix: str) -> Path:
    """Returns an unused path `pictures/<world>-<tick><suffix>`, with a number after the tick if necessary.

    Creates the folder if it does not exist. Raises UmweltError if that fails.
    """
    try:
        FOLDER.mkdir(exist_ok=True)
    except OSError as error:
        line = f"{FOLDER}/: cannot be created: {error.strerror}: start umwelt in a folder that you may write to"
        raise UmweltError(line) from None
    path, number = FOLDER / f"{world}-{tick}{suffix}", 1
    while path.exists():
        number += 1
        path = FOLDER / f"{world}-{tick}-{number}{suffix}"
    return path
