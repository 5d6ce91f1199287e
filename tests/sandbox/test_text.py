"""Texts of errors: one line each, with the nearest valid name, and a prefix that is never repeated."""

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from umwelt.sandbox.errors import ChemistryError, RunError, WorldFileError
from umwelt.sandbox.text import MAX_LISTED_NAMES, load_object, one_line, one_of, prefix_errors, suggest


@given(st.text())
def test_one_line_has_no_line_breaks(text):
    assert len(one_line(text).splitlines()) <= 1


def test_the_nearest_name_is_suggested_or_the_other_hint_given():
    assert suggest("hungre", ["thirst", "hunger"], "use another") == 'did you mean "hunger"?'
    assert suggest("xyz", iter(["thirst", "hunger"]), "use another") == "use another"


def test_a_known_name_is_returned_and_an_unknown_one_names_place_and_fix():
    assert one_of("b", iter("abc"), "key") == "b"
    with pytest.raises(WorldFileError, match=r'^key: unknown "watr": did you mean "water"\?$'):
        one_of("watr", ["water", "sugar"], "key")
    with pytest.raises(WorldFileError, match=r'^key: unknown "xyz": use one of water, sugar$'):
        one_of("xyz", ["water", "sugar"], "key")


def test_a_long_list_of_names_is_cut():
    names = [f"name{number}" for number in range(MAX_LISTED_NAMES + 6)]
    with pytest.raises(WorldFileError, match=f"name{MAX_LISTED_NAMES - 1} and 6 more$"):
        one_of("???", names, "key")


@pytest.mark.parametrize("error", [WorldFileError, ChemistryError, RunError])
def test_a_prefix_is_put_once_and_the_class_stays(error):
    with pytest.raises(error) as raised, prefix_errors("a.toml"), prefix_errors("a.toml"):
        raise error("wrong\nline two")
    assert type(raised.value) is error and str(raised.value) == "a.toml: wrong line two"


def test_other_errors_pass_a_prefix_unchanged():
    with pytest.raises(KeyError, match=r"^'x'$"), prefix_errors("a.toml"):
        raise KeyError("x")


def test_an_object_is_loaded_by_its_reference():
    assert load_object("umwelt.sandbox.text:one_line", "key") is one_line


@pytest.mark.parametrize(
    ("reference", "line"),
    [
        ("json", 'key = "json": write "package.module:name"'),
        ("no_such_module:x", "cannot import no_such_module: ModuleNotFoundError: .*: correct the name, or install it"),
        ("json:dump_", 'key = "json:dump_": json has no "dump_": did you mean "dump"'),
        ("json:qqqq", 'key = "json:qqqq": json has no "qqqq": correct the name'),
    ],
)
def test_a_reference_that_leads_nowhere_is_one_line(reference, line):
    with pytest.raises(WorldFileError, match=line):
        load_object(reference, "key")


@pytest.mark.parametrize(("text", "line"), [("1 / 0", "ZeroDivisionError"), ("raise SystemExit(3)", "SystemExit: 3")])
def test_a_module_that_fails_when_it_is_imported_is_one_line(tmp_path, monkeypatch, text, line):
    (tmp_path / "failing_module.py").write_text(f"{text}\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(WorldFileError, match=f"cannot import failing_module: {line}.*: fix that module$"):
        load_object("failing_module:x", "key")
    assert "failing_module" not in sys.modules
