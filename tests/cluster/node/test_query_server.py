"""A node's query server: answers at once or at a named tick, results of tasks, and each task executed once."""

import msgspec
import pytest
from small_runs import small_world

from umwelt.agents.open_world import begin
from umwelt.cluster.gateway.replay_process import ReplayShard
from umwelt.cluster.node.queries import MAX_WAITING, QueryServer
from umwelt.cluster.tasks.node_worker import TaskOutcome
from umwelt.cluster.tasks.worker import TaskCall
from umwelt.cluster.view.tile_encoder import TileEncoder
from umwelt.cluster.wire.protocol import CancelTasks, QueryAnswer, QueryRequest, decode

COUNT, MANY = b'{"ask":"count"}', b'[{"ask":"count"},{"ask":"select","table":"monsters","columns":[]}]'


class Node:
    """A `QueryServer` with this object as its publisher and as its worker for tasks; the test controls both.

    `said` has the answers that were sent; `begun` and `cancelled` the calls to the worker.
    """

    busy = False

    def __init__(self) -> None:
        world = small_world()
        self.portion = ReplayShard(world, begin(world))
        self.said: list[tuple[bytes, QueryAnswer, list[bytes]]] = []
        self.begun: list[tuple[tuple, TaskCall, float]] = []
        self.cancelled: list[tuple] = []
        self.done: list[TaskOutcome] = []
        self.now_s = 0.0
        self.answers = QueryServer(self, self._send, self, lambda: self.now_s)  # type: ignore[arg-type]

    def cutter(self, portion: ReplayShard) -> TileEncoder:
        return TileEncoder(portion.world, portion.region)

    def _send(self, to: bytes, frames: list) -> bool:
        sight, raw = decode(frames)
        assert isinstance(sight, QueryAnswer)
        self.said.append((to, sight, raw))
        return True

    # the worker

    def begin(self, ticket: tuple, call: TaskCall, within_s: float) -> None:
        self.begun.append((ticket, call, within_s))

    def cancel(self, ticket: tuple) -> None:
        self.cancelled.append(ticket)

    def poll(self) -> list[TaskOutcome]:
        done, self.done = self.done, []
        return done

    # messages of the gateway

    def look(self, ticket: str, question: bytes = COUNT, tick: int = -1, task: str = "", sender: bytes = b"me") -> None:
        """Deliver a query, with a task on its result if `task` is not empty."""
        self.answers.take(sender, QueryRequest(1, b"", ticket, question, tick, task, b"abc", 7.0), self.portion)

    def at(self, tick: int, epoch: int = 1) -> None:
        """Set the node's tick, and give the query server a turn."""
        self.portion.region.tick = tick
        self.answers.poll(self.portion, epoch)

    @property
    def answer(self) -> dict:
        return msgspec.json.decode(self.said[-1][1].answer)


@pytest.fixture
def node() -> Node:
    return Node()


def test_a_question_is_answered_at_the_tick_that_it_names(node):
    node.look("a", tick=2)
    assert node.answer == {"waits": True}
    node.at(1)
    assert len(node.said) == 1
    node.at(2)
    assert node.answer["counts"]["monsters"] and node.said[-1][1].tick == 2
    node.at(3)
    assert len(node.said) == 2
    node.look("b", tick=2)
    assert node.answer == {"passed": True} and node.said[-1][1].tick == 3


def test_waiting_queries_are_bounded_and_dropped_with_their_map_or_when_cancelled(node):
    for number in range(2 * MAX_WAITING):
        node.look(f"n{number}", tick=5)
        node.look(f"n{number}", tick=5)
    assert len(node.answers._waiting) == MAX_WAITING
    node.answers.take(b"me", CancelTasks(1, b"", [f"n{2 * MAX_WAITING - 1}"]), node.portion)
    assert len(node.answers._waiting) == MAX_WAITING - 1
    node.at(0, epoch=2)
    assert node.answers._waiting == []


def test_a_task_over_data_gets_the_node_s_answers_of_the_tick(node):
    node.look("a", MANY, 2, "census")
    assert node.begun == []
    node.at(2)
    ((ticket, call, within_s),) = node.begun
    assert [part.tick for part in call.parts] == [2, 2] and call.parts[1].answer["total"] > 0
    assert (call.name, call.arguments, within_s) == ("census", b"abc", 7.0)
    node.at(4)
    node.done = [TaskOutcome(ticket, b"out", "", spent_s=0.5)]
    node.at(5)
    assert (node.said[-1][1].tick, node.said[-1][2], node.answer) == (2, [b"out"], {"spent_s": 0.5})


def test_a_repeated_task_is_executed_once_and_its_result_is_kept(node):
    for _ in range(3):
        node.look("a", b"", task="spin")
    assert len(node.begun) == 1 and node.said == []
    node.done = [TaskOutcome(node.begun[0][0], b"out", "")]
    node.at(1)
    node.look("a", b"", task="spin")
    assert [raw for _, _, raw in node.said] == [[b"out"]] * 2 and len(node.begun) == 1


def test_a_new_gateway_does_not_get_the_answers_for_the_former_one(node):
    node.look("task-0", b"", task="spin")
    node.look("task-0", b"", task="spin", sender=b"other")
    assert len(node.begun) == 2
    node.done = [TaskOutcome(node.begun[1][0], b"second", ""), TaskOutcome(node.begun[0][0], b"first", "")]
    node.at(1)
    assert [(to, raw) for to, _, raw in node.said] == [(b"other", [b"second"]), (b"me", [b"first"])]


def test_results_are_kept_for_a_while_only(node, monkeypatch):
    monkeypatch.setattr("umwelt.cluster.node.queries.MAX_RESULT_BYTES", 2500)
    for number in range(5):
        node.look(f"n{number}", b"", task="spin")
        node.done = [TaskOutcome(node.begun[-1][0], b"x" * 1000, "")]
        node.at(1)
    assert list(node.answers._tasks) == [(b"me", "n3"), (b"me", "n4")]


def test_a_cancelled_task_is_cancelled_at_the_worker(node):
    node.look("a", b"", task="spin")
    node.answers.take(b"me", CancelTasks(1, b"", ["a"]), node.portion)
    node.done = [TaskOutcome(node.begun[0][0], b"out", "")]
    node.at(1)
    assert node.cancelled == [(b"me", "a")] and node.said == []


def test_a_task_is_taken_while_the_rectangle_is_loaded_a_question_is_not(node):
    node.answers.take(b"me", QueryRequest(1, b"", "a", b"", -1, "spin", b"", 7.0), None)
    node.answers.take(b"me", QueryRequest(1, b"", "b", COUNT), None)
    assert len(node.begun) == 1 and node.said == []


@pytest.mark.parametrize("question", [b"{", b'{"ask":"select","table":"gold","columns":[]}', b"\xff"])
def test_a_question_that_cannot_be_answered_gets_a_line(node, question):
    node.look("a", question)
    assert node.answer["line"]
    node.look("b", b"[" + question + b"]", task="census")
    assert node.answer["line"] and node.begun == []
