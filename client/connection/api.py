"""A running world in Python: look at it, ask it, change it, from a script or a notebook.

    with connect("runs/meadow-1") as world:
        hungry = world.query(where=[("sugar_count", "<", 20)], columns=["y", "x", "species"])
        world.rain(y=40, x=60, radius_cells=8, count=200)
        for view in world.watch((0, 0, 128, 128), layers=["water"]):
            ...

Every command gives the tick at which it takes effect. A gateway that was lost is found again by itself; what was asked
meanwhile is asked again, and done once. `connect_async` gives the same to be awaited.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as LateError
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from umwelt.agents.commands import deeds
from umwelt.client.connection.connection import Core, Reply
from umwelt.client.connection.flows import Flowing
from umwelt.cluster.view import queries
from umwelt.cluster.view.tiles import (
    BEINGS,
    Piece,
    Topic,
    decode,
    join_beings,
    join_counts,
    join_field,
    layer_numbers,
    topics_over,
)
from umwelt.cluster.wire import viewer_protocol
from umwelt.cluster.wire.keys import Keys, best_role
from umwelt.cluster.wire.viewer_protocol import LIVE
from umwelt.sandbox.errors import RunError
from umwelt.sandbox.region import Rectangle, Torus

TIMEOUT_S = 30.0
PAST_TIMEOUT_S = 600.0
WHOLE_S = 2.0
"""How long the first view waits for all of its parts."""
SETTLE_S = 0.05
"""After the first new tile, how long a view waits for the others."""

Four = Sequence[int]


@dataclass
class View:
    """What a rectangle shows: `tick` is the newest tile's, `oldest_tick` the oldest's.

    `beings[table][column]`: arrays, with `y` and `x` in cells of the world; at the level "densities" `counts[table]
    [species]` by bins of 8 x 8 cells. `fields[layer]`: `int32[height, width]`. `complete` is false as long as some
    parts have not come.
    """

    tick: int
    oldest_tick: int
    rectangle: Rectangle
    level: str
    beings: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)
    counts: dict[str, dict[int, np.ndarray]] = field(default_factory=dict)
    fields: dict[str, np.ndarray] = field(default_factory=dict)
    complete: bool = True


def connect(
    address: str | Path,
    keys: str | Path | Keys | None = None,
    timeout_s: float = TIMEOUT_S,
    bytes_per_s: float | None = None,
) -> "Connection":
    """Connect to the gateway of a running world: its address, or the run's folder; `keys` is a folder with keys.

    No more than `bytes_per_s` of what is watched comes on the average, if it is given: tiles then come less often, but
    always the newest. Raises `RunError` where no gateway answers in time.
    """
    return Connection(core_of(address, keys, bytes_per_s), timeout_s)


async def connect_async(
    address: str | Path,
    keys: str | Path | Keys | None = None,
    timeout_s: float = TIMEOUT_S,
    bytes_per_s: float | None = None,
) -> "AsyncConnection":
    """The same as `connect`, with methods to be awaited."""
    core = core_of(address, keys, bytes_per_s)
    return await asyncio.to_thread(AsyncConnection, core, timeout_s)


def core_of(address: str | Path, keys: str | Path | Keys | None, bytes_per_s: float | None) -> Core:
    """The line to a gateway, not opened yet; `keys` as for `connect`."""
    if isinstance(keys, str | Path):
        keys = Keys.load(Path(keys), best_role(Path(keys)))
    return Core(address, keys, bytes_per_s)


class _Looking(Flowing):
    """Looking and asking: at the running world, or at a moment of its past."""

    _core: Core
    _shown = LIVE
    timeout_s = TIMEOUT_S

    def _do(self, asked: "Future[Reply]", what: str, convert: Callable[[Reply], Any], timeout_s: float = 0.0) -> Any:
        """The answer, when it is there."""
        return self._result(asked, what, convert, timeout_s or self.timeout_s)

    def _result(self, asked: "Future[Reply]", what: str, convert: Callable[[Reply], Any], timeout_s: float) -> Any:
        try:
            return convert(asked.result(timeout_s))
        except LateError:
            asked.cancel()
            raise RunError(
                f"{self._core.address}: no answer to {what} within {timeout_s:g} s: see whether the world still runs"
            ) from None

    # --- what there is

    @property
    def torus(self) -> Torus:
        """The world's height and width."""
        return Torus(self._core.known.height, self._core.known.width)

    @property
    def species(self) -> list[str]:
        """The names of species by their index."""
        return self._core.known.species

    @property
    def layers(self) -> list[str]:
        """What `watch` and `field` can show besides beings."""
        return self._core.known.layers[1:]

    @property
    def columns(self) -> dict[str, list[str]]:
        """The columns that `query` knows, by table."""
        return self._core.known.columns

    # --- questions

    def _ask(self, question: queries.Question, convert: Callable[[Reply], Any]) -> Any:
        content = msgspec.json.encode(question)
        asked = self._core.ask(lambda ticket: viewer_protocol.Query(ticket, content, self._shown))
        return self._do(asked, "a question", convert)

    def query(
        self,
        rectangle: Four | None = None,
        where: Iterable[tuple[str, str, int | str]] = (),
        columns: Iterable[str] = ("y", "x", "species"),
        table: str = "monsters",
        most: int = queries.MAX_ROWS,
    ) -> Any:
        """Beings as numpy arrays by column (always with `id`, in whose order they come), `tick` and `total`.

        `rectangle` is y, x, height, width; `where` conditions that must all hold, as in `[("sugar_count", ">", 50)]`;
        a species may be named.
        """

        def convert(reply: Reply) -> dict[str, Any]:
            found: dict[str, Any] = dict(queries.read_columns(reply.content, reply.raw))
            return {**found, "tick": reply.tick, "total": reply.content["total"]}

        named = tuple(rectangle) if rectangle is not None else None
        return self._ask(queries.Select(table, list(columns), list(where), named, most), convert)  # type: ignore

    def count(self, rectangle: Four | None = None) -> Any:
        """How many beings of each species live, by table."""
        named = tuple(rectangle) if rectangle is not None else None
        return self._ask(queries.Count(named), lambda reply: reply.content["counts"])  # type: ignore[arg-type]

    def fetch(self, being: int) -> Any:
        """All of one being (its row, columns, stimuli, drives), or None if none of this id lives."""

        def convert(reply: Reply) -> dict[str, Any] | None:
            found = queries.read_being(reply.content)
            return None if found is None else {**reply.content["being"], **found, "tick": reply.tick}

        return self._ask(queries.Fetch(int(being)), convert)

    def field(self, name: str, rectangle: Four | None = None) -> Any:
        """A layer cell by cell, `int32[height, width]`, exact; over a rectangle, or a whole small world."""
        named = tuple(rectangle) if rectangle is not None else (0, 0, *self.torus)

        def convert(reply: Reply) -> np.ndarray:
            shape = reply.content["height"], reply.content["width"]
            return np.frombuffer(reply.raw, np.int32).reshape(shape)

        return self._ask(queries.Patch(name, named), convert)  # type: ignore[arg-type]

    # --- watching

    def watch(
        self,
        rectangle: Four | None = None,
        level: str = "bodies",
        layers: Iterable[str] = (),
        beings: bool = True,
        timeout_s: float | None = None,
    ) -> Any:
        """Views of a rectangle, a new one whenever something of it has changed; the newest only, however slow one is.

        `level` is "bodies", "dots" or "densities". After `timeout_s` without news it raises `RunError`.
        """
        return self._views(rectangle, level, layers, beings, timeout_s)

    def _views(
        self, rectangle: Four | None, level: str, layers: Iterable[str], beings: bool, timeout_s: float | None
    ) -> Iterator[View]:
        torus, view = self.torus, Rectangle(0, 0, *self.torus) if rectangle is None else Rectangle(*rectangle)
        if level not in self._core.known.levels:
            raise RunError(f'level "{level}": use one of {", ".join(self._core.known.levels)}')
        if not (1 <= view.height <= torus.height and 1 <= view.width <= torus.width):
            raise RunError(f"rectangle = {list(view)}: give y, x, height, width in cells of a world of {list(torus)}")
        names = list(layers)
        try:
            numbers = layer_numbers(names, self._core.known.layers)
        except ValueError as error:
            raise RunError(str(error)) from None
        topics = topics_over(view, level, [*([BEINGS] if beings else []), *numbers], torus)
        if not topics or len(topics) > self._core.known.max_tiles:
            most = self._core.known.max_tiles
            raise RunError(f"{len(topics)} tiles: watch 1 to {most} at once: give another rectangle or level")
        order = dict(zip(names, numbers, strict=True))
        cache: dict[Topic, tuple[int, list[Piece]]] = {}
        self._core.watch(self._shown, topics)
        try:
            number = self._core.wait_for_tiles(self._shown, topics, 0, timeout_s, SETTLE_S)
            found = self._seen(cache, topics, view, level, order)
            end_s = time.monotonic() + WHOLE_S
            while not found.complete and (left_s := end_s - time.monotonic()) > 0:
                with suppress(RunError):  # what is missing may never come: then the first view shows what there is
                    number = self._core.wait_for_tiles(self._shown, topics, number, left_s, SETTLE_S)
                found = self._seen(cache, topics, view, level, order)
            while True:
                yield found
                number = self._core.wait_for_tiles(self._shown, topics, number, timeout_s, SETTLE_S)
                found = self._seen(cache, topics, view, level, order)
        finally:
            self._core.unwatch(self._shown, topics)

    def _seen(
        self,
        cache: dict[Topic, tuple[int, list[Piece]]],
        topics: Sequence[Topic],
        view: Rectangle,
        level: str,
        layers: Mapping[str, int],
    ) -> View:
        """The newest view; `cache` keeps what was decoded before."""
        for topic in topics:
            kept = self._core.tile(self._shown, topic)
            if kept is not None and cache.get(topic, (0, []))[0] != kept[0]:
                cache[topic] = (kept[0], _decoded(kept[1], self.torus))
        return _joined(cache, topics, view, level, layers, self.torus)


