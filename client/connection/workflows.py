"""Workflows on a running world or on a tick of its past, and the queries that are implemented as workflows.

A *node* is a process that computes a part of the world; a *task* is a function that a node runs on its part. A workflow
is a coroutine function whose first argument is a `WorldFlow`, through which it runs tasks on the world's nodes. The
queries `census`, `heatmap`, `nearest` and `lineage` are workflows of this module. Each answer contains the tick of the
world state from which it was computed.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from umwelt.client.connection.answers import (
    Cells,
    Census,
    Family,
    Heatmap,
    Lineage,
    LivingRelative,
    Nearest,
    NearestBeing,
    Relative,
    SpeciesCensus,
    check_shape,
)
from umwelt.client.connection.connection import GatewayLink
from umwelt.cluster import LIVE, MAX_TASK_ROWS, Flow, Patch, Select, run_workflow, viewer_protocol
from umwelt.sandbox.errors import RunError
from umwelt.sandbox.text import one_of
from umwelt.sandbox.units import SUBCELL

AVERAGED_COLUMNS = ("age_ticks", "generation", "sugar_count", "water_count", "tissue_count")
"""Names of the columns of which `census` computes means, in the tables that have them."""
ORGANS_SUFFIX = "_organs"
"""Suffix of further column names of which `census` computes means."""
HEATMAP_SQUARES = 40
"""Approximate number of squares along the longer side of a heat map if no size of a square is given."""
FIRST_RADIUS_CELLS = 8
"""Half of the side of the first square that `nearest` searches, in cells."""
MARGIN_CELLS = 2
"""Once `nearest` has found a being, half of the side of its last square exceeds that being's distance by this."""

T = TypeVar("T")
_Area = tuple[int, int, int, int]
"""A rectangle of cells: y, x, height, width."""


class WorldFlow(Flow):
    """The interface through which a workflow runs tasks on the nodes of one world; valid while the workflow runs.

    `shown` is `LIVE`, or a past tick that the gateway has replayed.
    """

    def __init__(self, link: GatewayLink, max_tasks: int, shown: int = LIVE):
        super().__init__(link.do, link.halt, max_tasks, shown)
        self._link = link

    @property
    def known(self) -> viewer_protocol.Welcome:
        """The gateway's announcement of the world: its size, species, layers and columns."""
        return self._link.known

    async def family(self, being: int) -> Family:
        """Returns the ancestors and children of a being whose births are in the journal, the run's record on disk."""
        future = self._link.ask(lambda ticket: viewer_protocol.History(ticket, "family", 0, being=int(being)))
        return check_shape((await asyncio.wrap_future(future)).content, Family)


async def run_world_workflow(
    link: GatewayLink,
    shown: int,
    function: Callable[..., Awaitable[T]],
    arguments: Sequence[Any],
    named: Mapping[str, Any],
    max_tasks: int,
    within_s: float,
) -> T:
    """Runs the workflow `function` with `arguments` and the keyword arguments `named`; returns its result.

    `shown` is `LIVE`, or a past tick that the gateway has replayed (`show`). Raises RunError if the workflow
    requests more than `max_tasks` tasks or takes longer than `within_s` seconds.
    """
    return await run_workflow(WorldFlow(link, max_tasks, shown), function, arguments, dict(named), within_s)


# --- queries


async def census(flow: WorldFlow, rectangle: Cells | None = None) -> Census:
    """Counts the living beings of each species and averages their columns.

    `rectangle` (y, x, height, width) limits the census; None means the full world.
    """
    tables = {
        table: [name for name in columns if name in AVERAGED_COLUMNS or name.endswith(ORGANS_SUFFIX)]
        for table, columns in flow.known.columns.items()
        if "species" in columns
    }
    if not tables:
        raise RunError("census: this world's tables have no species: use count()")
    area = _area(rectangle)
    questions = [Select(table, ["species", *columns], [], area, MAX_TASK_ROWS) for table, columns in tables.items()]
    parts = await flow.over("census", questions)
    species: dict[str, SpeciesCensus] = {}
    for number, (table, columns) in enumerate(tables.items()):
        shares = [node_answers[number] for node_answers in parts.values]
        for index in sorted({index for share in shares for index in share["counts"]}):
            count = sum(share["counts"].get(index, 0) for share in shares)
            sums = {name: sum(share["sums"][name].get(index, 0) for share in shares) for name in columns}
            name = flow.known.species[index] if index < len(flow.known.species) else f"species {index}"
            means = {column: total / count for column, total in sums.items()}
            species[name] = SpeciesCensus(table=table, count=count, means=means)
    whole = all(share["whole"] for node_answers in parts.values for share in node_answers)
    return Census(tick=parts.tick, species=species, whole=whole)


