"""Playback of a recording, with the same interface as a connection to a running world.

The recorded beings and fields (layers: quantities of each cell) of a moment, which is a recorded tick (`recording.py`),
are copied into a region, the part of a world that a node simulates; here it is the full world. The code that nodes use
then encodes its tiles (squares of the world, for drawing) and answers queries. A table holds all beings of one kind; a
track is all samples of one being. Playback can be paused and its speed changed; commands that would change the world
are refused.
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

from umwelt.agents.hocl.programs import bundled_behaviours
from umwelt.agents.open_world import empty_region, torus_of
from umwelt.agents.species.hocl_behaviour import SUFFIX
from umwelt.agents.world_file import EARTH, WorldFile, parse_world
from umwelt.client.connection.pending import Reply
from umwelt.client.connection.promises import PromisedConnection
from umwelt.client.window.recording.recording import (
    MEND,
    Recording,
    Tracks,
    birthplaces,
    from_parents,
    match_entries,
    read,
)
from umwelt.cluster import (
    BEINGS,
    KEEPER,
    LIVE,
    MARKERS,
    MAX_ANCESTORS,
    MAX_BIRTHS,
    MAX_CHILDREN,
    SKY,
    Metrics,
    TileEncoder,
    Topic,
    compose_welcome,
    journal_queries,
    queries,
    species_names,
    viewer_protocol,
)
from umwelt.sandbox.columns import PLACE_BITS, TICK_BITS, Table
from umwelt.sandbox.errors import RunError, UmweltError
from umwelt.sandbox.region import Rectangle, Torus
from umwelt.sandbox.text import one_of
from umwelt.sandbox.units import SUBCELL_BITS

BUNDLED = Path(__file__).with_name("pond.demo")
UNTOUCHED = "this is a recording: start a world with umwelt launch to touch one"
"""The error line for commands that would change the world."""
MAX_TICKS_A_S = 400.0
"""The maximum speed of playback."""
MOVES = ".moves"
"""The suffix of the names in `Recording.tracks` for the columns of a table that are sampled at each moment."""
SKY_FROM = ("vapour", "elevation")
"""The recorded layers from which the layers in `SKY` (light, temperature, rain) are computed."""
WAIT_S = 0.005
"""The time in seconds between two checks of a condition while waiting for it."""
_BORN = ("id", "parent_id", "tick", "y", "x", "species")
"""The columns in which births are sent, besides the marker genes, which have no effect and tell kinship."""


def recorded_world(recording: Recording) -> WorldFile:
    """Returns the world file (the settings of the world) of a recording.

    Raises ValueError if it refers to Python code or files that are not part of Umwelt: recordings are untrusted input.
    """
    content = tomllib.loads(recording.text)
    allowed = {"net", *(f"{name}{SUFFIX}" for name in bundled_behaviours())}
    behaviours = {group.get("behaviour", "net") for group in content.get("founders", ())}
    if content.get("laws", EARTH) != EARTH or not behaviours <= allowed:
        raise ValueError("a world with laws or species of its own cannot be played")
    return parse_world(recording.text, "its world", recording.name)


class RecordedWorld:
    """The state of a recorded world at one moment; `show` sets the moment, given its number from 0.

    It is kept in three regions. `region` has all fields and tables; `fast` has only the tables with columns that are
    sampled at each moment, `slow` only the others. The three share their fields and tables.
    """

    def __init__(self, recording: Recording):
        self.recording, self.world = recording, recorded_world(recording)
        self.species = species_names(self.world)
        torus = torus_of(self.world)
        self.region = empty_region(self.world, Rectangle(0, 0, *torus), 0, recording.first_tick)
        self.region.constants = dict(self.world.laws.constants(self.world))
        self.fast, self.slow = copy(self.region), copy(self.region)
        tables = self.region.tables
        self.fast.tables = {name: table for name, table in tables.items() if name + MOVES in recording.tracks}
        self.slow.tables = {name: table for name, table in tables.items() if name not in self.fast.tables}
        self.moment = self._sample = -1
        self._layers: dict[str, int] = {}
        self.columns = {
            name: _Columns.of(recording, name, table, torus)
            for name, table in tables.items()
            if name in recording.tracks
        }
        shape = tuple(torus)
        if not all(values.shape[1:] == shape for values in recording.fields.values()):
            raise ValueError("its fields are not of the size of its world")

    def tick(self, moment: int) -> int:
        """Returns the tick of the moment with this number."""
        return self.recording.first_tick + moment * self.recording.moment_ticks

    def show(self, moment: int) -> None:
        """Copies the beings of the moment with this number into the regions; fields are copied by `show_layer`."""
        if moment == self.moment:
            return
        sample = moment // self.recording.slow
        self.region.tick = self.fast.tick = self.slow.tick = self.tick(moment)
        for name in self.fast.tables:
            self.columns[name].fill(self.fast.tables[name], moment, sample, self.tick(moment))
        if sample != self._sample:
            for name in [name for name in self.slow.tables if name in self.columns]:
                self.columns[name].fill(self.slow.tables[name], moment, sample, self.tick(sample * self.recording.slow))
        self.moment, self._sample = moment, sample

    def show_layer(self, layer: str) -> None:
        """Copies the values of a layer at the present moment into the region, interpolated between samples.

        For a layer in `SKY`, copies the layers from which it is computed.
        """
        if layer in SKY:
            for source in SKY_FROM:
                self.show_layer(source)
            return
        if self._layers.get(layer) == self.moment or layer not in self.recording.fields:
            return
        self._layers[layer] = self.moment
        planes, step = self.recording.fields[layer], self.recording.steps.get(f"fields/{layer}", 1)
        into = self.region.owned_view(layer)
        if len(planes) == 1:
            into[:] = planes[0].astype(np.int32) * step
            return
        index, rest = divmod(self.moment, self.recording.field)
        before, after = planes[index].astype(np.int32), planes[index + 1].astype(np.int32)
        into[:] = (before * (self.recording.field - rest) + after * rest) * step // self.recording.field

    def answer(self, query: queries.Question) -> queries.Part:
        """Returns the answer to a query (a viewer's question about the world) for the present moment."""
        checked = queries.check(self.world, query)
        if isinstance(checked, queries.Patch):
            self.show_layer(checked.name)
        part = queries.answer(TileEncoder(self.world, self.region), checked)
        return queries.merge(checked, [part], self.region.torus)


@dataclass
class _Columns:
    """The recorded columns of a table, adapted to this version of Umwelt.

    A column can have several entries per being, such as one for each organ; these are matched by name. `tracks` has the
    columns that are sampled rarely, `moves` those that are sampled at each moment (None if there are none). `fixed` are
    the columns that never change, with one row per track; `born_tick` are the ticks of birth. `moving` lists the other
    columns as (`tracks` or `moves`, name, values with one row per sample). `births` are the places of birth and `sizes`
    the extents of the world, both for the columns of positions and in their unit. `steps` and `levels` are those of
    `Recording`.
    """

    tracks: Tracks
    moves: Tracks | None
    fixed: dict[str, np.ndarray]
    born_tick: np.ndarray
    births: dict[str, np.ndarray]
    sizes: dict[str, int]
    steps: dict[str, int]
    levels: dict[str, np.ndarray]
    moving: list[tuple[Tracks, str, np.ndarray]]

    @classmethod
    def of(cls, recording: Recording, name: str, table: Table, torus: Torus) -> "_Columns":
        """Returns the recorded columns of the table `name`. Raises ValueError if they do not suit `table`."""
        tracks, moves = recording.tracks[name], recording.tracks.get(name + MOVES)
        if moves is not None and not np.array_equal(moves.ids, tracks.ids):
            raise ValueError(f"{name}: the ids of its moves are others")
        entries = recording.entries.get(name, {})
        schema = {column.name: column for column in table.schema.columns if column.entries}

        def matched(column: str, values: np.ndarray) -> np.ndarray:
            return match_entries(values, entries.get(column, []), schema[column]) if column in schema else values

        fixed = dict(tracks.fixed)
        fixed["genome"] = from_parents(tracks.ids, fixed["parent_id"], fixed["genome"])
        fixed["species"] = np.maximum(fixed["species"], 0)
        born_tick = fixed.pop("born_tick")
        fixed = {column: matched(column, values) for column, values in fixed.items() if column in table}
        births = dict(zip(("y_fixed", "x_fixed"), birthplaces(tracks.ids, *torus), strict=True))
        sizes = {"y_fixed": torus.height << SUBCELL_BITS, "x_fixed": torus.width << SUBCELL_BITS}
        moving = [
            (source, column, matched(column, values))
            for source in (tracks, moves)
            if source is not None
            for column, values in source.moving.items()
            if column in table
        ]
        probe = Table(table.schema, 1)
        probe.count = 1
        columns = {**fixed, **{column: values for _, column, values in moving}}
        if any(values.shape[1:] != probe[column].shape[1:] for column, values in columns.items()):
            raise ValueError(f"{name}: columns do not fit")
        if not sizes.keys() <= {column for _, column, _ in moving}:
            raise ValueError(f"{name}: places are missing")
        levels = {column: np.array(values) for column, values in recording.levels.items()}
        return cls(tracks, moves, fixed, born_tick, births, sizes, recording.steps, levels, moving)

    def fill(self, table: Table, moment: int, sample: int, tick: int) -> None:
        """Replaces the rows of `table` by the beings that live at the moment with the number `moment`.

        `sample` is the number of the sample in `tracks` that belongs to it, `tick` the tick to compute ages for.
        """
        living = self.moves.living(moment) if self.moves is not None else self.tracks.living(sample)
        slow = self.tracks.rows(living, sample)
        fast = self.moves.rows(living, moment) if self.moves is not None else slow
        columns: dict[str, np.ndarray] = {"id": self.tracks.ids[living]}
        columns |= {column: array[living] for column, array in self.fixed.items()}
        columns["age_ticks"] = np.maximum(0, tick - self.born_tick[living])
        for tracks, column, recorded in self.moving:
            values = recorded[slow if tracks is self.tracks else fast]
            step = self.steps.get(column, 1)
            if column in self.sizes:
                values = (values.astype(np.int64) * step + self.births[column][living]) % self.sizes[column]
            elif column in self.levels:
                values = self.levels[column].take(values, mode="clip")
            elif step > 1:
                values = values.astype(np.int32) * step
            columns[column] = values
        table.count = 0
        table.append(len(living), columns)


class RecordedJournal:
    """The births and measurements of a recording, with those methods of a run's `Journal` that queries call.

    `reached` is the present tick of the playback; nothing later is returned.
    """

    def __init__(self, recorded: RecordedWorld):
        self.recorded, self.reached = recorded, 0
        self.history = self.lineage = self  # the parts of a `Journal` that queries read
        parts: dict[str, list[np.ndarray]] = {}
        markers = recorded.world.laws.markers(recorded.world)
        for name, columns in recorded.columns.items():
            ids, genome = columns.tracks.ids, columns.fixed["genome"]
            births = {"id": ids, "tick": (ids >> PLACE_BITS) & ((1 << TICK_BITS) - 1)}
            births |= {"parent_id": columns.fixed["parent_id"], "species": columns.fixed["species"]}
            births |= {axis[0]: cells >> SUBCELL_BITS for axis, cells in columns.births.items()}
            births |= {marker: genome[:, gene] for marker, gene in zip(MARKERS, markers[name], strict=True)}
            births["table"] = np.full(len(ids), list(recorded.columns).index(name))
            for column, values in births.items():
                parts.setdefault(column, []).append(values)
        joined = {column: np.concatenate(arrays) for column, arrays in parts.items()}
        born = np.flatnonzero(joined["tick"] > 0)  # without the founders
        order = born[np.lexsort((joined["id"][born], joined["tick"][born]))]
        self._births = {column: values[order] for column, values in joined.items()}

    def metrics_from(self, since: int, most: int) -> list[Metrics]:
        """Returns the measurements from tick `since` to the present one; of more than `most`, the latest `most`."""
        statuses = self.recorded.recording.statuses
        return [Metrics(**status) for status in statuses if since <= status["tick"] <= self.reached][-most:]

    def births(self, message: viewer_protocol.History) -> tuple[dict[str, Any], bytes]:
        """Returns births before the present tick, from the first after the tick and id in `message` on: a page of them.

        The first result describes the second: the number of births, their columns (name, dtype), and whether, and after
        which tick and id, there are more. The second is the columns' bytes, one column after another.
        """
        births, end = self._births, max(message.tick, self.reached)
        later = (births["tick"] > message.tick) | ((births["tick"] == message.tick) & (births["id"] > message.being))
        chosen = later & (births["tick"] < end)
        if message.table:
            tables = list(self.recorded.columns)
            chosen &= births["table"] == tables.index(one_of(message.table[:80], tables, "births: table"))
        rows = np.flatnonzero(chosen)
        most = message.most if 1 <= message.most <= MAX_BIRTHS else MAX_BIRTHS
        more, rows = len(rows) > most, rows[:most]
        columns = {name: births[name][rows] for name in (*_BORN, *MARKERS)}
        content = {
            "count": len(rows),
            "columns": [[name, array.dtype.name, 0] for name, array in columns.items()],
            "more": more,
            "next": int(births["tick"][rows[-1]]) if more else end,
            "after": int(births["id"][rows[-1]]) if more else 0,
        }
        return content, b"".join(array.tobytes() for array in columns.values())

    def family(self, being: int) -> tuple[list[tuple], list[tuple]]:
        """Returns the births of a being's recorded ancestors (its parent first) and of its children up to now.

        A birth is (id, parent_id, tick, y, x, species).
        """
        births, species = self._births, self.recorded.species

        def find(column: str, number: int) -> list[tuple]:
            rows = np.flatnonzero((births[column] == number) & (births["tick"] <= self.reached))[:MAX_CHILDREN]
            return [
                (
                    *(int(births[name][row]) for name in ("id", "parent_id", "tick", "y", "x")),
                    species[births["species"][row]] if births["species"][row] < len(species) else "",
                )
                for row in rows
            ]

        ancestors: list[tuple] = []
        born = find("id", being)
        while born and len(ancestors) < MAX_ANCESTORS and (born := find("id", born[0][1])):
            ancestors += born
        return ancestors, find("parent_id", being)


@dataclass
class _CachedTile:
    """The encoded content of a tile that is subscribed to, and which moment it is from.

    `fast` are the encoded pieces with beings of the tables in `RecordedWorld.fast`, as of the moment `moment`. `slow`
    are those with all other beings, or with a field, as of the slow sample with the number `sample`. `arrival` is a
    number that increases with each change.
    """

    arrival: int = 0
    moment: int = -9
    sample: int = -9
    fast: list[bytes] = field(default_factory=list)
    slow: list[bytes] = field(default_factory=list)


class Playback:
    """Plays a recording in a loop, with the interface of a link to a gateway, the server of a running world.

    See `connection.GatewayLink`. `clock` returns the time in seconds. `speed` is in ticks per second; 0 stands for the
    speed that the recording states.
    """

    def __init__(self, recording: Recording, clock: Callable[[], float] = time.monotonic):
        self.recording, self.clock = recording, clock
        self.recorded = RecordedWorld(recording)
        self.journal = RecordedJournal(self.recorded)
        self.known = compose_welcome(self.recorded.world, KEEPER, "")
        self.address = "a recording"
        self.bytes_per_s: float | None = None
        self.received_bytes = 0
        self.paused, self.speed = False, 0.0
        self._ticks, self._since_s = 0.0, clock()
        self._fast, self._slow = (
            TileEncoder(self.recorded.world, region) for region in (self.recorded.fast, self.recorded.slow)
        )
        """What encodes tiles: from the tables in `RecordedWorld.fast`, and from the other tables and all fields."""
        self._watched: Counter[Topic] = Counter()
        self._kept: dict[Topic, _CachedTile] = {}
        self._arrivals = 0
        self._new = False
        self._status: tuple[Any, dict[str, Any]] = (None, {})

    # --- time

    def _now(self) -> float:
        """Returns the position of the playback, in ticks since the recording's first tick; at its end it wraps to 0."""
        if not self.paused:
            now_s = self.clock()
            self._ticks += max(0.0, now_s - self._since_s) * (self.speed or self.recording.ticks_per_s)
            self._since_s = now_s
        self._ticks %= self.recording.moments * self.recording.moment_ticks
        return self._ticks

    @property
    def moment(self) -> int:
        """The number of the present moment, from 0."""
        return min(int(self._now() // self.recording.moment_ticks), self.recording.moments - 1)

    def order(self, what: str, value: float) -> None:
        """Controls the playback; `what` is "pause", "go", "step" or "speed", as for a running world.

        `value` is the number of ticks of a step, or the speed in ticks per second.
        """
        self._now()
        if what in ("pause", "step"):
            self.paused = True
        elif what == "go":
            self.paused = False
        if what == "step":
            moments = max(1, -(-int(min(value, 1e6)) // self.recording.moment_ticks))
            self._ticks = float((self.moment + moments) * self.recording.moment_ticks)
        if what == "speed":
            self.speed = min(max(0.0, value), MAX_TICKS_A_S)
        self._since_s = self.clock()

    # --- the interface of connections

    def open(self, timeout_s: float) -> None:
        """Does nothing: a recording needs no connection."""

    def close(self) -> None:
        """Does nothing: there are no resources to release."""

    def wake(self) -> None:
        """Does nothing: there is no thread to wake."""

    def watch(self, shown: int, topics: Sequence[Topic]) -> None:
        """Subscribes to tiles, given by the topics that identify them; they are of the present, whatever `shown`."""
        self._watched.update(topics)
        self._new = True

    def unwatch(self, shown: int, topics: Sequence[Topic]) -> None:
        """Cancels subscriptions; a tile that was subscribed to several times must be cancelled as often."""
        self._watched.subtract(topics)
        for topic in [topic for topic, count in self._watched.items() if count <= 0]:
            del self._watched[topic]
            self._kept.pop(topic, None)

    def tile(self, shown: int, topic: Topic) -> tuple[int, list[bytes]] | None:
        """Returns a number that grows with each change of a tile, and its encoded pieces.

        None if the tile is not subscribed to, or if `shown` is not `LIVE` (the present).
        """
        self._encode()
        kept = self._kept.get(topic)
        if shown != LIVE or kept is None:
            return None
        return kept.arrival, [*kept.slow, *kept.fast]

    def _encode(self) -> None:
        """Encodes the tiles that are subscribed to and have changed.

        Those that change only with a slow sample are distributed over the moments up to the next, to spread the load.
        """
        moment = self.moment
        if moment == self.recorded.moment and not self._new:
            return
        self._new = False
        self.recorded.show(moment)
        sample, since = divmod(moment, self.recording.slow)
        fast, slow = [], []
        for topic in self._watched:
            kept = self._kept.setdefault(topic, _CachedTile())
            if topic.layer == BEINGS and kept.moment != moment:
                fast.append(topic)
            # at least 1, because the slow tables are filled in the first moment of a sample
            turn = min(
                1 + (2 * topic.y + topic.x + topic.layer) % max(1, self.recording.slow - 1), self.recording.slow - 1
            )
            if kept.sample != sample and (since >= turn or sample - kept.sample != 1):
                slow.append(topic)
        for topic in slow:
            if topic.layer != BEINGS and topic.layer < len(self._slow.layers):
                self.recorded.show_layer(self._slow.layers[topic.layer])
        fast_pieces, slow_pieces = self._pieces(self._fast, fast), self._pieces(self._slow, slow)
        for topic in dict.fromkeys([*fast, *slow]):
            kept = self._kept[topic]
            new = [*fast_pieces.get(topic, ()), *slow_pieces.get(topic, ())]
            self.received_bytes += sum(map(len, new))
            self._arrivals += 1
            kept.arrival = self._arrivals
            if topic in fast_pieces:
                kept.moment, kept.fast = moment, fast_pieces[topic]
            if topic in slow_pieces:
                kept.sample, kept.slow = sample, slow_pieces[topic]

    def _pieces(self, encoder: TileEncoder, topics: Sequence[Topic]) -> dict[Topic, list[bytes]]:
        """Encodes tiles, given by their topics, with one of the two encoders; returns the pieces of each by topic."""
        pieces: dict[Topic, list[bytes]] = {topic: [] for topic in topics}
        for topic, piece in encoder.tiles(topics, 0) if topics else ():
            pieces[topic].append(piece)
        return pieces

    def latest(self) -> tuple[dict[str, Any], float]:
        """Returns the status, with the keys of a running world's status, and its age in seconds, which is always 0."""
        moment = self.moment
        key = moment, self.paused, self.speed
        if self._status[0] != key:
            metrics = {"digest": "", **self.recording.statuses[moment // self.recording.slow]}
            tick = self.recorded.tick(moment)
            self._status = (
                key,
                {
                    "world": self.recording.name,
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
        """Waits until `wanted(status)` is true, and returns the status. Raises RunError after `timeout_s` seconds."""
        return self._wait(lambda: self.latest()[0], wanted, timeout_s)

    def wait_for_tiles(
        self, shown: int, topics: Sequence[Topic], after: int, timeout_s: float | None, settle_s: float
    ) -> int:
        """Waits until one of these tiles has a number (see `tile`) above `after`; returns the highest of their numbers.

        Raises RunError after `timeout_s` seconds.
        """
        self._encode()

        def newest() -> int:
            return max((tile[0] for topic in topics if (tile := self.tile(shown, topic)) is not None), default=0)

        return self._wait(newest, lambda arrival: arrival > after, timeout_s)

    def _wait(self, look: Callable[[], Any], wanted: Callable[[Any], bool], timeout_s: float | None) -> Any:
        """Calls `look` until `wanted` is true of the result, and returns the result.

        Raises RunError after `timeout_s` seconds.
        """
        end_s = time.monotonic() + (1e9 if timeout_s is None else timeout_s)
        while not wanted(seen := look()):
            if time.monotonic() > end_s:
                raise RunError(f"{self.address}: no change within {timeout_s:g} s: check whether it is paused")
            time.sleep(WAIT_S)
        return seen

    # --- queries and commands

    def ask(self, made: Callable[[str], viewer_protocol.Message], once: bool = False) -> "Future[Reply]":
        """Answers the message that `made` returns, given a ticket (the name of a request); the future is already done.

        It contains an UmweltError if the message is invalid or would change the world.
        """
        future: Future[Reply] = Future()
        try:
            future.set_result(self._reply(made("recording")))
        except UmweltError as error:
            future.set_exception(error)
        return future

    def _reply(self, message: viewer_protocol.Message) -> Reply:
        """Returns the reply to a message. Raises UmweltError if it is invalid or would change the world."""
        if isinstance(message, viewer_protocol.Query) and message.shown == LIVE:
            self.recorded.show(self.moment)
            self._new = True  # the tiles of this moment are still to be encoded
            part = self.recorded.answer(queries.read(message.question))
            return Reply(part.tick, _as_json(part.answer), part.raw)
        if isinstance(message, viewer_protocol.Order) and message.what in ("pause", "go", "step", "speed"):
            self.order(message.what, message.value)
            return Reply(self.recorded.tick(self.moment), {}, b"")
        if isinstance(message, viewer_protocol.History):
            return self._read_history(message)
        raise RunError(UNTOUCHED)

    def _read_history(self, message: viewer_protocol.History) -> Reply:
        """Returns the reply to a request about the past of the recorded world. Raises UmweltError if there is none."""
        journal: Any = self.journal
        tick = journal.reached = self.recorded.tick(self.moment)
        if message.what == "list":
            return Reply(tick, {"snapshots": [], "reached": tick, "shown": []}, b"")
        if message.what == "births":
            return Reply(tick, *journal.births(message))
        if message.what == "metrics":
            answer = journal_queries.read_metrics(journal, message.tick)
        elif message.what == "family":
            answer = journal_queries.read_family(journal, message.being)
        else:
            raise RunError(UNTOUCHED)
        return Reply(tick, answer.content, answer.raw)


def _as_json(answer: dict[str, Any]) -> dict[str, Any]:
    """Returns an answer as it would arrive from a server, converted to JSON and back: bytes (genomes) become text."""
    return msgspec.json.decode(msgspec.json.encode(answer))


class Demo(PromisedConnection):
    """A connection that plays a recording; commands that would change the world are refused.

    `path` is a file that `make_demo` wrote. Raises UmweltError if it is not a valid recording.
    """

    def __init__(self, path: Path = BUNDLED, clock: Callable[[], float] = time.monotonic):
        try:
            core: Any = Playback(read(path), clock)
            core.recorded.show(0)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            line = " ".join(str(error).split())
            raise UmweltError(f"{path}: not a valid recording: {line}: {MEND}") from None
        super().__init__(core)
