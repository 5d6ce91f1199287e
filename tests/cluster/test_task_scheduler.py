"""Choosing nodes for tasks. No I/O: the test sets the clock and gives the nodes' answers."""

from functools import partial

import pytest

from umwelt.cluster.gateway.node_map import NodeMap
from umwelt.cluster.gateway.task_scheduler import MAX_AHEAD, MAX_DEATHS, TaskScheduler
from umwelt.cluster.wire.protocol import CancelTasks, QueryAnswer, QueryRequest, decode
from umwelt.cluster.wire.viewer_protocol import Task
from umwelt.sandbox.errors import UmweltError
from umwelt.sandbox.region import Torus

TORUS = Torus(64, 64)


class Nodes:
    """A task scheduler with nodes that record the messages to them; the test gives their answers."""

    def __init__(self, count: int = 3):
        self.now_s = 0.0
        self.sent: list[tuple[str, object]] = []
        self.done: dict[str, bytes | str] = {}
        self.deaf: set[str] = set()
        self.map: NodeMap | None = self.of(count)
        self.scheduler = TaskScheduler(TORUS, self._send, lambda: self.map)

    @staticmethod
    def of(count: int, epoch: int = 1, without: tuple[str, ...] = ()) -> NodeMap:
        doors = [f"door-{n}" for n in range(count) if f"door-{n}" not in without]
        size = 64 // len(doors)
        rectangles = tuple((0, n * size, 64, 64 - n * size if n == len(doors) - 1 else size) for n in range(len(doors)))
        return NodeMap(epoch, b"pass", tuple(doors), (), rectangles)

    def _send(self, door: str, frames: list) -> bool:
        if door in self.deaf:
            return False
        self.sent.append((door, decode(frames)[0]))
        return True

    def begin(self, *names: str, owner: str = "me", near: tuple[int, ...] = ()) -> None:
        for name in names:
            task = Task(name, "own.add", b"", near=near, within_s=10.0)
            self.scheduler.begin(owner, task, partial(self._take, name))

    def _take(self, name: str, outcome: bytes | UmweltError) -> None:
        self.done[name] = str(outcome) if isinstance(outcome, UmweltError) else outcome

    def poll(self, seconds: float = 0.01) -> list[tuple[str, QueryRequest]]:
        """Advances the clock; returns the queries that were sent meanwhile, with their receivers."""
        before = len(self.sent)
        self.now_s += seconds
        self.scheduler.poll(self.now_s)
        return [(door, said) for door, said in self.sent[before:] if isinstance(said, QueryRequest)]

    def answer(self, door: str, look: QueryRequest, found: bytes = b"1", answer: bytes = b'{"spent_s":0.005}') -> bool:
        return self.scheduler.take(QueryAnswer(look.ticket, 1, 0, 5, answer), [found], door.encode())


def test_the_first_tasks_go_to_nodes_that_have_none():
    nodes = Nodes()
    nodes.begin("a", "b", "c", "d")
    assert sorted(door for door, _ in nodes.poll()) == ["door-0", "door-1", "door-2"]
    assert nodes.poll() == []


def test_a_fast_node_gets_more_tasks_and_none_is_queued_behind_a_long_one():
    nodes = Nodes(2)
    nodes.begin(*(f"t{n}" for n in range(60)))
    for door, look in nodes.poll():
        spent_s = b'{"spent_s":0.001}' if door == "door-0" else b'{"spent_s":2.5}'
        nodes.answer(door, look, answer=spent_s)
    doors = [door for door, _ in nodes.poll()]
    assert doors.count("door-0") == MAX_AHEAD and doors.count("door-1") == 1


def test_a_result_is_delivered_once():
    nodes = Nodes()
    nodes.begin("a")
    ((door, look),) = nodes.poll()
    assert not nodes.answer("door-9", look) or nodes.done == {}  # ignored: not the address that was asked
    nodes.answer(door, look, b"7")
    nodes.answer(door, look, b"8")
    assert nodes.done == {"a": b"7"} and len(nodes.scheduler) == 0


