"""What the cluster's processes share: settings from the command line, polite ends, and not outliving their parent."""

import contextlib
import json
import os
import resource
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from umwelt.sandbox.errors import RunError, UmweltError

PAGE_BYTES = resource.getpagesize()
KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(1 << 30), "MALLOC_TRIM_THRESHOLD_": str(1 << 30)}
"""Nodes take and give back large arrays in every tick: glibc is to keep them at hand, which saves a twentieth."""


class StopSignal:
    """Whether this process was asked to end, or its parent is gone."""

    def __init__(self, follow_parent: bool = True):
        self.asked = False
        self._parent = os.getppid() if follow_parent else 0
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask)

    def _ask(self, number: int, frame: Any) -> None:
        self.asked = True

    @property
    def orphaned(self) -> bool:
        """Whether the process that started us is gone."""
        return bool(self._parent) and os.getppid() != self._parent


def resident_bytes() -> int:
    """Memory that this process holds."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * PAGE_BYTES
    except (OSError, ValueError, IndexError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def announce(path: Path, content: dict[str, Any]) -> None:
    """Write where a process can be reached, whole or not at all."""
    handle, half = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump(content, file)
    os.replace(half, path)


def read_announcement(path: Path) -> dict[str, Any] | None:
    """What was announced, None if nothing was."""
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def is_alive(pid: Any) -> bool:
    """Whether a process of this number runs here."""
    if type(pid) is not int or pid <= 1:
        return False
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
    except (OSError, IndexError):
        with contextlib.suppress(OSError):
            os.kill(pid, 0)
            return True
        return False


@contextlib.contextmanager
def report_errors(name: str) -> Iterator[None]:
    """A mistake becomes one line on the error output (the process' log), and exit code 2."""
    sys.path.append(os.getcwd())  # species and laws of one's own lie where one works
    try:
        yield
    except UmweltError as error:
        print(f"umwelt {name}: {error}", file=sys.stderr, flush=True)
        sys.exit(2)


def read_settings(kind: Any) -> Any:
    """The settings that the engine wrote on the command line."""
    import msgspec

    try:
        return msgspec.json.decode(sys.argv[1], type=kind)
    except (IndexError, msgspec.DecodeError) as error:
        raise RunError(f"{Path(sys.argv[0]).name}: is started by umwelt launch or umwelt join: {error}") from None
