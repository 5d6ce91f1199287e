"""`@compiled`: the body of a `respond` made into one compiled loop over many beings.

The body is read as syntax and written anew with `self.fear` as an entry of a column, `see.touch` as an entry of the
stimuli and `Drives(...)` as a tuple; then numba compiles it. So `self` and `see` may only occur as `self.name` and
`see.name`.
"""

import ast
import copy
import inspect
import textwrap
import types
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numba
import numpy as np

from umwelt.agents.body.interface import DRIVES, STIMULI
from umwelt.agents.species.species import Column, Drives, failed, no_number, undeclared, weighed
from umwelt.sandbox.columns import Schema
from umwelt.sandbox.dice import below, draw
from umwelt.sandbox.errors import SpeciesError
from umwelt.sandbox.kernel import crew
from umwelt.sandbox.units import ONE

ROWS_A_PASS = 65_536
EDGES = {"y_fixed": 0, "x_fixed": 1}
"""Positions are told in the world's coordinates: where the window begins, and how large the world is, by axis."""


@numba.njit(nogil=True)
def _whole(value, low, high, trouble, number):
    """A value cut to a whole number that fits its column; `trouble[0]` tells which column it did not fit."""
    if not (low - 1 < value < high + 1):  # what is not a number fails too
        trouble[0] = number
        return np.int64(low)
    return np.int64(value)


@numba.njit(nogil=True)
def _next(dice):
    """The next draw of a being; `dice: int64[5]` holds seed, tick, being, purpose and the index of the next draw."""
    drawn = draw(dice[0], dice[1], dice[2], dice[3], dice[4])
    dice[4] += 1
    return drawn


@numba.njit(nogil=True)
def _chance(dice):
    return (_next(dice) >> 10) * 2.0**-53


@numba.njit(nogil=True)
def _integer(dice, limit, trouble):
    if not 1 <= limit <= 1 << 31:
        trouble[2] = 1
        return np.int64(0)
    return below(_next(dice), np.int64(limit))


@numba.njit(nogil=True)
def _border(value, trouble, number):
    """A drive as the laws take it: rounded to 1/1024 and clamped; `trouble[1]` tells which one is not a number."""
    if np.isnan(value):
        trouble[1] = number
        return np.int64(0)
    return np.int64(np.rint(min(max(value, -1.0), 1.0) * ONE))


def _made(source: str, name: str, names: dict[str, Any]) -> Any:
    """A function from generated text, compiled by numba."""
    exec(compile(source, f"<{name}>", "exec"), names)
    return numba.njit(nogil=True)(names[name])


_ARGUMENTS = ", ".join(f"{name}=0.0" for name in DRIVES)
_FLOATS = ", ".join(f"float({name})" for name in DRIVES)
_SHARES = ", ".join(f"{name} / {float(ONE)}" for name in DRIVES)
_drives = _made(f"def drives({_ARGUMENTS}):\n    return ({_FLOATS})\n", "drives", {})
_drives_raw = _made(f"def drives_raw({_ARGUMENTS}):\n    return ({_SHARES})\n", "drives_raw", {})


