"""A recorded minute of a world, played as if it ran: the window's session and feed see no difference.

What was recorded is put back into a region, moment by moment, and nodes' own code cuts tiles out of it and answers
questions about it. Time may be paused and go on, faster or slower; the world itself cannot be touched.
"""

import time
import tomllib
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from copy import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from umwelt.agents.body.genome import TRAIT
from umwelt.agents.earth.genesis import chemistry, constants_of
from umwelt.agents.hocl.programs import bundled_minds
from umwelt.agents.open_world import empty_region, torus_of
from umwelt.agents.species.hocl_behaviour import SUFFIX
from umwelt.agents.world_file import EARTH, WorldFile, parse_world
from umwelt.client.connection.pending import Reply
from umwelt.client.connection.promises import PromisedConnection
from umwelt.client.window.recording import recording
from umwelt.client.window.recording.recording import Recording, Tracks
from umwelt.cluster.gateway import journal_queries
from umwelt.cluster.gateway.journal_queries import MARKERS, MAX_BIRTHS
from umwelt.cluster.gateway.welcome import compose_welcome, species_names
from umwelt.cluster.run.journal import Metrics
from umwelt.cluster.run.journal_lineage import MAX_ANCESTORS, MAX_CHILDREN
from umwelt.cluster.view import queries
from umwelt.cluster.view.tile_encoder import Cutter
from umwelt.cluster.view.tiles import BEINGS, SKY, Topic, has_traits
from umwelt.cluster.wire import viewer_protocol
from umwelt.cluster.wire.keys import KEEPER
from umwelt.cluster.wire.viewer_protocol import LIVE
from umwelt.sandbox.columns import PLACE_BITS, TICK_BITS, Table
from umwelt.sandbox.errors import RunError, UmweltError
from umwelt.sandbox.region import Rectangle
from umwelt.sandbox.text import one_of
from umwelt.sandbox.units import SUBCELL_BITS

BUNDLED = Path(__file__).with_name("pond.demo")
UNTOUCHED = "this is a recording: start a world with umwelt launch to touch one"
MAX_TICKS_A_S = 400.0
MOVES = ".moves"
SKY_FROM = ("vapour", "elevation")
WAIT_S = 0.005
_BORN = ("id", "parent_id", "tick", "y", "x", "species")


def world_of(told: Recording) -> WorldFile:
    """The world that was recorded. Recordings come from anywhere: none may name code to be imported."""
    content = tomllib.loads(told.text)
    ours = {"net", *(f"{name}{SUFFIX}" for name in bundled_minds())}
    behaviours = {group.get("behaviour", "net") for group in content.get("founders", ())}
    if content.get("laws", EARTH) != EARTH or not behaviours <= ours:
        raise ValueError("a world with laws or species of its own cannot be played")
    return parse_world(told.text, "its world", told.name)


class Film:
    """What was recorded, as regions that nodes' code reads: `show` puts them to a moment."""

    def __init__(self, told: Recording):
        self.told, self.world = told, world_of(told)
        self.species = species_names(self.world)
        torus = torus_of(self.world)
        self.region = empty_region(self.world, Rectangle(0, 0, *torus), 0, told.first_tick)
        self.region.constants = constants_of(self.world.settings, chemistry(self.world))
        self.fast, self.slow = copy(self.region), copy(self.region)
        tables = self.region.tables
        self.fast.tables = {name: table for name, table in tables.items() if name + MOVES in told.tracks}
        self.slow.tables = {name: table for name, table in tables.items() if name not in self.fast.tables}
        self.moment = self._sample = -1
        self._layers: dict[str, int] = {}
        self.columns = {
            name: _Columns.of(told, name, table, torus) for name, table in tables.items() if name in told.tracks
        }
        shape = tuple(torus)
        if not all(values.shape[1:] == shape for values in told.fields.values()):
            raise ValueError("its fields are of another size than its world")

    def tick(self, moment: int) -> int:
        """The tick of a moment."""
        return self.told.first_tick + moment * self.told.moment_ticks

    def show(self, moment: int) -> None:
        """Put beings to a moment; fields follow when they are asked for (`show_layer`)."""
        if moment == self.moment:
            return
        sample = moment // self.told.slow
        self.region.tick = self.fast.tick = self.slow.tick = self.tick(moment)
        for name in self.fast.tables:
            self.columns[name].fill(self.fast.tables[name], moment, sample, self.tick(moment))
        if sample != self._sample:
            for name in [name for name in self.slow.tables if name in self.columns]:
                self.columns[name].fill(self.slow.tables[name], moment, sample, self.tick(sample * self.told.slow))
        self.moment, self._sample = moment, sample

    def show_layer(self, layer: str) -> None:
        """Put a layer to the moment: mixed from the planes before and after it."""
        if layer in SKY:
            for source in SKY_FROM:
                self.show_layer(source)
            return
        if self._layers.get(layer) == self.moment or layer not in self.told.fields:
            return
        self._layers[layer] = self.moment
        planes, step = self.told.fields[layer], self.told.steps.get(f"fields/{layer}", 1)
        into = self.region.owned_view(layer)
        if len(planes) == 1:
            into[:] = planes[0].astype(np.int32) * step
            return
        at, rest = divmod(self.moment, self.told.field)
        before, after = planes[at].astype(np.int32), planes[at + 1].astype(np.int32)
        into[:] = (before * (self.told.field - rest) + after * rest) * step // self.told.field

    def answered(self, question: queries.Question) -> queries.Part:
        """What the world says to a question."""
        checked = queries.checked(self.world, question)
        if isinstance(checked, queries.Patch):
            self.show_layer(checked.name)
        part = queries.answered(Cutter(self.world, self.region), checked)
        return queries.merged(checked, [part], self.region.torus)


