"""World files: TOML, read and checked before anything is made.

A file says `width`, `height` and `seed`, which laws it lives by (Earth's unless it says otherwise), and then what those
laws want to know. Every mistake becomes one line that names the file, the key and the mend.
"""

import difflib
import importlib
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import msgspec

from umwelt.sandbox.errors import ChemistryError, WorldFileError
from umwelt.sandbox.step import Laws

LEAST_SIZE_CELLS = 32
MOST_CELLS = 1 << 30
WINDOWS_AT_ONCE = 3
"""While a world is opened there are the new region, the pieces it is loaded from, and room for what laws work with."""
EARTH = "umwelt.agents.earth:laws"


class Common(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What every world file may say, whatever its laws."""

    width: int
    height: int
    seed: int
    summary: str = ""
    laws: str = EARTH
    births: bool = False
    """Whether every birth is journalled with its genome."""


@dataclass(frozen=True)
class WorldFile:
    """A checked description of a world; `text` is the frozen file, overrides included."""

    name: str
    source: str
    text: str
    common: Common
    laws: Laws
    settings: Any


def memory_needed(world: WorldFile) -> int:
    """About how many bytes a world takes in one process, by its fields and founders; nothing is allocated."""
    fields, schemas = world.laws.layout(world)
    rim = 2 * world.laws.light_speed
    cells = (world.common.height + rim) * (world.common.width + rim)
    founders = sum(max(0, getattr(group, "count", 0)) for group in getattr(world.settings, "founders", ()))
    row_bytes = max((schema.row_bytes for schema in schemas), default=0)
    return WINDOWS_AT_ONCE * (cells * sum(field.cell_bytes for field in fields) + founders * row_bytes)


def memory_at_hand() -> int:
    """Bytes that this process may still take: what the machine has left, or what its control group allows."""
    found = []
    for line in _lines("/proc/meminfo"):
        if line.startswith("MemAvailable:"):
            found.append(int(line.split()[1]) * 1024)
    limit, used = (next(iter(_lines(f"/sys/fs/cgroup/memory.{name}")), "max") for name in ("max", "current"))
    if limit.isdigit() and used.isdigit():
        found.append(max(0, int(limit) - int(used)))
    return min(found, default=1 << 62)


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text("ascii").splitlines()
    except OSError:
        return []


def check_fits_memory(world: WorldFile) -> None:
    """Refuse a world that this machine cannot hold, before anything is allocated."""
    needed, at_hand = memory_needed(world), memory_at_hand()
    if needed > at_hand:
        common = world.common
        raise WorldFileError(
            f"width = {common.width}, height = {common.height}: needs about {needed / 2**30:.1f} GiB with founders, "
            f"{at_hand / 2**30:.1f} GiB are free: use a smaller width, height or count"
        )


def one_of(name: str, known: Iterable[str], place: str) -> str:
    """The name, if it is known; else a line with the nearest one."""
    names = list(known)
    if name in names:
        return name
    near = difflib.get_close_matches(name, names, 1)
    hint = f'did you mean "{near[0]}"?' if near else f"use one of {', '.join(names)}"
    raise WorldFileError(f'{place}: unknown "{name}": {hint}')


def bundled_worlds() -> dict[str, Path]:
    """The worlds that come with Umwelt, by name."""
    folder = Path(str(resources.files("umwelt.worlds")))
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def find_world(name_or_path: str) -> Path:
    """A world file by bundled name or path."""
    path = Path(name_or_path)
    if path.suffix == ".toml" or path.exists():
        return path
    known = bundled_worlds()
    if name_or_path in known:
        return known[name_or_path]
    near = difflib.get_close_matches(name_or_path, known, 1)
    hint = f'did you mean "{near[0]}"?' if near else f"bundled are {', '.join(known)}; or give the path of a .toml file"
    raise WorldFileError(f'no world "{name_or_path}": {hint}')


def read_world(name_or_path: str, overrides: Mapping[str, Any] | None = None) -> WorldFile:
    """Read and check a world file; `overrides` are values by dotted key, as `--set` gives them."""
    path = find_world(name_or_path)
    try:
        text = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise WorldFileError(f"{path}: not UTF-8 at byte {error.start}: save it as UTF-8 text") from None
    except OSError as error:
        raise WorldFileError(f"{path}: cannot be read: {error.strerror or error}") from None
    return parse_world(text, str(path), path.stem, overrides)


def parse_world(text: str, source: str, name: str, overrides: Mapping[str, Any] | None = None) -> WorldFile:
    """Check the text of a world file; `source` is what its mistakes are reported under."""
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise WorldFileError(f"{source}: not TOML: {error}") from None
    for key, value in (overrides or {}).items():
        set_value(content, key, value, source)
    try:
        world = _checked(content, source, name)
        check_fits_memory(world)
        return world
    except ChemistryError as error:
        raise ChemistryError(f"{source}: {error}") from None
    except WorldFileError as error:
        line = str(error)
        raise WorldFileError(line if line.startswith(source) else f"{source}: {line}") from None


def _checked(content: dict[str, Any], source: str, name: str) -> WorldFile:
    own = set(Common.__struct_fields__)
    common = convert({k: v for k, v in content.items() if k in own}, Common)
    for side, size in (("width", common.width), ("height", common.height)):
        if size < LEAST_SIZE_CELLS:
            raise WorldFileError(f"{side} = {size}: at least {LEAST_SIZE_CELLS} cells are needed")
    if common.width * common.height > MOST_CELLS:
        raise WorldFileError(f"width * height = {common.width * common.height}: at most {MOST_CELLS} cells have ids")
    if not 0 <= common.seed < 1 << 63:
        raise WorldFileError(f"seed = {common.seed}: use 0 to 2^63 - 1")
    laws = load_object(common.laws, "laws")
    if not isinstance(laws, Laws):
        raise WorldFileError(f'laws = "{common.laws}": that is a {type(laws).__name__}, not a Laws')
    rest = {k: v for k, v in content.items() if k not in own}
    for key in rest:
        known = [*Common.__struct_fields__, *laws.settings.__struct_fields__]  # type: ignore[attr-defined]
        if key not in known:
            one_of(key, known, "key")
    settings = convert(rest, laws.settings)
    return WorldFile(name, source, to_toml(content), common, laws, settings)


def convert(values: Mapping[str, Any], wanted: type) -> Any:
    """Check values against a Struct, with msgspec's words made into one line that begins with the key."""
    try:
        return msgspec.convert(values, wanted, strict=True)
    except msgspec.ValidationError as error:
        line = str(error)
        what, _, where = line.partition(" - at `$")
        key = where.rstrip("`").lstrip(".") if where else ""
        raise WorldFileError(f"{key}: {_plainly(what)}" if key else _plainly(what)) from None


def _plainly(line: str) -> str:
    for theirs, ours in (
        ("Object contains unknown field", "unknown key"),
        ("Object missing required field", "missing key"),
    ):
        line = line.replace(theirs, ours)
    return line.replace("`", '"')


def set_value(content: dict[str, Any], key: str, value: Any, source: str) -> None:
    """Set a value by its dotted key; list entries by number, as in `founders.0.count`."""
    *path, last = key.split(".")
    at: Any = content
    for part in path:
        if isinstance(at, list):
            if not part.isdigit() or int(part) >= len(at):
                raise WorldFileError(f'{source}: --set {key}: no entry "{part}" among {len(at)}, counted from 0')
            at = at[int(part)]
        else:
            at = at.setdefault(part, {})
        if not isinstance(at, dict | list):
            raise WorldFileError(f'{source}: --set {key}: "{part}" is a value, not a section')
    if isinstance(at, list):
        raise WorldFileError(f'{source}: --set {key}: name a key of an entry, as in "founders.0.count"')
    at[last] = value


def parse_override(text: str) -> tuple[str, Any]:
    """`KEY=VALUE`, the value as TOML writes it; a bare word is a string."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise WorldFileError(f'--set {text}: write KEY=VALUE, as in "width=1600"')
    try:
        return key.strip(), tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return key.strip(), value.strip()


def load_object(reference: str, key: str) -> Any:
    """What `"package.module:name"` stands for."""
    module_name, colon, name = reference.partition(":")
    if not colon:
        raise WorldFileError(f'{key} = "{reference}": write "package.module:name"')
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise WorldFileError(f'{key} = "{reference}": cannot import {module_name}: {error}') from None
    if not hasattr(module, name):
        raise WorldFileError(f'{key} = "{reference}": {module_name} has no "{name}"')
    return getattr(module, name)


def to_toml(content: Mapping[str, Any]) -> str:
    """The description as TOML again, overrides included."""
    return msgspec.toml.encode(content).decode()
