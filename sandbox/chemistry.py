"""Elements, substances and reactions of a world: checks them for balance, and compiles them into integer tables.

A substance is a formula over elements (`"H2O"`), a reaction a balanced equation over substances with a rate per tick. A
world may define symbols, which stand for formulas in other formulas (`H = "PE"`: a proton and an electron), and
charges, in which reactions must then balance too. The extent of a reaction in a tick is how many times it happens; its
expected value follows the law of mass action (Guldberg and Waage, 1864-1879):

    extent = rate * catalyst_1 * ... * count_1^order_1 * count_2^order_2 * ... / 1024^(orders - 1)

so the unit of concentration is 1024 molecules of a second reactant, or a catalyst of 1024. Orders default to the
equation's coefficients (an elementary reaction); with `order = 0` the extent depends only on catalysts. Extents are
rounded up or down at random so that the mean is exact, and are limited by the available reactants. The reactions of a
cell or body are computed one after another, in the order in which they are listed.

A catalyst is a quantity that the extent is proportional to and that the reaction does not consume: a substance, or a
property of the cell or body, such as its light. A *site* is where a reaction runs: all cells, or the bodies of a table.
"""

import re
from collections import namedtuple
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from umwelt.sandbox.dice import purpose
from umwelt.sandbox.errors import ChemistryError
from umwelt.sandbox.units import RATE_BITS, rate_from_float

MAX_REACTANTS = 4
"""The maximum number of substances on each side of a reaction."""
MAX_CATALYSTS = 2
MAX_COEFFICIENT = 1000
MAX_ATOMS = 1000
MAX_CHARGE = 1000
CHARGE = "charge"
"""The name of the electric charge in `Chemistry.conserved`, in a world that defines charges."""

_FORMULA_PART = re.compile(r"([A-Z][a-z]?)(\d*)")
_SYMBOL = re.compile(r"^[A-Z][a-z]?$")
_NAME = re.compile(r"^[a-z][a-z0-9_]*$")
_TERM = re.compile(r"^(?:(\d+)\s+)?([a-z][a-z0-9_]*)$")


@dataclass(frozen=True)
class Reaction:
    """One reaction, as a world file defines it.

    `rate` is per tick. `site` is where the reaction runs: "cell", or the name of a table of beings. `catalysts` are
    names of substances, or of properties of the site's cells or bodies. `order` is the kinetic order in each reactant
    by name (1 for reactants that are not listed), one number for all reactants, or None for the coefficients of the
    equation.
    """

    name: str
    equation: str
    rate: float
    site: str = "cell"
    catalysts: tuple[str, ...] = ()
    order: Mapping[str, int] | int | None = None


ReactionTable = namedtuple(
    "ReactionTable",
    ["rate_q24", "dice_index", "reactant", "taken", "order", "product", "made", "catalyst", "by_substance"],
)
"""The reactions of one site as arrays with a row for each reaction.

- `rate_q24: int64[r]`: the rate per tick in 2^-24; `dice_index: int64[r]`: a hash of the reaction's name, the argument
  `index` of `draw` (dice.py) for its random numbers.
- `reactant`, `product: int64[r, 4]`: substance indices, -1 if unused; `taken`, `made: int64[r, 4]`: their coefficients;
  `order: int64[r, 4]`: the kinetic orders in the reactants.
- `catalyst: int64[r, 2]`: an index among the properties that are catalysts, -1 if unused; an index among the substances
  where `by_substance: int64[r, 2]` is 1."""


