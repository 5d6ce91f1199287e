"""Species written in Python: the three forms of `respond`, columns, dice, and the check of `respond` (`--check`)."""

from types import FunctionType
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sharded_regions import golden_world, open_shards, quarters, run_together, whole, whole_digest

from umwelt.agents import Column, Drives, Monster, World, compiled, dot
from umwelt.agents.body.interface import DRIVES, STIMULI
from umwelt.agents.open_world import torus_of
from umwelt.agents.species.column_access import window_bounds
from umwelt.agents.species.references import register_class
from umwelt.agents.world_file import parse_world
from umwelt.sandbox.errors import SpeciesError, WorldFileError

WEIGHTS = {"other_bearing": -3, "hunger": 40, "one": 7}
SMALL = {"width": 32, "height": 32, "founders__0__count": 60, "founders__3__count": 40, "founders__4__count": 8}


def small(species, check=False, **more):
    return World.load("golden", seed=5, species=species, check=check, **{**SMALL, **more})


def run(world, ticks):
    for _ in range(ticks):
        world.step()
    return world


def monsters(world):
    return world.region.tables["monsters"]


class Plain(Monster):
    """Uses every feature of `respond`: columns (inherited and not), dice, integers, a class constant, positions."""

    CAUTION = 0.5
    fear = Column("int16", inherited=True, default=3)
    steps = Column("int32")

    def respond(self, see):
        self.fear = 0.9 * self.fear + 10 * self.dice()
        self.fear += self.dice.integer(3)
        self.steps = self.steps + 1
        turn = see.dot(WEIGHTS)
        if see.hunger > self.CAUTION and self.sugar_count > 20:
            return Drives(turn=-see.other_bearing, thrust=0.8, graze=1)
        return Drives.raw(
            turn=see.raw.other_bearing, breed=self.fear, thrust=turn // 16 + self.x_fixed // 64, grow=1024, drink=1024
        )


class Fast(Monster):
    CAUTION = 0.5
    fear = Column("int16", inherited=True, default=3)
    steps = Column("int32")
    respond = compiled(FunctionType(Plain.respond.__code__, globals(), "respond"))


