"""The window that `umwelt launch` opens beside the terminal: another process, so that the world outlives it."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

from umwelt.client.window.app import has_display
from umwelt.cluster import GATEWAY_FILE, read_announcement
from umwelt.sandbox.errors import UmweltError

CLOSE_S = 3.0
REQUIRED_PACKAGES = ("arcade", "imgui_bundle")


class WindowProcess:
    """Starts the window as soon as the run's gateway is there. `line` says why there is no window, or no more."""

    def __init__(self, folder: Path, keys: str):
        self._folder, self._keys = folder, keys
        self._process: subprocess.Popen[bytes] | None = None
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (open as long as the window is)
        self.line = ""

    def turn(self) -> None:
        """Starts the process when it can be started, and notes how it ended. Called regularly."""
        if self._process is None and not self.line and read_announcement(self._folder / GATEWAY_FILE) is not None:
            command = [sys.executable, "-m", "umwelt.client.commands.cli", "view", str(self._folder)]
            command += ["--keys", self._keys] if self._keys else []
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._errors,
                start_new_session=True,  # Ctrl-C in the terminal is meant for the world
            )
        elif self._process is not None and not self.line and self._process.poll() not in (None, 0):
            self._errors.seek(0)
            lines = self._errors.read().decode("utf-8", "replace").strip().splitlines()
            self.line = lines[-1] if lines else f"the window ended with code {self._process.returncode}"

    def close(self) -> None:
        """Closes the window: the world has stopped."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(CLOSE_S)
            if self._process.poll() is None:
                self._process.kill()
                self._process.wait()
        self._errors.close()


def _missing_packages() -> list[str]:
    return [name for name in REQUIRED_PACKAGES if find_spec(name) is None]


def check_window(wanted: bool | None) -> None:
    """Raises UmweltError if a window is wanted and none can be opened; called before a world is made."""
    if wanted and (missing := _missing_packages()):
        raise UmweltError(f"--window: {missing[0]} is not installed: pip install 'umwelt[viewer]'")
    if wanted and not has_display():
        raise UmweltError("--window: no display here: set DISPLAY, or use --no-window")


@contextmanager
def open_window(wanted: bool | None, folder: Path, keys: str, is_interactive: bool) -> Iterator[WindowProcess | None]:
    """Opens a window on a run for the time of the context.

    `wanted` None opens one where a person works at a terminal and there is a display.
    """
    check_window(wanted)
    if wanted is None:
        wanted = is_interactive and has_display() and not _missing_packages()
    if not wanted:
        yield None
        return
    window = WindowProcess(folder, keys)
    try:
        yield window
    finally:
        window.close()
