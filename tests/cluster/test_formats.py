"""Versions of formats: a file of another version is refused in one line, with both versions and the fix."""

import json
import shutil
import sqlite3
from pathlib import Path

import pytest
from small_runs import open_run, small_run

from umwelt.cluster.formats import CHAIN_FORMAT, JOURNAL_FORMAT, RUN_FORMAT
from umwelt.cluster.run import hash_chain
from umwelt.cluster.run.journal import Journal
from umwelt.cluster.run.remote_store import open_store
from umwelt.cluster.run.replay import fork, restore_region
from umwelt.cluster.run.store import RUN_FILE, Store
from umwelt.cluster.run.verify import check_chain
from umwelt.sandbox import snapshot
from umwelt.sandbox.errors import RunError


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    return small_run(tmp_path_factory.mktemp("runs") / "small-1", 8).folder


@pytest.fixture
def store(finished, tmp_path) -> Store:
    return Store(Path(shutil.copytree(finished, tmp_path / "small-1")))


def refusal(what: str, found: object, readable: int) -> str:
    """Returns the expected error line for a file of another format version."""
    return f"{what} format {found}, this Umwelt reads format {readable}: use the Umwelt that wrote it"


def line_of(error) -> str:
    """Asserts that an error has one line; returns it."""
    assert "\n" not in str(error.value)
    return str(error.value)


def set_journal_version(store: Store, version: int) -> None:
    database = sqlite3.connect(store.journal)
    database.execute(f"PRAGMA user_version = {version}")
    database.close()


def test_all_written_files_have_their_versions(store):
    assert json.loads((store.folder / RUN_FILE).read_text()) == {"format": RUN_FORMAT}
    database = sqlite3.connect(store.journal)
    assert database.execute("PRAGMA user_version").fetchone() == (JOURNAL_FORMAT,)
    (content,) = database.execute("SELECT content FROM items WHERE number = 1").fetchone()
    database.close()
    assert content == f"{CHAIN_FORMAT} {hash_chain.hash_world(store.world_bytes())}"
    assert snapshot.read_manifest(store.path(8)).format == snapshot.FORMAT_VERSION


@pytest.mark.parametrize("version", [0, 2, 99])
@pytest.mark.parametrize("read_only", [True, False])
def test_a_journal_of_another_format_is_refused(store, version, read_only):
    set_journal_version(store, version)
    with pytest.raises(RunError) as error:
        Journal(store.journal, read_only)
    assert line_of(error) == f"{store.journal}: {refusal('journal', version, JOURNAL_FORMAT)}"
    set_journal_version(store, JOURNAL_FORMAT)
    Journal(store.journal, read_only).close()


def test_a_fork_of_a_run_with_a_journal_of_another_format_is_refused_and_leaves_nothing(store, tmp_path):
    set_journal_version(store, 2)
    with pytest.raises(RunError, match="journal format 2"):
        fork(store.folder, 8, tmp_path / "fork")
    assert not (tmp_path / "fork").exists()


@pytest.mark.parametrize("version", [0, 2, "1", None])
def test_a_run_folder_of_another_format_is_refused(store, version):
    (store.folder / RUN_FILE).write_text(json.dumps({"format": version}))
    for open_folder in (Store.open, open_store):
        with pytest.raises(RunError) as error:
            open_folder(store.folder)
        assert line_of(error) == f"{store.folder / RUN_FILE}: {refusal('run', version, RUN_FORMAT)}"


@pytest.mark.parametrize("text", ["", "[]", "7", "{}", '{"format"', "\xff"])
def test_a_damaged_run_file_is_one_line_with_the_fix(store, text):
    (store.folder / RUN_FILE).write_bytes(text.encode("latin-1"))
    with pytest.raises(
        RunError, match=r'cannot be read: .*: restore it from a copy, or write \{"format": 1\}'
    ) as error:
        open_store(store.folder)
    line_of(error)


def test_snapshots_that_are_at_no_url_are_refused(store):
    (store.folder / RUN_FILE).write_text(json.dumps({"format": RUN_FORMAT, "snapshots": 5}))
    with pytest.raises(RunError, match='"snapshots" is not a URL'):
        open_store(store.folder)


def test_a_hash_chain_of_another_format_is_refused(store):
    database = sqlite3.connect(store.journal)
    with database:
        database.execute("UPDATE items SET content = '2' || substr(content, 2) WHERE number = 1")
    database.close()
    with pytest.raises(RunError) as error:
        check_chain(store)
    assert line_of(error) == f"journal.sqlite: {refusal('hash chain', 2, CHAIN_FORMAT)}"


def test_a_snapshot_of_another_format_is_skipped_with_both_versions(store):
    manifest = store.path(8) / snapshot.MANIFEST
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"format": 2}))
    _, region, skipped = restore_region(store)
    assert region.tick == 0
    assert skipped == [f"{store.path(8)}: {refusal('snapshot', 2, snapshot.FORMAT_VERSION)}: skipped"]


def test_a_run_that_goes_on_keeps_its_versions(store):
    with open_run(store.folder) as runner:
        runner.go(16)
        runner.save()
    assert check_chain(open_store(store.folder)).fault is None
