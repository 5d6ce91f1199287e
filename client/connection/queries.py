"""Queries: workflows over a world that runs, or a moment of its past. Each answer is true at one tick, and tells it."""

from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np

from umwelt.client.connection.workflows import WorldFlow
from umwelt.cluster.view.queries import MAX_TASK_ROWS, Patch, Select
from umwelt.sandbox.errors import RunError
from umwelt.sandbox.text import one_of
from umwelt.sandbox.units import SUBCELL

AVERAGED = ("age_ticks", "generation", "sugar_count", "water_count", "tissue_count")
ORGANS = "_organs"
"""Columns whose means a census tells, where a table has them; and those whose names end so."""
COARSE = 40
"""A heat map has about so many squares across, if nothing is said."""
FIRST_CELLS = 8

Four = tuple[int, int, int, int]


async def census(flow: WorldFlow, rectangle: Four | None = None) -> dict[str, Any]:
    """How many of each species live, everywhere or in y, x, height, width, and means of what they are.

    `{"tick": ..., "species": {name: {"table": ..., "count": ..., "means": {column: ...}}}}`. `whole` is false where
    there were more than a node hands over at once: then counts and means are of those alone.
    """
    tables = {
        name: [one for one in columns if one in AVERAGED or one.endswith(ORGANS)]
        for name, columns in flow.known.columns.items()
        if "species" in columns
    }
    if not tables:
        raise RunError("census: this world's tables have no species: use count()")
    asked = [Select(name, ["species", *means], [], rectangle, MAX_TASK_ROWS) for name, means in tables.items()]
    found = await flow.over("census", asked)
    told: dict[str, Any] = {}
    for number, (table, means) in enumerate(tables.items()):
        here = [part[number] for part in found.values]
        for at in sorted({at for one in here for at in one["counts"]}):
            count = sum(one["counts"].get(at, 0) for one in here)
            sums = {name: sum(one["sums"][name].get(at, 0) for one in here) for name in means}
            name = flow.known.species[at] if at < len(flow.known.species) else f"species {at}"
            told[name] = {
                "table": table,
                "count": count,
                "means": {column: total / count for column, total in sums.items()},
            }
    return {"tick": found.tick, "species": told, "whole": all(one["whole"] for part in found.values for one in part)}


async def heatmap(flow: WorldFlow, of: str = "", cell: int = 0, rectangle: Four | None = None) -> dict[str, Any]:
    """Where a species (or all of a table) is, or a substance or another layer, in squares of `cell` cells.

    `{"tick": ..., "of": ..., "cell": ..., "rectangle": ..., "values": int64[rows, columns]}`: beings are counted, a
    layer is added up. Without `of`, the beings of the first table.
    """
    known = flow.known
    view = rectangle or (0, 0, known.height, known.width)
    size = cell or max(1, -(-max(view[2:]) // COARSE))
    if not 1 <= size <= max(known.height, known.width):
        raise RunError(f"heatmap: cell = {cell}: use 1 to {max(known.height, known.width)} cells")
    of = one_of(of or next(iter(known.columns)), [*known.columns, *known.species, *known.layers[1:]], "heatmap: of")
    asked: list[Any]
    if of in known.layers[1:]:
        asked = [Patch(of, view)]
    else:
        tables = [of] if of in known.columns else [known.kinds[of]] if of in known.kinds else _with_species(flow)
        where = [] if of in known.columns else [("species", "==", of)]
        asked = [Select(name, ["y", "x"], where, view, MAX_TASK_ROWS) for name in tables]  # type: ignore[arg-type]
    torus = known.height, known.width
    found = await flow.over("heatmap", asked, rectangle=view, torus=torus, cell=size)
    values = np.sum(found.values, axis=0) if found.values else np.zeros((0, 0), np.int64)
    return {"tick": found.tick, "of": of, "cell": size, "rectangle": list(view), "values": values}


async def nearest(flow: WorldFlow, species: str, y: float, x: float) -> dict[str, Any]:
    """The nearest being of a species to a place in cells: looked for in ever larger squares, until one is found.

    `{"tick": ..., "being": {"id": ..., "y": ..., "x": ..., "cells": how far}}`, or None for `being` where none lives.
    """
    known = flow.known
    one_of(species, known.species, "nearest: species")
    tables = [known.kinds[species]] if species in known.kinds else _with_species(flow)
    if not (0 <= y < known.height and 0 <= x < known.width):
        raise RunError(f"nearest: y = {y}, x = {x}: use 0 to {known.height - 1} and 0 to {known.width - 1}")
    torus, radius, guess = (known.height, known.width), FIRST_CELLS, None
    while True:
        whole = 2 * radius + 1 >= max(torus)
        window = _square(int(y), int(x), radius, torus) if not whole else None
        asked = [
            Select(name, ["y_fixed", "x_fixed"], [("species", "==", species)], window, MAX_TASK_ROWS) for name in tables
        ]
        found = await flow.over("nearest", asked, y=y, x=x, torus=torus)
        guess = min((one for one in found.values if one is not None), default=None)
        # beyond the square's edge, at least `radius` cells away, somebody else may be nearer
        if whole or (guess is not None and guess[0] <= (radius * SUBCELL) ** 2):
            break
        radius = radius * 2 if guess is None else int(guess[0] ** 0.5 / SUBCELL) + 2
    being = None
    if guess is not None:
        square, which, y_fixed, x_fixed = guess
        being = {"id": which, "y": y_fixed / SUBCELL, "x": x_fixed / SUBCELL, "cells": square**0.5 / SUBCELL}
    return {"tick": found.tick, "species": species, "being": being}


def _square(y: int, x: int, radius: int, torus: tuple[int, int]) -> Four:
    height, width = (min(2 * radius + 1, size) for size in torus)
    return y - radius, x - radius, height, width


def _with_species(flow: WorldFlow) -> list[str]:
    return [name for name, columns in flow.known.columns.items() if "species" in columns]


async def lineage(flow: WorldFlow, being: int) -> dict[str, Any]:
    """The ancestors and children of a being, as the journal knows them, and which of them live, at the tick told.

    `{"tick": ..., "being": ..., "lives": ..., "ancestors": [...], "children": [...]}`, each with id, parent_id, tick,
    species, y, x and `lives`.
    """
    family = await flow.family(being)
    ids = [being, *(one["id"] for kin in ("ancestors", "children") for one in family[kin])]
    asked = [Select(name, [], [], None, MAX_TASK_ROWS) for name in flow.known.columns]
    found = await flow.over("living", asked, ids)
    alive = {one for part in found.values for one in part}
    told = {kin: [{**one, "lives": one["id"] in alive} for one in family[kin]] for kin in ("ancestors", "children")}
    return {"tick": found.tick, "being": being, "lives": being in alive, **told}


QUERIES: dict[str, Callable[..., Awaitable[dict[str, Any]]]] = {
    "census": census,
    "heatmap": heatmap,
    "lineage": lineage,
    "nearest": nearest,
}
