"""Implements `@compiled`: rewrites the body of `respond` and compiles it with numba to one loop over many beings.

The syntax tree of the body is rewritten: `self.fear` becomes an array element of a column, `see.touch` an array element
of the stimuli, and `Drives(...)` a tuple. Therefore the body can use `self` and `see` only as `self.name` and
`see.name`. The generated code calls the functions `_drives`, `_drives_raw`, `_chance`, `_integer`, `_whole` and
`_border` of this module.

In this module, *body* means the function `respond` that is compiled. Compiled code cannot raise SpeciesError; it
records errors in the array `trouble: int64[3]`, from which `CompiledLoop.run` creates the exception.
"""

import ast
import copy
import inspect
import textwrap
import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numba
import numpy as np

from umwelt.agents.body.interface import DRIVES, STIMULI
from umwelt.agents.species.answers import nan_drive_error, response_error, undeclared_column_error
from umwelt.agents.species.column_access import WindowBounds, scalar_place
from umwelt.agents.species.species import (
    CHANCE_SHIFT,
    CHANCE_UNIT,
    MAX_DICE_SIDES,
    Column,
    Drives,
    nonzero_weights,
)
from umwelt.sandbox.columns import Schema
from umwelt.sandbox.dice import below, draw
from umwelt.sandbox.errors import SpeciesError
from umwelt.sandbox.kernel import crew
from umwelt.sandbox.units import ONE

ROWS_A_PASS = 65_536
"""The maximum number of rows that a thread computes in one call of the loop."""
BOUNDS_OF = {"y_fixed": ("y", "height"), "x_fixed": ("x", "width")}
"""The fields of `WindowBounds` (corner, size) that convert each position column to world coordinates."""

DICE_SEED, DICE_TICK, DICE_BEING, DICE_PURPOSE, DICE_INDEX = range(5)
"""Slots of the array `dice: int64[5]`: the arguments of `draw` for a being's next random number."""
UNFIT_COLUMN, NAN_DRIVE, BAD_LIMIT = range(3)
"""Slots of `trouble: int64[3]`, the errors of a compiled loop; 0 means no error. The first two hold the number of the
column or drive concerned, counted from 1."""


@numba.njit(nogil=True)
def _whole(value, low, high, trouble, number):
    """Truncates `value` to an integer from `low` to `high`.

    If it is out of range, returns `low` and records the column's `number` in `trouble`.
    """
    if not (low - 1 < value < high + 1):  # true for NaN too
        trouble[UNFIT_COLUMN] = number
        return np.int64(low)
    return np.int64(value)


@numba.njit(nogil=True)
def _next(dice):
    """Returns the next random number of a being, and increments the index in `dice`."""
    drawn = draw(dice[DICE_SEED], dice[DICE_TICK], dice[DICE_BEING], dice[DICE_PURPOSE], dice[DICE_INDEX])
    dice[DICE_INDEX] += 1
    return drawn


@numba.njit(nogil=True)
def _chance(dice):
    """Returns a random float in [0, 1), as `self.dice()` does."""
    return (_next(dice) >> CHANCE_SHIFT) * CHANCE_UNIT


@numba.njit(nogil=True)
def _integer(dice, limit, trouble):
    """Returns a random integer from 0 to `limit` - 1, as `self.dice.integer(limit)` does.

    If `limit` is not valid, returns 0 and records that in `trouble`.
    """
    if not 1 <= limit <= MAX_DICE_SIDES:
        trouble[BAD_LIMIT] = 1
        return np.int64(0)
    return below(_next(dice), np.int64(limit))


@numba.njit(nogil=True)
def _border(value, trouble, number):
    """Converts a drive to an integer in units of 1/1024, clamped to -1024 .. 1024.

    If `value` is NaN, returns 0 and records the drive's `number` in `trouble`.
    """
    if np.isnan(value):
        trouble[NAN_DRIVE] = number
        return np.int64(0)
    return np.int64(np.rint(min(max(value, -1.0), 1.0) * ONE))


def _compile_source(source: str, name: str, names: dict[str, Any]) -> Any:
    """Executes `source` with `names` as globals, and returns its function `name` compiled by numba."""
    exec(compile(source, f"<{name}>", "exec"), names)
    return numba.njit(nogil=True)(names[name])


# The functions that replace `Drives` and `Drives.raw` in compiled code: they return the drives as a tuple of floats.
_ARGUMENTS = ", ".join(f"{name}=0.0" for name in DRIVES)
_FLOATS = ", ".join(f"float({name})" for name in DRIVES)
_SHARES = ", ".join(f"{name} / {float(ONE)}" for name in DRIVES)
_drives = _compile_source(f"def drives({_ARGUMENTS}):\n    return ({_FLOATS})\n", "drives", {})
_drives_raw = _compile_source(f"def drives_raw({_ARGUMENTS}):\n    return ({_SHARES})\n", "drives_raw", {})


