"""Workers on the hosts of a Ray cluster: like those of `tasks/worker.py`, each an actor of Ray that holds one core.

A task whose worker dies is given to another worker, which continues from the task's checkpoint if it can read it.
"""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from umwelt.cluster.ray.connect import connect_ray, cores_of, first_line, import_ray, live_hosts
from umwelt.cluster.tasks.pool import WorkerPool
from umwelt.cluster.tasks.registry import find_task
from umwelt.cluster.tasks.worker import TaskCall, WorkerReport
from umwelt.sandbox.errors import UmweltError
from umwelt.sandbox.kernel import crew

RESULT_TIMEOUT_S = 0.5


class TaskActor:
    """An actor that runs one task at a time on one thread, and answers on another which tick the task has reached."""

    def __init__(self, folder: str):
        if os.path.isdir(folder):  # the user's own species are imported from the working folder
            os.chdir(folder)
        sys.path.append(os.getcwd())
        crew.resize(1)
        self._tick = -1

    def do(self, name: str, arguments: bytes) -> tuple[bytes, str]:
        """Runs a task with packed arguments. Returns its result and an empty line, or the line of its error."""
        self._tick = -1
        try:
            return find_task(name).run(arguments, say=self._set_tick), ""
        except UmweltError as error:
            return b"", str(error)

    def tick(self) -> int:
        """Returns the tick that the current task has reached, -1 before the first."""
        return self._tick

    def _set_tick(self, tick: int) -> None:
        self._tick = tick


class RayWorker:
    """A worker of a pool that runs tasks in an actor."""

    kind, lives = "a worker of Ray", 3

    def __init__(self, ray: Any):
        options = {"num_cpus": 1, "scheduling_strategy": "SPREAD", "max_concurrency": 2}
        self._ray, self._actor = ray, ray.remote(TaskActor).options(**options).remote(os.getcwd())
        self._result: Any = None

    def begin(self, errand: TaskCall) -> None:
        """Start a task."""
        self._result = self._actor.do.remote(errand.name, errand.arguments)

    def hear(self) -> WorkerReport:
        """Returns the result of the task, or the tick that it has reached. Raises `EOFError` if the actor has died."""
        result = self._get(self._result)
        if result is not None:
            return WorkerReport(done=True, found=result[0], line=result[1])
        tick = self._get(self._actor.tick.remote())
        return WorkerReport(-1 if tick is None else tick)

    def _get(self, reference: Any) -> Any:
        """Returns the value of a reference; None if it is not available in time."""
        try:
            return self._ray.get(reference, timeout=RESULT_TIMEOUT_S)
        except self._ray.exceptions.GetTimeoutError:
            return None
        except self._ray.exceptions.RayError as error:
            raise EOFError(first_line(error)) from None

    def end(self) -> None:
        """Kill the actor."""
        with contextlib.suppress(self._ray.exceptions.RayError):
            self._ray.kill(self._actor)


@contextmanager
def ray_worker_pool(tasks: int, processes: int, seen: Callable[[str, int], None] | None = None) -> Iterator[WorkerPool]:
    """Yields a pool of workers on Ray's hosts: `processes` of them, or one for each core of Ray, at most one a task.

    If Ray is started here for it, it has that many cores and ends with the pool.
    """
    ray = import_ray()
    must_shut_down = connect_ray(ray, processes or len(os.sched_getaffinity(0)))
    try:
        count = max(1, min(processes or cores_of(live_hosts(ray)), tasks))
        with WorkerPool(count, lambda: RayWorker(ray), seen) as pool:
            yield pool
    finally:
        if must_shut_down:
            ray.shutdown()
