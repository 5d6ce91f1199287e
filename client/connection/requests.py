"""Everything that can be requested of a world, as data: the message to send, and how its answer is read.

Each function takes the `Target` it is for, then the arguments of the method with its name, and returns a `Request`. No
function does I/O: `api.py` and `promises.py` make a method of each, which awaits the answer, waits for it, or returns a
promise. To add a request, write its function here and one line in each of those classes.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec
import numpy as np

from umwelt.agents import commands
from umwelt.client.connection.answers import (
    Births,
    Cells,
    Counts,
    Family,
    FetchedBeing,
    Metrics,
    Rows,
    Snapshot,
    check_shape,
)
from umwelt.client.connection.pending import Reply
from umwelt.cluster import LIVE, ViewerMessage, Welcome, queries, viewer_protocol
from umwelt.sandbox.errors import RunError

T = TypeVar("T")

REPLAY_TIMEOUT_S = 600.0
"""For requests that replay a part of the run: they may take minutes."""
MAX_BIRTHS = 20_000
ERROR_CHARACTERS = 200

_MALFORMED = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError)
"""What reading an answer of another shape than requested raises."""


class Target(NamedTuple):
    """What a request is for: the running world (`shown` is `LIVE`), or a tick of its past that the gateway shows."""

    known: Welcome
    shown: int = LIVE


@dataclass(frozen=True)
class Request(Generic[T]):
    """A message that is answered once. `name` stands in error lines."""

    name: str
    compose: Callable[[str], ViewerMessage]
    """Returns the message with a ticket."""
    interpret: Callable[[Reply], T]
    """Returns the result that an answer holds."""
    once: bool = False
    """Whether it must not be sent to a second gateway, because it could then take effect twice."""
    timeout_s: float | None = None
    """None for the connection's own."""

    def read(self, reply: Reply) -> T:
        """Returns the result that an answer holds. Raises RunError if the answer is malformed."""
        try:
            return self.interpret(reply)
        except _MALFORMED as error:
            reason = " ".join(repr(error).split())[:ERROR_CHARACTERS]
            line = (
                f"{self.name}: the gateway sent a malformed answer: {reason}: see that it runs this version of umwelt"
            )
            raise RunError(line) from None


def _four(rectangle: Cells) -> tuple[int, int, int, int]:
    """A rectangle as messages carry it."""
    y, x, height, width = rectangle
    return y, x, height, width


def _effect_tick(reply: Reply) -> int:
    return reply.tick


# --- questions


def _question(target: Target, question: queries.Question, interpret: Callable[[Reply], T]) -> Request[T]:
    content = msgspec.json.encode(question)
    return Request("a question", lambda ticket: viewer_protocol.Query(ticket, content, target.shown), interpret)


def query(
    target: Target,
    rectangle: Cells | None = None,
    where: Iterable[tuple[str, str, int | str]] = (),
    columns: Iterable[str] = ("y", "x", "species"),
    table: str = "monsters",
    max_rows: int = queries.MAX_ROWS,
) -> Request[Rows]:
    """Returns beings of a table by column, `id` always among the columns.

    `rectangle` is y, x, height, width in cells. `where` lists conditions that must all hold: a column, one of
    == != < <= > >=, and a whole number, as in `[("sugar_count", ">", 50)]`; a species can be given by name. `columns`
    are names from `Connection.columns[table]`.
    """

    def interpret(reply: Reply) -> Rows:
        columns = queries.read_columns(reply.content, reply.raw)
        return Rows(reply.tick, check_shape(reply.content["total"], int), columns)

    conditions = [(name, operator, _plain(value)) for name, operator, value in where]
    area = None if rectangle is None else _four(rectangle)
    return _question(target, queries.Select(table, list(columns), conditions, area, max_rows), interpret)


def count(target: Target, rectangle: Cells | None = None) -> Request[Counts]:
    """Returns how many beings of each species live, by table; everywhere, or in a rectangle."""
    area = None if rectangle is None else _four(rectangle)
    return _question(target, queries.Count(area), lambda reply: check_shape(reply.content["counts"], Counts))


def fetch(target: Target, being: int) -> Request[FetchedBeing | None]:
    """Returns everything about one being, by its id: columns, stimuli, drives. None if no such being lives."""

    def interpret(reply: Reply) -> FetchedBeing | None:
        place_and_row = queries.read_being(reply.content)
        if place_and_row is None:
            return None
        return check_shape({**reply.content["being"], **place_and_row, "tick": reply.tick}, FetchedBeing)

    return _question(target, queries.Fetch(int(being)), interpret)


