"""The hash chain of a run: equal for equal histories on any cluster; changes are located; signatures are checked."""

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from random import Random
from types import SimpleNamespace

import pytest
import simulation
from sharded_regions import golden_world
from simulation import MemoryStorage, Simulation, run_undisturbed
from small_runs import open_run, small_run, small_world

from umwelt.agents import commands
from umwelt.agents.commands.rain import Rain
from umwelt.client.commands.cli import main
from umwelt.cluster.coordinator.process import CoordinatorProcess
from umwelt.cluster.coordinator.storage import RunStorage
from umwelt.cluster.instructions import BeginSnapshot, CompleteSnapshot
from umwelt.cluster.launch.local import begin_run
from umwelt.cluster.run import hash_chain
from umwelt.cluster.run.hash_chain import CommandRow, Link, Rows
from umwelt.cluster.run.journal import Journal, Metrics
from umwelt.cluster.run.remote_store import open_store
from umwelt.cluster.run.replay import fork, restore_region, verify
from umwelt.cluster.run.store import Store
from umwelt.cluster.run.verify import check_chain, compare, update_chain
from umwelt.cluster.settings import CoordinatorSettings
from umwelt.cluster.wire import signing
from umwelt.cluster.wire.keys import load_chain_public, load_chain_secret, make_keys
from umwelt.cluster.wire.protocol import ScheduledCommand
from umwelt.sandbox import audit, snapshot
from umwelt.sandbox.errors import RunError, UmweltError

RAIN = commands.encode(Rain(10, 12, 4, 900))


def rows_of(store: Store) -> Rows:
    """Returns all rows of a journal that belong to the hash chain."""
    journal = Journal.reading(store.journal)
    try:
        return journal.chain.rows()
    finally:
        journal.close()


def enter_commands(store: Store, *ticks: int) -> None:
    """Journal rain at some ticks, each command with its own ticket."""
    journal = Journal(store.journal)
    first = journal.history.last_number() + 1
    for number, tick in enumerate(ticks, first):
        journal.enter_commands(f"ticket-{number}", [ScheduledCommand(tick, number, RAIN)])
    journal.close()


@pytest.fixture(scope="module")
def kept(tmp_path_factory) -> Path:
    """A folder with keys and a run of 16 ticks.

    It has commands at ticks 3 and 9 and one for tick 40, snapshots at 0, 8 and 12, and a signed head at the end.
    """
    folder = tmp_path_factory.mktemp("runs")
    make_keys(folder / "keys")
    store = small_run(folder / "run")
    enter_commands(store, 3, 9, 40)
    with open_run(store.folder) as runner:
        for tick in (8, 12):
            runner.go(tick)
            runner.save()
        runner.go(16)
        runner.journal.chain.enter_head(load_chain_secret(folder / "keys"))
    database = sqlite3.connect(store.journal)
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    return folder


@pytest.fixture
def store(kept, tmp_path) -> Store:
    return Store(Path(shutil.copytree(kept / "run", tmp_path / "run")))


def execute(store: Store, *statements: str) -> None:
    database = sqlite3.connect(store.journal)
    with database:
        for statement in statements:
            database.execute(statement)
    database.close()


# --- one history, one chain


class ChainStorage(MemoryStorage):
    """Storage in memory that also writes a real journal; a killed coordinator loses what is not committed."""

    folder = Path()
    journal: Journal | None = None

    def __init__(self, world, disk):
        super().__init__(world, disk)
        if ChainStorage.journal is not None:
            ChainStorage.journal.database.connection.close()
        ChainStorage.journal = self.kept = Journal(self.folder / "journal.sqlite")
        self.kept.chain.begin(world.text.encode())
        self.kept.enter(Metrics(0, 0, 0, {}, {}), run_undisturbed(world, 0, [])[0][0])

    def journal_commands(self, entered):
        super().journal_commands(entered)
        self.kept.enter_commands(entered.ticket, entered.commands)

    def journal_tick(self, entered):
        super().journal_tick(entered)
        self.kept.enter(Metrics(entered.tick, 0, 0, {}, {}), entered.digest)

    def commit(self):
        self.kept.commit()

    def complete_snapshot(self, complete, done):
        self.kept.commit()
        super().complete_snapshot(complete, done)


