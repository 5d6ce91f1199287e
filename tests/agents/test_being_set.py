"""`BeingSet`, an AgentSet over columns: each method must return what Mesa's AgentSet returns on plain agents."""

import copy
import pickle
from itertools import pairwise
from random import Random

import mesa
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from umwelt.agents import Agent, AgentSet, Monster, Plant, World
from umwelt.agents.mesa.column_functions import compared_attributes

NAMES = ("unique_id", "sugar_count", "age_ticks", "species", "x_fixed")


@pytest.fixture(scope="module")
def world():
    world = World.load("golden", seed=3, width=48, height=48)
    for _ in range(12):
        world.step()
    return world


class Copy(mesa.Agent):
    """A plain Mesa agent, whose attributes have the values of a being's columns."""


@pytest.fixture(scope="module")
def twin(world):
    """A Mesa AgentSet of copies of all beings, in the same order: its results are the expected ones."""
    model = mesa.Model(seed=1)
    for being in world.agents:
        agent = Copy(model)
        for name in NAMES:
            setattr(agent, name, getattr(being, name))
    return model.agents


def ids(agents):
    return [agent.unique_id for agent in agents]


def test_every_being_is_there_once_and_founders_come_first(world):
    region = world.region
    owned = sum(int(region.owned_rows(name).sum()) for name in region.tables)
    found = ids(world.agents)
    assert len(found) == len(set(found)) == len(world.agents) == owned > 100
    generations = world.agents_by_type[Plant].get("generation")
    assert generations[0] == 0 and generations[-1] > 0


@pytest.mark.parametrize("name", NAMES)
def test_get_and_agg_equal_those_of_objects(world, twin, name):
    assert world.agents.get(name) == twin.get(name)
    assert all(type(value) is int for value in world.agents.get(name))
    assert world.agents[name if name != "unique_id" else "id"].tolist() == twin.get(name)
    for function in (sum, min, max, len, sorted, np.mean, lambda values: values[3]):
        assert world.agents.agg(name, function) == twin.agg(name, function)
    assert world.agents.agg(name, [min, max]) == twin.agg(name, [min, max])


def test_get_of_several_and_of_missing_attributes(world, twin):
    assert world.agents.get(["age_ticks", "species"]) == twin.get(["age_ticks", "species"])
    with pytest.raises(AttributeError):
        world.agents.get("heading")
    found = world.agents.get("heading", handle_missing="default", default_value=-1)
    assert found.count(-1) >= len(world.agents_by_type[Plant])
    assert max(found) > 0
    with pytest.raises(ValueError, match="handle_missing"):
        world.agents.get("heading", handle_missing="perhaps")
    with pytest.raises(KeyError, match="only monsters have heading"):
        world.agents["heading"]
    with pytest.raises(KeyError, match="no being has a column nonsense"):
        world.agents["nonsense"]


LIMIT = 60


@pytest.mark.parametrize(
    "function",
    [
        lambda a: a.sugar_count > 50,
        lambda a: a.sugar_count > LIMIT,
        lambda a: (a.sugar_count > 20) & (a.species == 1),
        lambda a: a.sugar_count - a.age_ticks <= a.species + 3,
        lambda a: a.sugar_count > 20 and a.species == 1,
        lambda a: 10 < a.sugar_count < 50,
        lambda a: a.sugar_count % 3,
        lambda a: a.species,
        lambda a: not a.species,
        lambda a: True,
        lambda a: a.sugar_count > 10**30,
        lambda a: str(a.sugar_count).endswith("7"),
        lambda a: a.unique_id % 2 == 0,
    ],
)
def test_select_by_function_gives_what_objects_give(world, twin, function):
    assert ids(world.agents.select(function)) == ids(twin.select(function))
    assert ids(world.agents.select(function, at_most=5)) == ids(twin.select(function, at_most=5))


def test_only_plain_comparisons_are_applied_to_whole_columns():
    assert compared_attributes(lambda a: (a.sugar_count > 50) | (a.species == 2)) == ["sugar_count", "species"]
    assert compared_attributes(lambda a: a.sugar_count > LIMIT) == ["sugar_count"]
    dice = Random(1)
    assert compared_attributes(lambda a: a.sugar_count > dice.random()) == []
    assert compared_attributes(lambda a: a.sugar_count > 1 and a.species) == []
    assert compared_attributes(lambda a: a.sugar_count / a.species > 1) == []


