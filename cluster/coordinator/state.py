"""What a directory knows: of the run, of the nodes, of a snapshot that is being taken."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from umwelt.cluster.wire.protocol import Heartbeat, Join, ScheduledCommand, SnapshotPart, TickRecord
from umwelt.sandbox.region import Torus

DIGEST_MASK = (1 << 64) - 1
DEAD_AFTER_S = 1.0
GATHER_S = 1.5
MARK_S = 1.0
KEPT_S = 60.0


@dataclass(frozen=True)
class RunState:
    """What a run's folder tells: from it a directory begins, or begins again."""

    torus: Torus
    reach: int
    tick: int
    """Of the newest good snapshot."""
    snapshot: str
    births: int
    deaths: int
    epoch: int = 0
    next_number: int = 1
    horizon: int = 0
    """No command may take effect before this tick."""
    commands: tuple[ScheduledCommand, ...] = ()
    """Those from the snapshot's tick on."""
    tickets: tuple[tuple[str, int, int], ...] = ()


@dataclass(frozen=True)
class RunOptions:
    """How a run is to go."""

    nodes: int = 1
    """How many to wait for before beginning."""
    ticks_per_exchange: int = 0
    """0: as measured."""
    last_tick: int | None = None
    max_parts: int = 1 << 30
    gather_s: float = GATHER_S
    mark_s: float = MARK_S
    kept_s: float = KEPT_S
    dead_after_s: float = DEAD_AFTER_S
    new_pass: Callable[[], bytes] = bytes


@dataclass
class NodeRecord:
    """A node as the directory sees it."""

    key: str
    name: str
    sender: Any
    join: Join
    seen_s: float
    beat: Heartbeat | None = None
    ready: bool = False
    tick: int = 0
    living: int = 0
    """Beings that it owns, when it was last recorded."""
    notes: int = 0
    assigned_s: float = 0.0
    going: bool = False


@dataclass
class SnapshotRound:
    """A snapshot that is being taken."""

    tick: int
    kept: bool
    reason: str = ""
    parts: dict[str, SnapshotPart] = field(default_factory=dict)
    coming: dict[str, SnapshotPart] = field(default_factory=dict)
    """Parts whose files are on their way from another host."""
    completing: bool = False


def merged(parts: Sequence[TickRecord]) -> TickRecord:
    """The record of the whole world from those of its parts; the controls, which all share, count once."""
    populations: dict[str, dict[str, int]] = {}
    substances: dict[str, int] = {}
    for part in parts:
        for table, found in part.populations.items():
            whole = populations.setdefault(table, {})
            for name, count in found.items():
                whole[name] = whole.get(name, 0) + count
        for name, count in part.substances.items():
            substances[name] = substances.get(name, 0) + count
    controls = {part.controls_digest for part in parts}
    digest = (sum(part.digest for part in parts) + sum(controls)) & DIGEST_MASK
    return TickRecord(
        parts[0].tick,
        digest,
        0,
        sum(part.births for part in parts),
        sum(part.deaths for part in parts),
        populations,
        substances,
    )


def status(directory: Any) -> bytes:
    """Where the world is, as JSON for people; `directory` is a `CoordinatorMachine`."""
    nodes = []
    for node in directory.nodes.values():
        beat = node.beat or Heartbeat(node.key, 0, node.tick)
        held = [member.rectangle for member in directory.map if member.key == node.key]
        nodes.append(
            {
                "name": node.name,
                "pid": node.join.pid,
                "host": node.join.host,
                "rectangle": list(held[0]) if held else None,
                "tick": node.tick,
                "entities": node.living or beat.entities,
                "ticks_per_s": round(1 / beat.tick_s, 3) if beat.tick_s > 0 else 0.0,
                "waiting_share": round(beat.waiting_share, 4),
                "round_trip_s": round(beat.round_trip_s, 5),
                "resident_bytes": beat.resident_bytes,
                "state": "ready" if node.ready else "loading",
            }
        )
    latest = directory.latest
    metrics = None
    if latest is not None:
        metrics = {
            "tick": latest.tick,
            "digest": f"{latest.digest:016x}",
            "births": latest.births,
            "deaths": latest.deaths,
            "populations": latest.populations,
            "substances": latest.substances,
        }
    pace = directory.pace
    return msgspec.json.encode(
        {
            "world": directory.welcome.world_name,
            "run": directory.welcome.folder,
            "phase": directory.phase,
            "tick": min((node.tick for node in directory.members), default=directory.tick),
            "granted": directory.granted,
            "epoch": directory.epoch,
            "ticks_per_exchange": directory.ticks_per_exchange,
            "paused": pace.paused,
            "speed": pace.speed,
            "snapshot_tick": directory.tick,
            "nodes": nodes,
            "metrics": metrics,
            "events": [{"tick": tick, "line": line} for tick, line in directory.events],
        }
    )
