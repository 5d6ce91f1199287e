"""What the gateway does with tasks that viewers ask for: who may, how many, and where their results go."""

from collections.abc import Callable
from typing import Any

from msgspec import structs

from umwelt.agents.open_world import torus_of
from umwelt.agents.world_file import WorldFile, one_line
from umwelt.cluster.gateway.requests import Asks, Send, Work
from umwelt.cluster.gateway.task_scheduler import Placing
from umwelt.cluster.gateway.tile_relay import Map
from umwelt.cluster.tasks.registry import BUSY, FOR_EVERYONE, HERE_ALONE, MAX_ARGUMENT_BYTES, MAX_WITHIN_S, WITHIN_S
from umwelt.cluster.view import queries
from umwelt.cluster.wire.keys import KEEPER, WORLD
from umwelt.cluster.wire.protocol import Sight
from umwelt.cluster.wire.viewer_protocol import LIVE, Task
from umwelt.sandbox.errors import RunError

MAX_TASKS, MAX_TASKS_OF_ONE = 4096, 256
MAX_OVER_DATA, MAX_OVER_DATA_OF_ONE = 200, 8
MAX_QUESTIONS = 8
MAX_HELD_BYTES = 128 << 20
"""Of arguments that wait."""
MAX_RESULTS_BYTES = 3 << 20
"""Of one task over data, from all nodes together."""


class Tasking:
    """See the page's top. `answer(viewer, ticket, tick, raw=, line=)` tells a viewer what came of a ticket."""

    def __init__(
        self,
        world: WorldFile,
        send: Send,
        asks: Asks,
        map_of: Callable[[int], Map | None],
        answer: Callable[..., None],
    ):
        self._world, self._asks, self._map_of, self._answer = world, asks, map_of, answer
        self.placing = Placing(torus_of(world), send, lambda: map_of(LIVE))
        self.resting = True

    def turn(self, now_s: float, resting: bool) -> None:
        """Place what waits; `resting`: no tick comes just now."""
        self.resting = resting
        self.placing.turn(now_s)

    def take(self, sight: Sight, raw: list[Any], sender: bytes) -> bool:
        """A node has answered; gives whether it was about a task that was placed."""
        return self.placing.take(sight, raw, sender)

    def begin(self, viewer: Any, task: Task, now_s: float) -> None:
        """Have a task done, if this viewer may; `RunError` if not."""
        what = one_line(f'task "{task.name[:80]}"')
        if task.name not in FOR_EVERYONE and viewer.role not in (KEEPER, WORLD):
            may = ", ".join(FOR_EVERYONE)
            raise RunError(f"{what}: a {viewer.role} may ask for {may} alone: come with a keeper's key")
        if task.name in HERE_ALONE:
            raise RunError(f"{what}: is not done from afar: use umwelt {task.name.partition('.')[0]}")
        within_s = task.within_s or WITHIN_S
        if not 0 < within_s <= MAX_WITHIN_S:  # nan neither
            raise RunError(f"{what}: within {task.within_s:g} s: give it up to {MAX_WITHIN_S:g} s")
        if len(task.arguments) > MAX_ARGUMENT_BYTES or len(task.name) > 80:
            raise RunError(f"{what}: its arguments are too long: give {MAX_ARGUMENT_BYTES >> 10} KiB at most")
        much = self.placing.held_bytes + len(task.arguments) > MAX_HELD_BYTES
        if len(viewer.tasks) >= MAX_TASKS_OF_ONE or len(self.placing) >= MAX_TASKS or much:
            raise RunError(f"{what}: too many tasks at once: {BUSY}")
        if task.questions:
            self._begin_over_data(viewer, task, Work(task.name, task.arguments, within_s), now_s)
            return
        if len(task.near) not in (0, 2) or any(abs(one) > 1 << 30 for one in task.near):
            raise RunError(f"{what}: near {list(task.near)[:8]}: give y and x")

        def done(found: bytes, line: str) -> None:
            del viewer.tasks[task.ticket]
            self._answer(viewer, task.ticket, -1, raw=found, line=line)

        viewer.tasks[task.ticket] = done
        self.placing.begin(viewer, structs.replace(task, within_s=within_s), done)

    def _begin_over_data(self, viewer: Any, task: Task, work: Work, now_s: float) -> None:
        what = f'task "{work.task}"'
        if viewer.asking >= MAX_OVER_DATA_OF_ONE or len(self._asks) >= MAX_OVER_DATA:
            raise RunError(f"{what}: too many questions at once: {BUSY}")
        if viewer.role not in (KEEPER, WORLD) and not viewer.questions.take(now_s):
            raise RunError(f"{what}: too many questions a second: {BUSY}")
        many = [queries.check(self._world, one, True) for one in queries.read_many(task.questions)]
        if not 0 < len(many) <= MAX_QUESTIONS:
            raise RunError(f"{what}: {len(many)} questions: give 1 to {MAX_QUESTIONS}")
        if self._map_of(task.shown) is None and task.shown != LIVE:
            raise RunError(f"tick {task.shown} is not shown: ask for it first")

        def done(part: queries.Part | None, line: str) -> None:
            viewer.asking -= 1
            del viewer.tasks[task.ticket]
            if part is not None and len(part.raw) > MAX_RESULTS_BYTES:
                size, most = len(part.raw) >> 10, MAX_RESULTS_BYTES >> 10
                part, line = None, f"{what}: results of {size} KiB: let the nodes give {most} KiB at most"
            if part is None:
                self._answer(viewer, task.ticket, -1, line=line)
            else:
                self._answer(viewer, task.ticket, part.tick, raw=part.raw)

        viewer.asking += 1
        viewer.tasks[task.ticket] = done
        self._asks.ask(many, task.shown, now_s, done, work, task.shown != LIVE or self.resting)

    def halt(self, viewer: Any, tickets: list[str]) -> None:
        """Let go of tasks that a viewer does not want any more."""
        gone = {ticket: viewer.tasks.pop(ticket) for ticket in tickets if ticket in viewer.tasks}
        viewer.running -= gone.keys()
        self.placing.drop(viewer, set(gone))
        for done in gone.values():
            viewer.asking -= self._asks.drop(done)
