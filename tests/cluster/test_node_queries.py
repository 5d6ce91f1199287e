"""A gateway's queries to several nodes: all answers are of one tick. No I/O: the test gives the nodes' answers."""

import msgspec
import pytest

from umwelt.cluster.gateway.node_map import NodeMap
from umwelt.cluster.gateway.node_queries import (
    MAX_ROUNDS,
    TICK_WITHIN_RESTING_S,
    TICK_WITHIN_S,
    NodeQueries,
    NodeTask,
)
from umwelt.cluster.tasks.registry import pack, unpack
from umwelt.cluster.view.queries import Count, Fetch, Part
from umwelt.cluster.wire.protocol import CancelTasks, QueryAnswer, QueryRequest, decode
from umwelt.sandbox.errors import CommandError, RunError, UmweltError
from umwelt.sandbox.region import Torus

MAP = NodeMap(1, b"pass", ("west", "east"), (), ((0, 0, 64, 32), (0, 32, 64, 32)))
ONE = b'{"counts":{"monsters":{"grazer":1}}}'


class Asked:
    """One query to two nodes: `said` has the messages to them, `outcomes` the result or error."""

    def __init__(self, question, task: NodeTask | None = None, resting: bool = True):
        self.now_s, self.map = 0.0, MAP
        self.said: list[tuple[str, QueryRequest | CancelTasks]] = []
        self.outcomes: list[Part | UmweltError] = []
        self.queries = NodeQueries(Torus(64, 64), self._send, lambda shown: self.map)
        self.queries.begin(question, -1, 0.0, self.outcomes.append, task, resting)

    def _send(self, door: str, frames: list) -> bool:
        self.said.append((door, decode(frames)[0]))
        return True

    @property
    def look(self) -> QueryRequest:
        return next(said for _, said in reversed(self.said) if isinstance(said, QueryRequest))

    def answer(self, source: int, tick: int, answer: bytes = ONE, raw: bytes = b"") -> None:
        self.queries.take(QueryAnswer(self.look.ticket, self.map.epoch, source, tick, answer), [raw], self.now_s)

    def poll(self, seconds: float, resting: bool = False) -> None:
        self.now_s += seconds
        self.queries.poll(self.now_s, resting)


def test_nodes_at_one_tick_answer_at_once():
    asked = Asked(Count())
    assert [door for door, _ in asked.said] == ["west", "east"] and asked.look.tick == -1
    asked.answer(0, 7)
    asked.answer(1, 7)
    (part,) = asked.outcomes
    assert (part.tick, part.answer["ticks"], part.answer["counts"]["monsters"]) == (7, [7], {"grazer": 2})


def test_nodes_at_several_ticks_are_asked_for_one_ahead_of_all():
    asked = Asked(Count())
    asked.answer(0, 7)
    asked.answer(1, 9)
    assert asked.outcomes == [] and asked.look.tick == 10
    for source in (0, 1):
        asked.answer(source, 10)
    assert asked.outcomes[0].tick == 10


def test_after_a_missed_tick_one_twice_as_far_ahead_as_the_nodes_moved_is_asked_for():
    asked = Asked(Count())
    asked.answer(0, 0)
    asked.answer(1, 1)
    assert asked.look.tick == 2
    asked.answer(0, 8, b'{"passed":true}')
    assert asked.look.tick == 8 + 1 + 2 * 7
    asked.answer(1, 30, b'{"passed":true}')
    assert asked.look.tick == 30 + 1 + 2 * 22 and asked.outcomes == []


def test_nodes_that_never_reach_one_tick_end_the_query_with_an_error():
    asked = Asked(Count())
    for at in range(MAX_ROUNDS + 1):
        asked.answer(0, 1000 * at, b'{"passed":true}')
    (error,) = asked.outcomes
    assert isinstance(error, RunError) and "do not come to one tick" in str(error) and len(asked.queries) == 0


