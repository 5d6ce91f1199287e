"""Where viewers come in: tiles out, commands in, and who may do what. One process beside the directory.

    python -m umwelt.cluster.gateway.server SETTINGS      (umwelt launch and umwelt resume start it)

Nobody who connects here is trusted: all that one viewer asks is counted and bounded, whatever is malformed is dropped,
and who is silent for ten seconds is forgotten. Spectators may look; commands and orders are for keepers.
"""

import os
import sys
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from umwelt.agents.commands import deeds
from umwelt.agents.commands.requests import composed, needed, spoken
from umwelt.agents.open_world import torus_of
from umwelt.agents.world_file import WorldFile
from umwelt.cluster.gateway.journal_queries import RECALLED, Found, Recall
from umwelt.cluster.gateway.replay_process import MAX_TICKS_PER_S, Past
from umwelt.cluster.gateway.requests import Asks, Submits
from umwelt.cluster.gateway.task_requests import MAX_TASKS_OF_ONE, Tasking
from umwelt.cluster.gateway.tile_relay import Desk, Eye, Map
from umwelt.cluster.gateway.welcome import greeting
from umwelt.cluster.process import StopSignal, announce, read_settings, report_errors
from umwelt.cluster.run.store import Store
from umwelt.cluster.settings import GATEWAY_FILE, STATUS_SUBSCRIPTION_S
from umwelt.cluster.view import queries
from umwelt.cluster.wire import viewer_protocol
from umwelt.cluster.wire.keys import KEEPER, NODE, SPECTATOR, WORLD, Keys
from umwelt.cluster.wire.messages import version_mismatch
from umwelt.cluster.wire.protocol import (
    Order,
    QueryAnswer,
    StatusReport,
    StatusSubscription,
    SubmitCommands,
    TicketResult,
    decode,
    encode,
)
from umwelt.cluster.wire.transport import Incoming, Limits, Transport, ZmqTransport
from umwelt.cluster.wire.viewer_protocol import LIVE
from umwelt.sandbox.errors import RunError, UmweltError

DEAF_AFTER_S = 6.0
"""Without a report for so long, the line to the directory is opened anew."""
STATUS_S, STATUS_S_A_VIEWER = 0.2, 0.002
LOOKS_A_STATUS = 20
"""From one status to the next, viewers are looked through so often for those to whom one is due."""
IDLE_AFTER_S = 10.0
MAX_VIEWERS = 5000
MESSAGES_A_TURN = 512
TURN_S = 0.004
ANSWERS_KEPT = 64
MAX_TICKET = 64
MAX_QUESTIONS, MAX_QUESTIONS_OF_ONE = 200, 8
MAX_COMMANDS = 2000
BUSY_S, BUSY_AGAIN_S = 10.0, 0.1
"""For so long an order is said again to a directory that is busy."""
UNKNOWNS_A_S = 200.0
DOOR_LIMITS = Limits(message_bytes=4 << 20, queued=128, held_bytes=8 << 20)


class GatewaySettings(msgspec.Struct):
    """What the gateway is started with. `bind` is where its door opens, `run` the run's folder."""

    bind: str
    directory: str
    run: str
    keys: str = ""
    follow_parent: bool = True


@dataclass
class Bucket:
    """Tokens that come back with time."""

    rate: float
    most: float
    left: float = -1.0
    counted_s: float = 0.0

    def take(self, now_s: float, tokens: float = 1.0) -> bool:
        """Take tokens, if there are so many."""
        if self.left < 0:
            self.left = self.most
        self.left = min(self.most, self.left + self.rate * max(0.0, now_s - self.counted_s))
        self.counted_s = now_s
        if self.left < tokens:
            return False
        self.left -= tokens
        return True