class Swarm(Monster):
    fear = Column("int16", inherited=True, default=3)
    steps = Column("int32")

    @classmethod
    def respond_all(cls, me, see):
        me.fear = 0.9 * me.fear + 10 * me.dice()
        me.fear = me.fear + me.dice.integer(3)
        me.steps = me.steps + 1
        turn = see.dot(WEIGHTS)
        flees = (see.hunger > 0.5) & (me.sugar_count > 20)
        thrust = (turn // 16 + me.x_fixed // 64) / 1024
        return Drives(
            turn=np.where(flees, -see.other_bearing, see.other_bearing),
            thrust=np.where(flees, 0.8, thrust),
            graze=np.where(flees, 1, 0),
            breed=np.where(flees, 0, me.fear / 1024),
            grow=np.where(flees, 0, 1),
            drink=np.where(flees, 0, 1),
        )


# dice are keyed by the name of the class, so the three classes need the same one
for _cls in (Plain, Fast, Swarm):
    _cls.__name__ = "Uneasy"


@pytest.mark.slow
def test_the_three_forms_of_respond_give_the_same_world():
    digests = [run(small({"grazer": cls, "hunter": cls}), 25).digest() for cls in (Plain, Fast, Swarm)]
    assert digests[0] == digests[1] == digests[2]
    assert digests[0] != run(small({}), 25).digest()


@pytest.mark.parametrize("cls", [Plain, Fast, Swarm])
def test_the_check_accepts_valid_species_and_changes_nothing(cls):
    assert run(small({"grazer": cls}, check=True), 6).digest() == run(small({"grazer": cls}), 6).digest()


@pytest.mark.parametrize("cls", [Plain, Fast, Swarm])
def test_species_run_the_same_in_four_regions_and_with_rows_shuffled(cls):
    world = golden_world(32, 32, **{"founders.3.behaviour": register_class(cls)})
    alone = whole(world)
    quartered = open_shards(alone[0], world, quarters(torus_of(world)), 1)
    run_together(alone, world, 8, 1)
    run_together(quartered, world, 8, 1, shuffle_seed=4)
    assert whole_digest(quartered) == whole_digest(alone)
    assert alone[0].tables["monsters"]["steps"].max() == 8


def test_own_columns_begin_at_their_default_and_keep_written_values():
    world = small({"grazer": Plain})
    grazers = world.agents_by_type[Plain]
    assert set(grazers["fear"].tolist()) == {3}
    run(world, 4)
    old = grazers.select(grazers["age_ticks"] >= 4)
    assert set(old["steps"].tolist()) == {4}
    being = old[0]
    assert being.fear == old["fear"][0] and being.steps == 4
    assert type(being.fear) is int


class Fertile(Monster):
    mark = Column("int16", inherited=True)
    age_seen = Column("int16", default=9)

    def respond(self, see):
        self.mark = self.id % 1000 if self.mark == 0 else self.mark
        self.age_seen = min(self.age_ticks, 30000)
        return Drives(breed=1)


def test_offspring_get_only_inherited_columns():
    world = small({"grazer": Fertile})
    world.agents_by_type[Fertile].set("tissue_count", 600)
    world.agents_by_type[Fertile].set("sugar_count", 600)
    parents = {being.unique_id: being.unique_id % 1000 for being in world.agents_by_type[Fertile]}
    world.step()
    young = world.agents_by_type[Fertile].select(lambda being: being.generation == 1)
    assert len(young) > 5
    assert [being.mark for being in young] == [parents[being.parent_id] for being in young]
    assert set(young["age_seen"].tolist()) == {9}


# --- errors


def _species(body, name="Wrong", mark=None, columns=None):
    """Returns a species whose `respond` is `body`; `mark` is None, `compiled`, or `classmethod` for `respond_all`."""
    function = mark(body) if mark else body
    return type(name, (Monster,), {("respond_all" if mark is classmethod else "respond"): function, **(columns or {})})


def respond(self, see):
    self.mood = 1


sets_mood = respond


def respond(self, see):
    return Drives(turn=see.hunger * float("nan"))


no_number = respond


def respond(self, see):
    self.fear = 200


too_much = respond


def respond(self, see):
    return Drives(turn=see.hungre)


unknown_stimulus = respond


def respond(self, see):
    return Drives(turn=self.bite_target)


reads_rows = respond


@pytest.mark.parametrize("mark", [None, compiled, classmethod])
@pytest.mark.parametrize(
    ("body", "line"),
    [
        (sets_mood, "species Wrong.*mood"),
        (no_number, "species Wrong.*turn is not a number"),
        (too_much, "species Wrong.*fear"),
        (unknown_stimulus, "hungre"),
        (reads_rows, "bite_target"),
    ],
)
def test_invalid_code_of_a_species_is_reported_at_every_speed(mark, body, line):
    function = body
    if mark is classmethod:  # the same function as `respond_all`: its first parameter is the class, `self` the columns
        function = classmethod(lambda cls, me, see: body(me, see))
        cls = type("Wrong", (Monster,), {"respond_all": function, "fear": Column("int8")})
    else:
        cls = _species(FunctionType(body.__code__, globals(), "respond"), "Wrong", mark, {"fear": Column("int8")})
    with pytest.raises(SpeciesError, match=line):
        run(small({"grazer": cls}), 2)


def test_a_being_cannot_reach_the_world_within_a_tick():
    def respond(self, see):
        return Drives(turn=len(self.model.agents))

    with pytest.raises(SpeciesError, match=r"species Wrong: self\.model is not available"):
        run(small({"grazer": _species(respond)}), 1)


def test_an_error_in_a_species_names_the_species_and_the_line():
    def respond(self, see):
        return Drives(turn=1 // 0)

    with pytest.raises(SpeciesError, match=r"species Wrong: respond failed at .*test_species\.py:\d+: ZeroDivision"):
        run(small({"grazer": _species(respond)}), 1)


def test_a_compiled_body_that_cannot_be_compiled_is_named():
    def respond(self, see):
        return Drives(turn="left")

    def passes_itself_on(self, see):
        return len(self)

    passes_itself_on.__name__ = "respond"
    with pytest.raises(SpeciesError, match="species Wrong: respond cannot be compiled"):
        run(small({"grazer": _species(respond, mark=compiled)}), 1)
    with pytest.raises(SpeciesError, match=r"species Wrong, line \d+ of respond: .* only as self.name"):
        run(small({"grazer": _species(passes_itself_on, mark=compiled)}), 1)


@pytest.mark.parametrize("dtype", ["float32", "int64", "uint8"])
def test_columns_are_small_integers(dtype):
    with pytest.raises(SpeciesError, match=dtype):
        Column(dtype)


def test_defaults_must_fit():
    with pytest.raises(SpeciesError, match="128"):
        Column("int8", default=128)


def answer_nothing(self, see):
    return None


TEXT = 'width = 32\nheight = 32\nseed = 1\n[[founders]]\nspecies = "grass"\ncount = 1\n'


@pytest.mark.parametrize(
    ("reference", "line"),
    [
        ("no_such_module:Shy", "cannot import no_such_module"),
        ("json:Shy", 'json has no "Shy"'),
        ("json", 'write "package.module:name"'),
        ("json:dumps", "not a Monster"),
        ("umwelt.agents:World", "World is not a Monster"),
        ("umwelt.agents:Monster", "Monster has no respond"),
    ],
)
def test_an_invalid_reference_is_an_error_of_the_world_file(reference, line):
    text = f'{TEXT}[[founders]]\nspecies = "grazer"\ncount = 2\nbehaviour = "{reference}"\n'
    with pytest.raises(WorldFileError) as caught:
        World(parse_world(text, "shy.toml", "shy"))
    assert "founders[1].behaviour" in str(caught.value)
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


def test_founders_behave_by_the_class_that_the_world_file_names():
    text = f'{TEXT}[[founders]]\nspecies = "grazer"\ncount = 2\nbehaviour = "{__name__}:Plain"\n'
    world = run(World(parse_world(text, "uneasy.toml", "uneasy")), 2)
    assert monsters(world)["steps"].tolist().count(2) >= 2
    assert type(world.agents[-1]).__name__ == "Uneasy"


def test_columns_that_clash_are_named():
    one = _species(answer_nothing, "One", columns={"sugar_count": Column()})
    with pytest.raises(WorldFileError, match=r"founders\[3\].behaviour: One.sugar_count"):
        small({"grazer": one})
    first = _species(answer_nothing, "First", columns={"fear": Column("int8")})
    second = _species(answer_nothing, "Second", columns={"fear": Column("int16")})
    with pytest.raises(WorldFileError, match=r"founders\[4\].behaviour: Second.fear is declared differently by First"):
        small({"grazer": first, "hunter": second})
    shared = _species(answer_nothing, "Shared", columns={"fear": Column("int8")})
    assert "fear" in monsters(small({"grazer": first, "hunter": shared}))


def test_species_of_an_unknown_name_are_refused():
    with pytest.raises(WorldFileError, match='unknown "grazzer": did you mean "grazer"'):
        small({"grazzer": Plain})


def test_two_forms_of_respond_in_one_class_are_refused_and_the_nearest_base_class_counts():
    def respond_all(cls, me, see):
        return Drives(turn=1.0)

    with pytest.raises(WorldFileError, match="keep one of them"):
        small({"grazer": type("Both", (Plain,), {"respond": answer_nothing, "respond_all": classmethod(respond_all)})})
    child = type("Child", (Plain,), {"respond_all": classmethod(respond_all)})
    world = run(small({"grazer": child}), 1)
    turned = monsters(world)["drives"][monsters(world)["species"] == 3][:, DRIVES.index("turn")]
    assert (turned == 1024).any()


# --- the check


class RemembersInClass(Monster):
    calls: ClassVar[int] = 0

    def respond(self, see):
        RemembersInClass.calls += 1
        return Drives(turn=(RemembersInClass.calls % 97) / 97)


class RemembersByBeing(Monster):
    before: ClassVar[dict[int, float]] = {}

    def respond(self, see):
        last = self.before.get(self.id, 0.0)
        self.before[self.id] = see.hunger + 0.1
        return Drives(turn=last)


class RemembersAll(Monster):
    before: ClassVar[dict[int, float]] = {}

    @classmethod
    def respond_all(cls, me, see):
        last = np.array([cls.before.get(identity, 0.0) for identity in me.id.tolist()])
        cls.before.update(zip(me.id.tolist(), (see.hunger + 0.1).tolist(), strict=True))
        return Drives(turn=last)


class Averages(Monster):
    @classmethod
    def respond_all(cls, me, see):
        return Drives(turn=see.hunger - see.hunger.mean())


class AveragesOneByOne(Monster):
    """A running mean that restarts at the smallest id, so that repeating a call returns the same."""

    total: ClassVar[list[float]] = [0.0, 0.0]

    def respond(self, see):
        if self.id == min(self.id, 5764607523034234880):
            self.total[:] = [0.0, 0.0]
        self.total[0] += see.light_left + self.sugar_count / 1000
        self.total[1] += 1
        return Drives(turn=self.total[0] / self.total[1] / 2)


class CountsItsBatch(Monster):
    @classmethod
    def respond_all(cls, me, see):
        return Drives(turn=1 / len(me))


class CountsItsPlace(Monster):
    @classmethod
    def respond_all(cls, me, see):
        return Drives(turn=np.arange(len(me)) / len(me))


class UsesAnotherGenerator(Monster):
    generator: ClassVar = np.random.default_rng(1)

    def respond(self, see):
        return Drives(turn=self.generator.random())


@pytest.mark.parametrize(
    ("cls", "line"),
    [
        (RemembersInClass, "computed again"),
        (RemembersByBeing, "computed again"),
        (RemembersAll, "computed again"),
        (UsesAnotherGenerator, "computed again"),
        (Averages, "batch"),
        (AveragesOneByOne, "order|batches|one at a time"),
        (CountsItsBatch, "batch"),
        (CountsItsPlace, "order|batch"),
    ],
)
def test_the_check_reports_answers_that_depend_on_more_than_stimuli_columns_and_dice(cls, line):
    with pytest.raises(SpeciesError, match=f"species {cls.__name__}: at tick .*({line})"):
        run(small({"grazer": cls}, check=True), 4)


def test_the_check_finds_a_batch_dependent_answer_of_a_single_being():
    lone = {"founders__3__count": 1, "founders__4__count": 0}
    with pytest.raises(SpeciesError, match="CountsItsBatch"):
        run(small({"grazer": CountsItsBatch}, check=True, width=256, height=256, **lone), 1)


def test_without_the_check_respond_is_called_once_a_tick():
    RemembersInClass.calls = 0
    world = run(small({"grazer": RemembersInClass}), 1)
    held = int((monsters(world)["species"] == 3).sum())
    assert RemembersInClass.calls <= held + 5


# --- drives, dot products, dice


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-3, 3), min_size=1, max_size=40))
def test_drives_are_rounded_to_1024ths_and_clamped(turns):
    class Turns(Monster):
        @classmethod
        def respond_all(cls, me, see):
            return Drives(turn=np.resize(turns, len(me)))

    behaviours = _behaviours(Turns)
    region, rows = _REGION, np.arange(_REGION.tables["monsters"].count)
    behaviours.respond(region, rows)
    wanted = [round(min(max(turn, -1), 1) * 1024) for turn in np.resize(turns, len(rows)).tolist()]
    assert region.tables["monsters"]["drives"][:, 0].tolist() == wanted


