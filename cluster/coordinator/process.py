"""The process of a coordinator: runs its state machine and driver. It must run on the host of the run's folder.

    python -m umwelt.cluster.coordinator.process SETTINGS      (started by umwelt launch and umwelt resume)

After it was killed, it can be started again: it reads the journal and the newest undamaged snapshot, waits for the
nodes, and continues the run.
"""

import fcntl
import os
import secrets
import sys
import time
from pathlib import Path
from typing import TextIO

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
from umwelt.cluster.settings import COORDINATOR_FILE, COORDINATOR_LOCK, COORDINATOR_ORPHAN_S, CoordinatorSettings
from umwelt.cluster.wire.keys import KEEPER, NODE, WORLD, Keys, load_chain_secret
from umwelt.cluster.wire.protocol import Order, Welcome
from umwelt.cluster.wire.transport import ZmqTransport
from umwelt.sandbox import snapshot
from umwelt.sandbox.errors import RunError

IDLE_S = 0.02
LINGER_S = 0.3
"""Time for which the process continues after the end, to repeat lost `Stop` messages in answer to heartbeats."""
LOCK_WAIT_S = COORDINATOR_ORPHAN_S + 5.0
LOCK_RETRY_S = 0.05


class CoordinatorProcess:
    """A coordinator in this process. Created by `main`; the method `run` returns when the world has ended.

    The constructor raises RunError if the run has a coordinator already, or its folder cannot be used.
    """

    def __init__(self, settings: CoordinatorSettings):
        store = open_store(Path(settings.run).resolve())
        self._lock = lock_run(store.folder)
        world = read_run_world(store)
        keys = Keys.load(Path(settings.keys), WORLD) if settings.keys else None
        entry, manifest, lines = newest_good(store, world)
        for line in lines:
            self._print(line)
        store.remove_unfinished()
        journal, secret = _open_journal(store, settings.keys)
        state = read_state(journal, world, entry, manifest)
        token = snapshot_transfer.write_token(store.folder)
        url = store.url if isinstance(store, RemoteStore) else ""
        welcome = Welcome(world.text, world.name, str(store.folder), token, url, settings.checked)
        self._store = store
        self._storage = RunStorage(world, store, journal, snapshot.load_constants(store.path(*entry), manifest), secret)
        self._transport = ZmqTransport(b"", settings.bind, keys, WORLD, frozenset({WORLD, NODE, KEEPER}))
        self.machine = CoordinatorMachine(state, options_from(settings, world), welcome, seals_of(world))
        self.driver = CoordinatorDriver(self.machine, self._transport, self._storage, time.monotonic, self._print)
        announce(store.folder / COORDINATOR_FILE, {"address": self._transport.address, "pid": os.getpid()})

    def run(self) -> int:
        """Operates the coordinator until the world is stopped or has reached its last tick, or an error ends the run.

        SIGTERM, SIGINT and the end of the parent process stop the world; if it cannot be saved in
        `COORDINATOR_ORPHAN_S` seconds, the coordinator ends without. Returns the exit status: 2 after an error, else 0.
        """
        signal = StopSignal()
        stopping_s: float | None = None
        while self.driver.ended is None:
            self.driver.poll(IDLE_S)
            now_s = time.monotonic()
            if (signal.asked or signal.orphaned) and stopping_s is None:
                stopping_s = now_s
                self.driver.order(Order("", "stop"))
            abandoned = signal.orphaned and not self.machine.membership.nodes
            if stopping_s is not None and (abandoned or now_s - stopping_s > COORDINATOR_ORPHAN_S):
                break
        end_s = time.monotonic() + LINGER_S
        while time.monotonic() < end_s:
            self.driver.poll(IDLE_S)
        self.close()
        if self.driver.ended:
            self._print(self.driver.ended)
        return 2 if self.driver.ended else 0

    def close(self) -> None:
        """Closes journal and transport, and removes the files by which other processes find this one."""
        self._storage.close()
        snapshot_transfer.remove_tokens(self._store.folder)
        (self._store.folder / COORDINATOR_FILE).unlink(missing_ok=True)
        self._transport.close()

    def _print(self, line: str) -> None:
        print(f"umwelt: {line}", file=sys.stderr, flush=True)


def lock_run(folder: Path, within_s: float = LOCK_WAIT_S) -> TextIO:
    """Locks a run's folder for this coordinator. The lock is held while the returned file is open.

    Waits up to `within_s` seconds for another coordinator, which may still be saving the world after its launcher has
    ended. Raises RunError if the folder stays locked.
    """
    file = (folder / COORDINATOR_LOCK).open("w", encoding="ascii")
    end_s = time.monotonic() + within_s
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return file
        except BlockingIOError:
            if time.monotonic() > end_s:
                file.close()
                raise RunError(f"{folder}: is running already: umwelt stop {folder}") from None
            time.sleep(LOCK_RETRY_S)
        except OSError:  # a file system without locks
            return file


def read_state(journal: Journal, world: WorldFile, entry: Entry, manifest: snapshot.Manifest) -> RunState:
    """Returns the state of a run, from its journal and its newest undamaged snapshot."""
    tick = manifest.tick
    return RunState(
        torus_of(world),
        world.laws.light_speed,
        entry,
        manifest.counts["births"],
        manifest.counts["deaths"],
        max(journal.history.last_epoch(), manifest.epoch),
        1 + journal.history.last_number(),
        max(tick, 1 + journal.history.last_tick()),
        tuple(command for _, command in journal.history.commands(tick)),
        tuple((ticket, command.tick, command.number) for ticket, command in reversed(list(journal.history.commands()))),
    )


def options_from(settings: CoordinatorSettings, world: WorldFile) -> RunOptions:
    """Returns the options of a run. Intervals that are 0 in `settings` are replaced by their defaults."""
    intervals = {name: getattr(settings, name) for name in ("mark_s", "kept_s", "dead_after_s", "gather_s")}
    return RunOptions(
        nodes=settings.nodes,
        ticks_per_exchange=settings.ticks_per_exchange,
        last_tick=settings.last_tick,
        max_parts=max_parts(torus_of(world)),
        new_pass=lambda: secrets.token_bytes(16),
        **{name: value for name, value in intervals.items() if value > 0},
    )


def _open_journal(store: Store, keys: str) -> tuple[Journal, bytes | None]:
    """Opens the journal and updates its hash chain.

    The hash chain is a sequence of hashes over the journal's entries, by which later changes are detected; its *head*
    is a record of its end at some time, signed if there is a key. Returns the journal, and the secret key in the folder
    `keys` that signs heads, or None. Raises RunError if there is a key, but the last head does not match the chain.
    """
    journal = Journal(store.journal)
    secret = load_chain_secret(Path(keys)) if keys else None
    if secret is not None and not journal.chain.has_last_head():
        journal.close()
        raise RunError(
            f"{store.journal}: its last head does not belong to this hash chain: umwelt verify {store.folder} says "
            "what was changed: take the journal from a copy, or resume the run without keys"
        )
    update_chain(store, journal)
    return journal, secret


def main() -> None:
    """Runs a coordinator with the settings on the command line; exits with its status."""
    with report_errors("coordinator"):
        sys.exit(CoordinatorProcess(read_settings(CoordinatorSettings)).run())


if __name__ == "__main__":
    main()
