"""Workers on the hosts of a Ray cluster: as those of `workers.py` here, each an actor of Ray that holds a core.

A task whose worker dies goes to another, from its own checkpoint where that worker can read it.
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

ASK_EVERY_S = 0.5


class Actor:
    """Does one task after the other on one thread, and meanwhile says on another at which tick it is."""

    def __init__(self, folder: str):
        if os.path.isdir(folder):  # species of one's own lie where one works
            os.chdir(folder)
        sys.path.append(os.getcwd())
        crew.resize(1)
        self._tick = -1

    def do(self, name: str, arguments: bytes) -> tuple[bytes, str]:
        """What comes of a task with packed arguments, or the line of the mistake that ended it."""
        self._tick = -1
        try:
            return find_task(name).run(arguments, say=self._say), ""
        except UmweltError as error:
            return b"", str(error)

    def tick(self) -> int:
        """At which tick the task under way is."""
        return self._tick

    def _say(self, tick: int) -> None:
        self._tick = tick


class RayWorker:
    """An actor as a workshop knows it."""

    kind, lives = "a worker of Ray", 3

    def __init__(self, ray: Any):
        options = {"num_cpus": 1, "scheduling_strategy": "SPREAD", "max_concurrency": 2}
        self._ray, self._actor = ray, ray.remote(Actor).options(**options).remote(os.getcwd())
        self._doing: Any = None

    def begin(self, errand: TaskCall) -> None:
        """Give it a task."""
        self._doing = self._actor.do.remote(errand.name, errand.arguments)

    def hear(self) -> WorkerReport:
        """What came out, or else, now and then, how far it is; `EOFError` where it has died."""
        found = self._told(self._doing)
        if found is not None:
            return WorkerReport(done=True, found=found[0], line=found[1])
        tick = self._told(self._actor.tick.remote())
        return WorkerReport(-1 if tick is None else tick)

    def _told(self, reference: Any) -> Any:
        """What Ray gives for a reference; None where it does not soon."""
        try:
            return self._ray.get(reference, timeout=ASK_EVERY_S)
        except self._ray.exceptions.GetTimeoutError:
            return None
        except self._ray.exceptions.RayError as error:
            raise EOFError(first_line(error)) from None

    def end(self) -> None:
        """End it at once."""
        with contextlib.suppress(self._ray.exceptions.RayError):
            self._ray.kill(self._actor)


@contextmanager
def ray_worker_pool(tasks: int, processes: int, seen: Callable[[str, int], None] | None = None) -> Iterator[WorkerPool]:
    """A workshop for so many tasks whose hands are on Ray's hosts, so many at once, or one for each core Ray has.

    A Ray that is begun here has that many cores, and ends with the workshop.
    """
    ray = import_ray()
    ours = connect_ray(ray, processes or len(os.sched_getaffinity(0)))
    try:
        count = max(1, min(processes or cores_of(live_hosts(ray)), tasks))
        with WorkerPool(count, lambda: RayWorker(ray), seen) as shop:
            yield shop
    finally:
        if ours:
            ray.shutdown()
