"""Where tasks go: pure, with a clock of our own and nodes that answer as they are told."""

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
    """Doors that take what is sent, and say what they are told to."""

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

    def turn(self, seconds: float = 0.01) -> list[tuple[str, QueryRequest]]:
        """A little later; gives what was sent meanwhile."""
        before = len(self.sent)
        self.now_s += seconds
        self.scheduler.turn(self.now_s)
        return [(door, said) for door, said in self.sent[before:] if isinstance(said, QueryRequest)]

    def answer(self, door: str, look: QueryRequest, found: bytes = b"1", answer: bytes = b'{"spent_s":0.005}') -> bool:
        return self.scheduler.take(QueryAnswer(look.ticket, 1, 0, 5, answer), [found], door.encode())


def test_the_first_tasks_go_to_nodes_that_have_none():
    nodes = Nodes()
    nodes.begin("a", "b", "c", "d")
    assert sorted(door for door, _ in nodes.turn()) == ["door-0", "door-1", "door-2"]
    assert nodes.turn() == []


def test_a_quick_node_gets_more_and_one_at_a_long_task_gets_none_behind_it():
    nodes = Nodes(2)
    nodes.begin(*(f"t{n}" for n in range(60)))
    for door, look in nodes.turn():
        spent_s = b'{"spent_s":0.001}' if door == "door-0" else b'{"spent_s":2.5}'
        nodes.answer(door, look, answer=spent_s)
    doors = [door for door, _ in nodes.turn()]
    assert doors.count("door-0") == MAX_AHEAD and doors.count("door-1") == 1


def test_what_comes_out_reaches_whoever_asked_once():
    nodes = Nodes()
    nodes.begin("a")
    ((door, look),) = nodes.turn()
    assert not nodes.answer("door-9", look) or nodes.done == {}  # another door than the one that was asked
    nodes.answer(door, look, b"7")
    nodes.answer(door, look, b"8")
    assert nodes.done == {"a": b"7"} and len(nodes.scheduler) == 0


def test_a_task_near_a_place_goes_to_the_node_that_owns_it():
    nodes = Nodes(4)
    nodes.begin("a", near=(3, 20))
    nodes.begin("b", near=(3, 63 + 64))
    assert {look.ticket: door for door, look in nodes.turn()} == {"task-0": "door-1", "task-1": "door-3"}


def test_a_task_is_said_again_ever_less_often_until_it_is_answered():
    nodes = Nodes(1)
    nodes.begin("a")
    nodes.turn()
    said = [n for n in range(40) if nodes.turn(0.25)]
    assert 3 <= len(said) <= 6 and said[0] >= 3 and said[-1] - said[-2] > said[1] - said[0]


def test_a_door_that_is_only_being_opened_is_tried_again_soon():
    nodes = Nodes(1)
    nodes.deaf = {"door-0"}
    nodes.begin("a")
    assert nodes.turn() == []
    nodes.deaf = set()
    assert len(nodes.turn(0.1)) == 1


def test_what_a_node_had_when_it_left_goes_to_others_ahead_of_what_waits():
    nodes = Nodes(2)
    nodes.begin("a", "b", "c")
    at = {door: look for door, look in nodes.turn()}
    nodes.map = None  # a map is being made
    assert nodes.turn() == []
    nodes.map = Nodes.of(2, epoch=2, without=("door-1",))
    assert nodes.turn() == []  # the other one is at its task
    nodes.answer("door-0", at["door-0"])
    again = nodes.turn()
    assert again[0] == ("door-0", again[0][1]) and again[0][1].ticket == at["door-1"].ticket
    assert again[0][1].epoch == 2


def test_a_task_that_kills_every_node_is_given_up_in_one_line():
    nodes = Nodes(MAX_DEATHS + 1)
    nodes.begin("a")
    lost: tuple[str, ...] = ()
    for life in range(MAX_DEATHS):
        ((door, _),) = nodes.turn()
        lost = (*lost, door)
        nodes.map = Nodes.of(MAX_DEATHS + 1, epoch=2 + life, without=lost)
    nodes.turn()
    assert "its node was lost" in nodes.done["a"] and "\n" not in nodes.done["a"]
    assert len(nodes.scheduler) == 0


def test_a_process_that_dies_of_a_task_is_no_end_but_a_mistake_is():
    nodes = Nodes(1)
    nodes.begin("a", "b")
    ((door, look),) = nodes.turn()
    nodes.answer(door, look, answer=b'{"line":"ended","again":true}')
    ((door, look),) = nodes.turn()
    nodes.answer(door, look, answer=b'{"line":"cannot be"}')
    assert nodes.done == {"a": "cannot be"}


def test_who_asks_for_many_does_not_hold_up_another():
    nodes = Nodes(1)
    nodes.begin(*(f"many{n}" for n in range(50)))
    nodes.begin("one", owner="other")
    for _ in range(2):
        for door, look in nodes.turn():
            nodes.answer(door, look)
    nodes.turn()
    for door, look in list(nodes.sent[-12:]):
        nodes.answer(door, look)
    assert "one" in nodes.done


def test_tasks_that_nobody_wants_any_more_are_let_go_everywhere():
    nodes = Nodes(1)
    nodes.begin("a", "b", "c")
    nodes.begin("d", owner="other")
    ((_, look),) = nodes.turn()
    nodes.scheduler.cancel("me", {"a", "b", "c"})
    assert nodes.sent[-1] == ("door-0", CancelTasks(1, b"pass", [look.ticket]))
    ((_, following),) = nodes.turn()
    nodes.answer("door-0", look)
    nodes.answer("door-0", following)
    assert list(nodes.done) == ["d"]


@pytest.mark.parametrize("answer", [b"", b"[]", b"{", b"\xff"])
def test_an_answer_that_is_none_is_not_taken(answer):
    nodes = Nodes(1)
    nodes.begin("a")
    ((door, look),) = nodes.turn()
    assert nodes.answer(door, look, answer=answer) and nodes.done == {}