async def heatmap(flow: WorldFlow, of: str = "", cell: int = 0, rectangle: Cells | None = None) -> Heatmap:
    """Counts beings, or sums the values of a layer, in squares of `cell` x `cell` cells.

    A layer has one value for each cell. If `cell` is 0, there are about 40 squares along the longer side.

    `of` is a species, a table or a layer; "" means the beings of the first table. `rectangle` (y, x, height, width)
    limits the map; None means the full world.
    """
    known = flow.known
    area = _area(rectangle) or (0, 0, known.height, known.width)
    size = cell or max(1, -(-max(area[2:]) // HEATMAP_SQUARES))
    if not 1 <= size <= max(known.height, known.width):
        raise RunError(f"heatmap: cell = {cell}: use 1 to {max(known.height, known.width)} cells")
    of = one_of(of or next(iter(known.columns)), [*known.columns, *known.species, *known.layers[1:]], "heatmap: of")
    questions: list[Select | Patch]
    if of in known.layers[1:]:
        questions = [Patch(of, area)]
    else:
        tables = [of] if of in known.columns else _tables_of(flow, of)
        where: list[tuple[str, str, int | str]] = [] if of in known.columns else [("species", "==", of)]
        questions = [Select(table, ["y", "x"], where, area, MAX_TASK_ROWS) for table in tables]
    parts = await flow.over("heatmap", questions, rectangle=area, torus=(known.height, known.width), cell=size)
    values = np.sum(parts.values, axis=0) if parts.values else np.zeros((0, 0), np.int64)
    return Heatmap(tick=parts.tick, of=of, cell=size, rectangle=list(area), values=values)


async def nearest(flow: WorldFlow, species: str, y: float, x: float) -> Nearest:
    """Finds the being of `species` that is nearest to the position `y`, `x` (in cells).

    Searches increasingly large squares around the position.
    """
    known = flow.known
    one_of(species, known.species, "nearest: species")
    tables = _tables_of(flow, species)
    if not (0 <= y < known.height and 0 <= x < known.width):
        raise RunError(f"nearest: y = {y}, x = {x}: use 0 to {known.height - 1} and 0 to {known.width - 1}")
    torus, radius_cells, best = (known.height, known.width), FIRST_RADIUS_CELLS, None
    while True:
        is_everywhere = 2 * radius_cells + 1 >= max(torus)
        area = None if is_everywhere else _square(int(y), int(x), radius_cells, torus)
        questions = [
            Select(table, ["y_fixed", "x_fixed"], [("species", "==", species)], area, MAX_TASK_ROWS) for table in tables
        ]
        parts = await flow.over("nearest", questions, y=y, x=x, torus=torus)
        best = min((nearest_of_node for nearest_of_node in parts.values if nearest_of_node is not None), default=None)
        # a being outside the square, though at least the radius away, can be nearer than one found in a corner
        if is_everywhere or (best is not None and best[0] <= (radius_cells * SUBCELL) ** 2):
            break
        radius_cells = radius_cells * 2 if best is None else int(best[0] ** 0.5 / SUBCELL) + MARGIN_CELLS
    being = None
    if best is not None:
        square, being_id, y_fixed, x_fixed = best
        being = NearestBeing(id=being_id, y=y_fixed / SUBCELL, x=x_fixed / SUBCELL, cells=square**0.5 / SUBCELL)
    return Nearest(tick=parts.tick, species=species, being=being)


async def lineage(flow: WorldFlow, being: int) -> Lineage:
    """Returns the ancestors and children of a being from the journal, and which of them are alive."""
    family = await flow.family(being)
    ids = [int(being), *(relative["id"] for relative in (*family["ancestors"], *family["children"]))]
    questions = [Select(table, [], [], None, MAX_TASK_ROWS) for table in flow.known.columns]
    parts = await flow.over("living", questions, ids)
    living = {living_id for node_answers in parts.values for living_id in node_answers}

    def with_life(relatives: Sequence[Relative]) -> list[LivingRelative]:
        return [LivingRelative(**relative, lives=relative["id"] in living) for relative in relatives]

    return Lineage(
        tick=parts.tick,
        being=int(being),
        lives=int(being) in living,
        ancestors=with_life(family["ancestors"]),
        children=with_life(family["children"]),
    )


def _area(rectangle: Cells | None) -> _Area | None:
    """Returns `rectangle` as a tuple, the form that queries need; None (the full world) remains None."""
    if rectangle is None:
        return None
    y, x, height, width = rectangle
    return y, x, height, width


def _square(y: int, x: int, radius_cells: int, torus: tuple[int, int]) -> _Area:
    """Returns the square of cells within `radius_cells` of a cell along each axis, at most as large as the torus."""
    height, width = (min(2 * radius_cells + 1, size) for size in torus)
    return y - radius_cells, x - radius_cells, height, width


def _tables_of(flow: WorldFlow, species: str) -> list[str]:
    """Returns the names of the tables (such as "plants" and "monsters") that can contain beings of `species`."""
    if species in flow.known.kinds:
        return [flow.known.kinds[species]]
    return [table for table, columns in flow.known.columns.items() if "species" in columns]


QUERIES: dict[str, Callable[..., Awaitable[Census | Heatmap | Nearest | Lineage]]] = {
    "census": census,
    "heatmap": heatmap,
    "lineage": lineage,
    "nearest": nearest,
}
"""The query functions by name; the names are the subcommands of `umwelt ask`."""