def carried(world, folder: Path, nodes: int, failure: Callable[[Simulation], None], monkeypatch) -> tuple[Rows, int]:
    """Simulates a run with a failure; returns its hash chain, and the number of its maps (divisions of the torus)."""
    folder.mkdir()
    monkeypatch.setattr(ChainStorage, "folder", folder)
    monkeypatch.setattr(ChainStorage, "journal", None)
    monkeypatch.setattr(simulation, "MemoryStorage", ChainStorage)
    run = Simulation(world, nodes, seed=nodes, last_tick=40)
    run.run(until=lambda: run.machine.phase == "running")
    for number, tick in enumerate((14, 23, 23), 1):
        while f"ticket-{number}" not in run.answers:
            run.submit(f"ticket-{number}", [Rain(10, 12, 4, 100 * number)], tick)
            run.pass_time()
    failure(run)
    run.run()
    rows = ChainStorage.journal.chain.rows()
    ChainStorage.journal.close()
    return rows, len(run.disk.maps)


def killed(run: Simulation) -> None:
    """Kill a node, then the coordinator, and start the coordinator again."""
    run.run(until=lambda: run.tick() >= 19)
    run.kill(next(iter(run.nodes)))
    run.run(until=lambda: run.tick() >= 21 and run.machine.phase == "running")
    run.kill_coordinator()
    for _ in range(20):
        run.pass_time()
    run.begin_coordinator()


def test_links_are_equal_for_any_number_of_nodes_after_kills_and_in_a_replay(tmp_path, monkeypatch):
    world = golden_world(48, 48)
    alone, maps = carried(world, tmp_path / "one", 1, lambda run: None, monkeypatch)
    several, maps_of_several = carried(world, tmp_path / "three", 3, killed, monkeypatch)
    assert maps == 1 and maps_of_several >= 3
    assert [link.tick for link in alone.links] == [0, 8, 16, 24, 32, 40]
    assert several.links == alone.links and len(alone.commands) == 3
    for rows in (alone, several):
        assert hash_chain.find_fault(rows, world.text.encode()) is None
    replayed = [ScheduledCommand(command.tick, command.number, command.content) for command in alone.commands]
    digests, _ = run_undisturbed(world, 40, replayed)
    assert chained(world.text.encode(), digests, alone.commands) == alone.links


def chained(world: bytes, digests: dict[int, int], done: list[CommandRow]) -> list[Link]:
    """Returns the links of a history, computed from its replay."""
    links: list[Link] = []
    for tick in sorted(digests):
        if tick % hash_chain.GRID_TICKS == 0:
            due = [command for command in done if links and links[-1].tick <= command.tick < tick]
            covers = hash_chain.hash_commands(due) if links else hash_chain.hash_world(world)
            links.append(hash_chain.next_link(links[-1] if links else None, tick, covers, f"{digests[tick]:016x}"))
    return links


def test_entering_the_same_ticks_twice_changes_nothing(store):
    before = rows_of(store)
    assert [link.tick for link in before.links] == [0, 8, 16]
    with open_run(store.folder) as runner:
        assert runner.tick == 12
        runner.record()
        runner.go(16)
    assert rows_of(store) == before


# --- comparing the pasts of two runs


def test_a_fork_shares_its_past_up_to_the_first_command_that_differs(store, tmp_path):
    source = store.folder
    assert compare(source, source)[0].relation == "same"
    made = Store(fork(source, 11, tmp_path / "fork"))
    links = rows_of(made).links
    assert links == rows_of(store).links[:2] and check_chain(made).fault is None
    how, line = compare(made.folder, source)
    assert (how.relation, how.shared_tick) == ("past", 11)
    assert line == f"{made.folder} is the past of {source}: all of its 11 ticks are shared"
    assert compare(source, made.folder)[0].relation == "future"
    enter_commands(made, 13)
    with open_run(made.folder) as runner:
        runner.go(16)
    assert verify(made.folder).first_difference is None
    how, line = compare(source, made.folder)
    assert (how.relation, how.shared_tick, how.parted_tick, how.by_command) == ("parted", 13, 13, True)
    assert line.endswith("share their past up to tick 13, and part there because of their commands")


def test_different_worlds_and_different_outcomes_are_distinguished(store, tmp_path):
    other = small_run(tmp_path / "other", seed=6)
    how, line = compare(store.folder, other.folder)
    assert how.relation == "nothing" and line.endswith("have no common history: they are of different worlds")
    forged = Store(Path(shutil.copytree(store.folder, tmp_path / "forged")))
    execute(forged, "UPDATE digests SET digest = '0123456789abcdef' WHERE tick = 16")
    assert compare(store.folder, forged.folder)[0].relation == "forged"
    rebuild_chain(forged)
    how, line = compare(store.folder, forged.folder)
    assert (how.relation, how.shared_tick, how.parted_tick) == ("parted", 12, 16) and "the same commands" in line


# --- forgeries


