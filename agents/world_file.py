"""World files: TOML, read and checked before anything is made.

A file says `width`, `height` and `seed`, which laws it lives by (Earth's unless it says otherwise), and then what those
laws want to know. Every mistake becomes one line that names the file, the key and the mend.
"""

import difflib
import json
import math
import re
import tomllib
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

import msgspec

from umwelt.sandbox.chemistry import Chemistry
from umwelt.sandbox.errors import WorldFileError
from umwelt.sandbox.step import Laws
from umwelt.sandbox.text import load_object, one_line, one_of, prefix_errors

MIN_SIZE_CELLS = 32
MAX_SIDE_CELLS = 1 << 20
MAX_CELLS = 1 << 30
MAX_NUMBER = 1 << 30
WINDOWS_AT_ONCE, TABLES_AT_ONCE = 4, 2
"""While a world is opened there are the new region and the pieces it comes from; cells take room to work in besides."""
EARTH = "umwelt.agents.earth.earth:laws"

Count = Annotated[int, msgspec.Meta(ge=0, le=1 << 24)]
"""Molecules, or beings: never negative, and few enough that sums over neighbours cannot overflow."""


class Common(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What every world file may say, whatever its laws."""

    width: int
    height: int
    seed: int
    summary: str = ""
    laws: str = EARTH
    births: bool | str = False
    """Whether every birth is journalled with its genome; with the name of a table, as "monsters", those of it alone."""


@dataclass(frozen=True)
class WorldFile:
    """A checked description of a world; `text` is the frozen file, overrides included."""

    name: str
    source: str
    text: str
    common: Common
    laws: Laws
    settings: Any

    @cached_property
    def chemistry(self) -> Chemistry | None:
        """Substances and reactions, where the laws know such."""
        return self.laws.chemistry(self) if self.laws.chemistry is not None else None


def needed_memory_bytes(world: WorldFile) -> int:
    """About how many bytes a world takes in one process, by its fields and founders; nothing is allocated."""
    fields, schemas = world.laws.layout(world)
    rim = 2 * world.laws.light_speed
    cells = (world.common.height + rim) * (world.common.width + rim)
    founders = sum(max(0, getattr(group, "count", 0)) for group in getattr(world.settings, "founders", ()))
    row_bytes = max((schema.row_bytes for schema in schemas), default=0)
    cell_bytes = sum(field.cell_bytes for field in fields)
    return WINDOWS_AT_ONCE * cells * cell_bytes + TABLES_AT_ONCE * founders * row_bytes


def available_memory_bytes() -> int:
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
    needed, at_hand = needed_memory_bytes(world), available_memory_bytes()
    if needed > at_hand:
        common = world.common
        raise WorldFileError(
            f"width = {common.width}, height = {common.height}: needs about {needed / 2**30:.1f} GiB with founders, "
            f"{at_hand / 2**30:.1f} GiB are free: use a smaller width, height or count"
        )


def bundled_worlds() -> dict[str, Path]:
    """The worlds that come with Umwelt, by name."""
    folder = Path(str(resources.files("umwelt.worlds")))
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def find_world(name_or_path: str) -> Path:
    """A world file by bundled name or path."""
    path = Path(name_or_path)
    try:
        if path.suffix == ".toml" or path.is_file():
            return path
        is_folder = bool(name_or_path) and path.is_dir()
    except OSError as error:
        line = f'no world "{name_or_path[:40]}...": {error.strerror}: use a shorter name'
        raise WorldFileError(one_line(line)) from None
    known = bundled_worlds()
    if name_or_path in known:
        return known[name_or_path]
    near = difflib.get_close_matches(name_or_path, known, 1)
    hint = f'did you mean "{near[0]}"?' if near else f"bundled are {', '.join(known)}; or give the path of a .toml file"
    if is_folder:
        raise WorldFileError(one_line(f"{path}: is a folder: {hint}"))
    raise WorldFileError(one_line(f'no world "{name_or_path}": {hint}'))


def read_world(name_or_path: str, overrides: Mapping[str, Any] | None = None, place: str = "--set") -> WorldFile:
    """Read and check a world file; `overrides` are values by dotted key, which were asked for at a `place`."""
    path = find_world(name_or_path)
    try:
        text = path.read_bytes().decode("utf-8-sig")  # some editors begin a file with a byte order mark
    except UnicodeDecodeError as error:
        raise WorldFileError(one_line(f"{path}: not UTF-8 at byte {error.start}: save it as UTF-8 text")) from None
    except (OSError, ValueError) as error:
        mend = "give the path of a .toml file, or a bundled world, as umwelt worlds lists them"
        why = getattr(error, "strerror", None) or error
        raise WorldFileError(one_line(f"{str(path)[:200]}: cannot be read: {why}: {mend}")) from None
    return parse_world(text, str(path), path.stem, overrides, place)


def parse_world(
    text: str, source: str, name: str, overrides: Mapping[str, Any] | None = None, place: str = "--set"
) -> WorldFile:
    """Check the text of a world file; `source` is what its mistakes are reported under."""
    with prefix_errors(source):
        try:
            content = _toml(text)
            for key, value in (overrides or {}).items():
                set_value(content, key, value, place)
            world = _checked(content, source, name)
            if isinstance(world.common.births, str):
                one_of(world.common.births, [schema.name for schema in world.laws.layout(world)[1]], "births")
        except RecursionError:
            raise WorldFileError("brackets or dots are nested too deeply: write it flat") from None
        check_fits_memory(world)
        return world


def _toml(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except ValueError as error:  # numbers of thousands of digits are refused by Python itself
        raise WorldFileError(f"not TOML: {error}") from None


def _checked(content: dict[str, Any], source: str, name: str) -> WorldFile:
    own = set(Common.__struct_fields__)
    common = convert({k: v for k, v in content.items() if k in own}, Common)
    for side, size in (("width", common.width), ("height", common.height)):
        if size < MIN_SIZE_CELLS:
            raise WorldFileError(f"{side} = {size}: at least {MIN_SIZE_CELLS} cells are needed")
        if size > MAX_SIDE_CELLS:
            raise WorldFileError(f"{side} = {size}: at most {MAX_SIDE_CELLS} cells can be counted in positions")
    if common.width * common.height > MAX_CELLS:
        raise WorldFileError(f"width * height = {common.width * common.height}: at most {MAX_CELLS} cells have ids")
    if not 0 <= common.seed < 1 << 63:
        raise WorldFileError(f"seed = {common.seed}: use 0 to 2^63 - 1")
    laws = load_object(common.laws, "laws")
    if not isinstance(laws, Laws):
        raise WorldFileError(f'laws = "{common.laws}": that is a {type(laws).__name__}, not a Laws')
    rest = {k: v for k, v in content.items() if k not in own}
    for key in rest:
        known = [*Common.__struct_fields__, *laws.settings.__struct_fields__]  # type: ignore[attr-defined]
        if key not in known:
            raise WorldFileError(_unknown_key(key, known))
    settings = convert(rest, laws.settings)
    return WorldFile(name, source, to_toml(content), common, laws, settings)


def convert(values: Mapping[str, Any], wanted: type) -> Any:
    """Check values against a Struct; what does not fit becomes one line: the key, its value, and the mend."""
    try:
        found: Any = msgspec.convert(values, wanted, strict=True)
        _check_numbers(values, "")
        return found
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at `$")
        raise WorldFileError(
            _plainly(what, where.rstrip("`").lstrip(".").replace("[...]", ""), values, wanted)
        ) from None


def _check_numbers(value: Any, key: str) -> None:
    """Refuse numbers that no integer of the world could hold."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if key or name != "seed":
                _check_numbers(inner, f"{key}.{name}" if key else name)
    elif isinstance(value, list):
        for at, inner in enumerate(value):
            _check_numbers(inner, f"{key}[{at}]")
    elif isinstance(value, int | float) and not -MAX_NUMBER <= value <= MAX_NUMBER:
        most = f"of at most {MAX_NUMBER}" if math.isfinite(value) else "written in digits"
        raise WorldFileError(f"{key} = {_shown(value)}: use a number {most}")


_KINDS = {
    "int": "a whole number",
    "float": "a number",
    "str": 'text in "quotes"',
    "bool": "true or false",
    "object": "a section, as in {section}",
    "array": "a list, as in [1, 2]",
}
_UNKNOWN = re.compile(r"^Object contains unknown field `(.+)`$")
_MISSING = re.compile(r"^Object missing required field `(.+)`$")
_WRONG_KIND = re.compile(r"^Expected `(.+)`, got `(.+)`$")
_BOUND = re.compile(r"^Expected `\w+` (>=|<=) (-?[\d.]+)$")


def _plainly(what: str, key: str, values: Mapping[str, Any], wanted: type) -> str:
    """What msgspec says of a key, in the words of world files, with the mend."""
    path = re.findall(r"[^.\[\]]+", key)
    value: Any = values
    for part in path:
        value = value[int(part)] if isinstance(value, list) else value.get(part) if isinstance(value, dict) else None
    place = f"{key}: " if key else ""
    if match := _UNKNOWN.match(what):
        return place + _unknown_key(match[1], _keys_at(wanted, path))
    if match := _MISSING.match(what):
        return f'{place}missing key "{match[1]}": add it'
    if match := _WRONG_KIND.match(what):
        asked = [kind.strip() for kind in match[1].split("|")]
        section = f"[[{key.partition('[')[0]}]]" if "[" in key else f"[{key}]"
        kinds = [_KINDS.get(kind, kind).format(section=section) for kind in asked if kind != "null"]  # no null in TOML
        if "array" in asked and _keys_at(wanted, [*path, "0"]):
            kinds = [f"each of them as a section [[{key}]]"]
        return f"{key} = {_shown(value)}: write {' or '.join(kinds)}"
    if match := _BOUND.match(what):
        return f"{key} = {_shown(value)}: use {match[2]} or {'more' if match[1] == '>=' else 'less'}"
    return f"{key} = {_shown(value)}: {what.replace('`', chr(34))}"


def _unknown_key(key: str, known: list[str]) -> str:
    near = difflib.get_close_matches(key, known, 1)
    return f'unknown key "{key}": ' + (f'did you mean "{near[0]}"?' if near else f"use {', '.join(known)}")


def _shown(value: Any) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)  # nan and inf, as TOML writes them
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= 40 else text[:37] + "..."