@pytest.mark.parametrize(("resting", "late_s"), [(True, TICK_WITHIN_RESTING_S), (False, TICK_WITHIN_S)])
def test_a_tick_that_does_not_come_is_given_up_sooner_where_the_world_rests(resting, late_s):
    asked = Asked(Count())
    asked.answer(0, 7)
    asked.answer(1, 9)
    asked.poll(late_s - 0.1, resting)
    asked.answer(0, 9, b'{"waits":true}')
    asked.poll(0.05, resting)
    assert asked.look.tick == 10
    asked.poll(0.1, resting)
    assert asked.look.tick == -1
    for source in (0, 1):
        asked.answer(source, 9)
    assert asked.outcomes[0].tick == 9


def test_a_long_task_does_not_count_as_a_tick_that_does_not_come():
    asked = Asked(Count(), NodeTask("census", b"", 60.0), resting=False)
    asked.answer(0, 3, b'{"passed":true}')
    look = asked.look
    for _ in range(20):
        asked.poll(1.0)
    assert asked.look.ticket == look.ticket and asked.look.tick == 4


def test_a_task_in_a_running_world_first_asks_for_the_ticks_of_the_nodes():
    asked = Asked([Count(), Count()], NodeTask("census", b"abc", 5.0), resting=False)
    assert (asked.look.tick, asked.look.task, asked.look.arguments, asked.look.within_s) == (0, "census", b"abc", 5.0)
    asked.answer(1, 20, b'{"passed":true}')
    assert asked.look.tick == 21
    asked.answer(1, 21, b"{}", pack("east"))
    asked.answer(0, 21, b"{}", pack("west"))
    part = asked.outcomes[0]
    assert part.tick == 21 and unpack(part.raw) == ["west", "east"]


def test_only_nodes_that_own_a_part_of_the_rectangle_are_asked():
    asked = Asked(Count((0, 60, 4, 10)))
    assert [door for door, _ in asked.said] == ["west", "east"]  # the rectangle extends across the seam
    asked = Asked(Count((0, 40, 4, 10)))
    assert [door for door, _ in asked.said] == ["east"]
    asked.answer(0, 7)
    assert asked.outcomes == []
    asked.answer(1, 7)
    assert asked.outcomes[0].tick == 7


def test_a_fetched_being_needs_no_common_tick_but_a_missing_one_does():
    asked = Asked(Fetch(5))
    asked.answer(0, 7, b'{"being":{"kind":"monsters"}}')
    asked.answer(1, 9, b'{"being":null}')
    assert asked.outcomes[0].answer["being"]
    asked = Asked(Fetch(5))
    asked.answer(0, 7, b'{"being":null}')
    asked.answer(1, 9, b'{"being":null}')
    assert asked.outcomes == [] and asked.look.tick == 10  # it may have moved between the nodes


def test_a_task_whose_worker_dies_is_tried_again_up_to_the_limit():
    asked = Asked(Count(), NodeTask("own.crash", b"", 5.0))
    for _ in range(3):
        assert asked.outcomes == []
        asked.answer(0, 7, b'{"line":"ended its process","code":"run","again":true}')
    (error,) = asked.outcomes
    assert (str(error), error.code) == ("ended its process", "run")


def test_an_error_of_a_node_keeps_its_code():
    asked = Asked(Count())
    asked.answer(0, 7, b'{"line":"unknown column","code":"command"}')
    (error,) = asked.outcomes
    assert isinstance(error, CommandError) and str(error) == "unknown column"


def test_a_task_under_an_old_map_is_cancelled():
    asked = Asked(Count(), NodeTask("census", b"", 5.0))
    ticket = asked.look.ticket
    asked.map = MAP._replace(epoch=2)
    asked.poll(0.1)
    assert ("west", CancelTasks(1, b"pass", [ticket])) in asked.said and asked.look.epoch == 2
    assert msgspec.json.decode(asked.look.question) == [{"ask": "count", "rectangle": None}]
