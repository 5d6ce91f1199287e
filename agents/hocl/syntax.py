"""The syntax tree of a chemical program: expressions, patterns, rules and molecules; and their conversion to text.

The language is HOCL, the higher-order chemical language (Banâtre, Fradet, Radenac, "Generalised multisets for chemical
programming", Mathematical Structures in Computer Science 16, 2006). Parts are immutable. Their height is limited by
the parser, because Python's stack is limited.

In this package, an *atom* is an element of a solution, and a *solution* a multiset of atoms. A solution is *inert* if
no rule can react in it. A name is *free* in a part if it is defined in an enclosing scope, outside the part.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any

ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t"}
"""The escape sequences of string literals, by character."""
NOTHING: Mapping[str, str] = {}
"""No replacements of free names: the default of the parameter `given`."""


@dataclass(frozen=True)
class Part:
    """A node of the syntax tree."""

    @cached_property
    def height(self) -> int:
        """The height of the tree whose root is this part; 1 for a leaf."""
        return 1 + max((part.height for part in self.inner()), default=0)

    @cached_property
    def size(self) -> int:
        """The number of parts in the tree whose root is this part."""
        return 1 + sum(part.size for part in self.inner())

    def inner(self) -> Iterator["Part"]:
        """Yields the direct children, in the order of the program text."""
        for attribute in fields(self):
            value = getattr(self, attribute.name)
            for part in value if isinstance(value, tuple) else (value,):
                if isinstance(part, Part):
                    yield part


@dataclass(frozen=True)
class Literal(Part):
    """A number, string, `true` or `false`. As a pattern it matches exactly this atom."""

    value: int | float | str | bool


@dataclass(frozen=True)
class Variable(Part):
    """A name in an expression: of a pattern's variable, or of a rule that a `let` defines."""

    name: str


@dataclass(frozen=True)
class Unary(Part):
    """A unary operation, `-x` or `!x`; `place` is FILE:LINE:COLUMN of the operator."""

    operator: str
    operand: Part
    place: str = field(default="", compare=False)


@dataclass(frozen=True)
class Binary(Part):
    """A binary operation such as `x + y`; `place` is FILE:LINE:COLUMN of the operator."""

    operator: str
    left: Part
    right: Part
    place: str = field(default="", compare=False)


@dataclass(frozen=True)
class TupleExpression(Part):
    """A tuple `a:b:c`; in a pattern, its `parts` are patterns."""

    parts: tuple[Part, ...]


@dataclass(frozen=True)
class VariablePattern(Part):
    """The pattern `x::int`: matches an atom of the type, and binds it to the variable `name`."""

    name: str
    type: str


@dataclass(frozen=True)
class RulePattern(Part):
    """The pattern `max=r`: matches a rule with the name `max` (`rule_name`), and binds it to `r` (`name`)."""

    rule_name: str
    name: str


@dataclass(frozen=True)
class SolutionPattern(Part):
    """The pattern `<p, q, ?w>`: matches an inert solution with one atom for each of `patterns`.

    `rest` is the variable `w`, to which all other atoms are bound; if it is None, there must be no others.
    """

    patterns: tuple[Part, ...]
    rest: str | None


@dataclass(frozen=True)
class Molecule(Part):
    """Atoms separated by commas, after definitions of rules, `let name = rule in`."""

    lets: tuple["Definition", ...]
    atoms: tuple[Part, ...]


@dataclass(frozen=True)
class SolutionExpression(Part):
    """A solution in an expression, `<a, b, c>`."""

    molecule: Molecule


@dataclass(frozen=True)
class Definition(Part):
    """A rule, `replace PATTERNS by PRODUCTS if CONDITION`. Inside it, `name` refers to the rule itself.

    A `one_shot` rule (`replace-one`) reacts once and then disappears.
    """

    name: str
    one_shot: bool
    patterns: tuple[Part, ...]
    rest: str | None
    products: Molecule
    condition: Part | None

    @cached_property
    def free(self) -> tuple[str, ...]:
        """The free names of the rule, sorted."""
        return tuple(sorted(self._mentioned - {self.name}))

    @cached_property
    def recursive(self) -> bool:
        """Whether the rule uses its own name."""
        return bool(self.name) and self.name in self._mentioned

    @cached_property
    def _mentioned(self) -> frozenset[str]:
        """The names that products and condition use, without the variables that the patterns bind."""
        names = mentioned_names(self.products) | (mentioned_names(self.condition) if self.condition else frozenset())
        return names - frozenset(bound_names(self.patterns, self.rest))


def bound_names(patterns: tuple[Part, ...], rest: str | None) -> list[str]:
    """Returns the variables of `patterns` in the order of the text, with repetitions, followed by `rest`."""
    names: list[str] = []
    for pattern in patterns:
        if isinstance(pattern, VariablePattern | RulePattern):
            names.append(pattern.name)
        elif isinstance(pattern, TupleExpression):
            names += bound_names(pattern.parts, None)
        elif isinstance(pattern, SolutionPattern):
            names += bound_names(pattern.patterns, pattern.rest)
    return names + ([rest] if rest else [])


def mentioned_names(part: Part) -> frozenset[str]:
    """Returns the free names of `part`: those that it uses but does not define."""
    if isinstance(part, Variable):
        return frozenset((part.name,))
    if isinstance(part, Definition):
        return frozenset(part.free)
    if isinstance(part, Molecule):
        names = frozenset[str]().union(*map(mentioned_names, part.atoms))
        for rule in reversed(part.lets):
            names = (names - {rule.name}) | frozenset(rule.free)
        return names
    return frozenset[str]().union(*map(mentioned_names, part.inner()))


