"""The manifest of a snapshot: its content, its format version, and the checks of its values."""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from umwelt.sandbox import audit
from umwelt.sandbox.columns import TICK_BITS, Column, Schema
from umwelt.sandbox.controls import Controls
from umwelt.sandbox.errors import SnapshotError
from umwelt.sandbox.region import Field, Rectangle, Torus, images

FORMAT_VERSION = 3
"""The version of the snapshot format.

It changes whenever the manifest's keys, the names of folders, or the values that the digest covers change; see
`docs/versions.md`."""
MANIFEST = "manifest.json"
CONSTANTS = "constants"
GROUP_FILE, GROUP = "zarr.json", json.dumps({"zarr_format": 3, "node_type": "group", "attributes": {}})
"""The name and the content of the file that makes a folder a Zarr group."""
UNFINISHED = ".writing-"
"""The prefix of the names of unfinished snapshot folders, which are never read."""
Layout = tuple[Sequence[Field], Sequence[Schema]]
"""The fields of a world's cells and the schemas of its tables."""

INVALID = (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError)
"""The exceptions that reading a damaged or edited manifest can raise."""
_TYPES = {
    "name": str,
    "tick": int,
    "epoch": int,
    "kept": bool,
    "seed": int,
    "digest": str,
    "torus": list,
    "counts": dict,
    "controls": dict,
    "world": str,
    "fields": list,
    "tables": dict,
    "constants": dict,
    "parts": list,
}
"""The type of each value of the manifest, except `format`, which is checked first."""
# valid names of fields, columns, tables and constants, which become names of folders
_NAME = re.compile(r"\w[\w.-]*")
_PART_KEYS = {"folder", "rectangle", "digest", "beings"}
_DIGEST = re.compile(r"[0-9a-f]{16}")
_FILES_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Manifest:
    """The description of a snapshot: everything except its arrays.

    `parts` describe the parts of the snapshot, each the cells and beings of one rectangle, as `write_part` returns
    them. `digest` is the sum of the digests of the parts and of the controls, modulo 2^64. `counts` are the world's
    births and deaths since tick 0. `epoch` is the number of the division of the torus among nodes when the parts were
    written. `world` is the text of the world file. `kept` is false for a temporary snapshot, which only serves to
    resume after a crash. `constants` maps the names of the constants to hashes. `fields` and `tables` describe the
    arrays of cells and beings.
    """

    format: int
    name: str
    tick: int
    epoch: int
    kept: bool
    seed: int
    digest: str
    torus: tuple[int, int]
    counts: dict[str, int]
    controls: dict[str, Any]
    world: str
    fields: list[dict[str, Any]]
    tables: dict[str, dict[str, Any]]
    constants: dict[str, str]
    parts: list[dict[str, Any]]


def make_manifest(
    name: str,
    world_text: str,
    layout: Layout,
    torus: Torus,
    seed: int,
    tick: int,
    constants: Mapping[str, str],
    parts: Iterable[Mapping[str, Any]],
    counts: Mapping[str, int],
    controls: Controls,
    kept: bool = True,
    epoch: int = 0,
) -> Manifest:
    """Returns the manifest of a snapshot whose parts are already written.

    `parts` are the results of `write_part`, and `constants` the result of `hash_constants`.
    """
    entries = sorted((dict(part) for part in parts), key=lambda part: part["rectangle"][:2])
    fields, schemas = layout
    tables = {
        schema.name: {
            "kind": schema.kind,
            "columns": [_to_json(column) for column in schema.columns if not column.derived],
        }
        for schema in schemas
    }
    digest = (sum(int(part["digest"], 16) for part in entries) + controls.digest()) & audit.DIGEST_MASK
    return Manifest(
        FORMAT_VERSION,
        name,
        tick,
        epoch,
        kept,
        seed,
        f"{digest:016x}",
        (torus.height, torus.width),
        dict(counts),
        controls.to_json(),
        world_text,
        [_to_json(field) for field in fields],
        tables,
        dict(constants),
        entries,
    )


def manifest_text(manifest: Manifest) -> str:
    """Returns the text of `manifest.json`.

    Raises `SnapshotError` if `read_manifest` would reject it, such as when parts do not cover the world.
    """
    text = json.dumps(asdict(manifest), indent=1)
    try:
        _check(json.loads(text))
    except INVALID as error:
        raise SnapshotError(f"tick {manifest.tick}: cannot be finished: {error_line(error)}: take it again") from None
    return text


def read_manifest(path: Path) -> Manifest:
    """Returns the manifest of the snapshot in the folder `path`.

    Raises `SnapshotError` if the manifest is missing, damaged, or of another format version.
    """
    try:
        content = json.loads((path / MANIFEST).read_text("utf-8"))
        version = content["format"]
        if version == FORMAT_VERSION:
            return _check(content)
    except INVALID as error:
        raise SnapshotError(f"{path}: damaged or unfinished: {MANIFEST}: {error_line(error)}") from None
    raise SnapshotError(
        f"{path}: snapshot format {str(version)[:20]}, this Umwelt reads format {FORMAT_VERSION}: "
        "use the Umwelt that wrote it"
    )


def select_parts(manifest: Manifest, rectangle: Rectangle) -> list[dict[str, Any]]:
    """Returns the manifest's entries of the parts that overlap `rectangle`."""
    torus = Torus(*manifest.torus)
    return [
        part for part in manifest.parts if any(True for _ in images(rectangle, Rectangle(*part["rectangle"]), torus))
    ]


