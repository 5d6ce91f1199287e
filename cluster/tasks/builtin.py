"""The house's own tasks: parts of the queries of `client/connection/queries.py`, and some to try things out with."""

import operator
from collections.abc import Sequence
from functools import reduce
from typing import Any

import numpy as np

from umwelt.agents.hocl.terms import MAX_BITS
from umwelt.cluster.tasks.registry import task
from umwelt.cluster.view.queries import Part, read_columns
from umwelt.sandbox.errors import RunError
from umwelt.sandbox.units import SUBCELL, SUBCELL_BITS

ARITHMETIC = {"add": operator.add, "multiply": operator.mul, "divide": operator.floordiv}


@task("spin")
def spin(steps: int) -> int:
    """So many steps of a sequence of numbers: always the same amount of work, to measure with."""
    value = 1
    for _ in range(steps):
        value = (value * 1103515245 + 12345) & 0x7FFFFFFF
    return value


@task("arithmetic")
def arithmetic(what: str, *numbers: int) -> int:
    """Numbers added, multiplied, or divided one by the other as whole numbers: for programs that are tried out."""
    if what not in ARITHMETIC:
        raise RunError(f'arithmetic: "{what[:40]}": use {", ".join(ARITHMETIC)}')
    if not numbers or max(one.bit_length() for one in numbers) * len(numbers) > MAX_BITS:
        raise RunError(f"arithmetic: {what} of {len(numbers)} numbers: give at least one, and none too large")
    if what == "divide" and 0 in numbers[1:]:
        raise RunError("arithmetic: divide by 0: give another number")
    return reduce(ARITHMETIC[what], numbers)


@task("arithmetic.or_zero")
def arithmetic_or_zero(what: str, *numbers: int) -> int:
    """The same, and 0 for what has no value."""
    try:
        return arithmetic(what, *numbers)
    except RunError:
        return 0


@task("census")
def census(parts: list[Part]) -> list[dict[str, Any]]:
    """For each question about a table: how many of each species there are by its number, and the sum of each column.

    `whole` is false where there were too many to hand all of them over.
    """
    found = []
    for part in parts:
        columns = read_columns(part.answer, part.raw)
        species = columns.pop("species").astype(np.int64)
        ids = columns.pop("id")
        sums = {
            name: {int(at): int(values[species == at].sum(dtype=np.int64)) for at in np.unique(species)}
            for name, values in columns.items()
        }
        counts = {int(at): int(count) for at, count in zip(*np.unique(species, return_counts=True), strict=True)}
        found.append({"counts": counts, "sums": sums, "whole": len(ids) == part.answer["total"]})
    return found


@task("heatmap")
def heatmap(parts: list[Part], rectangle: tuple[int, int, int, int], torus: tuple[int, int], cell: int) -> np.ndarray:
    """Beings, or the sum of a field, in squares of so many cells: `int64[ceil(height / cell), ceil(width / cell)]`."""
    top, left, height, width = rectangle
    sums = np.zeros((-(-height // cell), -(-width // cell)), np.int64)
    for part in parts:
        if "columns" in part.answer:
            columns = read_columns(part.answer, part.raw)
            _add(sums, [columns[axis].astype(np.int64) for axis in ("y", "x")], 1, (top, left), torus, cell)
            continue
        at = 0
        for y, x, rows, columns_count in part.answer["parts"]:
            values = np.frombuffer(part.raw, np.int32, rows * columns_count, at).reshape(rows, columns_count)
            at += values.nbytes
            _add(sums, list(np.mgrid[y : y + rows, x : x + columns_count]), values, (top, left), torus, cell)
    return sums


def _add(
    sums: np.ndarray,
    places: Sequence[np.ndarray],
    values: Any,
    corner: tuple[int, int],
    torus: tuple[int, int],
    cell: int,
) -> None:
    """Add values at cells of the world to the squares they lie in."""
    y, x = ((axis - first) % size // cell for axis, first, size in zip(places, corner, torus, strict=True))
    np.add.at(sums, (y, x), values)


@task("nearest")
def nearest(parts: list[Part], y: float, x: float, torus: tuple[int, int]) -> tuple[int, int, int, int] | None:
    """The nearest of these beings to a place on the torus: squared distance (in subcells), id, and its own place.

    Of those equally near, the one with the smallest id.
    """
    best: tuple[int, int, int, int] | None = None
    for part in parts:
        columns = read_columns(part.answer, part.raw)
        if not len(columns["id"]):
            continue
        squares = np.zeros(len(columns["id"]), np.int64)
        for name, place, size in (("y_fixed", y, torus[0]), ("x_fixed", x, torus[1])):
            whole = size << SUBCELL_BITS
            away = (columns[name].astype(np.int64) - round(place * SUBCELL)) % whole
            squares += np.minimum(away, whole - away) ** 2
        first = np.lexsort((columns["id"], squares))[0]
        found = tuple(int(one[first]) for one in (squares, columns["id"], columns["y_fixed"], columns["x_fixed"]))
        best = min(best, found) if best is not None else found  # type: ignore[type-var, assignment]
    return best


@task("living")
def living(parts: list[Part], ids: list[int]) -> list[int]:
    """Which of these live."""
    found = [read_columns(part.answer, part.raw)["id"] for part in parts]
    return sorted({int(one) for one in np.intersect1d(np.concatenate(found), np.array(ids, np.int64))})