def test_a_function_with_random_numbers_is_called_for_each_being(world):
    dice, again = Random(1), Random(1)
    chosen = world.agents.select(lambda a: dice.random() < 0.5)
    assert len(chosen) == sum(again.random() < 0.5 for _ in range(len(world.agents)))


@settings(max_examples=25)
@given(data=st.data())
def test_masks_and_shares_select_in_order(world, twin, data):
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=len(twin), max_size=len(twin))))
    at_most = data.draw(st.one_of(st.integers(0, 30), st.floats(0, 1), st.just(float("inf"))))
    kept = iter(mask.tolist())
    wanted = twin.select(lambda _: next(kept))
    most = at_most if isinstance(at_most, int) or at_most > 1 else int(len(twin) * at_most)
    assert ids(world.agents.select(mask, at_most=at_most)) == ids(wanted)[: min(most, len(twin))]
    assert ids(world.agents[mask]) == ids(wanted)


def test_a_mask_of_another_length_is_refused(world):
    with pytest.raises(ValueError, match=r"bool\["):
        world.agents.select(np.ones(3, bool))


def test_select_by_class(world):
    assert ids(world.agents.select(agent_type=Monster)) == ids(world.agents_by_type[Monster])
    assert ids(world.agents.select(agent_type=Agent)) == ids(world.agents)
    assert len(world.agents.select(agent_type=Copy)) == 0


@pytest.mark.parametrize("ascending", [True, False])
@pytest.mark.parametrize("key", ["species", "age_ticks", lambda a: -a.sugar_count])
def test_sort_is_stable_as_that_of_objects(world, twin, key, ascending):
    assert ids(world.agents.sort(key, ascending)) == ids(twin.sort(key, ascending))
    mixed = world.agents.sort("age_ticks")
    assert mixed.get("species") == [agent.species for agent in mixed]  # beings of both tables alternate


