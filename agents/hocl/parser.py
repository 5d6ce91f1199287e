"""Parses programs of the chemical language HOCL.

Error messages have one line: FILE:LINE:COLUMN, the problem, and how to fix it.

The grammar, where `[x]` is optional, `{ x }` occurs any number of times, and `x | y` are alternatives. The methods of
`Parser` have the names of these rules; the function `parse` parses `program`.

    program    := lets primary                 the primary is a solution
    lets       := { let [rec] NAME = rule in }
    molecule   := lets item { , item }
    item       := atom | NAME                  the name of a rest pattern `?NAME`
    atom       := expression { : expression }
    expression := [NAME =] rule | operation
    rule       := (replace | replace-one) patterns by molecule [if condition]
    condition  := operation
    patterns   := (pattern | ?NAME) { , (pattern | ?NAME) }
    pattern    := component { : component }
    component  := ( pattern ) | < [patterns] > | literal | NAME = NAME | NAME :: TYPE
    operation  := operand { OPERATOR operand } with the precedences in `LEVELS`
    operand    := (- | !) operand | primary
    primary    := literal | ( atom ) | < [molecule] > | NAME
    literal    := [-] NUMBER | STRING | true | false

Patterns declare the types of their variables, so that the parser can reject expressions with operands of wrong types,
such as `x % "a"`.

The type of an expression is one of `TYPES`, "tuple", "rest" (the atoms that a rest pattern `?w` matched), or `UNREADY`
(a rule inside its own definition by `let` without `rec`). The parameter `fix` of many methods is advice on how to
correct the program; it ends the error message if the current token cannot begin the expected item.
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
    Part,
    RulePattern,
    SolutionExpression,
    SolutionPattern,
    TupleExpression,
    Unary,
    Variable,
    VariablePattern,
    format_part,
    quote,
    rule_integers,
    with_rule_integers,
)
from umwelt.agents.hocl.terms import MAX_DEPTH, Atom, Solution
from umwelt.agents.hocl.values import evaluate_molecule
from umwelt.sandbox.errors import ProgramError

MAX_TEXT = 1 << 20
"""The maximum length of a program text, in characters."""
MAX_HEIGHT = 120
"""The maximum height of the syntax tree of an expression, molecule or rule."""
MAX_PATTERNS = 32
"""The maximum number of patterns of a rule, or of a solution pattern `<...>`."""
MAX_DIGITS = 4_000
"""The maximum number of digits of an integer literal."""
TYPES = ("int", "float", "string", "bool", "solution", "rule")
"""The types that patterns can declare, as in `x::int`."""
NUMBERS = ("int", "float")
WORDS = ("let", "rec", "in", "replace", "replace-one", "by", "if", "true", "false")
"""Reserved words, which cannot be names."""
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
"""The precedence of each binary operator; operators of higher precedence bind tighter."""
TOKENS = re.compile(
    r"""(?P<space>\s+|//[^\n]*|/\*.*?\*/)
    |(?P<number>(?:\d+\.\d+|\.\d+)(?:[eE][+-]?\d+)?|\d+(?:[eE][+-]?\d+)?)
    |(?P<string>"(?:[^"\\\n]|\\[^\n])*")
    |(?P<word>replace-one\b|[^\W\d]\w*)
    |(?P<sign>::|&&|\|\||==|!=|<=|>=|[<>,:=?()+\-*%!]|/(?!\*))""",
    re.VERBOSE | re.DOTALL | re.ASCII,
)
"""Matches one token, a space or a comment; the name of the group that matches is the token's kind."""
ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))")
PLAIN_ESCAPES = {"n": "\n", "t": "\t", '"': '"', "\\": "\\"}
"""The characters that a backslash and one letter stand for in a string literal."""
UNREADY = "unready"
"""The type of a rule's name inside its own definition by `let` without `rec`, where it cannot be used."""


class Token(NamedTuple):
    """A token of the program text. `at` is its offset in the text, in characters.

    `kind` is "number", "string", "word" (a name or reserved word), "sign" (an operator or bracket), or "end" after the
    last token.
    """

    kind: str
    text: str
    at: int