def _keys_at(wanted: Any, path: list[str]) -> list[str]:
    """The keys that a section may have."""
    for part in path:
        if part.isdigit():
            wanted = next(iter(typing.get_args(wanted)), None)
        elif hasattr(wanted, "__struct_fields__"):
            wanted = typing.get_type_hints(wanted).get(part)
    return list(getattr(wanted, "__struct_fields__", ()))


def set_value(content: dict[str, Any], key: str, value: Any, place: str) -> None:
    """Set a value by its dotted key; list entries by number, as in `founders.0.count`. `place` is who asks."""
    *path, last = key.split(".")
    at: Any = content
    if not (last and all(path)):
        raise WorldFileError(f'{place} {key}: name a key beside each dot, as in "climate.light"')
    if value is None:
        raise WorldFileError(f"{place} {key} = None: world files know no such value: leave it out")
    for part in path:
        if isinstance(at, list):
            if not (part.isascii() and part.isdecimal() and len(part) < 10 and int(part) < len(at)):
                raise WorldFileError(f'{place} {key}: no entry "{part}" among {len(at)}, counted from 0')
            at = at[int(part)]
        else:
            at = at.setdefault(part, {})
        if not isinstance(at, dict | list):
            raise WorldFileError(f'{place} {key}: "{part}" is a value, not a section')
    if isinstance(at, list):
        raise WorldFileError(f'{place} {key}: name a key of an entry, as in "founders.0.count"')
    at[last] = value


def parse_override(text: str) -> tuple[str, Any]:
    """`KEY=VALUE`, the value as TOML writes it; a bare word is a string."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise WorldFileError(one_line(f'--set {text}: write KEY=VALUE, as in "width=1600"'))
    try:
        found = tomllib.loads(f"value = {value}")
    except ValueError:
        return key.strip(), value.strip()
    except RecursionError:
        raise WorldFileError(one_line(f"--set {key}: brackets are nested too deeply: write it flat")) from None
    if list(found) != ["value"]:
        raise WorldFileError(one_line(f"--set {text}: sets several keys: write one --set for each"))
    return key.strip(), found["value"]


def to_toml(content: Mapping[str, Any]) -> str:
    """The description as TOML again, overrides included."""
    return msgspec.toml.encode(content).decode()