def hash_constants(constants: Mapping[str, np.ndarray]) -> dict[str, str]:
    """Returns the hash of each of the world's constants by name, for `Manifest.constants`."""
    return {name: hash_array(array) for name, array in constants.items()}


def hash_array(array: np.ndarray) -> str:
    """Returns the BLAKE2b hash of an array's bytes, 32 hex digits."""
    return hashlib.blake2b(np.ascontiguousarray(array).tobytes(), digest_size=16).hexdigest()


def hash_files(folder: Path) -> str:
    """Returns the BLAKE2b hash, 64 hex digits, of a folder's files: of their relative names, sizes and contents.

    The files are hashed in the order of their paths.
    """
    state = hashlib.blake2b(digest_size=32)
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder).as_posix().encode("utf-8", "surrogateescape")
        state.update(b"%d %d\n%b\n" % (len(name), path.stat().st_size, name))
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                state.update(block)
    return state.hexdigest()


def error_line(error: BaseException) -> str:
    """Returns the type and message of an exception as one line."""
    return f"{type(error).__name__}: {error}".replace("\n", " ")


def _to_json(item: Field | Column) -> dict[str, Any]:
    """Returns the manifest's entry for a field or column."""
    content: dict[str, Any] = {"name": item.name, "dtype": item.dtype, "parts": list(item.parts), "unit": item.unit}
    if isinstance(item, Column):
        content["width"] = item.width
    return content


def _check(content: Mapping[str, Any]) -> Manifest:
    """Returns `content` as a manifest.

    Raises one of the exceptions in `INVALID` for a missing key or an invalid value.
    """
    manifest = Manifest(**content)
    for key, kind in _TYPES.items():
        if type(content[key]) is not kind:
            raise TypeError(f'"{key}" is not a {kind.__name__}')
    if not 0 <= manifest.tick < 1 << TICK_BITS:
        raise ValueError(f'"tick" is {manifest.tick}')
    if not 0 <= manifest.seed < 1 << 63:
        raise ValueError(f'"seed" is {manifest.seed}')
    if [type(size) for size in manifest.torus] != [int, int] or min(manifest.torus) < 1:
        raise ValueError(f'"torus" is {manifest.torus}')
    for event in ("births", "deaths"):
        if type(manifest.counts[event]) is not int or manifest.counts[event] < 0:
            raise ValueError(f'"counts": "{event}" is {manifest.counts[event]!r}')
    if manifest.counts.keys() != {"births", "deaths"}:
        raise ValueError(f'"counts" are {", ".join(manifest.counts)}')
    columns = [column for table in manifest.tables.values() for column in table["columns"]]
    names = [*manifest.constants, *manifest.tables, *[item["name"] for item in [*manifest.fields, *columns]]]
    for name in names:  # names become paths
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not a valid name")
    _check_parts(manifest.parts, Torus(*manifest.torus), manifest.tables.keys())
    total = sum(int(part["digest"], 16) for part in manifest.parts) + Controls.from_json(manifest.controls).digest()
    if manifest.digest != f"{total & audit.DIGEST_MASK:016x}":
        raise ValueError(f'"digest" is {manifest.digest}, not the sum of those of parts and controls')
    return manifest


def _check_parts(parts: Sequence[Mapping[str, Any]], torus: Torus, tables: Iterable[str]) -> None:
    """Checks that `parts` have the form that `write_part` returns and cover the torus exactly once.

    Raises one of the exceptions in `INVALID` otherwise. `tables` are the names of the tables.
    """
    boxes = []
    for part in parts:
        y, x, height, width = part["rectangle"]
        if any(type(value) is not int for value in part["rectangle"]) or not (
            0 <= y < torus.height and 0 <= x < torus.width and 0 < height <= torus.height and 0 < width <= torus.width
        ):
            raise ValueError(f'"parts": the rectangle {part["rectangle"]} is not of this world')
        if part["folder"] != f"part-{y}-{x}" or not _DIGEST.fullmatch(part["digest"]):
            raise ValueError(f'"parts": {part["folder"]!r} is not as it was written')
        counts = [part["beings"][name] for name in tables]
        if "hash" in part and not _FILES_HASH.fullmatch(part["hash"]):
            raise ValueError(f'"parts": the hash of {part["folder"]!r} is not valid')
        if part.keys() - {"hash"} != _PART_KEYS or any(type(count) is not int or count < 0 for count in counts):
            raise ValueError(f'"parts": {part["folder"]!r} is not as it was written')
        rows = [(y, min(y + height, torus.height)), (0, y + height - torus.height)]
        columns = [(x, min(x + width, torus.width)), (0, x + width - torus.width)]
        boxes += [(top, left, bottom, right) for top, bottom in rows for left, right in columns]
    array = np.array([box for box in boxes if box[0] < box[2] and box[1] < box[3]], np.int64).reshape(-1, 4)
    top, left, bottom, right = array.T
    overlap = (top[:, None] < bottom) & (top < bottom[:, None]) & (left[:, None] < right) & (left < right[:, None])
    if int(((bottom - top) * (right - left)).sum()) != torus.cells or np.count_nonzero(overlap) != len(array):
        raise ValueError('"parts": they do not cover the world exactly once')
