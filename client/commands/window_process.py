"""The window that `umwelt launch` opens beside the terminal, as a process of its own: closed, the world goes on."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

from umwelt.client.window.app import has_display
from umwelt.cluster.process import read_announcement
from umwelt.cluster.settings import GATEWAY_FILE
from umwelt.sandbox.errors import UmweltError

ENDS_WITHIN_S = 3.0
NEEDED = ("arcade", "imgui_bundle")


class Beside:
    """The window's process, begun as soon as the world can be watched; `line` says why there is none (any more)."""

    def __init__(self, folder: Path, keys: str):
        self._folder, self._keys = folder, keys
        self._process: subprocess.Popen | None = None
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 (as long as the window is open)
        self.line = ""

    def turn(self) -> None:
        """Begin it when the gateway is there; see how it ended."""
        if self._process is None and not self.line and read_announcement(self._folder / GATEWAY_FILE) is not None:
            command = [sys.executable, "-m", "umwelt.client.commands.cli", "view", str(self._folder)]
            command += ["--keys", self._keys] if self._keys else []
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._said,
                start_new_session=True,  # Ctrl-C in the terminal is for the world
            )
        elif self._process is not None and not self.line and self._process.poll() not in (None, 0):
            self._said.seek(0)
            lines = self._said.read().decode("utf-8", "replace").strip().splitlines()
            self.line = lines[-1] if lines else f"the window ended with code {self._process.returncode}"

    def close(self) -> None:
        """The world rests: there is nothing to see."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(ENDS_WITHIN_S)
            if self._process.poll() is None:
                self._process.kill()
                self._process.wait()
        self._said.close()


def _missing() -> list[str]:
    return [name for name in NEEDED if find_spec(name) is None]


def refuse(wished: bool | None) -> None:
    """Where a window is wished and none can be opened, say so before a world is made."""
    if wished and (missing := _missing()):
        raise UmweltError(f"--window: {missing[0]} is not installed: pip install 'umwelt[viewer]'")
    if wished and not has_display():
        raise UmweltError("--window: no display here: set DISPLAY, or use --no-window")


@contextmanager
def beside(wished: bool | None, folder: Path, keys: str, interactive: bool) -> Iterator[Beside | None]:
    """A window beside the terminal: where it is wished, or, without a wish, where a person sits before a display."""
    refuse(wished)
    if wished is None:
        wished = interactive and has_display() and not _missing()
    if not wished:
        yield None
        return
    window = Beside(folder, keys)
    try:
        yield window
    finally:
        window.close()
