"""The process of the directory, which lives where the run's folder is.

    python -m umwelt.cluster.coordinator.process SETTINGS      (umwelt launch and umwelt resume start it)

Killed and started again, it reads the journal and the newest good snapshot, takes in the nodes that come, and goes on.
"""

import fcntl
import os
import secrets
import sys
import time
from pathlib import Path
from typing import TextIO

import msgspec

from umwelt.agents.open_world import torus_of
from umwelt.agents.world_file import WorldFile
from umwelt.cluster.coordinator.driver import CoordinatorDriver
from umwelt.cluster.coordinator.machine import CoordinatorMachine
from umwelt.cluster.coordinator.state import RunOptions, RunState
from umwelt.cluster.coordinator.storage import RunStorage, newest_good
from umwelt.cluster.fingerprint import seals_of
from umwelt.cluster.partition import max_parts
from umwelt.cluster.process import StopSignal, announce, read_settings, report_errors
from umwelt.cluster.run import snapshot_transfer
from umwelt.cluster.run.journal import Journal
from umwelt.cluster.run.remote_store import RemoteStore, open_store
from umwelt.cluster.run.replay import read_run_world
from umwelt.cluster.run.store import Entry, Store
from umwelt.cluster.run.verify import update_chain
from umwelt.cluster.wire.keys import KEEPER, NODE, WORLD, Keys, load_chain_secret
from umwelt.cluster.wire.protocol import PROTOCOL_VERSION, Order, Welcome
from umwelt.cluster.wire.transport import ZmqTransport
from umwelt.sandbox import snapshot
from umwelt.sandbox.errors import RunError

COORDINATOR_FILE, CLAIM = "directory.json", ".directory.lock"
TURN_S = 0.02
ORPHAN_S = 20.0
"""How long an orphaned directory tries to save before it ends."""


class CoordinatorSettings(msgspec.Struct):
    """What the directory's process is started with."""

    run: str
    bind: str
    keys: str = ""
    nodes: int = 1
    ticks_per_exchange: int = 0
    last_tick: int | None = None
    checked: bool = False
    mark_s: float = 0.0
    kept_s: float = 0.0
    dead_after_s: float = 0.0
    gather_s: float = 0.0
    """How long to wait for all nodes, where a run goes on."""


def known_from(store: Store, journal: Journal, world: WorldFile, entry: Entry, manifest: snapshot.Manifest) -> RunState:
    """What a run's folder tells a directory."""
    tick = manifest.tick
    commands = list(journal.history.commands(tick))
    return RunState(
        torus_of(world),
        world.laws.light_speed,
        tick,
        entry.name,
        manifest.counts["births"],
        manifest.counts["deaths"],
        max(journal.history.last_epoch(), manifest.epoch),
        1 + journal.history.last_number(),
        max(tick, 1 + journal.history.last_tick()),
        tuple(command for _, command in commands),
        tuple((ticket, command.tick, command.number) for ticket, command in reversed(list(journal.history.commands()))),
    )


def claimed(folder: Path, within_s: float = ORPHAN_S + 5.0) -> TextIO:
    """Claim a run's folder for one directory alone, as long as the file that is given stays open.

    An orphaned directory that still saves the world is waited for.
    """
    file = (folder / CLAIM).open("w", encoding="ascii")
    end_s = time.monotonic() + within_s
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return file
        except BlockingIOError:
            if time.monotonic() > end_s:
                file.close()
                raise RunError(f"{folder}: is running already: umwelt stop {folder}") from None
            time.sleep(0.05)
        except OSError:  # a disk that knows no locks
            return file


class CoordinatorProcess:
    """The directory in its process."""

    def __init__(self, settings: CoordinatorSettings):
        self.settings = settings
        store = open_store(Path(settings.run).resolve())
        self._claim = claimed(store.folder)
        world = read_run_world(store)
        keys = Keys.load(Path(settings.keys), WORLD) if settings.keys else None
        entry, manifest, passed = newest_good(store, world)
        for line in passed:
            print(f"umwelt: {line}", file=sys.stderr, flush=True)
        store.remove_unfinished()
        self.journal = Journal(store.journal)
        secret = load_chain_secret(Path(settings.keys)) if settings.keys else None
        if secret is not None and not self.journal.chain.has_last_head():
            raise RunError(
                f"{store.journal}: its last head does not belong to this hash chain: umwelt verify {store.folder} says "
                "what was changed: take the journal from a copy, or resume the run without keys"
            )
        update_chain(store, self.journal)
        known = known_from(store, self.journal, world, entry, manifest)
        constants = snapshot.load_constants(store.path(*entry), manifest)
        token = snapshot_transfer.write_token(store.folder)
        url = store.url if isinstance(store, RemoteStore) else ""
        welcome = Welcome(world.text, world.name, str(store.folder), token, url, settings.checked)
        chosen = {name: getattr(settings, name) for name in ("mark_s", "kept_s", "dead_after_s", "gather_s")}
        wishes = RunOptions(
            nodes=settings.nodes,
            ticks_per_exchange=settings.ticks_per_exchange,
            last_tick=settings.last_tick,
            max_parts=max_parts(torus_of(world)),
            new_pass=lambda: secrets.token_bytes(16),
            **{name: value for name, value in chosen.items() if value > 0},
        )
        self.store = store
        self.books = RunStorage(world, store, self.journal, constants, secret)
        self.transport = ZmqTransport(b"", settings.bind, keys, WORLD, frozenset({WORLD, NODE, KEEPER}))
        directory = CoordinatorMachine(known, wishes, welcome, seals_of(world), PROTOCOL_VERSION)
        self.steward = CoordinatorDriver(directory, self.transport, self.books, time.monotonic, self._say)
        announce(store.folder / COORDINATOR_FILE, {"address": self.transport.address, "pid": os.getpid()})

    def _say(self, line: str) -> None:
        print(f"umwelt: {line}", file=sys.stderr, flush=True)

    def live(self) -> int:
        """Until the world rests; gives the exit code."""
        ending = StopSignal()
        asked_s = 0.0
        while self.steward.rested is None:
            self.steward.turn(TURN_S)
            now_s = time.monotonic()
            if (ending.asked or ending.orphaned) and not asked_s:
                asked_s = now_s
                self.steward.order(Order("", "stop"))
            abandoned = ending.orphaned and not self.steward.directory.nodes
            if asked_s and (now_s - asked_s > ORPHAN_S or abandoned):
                break
        end_s = time.monotonic() + 0.3  # nodes that did not hear the last word say something once more
        while time.monotonic() < end_s:
            self.steward.turn(TURN_S)
        line = self.steward.rested
        self.books.close()
        snapshot_transfer.remove_tokens(self.store.folder)
        (self.store.folder / COORDINATOR_FILE).unlink(missing_ok=True)
        self.transport.close()
        if line:
            print(f"umwelt: {line}", file=sys.stderr, flush=True)
        return 2 if line else 0


def main() -> None:
    """The process' entry."""
    with report_errors("directory"):
        sys.exit(CoordinatorProcess(read_settings(CoordinatorSettings)).live())


if __name__ == "__main__":
    main()
