"""Functions on world files: overrides, round trips, values by key, the estimate of memory, and error lines."""

import math
import tomllib

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_runs import TEXT

from umwelt.agents import world_file
from umwelt.agents.world_file import (
    MAX_NUMBER,
    bundled_worlds,
    convert,
    find_world,
    needed_memory_bytes,
    parse_override,
    parse_world,
    read_world,
    set_value,
    to_toml,
)
from umwelt.sandbox.errors import WorldFileError


def parse(text=TEXT, **overrides):
    return parse_world(text, "small.toml", "small", overrides)


def test_the_text_of_a_world_file_is_complete_overrides_included():
    world = parse(**{"climate.day_ticks": 77, "founders.0.count": 9, "width": 64})
    again = parse(world.text)
    assert again.settings == world.settings and again.common == world.common
    assert world.settings.climate.day_ticks == 77 and world.settings.founders[0].count == 9
    assert again.text == world.text


@pytest.mark.parametrize("name", bundled_worlds())
def test_every_bundled_world_survives_its_own_text(name):
    world = read_world(name)
    again = parse_world(world.text, "again.toml", name)
    assert (again.common, again.settings, again.text) == (world.common, world.settings, world.text)


def test_a_path_of_a_file_comes_before_a_bundled_name_and_a_folder_after(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "meadow").mkdir()
    assert find_world("meadow") == bundled_worlds()["meadow"]
    (tmp_path / "pond").write_text(TEXT)
    assert read_world("pond").common.seed == parse().common.seed


# --- values by key

KEYS = st.text("abcdefgh_", min_size=1, max_size=6)
VALUES = st.one_of(st.booleans(), st.integers(-(1 << 40), 1 << 40), st.text(max_size=8), st.floats(-1e6, 1e6))


@settings(max_examples=60, deadline=None)
@given(path=st.lists(KEYS, min_size=1, max_size=4), value=VALUES)
def test_a_value_set_by_a_dotted_key_is_read_back(path, value):
    content = {}
    set_value(content, ".".join(path), value, "--set")
    section = tomllib.loads(to_toml(content))
    for part in path:
        section = section[part]
    assert section == value


@pytest.mark.parametrize(
    ("key", "line"),
    [
        ("", "name a key beside each dot"),
        (".a", "name a key beside each dot"),
        ("a..b", "name a key beside each dot"),
        ("list.2.x", '--set list.2.x: no entry "2" among 2: count from 0'),
        ("list.-1.x", '--set list.-1.x: no entry "-1" among 2'),
        ("list.0", "name a key of an entry"),
        ("value.x", '--set value.x: "value" is a value, not a section'),
    ],
)
def test_a_key_that_cannot_be_set_is_one_line(key, line):
    content = {"list": [{"x": 1}, {"x": 2}], "value": 3}
    with pytest.raises(WorldFileError) as refused:
        set_value(content, key, 5, "--set")
    assert line in str(refused.value)


def test_a_value_cannot_be_none():
    with pytest.raises(WorldFileError, match="width = None: world files have no such value: leave it out"):
        parse(width=None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("width=1600", ("width", 1600)),
        (" a.b = 0.5 ", ("a.b", 0.5)),
        ("ground.shape=hills", ("ground.shape", "hills")),
        ('name="two words"', ("name", "two words")),
        ("births=true", ("births", True)),
        ("list=[1, 2]", ("list", [1, 2])),
        ("section={x = 1}", ("section", {"x": 1})),
        ("equals=a=b", ("equals", "a=b")),
        ("empty=", ("empty", "")),
    ],
)
def test_overrides_are_parsed_as_toml_and_bare_words_are_text(text, expected):
    assert parse_override(text) == expected


@pytest.mark.parametrize("text", ["width", "=5", " =5"])
def test_an_override_without_key_or_value_is_refused(text):
    with pytest.raises(WorldFileError, match="write KEY=VALUE"):
        parse_override(text)


# --- checks


class Inner(msgspec.Struct, forbid_unknown_fields=True):
    size: int = 0