def field(target: Target, name: str, rectangle: Cells | None = None) -> Request[np.ndarray]:
    """Returns a layer cell by cell, exact: `int32[height, width]`, of a rectangle or of a small world as a whole."""

    def interpret(reply: Reply) -> np.ndarray:
        shape = reply.content["height"], reply.content["width"]
        return np.frombuffer(reply.raw, np.int32).reshape(shape)

    area = (0, 0, target.known.height, target.known.width) if rectangle is None else _four(rectangle)
    return _question(target, queries.Patch(name, area), interpret)


# --- commands


def command(target: Target, name: str, /, **fields: object) -> Request[int]:
    """Carries out a command by its name, with its fields as arguments; returns the tick at which it takes effect.

    `command("drop", y=3, x=4, substance="water", count=500)` is `drop(3, 4, "water", 500)`. The gateway refuses unknown
    commands and fields.
    """
    content = msgspec.json.encode(fields, enc_hook=_plain)
    return Request(name, lambda ticket: viewer_protocol.CommandRequest(ticket, name, content), _effect_tick)


def drop(target: Target, y: int, x: int, substance: str, count: int) -> Request[int]:
    """Adds molecules of a substance to a cell; returns the tick at which this takes effect, as all commands do."""
    return command(target, "drop", y=y, x=x, substance=substance, count=count)


def paint(target: Target, y: int, x: int, height: int, width: int, part: str, value: int) -> Request[int]:
    """Sets a field, or one substance, to a value in all cells of a rectangle."""
    return command(target, "paint", y=y, x=x, height=height, width=width, part=part, value=value)


def rain(target: Target, y: int, x: int, radius_cells: int = 4, count: int = 100) -> Request[int]:
    """Adds `count` molecules of water to each cell of a disc."""
    return command(target, "rain", y=y, x=x, radius_cells=radius_cells, count=count)


def spawn(
    target: Target,
    species: str = "",
    y: float = 0,
    x: float = 0,
    genome: Sequence[int] | np.ndarray | None = None,
    like: int = 0,
) -> Request[int]:
    """Places a new being: a founder of a species, with its own genome or the one given; or a copy of the being `like`.

    `y` and `x` are in cells.
    """
    genes = None if genome is None else [int(gene) for gene in genome]
    return command(target, "spawn", species=species, y=y, x=x, genome=genes, like=like)


def remove(target: Target, being: int) -> Request[int]:
    """Removes a being, with all the matter that it holds."""
    return command(target, "remove", id=being)


def move(target: Target, being: int, y: float, x: float) -> Request[int]:
    """Moves a being to another place, in cells. It arrives in the state in which it was fetched a moment before."""
    return command(target, "move", id=being, y=y, x=x)


def wound(target: Target, being: int, tissue_count: int) -> Request[int]:
    """Moves tissue of a body to the ground of its cell, as a bite does."""
    return command(target, "wound", id=being, tissue_count=tissue_count)


def drive(target: Target, being: int, **drives: float) -> Request[int]:
    """Holds a body: these drives, -1 to 1, replace its own until `release`. Drives that are not named are 0."""
    return command(target, "drive", id=being, drives=drives)


def release(target: Target, being: int) -> Request[int]:
    """Ends what `drive` began: the body acts by its own drives again."""
    return command(target, "drive", id=being, drives=None)


def set_rate(target: Target, reaction: str, rate: float | None) -> Request[int]:
    """Sets the rate of a reaction, per tick; None restores the rate of the world file."""
    return command(target, "rate", reaction=reaction, rate=rate)


def do(target: Target, *given: commands.Command) -> Request[int]:
    """Carries out several commands at one tick, as `umwelt.agents.commands` has them."""
    return command(target, commands.BATCH, commands=[msgspec.Raw(commands.encode(one)) for one in given])


