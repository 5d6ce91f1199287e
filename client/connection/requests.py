"""All requests to a gateway, as data: the message to send, and the function that decodes its answer.

Each public function takes a `Target`, then the arguments of the connection method of the same name, and returns a
`Request`. No function does I/O: `api.py` and `promises.py` wrap each function as a method that blocks for the answer,
awaits it, or returns a promise. The method has the docstring of the function; therefore the docstrings state the
result of the method, not the `Request` that the function returns.

Words in this file: the *gateway* is the process of a running world that answers clients. A *table* contains the beings
of one kind, such as "plants" or "monsters"; a *layer* has one value for each cell of the world. A *snapshot* is the
complete state of the world at a tick, saved on disk; the *journal* is the run's record of births and measurements.

To add a request, write its function here and add one line to each connection class.
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
"""Time limit of requests that replay a part of the run, in seconds."""
MAX_BIRTHS = 20_000
"""Default maximum number of births in one answer to `births`."""
ERROR_CHARACTERS = 200
"""Maximum length of the reason in the error message for a malformed answer."""

_MALFORMED = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError)
"""The exceptions that reading a malformed answer can raise."""


class Target(NamedTuple):
    """The world that a request addresses: its announced properties, and the tick.

    `shown` is `LIVE` for the running world, or the past tick with which `show` was called.
    """

    known: Welcome
    shown: int = LIVE


@dataclass(frozen=True)
class Request(Generic[T]):
    """A message to the gateway, and the function that decodes its answer. `name` identifies it in error messages."""

    name: str
    compose: Callable[[str], ViewerMessage]
    """Function from a ticket (the request's unique id, repeated in its answer) to the message."""
    interpret: Callable[[Reply], T]
    """Function from the answer to the result; raises any of `_MALFORMED` if the answer is malformed."""
    once: bool = False
    """Whether the request is not resent to a second gateway, because it could then take effect twice."""
    timeout_s: float | None = None
    """Time limit in seconds; None for the connection's `timeout_s`."""

    def read(self, reply: Reply) -> T:
        """Returns the result that `reply` contains. Raises RunError if the answer is malformed."""
        try:
            return self.interpret(reply)
        except _MALFORMED as error:
            reason = " ".join(repr(error).split())[:ERROR_CHARACTERS]
            line = (
                f"{self.name}: the gateway sent a malformed answer: {reason}: see that it runs this version of umwelt"
            )
            raise RunError(line) from None


def _four(rectangle: Cells) -> tuple[int, int, int, int]:
    """Returns `rectangle` as a tuple of y, x, height, width, the form that messages need."""
    y, x, height, width = rectangle
    return y, x, height, width


def _effect_tick(reply: Reply) -> int:
    """Returns the tick at which a command takes effect, from the gateway's answer to it."""
    return reply.tick


# --- queries


def _question(target: Target, question: queries.Question, interpret: Callable[[Reply], T]) -> Request[T]:
    """Returns the request for a query (`question`) about the target's world and tick.

    `interpret` reads the result from the gateway's answer.
    """
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
    """Returns the living beings of `table` that meet all conditions, as arrays by column; at most `max_rows` beings.

    `rectangle` limits the search to y, x, height, width in cells. `where` lists conditions that must all hold: a
    column, one of == != < <= > >=, and an integer, as in `[("sugar_count", ">", 50)]`; a species can be given by name.
    `columns` are names from `Connection.columns[table]`; the column `id` is always included.
    """

    def interpret(reply: Reply) -> Rows:
        columns = queries.read_columns(reply.content, reply.raw)
        return Rows(reply.tick, check_shape(reply.content["total"], int), columns)

    conditions = [(name, operator, _plain(value)) for name, operator, value in where]
    area = None if rectangle is None else _four(rectangle)
    return _question(target, queries.Select(table, list(columns), conditions, area, max_rows), interpret)


def count(target: Target, rectangle: Cells | None = None) -> Request[Counts]:
    """Returns the number of living beings by table, then by species, in `rectangle` or in the full world."""
    area = None if rectangle is None else _four(rectangle)
    return _question(target, queries.Count(area), lambda reply: check_shape(reply.content["counts"], Counts))


def fetch(target: Target, being: int) -> Request[FetchedBeing | None]:
    """Returns all data of the living being with the id `being`; None if no living being has this id.

    The data include its columns, its stimuli (the inputs of its behaviour) and its drives (the outputs).
    """

    def interpret(reply: Reply) -> FetchedBeing | None:
        place_and_row = queries.read_being(reply.content)
        if place_and_row is None:
            return None
        return check_shape({**reply.content["being"], **place_and_row, "tick": reply.tick}, FetchedBeing)

    return _question(target, queries.Fetch(int(being)), interpret)


def field(target: Target, name: str, rectangle: Cells | None = None) -> Request[np.ndarray]:
    """Returns the exact values of the layer `name` as `int32[height, width]`, in `rectangle` or in the full world.

    The gateway refuses areas of too many cells; for a large world, give a rectangle.
    """

    def interpret(reply: Reply) -> np.ndarray:
        shape = reply.content["height"], reply.content["width"]
        return np.frombuffer(reply.raw, np.int32).reshape(shape)

    area = (0, 0, target.known.height, target.known.width) if rectangle is None else _four(rectangle)
    return _question(target, queries.Patch(name, area), interpret)


# --- commands


def command(target: Target, name: str, /, **fields: object) -> Request[int]:
    """Executes the command called `name` with these fields; returns the tick at which it takes effect.

    `command("drop", y=3, x=4, substance="water", count=500)` is the same as `drop(3, 4, "water", 500)`. The gateway
    refuses unknown commands and fields.
    """
    content = msgspec.json.encode(fields, enc_hook=_plain)
    return Request(name, lambda ticket: viewer_protocol.CommandRequest(ticket, name, content), _effect_tick)


def drop(target: Target, y: int, x: int, substance: str, count: int) -> Request[int]:
    """Adds `count` molecules of a substance to a cell; returns the tick at which the command takes effect."""
    return command(target, "drop", y=y, x=x, substance=substance, count=count)


def paint(target: Target, y: int, x: int, height: int, width: int, part: str, value: int) -> Request[int]:
    """Sets the field or substance `part` to `value` in all cells of a rectangle.

    Returns the tick at which the command takes effect.
    """
    return command(target, "paint", y=y, x=x, height=height, width=width, part=part, value=value)


def rain(target: Target, y: int, x: int, radius_cells: int = 4, count: int = 100) -> Request[int]:
    """Adds `count` molecules of water to each cell within `radius_cells` cells of the cell `y`, `x`.

    Returns the tick at which the command takes effect.
    """
    return command(target, "rain", y=y, x=x, radius_cells=radius_cells, count=count)


def spawn(
    target: Target,
    species: str = "",
    y: float = 0,
    x: float = 0,
    genome: Sequence[int] | np.ndarray | None = None,
    like: int = 0,
) -> Request[int]:
    """Places a new being at `y`, `x` (in cells); returns the tick at which it appears.

    The being is a founder of `species`, with `genome` or else a founder's genome of that species; or, if `like` is the
    id of a being, a copy of that being.
    """
    genes = None if genome is None else [int(gene) for gene in genome]
    return command(target, "spawn", species=species, y=y, x=x, genome=genes, like=like)


def remove(target: Target, being: int) -> Request[int]:
    """Removes a being, with all matter in its body; returns the tick at which the command takes effect."""
    return command(target, "remove", id=being)


def move(target: Target, being: int, y: float, x: float) -> Request[int]:
    """Moves a being to `y`, `x` (in cells); returns the tick at which the command takes effect.

    The gateway reads the being's state before that tick, and the being has this state in its new place: changes of the
    being in between are lost.
    """
    return command(target, "move", id=being, y=y, x=x)


def wound(target: Target, being: int, tissue_count: int) -> Request[int]:
    """Moves `tissue_count` molecules of tissue from a being's body to the cell below it, as a bite does.

    Returns the tick at which the command takes effect.
    """
    return command(target, "wound", id=being, tissue_count=tissue_count)


def drive(target: Target, being: int, **drives: float) -> Request[int]:
    """Controls the body of a being: until `release`, these drives replace those that its behaviour computes.

    A drive controls one action of the body, such as a bite, by a number from -1 to 1; drives not given are 0.

    Returns the tick at which the command takes effect.
    """
    return command(target, "drive", id=being, drives=drives)


def release(target: Target, being: int) -> Request[int]:
    """Ends the control that `drive` began: the being's behaviour determines all its drives again.

    Returns the tick at which the command takes effect.
    """
    return command(target, "drive", id=being, drives=None)


def set_rate(target: Target, reaction: str, rate: float | None) -> Request[int]:
    """Sets the rate of a chemical reaction, per tick; None restores the rate with which the world began.

    Returns the tick at which the command takes effect.
    """
    return command(target, "rate", reaction=reaction, rate=rate)


def do(target: Target, *given: commands.Command) -> Request[int]:
    """Executes several commands (instances from `umwelt.agents.commands`) at the same tick; returns that tick."""
    return command(target, commands.BATCH, commands=[msgspec.Raw(commands.encode(one)) for one in given])


def _plain(value: Any) -> Any:
    """Returns `value` with NumPy scalars and arrays converted to Python numbers and lists."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, int | float | str):
        return value
    raise NotImplementedError(f"{type(value).__name__} cannot be sent: give plain numbers, texts and lists")


# --- time and nodes


def _order(what: str, value: float = 0.0, name: str = "") -> Request[int]:
    """Returns the request for the order `what` (such as "pause"), with the value or the node's name that it needs."""
    once = what in ("step", "save")
    return Request(what, lambda ticket: viewer_protocol.Order(ticket, what, value, name), _effect_tick, once)


def pause(target: Target) -> Request[int]:
    """Pauses the world; returns the tick at which it stops."""
    return _order("pause")


def go(target: Target) -> Request[int]:
    """Resumes a paused world; returns the tick at which it resumes."""
    return _order("go")


def step(target: Target, ticks: int = 1) -> Request[int]:
    """Runs a paused world for `ticks` ticks; returns the tick at which the order takes effect."""
    return _order("step", float(ticks))


def speed(target: Target, ticks_per_s: float = 0.0) -> Request[int]:
    """Limits the world to `ticks_per_s` ticks per second; 0 removes the limit.

    Returns the tick at which the limit takes effect.
    """
    return _order("speed", float(ticks_per_s))


def save(target: Target) -> Request[int]:
    """Saves a snapshot that is never removed automatically; returns its tick."""
    return _order("save")


def leave(target: Target, node: str) -> Request[int]:
    """Removes the node called `node` from the world; the other nodes take over its cells.

    Returns the tick at which the order takes effect.
    """
    return _order("leave", name=node)


def stop(target: Target) -> Request[int]:
    """Saves the world and ends its processes; returns the tick at which it stops."""
    return _order("stop")


# --- the past


def _history(
    what: str, tick: int, interpret: Callable[[Reply], T], timeout_s: float | None = None, **more: Any
) -> Request[T]:
    """Returns the request for something of the run's past, such as its snapshots (`what` is "list") or its births.

    `what`, `tick` and the fields in `more` are those of the message `viewer_protocol.History`, which documents them.
    """
    return Request(
        f"{what} {tick}",
        lambda ticket: viewer_protocol.History(ticket, what, tick, **more),
        interpret,
        once=what == "fork",
        timeout_s=timeout_s,
    )


def snapshots(target: Target) -> Request[list[Snapshot]]:
    """Returns the snapshots of the run, in ascending order of ticks."""
    return _history("list", 0, lambda reply: check_shape(reply.content["snapshots"], list[Snapshot]))


def show(target: Target, tick: int) -> Request[int]:
    """Replays the run up to the past tick `tick`, so that it can be watched and queried; returns `tick`."""
    return _history("show", int(tick), lambda reply: int(tick), REPLAY_TIMEOUT_S)


def play(target: Target, ticks_per_s: float) -> Request[int]:
    """Lets the past that `show` returned advance, at `ticks_per_s`; 0 stops it. Returns the tick reached so far.

    From then on, queries and views of this past tick are answered from the tick that the replay has reached, which they
    contain. Calling `show` again with the same tick resets the replay to it.
    """
    return _history("play", target.shown, _effect_tick, REPLAY_TIMEOUT_S, value=float(ticks_per_s))


def rest(target: Target) -> Request[int]:
    """Stops the replay that `play` started; returns the tick at which it stopped."""
    return play(target, 0.0)


def fork(target: Target, tick: int) -> Request[str]:
    """Creates a run that shares this run's history up to `tick`; returns its folder on the gateway's machine."""
    return _history("fork", int(tick), lambda reply: check_shape(reply.content["run"], str), REPLAY_TIMEOUT_S)


def metrics(target: Target, since: int = 0) -> Request[Metrics]:
    """Returns the journal's measurements (births, deaths, populations, substances) from the tick `since` on.

    The answer has at most 2,000 ticks, evenly spaced.
    """
    return _history(
        "metrics", int(since), lambda reply: check_shape(msgspec.json.decode(reply.raw, type=Metrics), Metrics)
    )


def births(
    target: Target, since: int = 0, max_rows: int = MAX_BIRTHS, table: str = "", after: int = 0
) -> Request[Births]:
    """Returns a page of the births in the journal from the tick `since` on: at most `max_rows`.

    `table` limits the births to one table; "" means all tables. For the next page, pass the answer's `next` as `since`
    and its `after` as `after`: immediately if `more` is true, otherwise after the world has advanced. Ticks whose
    births are not yet all in the journal are left to the next page.
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
    """Returns the ancestors (at most 64) and children (at most 256) of a being that have a birth in the journal.

    Founders have no birth, so they are not among the ancestors.
    """
    return _history("family", 0, lambda reply: check_shape(reply.content, Family), being=int(being))
