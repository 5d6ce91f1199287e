"""What the cluster's processes have in common: settings, addresses in files, error lines, and when to end."""

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
"""Environment of a node: glibc keeps the large arrays that every tick frees and allocates again, which saves 5 %."""

S = TypeVar("S")


class StopSignal:
    """Tells a process when to end: on SIGTERM or SIGINT, or when the process that started it is gone.

    Made once by the main thread of a process; installs the signal handlers.
    """

    def __init__(self, follow_parent: bool = True):
        self.asked = False
        """Whether a signal has come."""
        self._parent = os.getppid() if follow_parent else 0
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask)

    def _ask(self, number: int, frame: Any) -> None:
        self.asked = True

    @property
    def orphaned(self) -> bool:
        """Whether the process that started this one is gone."""
        return bool(self._parent) and os.getppid() != self._parent


def resident_bytes(pid: int | None = None) -> int:
    """Returns the resident memory of a process, by default of this one."""
    process = _own_process(os.getpid()) if pid is None else psutil.Process(pid)
    return int(process.memory_info().rss)


@functools.cache
def _own_process(pid: int) -> psutil.Process:
    return psutil.Process(pid)


def is_alive(pid: Any) -> bool:
    """Whether a process of this id runs on this host. Zombies do not count, nor does anything but an int above 1."""
    if type(pid) is not int or pid <= 1:
        return False
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True


def announce(path: Path, content: dict[str, Any]) -> None:
    """Writes how a process can be reached to a JSON file, atomically."""
    handle, half_written = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump(content, file)
    os.replace(half_written, path)


def read_announcement(path: Path) -> dict[str, Any] | None:
    """Returns what `announce` wrote; None if the file is missing or malformed."""
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


@contextlib.contextmanager
def report_errors(name: str) -> Iterator[None]:
    """Prints an `UmweltError` as one line to standard error, which is the process's log, and exits with status 2."""
    sys.path.append(os.getcwd())  # so that species and laws in the working directory can be imported
    try:
        yield
    except UmweltError as error:
        print(f"umwelt {name}: {error}", file=sys.stderr, flush=True)
        sys.exit(2)


def read_settings(kind: type[S]) -> S:
    """Returns the settings that the launcher wrote on the command line. Raises RunError if there are none."""
    import msgspec

    try:
        return msgspec.json.decode(sys.argv[1], type=kind)
    except (IndexError, msgspec.DecodeError) as error:
        raise RunError(f"{Path(sys.argv[0]).name}: is started by umwelt launch or umwelt join: {error}") from None