@dataclass
class Rewriter(ast.NodeTransformer):
    """Writes a body anew, and notes which columns it needs."""

    cls: type
    schema: Schema
    own: dict[str, Column]
    names: dict[str, Any]
    me: str
    see: str
    columns: list[str] = field(default_factory=list)
    written: dict[int, str] = field(default_factory=dict)

    def error(self, node: ast.AST, line: str) -> SpeciesError:
        return SpeciesError(f"species {self.cls.__name__}, line {getattr(node, 'lineno', 0)} of respond: {line}")

    def text(self, source: str, node: ast.AST) -> ast.expr:
        return ast.copy_location(ast.parse(source, mode="eval").body, node)

    def known(self, node: ast.AST) -> Any:
        """What a name or dotted name stands for outside the body, or None."""
        if isinstance(node, ast.Name):
            return self.names.get(node.id)
        if isinstance(node, ast.Attribute):
            if isinstance(node.value, ast.Name) and node.value.id == self.me:
                return getattr(self.cls, node.attr, None)
            return getattr(self.known(node.value), node.attr, None)
        return None

    def is_see(self, node: ast.AST) -> bool:
        return isinstance(node, ast.Name) and node.id == self.see

    def is_dice(self, node: ast.AST) -> bool:
        return isinstance(node, ast.Attribute) and node.attr == "dice" and self.is_me(node.value)

    def is_me(self, node: ast.AST) -> bool:
        return isinstance(node, ast.Name) and node.id == self.me

    def stimulus(self, node: ast.Attribute) -> str:
        if node.attr not in STIMULI:
            raise self.error(node, f'"{node.attr}" is no stimulus that a compiled body can read')
        return f"np_int64(stimuli[row, {STIMULI.index(node.attr)}])"

    def column(self, name: str) -> str:
        """The parameter that a column comes in as."""
        if name not in self.columns:
            self.columns.append(name)
        return f"column_{name}"

    def visit_Call(self, node: ast.Call) -> ast.AST:
        called = node.func
        if self.is_dice(called):
            return self.text("_chance(dice)", node)
        if isinstance(called, ast.Attribute):
            if self.is_dice(called.value) and called.attr == "integer":
                call = self.text("_integer(dice, None, trouble)", node)
                call.args[1] = self.visit(node.args[0])  # type: ignore[attr-defined]
                return call
            if self.is_see(called.value) and called.attr == "dot":
                return self.dot(node)
            if called.attr == "raw" and self.known(called.value) is Drives:
                node.func = self.text("_drives_raw", called)
                return self.generic_visit(node)
        if self.known(called) is Drives:
            node.func = self.text("_drives", called)
        return self.generic_visit(node)

    def dot(self, node: ast.Call) -> ast.expr:
        weights = self.known(node.args[0])
        if weights is None:
            raise self.error(node, "see.dot needs weights with a name outside the body, or of the class")
        terms = [f"{weight} * np_int64(stimuli[row, {at}])" for at, weight in weighed(weights)]
        return self.text(f"({' + '.join(terms) or 'np_int64(0)'})", node)

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        if isinstance(node.value, ast.Attribute) and node.value.attr == "raw" and self.is_see(node.value.value):
            return self.text(self.stimulus(node), node)
        if self.is_see(node.value):
            return self.text(f"({self.stimulus(node)} / {float(ONE)})", node)
        if self.is_me(node.value):
            return self.text(self.read(node), node)
        return self.generic_visit(node)

    def read(self, node: ast.Attribute) -> str:
        """A number of the being's own, or a constant of its class."""
        place = readable(self.schema, node.attr)
        if place is not None:
            name, part = place
            entry = f"np_int64({self.column(name)}[{'row' if part is None else f'row, {part}'}])"
            if name in EDGES:
                return f"(({entry} + edges[{2 * EDGES[name]}]) % edges[{2 * EDGES[name] + 1}])"
            return entry
        constant = getattr(self.cls, node.attr, None)
        if isinstance(constant, bool | int | float):
            return repr(constant)
        raise self.error(node, f"self.{node.attr} is no number of its own that a compiled body can read")

    def visit_Assign(self, node: ast.Assign) -> ast.AST | list[ast.stmt]:
        mine = [target for target in node.targets if isinstance(target, ast.Attribute) and self.is_me(target.value)]
        if not mine:
            return self.generic_visit(node)
        first = ast.copy_location(ast.Assign([ast.Name("_value", ast.Store())], self.visit(node.value)), node)
        statements: list[ast.stmt] = [first]
        others = [self.visit(target) for target in node.targets if target not in mine]
        if others:
            statements.append(ast.copy_location(ast.Assign(others, ast.Name("_value", ast.Load())), node))
        for target in mine:
            statements.append(ast.copy_location(ast.parse(self.write(target.attr)).body[0], node))
        return statements

    def visit_AugAssign(self, node: ast.AugAssign) -> Any:
        if not (isinstance(node.target, ast.Attribute) and self.is_me(node.target.value)):
            return self.generic_visit(node)
        before = copy.deepcopy(node.target)
        before.ctx = ast.Load()
        summed = ast.copy_location(ast.BinOp(before, node.op, node.value), node)
        return self.visit(ast.copy_location(ast.Assign([node.target], summed), node))

    def visit_AnnAssign(self, node: ast.AnnAssign) -> Any:
        if node.value is None:
            return node
        return self.visit(ast.copy_location(ast.Assign([node.target], node.value), node))

    def write(self, name: str) -> str:
        if name not in self.own:
            raise undeclared(self.cls.__name__, name)
        if self.own[name].width:
            line = f"{name} holds several entries: a compiled body writes single numbers"
            raise SpeciesError(f"species {self.cls.__name__}: {line}")
        limits = np.iinfo(self.own[name].dtype)
        number = len(self.written) + 1
        self.written[number] = name
        return f"{self.column(name)}[row] = _whole(_value, {limits.min}, {limits.max}, trouble, {number})"

    def visit_Return(self, node: ast.Return) -> ast.AST:
        if node.value is None or (isinstance(node.value, ast.Constant) and node.value.value is None):
            node.value = self.text("_drives()", node)
            return node
        return self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> ast.AST:
        if node.id in (self.me, self.see):
            raise self.error(node, f"a compiled body may use {node.id} only as {node.id}.name")
        return node


