"""Applies functions of agents to whole columns, where the result is the same as of calling them for each agent."""

import dis
import types
from collections.abc import Callable
from typing import Any

import numpy as np

from umwelt.agents.mesa.row_index import as_python

REDUCTIONS: dict[Callable[..., Any], Callable[..., Any]] = {sum: np.sum, min: np.min, max: np.max}
"""The NumPy functions that replace Python's reductions (functions from a list to one number)."""
ARRAY_REDUCTIONS: set[Callable[..., Any]] = {
    np.sum,
    np.min,
    np.max,
    np.mean,
    np.median,
    np.std,
    np.var,
    np.amin,
    np.amax,
}
"""The NumPy reductions that are applied to columns unchanged; their results do not depend on the order of values."""

SIMPLE_OPERATIONS = {
    "RESUME",
    "LOAD_FAST",
    "LOAD_FAST_BORROW",
    "LOAD_CONST",
    "LOAD_SMALL_INT",
    "LOAD_ATTR",
    "LOAD_DEREF",
    "LOAD_GLOBAL",
    "COPY_FREE_VARS",
    "COMPARE_OP",
    "BINARY_OP",
    "RETURN_VALUE",
    "CACHE",
    "NOP",
    "PUSH_NULL",
}
"""The bytecode operations of functions that can be called with columns in place of numbers."""
SIMPLE_BINARY_OPERATORS = frozenset("+-&|^")
SUM_SAFE_BYTES = 4
"""The maximum width, in bytes, of columns whose sums fit 64 bits."""


def is_reduction(function: Any) -> bool:
    """Returns whether `reduce_column` can apply a function, such as `sum` or `numpy.mean`, to a column."""
    return function in REDUCTIONS or function in ARRAY_REDUCTIONS


def reduce_column(values: np.ndarray, function: Callable[..., Any]) -> Any:
    """Returns `function(values)` with the same result as for a list of Python numbers."""
    if function is sum and values.dtype.itemsize > SUM_SAFE_BYTES:
        return sum(values.tolist())  # a sum of ids needs more than 64 bits
    if function in REDUCTIONS:
        wide = {"dtype": np.int64} if function is sum and values.dtype.kind in "iub" else {}
        return as_python(REDUCTIONS[function](values, axis=0, **wide))
    return function(values)


def compared_attributes(function: Any) -> list[str]:
    """Returns the names of the attributes that `function`, a function of one agent, only compares.

    Such a function can be called a single time with columns in place of an agent's attributes. It is recognised by its
    bytecode: comparisons, sums and bitwise operations of attributes and constant numbers, without calls or jumps.
    Returns an empty list for any other function.
    """
    code = getattr(function, "__code__", None)
    if not isinstance(function, types.FunctionType) or code is None or code.co_argcount != 1 or code.co_kwonlyargcount:
        return []
    names = []
    for operation in dis.get_instructions(code):
        if operation.opname not in SIMPLE_OPERATIONS:
            return []
        if operation.opname == "BINARY_OP" and operation.argrepr not in SIMPLE_BINARY_OPERATORS:
            return []
        if operation.opname == "LOAD_ATTR":
            names.append(operation.argval)
        if operation.opname == "LOAD_GLOBAL" and type(function.__globals__.get(operation.argval)) not in (int, float):
            return []
        if operation.opname == "LOAD_DEREF" and not _closes_over_numbers(function):
            return []
    return names


def _closes_over_numbers(function: types.FunctionType) -> bool:
    """Returns whether all variables that a function uses from enclosing functions are numbers."""
    try:
        return all(type(cell.cell_contents) in (int, float) for cell in function.__closure__ or ())
    except ValueError:  # a variable that is not set yet
        return False