def rule_integers(part: Part, in_rule: bool = False) -> Iterator[int]:
    """Yields the integer literals in the rules inside `part`, in the order of the program text.

    If `in_rule`, `part` itself is inside a rule.
    """
    if isinstance(part, Literal) and in_rule and type(part.value) is int:
        yield part.value
    for child in part.inner():
        yield from rule_integers(child, in_rule or isinstance(part, Definition))


def with_rule_integers(part: Any, following: Callable[[], int], in_rule: bool = False) -> Any:
    """Returns a copy of `part` in which each integer literal in a rule is replaced by a result of `following()`.

    Literals are replaced in the order of the program text. If `in_rule`, `part` itself is inside a rule.
    """
    if isinstance(part, tuple):
        return tuple(with_rule_integers(child, following, in_rule) for child in part)
    if not isinstance(part, Part):
        return part
    if isinstance(part, Literal):
        return Literal(following()) if in_rule and type(part.value) is int else part
    in_rule = in_rule or isinstance(part, Definition)
    return replace(
        part, **{f.name: with_rule_integers(getattr(part, f.name), following, in_rule) for f in fields(part)}
    )


def quote(text: str) -> str:
    """Returns `text` as a string literal of the language, in one line with escapes."""
    return '"' + "".join(ESCAPES.get(letter) or _visible(letter) for letter in text) + '"'


def _visible(letter: str) -> str:
    """Returns a character, or its escape sequence with a hexadecimal code if it is not printable."""
    if letter.isprintable():
        return letter
    code = ord(letter)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def format_value(value: int | float | str | bool) -> str:
    """Returns a number, string or boolean as a literal of the language."""
    if isinstance(value, str):
        return quote(value)
    return str(value).lower() if isinstance(value, bool) else repr(value)


def format_part(part: Part, given: Mapping[str, str] = NOTHING) -> str:
    """Returns `part` as program text; `given` maps free names to the texts that replace them."""
    match part:
        case Literal(value):
            text = format_value(value)
        case Variable(name):
            text = given.get(name, name)
        case Unary(operator, operand):
            inner = _operand(operand, given)
            text = f"{operator}({inner})" if inner[0].isdecimal() else operator + inner  # -(3) is no literal
        case Binary(operator, left, right):
            text = f"{_operand(left, given)} {operator} {_operand(right, given)}"
        case TupleExpression(parts):
            text = ":".join(_component(inner, given) for inner in parts)
        case VariablePattern(name, kind):
            text = f"{name}::{kind}"
        case RulePattern(rule_name, name):
            text = f"{rule_name}={name}"
        case SolutionPattern(patterns, rest):
            text = f"<{_patterns(patterns, rest)}>"
        case SolutionExpression(molecule):
            text = f"<{format_part(molecule, given)}>"
        case Molecule(lets, atoms):
            text = _molecule(lets, atoms, given)
        case Definition():
            text = f"({definition_text(part, given)})"
        case _:
            raise TypeError(f"not a part of a program: {part!r}")
    return text


def definition_text(rule: Definition, given: Mapping[str, str] = NOTHING) -> str:
    """Returns a rule as program text, with its name; `given` maps free names to the texts that replace them."""
    bound = {*bound_names(rule.patterns, rule.rest), rule.name}
    given = {name: text for name, text in given.items() if name not in bound}
    condition = f" if {format_part(rule.condition, given)}" if rule.condition else ""
    verb = "replace-one" if rule.one_shot else "replace"
    products = format_part(rule.products, given)
    return f"{_name(rule)}{verb} {_patterns(rule.patterns, rule.rest)} by {products}{condition}"


def _name(rule: Definition) -> str:
    """Returns the text `NAME = ` before the rule; empty for a rule without a name."""
    return f"{rule.name} = " if rule.name else ""


def _molecule(lets: tuple[Definition, ...], atoms: tuple[Part, ...], given: Mapping[str, str]) -> str:
    """Returns a molecule as program text; `given` maps free names to the texts that replace them.

    A name that one of `lets` defines is not replaced after its definition.
    """
    before = ""
    for rule in lets:
        before += f"let {'rec ' if rule.recursive else ''}{definition_text(rule, given)} in "
        given = {name: text for name, text in given.items() if name != rule.name}
    return before + ", ".join(filter(None, (format_part(atom, given) for atom in atoms)))


def _patterns(patterns: tuple[Part, ...], rest: str | None) -> str:
    """Returns patterns as program text, separated by commas, and at the end `?NAME` for the variable `rest` if any."""
    return ", ".join([*map(format_part, patterns), *([f"?{rest}"] if rest else [])])


def _component(part: Part, given: Mapping[str, str]) -> str:
    """Returns a component of a tuple as program text, in brackets if it is a binary operation or a tuple."""
    text = format_part(part, given)
    return f"({text})" if isinstance(part, TupleExpression | Binary) else text


def _operand(part: Part, given: Mapping[str, str]) -> str:
    """Returns an operand as program text, in brackets if it is an operation or a tuple."""
    text = format_part(part, given)
    return f"({text})" if isinstance(part, Binary | Unary | TupleExpression) else text