def _decoded(frames: Sequence[bytes], torus: Torus) -> list[Piece]:
    found = []
    for frame in frames:
        try:
            found.append(decode(frame, torus))
        except ValueError:
            continue  # no gateway of ours sends such
    return found


def _joined(
    cache: Mapping[Topic, tuple[int, list[Piece]]],
    topics: Sequence[Topic],
    view: Rectangle,
    level: str,
    layers: Mapping[str, int],
    torus: Torus,
) -> View:
    pieces = [piece for topic in topics for piece in cache.get(topic, (0, []))[1]]
    ticks = [piece.head.tick for piece in pieces]
    covered = sum(piece.rectangle.cells for piece in pieces)
    wanted = sum(cells.cells for topic in topics if (cells := topic.cells(torus)) is not None)
    found = View(max(ticks, default=0), min(ticks, default=0), view, level, complete=covered == wanted)
    beings = [piece for piece in pieces if piece.topic.layer == BEINGS]
    if level == "densities":
        found.counts = join_counts(beings, view, torus)
    else:
        for table, columns in join_beings(beings).items():
            inside = ((columns["y"] - view.y) % torus.height < view.height) & (
                (columns["x"] - view.x) % torus.width < view.width
            )
            found.beings[table] = {name: array[inside] for name, array in columns.items()}
    for name, number in layers.items():
        found.fields[name] = join_field([p for p in pieces if p.topic.layer == number], view, torus)
    return found


