"""Reads and checks world files, the TOML files that describe worlds, before any memory is allocated for the world.

A world file gives `width`, `height` and `seed`, the laws of the world (Earth's by default), and the settings of those
laws. Errors raise WorldFileError, whose one-line message names the file, the key and the fix.
"""

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
from umwelt.sandbox.text import load_object, one_line, one_of, prefix_errors, suggest

MIN_SIDE_CELLS = 32
MAX_SIDE_CELLS = 1 << 20
"""Maximum of width and height: positions store the row and the column of a cell in 20 bits each."""
MAX_CELLS = 1 << 30
"""Maximum of width * height: ids store the index of a cell in 30 bits."""
MAX_SEED = (1 << 63) - 1
MAX_NUMBER = 1 << 30
"""The maximum magnitude of any number in a world file, except the seed."""
MAX_SHOWN_LETTERS = 40
"""Maximum length of a value in an error message, in characters."""
MAX_INDEX_DIGITS = 9
"""The maximum number of digits of a list index in a dotted key, as in `founders.0.count`."""

WINDOW_COPIES, TABLE_COPIES = 4, 2
"""The numbers of copies of the fields and of the tables in memory at the peak, while a world is opened.

One copy is in the region (the arrays on which the laws run), others are in the pieces from which it is loaded; for
fields, there are also scratch arrays.
"""
NO_LIMIT_BYTES = 1 << 62
"""The result of `available_memory_bytes` if no limit can be determined."""
EARTH = "umwelt.agents.earth.earth:laws"
"""The reference to the default laws, those of Earth."""

Count = Annotated[int, msgspec.Meta(ge=0, le=1 << 24)]
"""Type of a number of molecules or beings in a world file; the bound keeps sums over neighbours from overflowing."""


class CommonSettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The keys that every world file has, independent of its laws. `width` and `height` are in cells."""

    width: int
    height: int
    seed: int
    summary: str = ""
    laws: str = EARTH
    births: bool | str = False
    """Which births are recorded in the journal, with genomes: all (True), none (False), or those of the named table."""


@dataclass(frozen=True)
class WorldFile:
    """The checked content of a world file.

    `name` is its short name, and `source` its path, for error messages. `text` is the complete TOML, including
    overrides, which a run stores. `common` are the keys of every world file; `settings`, the keys that the laws read,
    is an instance of `laws.settings`.
    """

    name: str
    source: str
    text: str
    common: CommonSettings
    laws: Laws
    settings: Any

    @cached_property
    def chemistry(self) -> Chemistry | None:
        """The substances and reactions of the world, or None if its laws define no chemistry."""
        return self.laws.chemistry(self) if self.laws.chemistry is not None else None


def needed_memory_bytes(world: WorldFile) -> int:
    """Estimates the memory in bytes that a world with its founders needs in one process, without allocating it."""
    fields, schemas = world.laws.layout(world)
    rim_cells = 2 * world.laws.light_speed
    cells = (world.common.height + rim_cells) * (world.common.width + rim_cells)
    founders = sum(max(0, getattr(group, "count", 0)) for group in getattr(world.settings, "founders", ()))
    row_bytes = max((schema.row_bytes for schema in schemas), default=0)
    cell_bytes = sum(field.cell_bytes for field in fields)
    return WINDOW_COPIES * cells * cell_bytes + TABLE_COPIES * founders * row_bytes


def available_memory_bytes() -> int:
    """Returns the memory in bytes that this process can still allocate.

    This is the lower of the system's available memory and what remains of the limit of its control group (cgroup);
    `NO_LIMIT_BYTES` if neither is known.
    """
    limits = []
    for line in _read_lines("/proc/meminfo"):
        if line.startswith("MemAvailable:"):
            limits.append(int(line.split()[1]) * 1024)
    limit, used = (next(iter(_read_lines(f"/sys/fs/cgroup/memory.{name}")), "max") for name in ("max", "current"))
    if limit.isdigit() and used.isdigit():
        limits.append(max(0, int(limit) - int(used)))
    return min(limits, default=NO_LIMIT_BYTES)


def _read_lines(path: str) -> list[str]:
    """Returns the lines of an ASCII file, or an empty list if it cannot be read."""
    try:
        return Path(path).read_text("ascii").splitlines()
    except OSError:
        return []


def check_fits_memory(world: WorldFile) -> None:
    """Raises WorldFileError if the estimated memory of a world exceeds the available memory."""
    needed, available = needed_memory_bytes(world), available_memory_bytes()
    if needed > available:
        common = world.common
        raise WorldFileError(
            f"width = {common.width}, height = {common.height}: needs about {needed / 2**30:.1f} GiB with founders, "
            f"{available / 2**30:.1f} GiB are free: use a smaller width, height or count"
        )


def bundled_worlds() -> dict[str, Path]:
    """Returns the paths of the world files that are distributed with Umwelt, by name."""
    folder = Path(str(resources.files("umwelt.worlds")))
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def find_world(name_or_path: str) -> Path:
    """Returns the path of a world file, given its path or the name of a bundled world.

    Raises WorldFileError if `name_or_path` is neither. A path that ends in .toml is returned even if no such file
    exists.
    """
    path = Path(name_or_path)
    try:
        if path.suffix == ".toml" or path.is_file():
            return path
        is_folder = bool(name_or_path) and path.is_dir()
    except OSError as error:
        line = f'no world "{name_or_path[:MAX_SHOWN_LETTERS]}...": {error.strerror}: use a shorter name'
        raise WorldFileError(one_line(line)) from None
    known = bundled_worlds()
    if name_or_path in known:
        return known[name_or_path]
    hint = suggest(name_or_path, known, f"bundled are {', '.join(known)}; or give the path of a .toml file")
    if is_folder:
        raise WorldFileError(one_line(f"{path}: is a folder: {hint}"))
    raise WorldFileError(one_line(f'no world "{name_or_path}": {hint}'))


def read_world(name_or_path: str, overrides: Mapping[str, Any] | None = None, place: str = "--set") -> WorldFile:
    """Reads and checks a world file, given its path or the name of a bundled world.

    `overrides` replaces values, by dotted key (`"founders.0.count": 5`). `place` names the origin of the overrides in
    error messages.
    """
    path = find_world(name_or_path)
    try:
        text = path.read_bytes().decode("utf-8-sig")  # some editors begin a file with a byte order mark
    except UnicodeDecodeError as error:
        raise WorldFileError(one_line(f"{path}: not UTF-8 at byte {error.start}: save it as UTF-8 text")) from None
    except (OSError, ValueError) as error:
        fix = "give the path of a .toml file, or a bundled world, as umwelt worlds lists them"
        cause = getattr(error, "strerror", None) or error
        raise WorldFileError(one_line(f"{str(path)[:200]}: cannot be read: {cause}: {fix}")) from None
    return parse_world(text, str(path), path.stem, overrides, place)


def parse_world(
    text: str, source: str, name: str, overrides: Mapping[str, Any] | None = None, place: str = "--set"
) -> WorldFile:
    """Parses and checks the `text` of a world file.

    Error messages begin with `source`. `overrides` and `place` are those of `read_world`.
    """
    with prefix_errors(source):
        try:
            content = _parse_toml(text)
            for key, value in (overrides or {}).items():
                set_value(content, key, value, place)
            world = _check(content, source, name)
            if isinstance(world.common.births, str):
                one_of(world.common.births, [schema.name for schema in world.laws.layout(world)[1]], "births")
        except RecursionError:
            raise WorldFileError("brackets or dots are nested too deeply: write it flat") from None
        check_fits_memory(world)
        return world


def _parse_toml(text: str) -> dict[str, Any]:
    """Parses TOML. Raises WorldFileError if it is invalid."""
    try:
        return tomllib.loads(text)
    except ValueError as error:  # TOMLDecodeError, or Python's limit on the digits of an integer
        raise WorldFileError(f"not TOML: {error}") from None


def _check(content: dict[str, Any], source: str, name: str) -> WorldFile:
    """Checks the parsed `content` of a world file. Raises WorldFileError for the first error found."""
    common_keys = set(CommonSettings.__struct_fields__)
    common = convert({key: value for key, value in content.items() if key in common_keys}, CommonSettings)
    for side, size in (("width", common.width), ("height", common.height)):
        if size < MIN_SIDE_CELLS:
            raise WorldFileError(f"{side} = {size}: use at least {MIN_SIDE_CELLS} cells")
        if size > MAX_SIDE_CELLS:
            raise WorldFileError(f"{side} = {size}: use at most {MAX_SIDE_CELLS} cells")
    if common.width * common.height > MAX_CELLS:
        raise WorldFileError(f"width * height = {common.width * common.height}: use at most {MAX_CELLS} cells")
    if not 0 <= common.seed <= MAX_SEED:
        raise WorldFileError(f"seed = {common.seed}: use 0 to 2^63 - 1")
    laws = load_object(common.laws, "laws")
    if not isinstance(laws, Laws):
        raise WorldFileError(f'laws = "{common.laws}": that is a {type(laws).__name__}: name an object of class Laws')
    rest = {key: value for key, value in content.items() if key not in common_keys}
    known_keys = [*CommonSettings.__struct_fields__, *laws.settings.__struct_fields__]  # type: ignore[attr-defined]
    for key in rest:
        if key not in known_keys:
            raise WorldFileError(_unknown_key_line(key, known_keys))
    settings = convert(rest, laws.settings)
    return WorldFile(name, source, to_toml(content), common, laws, settings)


def convert(values: Mapping[str, Any], struct: type) -> Any:
    """Converts parsed TOML to an instance of `struct`, a msgspec Struct class.

    Raises WorldFileError, which names the key, its value and the fix, for a value that does not fit the class.
    """
    try:
        converted: Any = msgspec.convert(values, struct, strict=True)
        _check_numbers(values, "")
        return converted
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at `$")
        key = where.rstrip("`").lstrip(".").replace("[...]", "")
        raise WorldFileError(_explain(what, key, values, struct)) from None


def _check_numbers(value: Any, key: str) -> None:
    """Raises WorldFileError for a number in `value` that is not finite or exceeds `MAX_NUMBER` in magnitude.

    `value` is any parsed TOML value, and `key` its dotted key. The seed, which has a different range, is skipped.
    """
    if isinstance(value, dict):
        for name, inner in value.items():
            if key or name != "seed":  # the seed has a different range
                _check_numbers(inner, f"{key}.{name}" if key else name)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            _check_numbers(inner, f"{key}[{index}]")
    elif isinstance(value, int | float) and not -MAX_NUMBER <= value <= MAX_NUMBER:
        kind = f"of at most {MAX_NUMBER}" if math.isfinite(value) else "written in digits"
        raise WorldFileError(f"{key} = {_show(value)}: use a number {kind}")


_KINDS = {
    "int": "a whole number",
    "float": "a number",
    "str": 'text in "quotes"',
    "bool": "true or false",
    "object": "a section, as in {section}",
    "array": "a list, as in [1, 2]",
}
"""Descriptions of the types that msgspec names in its messages, in the terms of world files."""
_UNKNOWN = re.compile(r"^Object contains unknown field `(.+)`$")
_MISSING = re.compile(r"^Object missing required field `(.+)`$")
_WRONG_KIND = re.compile(r"^Expected `(.+)`, got `(.+)`$")
_BOUND = re.compile(r"^Expected `\w+` (>=|<=) (-?[\d.]+)$")


def _explain(what: str, key: str, values: Mapping[str, Any], struct: type) -> str:
    """Translates the msgspec message `what` about `key` into a one-line error message that names the fix.

    `values` and `struct` are the arguments of the failed conversion.
    """
    path = re.findall(r"[^.\[\]]+", key)
    value: Any = values
    for part in path:
        value = value[int(part)] if isinstance(value, list) else value.get(part) if isinstance(value, dict) else None
    place = f"{key}: " if key else ""
    if match := _UNKNOWN.match(what):
        return place + _unknown_key_line(match[1], _keys_at(struct, path))
    if match := _MISSING.match(what):
        return f'{place}missing key "{match[1]}": add it'
    if match := _WRONG_KIND.match(what):
        expected = [kind.strip() for kind in match[1].split("|")]
        section = f"[[{key.partition('[')[0]}]]" if "[" in key else f"[{key}]"
        kinds = [_KINDS.get(kind, kind).format(section=section) for kind in expected if kind != "null"]
        if "array" in expected and _keys_at(struct, [*path, "0"]):
            kinds = [f"each of them as a section [[{key}]]"]
        return f"{key} = {_show(value)}: write {' or '.join(kinds)}"
    if match := _BOUND.match(what):
        return f"{key} = {_show(value)}: use {match[2]} or {'more' if match[1] == '>=' else 'less'}"
    return f"{key} = {_show(value)}: {what.replace('`', chr(34))}"


def _unknown_key_line(key: str, known: list[str]) -> str:
    """Returns the error message for an unknown key, with a similar key or all `known` keys as a hint."""
    hint = suggest(key, known, f"use {', '.join(known)}")
    return f'unknown key "{key}": {hint}'


def _show(value: Any) -> str:
    """Returns a value as text for an error message, shortened to `MAX_SHOWN_LETTERS` characters."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)  # nan and inf, as in TOML
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= MAX_SHOWN_LETTERS else text[: MAX_SHOWN_LETTERS - 3] + "..."


