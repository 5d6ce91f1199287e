"""The sessions of connected viewers: admission, budgets, and open requests.

Viewers are not trusted. Every message is charged to the budget of its sender, malformed messages are dropped, and a
viewer that sends nothing for `IDLE_AFTER_S` seconds is removed.

A *ticket* is the id of a request, which the viewer chooses. A repeated request is recognised by it, and the answer
contains it.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from umwelt.cluster.gateway.tile_source import TileSubscriber
from umwelt.cluster.token_bucket import TokenBucket
from umwelt.cluster.wire import viewer_protocol
from umwelt.cluster.wire.keys import KEEPER, WORLD
from umwelt.cluster.wire.messages import version_mismatch
from umwelt.cluster.wire.transport import Incoming
from umwelt.cluster.wire.viewer_protocol import Answer, Hello, Message, UnknownViewer, Welcome
from umwelt.sandbox.errors import BusyError, RunError, UmweltError

MAX_VIEWERS = 5000
IDLE_AFTER_S = 10.0
SWEEP_EVERY_S = 1.0
MAX_TICKET = 64
"""Maximum length of a ticket in characters."""
MAX_OPEN_QUERIES = 8
"""Maximum number of open queries of one viewer."""
ANSWERS_KEPT, MAX_KEPT_ANSWER_BYTES = 64, 1 << 16
"""Number of recent answers of a viewer that are kept to be resent for a repeated ticket, and their maximum size.

