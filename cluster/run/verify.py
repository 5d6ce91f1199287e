"""Checks the files of a run against its hash chain, adds snapshots to the chain, and compares the history of two runs.

The hash chain (`hash_chain.py`) is a sequence of hashes in the journal that cover the journal's entries, the world file
and the kept snapshots. This module only reads and hashes files, which detects every changed byte. `replay.verify` also
recomputes the run, which checks that its history follows from the laws.

The *manifest* of a snapshot describes its parts, and contains the *digest*, a 64-bit sum over the state of the world.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from umwelt.cluster.run import hash_chain
from umwelt.cluster.run.hash_chain import Comparison, Fault, Rows
from umwelt.cluster.run.journal import Journal
from umwelt.cluster.run.remote_store import open_store
from umwelt.cluster.run.store import JOURNAL, Entry, Store
from umwelt.sandbox import snapshot
from umwelt.sandbox.errors import RunError, SnapshotError
from umwelt.sandbox.region import Rectangle, Torus
from umwelt.sandbox.snapshot import CONSTANTS, GROUP, GROUP_FILE, MANIFEST, Manifest

KEY_DIGITS = 16
"""Number of hexadecimal digits of a public key that messages contain."""
_FIX = "move the snapshot out of the run's folder, the run continues from another"


# --- appending to the hash chain


def snapshot_record(manifest: Manifest, folder: Path) -> str:
    """Returns the text that the hash chain holds for a snapshot: the hashes of its manifest and of its constants.

    The constants are in `folder`.
    """
    return hash_chain.snapshot_content(
        snapshot.manifest_text(manifest).encode("utf-8"), snapshot.hash_files(folder / CONSTANTS)
    )


def update_chain(store: Store, journal: Journal) -> None:
    """Begins the hash chain of a run that has none, and appends the kept snapshots that the chain lacks.

    The chain lacks a snapshot if the coordinator was killed before it could append the item, or if the journal was
    lost. A snapshot whose digest differs from the journal's digest of its tick is not appended.
    """
    journal.chain.begin(store.world_bytes())
    known_ticks, digests = journal.chain.snapshot_ticks(), journal.history.digests()
    for entry in reversed(store.entries()):
        path = store.snapshots / entry.name  # snapshots at a URL are not downloaded for this
        if not entry.kept or entry.tick in known_ticks or not path.is_dir():
            continue
        try:
            manifest = store.manifest(entry)
            digest = digests.get(entry.tick)
            if digest is None or f"{digest:016x}" == manifest.digest:
                constants = snapshot.hash_files(path / CONSTANTS)
                content = hash_chain.snapshot_content((path / MANIFEST).read_bytes(), constants)
                journal.chain.enter_snapshot(entry.tick, content)
        except (SnapshotError, OSError):
            continue
    journal.commit()


# --- checking against the hash chain


@dataclass
class ChainCheck:
    """The result of checking a run's files against its hash chain."""

    fault: Fault | None = None
    lines: list[str] = field(default_factory=list)
    """Messages that say what the hash chain proves and what it does not."""


def check_chain(store: Store, public: bytes | None = None) -> ChainCheck:
    """Checks the journal, world file and snapshots of a run against its hash chain.

    If `public` is given, the hash chain must be signed by this public key.
    """
    entries = store.entries()
    rows = _read_rows(store)
    if not rows.exists:
        if public is not None:
            fix = "resume the run with its keys"
            return ChainCheck(Fault(0, f"{JOURNAL}: there is no hash chain that could be signed: {fix}"))
        return ChainCheck(None, ["it has no hash chain: only its digests are compared"])
    fault = hash_chain.find_fault(rows, store.world_bytes())
    if fault is None and public is not None:
        fault = hash_chain.find_signer_fault(rows, public)
    if fault is not None:
        return ChainCheck(fault)
    contents: dict[int, set[str]] = {}
    for item in rows.items:
        if item.kind == hash_chain.SNAPSHOT:
            contents.setdefault(item.tick, set()).add(item.content)
    for entry in sorted(entries):
        known = contents.get(entry.tick, set()) if entry.kept else set()
        line = _snapshot_fault(store, entry, known, rows.digests.get(entry.tick))
        if line:
            return ChainCheck(Fault(entry.tick, line))
    kept_ticks = [entry.tick for entry in entries if entry.kept]
    return ChainCheck(None, _summary(rows, len(kept_ticks), sum(tick not in contents for tick in kept_ticks)))


def _read_rows(store: Store) -> Rows:
    """Returns all rows of the run's hash chain, with the digests and commands that it covers."""
    journal = Journal.reading(store.journal)
    try:
        return journal.chain.rows()
    finally:
        journal.close()


def _snapshot_fault(store: Store, entry: Entry, contents: set[str], digest: str | None) -> str:
    """Returns a message about the first fault of a snapshot; empty if it has none, or was deleted in the meantime.

    `contents` are the texts with hashes that the hash chain holds for the snapshot (`snapshot_record`). A snapshot
    without them, such as a temporary one, is checked against `digest`, the journalled digest of its tick.
    """
    path = store.path(*entry)
    if not path.is_dir():
        return ""
    try:
        change = next(_find_changes(store, entry, path, contents, digest), "")
    except SnapshotError as error:
        return f"{error}: {_FIX}" if path.is_dir() else ""
    except OSError as error:
        line = f"snapshots/{entry.name}: cannot be read: {error.strerror or error}: {_FIX}"
        return line if path.is_dir() else ""
    return f"snapshots/{entry.name}/{change}: {_FIX}" if change else ""


