"""An experiment on a local Ray, one worker of which is killed. `test_ray.py` runs it where only loopback exists.

python ray_jobs_trial.py FILE FOLDER      prints what was seen, as one line of JSON
"""

import json
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from umwelt.client.commands import experiment
from umwelt.cluster.ray import pool

killed: list[int] = []
receive = pool.RayWorker.receive


def strike(worker: Any) -> Any:
    """Kill one worker as soon as one is running."""
    heard = receive(worker)
    if killed:
        return heard
    for path in Path("/proc").iterdir():
        with suppress(OSError):
            if path.name.isdigit() and (path / "cmdline").read_bytes().startswith(b"ray::Actor.execute"):
                os.kill(int(path.name), signal.SIGKILL)
                killed.append(int(path.name))
                break
    return heard


pool.RayWorker.receive = strike  # type: ignore[method-assign]
code = experiment.run_experiment(sys.argv[1], False, Path(sys.argv[2]), "ray", 2, False)
print(json.dumps({"code": code, "killed": killed}), flush=True)
sys.exit(code)
