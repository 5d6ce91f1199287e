"""A run's folder and its ledger: what is entered of snapshots, and whether all that lies there is what was kept.

Nothing is replayed here: a changed byte is found by reading. Whether the history itself is what the laws make of the
world is for `recovery.verify` to say.
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
"""So many digits of a public key are told."""
_ASIDE = "move the snapshot aside, the run goes on from another"


# --- entering


def snapshot_record(manifest: Manifest, folder: Path) -> str:
    """What the ledger is told of a snapshot whose constants lie in a folder."""
    return hash_chain.papers(snapshot.text_of(manifest).encode("utf-8"), snapshot.hash_files(folder / CONSTANTS))


def update_chain(store: Store, journal: Journal) -> None:
    """Begin the ledger of a run that has none, and enter kept snapshots that it does not know.

    Those are older than the ledger, or of a directory that was killed before it could enter them. One whose digest is
    not that of the journal is left out.
    """
    journal.begin_ledger(store.world_bytes())
    known, digests = journal.snapshot_ticks(), journal.digests()
    for entry in reversed(store.entries()):
        path = store.snapshots / entry.name  # those that lie at a URL are not brought here for this
        if not entry.kept or entry.tick in known or not path.is_dir():
            continue
        try:
            manifest = store.manifest(entry)
            digest = digests.get(entry.tick)
            if digest is None or f"{digest:016x}" == manifest.digest:
                constants = snapshot.hash_files(path / CONSTANTS)
                journal.enter_snapshot(entry.tick, hash_chain.papers((path / MANIFEST).read_bytes(), constants))
        except (SnapshotError, OSError):
            continue
    journal.commit()


# --- proving


@dataclass
class ChainCheck:
    """What a run's folder is worth by its ledger."""

    fault: Fault | None = None
    lines: list[str] = field(default_factory=list)
    """For people: what is proven, and what is not."""


def check_chain(store: Store, public: bytes | None = None) -> ChainCheck:
    """Hold journal, world file and snapshots against the ledger; `public` is the key by which it has to be signed."""
    entries = store.entries()
    rows = _rows(store)
    if not rows.begun:
        if public is not None:
            return ChainCheck(
                Fault(0, f"{JOURNAL}: there is no ledger that could be signed: resume the run with its keys")
            )
        return ChainCheck(None, ["it has no ledger: nothing but its digests was compared"])
    fault = hash_chain.fault_in(rows, store.world_bytes())
    if fault is None and public is not None:
        fault = hash_chain.fault_in_signer(rows, public)
    if fault is not None:
        return ChainCheck(fault)
    papers: dict[int, set[str]] = {}
    for item in rows.items:
        if item.kind == hash_chain.SNAPSHOT:
            papers.setdefault(item.tick, set()).add(item.what)
    for entry in sorted(entries):
        known = papers.get(entry.tick, set()) if entry.kept else set()
        line = _snapshot_fault(store, entry, known, rows.digests.get(entry.tick))
        if line:
            return ChainCheck(Fault(entry.tick, line))
    kept = [entry.tick for entry in entries if entry.kept]
    return ChainCheck(None, _told(rows, len(kept), sum(tick not in papers for tick in kept)))


def _rows(store: Store) -> Rows:
    journal = Journal.reading(store.journal)
    try:
        return journal.ledger_rows()
    finally:
        journal.close()


def _snapshot_fault(store: Store, entry: Entry, papers: set[str], digest: str | None) -> str:
    """What is wrong with a snapshot, as a line; empty if nothing is, or if it is gone meanwhile.

    One without papers, as passing marks are, is held against the journalled digest of its tick.
    """
    path = store.path(*entry)
    if not path.is_dir():
        return ""
    try:
        what = next(_changes(store, entry, path, papers, digest), "")
    except SnapshotError as error:
        return f"{error}: {_ASIDE}" if path.is_dir() else ""
    except OSError as error:
        line = f"snapshots/{entry.name}: cannot be read: {error.strerror or error}: {_ASIDE}"
        return line if path.is_dir() else ""
    return f"snapshots/{entry.name}/{what}: {_ASIDE}" if what else ""


