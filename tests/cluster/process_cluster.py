"""A cluster of real processes for tests: start it, kill processes of it, and compare it with an undisturbed world.

    with ProcessCluster(world, folder, nodes=3, last_tick=200) as run:
        run.wait_for_tick(100)
        run.kill("node-1")
        run.rest()
    run.assert_undisturbed(200)

    python tests/cluster/process_cluster.py FOLDER NODES

The command runs only an engine, for tests that kill it.
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

WITHIN_S = 240.0
TCP = "tcp://127.0.0.1:*"
REPEAT_AFTER_S = 0.1


class CommandSender:
    """Sends commands to the coordinator, and repeats them until they are answered; `settled` has answers by ticket."""

    def __init__(self, address: str):
        self.address = address
        self.settled: dict[str, TicketResult] = {}
        self._unanswered: dict[str, SubmitCommands] = {}
        self._transport = ZmqTransport(b"", role="keeper")
        self._sent_s = 0.0

    def submit(self, ticket: str, contents: Sequence[Any], tick: int = -1) -> None:
        """Send commands together under one ticket."""
        self._unanswered[ticket] = SubmitCommands(ticket, [commands.encode(content) for content in contents], tick)
        self._sent_s = 0.0

    def poll(self) -> None:
        """Receive answers, and repeat unanswered commands every `REPEAT_AFTER_S`."""
        if self._unanswered and time.monotonic() - self._sent_s > REPEAT_AFTER_S:
            self._sent_s = time.monotonic()
            for submit in self._unanswered.values():
                self._transport.send(self.address, encode(submit))
        while (incoming := self._transport.receive(0.0)) is not None:
            message, _ = decode(incoming.frames)
            if isinstance(message, TicketResult):
                self.settled[message.ticket] = message
                self._unanswered.pop(message.ticket, None)

    @property
    def answered(self) -> bool:
        """Whether all commands are answered."""
        return not self._unanswered

    def close(self) -> None:
        """Close the connection."""
        self._transport.close()


class ProcessCluster:
    """An engine with its processes, on a new run of a world, or on the run that is in the folder already.

    `plan` are further fields of the engine's `Plan`. `seen` holds the monotonic times of the coordinator's status
    reports and the ticks in them.
    """

    def __init__(self, world: WorldFile, folder: Path, nodes: int, **plan: Any):
        self.world = world
        self.store = Store.open(folder) if folder.exists() else begin_run(world, folder)
        self.engine = Engine(self.store, Plan(nodes=nodes, gateway=False, **plan))
        self.seen: list[tuple[float, int]] = []
        self.sender: CommandSender | None = None
        try:
            self.engine.start()
        except BaseException:
            self.engine.close()
            raise
        assert self.engine.coordinator is not None
        self.line = self.engine.coordinator
        self.sender = CommandSender(self.line.address)

    def __enter__(self) -> "ProcessCluster":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End all processes and the connection."""
        self.engine.close()
        if self.sender is not None:
            self.sender.close()

    # --- state

    @property
    def status(self) -> dict[str, Any]:
        """The last status report."""
        return self.line.status

    @property
    def tick(self) -> int:
        """The tick that all nodes had reached by the last report."""
        return self.status.get("tick", 0)

    @property
    def members(self) -> dict[str, int]:
        """The process id of each node that is ready, by name."""
        return {node["name"]: node["pid"] for node in self.status.get("nodes", []) if node["rectangle"]}

    @property
    def running(self) -> bool:
        """Whether the world runs."""
        return self.status.get("phase") == "running"

    @property
    def logs(self) -> str:
        """The last status report, the engine's messages, and the logs of all processes, for messages of assertions."""
        files = [f"{path.name}: {path.read_text()}" for path in sorted((self.store.folder / "logs").glob("*.log"))]
        return "\n".join([str(self.status)[:2000], *self.engine.messages, *files])

    # --- time

    def poll(self) -> None:
        """Poll the engine once, for up to 10 ms, and receive answers to commands."""
        if self.engine.poll(0.01):
            self.seen.append((time.monotonic(), self.tick))
        assert self.sender is not None
        self.sender.poll()

    def until(self, condition: Callable[[], bool], not_beyond: int | None = None, within_s: float = WITHIN_S) -> None:
        """Poll until a condition holds; if the world reaches the tick `not_beyond` before, it is paused until then."""
        end_s, held = time.monotonic() + within_s, False
        while not condition():
            self.poll()
            if not_beyond is not None and self.tick >= not_beyond and not held:
                held = True
                self.line.order("pause")
            assert not self.engine.finished, f"the world has ended already\n{self.logs}"
            assert time.monotonic() < end_s, f"did not happen within {within_s:g} s\n{self.logs}"
        if held:
            self.line.order("go")

    def wait_for_tick(self, tick: int, within_s: float = WITHIN_S) -> None:
        """Wait until all nodes have reached a tick, and the world runs."""
        self.until(lambda: self.tick >= tick and self.running, within_s=within_s)

    def rest(self, within_s: float = WITHIN_S) -> None:
        """Wait until the run has ended: its last tick is saved, and all processes are gone."""
        end_s = time.monotonic() + within_s
        while not self.engine.finished:
            self.poll()
            assert time.monotonic() < end_s, f"the run does not end\n{self.logs}"

    def stop(self) -> None:
        """Stop the run, and wait until it has ended."""
        self.engine.stop()
        self.rest()

    # --- failures, members, commands

    def kill(self, name: str) -> None:
        """Kill a process with SIGKILL."""
        os.kill(self.engine.children[name].process.pid, signal.SIGKILL)

    def freeze(self, name: str) -> None:
        """Stop a process with SIGSTOP, until `thaw`."""
        os.kill(self.engine.children[name].process.pid, signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        """Continue a process that was frozen."""
        os.kill(self.engine.children[name].process.pid, signal.SIGCONT)

    def join(self) -> str:
        """Start a node; returns its name."""
        return self.engine.add_node()

    def leave(self, name: str) -> None:
        """Order a node to leave."""
        self.line.order("leave", name=name)

    def submit(self, ticket: str, contents: Sequence[Any], tick: int = -1) -> None:
        """Send commands under a ticket; see `CommandSender`."""
        assert self.sender is not None
        self.sender.submit(ticket, contents, tick)

    # --- afterwards

    def assert_undisturbed(self, last_tick: int) -> dict[int, int]:
        """Assert that journalled digests are those of an undisturbed world, and that it has all answered commands.

        Returns the digests of the undisturbed world by tick. Call it after the run has ended.
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
        assert self.sender is not None
        for ticket, settled in self.sender.settled.items():
            assert not settled.line, settled.line
            assert (first[ticket].tick, first[ticket].number) == (settled.tick, settled.number)
        return alone


_undisturbed: dict[tuple, dict[int, int]] = {}


def undisturbed_digests(world: WorldFile, last_tick: int, due: tuple[Any, ...]) -> dict[int, int]:
    """Returns the digests by tick of a world that runs in one region with the commands `due`; cached."""
    known = (world.text, last_tick, due)
    if known not in _undisturbed:
        _undisturbed[known] = run_undisturbed(world, last_tick, due)[0]
    return _undisturbed[known]


def read_journal(store: Store) -> tuple[dict[int, int], list[tuple[str, Any]]]:
    """Returns the digests by tick, and the commands with their tickets, of a run that has ended."""
    journal = Journal.reading(store.journal)
    try:
        return journal.history.digests(), list(journal.history.commands())
    finally:
        journal.close()


def have_ended(pids: Sequence[int], within_s: float) -> bool:
    """Waits until all these processes have ended, up to `within_s`; returns whether they have."""
    end_s = time.monotonic() + within_s
    while any(is_alive(pid) for pid in pids) and time.monotonic() < end_s:
        time.sleep(0.05)
    return not any(is_alive(pid) for pid in pids)


def main() -> None:
    """Run an engine until it is killed."""
    engine = Engine(Store.open(Path(sys.argv[1])), Plan(nodes=int(sys.argv[2]), gateway=False, mark_s=0.3))
    try:
        engine.start()
        while not engine.finished:
            engine.poll(0.05)
    finally:
        engine.close()


if __name__ == "__main__":
    main()