def _plain(value: Any) -> Any:
    """Numbers and arrays of numpy as Python's own."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, int | float | str):
        return value
    raise NotImplementedError(f"{type(value).__name__} cannot be sent: give plain numbers, texts and lists")


# --- time and nodes


def _order(what: str, value: float = 0.0, name: str = "") -> Request[int]:
    once = what in ("step", "save")
    return Request(what, lambda ticket: viewer_protocol.Order(ticket, what, value, name), _effect_tick, once)


def pause(target: Target) -> Request[int]:
    """Pauses the world; returns the tick at which it will stand still."""
    return _order("pause")


def go(target: Target) -> Request[int]:
    """Lets a paused world run on."""
    return _order("go")


def step(target: Target, ticks: int = 1) -> Request[int]:
    """Runs a paused world for so many ticks."""
    return _order("step", float(ticks))


def speed(target: Target, ticks_per_s: float = 0.0) -> Request[int]:
    """Limits the world to so many ticks a second; 0 removes the limit."""
    return _order("speed", float(ticks_per_s))


def save(target: Target) -> Request[int]:
    """Takes a snapshot that is never removed."""
    return _order("save")


def leave(target: Target, node: str) -> Request[int]:
    """Removes a node, by its name, from the world; the other nodes take over its cells."""
    return _order("leave", name=node)


def stop(target: Target) -> Request[int]:
    """Saves the world and ends its processes."""
    return _order("stop")


# --- the past


def _history(
    what: str, tick: int, interpret: Callable[[Reply], T], timeout_s: float | None = None, **more: Any
) -> Request[T]:
    return Request(
        f"{what} {tick}",
        lambda ticket: viewer_protocol.History(ticket, what, tick, **more),
        interpret,
        once=what == "fork",
        timeout_s=timeout_s,
    )


def snapshots(target: Target) -> Request[list[Snapshot]]:
    """Returns the snapshots of the run, in ascending order of their ticks."""
    return _history("list", 0, lambda reply: check_shape(reply.content["snapshots"], list[Snapshot]))


def show(target: Target, tick: int) -> Request[int]:
    """Replays the run up to a tick of its past, so that it can be watched and queried; returns the tick."""
    return _history("show", int(tick), lambda reply: int(tick), REPLAY_TIMEOUT_S)


def play(target: Target, ticks_per_s: float) -> Request[int]:
    """Lets a shown tick run on as the run did, so many ticks a second; returns the tick at which it is now.

    The moment keeps the name of the tick at which it was shown; what is watched and queried tells the tick that it has
    reached. Showing that tick again takes it back there. 0 stops it.
    """
    return _history("play", target.shown, _effect_tick, REPLAY_TIMEOUT_S, value=float(ticks_per_s))


def rest(target: Target) -> Request[int]:
    """Stops what `play` began; returns the tick at which it stands."""
    return play(target, 0.0)


def fork(target: Target, tick: int) -> Request[str]:
    """Makes another run that shares this one's history up to a tick; returns its folder on the gateway's machine."""
    return _history("fork", int(tick), lambda reply: check_shape(reply.content["run"], str), REPLAY_TIMEOUT_S)


def metrics(target: Target, since: int = 0) -> Request[Metrics]:
    """Returns the journalled numbers of the world from a tick on: at most 2,000 ticks, evenly spaced."""
    return _history(
        "metrics", int(since), lambda reply: check_shape(msgspec.json.decode(reply.raw, type=Metrics), Metrics)
    )


def births(
    target: Target, since: int = 0, max_rows: int = MAX_BIRTHS, table: str = "", after: int = 0
) -> Request[Births]:
    """Returns a page of the journalled births from the tick `since` on; of one table, or of all.

    To read on, call it again with the answer's `next` and `after`: at once if there are `more`, else when the world has
    gone on. Ticks that are not journalled as a whole are left for the next page.
    """

    def interpret(reply: Reply) -> Births:
        columns = queries.read_columns(reply.content, reply.raw)
        more, following, after = (reply.content[name] for name in ("more", "next", "after"))
        return Births(
            id=columns["id"],
            parent_id=columns["parent_id"],
            tick=columns["tick"],
            y=columns["y"],
            x=columns["x"],
            species=columns["species"],
            marker_a=columns["marker_a"],
            marker_b=columns["marker_b"],
            marker_c=columns["marker_c"],
            more=check_shape(more, bool),
            next=check_shape(following, int),
            after=check_shape(after, int),
        )

    return _history("births", int(since), interpret, table=table, most=int(max_rows), being=int(after))


def family(target: Target, being: int) -> Request[Family]:
    """Returns the journalled ancestors (at most 64) and children (at most 256) of a being. Founders have no birth."""
    return _history("family", 0, lambda reply: check_shape(reply.content, Family), being=int(being))