def _keys_at(struct: Any, path: list[str]) -> list[str]:
    """Returns the known keys of the section that `path`, a list of keys and list indices, reaches from `struct`."""
    for part in path:
        if part.isdigit():
            struct = next(iter(typing.get_args(struct)), None)
        elif hasattr(struct, "__struct_fields__"):
            struct = typing.get_type_hints(struct).get(part)
    return list(getattr(struct, "__struct_fields__", ()))


def set_value(content: dict[str, Any], key: str, value: Any, place: str) -> None:
    """Sets the value at a dotted `key` of parsed TOML; list entries are numbered from 0, as in `founders.0.count`.

    Adds sections that do not exist. Raises WorldFileError, which begins with `place`, if the key cannot be set.
    """
    *path, last = key.split(".")
    section: Any = content
    if not (last and all(path)):
        raise WorldFileError(f'{place} {key}: name a key beside each dot, as in "climate.light"')
    if value is None:
        raise WorldFileError(f"{place} {key} = None: world files have no such value: leave it out")
    for part in path:
        if isinstance(section, list):
            is_index = part.isascii() and part.isdecimal() and len(part) <= MAX_INDEX_DIGITS
            if not (is_index and int(part) < len(section)):
                raise WorldFileError(f'{place} {key}: no entry "{part}" among {len(section)}: count from 0')
            section = section[int(part)]
        else:
            section = section.setdefault(part, {})
        if not isinstance(section, dict | list):
            raise WorldFileError(f'{place} {key}: "{part}" is a value, not a section: name a key of a section')
    if isinstance(section, list):
        raise WorldFileError(f'{place} {key}: name a key of an entry, as in "founders.0.count"')
    section[last] = value


def parse_override(text: str) -> tuple[str, Any]:
    """Parses the argument `KEY=VALUE` of the option --set. Returns the key and the value.

    The value is read as TOML; text that is not valid TOML is taken literally as a string. Raises WorldFileError if the
    argument does not have this form.
    """
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise WorldFileError(one_line(f'--set {text}: write KEY=VALUE, as in "width=1600"'))
    try:
        content = tomllib.loads(f"value = {value}")
    except ValueError:
        return key.strip(), value.strip()
    except RecursionError:
        raise WorldFileError(one_line(f"--set {key}: brackets are nested too deeply: write it flat")) from None
    if list(content) != ["value"]:
        raise WorldFileError(one_line(f"--set {text}: sets several keys: write one --set for each"))
    return key.strip(), content["value"]


def to_toml(content: Mapping[str, Any]) -> str:
    """Returns the TOML text of parsed `content`."""
    return msgspec.toml.encode(content).decode()