@dataclass(eq=False)
class Viewer:
    """Someone who looks, and what he may still ask for."""

    eye: Eye
    role: str
    seen_s: float
    messages: Bucket = field(default_factory=lambda: Bucket(500, 1000))
    in_bytes: Bucket = field(default_factory=lambda: Bucket(1e6, 4e6))
    commands: Bucket = field(default_factory=lambda: Bucket(250, 500))
    questions: Bucket = field(default_factory=lambda: Bucket(20, 40))
    asking: int = 0
    running: set[str] = field(default_factory=set)
    tasks: dict[str, Callable[..., None]] = field(default_factory=dict)
    """Those under way by their tickets, with what takes their outcome."""
    answers: OrderedDict[str, list[Any]] = field(default_factory=OrderedDict)
    status_s: float = -1e9


class Gateway:
    """See the page's top. `door` is for viewers, `lines` lead to directory and nodes; `turn` is called ever again."""

    def __init__(
        self,
        world: WorldFile,
        door: Transport,
        lines: Transport,
        directory: str,
        run: Path | None = None,
        keys: Keys | None = None,
        keys_folder: str = "",
        clock: Callable[[], float] = time.monotonic,
        meter: Callable[[], float] = time.thread_time,
    ):
        self.world, self.door, self.lines, self.directory = world, door, lines, directory
        self.run, self.clock = run, clock
        self.viewers: dict[bytes, Viewer] = {}
        self.malformed = self.refused = 0
        """Messages that were none, and messages over somebody's bounds."""
        self.status: dict[str, Any] = {}
        self._status = b"{}"
        self._report: StatusReport | None = None
        self._map: Map | None = None
        self._heard_s = self._attended_s = -1e9
        self._unknowns = Bucket(UNKNOWNS_A_S, UNKNOWNS_A_S)
        self._swept_s = self._pushed_s = 0.0
        self._later: list[tuple[float, Callable[[], None]]] = []
        self.desk = Desk(keys, door.send, clock, meter)
        self.asks = Asks(torus_of(world), lines.send, self._map_of)
        self.tasking = Tasking(world, lines.send, self.asks, self._map_of, self._answer)
        self.submits = Submits(lambda frames: lines.send(directory, frames))
        self.past = Past(run, keys_folder, self.desk.point_to, self._gone, lines.send) if run is not None else None
        self.recall = Recall(world, Store(run).journal) if run is not None else None

    # --- turns

    def turn(self, wait_s: float) -> None:
        """Take in what came, then send what may be sent."""
        incoming = self.door.receive(wait_s)
        for _ in range(MESSAGES_A_TURN):
            if incoming is None:
                break
            self._take(incoming)
            incoming = self.door.receive(0.0)
        else:
            if incoming is not None:
                self._take(incoming)
        for _ in range(MESSAGES_A_TURN):
            incoming = self.lines.receive(0.0)
            if incoming is None:
                break
            self._hear(incoming)
        now_s = self.clock()
        if now_s - self._attended_s >= (STATUS_SUBSCRIPTION_S if self._heard_s > 0 else STATUS_SUBSCRIPTION_S / 20):
            self._attend(now_s)
        waiting, self._later = self._later, []
        for due_s, job in waiting:
            if due_s <= now_s:
                job()
            else:
                self._later.append((due_s, job))
        self.asks.turn(now_s, self.resting)
        self.tasking.turn(now_s, self.resting)
        self.submits.turn(now_s)
        if self.past is not None:
            for shown in self.asks.shown() | {s for s, source in self.desk.sources.items() if source.tiles}:
                self.past.use(shown, now_s)
            self.past.turn(now_s)
        if self.recall is not None:
            self.recall.turn()
        self._sweep(now_s)
        self._push(now_s)
        self.desk.turn()

    def _attend(self, now_s: float) -> None:
        if self._heard_s > 0 and now_s - self._heard_s > DEAF_AFTER_S:
            self.lines.forget(self.directory)
            self._heard_s = -1.0
        self._attended_s = now_s
        if not self.lines.send(self.directory, encode(StatusSubscription("gateway"))):
            self._attended_s = now_s - 0.95 * STATUS_SUBSCRIPTION_S  # the line is only being opened

    def _hear(self, incoming: Incoming) -> None:
        """From directory and nodes, on lines that we opened."""
        try:
            message, raw = decode(incoming.frames)
        except ValueError:
            return
        if isinstance(message, StatusReport):
            self._take_report(message)
        elif isinstance(message, TicketResult):
            self.submits.take(message)
            if self.past is not None:
                self.past.take(message)
        elif isinstance(message, QueryAnswer):
            if not self.tasking.take(message, raw, incoming.sender):
                self.asks.take(message, raw, self.clock())

    def _take_report(self, report: StatusReport) -> None:
        self._heard_s = self.clock()
        self._status = report.status
        try:
            self.status = msgspec.json.decode(report.status, type=dict[str, Any])
        except msgspec.DecodeError:
            return
        doors = tuple(member.address for member in report.members)
        tiles = tuple(member.tiles_address for member in report.members)
        rectangles = tuple(member.rectangle for member in report.members)
        found = Map(report.epoch, report.pass_key, doors, tiles, rectangles)
        if found != self._map:
            for door in set(self._map.doors if self._map else ()) - set(doors):
                self.lines.forget(door)
            self._map = found if doors else None
            self.desk.point_to(LIVE, found)

    @property
    def resting(self) -> bool:
        """Whether no tick comes just now, as far as is known here."""
        return bool(self.status.get("paused")) or self.status.get("phase") != "running"

    def _map_of(self, shown: int) -> Map | None:
        if shown == LIVE:
            return self._map
        return self.past.map_of(shown) if self.past is not None else None

    def _gone(self, shown: int) -> None:
        self.desk.drop(shown, [viewer.eye for viewer in self.viewers.values()])

    def _sweep(self, now_s: float) -> None:
        if now_s - self._swept_s < 1.0:
            return
        self._swept_s = now_s
        for sender in [s for s, viewer in self.viewers.items() if now_s - viewer.seen_s > IDLE_AFTER_S]:
            self._leave(self.viewers[sender])

    def _leave(self, viewer: Viewer) -> None:
        """Nobody looks, and nobody waits for tasks."""
        self.desk.leave(viewer.eye)
        self.viewers.pop(viewer.eye.sender, None)
        self.tasking.halt(viewer, list(viewer.tasks))

    def _push(self, now_s: float) -> None:
        """The status to everybody, less often where they are many."""
        every_s = max(STATUS_S, STATUS_S_A_VIEWER * len(self.viewers))
        if now_s - self._pushed_s < every_s / LOOKS_A_STATUS:
            return  # not all viewers are looked at each time somebody says something
        self._pushed_s = now_s
        due = [viewer for viewer in self.viewers.values() if now_s - viewer.status_s >= every_s]
        if due:
            frames = viewer_protocol.encode(
                viewer_protocol.Status(self._status, max(0.0, min(now_s - self._heard_s, 1e6)))
            )
            for viewer in due[:MESSAGES_A_TURN]:
                viewer.status_s = now_s
                self.door.send(viewer.eye.sender, frames)

    # --- viewers

    def _take(self, incoming: Incoming) -> None:
        now_s = self.clock()
        viewer = self.viewers.get(incoming.sender)
        if viewer is not None:
            size = sum(map(len, incoming.frames))
            if not viewer.messages.take(now_s) or not viewer.in_bytes.take(now_s, size):
                self.refused += 1
                return
        elif not self._unknowns.take(now_s):
            self.refused += 1
            return
        try:
            message, _ = viewer_protocol.decode(incoming.frames)
        except ValueError:
            self.malformed += 1
            return
        if isinstance(message, viewer_protocol.Hello):
            self._welcome(incoming, message, now_s)
            return
        if viewer is None:
            self.door.send(incoming.sender, viewer_protocol.encode(viewer_protocol.UnknownViewer()))
            return
        viewer.seen_s, viewer.role = now_s, incoming.role
        handler = getattr(self, f"_take_{type(message).__name__.lower()}", None)
        if handler is None:
            self.malformed += 1
            return
        ticket = getattr(message, "ticket", None)
        if ticket is None:
            handler(viewer, message, now_s)
        elif not 0 < len(ticket) <= MAX_TICKET:
            self.malformed += 1
        elif ticket in viewer.answers:
            self.door.send(incoming.sender, viewer.answers[ticket])
        elif ticket not in viewer.running:
            viewer.running.add(ticket)
            try:
                handler(viewer, message, now_s)
            except UmweltError as error:
                self._answer(viewer, ticket, -1, line=str(error))

    def _welcome(self, incoming: Incoming, hello: viewer_protocol.Hello, now_s: float) -> None:
        if hello.protocol_version != viewer_protocol.PROTOCOL_VERSION:
            line = version_mismatch(
                "this viewer", hello.protocol_version, "the gateway", viewer_protocol.PROTOCOL_VERSION
            )
            self.door.send(incoming.sender, viewer_protocol.encode(viewer_protocol.Answer("", -1, line)))
            return
        known = self.viewers.get(incoming.sender)
        if known is not None:
            known.seen_s, known.role = now_s, incoming.role
        elif len(self.viewers) < MAX_VIEWERS:
            self.viewers[incoming.sender] = Viewer(Eye(incoming.sender), incoming.role, now_s)
        else:
            line = f"{MAX_VIEWERS} look at this world already: try again later"
            self.door.send(incoming.sender, viewer_protocol.encode(viewer_protocol.Answer("", -1, line)))
            return
        self.door.send(incoming.sender, viewer_protocol.encode(greeting(self.world, incoming.role, self.directory)))

    def _answer(
        self, viewer: Viewer, ticket: str, tick: int, content: bytes = b"{}", raw: bytes = b"", line: str = ""
    ) -> None:
        frames = viewer_protocol.encode(viewer_protocol.Answer(ticket, tick, line, content), [raw] if raw else [])
        viewer.running.discard(ticket)
        if len(raw) + len(content) < 1 << 16:  # a large answer that was lost is worked out again
            viewer.answers[ticket] = frames
            while len(viewer.answers) > ANSWERS_KEPT:
                viewer.answers.popitem(last=False)
        self.door.send(viewer.eye.sender, frames)

    def _take_keepalive(self, viewer: Viewer, message: Any, now_s: float) -> None:
        pass

    def _take_goodbye(self, viewer: Viewer, message: Any, now_s: float) -> None:
        self._leave(viewer)

    def _take_credit(self, viewer: Viewer, message: viewer_protocol.Credit, now_s: float) -> None:
        self.desk.credit(viewer.eye, max(0, message.tiles))

    def _take_watch(self, viewer: Viewer, message: viewer_protocol.Watch, now_s: float) -> None:
        try:
            self.desk.watch(viewer.eye, message.shown, message.topics, message.credit)
        except ValueError as error:
            self.malformed += 1
            self.door.send(viewer.eye.sender, viewer_protocol.encode(viewer_protocol.Answer("watch", -1, str(error))))

    # --- commands

    def _keeper(self, viewer: Viewer, what: str) -> None:
        if viewer.role not in (KEEPER, WORLD):
            raise RunError(f"{what[:40]}: a {viewer.role} may look, not change the world: come with a keeper's key")

    def _take_command(self, viewer: Viewer, message: viewer_protocol.Command, now_s: float) -> None:
        self._keeper(viewer, message.what)
        if len(self.submits) + len(self.asks) >= MAX_COMMANDS or not viewer.commands.take(now_s):
            raise RunError("too many commands at once: give fewer a second")
        command = spoken(message.what, message.arguments)
        if not needed(command):
            self._submit(viewer, message.ticket, command, None)
            return

        def found(part: queries.Part | None, line: str) -> None:
            if part is None:
                self._answer(viewer, message.ticket, -1, line=line)
                return
            try:
                self._submit(viewer, message.ticket, command, queries.being_of(part.answer))
            except (UmweltError, ValueError) as error:
                self._answer(viewer, message.ticket, -1, line=str(error))

        self.asks.ask(queries.Fetch(needed(command)), LIVE, now_s, found)

    def _submit(self, viewer: Viewer, ticket: str, command: Any, being: dict[str, Any] | None) -> None:
        written = [deeds.written(deed) for deed in composed(self.world, command, being)]
        if not written:
            raise RunError("deeds: none are given: give at least one")
        self.submits.submit(SubmitCommands(ticket, written), self.clock(), self._settled(viewer, ticket))

    def _take_order(self, viewer: Viewer, message: viewer_protocol.Order, now_s: float) -> None:
        self._keeper(viewer, message.what)
        if len(self.submits) >= MAX_COMMANDS or not viewer.commands.take(now_s):
            raise RunError("too many orders at once: give fewer a second")
        if message.what not in ("pause", "go", "step", "speed", "save", "leave", "stop"):
            raise RunError(f"{message.what[:40]}: nobody knows this order")
        if not abs(message.value) < 1e9:  # neither infinite nor nan
            raise RunError(f"{message.what} {message.value}: give a number")
        order = Order(message.ticket, message.what, message.value, message.name[:200])
        self._say_order(order, self._settled(viewer, message.ticket), now_s, now_s + BUSY_S)

    def _say_order(self, order: Order, done: Callable[[TicketResult | None], None], now_s: float, end_s: float) -> None:
        """Say an order, and again a little later where the world is busy just now."""

        def settled(found: TicketResult | None) -> None:
            later_s = self.clock() + BUSY_AGAIN_S
            if found is not None and found.line.endswith("try again") and later_s < end_s:
                self._later.append((later_s, lambda: self._say_order(order, done, later_s, end_s)))
            else:
                done(found)

        self.submits.submit(order, now_s, settled)

    def _settled(self, viewer: Viewer, ticket: str) -> Callable[[TicketResult | None], None]:
        def done(settled: TicketResult | None) -> None:
            if settled is None:
                line = "the directory does not answer: see whether the world still runs: umwelt status"
                self._answer(viewer, ticket, -1, line=line)
            else:
                content = msgspec.json.encode({"number": settled.number})
                self._answer(viewer, ticket, settled.tick, content, line=settled.line)

        return done

    # --- questions and the past

    def _take_query(self, viewer: Viewer, message: viewer_protocol.Query, now_s: float) -> None:
        if viewer.asking >= MAX_QUESTIONS_OF_ONE or len(self.asks) >= MAX_QUESTIONS:
            raise RunError("too many questions at once: wait for their answers")
        if not viewer.questions.take(now_s):
            raise RunError("too many questions a second: ask fewer")
        if self._map_of(message.shown) is None and message.shown != LIVE:
            raise RunError(f"tick {message.shown} is not shown: ask for it first")
        question = queries.checked(self.world, queries.read(message.question))
        viewer.asking += 1

        def done(part: queries.Part | None, line: str) -> None:
            viewer.asking -= 1
            if part is None:
                self._answer(viewer, message.ticket, -1, line=line)
            else:
                self._answer(viewer, message.ticket, part.tick, msgspec.json.encode(part.answer), part.raw)

        self.asks.ask(question, message.shown, now_s, done)

    # --- tasks

    def _take_tasks(self, viewer: Viewer, message: viewer_protocol.Tasks, now_s: float) -> None:
        for task in message.tasks[:MAX_TASKS_OF_ONE]:
            if not 0 < len(task.ticket) <= MAX_TICKET:
                self.malformed += 1
            elif task.ticket in viewer.answers:
                self.door.send(viewer.eye.sender, viewer.answers[task.ticket])
            elif task.ticket not in viewer.running:
                viewer.running.add(task.ticket)
                try:
                    self.tasking.begin(viewer, task, now_s)
                except UmweltError as error:
                    self._answer(viewer, task.ticket, -1, line=str(error))

    def _take_canceltasks(self, viewer: Viewer, message: viewer_protocol.CancelTasks, now_s: float) -> None:
        self.tasking.halt(viewer, message.tickets)

    def _take_history(self, viewer: Viewer, message: viewer_protocol.History, now_s: float) -> None:
        if self.past is None or self.recall is None or self.run is None:
            raise RunError("this gateway knows no run folder: it cannot show the past")
        if message.what in RECALLED:
            self._recall(self.recall, viewer, message, now_s)
            return
        if message.what == "play":
            self._play(self.past, viewer, message, now_s)
            return
        reached = int(self.status.get("tick", 0))
        if message.what == "list":
            found = [{"tick": one.tick, "kept": one.kept} for one in reversed(Store.open(self.run).entries())]
            content = {"snapshots": found, "reached": reached, "shown": self.past.shown()}
            self._answer(viewer, message.ticket, reached, msgspec.json.encode(content))
            return
        if message.what not in ("show", "fork"):
            raise RunError(f"{message.what[:40]}: ask to list, show, play, fork, or for {', '.join(RECALLED)}")
        if message.what == "fork":
            self._keeper(viewer, "fork")
        if not 0 <= message.tick <= reached:
            raise RunError(f"tick {message.tick}: the run has reached tick {reached}: give one from 0 to {reached}")
        if not viewer.questions.take(now_s, 4.0):
            raise RunError("too many moments at once: ask for fewer")

        def done(found: dict[str, Any], line: str) -> None:
            content = msgspec.json.encode({"run": found.get("run", "")})
            self._answer(viewer, message.ticket, -1 if line else message.tick, content, line=line)

        self.past.begin(message.what, message.tick, now_s, done)

    def _play(self, past: Past, viewer: Viewer, message: viewer_protocol.History, now_s: float) -> None:
        if not 0 <= message.value <= MAX_TICKS_PER_S:  # nan neither
            raise RunError(f"play {message.value}: give 0 (rest) to {MAX_TICKS_PER_S} ticks a second")
        if not viewer.questions.take(now_s):
            raise RunError("too many questions a second: ask fewer")

        def done(tick: int, line: str) -> None:
            self._answer(viewer, message.ticket, -1 if line else tick, line=line)

        past.play(message.tick, message.value, now_s, done)

    def _recall(self, recall: Recall, viewer: Viewer, message: viewer_protocol.History, now_s: float) -> None:
        if viewer.asking >= MAX_QUESTIONS_OF_ONE:
            raise RunError("too many questions at once: wait for their answers")
        if not viewer.questions.take(now_s):
            raise RunError("too many questions a second: ask fewer")

        def done(found: Found | None, line: str) -> None:
            viewer.asking -= 1
            if found is None:
                self._answer(viewer, message.ticket, -1, line=line)
            else:
                reached = int(self.status.get("tick", 0))
                self._answer(viewer, message.ticket, reached, msgspec.json.encode(found.content), found.raw)

        recall.begin(message, done)
        viewer.asking += 1

    def close(self) -> None:
        """Close what the gateway opened itself; door and lines are others'."""
        self.desk.close()
        if self.past is not None:
            self.past.close()
        if self.recall is not None:
            self.recall.close()


