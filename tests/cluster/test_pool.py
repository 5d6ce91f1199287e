"""Pools of local workers: workflows run on them, and no process is left behind."""

import asyncio
import multiprocessing

import pytest

from umwelt.cluster.tasks.pool import WorkerPool
from umwelt.cluster.tasks.registry import pack, unpack
from umwelt.cluster.tasks.worker import WorkerReport
from umwelt.sandbox.errors import RunError


async def run(flow, name, *given):
    """A workflow of one task."""
    return await flow.run(name, *given)


@pytest.fixture(autouse=True)
def processes_end():
    """Asserts that a test leaves no new process behind; a shared cluster may have some of its own."""
    before = set(multiprocessing.active_children())
    yield
    assert set(multiprocessing.active_children()) <= before


def test_tasks_run_side_by_side_and_results_are_in_order():
    async def many(flow):
        return await flow.map("own.add", range(9)), set(await flow.gather(flow.run("own.where") for _ in range(9)))

    with WorkerPool(2) as pool:
        found, processes = pool.run_workflow(many)
    assert found == list(range(9)) and 1 <= len(processes) <= 2


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("own.fail", "7: cannot be"),
        ("own.crash", "a process ended before its run was done: free some memory"),
        ("own.nobody", "no task"),
    ],
)
def test_an_error_is_one_line_and_ends_the_open_tasks(name, line):
    async def beside(flow):
        await flow.gather([flow.run("own.forever"), flow.run(name, 7)])

    with pytest.raises(RunError, match=line) as raised, WorkerPool(2) as pool:
        pool.run_workflow(beside)
    assert "\n" not in str(raised.value)


def test_a_cancelled_task_ends_and_the_pool_goes_on():
    async def hasty(flow):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(flow.run("own.forever"), 1.0)
        return await flow.map("own.add", range(4))

    with WorkerPool(1) as pool:
        assert pool.run_workflow(hasty) == list(range(4))


class Mortal:
    """A worker that dies on each of its first `deaths` tasks; `died` counts the deaths."""

    kind, max_deaths, died = "a mortal", 3, 0

    def __init__(self, deaths):
        self.deaths, self.ended = deaths, False

    def begin(self, call):
        self.call = call

    def receive(self):
        if type(self).died < self.deaths:
            type(self).died += 1
            raise EOFError("struck")
        return WorkerReport(is_done=True, result=pack(unpack(self.call.arguments)[0][0]))

    def end(self):
        self.ended = True


@pytest.mark.parametrize("deaths", [0, 2, 3])
def test_a_task_whose_worker_dies_is_repeated_up_to_the_limit(deaths):
    hired = []

    def hire():
        hired.append(Mortal(deaths))
        return hired[-1]

    Mortal.died = 0
    with WorkerPool(1, hire) as pool:
        if deaths < Mortal.max_deaths:
            assert pool.run_workflow(run, "own.add", 5) == 5
        else:
            line = r"a mortal ended before its run was done, 3 times \(struck\): free some memory, and try again"
            with pytest.raises(RunError, match=line):
                pool.run_workflow(run, "own.add", 5)
    assert len(hired) == min(deaths + 1, Mortal.max_deaths) and all(one.ended for one in hired)