def rebuild_chain(store: Store) -> None:
    """Delete the chain and compute it again, as a forger without the key can do."""
    execute(store, *[f"DELETE FROM {table}" for table in ("links", "items", "heads")])
    journal = Journal(store.journal)
    update_chain(store, journal)
    journal.close()


COLUMNS = [
    ("digests", "tick"),
    ("digests", "digest"),
    ("commands", "number"),
    ("commands", "tick"),
    ("commands", "ticket"),
    ("commands", "content"),
    ("links", "tick"),
    ("links", "covers"),
    ("links", "digest"),
    ("links", "hash"),
    ("items", "number"),
    ("items", "kind"),
    ("items", "tick"),
    ("items", "content"),
    ("items", "hash"),
    ("heads", "tick"),
    ("heads", "link"),
    ("heads", "number"),
    ("heads", "item"),
    ("heads", "public"),
    ("heads", "signature"),
]


@pytest.mark.parametrize(("table", "column"), COLUMNS)
def test_a_changed_value_in_any_row_is_named(store, table, column):
    chance = Random(f"{table}.{column}")
    database = sqlite3.connect(store.journal)
    found = database.execute(f"SELECT rowid, {column} FROM {table}").fetchall()
    database.close()
    pristine = store.journal.read_bytes()
    for row, value in [one for one in found if one[1] != ""]:
        if isinstance(value, int):
            other = f"{value + chance.choice((1000, 1 << 40))}"
        else:
            at = chance.randrange(len(value))
            other = f"'{value[:at]}{chr(ord(value[at]) ^ 1)}{value[at + 1 :]}'"
        execute(store, f"UPDATE {table} SET {column} = {other} WHERE rowid = {row}")
        fault = check_chain(store).fault
        assert fault is not None and "\n" not in fault.line and ": take the journal from a copy" in fault.line
        assert fault.line.startswith("journal.sqlite: ")
        store.journal.write_bytes(pristine)
    assert check_chain(store).fault is None


@pytest.mark.parametrize("table", ["digests", "commands", "links", "items"])
def test_a_row_that_is_gone_or_was_added_is_named(store, table):
    pristine = store.journal.read_bytes()
    for chosen in ("min(rowid)", "max(rowid)"):
        execute(store, f"DELETE FROM {table} WHERE rowid = (SELECT {chosen} FROM {table})")
        assert check_chain(store).fault is not None
        store.journal.write_bytes(pristine)
    values = {
        "digests": "15, 'ab'",
        "commands": "9, 2, 'x', 'y'",
        "links": "24, 'a', 'b', 'c'",
        "items": "99, 'a', 9, 'b', 'c'",
    }
    execute(store, f"INSERT INTO {table} VALUES ({values[table]})")
    assert check_chain(store).fault is not None


def flipped(path: Path, chance: Random) -> None:
    """Changes one random bit of a file."""
    content = bytearray(path.read_bytes())
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    path.write_bytes(content)


@pytest.mark.slow
def test_a_flipped_bit_in_any_file_of_a_snapshot_or_in_the_world_file_is_named(store, capsys):
    chance = Random(7)
    files = sorted(path for path in store.path(12).rglob("*") if path.is_file())
    assert len(files) > 50
    for path in [*files, store.folder / "world.toml"]:
        pristine = path.read_bytes()
        if not pristine:
            continue
        flipped(path, chance)
        fault = check_chain(store).fault
        assert fault is not None and "\n" not in fault.line, path
        assert fault.tick == (0 if path.name == "world.toml" else 12)
        assert fault.line.startswith("world.toml: " if path.name == "world.toml" else "snapshots/tick-000000000012/")
        path.write_bytes(pristine)
    (store.path(12) / "more").write_text("by somebody else")
    assert "tick-000000000012/more: is not part of the snapshot" in check_chain(store).fault.line
    (store.path(12) / "more").unlink()
    assert check_chain(store).fault is None


def test_a_flipped_bit_anywhere_in_the_journals_file_is_one_line_or_touches_nothing_that_is_chained(store):
    chance, pristine = Random(11), store.journal.read_bytes()
    sound, told = rows_of(store), 0
    for _ in range(150):
        flipped(store.journal, chance)
        try:
            fault = check_chain(store).fault
            assert fault is not None or rows_of(store) == sound
            told += fault is not None
        except UmweltError as error:
            assert "\n" not in str(error)
            told += 1
        store.journal.write_bytes(pristine)
    assert told > 3


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE digests SET digest = '0123456789abcdef' WHERE tick = 16",
        f"UPDATE commands SET content = '{commands.encode(Rain(10, 12, 4, 901)).decode()}' WHERE number = 1",
    ],
)
def test_a_forgery_that_fits_its_chain_is_found_by_the_replay(store, kept, statement):
    execute(store, statement)
    rebuild_chain(store)
    assert check_chain(store).fault is None
    verdict = verify(store.folder)
    assert verdict.replayed and verdict.first_difference in (8, 16) and "has digest" in verdict.line
    assert (
        verify(store.folder, public=load_chain_public(kept / "keys")).replayed is False
    )  # the forger has no key to sign it


