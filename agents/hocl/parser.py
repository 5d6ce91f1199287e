"""From text to a chemical program. Every mistake is one line: FILE:LINE:COLUMN, what is wrong, and the mend.

    program  := solution | let [rec] id = rule in program
    solution := < [molecule] >
    molecule := atom , atom ...  |  let [rec] id = rule in molecule
    atom     := expr : expr ...
    expr     := solution | [id =] rule | host expression | ( atom )
    rule     := (replace | replace-one) pattern , pattern ... by molecule [if condition]

Types of variables stand in the patterns, so what can never have a value (`x % "a"`) is refused here.
"""

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, NoReturn

from umwelt.agents.hocl.syntax import (
    Binary,
    Definition,
    Literal,
    Molecule,
    Named,
    Part,
    SolutionOf,
    TupleOf,
    Typed,
    Unary,
    Variable,
    Within,
    quoted,
    rule_integers,
    with_rule_integers,
    written,
)
from umwelt.agents.hocl.terms import MAX_DEPTH, Atom, Solution
from umwelt.agents.hocl.values import atoms_made
from umwelt.sandbox.errors import ProgramError

MAX_TEXT = 1 << 20
MAX_HEIGHT = 120
"""Of an expression, all its operators within one another."""
MAX_PATTERNS = 32
"""Of one rule or one `<...>` in it."""
MAX_DIGITS = 4_000
TYPES = ("int", "float", "string", "bool", "solution", "rule")
NUMBERS = ("int", "float")
WORDS = ("let", "rec", "in", "replace", "replace-one", "by", "if", "true", "false")
LEVELS = {
    "||": 1,
    "&&": 2,
    "==": 3,
    "!=": 3,
    "<": 4,
    "<=": 4,
    ">": 4,
    ">=": 4,
    "+": 5,
    "-": 5,
    "*": 6,
    "/": 6,
    "%": 6,
}
TOKENS = re.compile(
    r"""(?P<space>\s+|//[^\n]*|/\*.*?\*/)
    |(?P<number>(?:\d+\.\d+|\.\d+)(?:[eE][+-]?\d+)?|\d+(?:[eE][+-]?\d+)?)
    |(?P<string>"(?:[^"\\\n]|\\[^\n])*")
    |(?P<word>replace-one\b|[^\W\d]\w*)
    |(?P<sign>::|&&|\|\||==|!=|<=|>=|[<>,:=?()+\-*%!]|/(?!\*))""",
    re.VERBOSE | re.DOTALL | re.ASCII,
)
ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))")
PLAIN_ESCAPES = {"n": "\n", "t": "\t", '"': '"', "\\": "\\"}
UNREADY = "unready"


class Token(NamedTuple):
    """A word, sign, number or string; `at` is where it begins in the text."""

    kind: str
    text: str
    at: int


@dataclass(frozen=True)
class Program:
    """A checked program: started again and again, it begins the same."""

    source: str
    molecule: Molecule

    @cached_property
    def start(self) -> Solution:
        """The solution before anything reacts."""
        with prefix_errors(self.source):
            return atoms_made(self.molecule)[0]

    @property
    def integers(self) -> tuple[int, ...]:
        """The integer literals of its rules, in the order of the text."""
        return tuple(rule_integers(self.molecule))

    def with_integers(self, integers: tuple[int, ...]) -> "Program":
        """The same program with other integers in its rules: as many as `integers` holds."""
        if len(integers) != len(self.integers):
            line = f"{self.source}: {len(integers)} integers for its rules: they hold {len(self.integers)}"
            raise ProgramError(line)
        return Program(self.source, with_rule_integers(self.molecule, iter(integers).__next__))

    def atom(self, text: str, source: str) -> Atom:
        """One more atom, read from text; the program's own names mean in it what they mean in the program."""
        parser = Parser(text, source)
        parser.scope = dict.fromkeys((rule.name for rule in self.molecule.lets), "rule")
        atom, _ = parser.atom()
        parser.end()
        with prefix_errors(source):
            return atoms_made(Molecule(self.molecule.lets, (atom,)))[0]

    def __str__(self) -> str:
        return written(self.molecule)