def serve(settings: GatewaySettings) -> None:
    """Let viewers in until the process is asked to end, or its parent is gone."""
    from umwelt.cluster.run.replay import described_world

    ending = StopSignal(settings.follow_parent)
    run = Path(settings.run)
    world = described_world(Store.open(run))
    keys = Keys.load(Path(settings.keys), WORLD) if settings.keys else None
    admitted = frozenset({KEEPER, NODE, SPECTATOR, WORLD})  # nodes ask where to join
    lines = ZmqTransport(b"", None, keys, WORLD)
    with lines, ZmqTransport(b"", settings.bind, keys, WORLD, admitted, DOOR_LIMITS) as door:
        gateway = Gateway(world, door, lines, settings.directory, run, keys, settings.keys, meter=time.process_time)
        content = {"address": door.address, "pid": os.getpid(), "keys": keys is not None, "world": world.name}
        announce(run / GATEWAY_FILE, content)
        try:
            while not ending.asked and not ending.orphaned:
                gateway.turn(TURN_S)
        finally:
            with suppress(OSError):
                (run / GATEWAY_FILE).unlink()
            gateway.close()


def main(settings: GatewaySettings | None = None) -> None:
    """The process' entry."""
    with report_errors("gateway"):
        os.nice(5)
        serve(settings or read_settings(GatewaySettings))
        sys.exit(0)


if __name__ == "__main__":
    main()