def _behaviours(cls):
    from umwelt.agents.species.references import behaviours_for

    return behaviours_for([register_class(cls)]).own[0]


_REGION = World.load("golden", seed=2, width=32, height=32).region


@settings(max_examples=30, deadline=None)
@given(st.dictionaries(st.sampled_from(STIMULI), st.integers(-(1 << 20), 1 << 20), max_size=8))
def test_the_dot_product_is_exact_for_one_being_and_for_many(weights):
    from umwelt.agents.species.species import Stimuli

    monsters = _REGION.tables["monsters"]
    monsters["stimuli"][:] = np.arange(monsters["stimuli"].size).reshape(monsters["stimuli"].shape) % 2049 - 1024
    many, one = Stimuli(), Stimuli()
    many.raw.values = monsters["stimuli"].T.astype(np.int64)
    one.raw.values = monsters["stimuli"][3].tolist()
    wanted = sum(weight * int(monsters["stimuli"][3, STIMULI.index(name)]) for name, weight in weights.items())
    assert one.dot(weights) == wanted
    if weights:
        assert many.dot(weights)[3] == wanted
        full = [weights.get(name, 0) for name in STIMULI]
        assert dot(full, one.raw.all) == wanted
        assert dot(full, many.raw.all)[3] == wanted


def test_the_dot_product_refuses_floats_and_unknown_names():
    from umwelt.agents.species.species import Stimuli

    with pytest.raises(SpeciesError, match="float64"):
        dot([0.5], [1])
    with pytest.raises(SpeciesError, match="hungre"):
        Stimuli().dot({"hungre": 1})