def _find_changes(store: Store, entry: Entry, path: Path, contents: set[str], digest: str | None) -> Iterator[str]:
    """Yields a message for each file of a snapshot in the folder `path` that differs from what was saved.

    `contents` and `digest` are those of `_snapshot_fault`.
    """
    if contents:
        text, constants = (path / MANIFEST).read_bytes(), snapshot.hash_files(path / CONSTANTS)
        if hash_chain.snapshot_content(text, "") not in {f"{content.partition(' ')[0]} " for content in contents}:
            yield f"{MANIFEST}: is not what was saved"
        elif hash_chain.snapshot_content(text, constants) not in contents:
            yield f"{CONSTANTS}: are not what was saved"
    manifest = store.manifest(entry)
    if not contents:
        if digest not in (None, manifest.digest):
            yield f"{MANIFEST}: its digest is {manifest.digest}, not {digest} as in the journal"
        snapshot.load_constants(path, manifest)
    group = path / GROUP_FILE
    if group.exists() and group.read_bytes() != GROUP.encode("ascii"):
        yield f"{GROUP_FILE}: is not what was saved"
    known_names = {MANIFEST, CONSTANTS, GROUP_FILE, *[part["folder"] for part in manifest.parts]}
    for name in sorted(file.name for file in path.iterdir() if file.name not in known_names):
        yield f"{name}: is not part of the snapshot"
    for part in manifest.parts:
        if "hash" not in part:
            snapshot.load_parts(path, manifest, Rectangle(*part["rectangle"]), Torus(*manifest.torus))
        elif snapshot.hash_files(path / part["folder"]) != part["hash"]:
            yield f"{part['folder']}: its files are not what was saved"


def _summary(rows: Rows, snapshots: int, unchained: int) -> list[str]:
    """Returns the messages that say what an intact hash chain proves and what it does not.

    `snapshots` is the number of kept snapshots, `unchained` the number of those that are not in the chain.
    """
    last = f"up to tick {rows.links[-1].tick:,}" if rows.links else "none"
    lines = [
        f"its hash chain is intact: {len(rows.links):,} links, {last}; {snapshots:,} snapshots are as they were saved"
    ]
    if unchained:
        lines.append(
            f"{unchained:,} of them are not in the hash chain: they were checked against their own digests only"
        )
    start_tick = rows.items[0].tick
    if start_tick:
        lines.append(f"its hash chain began at tick {start_tick:,}: what was before was entered then")
    if rows.links and rows.links[0].tick:
        lines.append(f"its hash chain does not cover what was before tick {rows.links[0].tick:,}")
    signed_heads = [head for head in rows.heads if head.signature]
    if not signed_heads:
        return [*lines, "it is not signed: whoever can write its files could have made all of it again"]
    for key in dict.fromkeys(head.public for head in signed_heads):
        newest = max((head for head in signed_heads if head.public == key), key=lambda head: head.number)
        digest_ticks = [item.tick for item in rows.items[: newest.number] if item.kind == hash_chain.DIGEST]
        lines.append(f"it is signed up to tick {max([newest.tick, *digest_ticks]):,} by the key {key[:KEY_DIGITS]}…")
    return lines


# --- comparing two runs


def compare(folder: Path, other: Path, public: bytes | None = None) -> tuple[Comparison, str]:
    """Compares the histories of the runs in `folder` and `other`. Returns how they relate, and a message that says so.

    If `public` is given, the hash chain of `folder` must be signed by this public key. The relation is "forged" if a
    run does not match its own hash chain. Raises `RunError` if a run has no hash chain.
    """
    both_rows = []
    for path in (folder, other):
        store = open_store(path)
        rows = _read_rows(store)
        if not rows.links:
            raise RunError(f"{path}: has no hash chain to compare: umwelt resume {path} begins one")
        fault = hash_chain.find_fault(rows, store.world_bytes())
        if fault is None and public is not None and path == folder:
            fault = hash_chain.find_signer_fault(rows, public)
        if fault is not None:
            return Comparison("forged", parted_tick=fault.tick), f"{path}: {fault.line}"
        both_rows.append(rows)
    comparison = hash_chain.compare_rows(*both_rows)
    return comparison, _comparison_line(comparison, folder, other, both_rows)


def _comparison_line(comparison: Comparison, folder: Path, other: Path, both_rows: list[Rows]) -> str:
    """Returns the message that describes how two runs relate; `both_rows` are the rows of `folder` and `other`."""
    both, shared, parted = f"{folder} and {other}", f"{comparison.shared_tick:,}", f"{comparison.parted_tick or 0:,}"
    first_links = [rows.links[0] for rows in both_rows]
    reason = f"one world file gave different results at tick {first_links[0].tick:,}, as another Umwelt would"
    if first_links[0].covers != first_links[1].covers:
        reason = "they are of different worlds"
    elif first_links[0].tick != first_links[1].tick:
        ticks = " and ".join(f"{link.tick:,}" for link in first_links)
        reason = f"their hash chains begin at ticks {ticks}, what was before is not known"
    parting = (
        "and part there because of their commands"
        if comparison.by_command
        else f"and have parted by tick {parted}: the same commands gave different results: run umwelt verify on both"
    )
    return {
        "same": f"{both} have the same history up to tick {shared}",
        "past": f"{folder} is the past of {other}: all of its {shared} ticks are shared",
        "future": f"{other} is the past of {folder}: all of its {shared} ticks are shared",
        "parted": f"{both} share their past up to tick {shared}, {parting}",
        "nothing": f"{both} have no common history: {reason}",
    }[comparison.relation]
