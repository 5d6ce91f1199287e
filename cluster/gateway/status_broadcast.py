"""Sends the status of the world to all viewers."""

from umwelt.cluster.gateway.coordinator_link import CoordinatorLink
from umwelt.cluster.gateway.viewer_session import ViewerSessions
from umwelt.cluster.wire.viewer_protocol import Status, encode

INTERVAL_S, INTERVAL_S_A_VIEWER = 0.2, 0.002
"""Interval between status messages to a viewer, in seconds: a minimum, and a time per connected viewer if larger."""
CHECKS_AN_INTERVAL = 20
"""Number of times per interval that the sessions are searched for viewers that are due."""
SENT_A_TURN = 512
MAX_STALE_S = 1e6


class StatusBroadcaster:
    """Sends the coordinator's last status report to each viewer at regular intervals."""

    def __init__(self, sessions: ViewerSessions, coordinator: CoordinatorLink):
        self._sessions, self._coordinator = sessions, coordinator
        self._checked_s = 0.0

    def poll(self, now_s: float) -> None:
        """Sends the status to the viewers that are due."""
        interval_s = max(INTERVAL_S, INTERVAL_S_A_VIEWER * len(self._sessions))
        if now_s - self._checked_s < interval_s / CHECKS_AN_INTERVAL:
            return
        self._checked_s = now_s
        due = [one for one in self._sessions.by_identity.values() if now_s - one.status_sent_s >= interval_s]
        if due:
            stale_s = max(0.0, min(now_s - self._coordinator.reported_s, MAX_STALE_S))
            frames = encode(Status(self._coordinator.status_json, stale_s))
            for session in due[:SENT_A_TURN]:
                session.status_sent_s = now_s
                session.send_frames(session.identity, frames)
