"""Starts the window of `umwelt launch` as a process, so that a crash of the window does not stop the world."""

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
"""Seconds that the process has to end by itself before it is killed."""
REQUIRED_PACKAGES = ("arcade", "imgui_bundle")
"""Packages without which no window can be opened."""


class WindowProcess:
    """The process of a window on the run in `folder`; it is started once the run's gateway accepts connections.

    The gateway is the process of the run that answers clients, such as the window. `keys` is the folder with the keys
    that the world requires, "" for none. `line` is the reason why the window ended with an error, empty if it did not.
    """

    def __init__(self, folder: Path, keys: str):
        self._folder, self._keys = folder, keys
        self._process: subprocess.Popen[bytes] | None = None
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (closed by `close`)
        self.line = ""

    def poll(self) -> None:
        """Starts the process once the gateway is announced, and sets `line` if it ended with an error.

        The owner calls this regularly.
        """
        if self._process is None and not self.line and read_announcement(self._folder / GATEWAY_FILE) is not None:
            command = [sys.executable, "-m", "umwelt.client.commands.cli", "view", str(self._folder)]
            command += ["--keys", self._keys] if self._keys else []
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._errors,
                start_new_session=True,  # Ctrl-C in the terminal must not reach the window
            )
        elif self._process is not None and not self.line and self._process.poll() not in (None, 0):
            self._errors.seek(0)
            lines = self._errors.read().decode("utf-8", "replace").strip().splitlines()
            self.line = lines[-1] if lines else f"the window ended with code {self._process.returncode}"

    def close(self) -> None:
        """Terminates the window's process if it still runs; kills it after `CLOSE_S` seconds."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(CLOSE_S)
            if self._process.poll() is None:
                self._process.kill()
                self._process.wait()
        self._errors.close()


def _missing_packages() -> list[str]:
    """Returns those of `REQUIRED_PACKAGES` that are not installed."""
    return [name for name in REQUIRED_PACKAGES if find_spec(name) is None]


def check_window(wanted: bool | None) -> None:
    """Checks the option --window before a world is made; `wanted` is its value, None if it is not given.

    Raises UmweltError if `wanted` is true, but packages or a display are missing.
    """
    if wanted and (missing := _missing_packages()):
        raise UmweltError(f"--window: {missing[0]} is not installed: pip install 'umwelt[viewer]'")
    if wanted and not has_display():
        raise UmweltError("--window: no display here: set DISPLAY, or use --no-window")


@contextmanager
def open_window(wanted: bool | None, folder: Path, keys: str, is_interactive: bool) -> Iterator[WindowProcess | None]:
    """Yields a `WindowProcess` for the run in `folder`, or None without a window; closes it at the end of the context.

    With `wanted` None, there is a window if `is_interactive` and both a display and the required packages are present.
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