def readable(schema: Schema, name: str) -> tuple[str, int | None] | None:
    """The column, and the part of it, that a being may read as a single number of its own; None where there is none.

    What is derived within a tick may hold numbers of rows, which mean nothing to a being.
    """
    for column in schema.columns:
        if column.derived:
            continue
        if column.name == name and not column.entries:
            return name, None
        if name in column.parts:
            return column.name, column.parts.index(name)
    return None


def _body_of(cls: type, function: Callable) -> tuple[ast.FunctionDef, dict[str, Any]]:
    """The syntax of a body, and what its names stand for."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):
        raise SpeciesError(f"species {cls.__name__}: @compiled needs the text of respond: write it in a file") from None
    body = tree.body[0]
    if not isinstance(body, ast.FunctionDef) or len(body.args.args) != 2:
        raise SpeciesError(f"species {cls.__name__}: write def respond(self, see)")
    names = {**function.__globals__, **inspect.getclosurevars(function).nonlocals}
    return body, names


class Loop:
    """A compiled body: `run` fills the drives of rows and writes the columns of the species."""

    def __init__(self, cls: type, function: Callable, schema: Schema, own: dict[str, Column]):
        self.name = cls.__name__
        tree, names = _body_of(cls, function)
        me, see = (argument.arg for argument in tree.args.args)
        rewriter = Rewriter(cls, schema, own, names, me, see)
        # a docstring and annotations are of no use to numba
        statements = [part for statement in tree.body for part in _listed(rewriter.visit(statement))]
        end = ast.parse("return _drives()").body
        self.columns, self.written = rewriter.columns, rewriter.written
        columns = "".join(f", column_{name}" for name in self.columns)
        head = ast.parse(f"def body(row, dice, stimuli, edges, trouble{columns}):\n    pass\n")
        head.body[0].body = statements + end  # type: ignore[attr-defined]
        inside = {
            **{name: _compilable(value) for name, value in names.items() if name in _names_in(statements)},
            "_drives": _drives,
            "_drives_raw": _drives_raw,
            "_chance": _chance,
            "_integer": _integer,
            "_whole": _whole,
            "np_int64": np.int64,
        }
        exec(compile(ast.fix_missing_locations(head), f"<species {self.name}>", "exec"), inside)
        body = numba.njit(nogil=True)(inside["body"])
        lines = [
            f"def loop(rows, ids, dice, stimuli, drives, edges, trouble{columns}):",
            "    for at in range(len(rows)):",
            "        row = rows[at]",
            "        dice[2] = ids[row]",
            "        dice[4] = 0",
            f"        answer = body(row, dice, stimuli, edges, trouble{columns})",
            *[f"        drives[row, {at}] = _border(answer[{at}], trouble, {at + 1})" for at in range(len(DRIVES))],
        ]
        self._loop = _made("\n".join(lines) + "\n", "loop", {"body": body, "_border": _border})

    def run(self, table: Any, rows: np.ndarray, key: tuple[int, int, int], edges: tuple[int, int, int, int]) -> None:
        """Respond for some rows; `key` is seed, tick and the purpose of the dice, `edges` as `EDGES` says."""
        arrays = [table[name] for name in self.columns]
        trouble = np.zeros(3, np.int64)

        def band(some: np.ndarray) -> None:
            dice = np.array([key[0], key[1], 0, key[2], 0], np.int64)
            with np.errstate(over="ignore"):  # uncompiled, dice overflow audibly
                self._loop(some, table["id"], dice, table["stimuli"], table["drives"], edges, trouble, *arrays)

        try:
            band(rows[:0])  # compiles, where that is still to be done
        except Exception as error:  # numba fails in many ways
            line = " ".join(str(error).split())[:400]
            raise SpeciesError(f"species {self.name}: respond cannot be compiled: {line}") from None
        bands = [rows[at : at + ROWS_A_PASS] for at in range(0, len(rows), ROWS_A_PASS)]
        try:
            crew.together(*[partial(band, some) for some in bands])
        except Exception as error:
            raise failed(self.name, error) from error
        self._report(trouble)

    def _report(self, trouble: np.ndarray) -> None:
        if trouble[0]:
            name = self.written[int(trouble[0])]
            raise SpeciesError(f"species {self.name}: {name} is given a number that does not fit it")
        if trouble[1]:
            raise no_number(self.name, int(trouble[1]) - 1)
        if trouble[2]:
            raise SpeciesError(f"species {self.name}: dice.integer needs 1 to 2^31")


def _listed(node: Any) -> list[ast.stmt]:
    return node if isinstance(node, list) else [node]


def _names_in(statements: list[ast.stmt]) -> set[str]:
    return {node.id for statement in statements for node in ast.walk(statement) if isinstance(node, ast.Name)}


def _compilable(value: Any) -> Any:
    """Functions that a body calls are compiled with it."""
    return numba.njit(nogil=True)(value) if isinstance(value, types.FunctionType) else value