class Connection(_Looking):
    """A running world; made by `connect`. What it gives are plain numbers, dicts and numpy arrays."""

    def __init__(self, core: Core, timeout_s: float = TIMEOUT_S):
        self._core, self.timeout_s = core, timeout_s
        self._core.open(timeout_s)

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave; the world goes on."""
        self._core.close()

    @property
    def role(self) -> str:
        """What the gateway takes us for: keeper or spectator."""
        return self._core.known.role

    @property
    def directory(self) -> str:
        """Where nodes join; empty for spectators."""
        return self._core.known.directory

    @property
    def name(self) -> str:
        """The world's name."""
        return self._core.known.world

    @property
    def bytes_per_s(self) -> float | None:
        """How many bytes a second may come of what is watched, on the average (None: no bound); can be set."""
        return self._core.bytes_per_s

    @bytes_per_s.setter
    def bytes_per_s(self, bytes_per_s: float | None) -> None:
        self._core.bytes_per_s = bytes_per_s

    def status(self) -> dict[str, Any]:
        """Where the world is, as `umwelt status --json` tells it; a few tenths of a second old."""
        return self._core.wait_for_status(bool, self.timeout_s)

    def wait(self, tick: int, timeout_s: float | None = None) -> Any:
        """Until the world has reached a tick; gives the tick that it has reached."""
        return self._wait(tick, timeout_s)

    def _wait(self, tick: int, timeout_s: float | None) -> int:
        return self._core.wait_for_status(lambda status: status.get("tick", -1) >= tick, timeout_s)["tick"]

    # --- deeds

    def _command(self, what: str, **arguments: Any) -> Any:
        content = msgspec.json.encode(arguments, enc_hook=_plain)
        asked = self._core.ask(lambda ticket: viewer_protocol.Command(ticket, what, content))
        return self._do(asked, what, lambda reply: reply.tick)

    def drop(self, y: int, x: int, substance: str, count: int) -> Any:
        """Put molecules into a cell."""
        return self._command("drop", y=y, x=x, substance=substance, count=count)

    def paint(self, y: int, x: int, height: int, width: int, part: str, value: int) -> Any:
        """Set a field, or a substance, of all cells of a rectangle."""
        return self._command("paint", y=y, x=x, height=height, width=width, part=part, value=value)

    def rain(self, y: int, x: int, radius_cells: int = 4, count: int = 100) -> Any:
        """Water on each cell of a disc."""
        return self._command("rain", y=y, x=x, radius_cells=radius_cells, count=count)

    def spawn(
        self, species: str = "", y: float = 0, x: float = 0, genome: Sequence[int] | None = None, like: int = 0
    ) -> Any:
        """A founder of a species, with a genome of its own if one is given; or a copy of the being `like`."""
        genes = None if genome is None else [int(gene) for gene in genome]
        return self._command("spawn", species=species, y=y, x=x, genome=genes, like=like)

    def remove(self, being: int) -> Any:
        """Take a being out of the world, with all it holds."""
        return self._command("remove", id=being)

    def move(self, being: int, y: float, x: float) -> Any:
        """Put a being elsewhere, in cells; as it is when it is fetched."""
        return self._command("move", id=being, y=y, x=x)

    def wound(self, being: int, tissue_count: int) -> Any:
        """Let tissue of a body fall to the ground."""
        return self._command("wound", id=being, tissue_count=tissue_count)

    def drive(self, being: int, **drives: float) -> Any:
        """Hold a body: these drives (-1 to 1; those not named rest) stand in the place of its own until `release`."""
        return self._command("drive", id=being, drives=drives)

    def release(self, being: int) -> Any:
        """Give a held body back to itself."""
        return self._command("drive", id=being, drives=None)

    def set_rate(self, reaction: str, rate: float | None) -> Any:
        """Give a reaction another rate a tick; None gives it back its own."""
        return self._command("rate", reaction=reaction, rate=rate)

    def do(self, *given: deeds.Deed) -> Any:
        """Deeds as `agents/commands/deeds.py` has them, all at one tick."""
        return self._command("deeds", deeds=[msgspec.Raw(deeds.written(deed)) for deed in given])

    # --- time and nodes

    def _order(self, what: str, value: float = 0.0, name: str = "") -> Any:
        once = what in ("step", "save")
        asked = self._core.ask(lambda ticket: viewer_protocol.Order(ticket, what, value, name), once)
        return self._do(asked, what, lambda reply: reply.tick)

    def pause(self) -> Any:
        """Hold time; gives the tick at which the world comes to rest."""
        return self._order("pause")

    def go(self) -> Any:
        """Let time go on."""
        return self._order("go")

    def step(self, ticks: int = 1) -> Any:
        """So many ticks, then rest."""
        return self._order("step", float(ticks))

    def speed(self, ticks_per_s: float = 0.0) -> Any:
        """At most so many ticks a second; 0 is as fast as it goes."""
        return self._order("speed", float(ticks_per_s))

    def save(self) -> Any:
        """Take a snapshot that is kept."""
        return self._order("save")

    def leave(self, node: str) -> Any:
        """Let a node go, by its name; others take over what it holds."""
        return self._order("leave", name=node)

    def stop(self) -> Any:
        """Save the world and end it."""
        return self._order("stop")

    # --- the past

    def _past(self, what: str, tick: int, convert: Callable[[Reply], Any], **more: Any) -> Any:
        asked = self._core.ask(lambda ticket: viewer_protocol.History(ticket, what, tick, **more), what == "fork")
        return self._do(asked, f"{what} {tick}", convert, PAST_TIMEOUT_S if what in ("show", "fork", "play") else 0.0)

    def snapshots(self) -> Any:
        """The snapshots of the run, in order: `{"tick": ..., "kept": ...}`."""
        return self._past("list", 0, lambda reply: reply.content["snapshots"])

    def show(self, tick: int) -> Any:
        """A moment of the past, to be watched and asked beside the running world; replayed from the snapshot before."""
        return self._past("show", tick, lambda reply: self._moment(tick))

    def _moment(self, tick: int) -> "Moment":
        return Moment(self, tick)

    def fork(self, tick: int) -> Any:
        """Another run that goes on from a tick; gives its folder."""
        return self._past("fork", tick, lambda reply: reply.content["run"])

    def metrics(self, since: int = 0) -> Any:
        """The journalled metrics from a tick on, at most 2,000 points at even distances.

        `{"ticks": [...], "births": [...], "deaths": [...], "populations": {table: {species: [...]}}, "substances":
        {name: [...]}}`; births and deaths since tick 0.
        """
        return self._past("metrics", int(since), lambda reply: msgspec.json.decode(reply.raw, type=dict[str, Any]))

    def births(self, since: int = 0, most: int = 20_000, table: str = "", after: int = 0) -> Any:
        """Births of beings (of a table, or all) from a tick on, in order, as far as their ticks are journalled whole.

        Arrays id, parent_id, tick, y, x, species (an index of `species`, -1: unknown), marker_a, marker_b, marker_c (0
        where the genome is not of Earth's monsters). `more`: whether there are; `next` and `after` are what to give as
        `since` and `after` the next time, now or when the world has gone on.
        """

        def convert(reply: Reply) -> dict[str, Any]:
            told = {name: reply.content[name] for name in ("more", "next", "after")}
            return {**queries.read_columns(reply.content, reply.raw), **told}

        return self._past("births", int(since), convert, table=table, most=int(most), being=int(after))

    def family(self, being: int) -> Any:
        """The ancestors of a being (its parent first, at most 64) and its children (the eldest first, at most 256).

        `{"ancestors": [...], "children": [...]}`, each with id, parent_id, tick, species, y, x; founders are left out.
        """
        return self._past("family", 0, lambda reply: reply.content, being=int(being))