Larger answers are computed again.
"""
UNKNOWN_MESSAGES_A_S = 200.0
"""Maximum rate of messages from all senders without a session together."""

Send = Callable[[bytes, list[Any]], bool]


@dataclass(eq=False)
class ViewerSession:
    """One connected viewer. Created by its `Hello`, owned by `ViewerSessions`, dropped on `Goodbye` or by a timeout.

    The four `TokenBucket`s are its budgets: received messages, their size in bytes, commands and orders, and queries.
    """

    identity: bytes
    role: str
    seen_s: float
    send_frames: Send
    tiles: TileSubscriber
    messages: TokenBucket = field(default_factory=lambda: TokenBucket(500, 1000))
    received_bytes: TokenBucket = field(default_factory=lambda: TokenBucket(1e6, 4e6))
    commands: TokenBucket = field(default_factory=lambda: TokenBucket(250, 500))
    queries: TokenBucket = field(default_factory=lambda: TokenBucket(20, 40))
    open_queries: int = 0
    open_tickets: set[str] = field(default_factory=set)
    tasks: dict[str, Callable[..., None]] = field(default_factory=dict)
    """The callbacks of open tasks by ticket."""
    answers: OrderedDict[str, list[Any]] = field(default_factory=OrderedDict)
    """Encoded recent answers by ticket, oldest first."""
    status_sent_s: float = -1e9

    @property
    def is_keeper(self) -> bool:
        """Whether this viewer has permission to change the world."""
        return self.role in (KEEPER, WORLD)

    def require_keeper(self, what: str) -> None:
        """Raises RunError if this viewer must not change the world; `what` names the request in the message."""
        if not self.is_keeper:
            raise RunError(f"{what[:40]}: a {self.role} may look, not change the world: connect with a keeper's key")

    def require_query(self, now_s: float) -> None:
        """Charges one query to the budget. Raises BusyError if it is used up, or if too many queries are open."""
        if self.open_queries >= MAX_OPEN_QUERIES:
            raise BusyError("too many questions at once: wait for their answers")
        self.take_query_tokens(now_s)

    def take_query_tokens(self, now_s: float, tokens: float = 1.0) -> None:
        """Charges `tokens` queries to the budget. Raises BusyError if the budget is used up."""
        if not self.queries.try_take(now_s, tokens):
            raise BusyError("too many questions a second: ask fewer")

    def open_ticket(self, ticket: str) -> bool:
        """Registers a request and returns whether it is new. If it was answered before, its answer is resent."""
        if ticket in self.answers:
            self.send_frames(self.identity, self.answers[ticket])
            return False
        if ticket in self.open_tickets:
            return False
        self.open_tickets.add(ticket)
        return True

    def answer(self, ticket: str, tick: int, content: bytes = b"{}", raw: bytes = b"") -> None:
        """Answers a ticket with the tick of the data or effect, JSON content, and a raw frame."""
        self._close_ticket(Answer(ticket, tick, "", content), raw)

    def fail(self, ticket: str, error: UmweltError) -> None:
        """Answers a ticket with an error."""
        self._close_ticket(Answer(ticket, -1, str(error), code=error.code), b"")

    def _close_ticket(self, answer: Answer, raw: bytes) -> None:
        """Sends an answer, and keeps it for repeated requests if it is not too large."""
        frames = viewer_protocol.encode(answer, [raw] if raw else [])
        self.open_tickets.discard(answer.ticket)
        if len(raw) + len(answer.content) < MAX_KEPT_ANSWER_BYTES:
            self.answers[answer.ticket] = frames
            while len(self.answers) > ANSWERS_KEPT:
                self.answers.popitem(last=False)
        self.send_frames(self.identity, frames)


class ViewerSessions:
    """All connected viewers by the identity of their connection. One instance for each gateway.

    `send_frames(identity, frames)` never blocks. `compose_welcome(role)` returns the message that a new viewer is sent.
    """

    def __init__(self, send_frames: Send, compose_welcome: Callable[[str], Welcome]):
        self._send_frames, self._compose_welcome = send_frames, compose_welcome
        self.by_identity: dict[bytes, ViewerSession] = {}
        self.malformed = self.over_budget = 0
        """Numbers of dropped messages: malformed, and over budget."""
        self._unknown = TokenBucket(UNKNOWN_MESSAGES_A_S, UNKNOWN_MESSAGES_A_S)
        self._swept_s = 0.0

    def __len__(self) -> int:
        return len(self.by_identity)

    def accept(self, incoming: Incoming, now_s: float) -> tuple[ViewerSession, Message] | None:
        """Decodes a viewer's message, charges it to the viewer's budget, and returns it with the session.

        Returns None if the caller has nothing to do: the message was dropped, or it was a `Hello`, which is handled
        here, or the sender has no session, in which case it is asked to send `Hello`.
        """
        session = self.by_identity.get(incoming.sender)
        if not self._is_within_budget(session, incoming, now_s):
            self.over_budget += 1
            return None
        try:
            message, _ = viewer_protocol.decode(incoming.frames)
        except ValueError:
            self.malformed += 1
            return None
        if isinstance(message, Hello):
            self._admit(incoming, message, now_s)
            return None
        if session is None:
            self._send_frames(incoming.sender, viewer_protocol.encode(UnknownViewer()))
            return None
        session.seen_s, session.role = now_s, incoming.role
        return session, message

    def _is_within_budget(self, session: ViewerSession | None, incoming: Incoming, now_s: float) -> bool:
        """Charges a message to the budgets of its sender, and returns whether it may be handled."""
        if session is None:
            return self._unknown.try_take(now_s)
        size_bytes = sum(map(len, incoming.frames))
        return session.messages.try_take(now_s) and session.received_bytes.try_take(now_s, size_bytes)

    def _admit(self, incoming: Incoming, hello: Hello, now_s: float) -> None:
        """Answers a `Hello`: creates a session and sends the welcome, or sends the reason for a refusal."""
        session = self.by_identity.get(incoming.sender)
        if hello.protocol_version != viewer_protocol.PROTOCOL_VERSION:
            theirs, ours = hello.protocol_version, viewer_protocol.PROTOCOL_VERSION
            self._refuse(incoming.sender, RunError(version_mismatch("this viewer", theirs, "the gateway", ours)))
            return
        if session is not None:
            session.seen_s, session.role = now_s, incoming.role
        elif len(self.by_identity) < MAX_VIEWERS:
            self.by_identity[incoming.sender] = ViewerSession(
                incoming.sender, incoming.role, now_s, self._send_frames, TileSubscriber(incoming.sender)
            )
        else:
            self._refuse(incoming.sender, BusyError(f"{MAX_VIEWERS} viewers are connected already: try again later"))
            return
        self._send_frames(incoming.sender, viewer_protocol.encode(self._compose_welcome(incoming.role)))

    def _refuse(self, identity: bytes, error: UmweltError) -> None:
        self._send_frames(identity, viewer_protocol.encode(Answer("", -1, str(error), code=error.code)))

    def remove(self, session: ViewerSession) -> None:
        """Drops a session."""
        self.by_identity.pop(session.identity, None)

    def idle(self, now_s: float) -> list[ViewerSession]:
        """Returns the sessions that have timed out. Checks once every `SWEEP_EVERY_S` seconds, and else returns []."""
        if now_s - self._swept_s < SWEEP_EVERY_S:
            return []
        self._swept_s = now_s
        return [session for session in self.by_identity.values() if now_s - session.seen_s > IDLE_AFTER_S]