@dataclass
class _Columns:
    """The columns of a table as its tracks tell them, in the world's units."""

    tracks: Tracks
    moves: Tracks | None
    fixed: dict[str, np.ndarray]
    born_tick: np.ndarray
    births: dict[str, np.ndarray]
    sizes: dict[str, int]
    steps: dict[str, int]
    levels: dict[str, np.ndarray]
    parts: list[tuple[Tracks, str]]

    @classmethod
    def of(cls, told: Recording, name: str, table: Table, torus: Any) -> "_Columns":
        tracks, moves = told.tracks[name], told.tracks.get(name + MOVES)
        if moves is not None and not np.array_equal(moves.ids, tracks.ids):
            raise ValueError(f"{name}: moves of others")
        fixed = dict(tracks.fixed)
        fixed["genome"] = recording.from_parents(tracks.ids, fixed["parent_id"], fixed["genome"])
        fixed["species"] = np.maximum(fixed["species"], 0)
        births = dict(zip(("y_fixed", "x_fixed"), recording.birthplaces(tracks.ids, *torus), strict=True))
        sizes = {"y_fixed": torus.height << SUBCELL_BITS, "x_fixed": torus.width << SUBCELL_BITS}
        parts = [(one, column) for one in (tracks, moves) if one is not None for column in one.moving]
        parts = [(one, column) for one, column in parts if column in table]
        born_tick = fixed.pop("born_tick")
        probe = Table(table.schema, 1)
        probe.count = 1
        columns = {**fixed, **{column: one.moving[column] for one, column in parts}}
        if any(columns[c].shape[1:] != probe[c].shape[1:] for c in columns if c in probe) or not sizes.keys() <= {
            column for _, column in parts
        }:
            raise ValueError(f"{name}: columns do not fit")
        fixed = {column: values for column, values in fixed.items() if column in table}
        levels = {column: np.array(values) for column, values in told.levels.items()}
        return cls(tracks, moves, fixed, born_tick, births, sizes, told.steps, levels, parts)

    def fill(self, table: Table, moment: int, sample: int, tick: int) -> None:
        """Let the table hold those who live at a moment."""
        living = self.moves.living(moment) if self.moves is not None else self.tracks.living(sample)
        slow = self.tracks.rows(living, sample)
        fast = self.moves.rows(living, moment) if self.moves is not None else slow
        values: dict[str, np.ndarray] = {"id": self.tracks.ids[living]}
        values |= {column: array[living] for column, array in self.fixed.items()}
        values["age_ticks"] = np.maximum(0, tick - self.born_tick[living])
        for tracks, column in self.parts:
            found = tracks.moving[column][slow if tracks is self.tracks else fast]
            step = self.steps.get(column, 1)
            if column in self.sizes:
                found = (found.astype(np.int64) * step + self.births[column][living]) % self.sizes[column]
            elif column in self.levels:
                found = self.levels[column].take(found, mode="clip")
            elif step > 1:
                found = found.astype(np.int32) * step
            values[column] = found
        table.count = 0
        table.append(len(living), values)