# --- signatures


def test_heads_are_checked_with_their_keys(store, kept, tmp_path):
    public = load_chain_public(kept / "keys")
    proof = check_chain(store, public)
    assert proof.fault is None and proof.lines[-1] == f"it is signed up to tick 16 by the key {public.hex()[:16]}…"
    make_keys(tmp_path / "others")
    fault = check_chain(store, load_chain_public(tmp_path / "others")).fault
    assert fault.tick == 16 and "is signed by another key" in fault.line
    execute(store, "DELETE FROM heads WHERE signature != ''")
    assert check_chain(store).lines[-1].startswith("it is not signed")
    assert "no head is signed by the given key" in check_chain(store, public).fault.line


def test_a_head_of_rows_that_are_gone_is_named(store):
    execute(store, "DELETE FROM links WHERE tick = 16", "DELETE FROM digests WHERE tick = 16")
    assert "its link is missing, the last is of tick 8" in check_chain(store).fault.line


def test_signatures_hold_for_their_key_and_message_alone():
    public, secret = signing.make_pair()
    signature = signing.sign(secret, b"a")
    assert signing.public_key(secret) == public and signing.verify(public, b"a", signature)
    assert not signing.verify(public, b"b", signature) and not signing.verify(signing.make_pair()[0], b"a", signature)
    assert not signing.verify(public, b"a", signature[:-1]) and not signing.verify(b"", b"a", signature)


def snapshot_by_a_coordinator(store: Store, tick: int, kept: bool, secret: bytes) -> str:
    """Runs up to a tick and takes a snapshot as a coordinator and one node do; returns the folder of its part."""
    with open_run(store.folder) as runner:
        runner.go(tick)
        runner.record()
        world, region = runner.world, runner.region
    storage = RunStorage(world, store, Journal(store.journal), region.constants, secret)
    storage.begin_snapshot(BeginSnapshot(7, tick, kept))
    assert storage._folder is not None
    part = snapshot.write_part(storage._folder, region.cut(region.owned), region.torus, audit.digest(region), kept)
    lines: list[str] = []
    counts = region.counts["births"], region.counts["deaths"]
    storage.complete_snapshot(
        CompleteSnapshot(7, tick, kept, (part,), region.controls.to_json(), *counts), lines.append
    )
    storage.close()
    assert lines == [""]
    return part["folder"]


def test_a_coordinator_enters_and_signs_each_snapshot_that_it_keeps(store, kept):
    secret = load_chain_secret(kept / "keys")
    before = rows_of(store)
    part = snapshot_by_a_coordinator(store, 20, True, secret)
    after = rows_of(store)
    assert [item.kind for item in after.items[len(before.items) :]] == ["digest", "snapshot"]
    head = after.heads[-1]
    assert (head.tick, head.number) == (16, len(after.items)) and head.public == signing.public_key(secret).hex()
    told = check_chain(store, signing.public_key(secret))
    assert told.fault is None and told.lines[-1].startswith("it is signed up to tick 20 by the key ")
    flipped(store.path(20) / part / "cells" / "substance" / "zarr.json", Random(1))
    assert f"tick-000000000020/{part}: its files are not what was saved" in check_chain(store).fault.line


def test_a_temporary_snapshot_is_checked_against_the_digest_of_its_tick(store, kept):
    part = snapshot_by_a_coordinator(store, 20, False, load_chain_secret(kept / "keys"))
    assert check_chain(store).fault is None and [item.kind for item in rows_of(store).items].count("snapshot") == 3
    mark = store.path(20, False)
    flipped(mark / part / "cells" / "substance" / "c" / "0" / "0" / "0", Random(1))
    assert f"mark-000000000020: damaged: the digest of {part}" in check_chain(store).fault.line
    world, region, _ = restore_region(store, 12)
    shutil.rmtree(mark)
    region.tick = 20  # a valid state, but of another tick
    manifest = snapshot.save(mark, region, world.text, world.name)
    text = (mark / "manifest.json").read_text().replace('"kept": true', '"kept": false')
    (mark / "manifest.json").write_text(text)
    expected = f"snapshots/mark-000000000020/manifest.json: its digest is {manifest.digest}, not "
    assert check_chain(store).fault.line.startswith(expected)