@pytest.mark.parametrize("by", ["species", lambda a: a.sugar_count // 50])
def test_groups_are_those_of_objects_in_the_same_order(world, twin, by):
    ours, theirs = world.agents.groupby(by), twin.groupby(by)
    assert list(ours.count().items()) == list(theirs.count().items())
    assert ours.agg("age_ticks", max) == theirs.agg("age_ticks", max)
    assert ours.agg("sugar_count", sum) == theirs.agg("sugar_count", sum)
    assert {key: ids(group) for key, group in ours} == {key: ids(group) for key, group in theirs}
    listed = world.agents.groupby(by, result_type="list")
    assert {key: ids(group) for key, group in listed} == {key: ids(group) for key, group in theirs}
    assert ours.map(len) == theirs.map(len)


def test_shuffle_keeps_all_follows_the_seed_and_mixes():
    def shuffled(seed):
        world = World.load("golden", seed=seed, width=32, height=32)
        return ids(world.agents), ids(world.agents.shuffle())

    before, after = shuffled(4)
    assert sorted(before) == sorted(after) and before != after
    assert shuffled(4)[1] == after
    # a random order reverses half of all pairs
    place = {identity: at for at, identity in enumerate(after)}
    upright = sum(place[a] < place[b] for a, b in pairwise(before))
    assert 0.35 < upright / len(before) < 0.65


def test_shuffle_do_follows_the_shuffled_order():
    one, other = (World.load("golden", seed=4, width=32, height=32) for _ in range(2))
    called = []
    one.agents.shuffle_do(lambda being: called.append(being.unique_id))
    assert called == ids(other.agents.shuffle())


def test_do_and_map_call_each_being_with_arguments(world, twin):
    called = []
    assert world.agents.do(lambda being, plus: called.append(being.unique_id + plus), plus=1) is world.agents
    assert called == [identity + 1 for identity in ids(twin)]
    assert world.agents.map(lambda being: being.sugar_count) == twin.get("sugar_count")
    assert world.agents.map("__repr__")[0] == repr(world.agents[0])


def test_a_sequence(world, twin):
    assert world.agents[0].unique_id == twin[0].unique_id
    assert world.agents[-1].unique_id == twin[-1].unique_id
    assert ids(world.agents[3:9:2]) == ids(twin[3:9:2])
    with pytest.raises(IndexError):
        world.agents[len(twin)]
    assert world.agents[5] in world.agents
    assert world.agents.index(world.agents[5]) == 5
    assert twin[5] not in world.agents


def test_selections_are_sets_of_their_own(world):
    few = world.agents.select(at_most=5)
    stranger = world.agents[9]
    assert stranger not in few
    few.add(stranger)
    few.add(stranger)
    assert len(few) == 6 and few[-1] is stranger
    few.remove(stranger)
    few.discard(stranger)
    assert len(few) == 5
    with pytest.raises(KeyError):
        few.remove(stranger)
    with pytest.raises(TypeError, match="cannot be added to"):
        world.agents_by_type[Plant].add(world.agents_by_type[Monster][0])
    with pytest.raises(TypeError, match="cannot be changed in place"):
        world.agents.sort("species", inplace=True)
    few.sort("unique_id", ascending=True, inplace=True)
    assert ids(few) == sorted(ids(few))


def test_set_operations(world):
    rich = world.agents.select(lambda a: a.sugar_count > 40)
    young = world.agents.select(lambda a: a.age_ticks < 15)
    assert set(ids(rich & young)) == set(ids(rich)) & set(ids(young))
    assert set(ids(rich | young)) == set(ids(rich)) | set(ids(young))
    assert set(ids(rich - young)) == set(ids(rich)) - set(ids(young))
    assert rich == copy.copy(rich) and rich != young


def test_being_sets_can_be_copied_and_not_pickled(world):
    few = copy.deepcopy(world.agents.select(at_most=3))
    assert ids(few) == ids(world.agents)[:3]
    assert few[0] is world.agents[0]
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(world.agents)


def test_agent_sets_keep_the_handles_in_them_alive():
    world = World.load("golden", seed=4, width=32, height=32)
    some = AgentSet([world.agents[at] for at in (1, 4)])
    assert ids(some) == [ids(world.agents)[1], ids(world.agents)[4]]
    assert some["sugar_count"].tolist() == some.get("sugar_count")


# --- writing


def test_set_writes_into_the_world_by_one_value_or_one_each():
    world = World.load("golden", seed=4, width=32, height=32)
    assert world.agents.set("age_ticks", 77) is world.agents
    assert set(world.agents["age_ticks"].tolist()) == {77}
    plants = world.agents_by_type[Plant].sort("unique_id")
    plants.set("sugar_count", np.arange(len(plants)))
    assert plants["sugar_count"].tolist() == list(range(len(plants)))
    assert plants[7].sugar_count == 7
    plants[7].sugar_count = 1000
    assert plants["sugar_count"][7] == 1000
    before = world.digest()
    plants[7].sugar_count = 1001
    assert world.digest() != before


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("fatigue", 40_000, OverflowError),
        ("fatigue", 0.5, TypeError),
        ("fatigue", "tired", TypeError),
        ("id", 5, AttributeError),
        ("unique_id", 5, AttributeError),
        ("genome", 5, AttributeError),
    ],
)
def test_what_a_column_cannot_hold_is_refused(world, name, value, error):
    before = world.digest()
    with pytest.raises(error):
        world.agents_by_type[Monster].set(name, value)
    with pytest.raises(error):
        setattr(world.agents_by_type[Monster][0], name, value)
    assert world.digest() == before


def test_positions_are_written_in_the_coordinates_of_the_world():
    world = World.load("golden", seed=4, width=32, height=32)
    being = world.agents_by_type[Monster][0]
    being.x_fixed, being.y_fixed = 31 * 1024 + 512, 2 * 1024
    assert being.position == (31.5, 2.0) == being.pos
    world.agents_by_type[Monster].set("x_fixed", -1024)
    assert set(world.agents_by_type[Monster]["x_fixed"].tolist()) == {31 * 1024}
    elements = world.elements()
    world.step()
    assert world.elements() == elements
    near = world.agents_by_type[Monster]["x_fixed"]
    assert ((near >= 29 * 1024) | (near < 2 * 1024)).all()
