"""Runs an experiment on a local Ray cluster and kills one of its workers.

`test_ray.py` starts it in a network namespace that has only the loopback interface.

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
    """Receives from a worker, as `RayWorker.receive`; also kills the first Ray worker process that runs a task."""
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