def test_a_coordinator_signs_no_hash_chain_whose_last_head_was_changed(store, kept):
    journal = Journal(store.journal)
    assert journal.chain.has_last_head()
    journal.close()
    enter_commands(store, 41)
    journal = Journal(store.journal)
    assert journal.chain.has_last_head()
    journal.close()
    execute(store, "UPDATE links SET hash = 'ab' WHERE tick = 16")
    with pytest.raises(RunError, match="does not belong to this hash chain: umwelt verify"):
        CoordinatorProcess(CoordinatorSettings(str(store.folder), "ipc://nowhere", str(kept / "keys")))


def test_snapshots_at_a_url_are_checked_against_the_hash_chain(tmp_path):
    store = begin_run(small_world(), tmp_path / "run", url=f"file://{tmp_path}/bucket")
    assert check_chain(open_store(store.folder)).fault is None
    (part,) = (tmp_path / "bucket").glob("run/tick-000000000000/e0/part-0-0/cells/substance/zarr.json")
    flipped(part, Random(2))
    shutil.rmtree(store.snapshots / "tick-000000000000")
    line = check_chain(open_store(store.folder)).fault.line
    assert line.startswith("snapshots/tick-000000000000/part-0-0: its files are not what was saved: move the snapshot")


# --- older runs, and the output of `umwelt verify`


def test_a_run_without_a_hash_chain_gets_one_when_it_continues(store, kept):
    execute(store, *[f"DELETE FROM {table}" for table in ("links", "items", "heads")])
    verdict = verify(store.folder)
    assert verdict.first_difference is None and verdict.chain_lines == [
        "it has no hash chain: only its digests are compared"
    ]
    assert "resume the run with its keys" in check_chain(store, bytes(32)).fault.line
    with pytest.raises(RunError, match="has no hash chain to compare"):
        compare(store.folder, kept / "run")
    journal = Journal(store.journal)
    update_chain(store, journal)
    update_chain(store, journal)
    journal.close()
    assert rows_of(store).links == rows_of(Store(kept / "run")).links
    told = check_chain(store)
    assert told.fault is None and "its hash chain began at tick 16: what was before was entered then" in told.lines
    assert compare(store.folder, kept / "run")[0].relation == "same"


def test_a_lost_journal_begins_again_at_the_tick_of_the_run(store, kept):
    store.journal.unlink()
    with open_run(store.folder) as runner:
        update_chain(store, runner.journal)
        runner.go(24)
    told = check_chain(store)
    assert told.fault is None and "its hash chain does not cover what was before tick 16" in told.lines
    assert "their hash chains begin at ticks 16 and 0" in compare(store.folder, kept / "run")[1]


def ended(capsys, *arguments: str) -> SimpleNamespace:
    """Runs a command; returns its exit code and output."""
    with pytest.raises(SystemExit) as stopped:
        main(list(arguments))
    said = capsys.readouterr()
    return SimpleNamespace(code=stopped.value.code or 0, out=said.out, err=said.err)


def test_verify_reports_what_is_proven_and_what_was_forged(store, kept, tmp_path, capsys):
    run = str(store.folder)
    told = ended(capsys, "verify", run, "--keys", str(kept / "keys"))
    assert told.code == 0 and "up to tick 16: 4 digests and 3 snapshots compared" in told.out
    assert f"{run}: its hash chain is intact: 3 links, up to tick 16; 3 snapshots are as they were saved\n" in told.out
    against = ended(capsys, "verify", run, "--against", str(kept / "run"))
    assert against.code == 0 and against.out.endswith("have the same history up to tick 16\n")
    as_json = ended(capsys, "verify", run, "--against", str(kept / "run"), "--json")
    assert as_json.code == 0 and '"relation": "same"' in as_json.out
    execute(store, "UPDATE commands SET ticket = 'mine' WHERE number = 2")
    told = ended(capsys, "verify", run)
    assert told.code == 1 and told.out == ""
    expected = "journal.sqlite: command 2 (tick 9) is not what was entered: take the journal from a copy"
    assert told.err == f"umwelt: {run}: {expected}\n"
    against = ended(capsys, "verify", str(kept / "run"), "--against", run)
    assert against.code == 1 and against.err == f"umwelt: {run}: {expected}\n"
    wrong = ended(capsys, "verify", run, "--keys", str(tmp_path / "nowhere"))
    assert wrong.code == 2 and wrong.err.count("\n") == 1 and "is not a folder with keys" in wrong.err


def test_the_small_world_equals_the_world_file_of_the_run(store):
    assert store.world_bytes() == small_world().text.encode()
