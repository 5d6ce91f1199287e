"""The gateway, the process that viewers connect to: sends tiles, and accepts commands, queries and tasks.

Each message of a viewer is charged to the viewer's budget (viewer_session.py) and passed to the component that handles
its type. Spectators can watch and query; commands and orders need a keeper's key.

A *ticket* is the id of a request, which the viewer chooses. A repeated request is recognised by it, and the answer
contains it.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from umwelt.agents.open_world import torus_of
from umwelt.agents.world_file import WorldFile
from umwelt.cluster.gateway.command_submitter import CommandSubmitter
from umwelt.cluster.gateway.coordinator_link import CoordinatorLink
from umwelt.cluster.gateway.coordinator_requests import CoordinatorRequests
from umwelt.cluster.gateway.history_router import HistoryRouter
from umwelt.cluster.gateway.journal_queries import JournalQueries
from umwelt.cluster.gateway.node_map import NodeMap
from umwelt.cluster.gateway.node_queries import NodeQueries
from umwelt.cluster.gateway.query_router import QueryRouter
from umwelt.cluster.gateway.replay_launcher import ReplayProcesses
from umwelt.cluster.gateway.status_broadcast import StatusBroadcaster
from umwelt.cluster.gateway.task_requests import TaskRequests
from umwelt.cluster.gateway.tile_relay import TileRelay
from umwelt.cluster.gateway.viewer_session import MAX_TICKET, ViewerSession, ViewerSessions
from umwelt.cluster.gateway.welcome import compose_welcome
from umwelt.cluster.run.store import Store
from umwelt.cluster.wire import protocol, viewer_protocol
from umwelt.cluster.wire.keys import Keys
from umwelt.cluster.wire.transport import Incoming, Transport
from umwelt.cluster.wire.viewer_protocol import LIVE
from umwelt.sandbox.errors import RunError, UmweltError

MESSAGES_A_TURN = 512
_Request: TypeAlias = (
    viewer_protocol.CommandRequest | viewer_protocol.Order | viewer_protocol.Query | viewer_protocol.History
)
"""Messages that have a ticket and are executed once."""


class Gateway:
    """Creates the components of a gateway and dispatches messages to them. Used by one thread, which calls `poll`.

    `door` is the transport to which viewers connect; `lines` is the transport that connects to the coordinator and the
    nodes. Both are closed by the caller. `run` is the run's folder; without it, the gateway cannot serve requests about
    the past. `keys_folder` is the folder of `keys`, for replay processes. `processor_s` returns the processor time that
    the process has used, in seconds.
    """

    def __init__(
        self,
        world: WorldFile,
        door: Transport,
        lines: Transport,
        coordinator_address: str,
        run: Path | None = None,
        keys: Keys | None = None,
        keys_folder: str = "",
        clock: Callable[[], float] = time.monotonic,
        processor_s: Callable[[], float] = time.thread_time,
    ):
        self._door, self._lines, self._clock = door, lines, clock
        self.sessions = ViewerSessions(door.send, lambda role: compose_welcome(world, role, coordinator_address))
        self.relay = TileRelay(keys, door.send, clock, processor_s)
        self.coordinator = CoordinatorLink(lines, coordinator_address, self._take_map)
        self.status_broadcaster = StatusBroadcaster(self.sessions, self.coordinator)
        self.node_queries = NodeQueries(torus_of(world), lines.send, self.map_of)
        self.queries = QueryRouter(world, self.node_queries, self.map_of)
        self.tasks = TaskRequests(world, lines.send, self.node_queries, self.map_of)
        self.coordinator_requests = CoordinatorRequests(lambda frames: lines.send(coordinator_address, frames))
        self.commands = CommandSubmitter(world, self.coordinator_requests, self.node_queries, clock)
        self.replays: ReplayProcesses | None = None
        self.history: HistoryRouter | None = None
        if run is not None:
            self.replays = ReplayProcesses(run, keys_folder, self.relay.connect_to, self._remove_shown, lines.send)
            self.journal_queries = JournalQueries(world, Store(run).journal)
            self.history = HistoryRouter(run, self.replays, self.journal_queries, lambda: self.coordinator.tick)

    def map_of(self, shown: int) -> NodeMap | None:
        """Returns the nodes of the live world or of a replayed tick, or None if there are none at present."""
        if shown == LIVE:
            return self.coordinator.node_map
        return self.replays.map_of(shown) if self.replays is not None else None

    def _take_map(self, node_map: NodeMap) -> None:
        """Subscribes to the tiles of the nodes in a new map."""
        self.relay.connect_to(LIVE, node_map)

    def poll(self, wait_s: float) -> None:
        """Waits up to `wait_s` seconds for a message of a viewer, handles all messages, and sends what is due."""
        incoming = self._door.receive(wait_s)
        for _ in range(MESSAGES_A_TURN):
            if incoming is None:
                break
            self._take_from_viewer(incoming)
            incoming = self._door.receive(0.0)
        if incoming is not None:
            self._take_from_viewer(incoming)
        for _ in range(MESSAGES_A_TURN):
            incoming = self._lines.receive(0.0)
            if incoming is None:
                break
            self._take_from_cluster(incoming)
        now_s = self._clock()
        self.coordinator.poll(now_s)
        self.commands.poll(now_s)
        self.node_queries.poll(now_s, self.coordinator.is_resting)
        self.tasks.poll(now_s, self.coordinator.is_resting)
        self.coordinator_requests.poll(now_s)
        if self.history is not None:
            watched = {shown for shown, source in self.relay.sources.items() if source.tiles}
            self.history.poll(self.node_queries.shown() | watched, now_s)
        for session in self.sessions.idle(now_s):
            self._remove(session)
        self.status_broadcaster.poll(now_s)
        self.relay.poll()

    def _take_from_cluster(self, incoming: Incoming) -> None:
        """Handles a message of the coordinator, a node or a replay process."""
        try:
            message, raw = protocol.decode(incoming.frames)
        except ValueError:
            return
        match message:
            case protocol.StatusReport():
                self.coordinator.take_report(message, self._clock())
            case protocol.TicketResult():
                self.coordinator_requests.take(message)
                if self.replays is not None:
                    self.replays.take(message)
            case protocol.QueryAnswer():
                if not self.tasks.take(message, raw, incoming.sender):
                    self.node_queries.take(message, raw, self._clock())

    def _take_from_viewer(self, incoming: Incoming) -> None:
        """Handles a message of a viewer that has a session; counts messages of other classes as malformed."""
        now_s = self._clock()
        accepted = self.sessions.accept(incoming, now_s)
        if accepted is None:
            return
        session, message = accepted
        match message:
            case viewer_protocol.KeepAlive():
                pass
            case viewer_protocol.Goodbye():
                self._remove(session)
            case viewer_protocol.Credit():
                self.relay.add_credit(session.tiles, max(0, message.tiles))
            case viewer_protocol.Watch():
                self._watch(session, message)
            case viewer_protocol.Tasks():
                self.sessions.malformed += self.tasks.begin_all(session, message.tasks, now_s)
            case viewer_protocol.CancelTasks():
                self.tasks.cancel(session, message.tickets)
            case (
                viewer_protocol.CommandRequest()
                | viewer_protocol.Order()
                | viewer_protocol.Query()
                | viewer_protocol.History()
            ):
                self._begin_request(session, message, now_s)
            case _:
                self.sessions.malformed += 1

    def _begin_request(self, session: ViewerSession, message: _Request, now_s: float) -> None:
        """Starts a request, at most once per ticket; an UmweltError is sent as its answer."""
        if not 0 < len(message.ticket) <= MAX_TICKET:
            self.sessions.malformed += 1
            return
        if not session.open_ticket(message.ticket):
            return
        try:
            match message:
                case viewer_protocol.CommandRequest():
                    self.commands.command(session, message, now_s)
                case viewer_protocol.Order():
                    self.commands.order(session, message, now_s)
                case viewer_protocol.Query():
                    self.queries.begin(session, message, now_s)
                case viewer_protocol.History():
                    if self.history is None:
                        raise RunError("this gateway has no run folder: it cannot show the past")
                    self.history.begin(session, message, now_s)
        except UmweltError as error:
            session.fail(message.ticket, error)

    def _watch(self, session: ViewerSession, message: viewer_protocol.Watch) -> None:
        """Sets the tiles that a viewer watches; answers with an error under the ticket "watch" if this is not valid."""
        try:
            self.relay.watch(session.tiles, message.shown, message.topics, message.credit)
        except ValueError as error:
            self.sessions.malformed += 1
            answer = viewer_protocol.Answer("watch", -1, str(error), code=RunError.code)
            session.send_frames(session.identity, viewer_protocol.encode(answer))

    def _remove(self, session: ViewerSession) -> None:
        """Ends a session with its subscriptions and tasks."""
        self.relay.remove_subscriber(session.tiles)
        self.sessions.remove(session)
        self.tasks.cancel(session, list(session.tasks))

    def _remove_shown(self, shown: int) -> None:
        """Ends the subscriptions to a replayed tick."""
        self.relay.remove_source(shown, [session.tiles for session in self.sessions.by_identity.values()])

    def close(self) -> None:
        """Closes what the gateway has opened; `door` and `lines` belong to the caller."""
        if self.history is not None:
            self.history.close()
        self.relay.close()
