"""Chemistry: balance, and reactions against the law of mass action."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from umwelt.agents.body.interface import SUBSTANCES
from umwelt.agents.earth.earth import laws
from umwelt.agents.earth.reactions import REACTIONS
from umwelt.sandbox.chemistry import Chemistry, Reaction, parse_formula
from umwelt.sandbox.errors import ChemistryError
from umwelt.sandbox.kernel import call
from umwelt.sandbox.laws.react import react_in_cells
from umwelt.sandbox.region import Place

SIDE = 64
LETTERS = {"a": "A", "b": "A", "c": "AB", "d": "B", "e": "A2"}


def place_at(tick: int) -> Place:
    line = np.arange(SIDE, dtype=np.int32)
    return Place(11, tick, SIDE, SIDE, 0, SIDE, SIDE, SIDE, line, line)


def react(reactions: list[Reaction], start: dict[str, int], ticks: int, catalyst: int = 1024) -> np.ndarray:
    """Returns counts after each tick, `int64[tick, substance, cell]`, of many cells that begin equal."""
    chemistry = Chemistry(LETTERS, tuple(reactions))
    table = chemistry.compile("cell", ["heat"])
    substance = np.zeros((len(LETTERS), SIDE, SIDE), np.int32)
    for name, count in start.items():
        substance[chemistry.index(name)] = count
    environment = np.full((1, SIDE, SIDE), catalyst, np.int16)
    history = [substance.reshape(len(LETTERS), -1).astype(np.int64)]
    for tick in range(ticks):
        call(react_in_cells, 0, SIDE, place_at(tick), table, substance, environment)
        history.append(substance.reshape(len(LETTERS), -1).astype(np.int64))
    found = np.array(history)
    atoms = np.einsum("es,tsc->tec", chemistry.composition(), found)
    assert (atoms == atoms[0]).all() and (found >= 0).all()
    return found


def test_first_order_decay_follows_the_exponential():
    rate, start, ticks = 0.013, 200, 120
    counts = react([Reaction("decay", "a -> b", rate)], {"a": start}, ticks)[:, 0]
    expected = start * (1 - rate) ** np.arange(ticks + 1)
    error = counts[1:].std(axis=1) / np.sqrt(counts.shape[1])
    assert (np.abs(counts[1:].mean(axis=1) - expected[1:]) < 4.5 * error + 1e-9).all()


def test_a_catalyst_scales_the_rate():
    half = react([Reaction("decay", "a -> b", 0.02, catalysts=("heat",))], {"a": 300}, 60, catalyst=512)[-1, 0]
    assert abs(half.mean() - 300 * (1 - 0.01) ** 60) < 4.5 * half.std() / np.sqrt(half.size)


def test_a_reversible_reaction_settles_where_mass_action_says():
    forward, back = 0.004, 0.01
    reactions = [Reaction("there", "a + d -> c", forward), Reaction("back", "c -> a + d", back)]
    counts = react(reactions, {"a": 600, "d": 500}, 1500)[1000:].mean(axis=0)
    a, d, c = counts[0].mean(), counts[3].mean(), counts[2].mean()
    # k a d / 1024 = back c with a + c = 600 and d + c = 500; within a tick, "back" uses the products of "there"
    k = forward * (1 - back)
    expected = float(min(np.roots([k / 1024, -k * 1100 / 1024 - back, k * 600 * 500 / 1024])))
    error = counts[2].std() / np.sqrt(counts.shape[1])
    # a and d fluctuate together, so that the mean of a d differs from the product of means by less than a molecule
    assert abs(c - expected) < 4.5 * error + 0.5
    assert a + c == pytest.approx(600) and d + c == pytest.approx(500)


def test_an_elementary_reaction_of_two_alike_goes_with_the_square():
    counts = react([Reaction("pair", "2 a -> e", 0.01)], {"a": 512}, 1)[-1, 0]
    assert abs((512 - counts.mean()) / 2 - 0.01 * 512 * 512 / 1024) < 4.5 * counts.std() / 2 / np.sqrt(counts.size)


@given(st.integers(0, 3000), st.integers(0, 3000), st.floats(0.001, 60), st.integers(0, 30_000))
def test_no_reaction_takes_more_than_there_is(a, d, rate, catalyst):
    burn = Reaction("burn", "a + d -> c", rate, catalysts=("heat",), order={"a": 1, "d": 0})
    react([burn], {"a": a, "d": d}, 2, catalyst)


def test_order_zero_depends_on_catalysts_alone():
    pump = Reaction("pump", "a -> b", 1 / 64, catalysts=("heat",), order=0)
    counts = react([pump], {"a": 1000}, 10, catalyst=96)[-1, 1]
    assert abs(counts.mean() - 10 * 96 / 64) < 4.5 * counts.std() / np.sqrt(counts.size)


def test_earths_reactions_balance_and_their_sites_compile():
    chemistry = Chemistry(SUBSTANCES, REACTIONS)
    assert chemistry.elements == ("C", "H", "N", "O")
    assert laws.chemistry is not None


@pytest.mark.parametrize(
    ("reaction", "line"),
    [
        (Reaction("rot", "a + d -> e", 0.1), "1 A on the left, 2 on the right"),
        (Reaction("rot", "a -> x", 0.1), 'unknown substance "x": known are a, b'),
        (Reaction("rot", "a b -> c", 0.1), 'cannot read "a b"'),
        (Reaction("rot", "a", 0.1), "write the equation as"),
        (Reaction("rot", "-> a", 0.1), "name what it is made from"),
        (Reaction("rot", "0 a -> 0 a", 0.1), "use 1 to 1000"),
    ],
)
def test_invalid_reactions_are_refused_by_name(reaction, line):
    with pytest.raises(ChemistryError, match='reaction "rot": ') as caught:
        Chemistry(LETTERS, (reaction,))
    assert line in str(caught.value)


@pytest.mark.parametrize(
    ("reaction", "line"),
    [
        (Reaction("rot", "a -> b", -1), "rate -1: use 0 to 64"),
        (Reaction("rot", "a -> b", 1e-9), "is below 2^-24"),
        (Reaction("rot", "a -> b", 0.1, catalysts=("cold",)), 'unknown catalyst "cold": use one of heat'),
        (Reaction("rot", "a -> b", 0.1, order={"a": 5}), "order 5 in a"),
        (Reaction("rot", "a -> b", 0.1, order={"d": 1}), 'order of "d", which is not on its left side'),
    ],
)
def test_rates_catalysts_and_orders_are_checked(reaction, line):
    with pytest.raises(ChemistryError) as caught:
        Chemistry(LETTERS, (reaction,)).compile("cell", ["heat"])
    assert line in str(caught.value)


def test_counters_never_overflow():
    """A reaction whose product would exceed a counter does not happen; no atom is lost (`react` checks the atoms)."""
    counts = react([Reaction("burst", "e -> 2 a", 60)], {"e": 1_500_000_000, "a": 2_000_000_000}, 3)
    assert counts[-1, 0].max() <= (1 << 31) - 1 and (counts[-1, 0] > 2_000_000_000).all()


@pytest.mark.parametrize(("name", "formula"), [("big", "C1001"), ("foo", "C0"), ("Foo", "C"), ("a b", "C"), ("", "C")])
def test_substances_that_no_equation_could_name_or_count_are_refused(name, formula):
    with pytest.raises(ChemistryError, match=f'substance "{name}"'):
        Chemistry({name: formula})


SALT = {"salt": "NaCl", "sodium": "Na", "chlorine": "Cl", "sodium_ion": "Na", "chloride": "Cl"}
CHARGES = {"sodium_ion": 1, "chloride": -1}


def test_reactions_balance_in_charge_besides_elements():
    chemistry = Chemistry(SALT, (Reaction("dissolves", "salt -> sodium_ion + chloride", 0.1),), charges=CHARGES)
    assert chemistry.elements == ("Cl", "Na") and chemistry.conserved == ("Cl", "Na", "charge")
    assert chemistry.composition().tolist() == [[1, 0, 1, 0, 1], [1, 1, 0, 1, 0], [0, 0, 0, 1, -1]]
    line = 'reaction "dissolves": charge 0 on the left, 1 on the right: balance it'
    with pytest.raises(ChemistryError, match=line):
        Chemistry(SALT, (Reaction("dissolves", "salt -> sodium_ion + chlorine", 0.1),), charges=CHARGES)


def test_symbols_stand_for_formulas():
    parts = {"P": "U2D", "M": "UD2", "H": "PE", "O": "P8M8E8"}
    chemistry = Chemistry({"water": "H2O", "proton": "P"}, (), parts)
    assert chemistry.content == {"water": {"U": 28, "D": 26, "E": 10}, "proton": {"U": 2, "D": 1}}
    with pytest.raises(ChemistryError, match='symbol "P": is used by a symbol above it'):
        Chemistry({"water": "H2"}, (), {"H": "PE", "P": "U2D"})
    with pytest.raises(ChemistryError, match='substance "heavy": 1010 U in "O30U170": use 1 to 1000 atoms'):
        Chemistry({"heavy": "O30U170"}, (), {"P": "U", "O": "P28"})


def test_formulas():
    assert parse_formula("sugar", "C6H12O6") == {"C": 6, "H": 12, "O": 6}
    for wrong in ("", "h2o", "H2-O", "2H"):
        with pytest.raises(ChemistryError, match="cannot read the formula"):
            parse_formula("w", wrong)