@dataclass(frozen=True)
class Program:
    """A parsed program. `source` is its file name, and `molecule` its syntax tree."""

    source: str
    molecule: Molecule

    @cached_property
    def start(self) -> Solution:
        """The initial solution, before any reaction."""
        with prefix_errors(self.source):
            return evaluate_molecule(self.molecule)[0]

    @property
    def integers(self) -> tuple[int, ...]:
        """The integer literals in the rules of the program, in the order of the program text."""
        return tuple(rule_integers(self.molecule))

    def with_integers(self, integers: tuple[int, ...]) -> "Program":
        """Returns a copy of the program in which `integers` replace the integer literals in its rules.

        Raises `ProgramError` if their number differs.
        """
        if len(integers) != len(self.integers):
            line = f"{self.source}: {len(integers)} integers for its rules: give {len(self.integers)}"
            raise ProgramError(line)
        return Program(self.source, with_rule_integers(self.molecule, iter(integers).__next__))

    def atom(self, text: str, source: str) -> Atom:
        """Parses and evaluates a single atom, which can use the rules that the program defines by `let`.

        `source` is the file name for error messages. Raises `ProgramError` if `text` is not a valid atom.
        """
        parser = Parser(text, source)
        parser.scope = dict.fromkeys((rule.name for rule in self.molecule.lets), "rule")
        atom, _ = parser.atom()
        parser.end()
        with prefix_errors(source):
            return evaluate_molecule(Molecule(self.molecule.lets, (atom,)))[0]

    def __str__(self) -> str:
        return format_part(self.molecule)


@contextmanager
def prefix_errors(source: str) -> Iterator[None]:
    """Puts `source: ` before the message of a `ProgramError` raised in the block, unless it begins with `source:`."""
    try:
        yield
    except ProgramError as error:
        line = str(error)
        raise ProgramError(line if line.startswith(f"{source}:") else f"{source}: {line}") from None


def parse(text: str, source: str) -> Program:
    """Parses a program. `source` is the file name for error messages. Raises `ProgramError` if it is not valid."""
    if len(text) > MAX_TEXT:
        raise ProgramError(f"{source}: {len(text):,} letters: use at most {MAX_TEXT:,}")
    parser = Parser(text, source)
    lets = parser.lets()
    if parser.now.text != "<":
        parser.refuse(f"{parser.found} where the solution should begin: write <...>")
    solution, _ = parser.primary()
    parser.end()
    return Program(source, Molecule(lets, (solution,)))