def _changes(store: Store, entry: Entry, path: Path, papers: set[str], digest: str | None) -> Iterator[str]:
    """What of a snapshot is not what was kept."""
    if papers:
        text, constants = (path / MANIFEST).read_bytes(), snapshot.hash_files(path / CONSTANTS)
        if hash_chain.papers(text, "") not in {f"{one.partition(' ')[0]} " for one in papers}:
            yield f"{MANIFEST}: is not what was kept"
        elif hash_chain.papers(text, constants) not in papers:
            yield f"{CONSTANTS}: are not what was kept"
    manifest = store.manifest(entry)
    if not papers:
        if digest not in (None, manifest.digest):
            yield f"{MANIFEST}: its digest is {manifest.digest}, not {digest} as in the journal"
        snapshot.load_constants(path, manifest)
    group = path / GROUP_FILE
    if group.exists() and group.read_bytes() != GROUP.encode("ascii"):
        yield f"{GROUP_FILE}: is not what was kept"
    known = {MANIFEST, CONSTANTS, GROUP_FILE, *[part["folder"] for part in manifest.parts]}
    for other in sorted(one.name for one in path.iterdir() if one.name not in known):
        yield f"{other}: was not kept"
    for part in manifest.parts:
        if "hash" not in part:
            snapshot.load_parts(path, manifest, Rectangle(*part["rectangle"]), Torus(*manifest.torus))
        elif snapshot.hash_files(path / part["folder"]) != part["hash"]:
            yield f"{part['folder']}: its files are not what was kept"


def _told(rows: Rows, snapshots: int, unknown: int) -> list[str]:
    """What is proven, and what is not."""
    last = f"up to tick {rows.links[-1].tick:,}" if rows.links else "none"
    lines = [f"its ledger is whole: {len(rows.links):,} links, {last}; {snapshots:,} snapshots are what was kept"]
    if unknown:
        lines.append(f"{unknown:,} of them are not in the ledger: they were held against their own digests alone")
    begun = rows.items[0].tick
    if begun:
        lines.append(f"its ledger was begun at tick {begun:,}: what was before was entered then")
    if rows.links and rows.links[0].tick:
        lines.append(f"its ledger knows nothing of what was before tick {rows.links[0].tick:,}")
    signed = [head for head in rows.heads if head.signature]
    if not signed:
        return [*lines, "it is not signed: whoever can write its files could have made all of it anew"]
    for key in dict.fromkeys(head.public for head in signed):
        newest = max((head for head in signed if head.public == key), key=lambda head: head.number)
        moments = [item.tick for item in rows.items[: newest.number] if item.kind == hash_chain.MOMENT]
        lines.append(f"it is signed up to tick {max([newest.tick, *moments]):,} by the key {key[:KEY_DIGITS]}…")
    return lines


# --- comparing


def compare(folder: Path, other: Path, public: bytes | None = None) -> tuple[Comparison, str]:
    """How the histories of two runs stand to each other, and a line for people.

    Raises `RunError` where one has no ledger; where one does not fit its own ledger, the relation is "forged".
    """
    found = []
    for where in (folder, other):
        store = open_store(where)
        rows = _rows(store)
        if not rows.links:
            raise RunError(f"{where}: has no ledger to compare: umwelt resume {where} begins one")
        fault = hash_chain.fault_in(rows, store.world_bytes())
        if fault is None and public is not None and where == folder:
            fault = hash_chain.fault_in_signer(rows, public)
        if fault is not None:
            return Comparison("forged", parted_tick=fault.tick), f"{where}: {fault.line}"
        found.append(rows)
    how = hash_chain.compared(*found)
    return how, _line(how, folder, other, found)


def _line(how: Comparison, folder: Path, other: Path, found: list[Rows]) -> str:
    both, shared, parted = f"{folder} and {other}", f"{how.shared_tick:,}", f"{how.parted_tick or 0:,}"
    first = [rows.links[0] for rows in found]
    apart = f"one world file came out otherwise at tick {first[0].tick:,}, as by another Umwelt"
    if first[0].covers != first[1].covers:
        apart = "they are of different worlds"
    elif first[0].tick != first[1].tick:
        apart = f"their ledgers begin at ticks {first[0].tick:,} and {first[1].tick:,}, what was before is not known"
    why = (
        f"and have parted by tick {parted}: the same commands came out otherwise: umwelt verify tells in which of them"
    )
    return {
        "same": f"{both} have one history, up to tick {shared}",
        "past": f"{folder} is the past of {other}: all of its {shared} ticks are shared",
        "future": f"{other} is the past of {folder}: all of its {shared} ticks are shared",
        "parted": f"{both} share their past up to tick {shared}, "
        + ("and part there by what people did" if how.by_command else why),
        "nothing": f"{both} share nothing: {apart}",
    }[how.relation]
