"""Snapshots: saves regions to disk as Zarr arrays, and loads them.

    manifest.py    the manifest of a snapshot: its content, format version and checks
    writer.py      writes parts, constants and the manifest
    reader.py      reads and checks snapshots

A snapshot is a folder:

    manifest.json            format, tick, seed, digest, counts, controls, text of the world file, layout, list of parts
    constants/NAME           the world's constants (integer tables), computed at genesis
    part-Y-X/cells/NAME      the fields of a rectangle, `dtype[height, width]` or `dtype[part, height, width]`
    part-Y-X/TABLE/NAME      the columns of its beings without derived columns; positions relative to the world's corner

A part is the cells and beings of one rectangle. Parts are written into an unfinished folder, each by the node (process)
that computes its rectangle, then the manifest. Finally the folder is renamed to its final name, so a folder with that
name and a manifest is complete.

There are two sorts of snapshots. A *kept* snapshot is part of the run's history; it is compressed, and flushed to disk
before it is renamed. A *temporary* snapshot is only used to resume after a crash, until a newer one replaces it; it is
neither compressed nor flushed, so it survives a killed process but not a power cut.

Loading computes the digest of each part and rejects parts that differ from the manifest. Digests detect damage; the
parts of a kept snapshot also have a BLAKE2b hash of their files, which detects forgery (`hash_files`).
"""

from umwelt.sandbox.snapshot.manifest import (
    CONSTANTS,
    FORMAT_VERSION,
    GROUP,
    GROUP_FILE,
    MANIFEST,
    UNFINISHED,
    Layout,
    Manifest,
    hash_constants,
    hash_files,
    make_manifest,
    manifest_text,
    read_manifest,
    select_parts,
)
from umwelt.sandbox.snapshot.reader import Snapshot, count_beings, load, load_constants, load_parts
from umwelt.sandbox.snapshot.writer import finish, save, write_constants, write_part

__all__ = [
    "CONSTANTS",
    "FORMAT_VERSION",
    "GROUP",
    "GROUP_FILE",
    "MANIFEST",
    "UNFINISHED",
    "Layout",
    "Manifest",
    "Snapshot",
    "count_beings",
    "finish",
    "hash_constants",
    "hash_files",
    "load",
    "load_constants",
    "load_parts",
    "make_manifest",
    "manifest_text",
    "read_manifest",
    "save",
    "select_parts",
    "write_constants",
    "write_part",
]
