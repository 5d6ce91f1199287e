"""Tasks on the hosts of a Ray cluster: as `workers.py` does them here, each worker an actor of Ray that holds a core.

A task whose worker dies goes to another, from its own checkpoint where that worker can read it.
"""

import contextlib
import os
import sys
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from typing import Any

from umwelt.cluster.ray_cluster import connected, cores_of, hosts_alive, imported, line_of
from umwelt.cluster.tasks import packed, task_named
from umwelt.cluster.workers import Seen
from umwelt.sandbox.errors import RunError, UmweltError
from umwelt.sandbox.kernel import crew

ASK_EVERY_S = 0.5
MOST_LIVES = 3
"""So many workers may die of one task."""


class Worker:
    """An actor that does one task after the other on one thread, and meanwhile says on another at which tick it is."""

    def __init__(self, name: str, folder: str):
        if os.path.isdir(folder):  # species of one's own lie where one works
            os.chdir(folder)
        sys.path.append(os.getcwd())
        crew.resize(1)
        self._task = task_named(name)
        self._tick = 0

    def do(self, arguments: bytes) -> tuple[bytes, UmweltError | None]:
        """What comes of packed arguments, or the mistake that ended it."""
        try:
            return self._task.run(arguments, say=self._say), None
        except UmweltError as error:
            return b"", error

    def tick(self) -> int:
        """At which tick the task under way is."""
        return self._tick

    def _say(self, tick: int) -> None:
        self._tick = tick


def run_tasks_on_ray(
    name: str, jobs: Sequence[Any], processes: int, seen: Seen | None = None
) -> Iterator[tuple[int, Any]]:  # fmt: skip
    """Do a task for each of many arguments as `run_tasks` does, on so many workers at once.

    Where that is 0, on one for each core Ray has. A Ray that is begun here has that many cores.
    """
    ray, done = imported(), task_named(name)
    ours = connected(ray, processes or len(os.sched_getaffinity(0)))
    workers: list[Any] = []
    try:
        count = max(1, min(processes or cores_of(hosts_alive(ray)), len(jobs)))
        waiting, deaths = deque(range(len(jobs))), Counter[int]()
        under_way: dict[Any, tuple[int, Any]] = {}
        idle = [_worker(ray, name, workers) for _ in range(count)]
        while waiting or under_way:
            while waiting and idle:
                which, worker = waiting.popleft(), idle.pop()
                under_way[worker.do.remote(packed([[jobs[which]], {}]))] = which, worker
            ended, going = ray.wait(list(under_way), timeout=ASK_EVERY_S)
            for reference in ended:
                which, worker = under_way.pop(reference)
                try:
                    found, mistake = ray.get(reference)
                except ray.exceptions.RayError as error:
                    deaths[which] += 1
                    if deaths[which] >= MOST_LIVES:
                        line = f"Ray's workers died {MOST_LIVES} times at one run: {line_of(error)}: free some memory"
                        raise RunError(line) from None
                    workers.remove(worker)
                    idle.append(_worker(ray, name, workers))
                    waiting.appendleft(which)
                    continue
                if mistake is not None:
                    raise mistake
                idle.append(worker)
                yield which, done.result(found)
            if seen is not None:
                _tell(ray, [under_way[reference] for reference in going], seen)
    finally:
        for worker in workers:
            with contextlib.suppress(ray.exceptions.RayError):
                ray.kill(worker)
        if ours:
            ray.shutdown()


def _worker(ray: Any, name: str, workers: list[Any]) -> Any:
    options = {"num_cpus": 1, "scheduling_strategy": "SPREAD", "max_concurrency": 2}
    workers.append(ray.remote(Worker).options(**options).remote(name, os.getcwd()))
    return workers[-1]


def _tell(ray: Any, under_way: Sequence[tuple[int, Any]], seen: Seen) -> None:
    """Ask how far the jobs are; who does not answer soon is asked another time."""
    asked = {worker.tick.remote(): which for which, worker in under_way}
    answered, _ = ray.wait(list(asked), num_returns=len(asked), timeout=ASK_EVERY_S) if asked else ([], [])
    for reference in answered:
        with contextlib.suppress(ray.exceptions.RayError):
            seen(asked[reference], ray.get(reference))
