"""A region to disk and back, as Zarr arrays by named column. Only this package of the sandbox writes to disks.

    manifest.py    what a snapshot's manifest says, its format version, and the checks of it
    writer.py      writes parts, constants and the manifest
    reader.py      reads and checks them

A snapshot is a folder:

    manifest.json            format, tick, seed, digest, counts, controls, frozen world text, layout, list of parts
    constants/NAME           the world's integer tables, made at genesis
    part-Y-X/cells/NAME      the fields of a rectangle, `dtype[height, width]` or `dtype[part, height, width]`
    part-Y-X/TABLE/NAME      the columns of its beings, positions from the world's corner; no derived columns

Parts are written into an unfinished folder, each by the owner of its rectangle; then the manifest, and then the folder
gets its final name, so that a folder with that name and a manifest is whole. A kept snapshot is compressed and made
durable first. A passing mark is neither, so it survives a killed process but not a power cut. Loading computes the
digest of each part and refuses parts that differ from the manifest. Digests find damage; the parts of a kept snapshot
also carry a BLAKE2b hash of their files, which finds forgery (`hash_files`).
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
