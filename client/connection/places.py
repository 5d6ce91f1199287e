"""Finds the running world that a user names: by address, by run folder, or as the only world on this machine."""

import time
from pathlib import Path

from umwelt.cluster import (
    CLUSTER_FILE,
    COORDINATOR_FILE,
    GATEWAY_FILE,
    RUNS_FOLDER,
    WORLD_FILE,
    is_alive,
    read_announcement,
)
from umwelt.sandbox.errors import RunError

START_S = 20.0
"""Maximum seconds to wait for a run that is starting."""
POLL_S = 0.1
"""Seconds between two checks whether a run has started."""


def running_runs() -> list[Path]:
    """Returns the folders under `runs/` whose runs are running on this machine, in order of name."""
    folders = sorted(RUNS_FOLDER.iterdir()) if RUNS_FOLDER.is_dir() else []
    return [folder for folder in folders if _is_running(folder)]


def _is_running(folder: Path) -> bool:
    """Returns whether the run in `folder` has a process on this machine: its coordinator, or the one that starts it."""
    return any(
        is_alive((read_announcement(folder / name) or {}).get("pid")) for name in (CLUSTER_FILE, COORDINATOR_FILE)
    )


def place_of(address: str | None) -> str | Path:
    """Returns the place to connect to: the gateway's address (str) or a run's folder (Path), as named by `address`.

    With None, returns the folder of the only run on this machine that is running. Waits for a run that is starting.
    Raises RunError if there is no such running world.
    """
    if address is not None and "://" in address:
        return address
    if address is None:
        running = running_runs()
        if not running:
            raise RunError(f"no world is running under {RUNS_FOLDER}/ here: give a run's folder, or tcp://HOST:PORT")
        if len(running) > 1:
            raise RunError(f"{len(running)} worlds are running: say which one: {', '.join(map(str, running))}")
        folder = running[0]
    else:
        folder = Path(address)
    end_s = time.monotonic() + START_S
    while _is_running(folder) and read_announcement(folder / GATEWAY_FILE) is None and time.monotonic() < end_s:
        time.sleep(POLL_S)
    if read_announcement(folder / GATEWAY_FILE) is None or not _is_running(folder):
        is_run = (folder / WORLD_FILE).is_file()
        fix = f"start it with: umwelt resume {folder}" if is_run else "give a run's folder, or tcp://HOST:PORT"
        raise RunError(f"{folder}: no world is running there: {fix}")
    return folder
