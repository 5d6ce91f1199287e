"""Compiles expressions and molecules (lists of atoms, after definitions of rules) to Python functions.

The argument of such a function is a *frame*, a list of the values of all names that the expression can use.
"""

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
    SolutionExpression,
    TupleExpression,
    Unary,
    Variable,
    format_value,
)
from umwelt.agents.hocl.terms import MAX_ATOMS, MAX_BITS, MAX_LETTERS, Atom, Rest, Rule, Solution, same
from umwelt.sandbox.errors import ProgramError

Frame = list[Any]
"""The values of the names that an expression can use; a `Cells` gives the index of each."""
Value = Callable[[Frame], Any]
"""A compiled expression: a function from a frame to the expression's value."""
Cells = dict[str, int]
"""The index in a frame of the value of each name."""


def quotient(left: int, right: int) -> int:
    """Returns `left / right` truncated towards zero."""
    whole = abs(left) // abs(right)
    return whole if (left < 0) == (right < 0) else -whole


def remainder(left: int, right: int) -> int:
    """Returns `left - quotient(left, right) * right`, which has the sign of `left`."""
    if left >= 0 and right > 0:
        return left % right
    whole = abs(left) % abs(right)
    return -whole if left < 0 else whole


def _divide(left: Any, right: Any) -> Any:
    """Returns the result of the operator `/`: the truncated quotient of two integers, else a float."""
    return quotient(left, right) if type(left) is type(right) is int else left / right


def _modulo(left: Any, right: Any) -> Any:
    """Returns the result of the operator `%`, which has the sign of `left`; int for two ints, else float."""
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
"""The types whose equality is Python's `==`."""


def _equal(left: Any, right: Any) -> bool:
    """Returns the result of the operator `==` for two values of the same type, or two numbers."""
    return left == right if type(left) in PLAIN else same(left, right)


def _check_size(value: Any, place: str) -> Any:
    """Returns `value`, with -0.0 as 0.0. Raises `ProgramError` if the number or string exceeds its size limit."""
    kind = type(value)
    if kind is int:
        if value.bit_length() > MAX_BITS:
            raise ProgramError(f"{place}: an integer of more than {MAX_BITS:,} bits: keep numbers smaller")
    elif kind is float:
        if not math.isfinite(value):
            raise ProgramError(f"{place}: too large for a float: keep numbers smaller")
        return value + 0.0  # -0.0 becomes 0.0
    elif len(value) > MAX_LETTERS:
        raise ProgramError(f"{place}: a string of more than {MAX_LETTERS:,} letters: keep strings shorter")
    return value


def _arithmetic(part: Binary, left: Value, right: Value) -> Value:
    """Compiles an arithmetic operation, whose operands `left` and `right` are compiled already.

    The function raises `ProgramError` for a division by 0 and for a result that exceeds its size limit.
    """
    act, place, sign = ARITHMETIC[part.operator], part.place, part.operator

    def value(frame: Frame) -> Any:
        """Returns the value of the operation, checked against the size limits."""
        first, second = left(frame), right(frame)
        try:
            return _check_size(act(first, second), place)
        except (ZeroDivisionError, ValueError):
            shown = f"{format_value(first)} {sign} {format_value(second)}"
            raise ProgramError(f"{place}: {shown} has no value: test first that the divisor is not 0") from None
        except OverflowError:
            raise ProgramError(f"{place}: too large for a float: keep numbers smaller") from None

    return value


def _binary(part: Binary, cells: Cells) -> Value:
    """Compiles a binary operation. The right operand of `&&` and `||` is evaluated only if needed."""
    left, right = compile_expression(part.left, cells), compile_expression(part.right, cells)
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


def compile_expression(part: Part, cells: Cells) -> Value:
    """Compiles an expression to a function from a frame to its value; `cells` has the frame index of each name."""
    value_of: Value
    match part:
        case Literal(value):
            value_of = _constant(value)
        case Variable(name):
            value_of = operator.itemgetter(cells[name])
        case Unary(sign, operand):
            value_of = _unary(sign, compile_expression(operand, cells))
        case Binary():
            value_of = _binary(part, cells)
        case TupleExpression(parts):
            value_of = _tuple([compile_expression(inner, cells) for inner in parts])
        case SolutionExpression(molecule):
            value_of = _solution(compile_molecule(molecule, cells))
        case Definition():
            value_of = _rule(part, [cells[name] for name in part.free])
        case _:
            raise TypeError(f"not an expression: {part!r}")
    return value_of


def _constant(value: Any) -> Value:
    """Returns a function that returns `value` for any frame."""
    return lambda frame: value


def _unary(sign: str, inner: Value) -> Value:
    """Returns a function that computes `!x` or `-x`; `inner` is the function that computes x."""
    return (lambda frame: not inner(frame)) if sign == "!" else (lambda frame: 0 - inner(frame))


def _tuple(parts: list[Value]) -> Value:
    """Returns a function that computes a tuple; `parts` are the functions that compute its elements."""
    return lambda frame: tuple([part(frame) for part in parts])


def _solution(atoms: Value) -> Value:
    """Returns a function that computes a solution; `atoms` is the function that computes the list of its atoms."""
    return lambda frame: Solution(atoms(frame))


def _rule(definition: Definition, taken: list[int]) -> Value:
    """Returns a function that computes a rule, which captures the present values of its free names.

    `taken` has the frame indices of these names, in the order of `definition.free`.
    """
    return lambda frame: Rule(definition, tuple([frame[at] for at in taken]))


def compile_molecule(molecule: Molecule, cells: Cells) -> Callable[[Frame], list[Atom]]:
    """Compiles a molecule to a function from a frame to a list of its atoms; `cells` as in `compile_expression`."""
    cells = dict(cells)
    size = max(cells.values(), default=-1) + 1
    rules: list[Value] = []
    for rule in molecule.lets:
        rules.append(compile_expression(rule, cells))
        cells[rule.name] = size + len(rules) - 1
    atoms = [compile_expression(atom, cells) for atom in molecule.atoms]

    def atoms_of(frame: Frame) -> list[Atom]:
        """Returns the atoms of the molecule; `frame` has the values of the names in `cells`."""
        if rules:
            frame = frame[:size]
            for rule in rules:
                frame.append(rule(frame))
        return splice([atom(frame) for atom in atoms])

    return atoms_of


def splice(values: Iterable[Atom]) -> list[Atom]:
    """Returns `values` as a list in which each `Rest` is replaced by its atoms.

    Raises `ProgramError` if a `Rest` would extend the list beyond `MAX_ATOMS`.
    """
    spliced: list[Atom] = []
    for value in values:
        if type(value) is Rest:
            if len(spliced) + len(value) > MAX_ATOMS:
                raise ProgramError(f"more than {MAX_ATOMS:,} atoms at once: copy less")
            spliced.extend(value)
        else:
            spliced.append(value)
    return spliced


def evaluate_molecule(molecule: Molecule) -> list[Atom]:
    """Evaluates a molecule that uses no names from enclosing scopes. Returns its atoms."""
    return compile_molecule(molecule, {})([])
