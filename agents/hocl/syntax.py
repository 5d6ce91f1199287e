"""The parts of a chemical program as it is written: expressions, patterns, rules, molecules; and how they are printed.

The language is HOCL, the higher-order chemical language (Banâtre, Fradet, Radenac, "Generalised multisets for chemical
programming", Mathematical Structures in Computer Science 16, 2006). A part is immutable and knows its height, so that
whoever builds one can refuse what is nested too deeply for Python.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any

ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t"}
NOTHING: Mapping[str, str] = {}


@dataclass(frozen=True)
class Part:
    """What all parts share."""

    @cached_property
    def height(self) -> int:
        """How many parts lie within one another here."""
        return 1 + max((part.height for part in self.inner()), default=0)

    @cached_property
    def size(self) -> int:
        """How many parts there are here in all."""
        return 1 + sum(part.size for part in self.inner())

    def inner(self) -> Iterator["Part"]:
        """The parts that this one is made of, in the order of the text."""
        for one in fields(self):
            value = getattr(self, one.name)
            for part in value if isinstance(value, tuple) else (value,):
                if isinstance(part, Part):
                    yield part


@dataclass(frozen=True)
class Literal(Part):
    """A number, text, `true` or `false`: in an expression its value, in a pattern that atom alone."""

    value: int | float | str | bool


@dataclass(frozen=True)
class Variable(Part):
    """What a pattern caught, or the rule that a `let` named."""

    name: str


@dataclass(frozen=True)
class Unary(Part):
    """`-x` or `!x`."""

    operator: str
    operand: Part
    place: str = field(default="", compare=False)


@dataclass(frozen=True)
class Binary(Part):
    """`x + y` and the like; `place` is FILE:LINE:COLUMN of the operator."""

    operator: str
    left: Part
    right: Part
    place: str = field(default="", compare=False)


@dataclass(frozen=True)
class TupleOf(Part):
    """`a:b:c`; in a pattern its parts are patterns."""

    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Typed(Part):
    """The pattern `x::int`."""

    name: str
    type: str


@dataclass(frozen=True)
class Named(Part):
    """The pattern `max=r`: a rule of that name."""

    rule_name: str
    name: str


@dataclass(frozen=True)
class Within(Part):
    """The pattern `<p, q, ?w>`: an inert solution of just these atoms; `rest` takes all others."""

    patterns: tuple[Part, ...]
    rest: str | None


@dataclass(frozen=True)
class Molecule(Part):
    """Atoms side by side, and the rules that are named before them."""

    lets: tuple["Definition", ...]
    atoms: tuple[Part, ...]


@dataclass(frozen=True)
class SolutionOf(Part):
    """`<a, b, c>`."""

    molecule: Molecule


@dataclass(frozen=True)
class Definition(Part):
    """A rule as it is written. Where its own name stands in it, it means the rule itself."""

    name: str
    one_shot: bool
    patterns: tuple[Part, ...]
    rest: str | None
    products: Molecule
    condition: Part | None

    @cached_property
    def free(self) -> tuple[str, ...]:
        """The names that its text takes from outside."""
        return tuple(sorted(self._mentioned - {self.name}))

    @cached_property
    def recursive(self) -> bool:
        """Whether it mentions itself."""
        return bool(self.name) and self.name in self._mentioned

    @cached_property
    def _mentioned(self) -> frozenset[str]:
        found = mentioned(self.products) | (mentioned(self.condition) if self.condition else frozenset())
        return found - frozenset(names_caught(self.patterns, self.rest))


def names_caught(patterns: tuple[Part, ...], rest: str | None) -> list[str]:
    """The variables of patterns in the order of the text, repeated as they are; that for the rest comes last."""
    found: list[str] = []
    for pattern in patterns:
        if isinstance(pattern, Typed | Named):
            found.append(pattern.name)
        elif isinstance(pattern, TupleOf):
            found += names_caught(pattern.parts, None)
        elif isinstance(pattern, Within):
            found += names_caught(pattern.patterns, pattern.rest)
    return found + ([rest] if rest else [])


def mentioned(part: Part) -> frozenset[str]:
    """The names that a part takes from outside."""
    if isinstance(part, Variable):
        return frozenset((part.name,))
    if isinstance(part, Definition):
        return frozenset(part.free)
    if isinstance(part, Molecule):
        found = frozenset[str]().union(*map(mentioned, part.atoms))
        for rule in reversed(part.lets):
            found = (found - {rule.name}) | frozenset(rule.free)
        return found
    return frozenset[str]().union(*map(mentioned, part.inner()))


def rule_integers(part: Part, in_rule: bool = False) -> Iterator[int]:
    """The integer literals of all rules in a part, in the order of the text."""
    if isinstance(part, Literal) and in_rule and type(part.value) is int:
        yield part.value
    for one in part.inner():
        yield from rule_integers(one, in_rule or isinstance(part, Definition))


def with_rule_integers(part: Any, following: Callable[[], int], in_rule: bool = False) -> Any:
    """The same part with other integers in its rules; `following` gives them in the order of the text."""
    if isinstance(part, tuple):
        return tuple(with_rule_integers(one, following, in_rule) for one in part)
    if not isinstance(part, Part):
        return part
    if isinstance(part, Literal):
        return Literal(following()) if in_rule and type(part.value) is int else part
    within = in_rule or isinstance(part, Definition)
    return replace(part, **{f.name: with_rule_integers(getattr(part, f.name), following, within) for f in fields(part)})


def quoted(text: str) -> str:
    """Text as it is written in a program: in one line, whatever it holds."""
    return '"' + "".join(ESCAPES.get(letter) or _visible(letter) for letter in text) + '"'


def _visible(letter: str) -> str:
    if letter.isprintable():
        return letter
    code = ord(letter)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def written_plain(value: int | float | str | bool) -> str:
    """A number, text or truth as it is written in a program."""
    if isinstance(value, str):
        return quoted(value)
    return str(value).lower() if isinstance(value, bool) else repr(value)


def written(part: Part, given: Mapping[str, str] = NOTHING) -> str:
    """The text of a part; `given` is the text that stands for names from outside."""
    match part:
        case Literal(value):
            text = written_plain(value)
        case Variable(name):
            text = given.get(name, name)
        case Unary(operator, operand):
            inner = _operand(operand, given)
            text = f"{operator}({inner})" if inner[0].isdecimal() else operator + inner  # -(3) is no literal
        case Binary(operator, left, right):
            text = f"{_operand(left, given)} {operator} {_operand(right, given)}"
        case TupleOf(parts):
            text = ":".join(_component(one, given) for one in parts)
        case Typed(name, kind):
            text = f"{name}::{kind}"
        case Named(rule_name, name):
            text = f"{rule_name}={name}"
        case Within(patterns, rest):
            text = f"<{_patterns(patterns, rest)}>"
        case SolutionOf(molecule):
            text = f"<{written(molecule, given)}>"
        case Molecule(lets, atoms):
            text = _molecule(lets, atoms, given)
        case Definition():
            text = f"({definition_text(part, given)})"
        case _:
            raise TypeError(f"no part of a program: {part!r}")
    return text


def definition_text(rule: Definition, given: Mapping[str, str] = NOTHING) -> str:
    """A rule as it is written, its name included."""
    caught = {*names_caught(rule.patterns, rule.rest), rule.name}
    given = {name: text for name, text in given.items() if name not in caught}
    condition = f" if {written(rule.condition, given)}" if rule.condition else ""
    verb = "replace-one" if rule.one_shot else "replace"
    products = written(rule.products, given)
    return f"{_name(rule)}{verb} {_patterns(rule.patterns, rule.rest)} by {products}{condition}"


def _name(rule: Definition) -> str:
    return f"{rule.name} = " if rule.name else ""


def _molecule(lets: tuple[Definition, ...], atoms: tuple[Part, ...], given: Mapping[str, str]) -> str:
    before = ""
    for rule in lets:
        before += f"let {'rec ' if rule.recursive else ''}{definition_text(rule, given)} in "
        given = {name: text for name, text in given.items() if name != rule.name}
    return before + ", ".join(filter(None, (written(atom, given) for atom in atoms)))


def _patterns(patterns: tuple[Part, ...], rest: str | None) -> str:
    return ", ".join([*map(written, patterns), *([f"?{rest}"] if rest else [])])


def _component(part: Part, given: Mapping[str, str]) -> str:
    text = written(part, given)
    return f"({text})" if isinstance(part, TupleOf | Binary) else text


def _operand(part: Part, given: Mapping[str, str]) -> str:
    text = written(part, given)
    return f"({text})" if isinstance(part, Binary | Unary | TupleOf) else text
