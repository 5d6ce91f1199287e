"""An experiment on a Ray begun here, of which a worker is killed: run by `test_ray.py` where there is only loopback.

    python ray_jobs_trial.py FILE FOLDER      prints what was seen, as one line of JSON
"""

import json
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from umwelt.client import experiment
from umwelt.cluster import ray_workers

killed: list[int] = []
tell = ray_workers._tell


def strike(ray: Any, under_way: Any, seen: Any) -> None:
    """Kill a worker, once, when the first is under way."""
    tell(ray, under_way, seen)
    if killed:
        return
    for path in Path("/proc").iterdir():
        with suppress(OSError):
            if path.name.isdigit() and (path / "cmdline").read_bytes().startswith(b"ray::Worker.do"):
                os.kill(int(path.name), signal.SIGKILL)
                killed.append(int(path.name))
                return


ray_workers._tell = strike
code = experiment.experimented(sys.argv[1], False, Path(sys.argv[2]), "ray", 2, False)
print(json.dumps({"code": code, "killed": killed}), flush=True)
sys.exit(code)
