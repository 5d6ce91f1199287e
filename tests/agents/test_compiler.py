"""The compiler of `respond`: a compiled method behaves as in plain Python, or an error says what is unsupported."""

from types import FunctionType

import numpy as np
import pytest

from umwelt.agents import Column, Drives, Monster, World, compiled
from umwelt.agents.body.interface import STIMULI
from umwelt.agents.species.compiler import CompiledLoop
from umwelt.agents.species.python_behaviour import CompiledBehaviour, PlainBehaviour
from umwelt.agents.species.species import declared_columns
from umwelt.sandbox.errors import SpeciesError

LIMIT = 3
WEIGHTS = {"hunger": -5, "touch": 2, "one": 1}
ALL_WEIGHTS = list(range(len(STIMULI)))


def tripled(value):
    return 3 * value


class Carrier(Monster):
    """Declares the columns that the methods below write."""

    CAUTION = 0.25
    fear = Column("int16", inherited=True, default=3)
    steps = Column("int32")
    path = Column("int32", width=4)

    def respond(self, see):
        return Drives()


@pytest.fixture(scope="module")
def region():
    world = World.load("golden", seed=5, width=32, height=32, species={"grazer": Carrier})
    world.step()
    return world.region


def augmented(self, see):
    self.fear += 2
    self.steps -= self.fear * 3
    self.fear //= 2
    return Drives(turn=self.fear / 100)


def several_targets(self, see):
    here = self.fear = self.steps = 7
    return Drives(turn=here / 10, thrust=self.fear / 10)


def annotated(self, see):
    value: int = 5
    self.steps: int = value + 1
    return Drives(thrust=value / 8)


def without_return(self, see):
    """A method with a docstring and without a return value."""
    self.steps = 1


def bare_return(self, see):
    if self.sugar_count % 2:
        return
    return Drives(grow=1)


def branches_and_loops(self, see):
    total = 0.0
    for turn in range(LIMIT):
        if turn == 1:
            continue
        total += turn * see.hunger
    while total > 0.5:
        total -= 0.5
    return Drives(turn=total, bite=-total if total > 0.2 else 0.1)


def other_function(self, see):
    return Drives(turn=tripled(see.light_left) - 1)


def constants_of_the_class(self, see):
    return Drives(rest=1 if see.hunger > self.CAUTION else 0)


def truncates(self, see):
    self.fear = see.raw.hunger / 7 - 20.9
    self.steps = -3.9
    return Drives()


def dots(self, see):
    self.steps = see.dot(WEIGHTS)
    return Drives.raw(turn=see.dot(ALL_WEIGHTS) // 64, thrust=-1, blink=5000)


def own_columns(self, see):
    return Drives(turn=(self.x_fixed % 1000) / 1000, thrust=self.y_fixed / 32768, graze=self.sugar_count / 500)


def dice_in_order(self, see):
    self.steps = self.dice.integer(1000)
    self.fear = self.dice.integer(1 + self.steps % 50)
    return Drives(turn=self.dice() - self.dice())


BODIES = [
    augmented,
    several_targets,
    annotated,
    without_return,
    bare_return,
    branches_and_loops,
    other_function,
    constants_of_the_class,
    truncates,
    dots,
    own_columns,
    dice_in_order,
]


def species_with(body, mark=None):
    """Returns a species with the columns of `Carrier` whose `respond` is `body`, decorated by `mark` if given."""
    function = FunctionType(body.__code__, globals(), "respond", None, body.__closure__)
    return type("Tried", (Carrier,), {"respond": mark(function) if mark else function})


def outcome(behaviour_class, cls, region):
    """Returns the drives and columns after one response; restores the region's columns afterwards."""
    table = region.tables["monsters"]
    rows = np.flatnonzero(table["one"])
    names = ("drives", "fear", "steps", "path")
    before = {name: table[name].copy() for name in names}
    try:
        behaviour_class(cls, declared_columns(cls)).respond(region, rows)
        return {name: table[name][rows].tolist() for name in names}
    finally:
        for name in names:
            table[name][:] = before[name]


@pytest.mark.parametrize("body", BODIES, ids=lambda body: body.__name__)
def test_a_compiled_method_has_the_results_of_the_plain_one(region, body):
    plain = outcome(PlainBehaviour, species_with(body), region)
    assert outcome(CompiledBehaviour, species_with(body, compiled), region) == plain
    assert body in (without_return, truncates) or any(any(drives) for drives in plain["drives"])


def writes_an_array(self, see):
    self.path = 3


def undeclared(self, see):
    self.mood = 1


def unnamed_weights(self, see):
    return Drives(turn=see.dot({"hunger": 1}))


def passes_see_on(self, see):
    return Drives(turn=tripled(see))


def reads_the_world(self, see):
    return Drives(turn=self.model)


def misspelt(self, see):
    return Drives(turn=see.hungre)


def misspelt_raw(self, see):
    return Drives(turn=see.raw.hungre)


@pytest.mark.parametrize(
    ("body", "line"),
    [
        (writes_an_array, "species Tried: path holds several numbers"),
        (undeclared, "species Tried: sets mood within a tick"),
        (unnamed_weights, r"species Tried, line 2 of respond: see\.dot needs weights with a name"),
        (passes_see_on, r"species Tried, line 2 of respond: .* see only as see\.name"),
        (reads_the_world, r"species Tried, line 2 of respond: self\.model is not a number of its own"),
        (misspelt, 'line 2 of respond: "hungre" is not a stimulus'),
        (misspelt_raw, 'line 2 of respond: "hungre" is not a stimulus'),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_unsupported_code_is_named_with_its_line(region, body, line):
    cls = species_with(body, compiled)
    with pytest.raises(SpeciesError, match=line):
        CompiledLoop(cls, cls.respond, region.tables["monsters"].schema, declared_columns(cls))


def not_a_number(self, see):
    return Drives(grow=see.one * float("nan"))


def too_large(self, see):
    self.fear = 40_000


def infinite(self, see):
    self.steps = see.one / 0.0 if see.one > 2 else 1e300


def no_sides(self, see):
    self.steps = self.dice.integer(self.steps * 0)


@pytest.mark.parametrize(
    ("body", "line"),
    [
        (not_a_number, "species Tried: its drive grow is not a number"),
        (too_large, "species Tried: fear is set to a number that does not fit it"),
        (infinite, "species Tried: steps is set to a number that does not fit it"),
        (no_sides, r"species Tried: dice\.integer: use 1 to 2\^31"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_wrong_values_are_reported_after_the_loop(region, body, line):
    with pytest.raises(SpeciesError, match=line):
        outcome(CompiledBehaviour, species_with(body, compiled), region)


def test_a_body_without_its_text_is_refused():
    namespace = {"Drives": Drives}
    exec("def respond(self, see):\n    return Drives()\n", namespace)
    cls = type("Textless", (Carrier,), {"respond": compiled(namespace["respond"])})
    with pytest.raises(SpeciesError, match="species Textless: @compiled needs the text of respond"):
        CompiledLoop(cls, cls.respond, None, {})


def test_only_respond_can_be_compiled():
    with pytest.raises(SpeciesError, match="@compiled: write it before def respond"):
        compiled(tripled)