def _plain(value: Any) -> Any:
    """Numbers of numpy as Python's."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise NotImplementedError(type(value))


class Moment(_Looking):
    """A tick of the past, as it was."""

    def __init__(self, world: Connection, tick: int):
        self._core, self._shown, self.tick, self.timeout_s = world._core, tick, tick, world.timeout_s

    def play(self, ticks_per_s: float) -> Any:
        """Go on from here as the run did, so many ticks a second or as fast as it goes; gives the tick it stands at.

        It stays known by the tick it was shown at; what is seen and asked of it tells the tick it has come to. To show
        that tick again takes it back.
        """
        asked = self._core.ask(
            lambda ticket: viewer_protocol.History(ticket, "play", self.tick, value=float(ticks_per_s))
        )
        return self._do(asked, f"play {self.tick}", lambda reply: reply.tick, PAST_TIMEOUT_S)

    def rest(self) -> Any:
        """Stand still; gives the tick it stands at."""
        return self.play(0.0)


class _Awaited(_Looking):
    """Looking and asking, to be awaited."""

    def _do(self, asked: "Future[Reply]", what: str, convert: Callable[[Reply], Any], timeout_s: float = 0.0) -> Any:
        return self._awaited(asked, what, convert, timeout_s or self.timeout_s)

    def _carry(self, begun: Callable[[], Any]) -> Any:
        return begun()

    async def _awaited(
        self, asked: "Future[Reply]", what: str, convert: Callable[[Reply], Any], timeout_s: float
    ) -> Any:
        try:
            return convert(await asyncio.wait_for(asyncio.wrap_future(asked), timeout_s))
        except TimeoutError:
            raise RunError(
                f"{self._core.address}: no answer to {what} within {timeout_s:g} s: see whether the world still runs"
            ) from None

    async def _watched(self, views: Iterator[View]) -> AsyncIterator[View]:
        try:
            while (view := await asyncio.to_thread(next, views, None)) is not None:
                yield view
        finally:
            self._core.wake()

    def watch(
        self,
        rectangle: Four | None = None,
        level: str = "bodies",
        layers: Iterable[str] = (),
        beings: bool = True,
        timeout_s: float | None = None,
    ) -> Any:
        """As `Connection.watch`, for `async for`."""
        return self._watched(self._views(rectangle, level, layers, beings, timeout_s))


class AsyncConnection(_Awaited, Connection):
    """A running world, with methods to be awaited; made by `connect_async`. `status` is plain: it is at hand."""

    def wait(self, tick: int, timeout_s: float | None = None) -> Awaitable[int]:
        """Until the world has reached a tick."""
        return asyncio.to_thread(self._wait, tick, timeout_s)

    def _moment(self, tick: int) -> "AsyncMoment":
        return AsyncMoment(self, tick)

    async def __aenter__(self) -> "AsyncConnection":
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self.close)


class AsyncMoment(_Awaited, Moment):
    """A tick of the past, with methods to be awaited."""