class Annals:
    """What a journal would tell of a recording, read as `cluster.recall` reads journals; `reached` is the tick now."""

    def __init__(self, film: Film):
        self.film, self.reached = film, 0
        known: dict[str, list[np.ndarray]] = {}
        for name, columns in film.columns.items():
            tracks, genome = columns.tracks, columns.fixed["genome"]
            told = {"id": tracks.ids, "tick": (tracks.ids >> PLACE_BITS) & ((1 << TICK_BITS) - 1)}
            told |= {"parent_id": columns.fixed["parent_id"], "species": columns.fixed["species"]}
            told |= {axis[0]: cells >> SUBCELL_BITS for axis, cells in columns.births.items()}
            traits = has_traits(film.region.tables[name].schema)
            for marker in MARKERS:
                told[marker] = genome[:, TRAIT[marker]] if traits else np.zeros(len(tracks.ids), np.int8)
            told["table"] = np.full(len(tracks.ids), list(film.columns).index(name))
            for column, values in told.items():
                known.setdefault(column, []).append(values)
        joined = {column: np.concatenate(parts) for column, parts in known.items()}
        born = np.flatnonzero(joined["tick"] > 0)  # founders were not
        order = born[np.lexsort((joined["id"][born], joined["tick"][born]))]
        self._births = {column: values[order] for column, values in joined.items()}

    def metrics_from(self, since: int, most: int) -> list[Metrics]:
        """The numbers of the world from a tick to now."""
        return [Metrics(**one) for one in self.film.told.statuses if since <= one["tick"] <= self.reached][-most:]

    def births(self, message: viewer_protocol.History) -> tuple[dict[str, Any], bytes]:
        """A page of births, as `Connection.births` wants it."""
        found, end = self._births, max(message.tick, self.reached)
        later = (found["tick"] > message.tick) | ((found["tick"] == message.tick) & (found["id"] > message.being))
        chosen = later & (found["tick"] < end)
        if message.table:
            tables = list(self.film.columns)
            chosen &= found["table"] == tables.index(one_of(message.table[:80], tables, "births: table"))
        rows = np.flatnonzero(chosen)
        most = message.most if 1 <= message.most <= MAX_BIRTHS else MAX_BIRTHS
        more, rows = len(rows) > most, rows[:most]
        columns = {name: found[name][rows] for name in (*_BORN, *MARKERS)}
        told = {
            "count": len(rows),
            "columns": [[name, array.dtype.name, 0] for name, array in columns.items()],
            "more": more,
            "next": int(found["tick"][rows[-1]]) if more else end,
            "after": int(found["id"][rows[-1]]) if more else 0,
        }
        return told, b"".join(array.tobytes() for array in columns.values())

    def family(self, being: int) -> tuple[list[tuple], list[tuple]]:
        """The births of a being's recorded ancestors, its parent's first, and of its children."""
        found = self._births

        def rows(column: str, number: int) -> list[tuple]:
            at = np.flatnonzero((found[column] == number) & (found["tick"] <= self.reached))
            species = self.film.species
            return [
                (
                    *(int(found[name][row]) for name in ("id", "parent_id", "tick", "y", "x")),
                    species[found["species"][row]] if found["species"][row] < len(species) else "",
                )
                for row in at[:MAX_CHILDREN]
            ]

        ancestors: list[tuple] = []
        one = rows("id", being)
        while one and len(ancestors) < MAX_ANCESTORS and (one := rows("id", one[0][1])):
            ancestors += one
        return ancestors, rows("parent_id", being)


@dataclass
class _Kept:
    """The newest pieces of a tile: of what moves, and of all else."""

    arrival: int = 0
    moment: int = -9
    sample: int = -9
    fast: list[bytes] = field(default_factory=list)
    slow: list[bytes] = field(default_factory=list)