class Parser:
    """A recursive-descent parser for one text. Each method that parses an item advances to the token after the item.

    `now` is the current token and `then` the one after it; `scope` maps the names that are defined at the current token
    to their types. `depth` is the current number of nested brackets, rules and unary operators.
    """

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
        """Yields the tokens of the text without spaces and comments, then tokens of the kind "end" without limit."""
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
        """Raises `ProgramError` for the text at the offset `at`, where no token begins."""
        rest = self.text[at : at + 2]
        if rest == "/*":
            self.refuse("a comment without an end: write */ after it", at)
        if rest[0] == '"':
            self.refuse('a string without an end: write " after it, in the same line', at)
        self.refuse(f"cannot read {rest[0]!r}: take it out", at)

    def place(self, at: int) -> str:
        """Returns FILE:LINE:COLUMN of the offset `at` in the text."""
        before = self.text[:at]
        return f"{self.source}:{before.count(chr(10)) + 1}:{at - before.rfind(chr(10))}"

    def refuse(self, line: str, at: int | None = None) -> NoReturn:
        """Raises `ProgramError` with the message `line`, at the current token or at the offset `at`."""
        raise ProgramError(f"{self.place(self.now.at if at is None else at)}: {line}")

    @property
    def found(self) -> str:
        """The current token as text for error messages, in quotes and shortened to 30 characters; or "the end"."""
        if self.now.kind == "end":
            return "the end"
        shown = self.now.text if len(self.now.text) <= 30 else f"{self.now.text[:27]}..."
        return quote(shown[1:-1] if self.now.kind == "string" else shown)

    def step(self) -> Token:
        """Advances by one token. Returns the token that was current before."""
        token = self.now
        self.now, self.then = self.then, next(self.waiting)
        return token

    def take(self, text: str) -> bool:
        """Advances if the current token is `text` and not a string literal. Returns whether it is."""
        if self.now.text != text or self.now.kind == "string":
            return False
        self.step()
        return True

    def need(self, text: str, fix: str) -> None:
        """Advances if the current token is `text`; otherwise raises `ProgramError`, whose message ends with `fix`."""
        if not self.take(text):
            self.refuse(f'{self.found} where "{text}" should be: {fix}')

    def end(self) -> None:
        """Raises `ProgramError` unless all tokens have been parsed."""
        if self.now.kind != "end":
            self.refuse(f"{self.found} after the end: take it out")

    def name(self, fix: str, wanted: str = "a name") -> str:
        """Parses a name that is not a reserved word, and returns it.

        Otherwise raises `ProgramError`; `wanted` describes the expected item in its message, which ends with `fix`.
        """
        if self.now.kind != "word" or self.now.text in WORDS:
            self.refuse(f"{self.found} where {wanted} should be: {fix}")
        return self.step().text

    @contextmanager
    def deeper(self) -> Iterator[None]:
        """Increases `depth` by one for the duration of the block. Raises `ProgramError` if it exceeds `MAX_DEPTH`."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            self.refuse(f"nested more than {MAX_DEPTH} deep: write it flat")
        yield
        self.depth -= 1

    def check_height(self, part: Part, at: int) -> Part:
        """Returns `part`. Raises `ProgramError`, at the offset `at`, if the height of its tree exceeds `MAX_HEIGHT`."""
        if part.height > MAX_HEIGHT:
            self.refuse(f"more than {MAX_HEIGHT} nested operators and brackets: write it flat", at)
        return part

    # molecules

    def lets(self) -> tuple[Definition, ...]:
        """Parses `{ let [rec] NAME = rule in }` and returns the rules, an empty tuple if there are none.

        Adds the names of the rules to `scope`; a caller that limits their use restores the former `scope` afterwards.
        """
        rules: list[Definition] = []
        while self.take("let"):
            recursive = self.take("rec")
            name = self.name("write let NAME = replace ...")
            self.need("=", f"write let {name} = replace ...")
            if self.now.text not in ("replace", "replace-one"):
                self.refuse(f"{self.found} where a rule should be: let names only rules, replace ... by ...")
            self.scope = {**self.scope, name: "rule" if recursive else UNREADY}
            rules.append(self.rule(name))
            self.scope = {**self.scope, name: "rule"}
            self.need("in", f"write let {name} = ... in <...>")
        return tuple(rules)

    def molecule(self, fix: str) -> Molecule:
        """Parses a molecule, `lets item { , item }`. The names of its rules are defined only inside the molecule."""
        outside, at = self.scope, self.now.at
        lets = self.lets()
        atoms = [self.item(fix)]
        while self.take(","):
            atoms.append(self.item("write an atom after the comma, or take it out"))
        self.scope = outside
        molecule = Molecule(lets, tuple(atoms))
        self.check_height(molecule, at)
        return molecule

    def item(self, fix: str) -> Part:
        """Parses one item of a molecule, `atom | NAME`, where NAME is the variable of a rest pattern.

        Such a variable stands for any number of atoms, so it cannot be an operand or a part of a tuple.
        """
        if self.now.kind == "word" and self.now.text == "let":
            self.refuse('"let" after an atom: put it before all atoms of its solution')
        if self.now.kind == "word" and self.scope.get(self.now.text) == "rest" and self.then.text != "=":
            name = self.step().text
            if self.now.text == ":" or (self.now.text in LEVELS and not self.closes()):
                self.refuse(f'"{name}" is many atoms or none: put it into a solution, <{name}>')
            return Variable(name)
        return self.atom(fix)[0]

    def atom(self, fix: str = "write an atom") -> tuple[Part, str]:
        """Parses an atom, `expression { : expression }`. Returns its syntax tree and its type.

        Two or more expressions are a tuple; the type of a single one is that of the expression.
        """
        at = self.now.at
        first, kind = self.expression(fix)
        if self.now.text != ":":
            return first, kind
        parts = [first]
        while self.take(":"):
            parts.append(self.expression("write what follows in the tuple")[0])
        return self.check_height(TupleExpression(tuple(parts)), at), "tuple"

    def expression(self, fix: str) -> tuple[Part, str]:
        """Parses an expression, `[NAME =] rule | operation`. Returns its syntax tree and its type.

        The name of a rule is defined only inside that rule.
        """
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
        return self.operation(1, fix)

    # rules

    def rule(self, name: str) -> Definition:
        """Parses `(replace | replace-one) patterns by molecule [if condition]` from the word `replace` on.

        `name` is the name of the rule, which was parsed before, or an empty string.
        """
        at = self.now.at
        with self.deeper():
            one_shot = self.step().text == "replace-one"
            outside = self.scope
            types: dict[str, str] = {}
            patterns, rest = self.patterns(types, "write a pattern, as in x::int or ?w")
            if not patterns and rest is None:
                self.refuse("a rule takes something: write a pattern, as in x::int or ?w")
            self.scope = {**outside, **types}
            self.need("by", "write replace PATTERNS by ATOMS")
            products = self.molecule("a rule makes something; to make nothing, take ?w and write by w")
            condition = self.condition() if self.take("if") else None
            self.scope = outside
        rule = Definition(name, one_shot, patterns, rest, products, condition)
        self.check_height(rule, at)
        return rule

    def condition(self) -> Part:
        """Parses the condition of a rule, an operation. Raises `ProgramError` if its type is not bool."""
        at = self.now.at
        part, kind = self.operation(1, "write a condition, as in x < y")
        if kind != "bool":
            self.refuse(f"a condition is true or false, this is a {kind}: compare it, as in x == 1", at)
        return part

    def patterns(self, types: dict[str, str], fix: str) -> tuple[tuple[Part, ...], str | None]:
        """Parses `(pattern | ?NAME) { , (pattern | ?NAME) }` and adds the types of all variables to `types`.

        Returns the patterns and the variable of the rest pattern `?NAME`, which is None if there is no rest pattern.
        Raises `ProgramError` for a second rest pattern.
        """
        patterns: list[Part] = []
        rest: str | None = None
        while True:
            at = self.now.at
            if self.take("?"):
                if rest is not None:
                    self.refuse(f'a second rest: "?{rest}" takes all others already', at)
                rest = self.name("write ?NAME")
                self.bind(types, rest, "rest", at)
            else:
                patterns.append(self.pattern(types, fix))
            if len(patterns) > MAX_PATTERNS:
                self.refuse(f"more than {MAX_PATTERNS} patterns side by side: use several rules", at)
            if not self.take(","):
                return tuple(patterns), rest

    def pattern(self, types: dict[str, str], fix: str) -> Part:
        """Parses a pattern, `component { : component }`, and adds the types of its variables to `types`.

        Two or more components are a pattern for a tuple.
        """
        at = self.now.at
        parts = [self.component(types, fix)]
        while self.take(":"):
            parts.append(self.component(types, "write what follows in the tuple"))
        return parts[0] if len(parts) == 1 else self.check_height(TupleExpression(tuple(parts)), at)

    def component(self, types: dict[str, str], fix: str) -> Part:
        """Parses a component of a pattern and adds the types of its variables to `types`.

        The grammar is `( pattern ) | < [patterns] > | literal | NAME = NAME | NAME :: TYPE`. The last two forms bind a
        variable to a rule with a given name, as in `max=r`, and to an atom of a given type, as in `x::int`.
        """
        at = self.now.at
        if self.take("("):
            with self.deeper():
                inner = self.pattern(types, fix)
            self.need(")", "close the bracket")
            return inner
        if self.take("<"):
            with self.deeper():
                patterns, rest = ((), None) if self.now.text == ">" else self.patterns(types, fix)
            self.need(">", "close the solution")
            return self.check_height(SolutionPattern(patterns, rest), at)
        if self.now.kind in ("number", "string") or self.now.text in ("-", "true", "false"):
            return self.literal()[0]
        name = self.name(fix, "a pattern")
        if self.take("="):
            variable = self.name(f"write {name}=r to bind the rule of that name to r")
            self.bind(types, variable, "rule", at)
            return RulePattern(name, variable)
        if not self.take("::"):
            self.refuse(f'"{name}" has no type: write {name}::int ({", ".join(TYPES[1:])})', at)
        kind = self.now.text.lower()
        if kind not in TYPES:
            self.refuse(f"{self.found} is not a type: use {', '.join(TYPES)}")
        self.step()
        self.bind(types, name, kind, at)
        return VariablePattern(name, kind)

    def bind(self, types: dict[str, str], name: str, kind: str, at: int) -> None:
        """Adds the variable `name` of type `kind`, whose pattern begins at the offset `at`, to `types`.

        A variable can occur several times, which means that the matched atoms are equal. Raises `ProgramError` if its
        occurrences differ in type, or if it is the variable of a rest pattern.
        """
        before = types.get(name)
        types[name] = kind
        if before is not None and (before != kind or kind == "rest"):
            self.refuse(f'"{name}" stands for {before} already: use another name', at)

    # expressions

    def closes(self) -> bool:
        """Returns whether the current token is a `>` that ends a solution, rather than the operator "greater than".

        It is the operator if the next token can begin an operand: a number, a string, a name, `true`, `false`, `(`, `-`
        or `!`.
        """
        after = self.then
        operand = after.kind in ("number", "string") or after.text in ("(", "-", "!", "true", "false")
        return self.now.text == ">" and not (operand or (after.kind == "word" and after.text not in WORDS))

    def operation(self, level: int, fix: str) -> tuple[Part, str]:
        """Parses an operation whose operators have the precedence `level` or a higher one. Returns its tree and type.

        The grammar is `operand { OPERATOR operation }`, where the right operation has only operators of higher
        precedence than OPERATOR; so operators of equal precedence are applied from left to right.
        """
        left, kind = self.operand(fix)
        while self.now.kind == "sign" and LEVELS.get(self.now.text, 0) >= level and not self.closes():
            sign = self.step()
            right, other = self.operation(LEVELS[sign.text] + 1, f"write what follows {sign.text}")
            kind = self.result(sign, kind, other)
            left = self.check_height(Binary(sign.text, left, right, self.place(sign.at)), sign.at)
        return left, kind

    def result(self, sign: Token, left: str, right: str) -> str:
        """Returns the type of the result of operator `sign` for operands of types `left` and `right`.

        Raises `ProgramError` if the operator is not defined for these types.
        """
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
        """Returns a description of the operands for which the operator `sign` is defined, for error messages."""
        if sign in ("&&", "||"):
            return "true and false on both sides"
        return {
            "==": "one type on both sides",
            "!=": "one type on both sides",
            "+": "two numbers or two strings",
        }.get(sign, "two numbers" if sign in "-*/%" else "two numbers or two strings")

    def operand(self, fix: str) -> tuple[Part, str]:
        """Parses an operand, `(- | !) operand | primary`. Returns its syntax tree and its type."""
        sign = self.now
        if sign.kind != "sign" or sign.text not in ("-", "!"):
            return self.primary(fix)
        if sign.text == "-" and self.then.kind == "number":
            return self.literal()
        self.step()
        with self.deeper():
            part, kind = self.operand("write what follows it")
        if (sign.text == "!" and kind != "bool") or (sign.text == "-" and kind not in NUMBERS):
            wanted = "true or false" if sign.text == "!" else "a number"
            self.refuse(f"{sign.text}{kind} has no value: use {wanted}", sign.at)
        return self.check_height(Unary(sign.text, part, self.place(sign.at)), sign.at), kind

    def primary(self, fix: str = "write a solution") -> tuple[Part, str]:
        """Parses `literal | ( atom ) | < [molecule] > | NAME`. Returns its syntax tree and its type.

        NAME must be in `scope`: a variable of a pattern, or the name of a rule. Raises `ProgramError` if it is not, or
        if it is the variable of a rest pattern, which stands for several atoms.
        """
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
            return self.check_height(SolutionExpression(molecule), at), "solution"
        name = self.name(fix, "an atom")
        kind = self.scope.get(name)
        if kind is None:
            self.refuse(f'"{name}" is not defined here: bind it in a pattern, or name a rule by let', at)
        if kind == UNREADY:
            self.refuse(f'"{name}" is used in its own rule: write let rec {name} = ...', at)
        if kind == "rest":
            self.refuse(f'"{name}" is many atoms or none: let it stand alone, or put it into a solution, <{name}>', at)
        return Variable(name), kind

    def literal(self) -> tuple[Part, str]:
        """Parses a literal, `[-] NUMBER | STRING | true | false`. Returns its syntax tree and its type."""
        negative = self.take("-")
        token = self.now
        if negative and token.kind != "number":
            self.refuse(f"{self.found} where a number should be: write one after -")
        self.step()
        if token.kind == "word":
            return Literal(token.text == "true"), "bool"
        if token.kind == "string":
            return Literal(ESCAPE.sub(lambda match: self._escaped(match, token.at), token.text[1:-1])), "string"
        sign = -1 if negative else 1
        if token.text.isdecimal():
            if len(token.text) > MAX_DIGITS:
                self.refuse(f"a number of {len(token.text):,} digits: use at most {MAX_DIGITS:,}", token.at)
            return Literal(sign * int(token.text)), "int"
        value = float(token.text)
        if math.isinf(value):
            self.refuse(f"{token.text} is too large for a float: use a smaller one", token.at)
        return Literal(sign * value + 0.0), "float"

    def _escaped(self, match: re.Match[str], at: int) -> str:
        """Returns the character that an escape sequence in a string literal stands for.

        `match` is a match of `ESCAPE` in the text between the quotes, and `at` the offset of the opening quote. Raises
        `ProgramError` for an unknown sequence or a number that is not a character.
        """
        code = match.group(1) or match.group(2)
        letter = PLAIN_ESCAPES.get(match.group(3)) if code is None else ""
        number = int(code or "0", 16)
        if letter is None or number > 0x10FFFF or 0xD800 <= number < 0xE000:
            shown, place = quote(match.group()), at + 1 + match.start()
            self.refuse(f'{shown} is not a letter: write \\", \\\\, \\n, \\t or \\u and four digits', place)
        return letter or chr(number)
