"""Workers of a pool on the hosts of a Ray cluster: each is a Ray actor that occupies one core.

If a worker dies, its task is given to another one, which continues from the task's checkpoint if it can read it.
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


class Actor:
    """Executes tasks one after another on one thread; another thread reports the tick that the task has reached."""

    def __init__(self, folder: str):
        if os.path.isdir(folder):  # the user's species are imported from the working folder
            os.chdir(folder)
        sys.path.append(os.getcwd())
        crew.resize(1)
        self._tick = -1

    def execute(self, name: str, arguments: bytes) -> tuple[bytes, str, str]:
        """Executes a task. Returns its encoded result, and the message and code of its error, empty if it succeeds."""
        self._tick = -1
        try:
            return find_task(name).run(arguments, say=self._set_tick), "", ""
        except UmweltError as error:
            return b"", str(error), error.code

    def tick(self) -> int:
        """Returns the tick that the present task has reached; -1 if it has reported none."""
        return self._tick

    def _set_tick(self, tick: int) -> None:
        self._tick = tick


class RayWorker:
    """A Ray actor as a worker of a `WorkerPool`, which owns it and ends it."""

    kind, max_deaths = "a worker of Ray", 3

    def __init__(self, ray: Any):
        options = {"num_cpus": 1, "scheduling_strategy": "SPREAD", "max_concurrency": 2}
        self._ray, self._actor = ray, ray.remote(Actor).options(**options).remote(os.getcwd())
        self._result: Any = None

    def begin(self, call: TaskCall) -> None:
        """Sends a task to the actor."""
        self._result = self._actor.execute.remote(call.name, call.arguments)

    def receive(self) -> WorkerReport:
        """Waits for the result, and returns the progress if it takes long. Raises EOFError if the worker has died."""
        outcome = self._get(self._result)
        if outcome is not None:
            result, line, code = outcome
            return WorkerReport(is_done=True, result=result, line=line, code=code)
        tick = self._get(self._actor.tick.remote())
        return WorkerReport(-1 if tick is None else tick)

    def _get(self, reference: Any) -> Any:
        """Returns the value of a Ray reference; None if it is not available within `RESULT_TIMEOUT_S` seconds."""
        try:
            return self._ray.get(reference, timeout=RESULT_TIMEOUT_S)
        except self._ray.exceptions.GetTimeoutError:
            return None
        except self._ray.exceptions.RayError as error:
            raise EOFError(first_line(error)) from None

    def end(self) -> None:
        """Ends the actor immediately."""
        with contextlib.suppress(self._ray.exceptions.RayError):
            self._ray.kill(self._actor)


@contextmanager
def ray_worker_pool(
    tasks: int, processes: int, on_tick: Callable[[str, int], None] | None = None
) -> Iterator[WorkerPool]:
    """Context manager for a pool that executes `tasks` tasks on Ray's hosts, up to `processes` of them concurrently.

    If `processes` is 0, there is one for each core. `on_tick(ticket, tick)`, if given, is called with the progress of a
    task. If no Ray cluster is running, one is started on this machine with as many cores, and shut down at the exit.
    """
    ray = import_ray()
    must_shut_down = connect_ray(ray, processes or len(os.sched_getaffinity(0)))
    try:
        count = max(1, min(processes or cores_of(live_hosts(ray)), tasks))
        with WorkerPool(count, lambda: RayWorker(ray), on_tick) as pool:
            yield pool
    finally:
        if must_shut_down:
            ray.shutdown()