class Gambler(Monster):
    throws = Column("int32", width=4)

    def respond(self, see):
        self.throws = [self.dice.integer(1000) for _ in range(4)]


def test_dice_are_fair_keyed_by_being_and_tick_and_counted():
    world = run(small({"grazer": Gambler}, founders__3__count=400), 1)
    first = world.agents_by_type[Gambler]["throws"].copy()
    assert first.min() >= 0 and first.max() < 1000
    assert 450 < first.mean() < 550
    assert len(np.unique(first[:, 0])) > 100 and (first[:, 0] != first[:, 1]).mean() > 0.9
    again = run(small({"grazer": Gambler}, founders__3__count=400), 1)
    assert (again.agents_by_type[Gambler]["throws"] == first).all()
    before = dict(zip(again.agents_by_type[Gambler]["id"].tolist(), first.tolist(), strict=True))
    after = run(again, 1).agents_by_type[Gambler]
    now = zip(after["id"].tolist(), after["throws"].tolist(), strict=True)
    assert not any(throws == before.get(identity) for identity, throws in now)


def test_positions_are_read_in_the_coordinates_of_the_world():
    class Where(Monster):
        at = Column("int32")

        def respond(self, see):
            self.at = self.x_fixed

    world = small({"grazer": Where})
    before = dict(zip(world.agents["id"].tolist(), world.agents["x_fixed"].tolist(), strict=True))
    world.step()
    grazers = world.agents_by_type[Where].select(lambda being: being.age_ticks > 0)
    assert [being.at for being in grazers] == [before[being.unique_id] for being in grazers]
    assert window_bounds(world.region)[3] == 32 * 1024
    assert grazers["at"].max() < 32 * 1024


