"""A cluster of real processes for tests: start it, disturb it, and compare it with the world that nobody disturbed.

with Together(world, folder, nodes=3) as run:
    run.wait_for_tick(100)
    run.kill("node-1")
    run.rest()
run.assert_undisturbed()

python tests/cluster/process_cluster.py FOLDER NODES      an engine of its own, for tests that kill the engine
"""

import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from simulation import run_undisturbed

from umwelt.agents import commands
from umwelt.agents.world_file import WorldFile
from umwelt.cluster.launch.local import Engine, Plan, begin_run
from umwelt.cluster.process import is_alive
from umwelt.cluster.run.journal import Journal
from umwelt.cluster.run.store import Entry, Store
from umwelt.cluster.wire.protocol import SubmitCommands, TicketResult, decode, encode
from umwelt.cluster.wire.transport import ZmqTransport

WITHIN_S = 120.0
TCP = "tcp://127.0.0.1:*"
SAY_AGAIN_S = 0.1


class CommandSender:
    """Somebody who sends commands, and says them again until they are answered."""

    def __init__(self, address: str):
        self.address = address
        self.settled: dict[str, TicketResult] = {}
        self._unanswered: dict[str, SubmitCommands] = {}
        self._transport = ZmqTransport(b"", role="keeper")
        self._said_s = 0.0

    def submit(self, ticket: str, contents: Sequence[Any], tick: int = -1) -> None:
        """Ask for commands, together under one ticket."""
        self._unanswered[ticket] = SubmitCommands(ticket, [commands.encode(content) for content in contents], tick)
        self._said_s = 0.0

    def turn(self) -> None:
        """Take in answers."""
        if self._unanswered and time.monotonic() - self._said_s > SAY_AGAIN_S:
            self._said_s = time.monotonic()
            for submit in self._unanswered.values():
                self._transport.send(self.address, encode(submit))
        while (incoming := self._transport.receive(0.0)) is not None:
            message, _ = decode(incoming.frames)
            if isinstance(message, TicketResult):
                self.settled[message.ticket] = message
                self._unanswered.pop(message.ticket, None)

    @property
    def answered(self) -> bool:
        """Whether nothing is asked any more."""
        return not self._unanswered

    def close(self) -> None:
        """Go."""
        self._transport.close()


