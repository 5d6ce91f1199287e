"""Functions that all processes of a cluster use: read settings, publish addresses, report errors, handle signals."""

import contextlib
import functools
import json
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import psutil

from umwelt.sandbox.errors import RunError, UmweltError

KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(1 << 30), "MALLOC_TRIM_THRESHOLD_": str(1 << 30)}
"""Environment variables for nodes: glibc then keeps the memory of large arrays that every tick frees and reallocates.

That saves 5 % of the time of a tick.
"""

S = TypeVar("S")


class StopSignal:
    """Records the reasons for a process to end: SIGTERM or SIGINT was received, or its parent process has ended.

    Installs the signal handlers; must be constructed by the main thread, once in a process. Without `follow_parent`,
    the end of the parent process is ignored.
    """

    def __init__(self, follow_parent: bool = True):
        self.asked = False
        """Whether SIGTERM or SIGINT was received."""
        self._parent = os.getppid() if follow_parent else 0
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask)

    def _ask(self, number: int, frame: Any) -> None:
        self.asked = True

    @property
    def orphaned(self) -> bool:
        """Whether the parent process has ended; always False without `follow_parent`."""
        return bool(self._parent) and os.getppid() != self._parent


def resident_bytes(pid: int | None = None) -> int:
    """Returns the resident memory of process `pid` in bytes, by default of this process."""
    process = _own_process(os.getpid()) if pid is None else psutil.Process(pid)
    return int(process.memory_info().rss)


@functools.cache
def _own_process(pid: int) -> psutil.Process:
    return psutil.Process(pid)


def is_alive(pid: Any) -> bool:
    """Returns whether process `pid` runs on this host; False for zombies and for anything but an int above 1."""
    if type(pid) is not int or pid <= 1:
        return False
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True


def announce(path: Path, content: dict[str, Any]) -> None:
    """Writes `content`, such as the address of a process, to a JSON file at `path`, atomically."""
    handle, half_written = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump(content, file)
    os.replace(half_written, path)


def read_announcement(path: Path) -> dict[str, Any] | None:
    """Returns the content of a file that `announce` wrote; None if the file is missing or malformed."""
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


@contextlib.contextmanager
def report_errors(name: str) -> Iterator[None]:
    """Prints an `UmweltError` raised in the context as one line to standard error, and exits with status 2.

    `name` names the process in that line. Standard error is the log of the process.
    """
    sys.path.append(os.getcwd())  # so that species and laws in the working directory can be imported
    try:
        yield
    except UmweltError as error:
        print(f"umwelt {name}: {error}", file=sys.stderr, flush=True)
        sys.exit(2)


def read_settings(kind: type[S]) -> S:
    """Returns the settings that the launcher passed as JSON on the command line, decoded as `kind`.

    Raises RunError if they are missing or malformed.
    """
    import msgspec

    try:
        return msgspec.json.decode(sys.argv[1], type=kind)
    except (IndexError, msgspec.DecodeError) as error:
        raise RunError(f"{Path(sys.argv[0]).name}: is started by umwelt launch or umwelt join: {error}") from None