@dataclass
class BodyRewriter(ast.NodeTransformer):
    """Rewrites the syntax tree of `respond` for numba, and collects the columns that it reads or writes.

    `cls` is the species class, `schema` that of the monsters table and `own` the columns that the species declares.
    `names` holds the values of the globals and closure variables of the body; `me` and `see` are the names of its two
    parameters.
    """

    cls: type
    schema: Schema
    own: dict[str, Column]
    names: dict[str, Any]
    me: str
    see: str
    columns: list[str] = field(default_factory=list)
    """The names of the columns that the loop has as parameters, in order."""
    written: dict[int, str] = field(default_factory=dict)
    """The names of the assigned columns, by the number that `trouble` records for them."""

    def error(self, node: ast.AST, line: str) -> SpeciesError:
        """Returns an error with the message `line` and the line number of `node`."""
        return SpeciesError(f"species {self.cls.__name__}, line {getattr(node, 'lineno', 0)} of respond: {line}")

    def expression(self, source: str, node: ast.AST) -> ast.expr:
        """Parses `source` as an expression, with the location of `node`, which it replaces."""
        return ast.copy_location(ast.parse(source, mode="eval").body, node)

    def outer_value(self, node: ast.AST) -> Any:
        """Returns the value of a name or dotted name that is defined outside the body, or None if it is not defined."""
        if isinstance(node, ast.Name):
            return self.names.get(node.id)
        if isinstance(node, ast.Attribute):
            if self.is_me(node.value):
                return getattr(self.cls, node.attr, None)
            return getattr(self.outer_value(node.value), node.attr, None)
        return None

    def is_me(self, node: ast.AST) -> bool:
        """Returns whether `node` is the first parameter, `self`."""
        return isinstance(node, ast.Name) and node.id == self.me

    def is_see(self, node: ast.AST) -> bool:
        """Returns whether `node` is the second parameter, `see`."""
        return isinstance(node, ast.Name) and node.id == self.see

    def is_dice(self, node: ast.AST) -> bool:
        """Returns whether `node` is `self.dice`."""
        return isinstance(node, ast.Attribute) and node.attr == "dice" and self.is_me(node.value)

    def stimulus_source(self, node: ast.Attribute) -> str:
        """Returns source text that reads the stimulus `node.attr` as an integer in units of 1/1024."""
        if node.attr not in STIMULI:
            raise self.error(node, f'"{node.attr}" is not a stimulus that a compiled body can read')
        return f"np_int64(stimuli[row, {STIMULI.index(node.attr)}])"

    def column_parameter(self, name: str) -> str:
        """Returns the parameter name of the column `name`, and adds the column to `columns`."""
        if name not in self.columns:
            self.columns.append(name)
        return f"column_{name}"

    def visit_Call(self, node: ast.Call) -> ast.AST:
        """Rewrites calls of `self.dice`, `self.dice.integer`, `see.dot`, `Drives` and `Drives.raw`."""
        called = node.func
        if self.is_dice(called):
            return self.expression("_chance(dice)", node)
        if isinstance(called, ast.Attribute):
            if self.is_dice(called.value) and called.attr == "integer":
                call = self.expression("_integer(dice, None, trouble)", node)
                call.args[1] = self.visit(node.args[0])  # type: ignore[attr-defined]
                return call
            if self.is_see(called.value) and called.attr == "dot":
                return self.dot(node)
            if called.attr == "raw" and self.outer_value(called.value) is Drives:
                node.func = self.expression("_drives_raw", called)
                return self.generic_visit(node)
        if self.outer_value(called) is Drives:
            node.func = self.expression("_drives", called)
        return self.generic_visit(node)

    def dot(self, node: ast.Call) -> ast.expr:
        """Rewrites a call `see.dot(WEIGHTS)` as a sum of products."""
        weights = self.outer_value(node.args[0])
        if weights is None:
            raise self.error(node, "see.dot needs weights with a name: define them outside the body, or in the class")
        terms = [f"{weight} * np_int64(stimuli[row, {index}])" for index, weight in nonzero_weights(weights)]
        return self.expression(f"({' + '.join(terms) or 'np_int64(0)'})", node)

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        """Rewrites `see.raw.name`, `see.name` and `self.name` where they are read."""
        if isinstance(node.value, ast.Attribute) and node.value.attr == "raw" and self.is_see(node.value.value):
            return self.expression(self.stimulus_source(node), node)
        if self.is_see(node.value):
            return self.expression(f"({self.stimulus_source(node)} / {float(ONE)})", node)
        if self.is_me(node.value):
            return self.expression(self.read_source(node), node)
        return self.generic_visit(node)

    def read_source(self, node: ast.Attribute) -> str:
        """Returns source text for `self.name`: the value of a column of the being, or a constant of its class."""
        place = scalar_place(self.schema, node.attr)
        if place is not None:
            name, part = place
            entry = f"np_int64({self.column_parameter(name)}[{'row' if part is None else f'row, {part}'}])"
            if name in BOUNDS_OF:
                first, size = (WindowBounds._fields.index(bound) for bound in BOUNDS_OF[name])
                return f"(({entry} + edges[{first}]) % edges[{size}])"
            return entry
        constant = getattr(self.cls, node.attr, None)
        if isinstance(constant, bool | int | float):
            return repr(constant)
        raise self.error(node, f"self.{node.attr} is not a number of its own that a compiled body can read")

    def visit_Assign(self, node: ast.Assign) -> ast.AST | list[ast.stmt]:
        """Rewrites assignments to `self.name`."""
        own_targets = [
            target for target in node.targets if isinstance(target, ast.Attribute) and self.is_me(target.value)
        ]
        if not own_targets:
            return self.generic_visit(node)
        first = ast.copy_location(ast.Assign([ast.Name("_value", ast.Store())], self.visit(node.value)), node)
        statements: list[ast.stmt] = [first]
        others = [self.visit(target) for target in node.targets if target not in own_targets]
        if others:
            statements.append(ast.copy_location(ast.Assign(others, ast.Name("_value", ast.Load())), node))
        for target in own_targets:
            statements.append(ast.copy_location(ast.parse(self.write_source(target.attr)).body[0], node))
        return statements

    def visit_AugAssign(self, node: ast.AugAssign) -> Any:
        """Rewrites `self.name += value` as an assignment of a sum."""
        if not (isinstance(node.target, ast.Attribute) and self.is_me(node.target.value)):
            return self.generic_visit(node)
        before = copy.deepcopy(node.target)
        before.ctx = ast.Load()
        result = ast.copy_location(ast.BinOp(before, node.op, node.value), node)
        return self.visit(ast.copy_location(ast.Assign([node.target], result), node))

    def visit_AnnAssign(self, node: ast.AnnAssign) -> Any:
        """Rewrites an annotated assignment without its annotation, which numba does not support."""
        if node.value is None:
            return node
        return self.visit(ast.copy_location(ast.Assign([node.target], node.value), node))

    def write_source(self, name: str) -> str:
        """Returns source text that assigns `_value` to the column `name` of the being."""
        if name not in self.own:
            raise undeclared_column_error(self.cls.__name__, name)
        if self.own[name].width:
            line = f"{name} holds several numbers: a compiled body can write columns of one number only"
            raise SpeciesError(f"species {self.cls.__name__}: {line}")
        limits = np.iinfo(self.own[name].dtype)
        number = len(self.written) + 1
        self.written[number] = name
        return f"{self.column_parameter(name)}[row] = _whole(_value, {limits.min}, {limits.max}, trouble, {number})"

    def visit_Return(self, node: ast.Return) -> ast.AST:
        """Rewrites `return` and `return None` as `return Drives()`, in which all drives are 0."""
        if node.value is None or (isinstance(node.value, ast.Constant) and node.value.value is None):
            node.value = self.expression("_drives()", node)
            return node
        return self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> ast.AST:
        """Raises SpeciesError for `self` or `see` without an attribute, which numba could not compile."""
        if node.id in (self.me, self.see):
            raise self.error(node, f"a compiled body may use {node.id} only as {node.id}.name")
        return node