def test_a_task_near_a_place_goes_to_the_node_that_owns_it():
    nodes = Nodes(4)
    nodes.begin("a", near=(3, 20))
    nodes.begin("b", near=(3, 63 + 64))
    assert {look.ticket: door for door, look in nodes.poll()} == {"task-0": "door-1", "task-1": "door-3"}


def test_a_task_is_sent_again_at_growing_intervals_until_it_is_answered():
    nodes = Nodes(1)
    nodes.begin("a")
    nodes.poll()
    said = [n for n in range(40) if nodes.poll(0.25)]
    assert 3 <= len(said) <= 6 and said[0] >= 3 and said[-1] - said[-2] > said[1] - said[0]


def test_a_failed_send_is_repeated_soon():
    nodes = Nodes(1)
    nodes.deaf = {"door-0"}
    nodes.begin("a")
    assert nodes.poll() == []
    nodes.deaf = set()
    assert len(nodes.poll(0.1)) == 1


def test_the_tasks_of_a_lost_node_go_to_others_ahead_of_waiting_ones():
    nodes = Nodes(2)
    nodes.begin("a", "b", "c")
    at = {door: look for door, look in nodes.poll()}
    nodes.map = None  # no map while the torus is divided again
    assert nodes.poll() == []
    nodes.map = Nodes.of(2, epoch=2, without=("door-1",))
    assert nodes.poll() == []  # the other node is busy
    nodes.answer("door-0", at["door-0"])
    again = nodes.poll()
    assert again[0] == ("door-0", again[0][1]) and again[0][1].ticket == at["door-1"].ticket
    assert again[0][1].epoch == 2


def test_a_task_that_kills_every_node_is_given_up_with_one_line():
    nodes = Nodes(MAX_DEATHS + 1)
    nodes.begin("a")
    lost: tuple[str, ...] = ()
    for life in range(MAX_DEATHS):
        ((door, _),) = nodes.poll()
        lost = (*lost, door)
        nodes.map = Nodes.of(MAX_DEATHS + 1, epoch=2 + life, without=lost)
    nodes.poll()
    assert "its node was lost" in nodes.done["a"] and "\n" not in nodes.done["a"]
    assert len(nodes.scheduler) == 0


def test_a_task_is_repeated_after_the_death_of_its_process_but_not_after_an_error():
    nodes = Nodes(1)
    nodes.begin("a", "b")
    ((door, look),) = nodes.poll()
    nodes.answer(door, look, answer=b'{"line":"ended","again":true}')
    ((door, look),) = nodes.poll()
    nodes.answer(door, look, answer=b'{"line":"cannot be"}')
    assert nodes.done == {"a": "cannot be"}


def test_a_viewer_with_many_tasks_does_not_delay_another():
    nodes = Nodes(1)
    nodes.begin(*(f"many{n}" for n in range(50)))
    nodes.begin("one", owner="other")
    for _ in range(2):
        for door, look in nodes.poll():
            nodes.answer(door, look)
    nodes.poll()
    for door, look in list(nodes.sent[-12:]):
        nodes.answer(door, look)
    assert "one" in nodes.done


def test_cancelled_tasks_are_dropped_from_queues_and_nodes():
    nodes = Nodes(1)
    nodes.begin("a", "b", "c")
    nodes.begin("d", owner="other")
    ((_, look),) = nodes.poll()
    nodes.scheduler.cancel("me", {"a", "b", "c"})
    assert nodes.sent[-1] == ("door-0", CancelTasks(1, b"pass", [look.ticket]))
    ((_, following),) = nodes.poll()
    nodes.answer("door-0", look)
    nodes.answer("door-0", following)
    assert list(nodes.done) == ["d"]


@pytest.mark.parametrize("answer", [b"", b"[]", b"{", b"\xff"])
def test_a_malformed_answer_is_ignored(answer):
    nodes = Nodes(1)
    nodes.begin("a")
    ((door, look),) = nodes.poll()
    assert nodes.answer(door, look, answer=answer) and nodes.done == {}
