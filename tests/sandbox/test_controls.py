"""Controls: overrides of drives by commands, which end or are released; equal content has an equal digest."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from umwelt.sandbox.controls import Controls, Override

DRIVES = 3
overrides = st.builds(
    Override,
    st.tuples(*[st.none() | st.integers(-1024, 1024)] * DRIVES),
    st.none() | st.integers(1, 50),
)
changes = st.lists(st.tuples(st.integers(1, 4), st.sampled_from(["drive", "freeze", "push"]), st.none() | overrides))


def changed(entries, rates=()) -> Controls:
    """Returns controls with these overrides and rates."""
    controls = Controls()
    for being, command, override in entries:
        controls.set_override(being, command, override)
    for name, rate in rates:
        controls.set_rate(name, rate)
    return controls


@given(changes, st.lists(st.tuples(st.sampled_from(["rot", "burn"]), st.none() | st.integers(0, 99))))
def test_json_keeps_controls_and_the_order_of_changes_does_not_matter(entries, rates):
    controls = changed(entries, rates)
    again = Controls.from_json(json.loads(json.dumps(controls.to_json())))
    assert again == controls == controls.copy() and again.digest() == controls.digest()
    last = {(being, command): (being, command, override) for being, command, override in entries}
    other = changed(reversed(last.values()), rates)
    assert other == controls and other.digest() == controls.digest()
    assert (controls.digest() == 0) == (controls == Controls())


@given(changes, st.integers(0, 60))
def test_only_ended_overrides_are_removed(entries, tick):
    controls = changed(entries)
    kept = {
        (being, command): override
        for being, found in controls.overrides.items()
        for command, override in found.items()
        if override.end_tick is None or override.end_tick > tick
    }
    controls.expire(tick)
    left = {(being, command): o for being, found in controls.overrides.items() for command, o in found.items()}
    assert left == kept and all(controls.overrides.values())


def test_of_several_overrides_those_with_an_end_and_of_these_the_latest_apply():
    controls = Controls()
    assert controls.drives_of(7) is None
    controls.set_override(7, "drive", Override((1, 2, 3)))
    assert controls.drives_of(7) == (1, 2, 3)
    controls.set_override(7, "freeze", Override((0, None, None), 9))
    controls.set_override(7, "push", Override((5, 6, None), 4))
    assert controls.drives_of(7) == (0, 6, 3)
    controls.expire(4)
    assert controls.drives_of(7) == (0, 2, 3)
    controls.set_override(7, "drive", None)
    assert controls.drives_of(7) == (0, None, None)
    controls.expire(9)
    assert controls == Controls() and controls.digest() == 0


def test_a_copy_is_independent():
    controls = changed([(1, "drive", Override((1, 2, 3)))], [("rot", 5)])
    other = controls.copy()
    other.set_override(1, "freeze", Override((0, 0, 0), 3))
    other.set_rate("rot", None)
    assert controls.drives_of(1) == (1, 2, 3) and controls.rates == {"rot": 5}


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"rates": {}},
        {"rates": [], "overrides": {}},
        {"rates": {"rot": 1.5}, "overrides": {}},
        {"rates": {}, "overrides": {"x": {}}},
        {"rates": {}, "overrides": {"1": {"drive": [1]}}},
        {"rates": {}, "overrides": {"1": {"drive": {"drives": [True], "end_tick": None}}}},
        {"rates": {}, "overrides": {"1": {"drive": {"drives": [1], "end_tick": 2.5}}}},
        {"rates": {}, "overrides": {"1": {"drive": {"drives": [1]}}}},
    ],
    ids=str,
)
def test_malformed_content_is_refused(content):
    with pytest.raises((ValueError, TypeError, KeyError, AttributeError)):
        Controls.from_json(content)