def _parse_body(cls: type, function: Callable) -> tuple[ast.FunctionDef, dict[str, Any]]:
    """Returns the syntax tree of `function`, and the values of its globals and closure variables by name."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):
        raise SpeciesError(f"species {cls.__name__}: @compiled needs the text of respond: write it in a file") from None
    body = tree.body[0]
    if not isinstance(body, ast.FunctionDef) or len(body.args.args) != 2:
        raise SpeciesError(f"species {cls.__name__}: write def respond(self, see)")
    names = {**function.__globals__, **inspect.getclosurevars(function).nonlocals}
    return body, names


class CompiledLoop:
    """The compiled loop of a species: `run` writes the drives and the species-defined columns of some rows.

    numba compiles it at the first `run`, for tables with the given `schema`.
    """

    def __init__(self, cls: type, function: Callable, schema: Schema, own: dict[str, Column]):
        self.name = cls.__name__
        tree, names = _parse_body(cls, function)
        me, see = (argument.arg for argument in tree.args.args)
        rewriter = BodyRewriter(cls, schema, own, names, me, see)
        # visits the statements only: numba needs neither the decorators nor the annotations of the function
        statements = [part for statement in tree.body for part in _as_list(rewriter.visit(statement))]
        end = ast.parse("return _drives()").body
        self.columns, self.written = rewriter.columns, rewriter.written
        columns = "".join(f", column_{name}" for name in self.columns)
        module = ast.parse(f"def body(row, dice, stimuli, edges, trouble{columns}):\n    pass\n")
        module.body[0].body = statements + end  # type: ignore[attr-defined]
        body_names = {
            **{name: _as_compilable(value) for name, value in names.items() if name in _names_in(statements)},
            "_drives": _drives,
            "_drives_raw": _drives_raw,
            "_chance": _chance,
            "_integer": _integer,
            "_whole": _whole,
            "np_int64": np.int64,
        }
        exec(compile(ast.fix_missing_locations(module), f"<species {self.name}>", "exec"), body_names)
        body = numba.njit(nogil=True)(body_names["body"])
        lines = [
            f"def loop(rows, ids, dice, stimuli, drives, edges, trouble{columns}):",
            "    for at in range(len(rows)):",
            "        row = rows[at]",
            f"        dice[{DICE_BEING}] = ids[row]",
            f"        dice[{DICE_INDEX}] = 0",
            f"        answer = body(row, dice, stimuli, edges, trouble{columns})",
            *[f"        drives[row, {at}] = _border(answer[{at}], trouble, {at + 1})" for at in range(len(DRIVES))],
        ]
        self._loop = _compile_source("\n".join(lines) + "\n", "loop", {"body": body, "_border": _border})

    def run(self, table: Any, rows: np.ndarray, key: tuple[int, int, int], bounds: WindowBounds) -> None:
        """Writes the drives and the assigned columns at `rows` (`int64[n]`) of the monsters table `table`.

        `key` is (seed, tick, purpose), from which the random numbers follow with each being's id. `bounds` are the
        corner of the region's window and the size of the world.

        Raises SpeciesError if the body cannot be compiled, raises an exception, or computes a value that is not valid.
        """
        arrays = [table[name] for name in self.columns]
        trouble = np.zeros(3, np.int64)
        seed, tick, purpose = key
        edges = tuple(bounds)

        def run_rows(some_rows: np.ndarray) -> None:
            dice = np.zeros(5, np.int64)
            dice[[DICE_SEED, DICE_TICK, DICE_PURPOSE]] = seed, tick, purpose
            with np.errstate(over="ignore"):  # dice overflow, which NumPy warns of if numba is disabled
                self._loop(some_rows, table["id"], dice, table["stimuli"], table["drives"], edges, trouble, *arrays)

        try:
            run_rows(rows[:0])  # no rows: compiles at the first call, does nothing later
        except Exception as error:  # numba raises exceptions of many types
            line = " ".join(str(error).split())[:400]
            raise SpeciesError(f"species {self.name}: respond cannot be compiled: {line}") from None
        passes = [rows[first : first + ROWS_A_PASS] for first in range(0, len(rows), ROWS_A_PASS)]
        try:
            crew.together(*[partial(run_rows, some_rows) for some_rows in passes])
        except Exception as error:
            raise response_error(self.name, error) from error
        self._raise_trouble(trouble)

    def _raise_trouble(self, trouble: np.ndarray) -> None:
        """Raises SpeciesError if the array `trouble` contains an error."""
        if trouble[UNFIT_COLUMN]:
            name = self.written[int(trouble[UNFIT_COLUMN])]
            raise SpeciesError(f"species {self.name}: {name} is set to a number that does not fit it")
        if trouble[NAN_DRIVE]:
            raise nan_drive_error(self.name, int(trouble[NAN_DRIVE]) - 1)
        if trouble[BAD_LIMIT]:
            raise SpeciesError(f"species {self.name}: dice.integer: use 1 to 2^31")


def _as_list(node: Any) -> list[ast.stmt]:
    """Returns a result of `BodyRewriter.visit` as a list: a statement, or a list of statements."""
    return node if isinstance(node, list) else [node]


def _names_in(statements: Sequence[ast.stmt]) -> set[str]:
    """Returns all names that occur in `statements`."""
    return {node.id for statement in statements for node in ast.walk(statement) if isinstance(node, ast.Name)}


def _as_compilable(value: Any) -> Any:
    """Compiles `value` with numba if it is a Python function; returns other values unchanged."""
    return numba.njit(nogil=True)(value) if isinstance(value, types.FunctionType) else value