def answering(answer):
    """Returns a species whose `respond` returns `answer()`."""

    class Answering(Monster):
        def respond(self, see):
            return answer()

    return Answering


@pytest.mark.parametrize(
    "turn", [[1, 2], np.ones(1), 10**400, "0.5", b"1", None, 1j, [[1], [1, 2]]], ids=lambda turn: repr(turn)[:12]
)
def test_a_drive_that_is_not_one_number_is_refused_at_every_speed(turn):
    class AtOnce(Monster):
        @classmethod
        def respond_all(cls, me, see):
            return Drives(turn=turn)

    for cls in (answering(lambda: Drives(turn=turn)), AtOnce):
        with pytest.raises(SpeciesError, match=r"its drive turn (is not a number|has shape .* for)"):
            run(small({"grazer": cls}), 1)


def test_an_exception_of_a_species_becomes_one_line():
    def leave():
        raise SystemExit(3)

    def shout():
        raise ValueError("two\nlines")

    for answer, expected in ((leave, "SystemExit: 3"), (shout, "ValueError: two lines")):
        with pytest.raises(SpeciesError, match=expected) as raised:
            run(small({"grazer": answering(answer)}), 1)
        assert "\n" not in str(raised.value)


def test_a_module_that_exits_when_imported_is_refused(tmp_path, monkeypatch):
    (tmp_path / "leaving_at_once.py").write_text("import sys\nsys.exit(0)\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(WorldFileError, match="cannot import leaving_at_once: SystemExit: 0: fix that module"):
        World.load("golden", **SMALL, founders__3__behaviour="leaving_at_once:Shy")


@pytest.mark.parametrize(
    "wrong", [{"default": float("nan")}, {"default": None}, {"default": 1.5}, {"width": -1}, {"width": 1.5}]
)
def test_invalid_arguments_of_a_column_are_refused(wrong):
    with pytest.raises(SpeciesError, match="Column"):
        Column("int16", **wrong)


@pytest.mark.parametrize(
    ("species", "expected"),
    [
        ({"grazer": 5}, "5 is a int, not a class"),
        ({"grazer": object()}, "is a object, not a class: give the class itself"),
        ([Monster], "name the founders"),
        ({5: Monster}, "5 is not a name of founders"),
        ({"grazer": int}, "int is not a Monster"),
    ],
    ids=["number", "instance", "list", "number as name", "other class"],
)
def test_invalid_species_arguments_are_refused(species, expected):
    with pytest.raises(WorldFileError, match=expected):
        small(species)


def test_a_class_put_on_plants_is_refused():
    with pytest.raises(WorldFileError, match=r"founders\[0\].behaviour = .*: plants have no behaviour"):
        small({"grass": answering(Drives)})