class ProcessCluster:
    """An engine with its processes, on a new run of a world, or going on with the run in a folder.

    `seen` holds when each tick was first reported to be reached.
    """

    def __init__(self, world: WorldFile, folder: Path, nodes: int, **plan: Any):
        self.world = world
        self.store = Store.open(folder) if folder.exists() else begin_run(world, folder)
        self.engine = Engine(self.store, Plan(nodes=nodes, gateway=False, **plan))
        self.seen: list[tuple[float, int]] = []
        self.person: CommandSender | None = None
        try:
            self.engine.start()
        except BaseException:
            self.engine.close()
            raise
        assert self.engine.coordinator is not None
        self.line = self.engine.coordinator
        self.person = CommandSender(self.line.address)

    def __enter__(self) -> "ProcessCluster":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End all processes."""
        self.engine.close()
        if self.person is not None:
            self.person.close()

    # --- what is the case

    @property
    def status(self) -> dict[str, Any]:
        """The last report."""
        return self.line.status

    @property
    def tick(self) -> int:
        """What all nodes had reached by the last report."""
        return self.status.get("tick", 0)

    @property
    def members(self) -> dict[str, int]:
        """The process number of each node that is ready, by name."""
        return {node["name"]: node["pid"] for node in self.status.get("nodes", []) if node["rectangle"]}

    @property
    def running(self) -> bool:
        """Whether the world goes on."""
        return self.status.get("phase") == "running"

    @property
    def said(self) -> str:
        """What the directory and the engine have said, and the processes' logs."""
        logs = [f"{path.name}: {path.read_text()}" for path in sorted((self.store.folder / "logs").glob("*.log"))]
        return "\n".join([str(self.status)[:2000], *self.engine.messages, *logs])

    # --- time

    def turn(self) -> None:
        """A little while."""
        if self.engine.poll(0.01):
            self.seen.append((time.monotonic(), self.tick))
        assert self.person is not None
        self.person.turn()

    def until(self, come: Callable[[], bool], not_beyond: int | None = None, within_s: float = WITHIN_S) -> None:
        """Go on until something has come; the world waits for it at a tick."""
        end_s, held = time.monotonic() + within_s, False
        while not come():
            self.turn()
            if not_beyond is not None and self.tick >= not_beyond and not held:
                held = True
                self.line.order("pause")
            assert not self.engine.finished, f"the world rests already\n{self.said}"
            assert time.monotonic() < end_s, f"it did not come\n{self.said}"
        if held:
            self.line.order("go")

    def wait_for_tick(self, tick: int, within_s: float = WITHIN_S) -> None:
        """Until all nodes have reached a tick, and the world goes on."""
        self.until(lambda: self.tick >= tick and self.running, within_s=within_s)

    def rest(self, within_s: float = WITHIN_S) -> None:
        """Until the last tick is reached and saved, and all processes have ended."""
        end_s = time.monotonic() + within_s
        while not self.engine.finished:
            self.turn()
            assert time.monotonic() < end_s, f"the world does not come to rest\n{self.said}"

    def stop(self) -> None:
        """Ask for the end, and wait for it."""
        self.engine.stop()
        self.rest()

    # --- who comes and goes

    def kill(self, name: str) -> None:
        """As kill -9 does."""
        os.kill(self.engine.children[name].process.pid, signal.SIGKILL)

    def freeze(self, name: str) -> None:
        """Stop a process, until `thaw`."""
        os.kill(self.engine.children[name].process.pid, signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        """Let it go on."""
        os.kill(self.engine.children[name].process.pid, signal.SIGCONT)

    def join(self) -> str:
        """A new node; gives its name."""
        return self.engine.add_node()

    def leave(self, name: str) -> None:
        """Ask a node to go."""
        self.line.order("leave", name=name)

    def submit(self, ticket: str, contents: Sequence[Any], tick: int = -1) -> None:
        """A person's command."""
        assert self.person is not None
        self.person.submit(ticket, contents, tick)

    # --- afterwards

    def assert_undisturbed(self, last_tick: int) -> dict[int, int]:
        """Each journalled digest is the undisturbed world's with the same commands, and what was acknowledged is there.

        Gives the undisturbed world's digests.
        """
        digests, found = read_journal(self.store)
        alone = undisturbed_digests(self.world, last_tick, tuple(command for _, command in found))
        assert last_tick in digests
        assert {tick: digest for tick, digest in digests.items() if alone[tick] != digest} == {}
        manifest = self.store.manifest(Entry(last_tick, True))
        assert int(manifest.digest, 16) == alone[last_tick]
        first: dict[str, Any] = {}
        for ticket, command in found:
            first.setdefault(ticket, command)
        assert self.person is not None
        for ticket, settled in self.person.settled.items():
            assert not settled.line, settled.line
            assert (first[ticket].tick, first[ticket].number) == (settled.tick, settled.number)
        return alone


_alone: dict[tuple, dict[int, int]] = {}


def undisturbed_digests(world: WorldFile, last_tick: int, due: tuple[Any, ...]) -> dict[int, int]:
    """Every digest of a world that nobody disturbs, with commands."""
    known = (world.text, last_tick, due)
    if known not in _alone:
        _alone[known] = run_undisturbed(world, last_tick, due)[0]
    return _alone[known]


def read_journal(store: Store) -> tuple[dict[int, int], list[tuple[str, Any]]]:
    """Digests by tick, and commands with their tickets, of a run that rests."""
    journal = Journal.reading(store.journal)
    try:
        return journal.history.digests(), list(journal.history.commands())
    finally:
        journal.close()


def have_ended(pids: Sequence[int], within_s: float) -> bool:
    """Whether processes have ended by themselves within a time."""
    end_s = time.monotonic() + within_s
    while any(is_alive(pid) for pid in pids) and time.monotonic() < end_s:
        time.sleep(0.05)
    return not any(is_alive(pid) for pid in pids)


def main() -> None:
    """An engine that runs until it is killed."""
    engine = Engine(Store.open(Path(sys.argv[1])), Plan(nodes=int(sys.argv[2]), gateway=False, mark_s=0.3))
    try:
        engine.start()
        while not engine.finished:
            engine.poll(0.05)
    finally:
        engine.close()


if __name__ == "__main__":
    main()
