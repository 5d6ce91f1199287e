"""A whole cluster in one process, deterministic by its seed, over a network in memory.

`Simulation` runs the drivers and machines of a coordinator and of nodes in virtual time. `Disk` holds in memory what a
real cluster writes to disk; it remains when the simulated coordinator is killed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from umwelt.agents import commands
from umwelt.agents.open_world import generate_world, open_region, torus_of
from umwelt.agents.world_file import WorldFile
from umwelt.cluster.coordinator.driver import CoordinatorDriver
from umwelt.cluster.coordinator.machine import CoordinatorMachine
from umwelt.cluster.coordinator.state import RunOptions, RunState
from umwelt.cluster.events import WorldPrepared
from umwelt.cluster.node.driver import NodeDriver, ShardContents
from umwelt.cluster.node.machine import NodeMachine
from umwelt.cluster.node.membership import NodeProfile
from umwelt.cluster.partition import BLOCK_CELLS, cut, max_parts
from umwelt.cluster.run.store import Entry
from umwelt.cluster.wire.loopback import Faults, Network
from umwelt.cluster.wire.protocol import (
    Order,
    ScheduledCommand,
    SnapshotPart,
    SubmitCommands,
    TicketResult,
    Welcome,
    decode,
    encode,
)
from umwelt.sandbox import audit
from umwelt.sandbox.controls import Controls
from umwelt.sandbox.region import Rectangle, Region
from umwelt.sandbox.step import step

TURN_S = 0.002
"""The step of the virtual time, in seconds."""


@dataclass
class Disk:
    """The contents of a run's folder, in memory; it remains when the coordinator is killed.

    `snapshots` maps names to complete snapshots, `parts` maps (epoch, tick, kept) to the parts of incomplete ones.
    `commands` are the journalled commands with their tickets, `digests` those of the journal by tick, `epoch` and
    `maps` the newest epoch and all divisions of the torus so far.
    """

    snapshots: dict[str, dict[str, Any]] = field(default_factory=dict)
    parts: dict[tuple[int, int, bool], list[tuple[Any, Controls]]] = field(default_factory=dict)
    constants: dict[str, np.ndarray] = field(default_factory=dict)
    digests: dict[int, int] = field(default_factory=dict)
    commands: list[tuple[str, ScheduledCommand]] = field(default_factory=list)
    epoch: int = 0
    maps: list[Any] = field(default_factory=list)


class MemoryStorage:
    """The storage of a `CoordinatorDriver`: journal and snapshots in a `Disk`."""

    def __init__(self, world: WorldFile, disk: Disk):
        self.world, self.disk = world, disk

    def check_command(self, content: bytes) -> None:
        commands.check(self.world, commands.decode(content))

    def divide_torus(self, divide: Any) -> list[tuple[int, int, int, int]]:
        torus = torus_of(self.world)
        blocks = np.ones((-(-torus.height // BLOCK_CELLS), -(-torus.width // BLOCK_CELLS)), np.int64)
        for piece in self.disk.snapshots[divide.snapshot]["pieces"]:
            for rows in piece.tables.values():
                y = (piece.rectangle.y + (rows["y_fixed"] >> 10)) % torus.height // BLOCK_CELLS
                x = (piece.rectangle.x + (rows["x_fixed"] >> 10)) % torus.width // BLOCK_CELLS
                np.add.at(blocks, (y, x), 1)
        return [tuple(r) for r in cut(torus, blocks, divide.parts, divide.halo_cells)]

    def journal_map(self, opened: Any) -> None:
        assert opened.epoch > self.disk.epoch
        self.disk.epoch = opened.epoch
        self.disk.maps.append(opened)

    def journal_commands(self, entered: Any) -> None:
        self.disk.commands += [(entered.ticket, command) for command in entered.commands]

    def commit(self) -> None:
        pass

    def journal_births(self, raw: Any) -> None:
        pass

    def journal_tick(self, entered: Any) -> None:
        known = self.disk.digests.setdefault(entered.tick, entered.digest)
        assert known == entered.digest, f"tick {entered.tick} has another digest than before"

    def begin_snapshot(self, begun: Any) -> None:
        self.disk.parts[begun.epoch, begun.tick, begun.kept] = []

    def complete_snapshot(self, complete: Any, done: Callable[[str], None]) -> None:
        found = self.disk.parts.pop((complete.epoch, complete.tick, complete.kept))
        chosen = {tuple(part["rectangle"]) for part in complete.parts}
        pieces = [piece for piece, _ in found if tuple(piece.rectangle) in chosen]
        assert len(pieces) == len(chosen)
        entry = Entry(complete.tick, complete.kept)
        self.disk.snapshots[entry.name] = {
            "entry": entry,
            "pieces": pieces,
            "controls": Controls.from_json(complete.controls),
            "births": complete.births,
            "deaths": complete.deaths,
        }
        done("")

    def fetch_part(self, fetch: Any, request: Any, done: Any) -> None:
        raise AssertionError("all nodes share the folder here")

    def take_chunk(self, sender: Any, chunk: Any, raw: Any) -> None:
        raise AssertionError

    def read_chunk(self, request: Any) -> None:
        return None

    def poll(self, now_s: float) -> None:
        pass


class MemorySnapshots:
    """The snapshots of a `NodeDriver`: reads and writes them in a `Disk`."""

    def __init__(self, disk: Disk):
        self.disk = disk

    def load(self, world: WorldFile, assign: Any, heartbeat: Callable[[], None]) -> ShardContents:
        found = self.disk.snapshots[assign.snapshot]
        assert found["entry"].tick == assign.tick
        return ShardContents(found["pieces"], self.disk.constants, found["controls"].copy())

    def write_part(self, epoch: int, tick: int, kept: bool, shard: Any, done: Callable[[SnapshotPart], None]) -> None:
        region = shard.region
        piece = region.cut(region.owned)
        into = self.disk.parts.get((epoch, tick, kept))
        if into is None:  # the coordinator no longer expects parts of this snapshot
            return
        into[:] = [part for part in into if part[0].rectangle != piece.rectangle] + [(piece, region.controls.copy())]
        done(SnapshotPart(tick, kept, {"rectangle": list(piece.rectangle)}, region.controls.to_json(), 0.001))


class Simulation:
    """A coordinator, nodes and a client that sends commands, in virtual time.

    `seed` draws the faults of the network, `compute_s` is the virtual time that a node needs for a tick, and `options`
    are further fields of `RunOptions`. `answers` maps tickets to the coordinator's answers, `said` has the lines of its
    log.
    """

    def __init__(
        self,
        world: WorldFile,
        nodes: int,
        seed: int = 0,
        faults: Faults | None = None,
        last_tick: int | None = None,
        ticks_per_exchange: int = 1,
        compute_s: float = 0.01,
        **options: Any,
    ):
        self.world, self.seed, self.compute_s = world, seed, compute_s
        self.network = Network(seed, faults or Faults(delay_s=(0.0005, 0.002)))
        self.disk = Disk()
        zero = generate_world(world)
        self.disk.constants = zero.constants
        self.disk.snapshots[Entry(0, True).name] = {
            "entry": Entry(0, True),
            "pieces": [zero.cut(zero.owned)],
            "controls": Controls(),
            "births": 0,
            "deaths": 0,
        }
        self.options = RunOptions(
            nodes=nodes,
            last_tick=last_tick,
            ticks_per_exchange=ticks_per_exchange,
            max_parts=max_parts(torus_of(world)),
            new_pass=self._new_pass,
            **{"mark_s": 0.3, "kept_s": 2.0, **options},
        )
        self._number = 0
        self.coordinator: CoordinatorDriver | None = None
        self.nodes: dict[str, NodeDriver] = {}
        self.free_at_s: dict[str, float] = {}
        self.frozen: dict[str, list[Any]] = {}
        self.said: list[str] = []
        self.answers: dict[str, TicketResult] = {}
        self.person = self.network.transport("loop://person", role="keeper")
        self.begin_coordinator()
        for _ in range(nodes):
            self.join()

    def _new_pass(self) -> bytes:
        """Returns the next pass key (`RunOptions.new_pass`); real ones are random."""
        self._number += 1
        return self._number.to_bytes(16, "big")

    # --- processes

    def begin_coordinator(self) -> None:
        """Start the coordinator with the state in the `Disk`; also used to start it again after it was killed."""
        torus, reach = torus_of(self.world), self.world.laws.light_speed
        newest = max(self.disk.snapshots.values(), key=lambda found: found["entry"])
        journalled = self.disk.commands
        state = RunState(
            torus,
            reach,
            newest["entry"],
            newest["births"],
            newest["deaths"],
            self.disk.epoch,
            1 + max((command.number for _, command in journalled), default=0),
            1 + max(self.disk.digests, default=-1),
            tuple(command for _, command in journalled if command.tick >= newest["entry"].tick),
            tuple((ticket, command.tick, command.number) for ticket, command in reversed(journalled)),
        )
        welcome = Welcome("", self.world.name, "", "")
        machine = CoordinatorMachine(state, self.options, welcome, {"laws": "same"})
        transport = self.network.transport("loop://coordinator", role="world")
        self.coordinator = CoordinatorDriver(
            machine, transport, MemoryStorage(self.world, self.disk), self.clock, self.said.append
        )

    @property
    def machine(self) -> CoordinatorMachine:
        """The coordinator's machine."""
        assert self.coordinator is not None
        return self.coordinator.machine

    def kill_coordinator(self) -> None:
        self.network.kill("loop://coordinator")
        self.coordinator = None

    def join(self) -> str:
        """Add a node; returns its address."""
        self._number += 1
        number = self._number
        address = f"loop://node-{number}"
        keys = iter(range(1000))

        def torus_and_reach() -> Any:
            return torus_of(self.world), self.world.laws.light_speed

        machine = NodeMachine(
            "loop://coordinator",
            NodeProfile(address, "", f"host-{number}", number, 1),
            lambda: f"key-{number}-{next(keys)}",
            torus_and_reach,
        )
        transport = self.network.transport(address, role="node")
        prepared = (self.world, WorldPrepared({"laws": "same"}, True))
        self.nodes[address] = NodeDriver(
            machine, transport, MemorySnapshots(self.disk), self.clock, lambda welcome: prepared
        )
        self.free_at_s[address] = self.network.now
        return address

    def kill(self, address: str) -> None:
        """Remove a node at once, without any message from it, as `kill -9` does."""
        self.network.kill(address)
        del self.nodes[address], self.free_at_s[address]
        self.frozen.pop(address, None)

    def freeze(self, address: str) -> None:
        """Stop a node; messages to it are queued until `thaw`."""
        self.frozen[address] = []

    def thaw(self, address: str) -> None:
        """Continue a frozen node, which first receives the queued messages."""
        node = self.nodes[address]
        for incoming in self.frozen.pop(address):
            node.take(incoming)

    # --- time and commands

    def clock(self) -> float:
        return self.network.now

    def submit(self, ticket: str, contents: Sequence[Any], tick: int = -1) -> None:
        """Send commands under a ticket. The message may be lost: call this again until `answers` has the ticket."""
        message = SubmitCommands(ticket, [commands.encode(content) for content in contents], tick)
        self.person.send("loop://coordinator", encode(message))

    def order(self, what: str, value: float = 0.0, name: str = "") -> None:
        """Send an order, such as "pause", to the coordinator."""
        self.person.send("loop://coordinator", encode(Order(f"{what}-{self.network.now}", what, value, name)))

    def pass_time(self) -> None:
        """Advance the virtual time by `TURN_S`: deliver messages, then give the coordinator and each node one turn."""
        for address, incoming in self.network.step(TURN_S):
            if address == "loop://coordinator" and self.coordinator is not None:
                self.coordinator.take(incoming)
            elif address == "loop://person":
                message, _ = decode(incoming.frames)
                assert isinstance(message, TicketResult)
                self.answers[message.ticket] = message
            elif address in self.frozen:
                self.frozen[address].append(incoming)
            elif address in self.nodes:
                self.nodes[address].take(incoming)
        if self.coordinator is not None:
            self.coordinator.poll(0.0)
        for address, node in list(self.nodes.items()):
            if address in self.frozen or self.free_at_s[address] > self.network.now:
                continue
            before = node.shard.tick if node.shard is not None else -1
            node.poll()
            if node.shard is not None and node.shard.tick != before:
                self.free_at_s[address] = self.network.now + self.compute_s
            if node.ended is not None:
                self.network.kill(address)
                del self.nodes[address]

    def run(self, max_s: float = 120.0, until: Callable[[], bool] = lambda: False) -> None:
        """Run until the last tick is saved, or until `until()` holds; fails after `max_s` of virtual time."""
        end_s = self.network.now + max_s
        while not until() and not (self.coordinator is not None and self.coordinator.ended is not None):
            self.pass_time()
            assert self.network.now < end_s, (self.machine.phase, self.machine.grants.granted, self.said[-8:])

    def tick(self) -> int:
        """Returns the tick that all nodes have reached."""
        ticks = [node.shard.tick for node in self.nodes.values() if node.shard is not None]
        return min(ticks, default=0)