@dataclass(frozen=True)
class Chemistry:
    """The substances of a world and the reactions between them. Raises `ChemistryError` unless all are valid.

    `substances` maps names to formulas. `symbols` maps symbols to formulas over elements and earlier symbols; `charges`
    maps charged substances to their charge, in any common unit. `names` are the substances in the order of their
    indices. `conserved` are the elements, and `CHARGE` if there are charges; `content[substance]` maps each of these to
    its amount in one molecule.
    """

    substances: Mapping[str, str]
    reactions: tuple[Reaction, ...] = ()
    symbols: Mapping[str, str] = field(default_factory=dict)
    charges: Mapping[str, int] = field(default_factory=dict)
    names: tuple[str, ...] = field(init=False)
    elements: tuple[str, ...] = field(init=False)
    conserved: tuple[str, ...] = field(init=False)
    content: Mapping[str, Mapping[str, int]] = field(init=False)

    def __post_init__(self) -> None:
        for name in self.substances:
            if not _NAME.match(name):
                raise ChemistryError(f'substance "{name}": write its name in lower case letters, digits and "_"')
        content = {name: self.parse(formula, f'substance "{name}"') for name, formula in self.substances.items()}
        elements = tuple(sorted({e for formula in content.values() for e in formula}))
        for symbol in self.symbols:
            if symbol in elements:
                raise ChemistryError(f'symbol "{symbol}": is used by a symbol above it: define it before that one')
        for name, charge in self.charges.items():
            if name not in content:
                known = ", ".join(self.substances)
                raise ChemistryError(f'charge of "{name}": unknown substance: known are {known}')
            if not -MAX_CHARGE <= charge <= MAX_CHARGE:
                raise ChemistryError(f'charge of "{name}": {charge}: use -{MAX_CHARGE} to {MAX_CHARGE}')
            content[name][CHARGE] = charge
        object.__setattr__(self, "names", tuple(self.substances))
        object.__setattr__(self, "elements", elements)
        object.__setattr__(self, "conserved", (*elements, CHARGE) if self.charges else elements)
        object.__setattr__(self, "content", content)
        seen: set[str] = set()
        for reaction in self.reactions:
            if reaction.name in seen:
                raise ChemistryError(f'reaction "{reaction.name}" is defined twice: rename one of them')
            seen.add(reaction.name)
            left, right = self.sides(reaction)
            for unit in self.conserved:
                before, after = (
                    sum(count * content[name].get(unit, 0) for name, count in side.items()) for side in (left, right)
                )
                if before != after:
                    amount = f"charge {before}" if unit == CHARGE else f"{before} {unit}"
                    raise ChemistryError(
                        f'reaction "{reaction.name}": {amount} on the left, {after} on the right: balance it'
                    )

    def parse(self, formula: str, place: str) -> dict[str, int]:
        """Returns the number of atoms of each element in `formula`, with symbols expanded.

        Raises `ChemistryError` if a symbol or the formula is invalid; for the formula, the error message begins with
        `place`.
        """
        expanded: dict[str, dict[str, int]] = {}
        for symbol, text in self.symbols.items():
            if not _SYMBOL.match(symbol):
                raise ChemistryError(f'symbol "{symbol}": write it as an element, like "C" or "Cl"')
            expanded[symbol] = parse_formula(f'symbol "{symbol}"', text, expanded)
        return parse_formula(place, formula, expanded)

    def index(self, substance: str) -> int:
        """Returns the index of a substance in `names`."""
        return self.names.index(substance)

    def composition(self) -> np.ndarray:
        """Returns the amount of each conserved quantity in a molecule, `int64[conserved, substance]`."""
        return np.array([[held.get(unit, 0) for held in self.content.values()] for unit in self.conserved], np.int64)

    def sides(self, reaction: Reaction) -> tuple[dict[str, int], dict[str, int]]:
        """Returns the coefficients of a reaction's reactants and of its products, by substance.

        Raises `ChemistryError` if the equation cannot be parsed or contains an unknown substance.
        """
        halves = reaction.equation.split("->")
        if len(halves) != 2:
            raise ChemistryError(f'reaction "{reaction.name}": write the equation as "a + 2 b -> c"')
        left, right = (self._terms(reaction, half) for half in halves)
        if not left:
            raise ChemistryError(f'reaction "{reaction.name}": nothing on the left: name what it is made from')
        return left, right

    def _terms(self, reaction: Reaction, text: str) -> dict[str, int]:
        """Parses one side of an equation, such as `a + 2 b`; returns its coefficients by substance."""
        terms: dict[str, int] = {}
        for term in filter(None, (part.strip() for part in text.split("+"))):
            match = _TERM.match(term)
            if match is None:
                raise ChemistryError(f'reaction "{reaction.name}": cannot read "{term}": write "2 water"')
            count, name = int(match[1] or 1), match[2]
            if name not in self.substances:
                raise ChemistryError(
                    f'reaction "{reaction.name}": unknown substance "{name}": known are {", ".join(self.substances)}'
                )
            if not 1 <= count <= MAX_COEFFICIENT:
                raise ChemistryError(f'reaction "{reaction.name}": {count} {name}: use 1 to {MAX_COEFFICIENT}')
            terms[name] = terms.get(name, 0) + count
        if len(terms) > MAX_REACTANTS:
            raise ChemistryError(f'reaction "{reaction.name}": at most {MAX_REACTANTS} substances on a side')
        return terms

    def compile(self, site: str, catalysts: Sequence[str]) -> ReactionTable:
        """Returns the reactions of `site` as integer tables.

        `catalysts` are the names of the properties of its cells or bodies that can be catalysts. Raises
        `ChemistryError` for an unknown catalyst, and for a rate or an order that is out of range.
        """
        chosen = [reaction for reaction in self.reactions if reaction.site == site]
        rows = len(chosen)
        table = ReactionTable(  # type: ignore[call-arg]
            np.zeros(rows, np.int64),
            np.zeros(rows, np.int64),
            *[np.full((rows, MAX_REACTANTS), fill, np.int64) for fill in (-1, 0, 0, -1, 0)],
            np.full((rows, MAX_CATALYSTS), -1, np.int64),
            np.zeros((rows, MAX_CATALYSTS), np.int64),
        )
        for row, reaction in enumerate(chosen):
            left, right = self.sides(reaction)
            for name in reaction.order if isinstance(reaction.order, Mapping) else ():
                if name not in left:
                    raise ChemistryError(
                        f'reaction "{reaction.name}": order of "{name}", which is not on its left side: leave it out'
                    )
            table.rate_q24[row] = self._rate(reaction)
            table.dice_index[row] = purpose("reaction." + reaction.name)
            for at, (name, count) in enumerate(left.items()):
                table.reactant[row, at], table.taken[row, at] = self.index(name), count
                table.order[row, at] = self._order(reaction, name, count)
            for at, (name, count) in enumerate(right.items()):
                table.product[row, at], table.made[row, at] = self.index(name), count
            for at, name in enumerate(reaction.catalysts):
                if name in catalysts:
                    table.catalyst[row, at] = list(catalysts).index(name)
                elif name in self.substances:
                    table.catalyst[row, at], table.by_substance[row, at] = self.index(name), 1
                else:
                    raise ChemistryError(
                        f'reaction "{reaction.name}": unknown catalyst "{name}": use one of {", ".join(catalysts)}, '
                        "or a substance"
                    )
        return table

    @staticmethod
    def _rate(reaction: Reaction) -> int:
        """Returns a reaction's rate in units of 2^-24 per tick.

        Raises ChemistryError if the rate or the number of catalysts is out of range.
        """
        if not 0 <= reaction.rate <= 64:
            raise ChemistryError(f'reaction "{reaction.name}": rate {reaction.rate}: use 0 to 64 a tick')
        if len(reaction.catalysts) > MAX_CATALYSTS:
            raise ChemistryError(f'reaction "{reaction.name}": at most {MAX_CATALYSTS} catalysts')
        rate_q24 = rate_from_float(reaction.rate)
        if reaction.rate > 0 and rate_q24 == 0:
            raise ChemistryError(f'reaction "{reaction.name}": rate {reaction.rate} is below 2^-{RATE_BITS} a tick')
        return rate_q24

    @staticmethod
    def _order(reaction: Reaction, substance: str, coefficient: int) -> int:
        """Returns the kinetic order of a reaction in the reactant `substance`, whose `coefficient` is the default."""
        if reaction.order is None:
            order = coefficient
        elif isinstance(reaction.order, int):
            order = reaction.order
        else:
            order = reaction.order.get(substance, 1)
        if not 0 <= order <= 3:
            raise ChemistryError(
                f'reaction "{reaction.name}": order {order} in {substance}: '
                f"use 0 to 3, as in order = {{{substance} = 1}}"
            )
        return order


def parse_formula(place: str, formula: str, symbols: Mapping[str, Mapping[str, int]] | None = None) -> dict[str, int]:
    """Returns the number of atoms of each element in a formula: `{"C": 1, "H": 2, "O": 1}` for `"CH2O"`.

    `symbols` maps symbols to the atoms that they stand for. Raises `ChemistryError`, with a line that begins with
    `place`, if the formula is invalid.
    """
    atoms: dict[str, int] = {}
    if not formula or "".join(m[0] for m in _FORMULA_PART.finditer(formula)) != formula:
        raise ChemistryError(f'{place}: cannot read the formula "{formula}": write it like "CH2O"')
    for match in _FORMULA_PART.finditer(formula):
        for element, count in (symbols or {}).get(match[1], {match[1]: 1}).items():
            atoms[element] = atoms.get(element, 0) + count * int(match[2] or 1)
    for element, count in atoms.items():
        if not 1 <= count <= MAX_ATOMS:
            raise ChemistryError(f'{place}: {count} {element} in "{formula}": use 1 to {MAX_ATOMS} atoms')
    return atoms
