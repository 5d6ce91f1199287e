"""Host expressions and molecules, compiled to closures over a frame: the list of what a rule's names stand for."""

import math
import operator
from collections.abc import Callable, Iterable
from typing import Any

from umwelt.agents.hocl.syntax import (
    Binary,
    Definition,
    Literal,
    Molecule,
    Part,
    SolutionOf,
    TupleOf,
    Unary,
    Variable,
    written_plain,
)
from umwelt.agents.hocl.terms import MAX_ATOMS, MAX_BITS, MAX_LETTERS, Atom, Rest, Rule, Solution, same
from umwelt.sandbox.errors import ProgramError

Frame = list[Any]
Value = Callable[[Frame], Any]
Cells = dict[str, int]
"""Where in the frame a name's value lies."""


def quotient(left: int, right: int) -> int:
    """The whole quotient, towards zero."""
    whole = abs(left) // abs(right)
    return whole if (left < 0) == (right < 0) else -whole


def remainder(left: int, right: int) -> int:
    """What is left by `quotient`: it has the sign of `left`."""
    if left >= 0 and right > 0:
        return left % right
    whole = abs(left) % abs(right)
    return -whole if left < 0 else whole


def _divide(left: Any, right: Any) -> Any:
    return quotient(left, right) if type(left) is type(right) is int else left / right


def _modulo(left: Any, right: Any) -> Any:
    return remainder(left, right) if type(left) is type(right) is int else math.fmod(left, right)


ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": _divide,
    "%": _modulo,
}
ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
PLAIN = (bool, int, float, str)


def _equal(left: Any, right: Any) -> bool:
    return left == right if type(left) in PLAIN else same(left, right)


def _held(made: Any, place: str) -> Any:
    kind = type(made)
    if kind is int:
        if made.bit_length() > MAX_BITS:
            raise ProgramError(f"{place}: an integer of more than {MAX_BITS:,} bits: keep numbers smaller")
    elif kind is float:
        if not math.isfinite(made):
            raise ProgramError(f"{place}: too large for a float: keep numbers smaller")
        return made + 0.0
    elif len(made) > MAX_LETTERS:
        raise ProgramError(f"{place}: a text of more than {MAX_LETTERS:,} letters: keep texts shorter")
    return made


def _arithmetic(part: Binary, left: Value, right: Value) -> Value:
    act, place, sign = ARITHMETIC[part.operator], part.place, part.operator

    def value(frame: Frame) -> Any:
        first, second = left(frame), right(frame)
        try:
            return _held(act(first, second), place)
        except (ZeroDivisionError, ValueError):
            shown = f"{written_plain(first)} {sign} {written_plain(second)}"
            raise ProgramError(f"{place}: {shown} has no value: ask for a divisor that is not 0 first") from None
        except OverflowError:
            raise ProgramError(f"{place}: too large for a float: keep numbers smaller") from None

    return value


def _binary(part: Binary, cells: Cells) -> Value:
    left, right = compiled(part.left, cells), compiled(part.right, cells)
    if part.operator == "&&":
        return lambda frame: left(frame) and right(frame)
    if part.operator == "||":
        return lambda frame: left(frame) or right(frame)
    if part.operator == "==":
        return lambda frame: _equal(left(frame), right(frame))
    if part.operator == "!=":
        return lambda frame: not _equal(left(frame), right(frame))
    if part.operator in ORDER:
        compare = ORDER[part.operator]
        return lambda frame: compare(left(frame), right(frame))
    return _arithmetic(part, left, right)


def compiled(part: Part, cells: Cells) -> Value:
    """An expression as a function of the frame."""
    made: Value
    match part:
        case Literal(value):
            made = _constant(value)
        case Variable(name):
            made = operator.itemgetter(cells[name])
        case Unary(sign, operand):
            made = _unary(sign, compiled(operand, cells))
        case Binary():
            made = _binary(part, cells)
        case TupleOf(parts):
            made = _tuple([compiled(one, cells) for one in parts])
        case SolutionOf(molecule):
            made = _solution(compiled_molecule(molecule, cells))
        case Definition():
            made = _rule(part, [cells[name] for name in part.free])
        case _:
            raise TypeError(f"no expression: {part!r}")
    return made


def _constant(value: Any) -> Value:
    return lambda frame: value


def _unary(sign: str, inner: Value) -> Value:
    return (lambda frame: not inner(frame)) if sign == "!" else (lambda frame: 0 - inner(frame))


def _tuple(parts: list[Value]) -> Value:
    return lambda frame: tuple([part(frame) for part in parts])


def _solution(atoms: Value) -> Value:
    return lambda frame: Solution(atoms(frame))


def _rule(definition: Definition, taken: list[int]) -> Value:
    return lambda frame: Rule(definition, tuple([frame[at] for at in taken]))


def compiled_molecule(molecule: Molecule, cells: Cells) -> Callable[[Frame], list[Atom]]:
    """A molecule as a function from the frame to its atoms."""
    cells = dict(cells)
    size = max(cells.values(), default=-1) + 1
    rules: list[Value] = []
    for rule in molecule.lets:
        rules.append(compiled(rule, cells))
        cells[rule.name] = size + len(rules) - 1
    atoms = [compiled(atom, cells) for atom in molecule.atoms]

    def made(frame: Frame) -> list[Atom]:
        if rules:
            frame = frame[:size]
            for rule in rules:
                frame.append(rule(frame))
        return spliced([atom(frame) for atom in atoms])

    return made


def spliced(values: Iterable[Atom]) -> list[Atom]:
    """Atoms side by side; a rest gives back all that it took."""
    found: list[Atom] = []
    for value in values:
        if type(value) is Rest:
            if len(found) + len(value) > MAX_ATOMS:
                raise ProgramError(f"more than {MAX_ATOMS:,} atoms at once: copy less")
            found.extend(value)
        else:
            found.append(value)
    return found


def atoms_made(molecule: Molecule) -> list[Atom]:
    """The atoms of a molecule that takes nothing from outside."""
    return compiled_molecule(molecule, {})([])
