"""Workers of a pool on the hosts of a Ray cluster: each is an actor of Ray that holds one core.

A task whose worker dies goes to another one, and starts from its own checkpoint if that worker can read it.
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
    """Executes tasks one after another on one thread; another thread answers at which tick the task is."""

    def __init__(self, folder: str):
        if os.path.isdir(folder):  # users keep their own species in the working directory
            os.chdir(folder)
        sys.path.append(os.getcwd())
        crew.resize(1)
        self._tick = -1

    def execute(self, name: str, arguments: bytes) -> tuple[bytes, str, str]:
        """Returns the packed result of a task, or the line and code of the error that ended it."""
        self._tick = -1
        try:
            return find_task(name).run(arguments, say=self._set_tick), "", ""
        except UmweltError as error:
            return b"", str(error), error.code

    def tick(self) -> int:
        """Returns the tick that the present task has reached."""
        return self._tick

    def _set_tick(self, tick: int) -> None:
        self._tick = tick


class RayWorker:
    """An actor as a worker of a `WorkerPool`. Owned by the pool, which ends it."""

    kind, max_deaths = "a worker of Ray", 3

    def __init__(self, ray: Any):
        options = {"num_cpus": 1, "scheduling_strategy": "SPREAD", "max_concurrency": 2}
        self._ray, self._actor = ray, ray.remote(Actor).options(**options).remote(os.getcwd())
        self._result: Any = None

    def begin(self, call: TaskCall) -> None:
        """Sends a task."""
        self._result = self._actor.execute.remote(call.name, call.arguments)

    def receive(self) -> WorkerReport:
        """Waits for the result, and returns the progress if it does not come soon; raises EOFError if it has died."""
        outcome = self._get(self._result)
        if outcome is not None:
            result, line, code = outcome
            return WorkerReport(is_done=True, result=result, line=line, code=code)
        tick = self._get(self._actor.tick.remote())
        return WorkerReport(-1 if tick is None else tick)

    def _get(self, reference: Any) -> Any:
        """Returns the value of a reference of Ray's; None if it does not come within `RESULT_TIMEOUT_S`."""
        try:
            return self._ray.get(reference, timeout=RESULT_TIMEOUT_S)
        except self._ray.exceptions.GetTimeoutError:
            return None
        except self._ray.exceptions.RayError as error:
            raise EOFError(first_line(error)) from None

    def end(self) -> None:
        """Ends the actor at once."""
        with contextlib.suppress(self._ray.exceptions.RayError):
            self._ray.kill(self._actor)


@contextmanager
def ray_worker_pool(
    tasks: int, processes: int, on_tick: Callable[[str, int], None] | None = None
) -> Iterator[WorkerPool]:
    """A context manager: a pool for `tasks` tasks on Ray's hosts, `processes` at once (0: one for each core).

    A Ray that is started here has as many cores, and is shut down at the exit.
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