class Outer(msgspec.Struct, forbid_unknown_fields=True):
    name: str = ""
    share: float = 0.0
    inner: Inner = msgspec.field(default_factory=Inner)
    many: list[Inner] = msgspec.field(default_factory=list)


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"nam": "x"}, 'unknown key "nam": did you mean "name"?'),
        ({"zzz": "x"}, 'unknown key "zzz": use name, share, inner, many'),
        ({"inner": {"sise": 1}}, 'inner: unknown key "sise": did you mean "size"?'),
        ({"many": [{}, {"sise": 1}]}, 'many[1]: unknown key "sise": did you mean "size"?'),
        ({"name": 5}, 'name = 5: write text in "quotes"'),
        ({"share": "x"}, 'share = "x": write a number'),
        ({"inner": 5}, "inner = 5: write a section, as in [inner]"),
        ({"many": {"size": 1}}, 'many = {"size": 1}: write each of them as a section [[many]]'),
        ({"many": [{"size": 1.5}]}, "many[0].size = 1.5: write a whole number"),
        ({"share": math.inf}, "share = inf: use a number written in digits"),
        ({"share": math.nan}, "share = nan: use a number written in digits"),
        ({"inner": {"size": MAX_NUMBER + 1}}, f"inner.size = {MAX_NUMBER + 1}: use a number of at most {MAX_NUMBER}"),
        ({"name": ["x" * 100]}, 'name = ["' + "x" * 35 + '...: write text in "quotes"'),
    ],
)
def test_a_value_that_does_not_fit_is_named_with_its_key_and_the_fix(values, line):
    with pytest.raises(WorldFileError) as refused:
        convert(values, Outer)
    assert str(refused.value) == line


@settings(max_examples=80, deadline=None)
@given(st.recursive(VALUES, lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner), max_leaves=6), KEYS)
def test_any_value_of_a_section_is_converted_or_refused_in_one_line(value, key):
    for values in ({key: value}, {"inner": value}, {"many": [value]}, {"share": value}):
        try:
            assert isinstance(convert(values, Outer), Outer)
        except WorldFileError as error:
            assert ": " in str(error)


def test_births_may_be_those_of_one_table_that_exists():
    assert parse(births="monsters").common.births == "monsters"
    with pytest.raises(WorldFileError, match=r'small\.toml: births: unknown "monster": did you mean "monsters"'):
        parse(births="monster")


def test_laws_must_be_an_object_of_class_laws():
    with pytest.raises(WorldFileError, match='laws = "json:dumps": that is a function: name an object of class Laws'):
        parse(laws="json:dumps")


@pytest.mark.parametrize("name", ["memory.max", "memory.current"])
def test_available_memory_is_the_minimum_over_system_and_control_group(monkeypatch, name):
    files = {
        "/proc/meminfo": ["MemTotal: 9000000 kB", "MemAvailable: 4000000 kB"],
        "/sys/fs/cgroup/memory.max": ["3000000000"],
        "/sys/fs/cgroup/memory.current": ["1000000000"],
    }
    monkeypatch.setattr(world_file, "_read_lines", lambda path: files.get(path, []))
    assert world_file.available_memory_bytes() == 2_000_000_000
    del files[f"/sys/fs/cgroup/{name}"]
    assert world_file.available_memory_bytes() == 4_000_000 * 1024
    files.clear()
    assert world_file.available_memory_bytes() == world_file.NO_LIMIT_BYTES


def test_larger_worlds_and_more_founders_need_more_memory():
    small = needed_memory_bytes(parse())
    assert needed_memory_bytes(parse(width=256)) > small
    assert needed_memory_bytes(parse(**{"founders.0.count": 100_000})) > small


def test_a_world_larger_than_memory_is_refused_before_anything_is_allocated(monkeypatch):
    monkeypatch.setattr(world_file, "available_memory_bytes", lambda: 1 << 20)
    with pytest.raises(WorldFileError, match=r"width = 48, height = 40: needs about .* use a smaller width"):
        parse()