@contextmanager
def prefix_errors(source: str) -> Iterator[None]:
    """Puts the program's name before what is wrong with it."""
    try:
        yield
    except ProgramError as error:
        line = str(error)
        raise ProgramError(line if line.startswith(f"{source}:") else f"{source}: {line}") from None


def parse(text: str, source: str) -> Program:
    """Read a program; `source` is the file that mistakes are reported under."""
    if len(text) > MAX_TEXT:
        raise ProgramError(f"{source}: {len(text):,} letters: a program has {MAX_TEXT:,} at most")
    parser = Parser(text, source)
    lets = parser.lets()
    if parser.now.text != "<":
        parser.refuse(f"{parser.found} where the solution should begin: write <...>")
    solution, _ = parser.primary()
    parser.end()
    return Program(source, Molecule(lets, (solution,)))


class Parser:
    """Reads one text from left to right; `scope` is the types of the names that mean something here."""

    def __init__(self, text: str, source: str):
        self.text = text
        self.source = source
        self.scope: dict[str, str] = {}
        self.depth = 0
        self.waiting = self._tokens()
        self.now = next(self.waiting)
        self.then = self.now
        self.step()

    def _tokens(self) -> Iterator[Token]:
        at = 0
        while at < len(self.text):
            match = TOKENS.match(self.text, at)
            if match is None:
                self._unreadable(at)
            if match.lastgroup != "space":
                yield Token(match.lastgroup or "", match.group(), at)
            at = match.end()
        while True:
            yield Token("end", "", len(self.text))

    def _unreadable(self, at: int) -> NoReturn:
        rest = self.text[at : at + 2]
        if rest == "/*":
            self.refuse("a remark without an end: write */ behind it", at)
        if rest[0] == '"':
            self.refuse('a text without an end: write " behind it, in the same line', at)
        self.refuse(f"cannot read {rest[0]!r}: take it out", at)

    def place(self, at: int) -> str:
        """FILE:LINE:COLUMN."""
        before = self.text[:at]
        return f"{self.source}:{before.count(chr(10)) + 1}:{at - before.rfind(chr(10))}"

    def refuse(self, line: str, at: int | None = None) -> NoReturn:
        """Say what is wrong at the present token, or elsewhere."""
        raise ProgramError(f"{self.place(self.now.at if at is None else at)}: {line}")

    @property
    def found(self) -> str:
        """The present token, as a mistake names it."""
        if self.now.kind == "end":
            return "the end"
        shown = self.now.text if len(self.now.text) <= 30 else f"{self.now.text[:27]}..."
        return quoted(shown[1:-1] if self.now.kind == "string" else shown)

    def step(self) -> Token:
        """Go on by one token; the one left behind."""
        left = self.now
        self.now, self.then = self.then, next(self.waiting)
        return left

    def take(self, text: str) -> bool:
        """Whether the present token is this one; if so it is taken."""
        if self.now.text != text or self.now.kind == "string":
            return False
        self.step()
        return True

    def need(self, text: str, mend: str) -> None:
        """Take this token, or refuse."""
        if not self.take(text):
            self.refuse(f'{self.found} where "{text}" should be: {mend}')

    def end(self) -> None:
        """Refuse whatever is left."""
        if self.now.kind != "end":
            self.refuse(f"{self.found} behind the end: take it out")

    def name(self, mend: str, wanted: str = "a name") -> str:
        """Take a name."""
        if self.now.kind != "word" or self.now.text in WORDS:
            self.refuse(f"{self.found} where {wanted} should be: {mend}")
        return self.step().text

    @contextmanager
    def deeper(self) -> Iterator[None]:
        """One step further in, for so long."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            self.refuse(f"nested more than {MAX_DEPTH} deep: write it flat")
        yield
        self.depth -= 1

    def built(self, part: Part, at: int) -> Part:
        """The part, unless it is too high for Python's stack."""
        if part.height > MAX_HEIGHT:
            self.refuse(f"more than {MAX_HEIGHT} operators and brackets within one another: write it flat", at)
        return part

    # molecules

    def lets(self) -> tuple[Definition, ...]:
        """Named rules, each known to those after it."""
        found: list[Definition] = []
        while self.take("let"):
            recursive = self.take("rec")
            name = self.name("write let NAME = replace ...")
            self.need("=", f"write let {name} = replace ...")
            if self.now.text not in ("replace", "replace-one"):
                self.refuse(f"{self.found} where a rule should be: let names rules alone, replace ... by ...")
            self.scope = {**self.scope, name: "rule" if recursive else UNREADY}
            found.append(self.rule(name))
            self.scope = {**self.scope, name: "rule"}
            self.need("in", f"write let {name} = ... in <...>")
        return tuple(found)

    def molecule(self, mend: str) -> Molecule:
        """Atoms with commas between them."""
        outside, at = self.scope, self.now.at
        lets = self.lets()
        atoms = [self.item(mend)]
        while self.take(","):
            atoms.append(self.item("write an atom behind the comma, or take it out"))
        self.scope = outside
        made = Molecule(lets, tuple(atoms))
        self.built(made, at)
        return made

    def item(self, mend: str) -> Part:
        """One atom of a molecule, or the rest that a pattern took."""
        if self.now.kind == "word" and self.now.text == "let":
            self.refuse('"let" behind an atom: put it before all atoms of its solution')
        if self.now.kind == "word" and self.scope.get(self.now.text) == "rest" and self.then.text != "=":
            name = self.step().text
            if self.now.text == ":" or (self.now.text in LEVELS and not self.closes()):
                self.refuse(f'"{name}" is many atoms or none: put it into a solution, <{name}>')
            return Variable(name)
        return self.atom(mend)[0]

    def atom(self, mend: str = "write an atom") -> tuple[Part, str]:
        """An expression, or a tuple of them, and its type."""
        at = self.now.at
        first, kind = self.expression(mend)
        if self.now.text != ":":
            return first, kind
        parts = [first]
        while self.take(":"):
            parts.append(self.expression("write what follows in the tuple")[0])
        return self.built(TupleOf(tuple(parts)), at), "tuple"

    def expression(self, mend: str) -> tuple[Part, str]:
        """A rule, named or not, or a host expression."""
        if self.now.text in ("replace", "replace-one") and self.now.kind == "word":
            return self.rule(""), "rule"
        if self.now.kind == "word" and self.then.text == "=" and self.now.text not in WORDS:
            name = self.step().text
            self.step()
            if self.now.text not in ("replace", "replace-one"):
                self.refuse(f"{self.found} where a rule should be: write {name} = replace ..., or == to compare")
            outside = self.scope
            self.scope = {**self.scope, name: "rule"}
            rule = self.rule(name)
            self.scope = outside
            return rule, "rule"
        return self.operation(1, mend)

    # rules

    def rule(self, name: str) -> Definition:
        """`replace ... by ... [if ...]`."""
        at = self.now.at
        with self.deeper():
            one_shot = self.step().text == "replace-one"
            outside = self.scope
            caught: dict[str, str] = {}
            patterns, rest = self.patterns(caught, "write a pattern, as in x::int or ?w")
            if not patterns and rest is None:
                self.refuse("a rule takes something: write a pattern, as in x::int or ?w")
            self.scope = {**outside, **caught}
            self.need("by", "write replace PATTERNS by ATOMS")
            products = self.molecule("a rule makes something; to make nothing, take ?w and write by w")
            condition = self.condition() if self.take("if") else None
            self.scope = outside
        made = Definition(name, one_shot, patterns, rest, products, condition)
        self.built(made, at)
        return made

    def condition(self) -> Part:
        """What must hold."""
        at = self.now.at
        part, kind = self.operation(1, "write a condition, as in x < y")
        if kind != "bool":
            self.refuse(f"a condition is true or false, this is a {kind}: compare it, as in x == 1", at)
        return part

    def patterns(self, caught: dict[str, str], mend: str) -> tuple[tuple[Part, ...], str | None]:
        """Patterns with commas between them; `caught` gains their variables."""
        found: list[Part] = []
        rest: str | None = None
        while True:
            at = self.now.at
            if self.take("?"):
                if rest is not None:
                    self.refuse(f'a second rest: "?{rest}" takes all others already', at)
                rest = self.name("write ?NAME")
                self.catch(caught, rest, "rest", at)
            else:
                found.append(self.pattern(caught, mend))
            if len(found) > MAX_PATTERNS:
                self.refuse(f"more than {MAX_PATTERNS} patterns side by side: use several rules", at)
            if not self.take(","):
                return tuple(found), rest

    def pattern(self, caught: dict[str, str], mend: str) -> Part:
        """One pattern, or a tuple of them."""
        at = self.now.at
        parts = [self.component(caught, mend)]
        while self.take(":"):
            parts.append(self.component(caught, "write what follows in the tuple"))
        return parts[0] if len(parts) == 1 else self.built(TupleOf(tuple(parts)), at)

    def component(self, caught: dict[str, str], mend: str) -> Part:
        """What stands between the colons of a pattern."""
        at = self.now.at
        if self.take("("):
            with self.deeper():
                inner = self.pattern(caught, mend)
            self.need(")", "close the bracket")
            return inner
        if self.take("<"):
            with self.deeper():
                patterns, rest = ((), None) if self.now.text == ">" else self.patterns(caught, mend)
            self.need(">", "close the solution")
            return self.built(Within(patterns, rest), at)
        if self.now.kind in ("number", "string") or self.now.text in ("-", "true", "false"):
            return self.literal()[0]
        name = self.name(mend, "a pattern")
        if self.take("="):
            variable = self.name(f"write {name}=r to catch the rule of that name as r")
            self.catch(caught, variable, "rule", at)
            return Named(name, variable)
        if not self.take("::"):
            self.refuse(f'"{name}" has no type: write {name}::int ({", ".join(TYPES[1:])})', at)
        kind = self.now.text.lower()
        if kind not in TYPES:
            self.refuse(f"{self.found} is no type: use {', '.join(TYPES)}")
        self.step()
        self.catch(caught, name, kind, at)
        return Typed(name, kind)

    def catch(self, caught: dict[str, str], name: str, kind: str, at: int) -> None:
        """Enter a variable; twice the same means equality, of one type."""
        before = caught.get(name)
        caught[name] = kind
        if before is not None and (before != kind or kind == "rest"):
            self.refuse(f'"{name}" stands for {before} already: use another name', at)

    # host expressions

    def closes(self) -> bool:
        """Whether a `>` ends a solution: nothing that could be compared stands behind it."""
        after = self.then
        operand = after.kind in ("number", "string") or after.text in ("(", "-", "!", "true", "false")
        return self.now.text == ">" and not (operand or (after.kind == "word" and after.text not in WORDS))

    def operation(self, level: int, mend: str) -> tuple[Part, str]:
        """Operators of this level and those that bind more tightly."""
        left, kind = self.operand(mend)
        while self.now.kind == "sign" and LEVELS.get(self.now.text, 0) >= level and not self.closes():
            sign = self.step()
            right, other = self.operation(LEVELS[sign.text] + 1, f"write what follows {sign.text}")
            kind = self.result(sign, kind, other)
            left = self.built(Binary(sign.text, left, right, self.place(sign.at)), sign.at)
        return left, kind

    def result(self, sign: Token, left: str, right: str) -> str:
        """The type of an operation, if it can have a value."""
        both_numbers = left in NUMBERS and right in NUMBERS
        both_texts = left == right == "string"
        if sign.text in ("&&", "||") and left == right == "bool":
            return "bool"
        if sign.text in ("==", "!=") and (both_numbers or left == right):
            return "bool"
        if sign.text in ("<", "<=", ">", ">=") and (both_numbers or both_texts):
            return "bool"
        if sign.text in ("+", "-", "*", "/", "%") and both_numbers:
            return "int" if left == right == "int" else "float"
        if sign.text == "+" and both_texts:
            return "string"
        self.refuse(f"{left} {sign.text} {right} has no value: use {self._fitting(sign.text)}", sign.at)

    @staticmethod
    def _fitting(sign: str) -> str:
        if sign in ("&&", "||"):
            return "true and false on both sides"
        return {
            "==": "one type on both sides",
            "!=": "one type on both sides",
            "+": "two numbers or two strings",
        }.get(sign, "two numbers" if sign in "-*/%" else "two numbers or two strings")

    def operand(self, mend: str) -> tuple[Part, str]:
        """What an operator works on; `-` and `!` bind most tightly."""
        sign = self.now
        if sign.kind != "sign" or sign.text not in ("-", "!"):
            return self.primary(mend)
        if sign.text == "-" and self.then.kind == "number":
            return self.literal()
        self.step()
        with self.deeper():
            part, kind = self.operand("write what follows it")
        if (sign.text == "!" and kind != "bool") or (sign.text == "-" and kind not in NUMBERS):
            wanted = "true or false" if sign.text == "!" else "a number"
            self.refuse(f"{sign.text}{kind} has no value: use {wanted}", sign.at)
        return self.built(Unary(sign.text, part, self.place(sign.at)), sign.at), kind

    def primary(self, mend: str = "write a solution") -> tuple[Part, str]:
        """A literal, a name, a solution, or an atom in brackets."""
        at = self.now.at
        if self.now.kind in ("number", "string") or self.now.text in ("true", "false"):
            return self.literal()
        if self.take("("):
            with self.deeper():
                inner = self.atom()
            self.need(")", "close the bracket")
            return inner
        if self.take("<"):
            with self.deeper():
                empty = Molecule((), ())
                molecule = empty if self.now.text == ">" else self.molecule("write an atom, or > to end the solution")
            self.need(">", "close the solution, or write a comma before the next atom")
            return self.built(SolutionOf(molecule), at), "solution"
        name = self.name(mend, "an atom")
        kind = self.scope.get(name)
        if kind is None:
            self.refuse(f'"{name}" means nothing here: catch it in a pattern, or name a rule so by let', at)
        if kind == UNREADY:
            self.refuse(f'"{name}" stands in its own rule: write let rec {name} = ...', at)
        if kind == "rest":
            self.refuse(f'"{name}" is many atoms or none: let it stand alone, or put it into a solution, <{name}>', at)
        return Variable(name), kind

    def literal(self) -> tuple[Part, str]:
        """A number, which may have a sign, a string, `true` or `false`."""
        negative = self.take("-")
        token = self.now
        if negative and token.kind != "number":
            self.refuse(f"{self.found} where a number should be: write one behind -")
        self.step()
        if token.kind == "word":
            return Literal(token.text == "true"), "bool"
        if token.kind == "string":
            return Literal(ESCAPE.sub(lambda match: self._escaped(match, token.at), token.text[1:-1])), "string"
        sign = -1 if negative else 1
        if token.text.isdecimal():
            if len(token.text) > MAX_DIGITS:
                self.refuse(f"a number of {len(token.text):,} digits: {MAX_DIGITS:,} at most", token.at)
            return Literal(sign * int(token.text)), "int"
        value = float(token.text)
        if math.isinf(value):
            self.refuse(f"{token.text} is too large for a float: use a smaller one", token.at)
        return Literal(sign * value + 0.0), "float"

    def _escaped(self, match: re.Match[str], at: int) -> str:
        code = match.group(1) or match.group(2)
        letter = PLAIN_ESCAPES.get(match.group(3)) if code is None else ""
        number = int(code or "0", 16)
        if letter is None or number > 0x10FFFF or 0xD800 <= number < 0xE000:
            shown, place = quoted(match.group()), at + 1 + match.start()
            self.refuse(f'{shown} is no letter: write \\", \\\\, \\n, \\t or \\u and four digits', place)
        return letter or chr(number)