class UndividedWorld:
    """A world in a single region without a cluster, to compare the digests of a cluster with.

    `digests` has the digest of every tick so far. It cannot go back to an earlier tick.
    """

    def __init__(self, world: WorldFile):
        self.world = world
        zero = generate_world(world)
        rectangle = Rectangle(0, 0, *torus_of(world))
        self.region = open_region(world, [zero.cut(zero.owned)], zero.constants, 0, 1, rectangle)
        self.digests = {0: whole(self.region)}
        self.command_count = 0
        """How many commands were applied."""

    @property
    def tick(self) -> int:
        return self.region.tick

    def run_to(self, last_tick: int, journalled: Sequence[ScheduledCommand]) -> None:
        """Run up to `last_tick`; applies the journalled commands at their ticks."""
        for tick in range(self.tick, last_tick):
            self.region.wrap()
            for command in sorted(journalled, key=lambda command: command.number):
                if command.tick == tick:
                    commands.apply(self.region, commands.decode(command.content), command.number)
                    self.command_count += 1
            step(self.region, self.world.laws)
            self.digests[tick + 1] = whole(self.region)


def run_undisturbed(
    world: WorldFile, last_tick: int, journalled: Sequence[ScheduledCommand]
) -> tuple[dict[int, int], Region]:
    """Returns the digests of every tick of an undivided world with the same commands, and its region at the end."""
    undivided = UndividedWorld(world)
    undivided.run_to(last_tick, journalled)
    return undivided.digests, undivided.region


def whole(region: Region) -> int:
    """Returns the digest of a region that owns the whole torus."""
    return (audit.digest(region) + region.controls.digest()) & audit.DIGEST_MASK