class Playback:
    """Plays a film by a clock, over and over: in the place of `connection.GatewayLink`."""

    def __init__(self, told: Recording, clock: Callable[[], float] = time.monotonic):
        self.told, self.clock = told, clock
        self.film = Film(told)
        self.annals = Annals(self.film)
        self.known = compose_welcome(self.film.world, KEEPER, "")
        self.address = "a recording"
        self.bytes_per_s: float | None = None
        self.received_bytes = 0
        self.paused, self.speed = False, 0.0
        self._ticks, self._since_s = 0.0, clock()
        self._fast, self._slow = (Cutter(self.film.world, region) for region in (self.film.fast, self.film.slow))
        self._watched: Counter[Topic] = Counter()
        self._kept: dict[Topic, _Kept] = {}
        self._arrivals = 0
        self._new = False
        self._status: tuple[Any, dict[str, Any]] = (None, {})

    # --- time

    def _now(self) -> float:
        """Ticks since the recording began, over and over."""
        if not self.paused:
            now_s = self.clock()
            self._ticks += max(0.0, now_s - self._since_s) * (self.speed or self.told.ticks_per_s)
            self._since_s = now_s
        self._ticks %= self.told.moments * self.told.moment_ticks
        return self._ticks

    @property
    def moment(self) -> int:
        """The moment that is shown now."""
        return min(int(self._now() // self.told.moment_ticks), self.told.moments - 1)

    def order(self, what: str, value: float) -> None:
        """Pause, go, step, speed: as one orders a running world, done to the playing."""
        self._now()
        if what in ("pause", "step"):
            self.paused = True
        elif what == "go":
            self.paused = False
        if what == "step":
            moments = max(1, -(-int(min(value, 1e6)) // self.told.moment_ticks))
            self._ticks = float((self.moment + moments) * self.told.moment_ticks)
        if what == "speed":
            self.speed = min(max(0.0, value), MAX_TICKS_A_S)
        self._since_s = self.clock()

    # --- as connections do

    def open(self, timeout_s: float) -> None:
        """Nothing is to be waited for."""

    def close(self) -> None:
        """Nothing is held."""

    def wake(self) -> None:
        """Nobody waits."""

    def watch(self, shown: int, topics: Sequence[Topic]) -> None:
        """Watch these tiles too."""
        self._watched.update(topics)
        self._new = True

    def unwatch(self, shown: int, topics: Sequence[Topic]) -> None:
        """Watch these tiles no more."""
        self._watched.subtract(topics)
        for topic in [topic for topic, count in self._watched.items() if count <= 0]:
            del self._watched[topic]
            self._kept.pop(topic, None)

    def tile(self, shown: int, topic: Topic) -> tuple[int, list[bytes]] | None:
        """The newest pieces of a tile, and the number of their arrival."""
        self._cut()
        kept = self._kept.get(topic)
        if shown != LIVE or kept is None:
            return None
        return kept.arrival, [*kept.slow, *kept.fast]

    def _cut(self) -> None:
        """Cut anew what is watched and has changed; what changes slowly not all at the same moment."""
        moment = self.moment
        if moment == self.film.moment and not self._new:
            return
        self._new = False
        self.film.show(moment)
        sample, since = divmod(moment, self.told.slow)
        fast, slow = [], []
        for topic in self._watched:
            kept = self._kept.setdefault(topic, _Kept())
            if topic.layer == BEINGS and kept.moment != moment:
                fast.append(topic)
            # the first moment of a sample is for filling tables
            turn = min(1 + (2 * topic.y + topic.x + topic.layer) % max(1, self.told.slow - 1), self.told.slow - 1)
            if kept.sample != sample and (since >= turn or sample - kept.sample != 1):
                slow.append(topic)
        for topic in slow:
            if topic.layer != BEINGS and topic.layer < len(self._slow.layers):
                self.film.show_layer(self._slow.layers[topic.layer])
        found = {False: self._pieces(self._fast, fast), True: self._pieces(self._slow, slow)}
        for topic in dict.fromkeys([*fast, *slow]):
            kept = self._kept[topic]
            self.received_bytes += sum(len(piece) for pieces in found.values() for piece in pieces.get(topic, ()))
            self._arrivals += 1
            kept.arrival = self._arrivals
            if topic in found[False]:
                kept.moment, kept.fast = moment, found[False][topic]
            if topic in found[True]:
                kept.sample, kept.slow = sample, found[True][topic]

    def _pieces(self, cutter: Cutter, topics: Sequence[Topic]) -> dict[Topic, list[bytes]]:
        found: dict[Topic, list[bytes]] = {topic: [] for topic in topics}
        for topic, piece in cutter.tiles(topics, 0) if topics else ():
            found[topic].append(piece)
        return found

    def latest(self) -> tuple[dict[str, Any], float]:
        """The status, as a directory tells it; it is never old."""
        moment = self.moment
        key = moment, self.paused, self.speed
        if self._status[0] != key:
            metrics = {"digest": "", **self.told.statuses[moment // self.told.slow]}
            tick = self.film.tick(moment)
            self._status = (
                key,
                {
                    "world": self.told.name,
                    "run": "",
                    "phase": "running",
                    "tick": tick,
                    "granted": tick,
                    "epoch": 0,
                    "ticks_per_exchange": 1,
                    "paused": self.paused,
                    "speed": self.speed,
                    "snapshot_tick": 0,
                    "nodes": [],
                    "metrics": metrics,
                    "events": [],
                    "recording": True,
                },
            )
        return self._status[1], 0.0

    def wait_for_status(self, wanted: Callable[[dict[str, Any]], bool], timeout_s: float | None) -> dict[str, Any]:
        """The status, as soon as it is as wanted."""
        return self._wait(lambda: self.latest()[0], wanted, timeout_s)

    def wait_for_tiles(
        self, shown: int, topics: Sequence[Topic], after: int, timeout_s: float | None, settle_s: float
    ) -> int:
        """Until one of these tiles is newer than an arrival; gives the last one."""
        self._cut()

        def newest() -> int:
            return max((found[0] for topic in topics if (found := self.tile(shown, topic)) is not None), default=0)

        return self._wait(newest, lambda arrival: arrival > after, timeout_s)

    def _wait(self, look: Callable[[], Any], wanted: Callable[[Any], bool], timeout_s: float | None) -> Any:
        end_s = time.monotonic() + (1e9 if timeout_s is None else timeout_s)
        while not wanted(found := look()):
            if time.monotonic() > end_s:
                raise RunError(f"{self.address}: not within {timeout_s:g} s: see whether it is paused")
            time.sleep(WAIT_S)
        return found

    # --- questions and commands

    def ask(self, made: Callable[[str], viewer_protocol.Message], once: bool = False) -> "Future[Reply]":
        """The answer to a message, at once."""
        future: Future[Reply] = Future()
        try:
            future.set_result(self._reply(made("recording")))
        except UmweltError as error:
            future.set_exception(error)
        return future

    def _reply(self, message: viewer_protocol.Message) -> Reply:
        if isinstance(message, viewer_protocol.Query) and message.shown == LIVE:
            self.film.show(self.moment)
            self._new = True  # tiles are as old as before
            part = self.film.answered(queries.read(message.question))
            return Reply(part.tick, _as_json(part.answer), part.raw)
        if isinstance(message, viewer_protocol.Order) and message.what in ("pause", "go", "step", "speed"):
            self.order(message.what, message.value)
            return Reply(self.film.tick(self.moment), {}, b"")
        if isinstance(message, viewer_protocol.History):
            return self._recalled(message)
        raise RunError(UNTOUCHED)

    def _recalled(self, message: viewer_protocol.History) -> Reply:
        annals = self.annals
        tick = annals.reached = self.film.tick(self.moment)
        if message.what == "list":
            return Reply(tick, {"snapshots": [], "reached": tick, "shown": []}, b"")
        if message.what == "births":
            return Reply(tick, *annals.births(message))
        if message.what in ("metrics", "family"):
            asked: Any = annals
            told = message.what == "metrics"
            found = (
                journal_queries.read_metrics(asked, message.tick)
                if told
                else journal_queries.read_family(asked, message.being)
            )
            return Reply(tick, found.content, found.raw)
        raise RunError(UNTOUCHED)


def _as_json(answer: dict[str, Any]) -> dict[str, Any]:
    """An answer as it comes over a line: genomes become text there."""
    return msgspec.json.decode(msgspec.json.encode(answer))


class Demo(PromisedConnection):
    """A recording in the place of a running world, with all that a connection can be asked; commands fail kindly.

    `path` is a file that `make_demo` made; whatever is none raises `UmweltError`, one line.
    """

    def __init__(self, path: Path = BUNDLED, clock: Callable[[], float] = time.monotonic):
        try:
            core: Any = Playback(recording.read(path), clock)
            core.film.show(0)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            line = " ".join(str(error).split())
            raise UmweltError(f"{path}: no recording that can be shown: {line}: {recording.MEND}") from None
        super().__init__(core)
