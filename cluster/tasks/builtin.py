"""Built-in tasks: those used by the workflows in client/connection/workflows.py, and some for experiments."""

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
    """Computes `steps` steps of a linear congruential sequence: a fixed amount of work, for measurements."""
    value = 1
    for _ in range(steps):
        value = (value * 1103515245 + 12345) & 0x7FFFFFFF
    return value


@task("arithmetic")
def arithmetic(what: str, *numbers: int) -> int:
    """Adds, multiplies or divides integers from left to right; division rounds down.

    `what` is "add", "multiply" or "divide".
    """
    if what not in ARITHMETIC:
        raise RunError(f'arithmetic: "{what[:40]}": use {", ".join(ARITHMETIC)}')
    if not numbers or max(number.bit_length() for number in numbers) * len(numbers) > MAX_BITS:
        raise RunError(f"arithmetic: {what} of {len(numbers)} numbers: give at least one, and none too large")
    if what == "divide" and 0 in numbers[1:]:
        raise RunError("arithmetic: divide by 0: give another number")
    return reduce(ARITHMETIC[what], numbers)


@task("arithmetic.or_zero")
def arithmetic_or_zero(what: str, *numbers: int) -> int:
    """Returns the same as `arithmetic`, or 0 if that raises RunError."""
    try:
        return arithmetic(what, *numbers)
    except RunError:
        return 0


@task("census")
def census(parts: list[Part]) -> list[dict[str, Any]]:
    """Returns a dict for each query about a table: its counts of beings and the sums of its columns.

    `counts` are by species index; `sums` are by column and species index. `whole` is false if the node had more rows
    than fit an answer.
    """
    tables = []
    for part in parts:
        columns = read_columns(part.answer, part.raw)
        species = columns.pop("species").astype(np.int64)
        ids = columns.pop("id")
        sums = {
            name: {int(index): int(values[species == index].sum(dtype=np.int64)) for index in np.unique(species)}
            for name, values in columns.items()
        }
        counts = {int(index): int(count) for index, count in zip(*np.unique(species, return_counts=True), strict=True)}
        tables.append({"counts": counts, "sums": sums, "whole": len(ids) == part.answer["total"]})
    return tables


@task("heatmap")
def heatmap(parts: list[Part], rectangle: tuple[int, int, int, int], torus: tuple[int, int], cell: int) -> np.ndarray:
    """Returns the number of beings, or the sum of a field, in squares over `rectangle`.

    The result is `int64[ceil(height / cell), ceil(width / cell)]`. `rectangle` (y, x, height, width), `torus` (height,
    width) and the side `cell` of a square are in cells.
    """
    top, left, height, width = rectangle
    sums = np.zeros((-(-height // cell), -(-width // cell)), np.int64)
    for part in parts:
        if "columns" in part.answer:
            columns = read_columns(part.answer, part.raw)
            _add(sums, [columns[axis].astype(np.int64) for axis in ("y", "x")], 1, (top, left), torus, cell)
            continue
        offset = 0
        for y, x, rows, columns_count in part.answer["parts"]:
            values = np.frombuffer(part.raw, np.int32, rows * columns_count, offset).reshape(rows, columns_count)
            offset += values.nbytes
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
    """Adds `values`, given at `places` (y, x, in cells of the world), to the squares that contain the places."""
    y, x = ((axis - first) % size // cell for axis, first, size in zip(places, corner, torus, strict=True))
    np.add.at(sums, (y, x), values)


@task("nearest")
def nearest(parts: list[Part], y: float, x: float, torus: tuple[int, int]) -> tuple[int, int, int, int] | None:
    """Returns the being nearest to a place on the torus, as (squared distance, id, y_fixed, x_fixed).

    Returns None if the answers contain no being. `y`, `x` and `torus` (height, width) are in cells, the squared
    distance is in squared subcells, `y_fixed` and `x_fixed` in subcells. Of equally near beings, the one with the
    smallest id is returned.
    """
    best: tuple[int, int, int, int] | None = None
    for part in parts:
        columns = read_columns(part.answer, part.raw)
        if not len(columns["id"]):
            continue
        squares = np.zeros(len(columns["id"]), np.int64)
        for name, place, size_cells in (("y_fixed", y, torus[0]), ("x_fixed", x, torus[1])):
            size = size_cells << SUBCELL_BITS
            distance = (columns[name].astype(np.int64) - round(place * SUBCELL)) % size
            squares += np.minimum(distance, size - distance) ** 2
        row = np.lexsort((columns["id"], squares))[0]
        candidate = (
            int(squares[row]),
            int(columns["id"][row]),
            int(columns["y_fixed"][row]),
            int(columns["x_fixed"][row]),
        )
        best = min(best, candidate) if best is not None else candidate
    return best


@task("living")
def living(parts: list[Part], ids: list[int]) -> list[int]:
    """Returns which of `ids` are present in the answers, sorted."""
    present = [read_columns(part.answer, part.raw)["id"] for part in parts]
    return sorted({int(one) for one in np.intersect1d(np.concatenate(present), np.array(ids, np.int64))})
