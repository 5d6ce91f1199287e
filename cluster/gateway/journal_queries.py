"""What a run's journal tells those who look: its metrics, its births, and who descends from whom.

The journal may be large and its disk slow: it is read in a thread of its own, one question after another, so that the
gateway goes on meanwhile. Every answer is bounded.
"""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

from umwelt.agents.body.genome import MARKER_A
from umwelt.agents.body.interface import MONSTER_KIND
from umwelt.agents.earth.settings import EarthSettings
from umwelt.agents.world_file import WorldFile, one_line, one_of
from umwelt.cluster.gateway.welcome import species_of
from umwelt.cluster.run.journal import Journal, Metrics
from umwelt.cluster.view.tiles import has_traits
from umwelt.cluster.wire.viewer_protocol import History
from umwelt.sandbox.errors import RunError, UmweltError

RECALLED = ("metrics", "births", "family")
MAX_UNDER_WAY = 100
MAX_POINTS, MAX_NUMBERS = 2000, 200_000
"""Points of metrics in an answer, and numbers in all of them: where much is counted, the points are fewer."""
MAX_BIRTHS = 20_000
MARKERS = ("marker_a", "marker_b", "marker_c")
_COLUMNS = {"id": np.int64, "parent_id": np.int64, "tick": np.int32, "y": np.int32, "x": np.int32, "species": np.int16}


class Found(NamedTuple):
    """An answer's JSON and its raw frame."""

    content: dict[str, Any]
    raw: bytes = b""


class Recall:
    """See the page's top. `journal` is the file; `begin` asks, `turn` tells what was found."""

    def __init__(self, world: WorldFile, journal: Path):
        self.world, self.path = world, journal
        self._species = {name: at for at, name in enumerate(species_of(world))}
        self._kinds = {schema.name: schema.kind for schema in world.laws.layout(world)[1]}
        traits = any(has_traits(schema) for schema in world.laws.layout(world)[1])
        self._genes = {MONSTER_KIND: range(MARKER_A, MARKER_A + len(MARKERS))} if traits else {}
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="umwelt-recall")
        self._pending: list[tuple[Future[Found], Callable[[Found | None, str], None]]] = []

    def __len__(self) -> int:
        return len(self._pending)

    def begin(self, message: History, done: Callable[[Found | None, str], None]) -> None:
        """Look something up; `done` is told what was found, or why nothing was. `RunError` for what cannot be asked."""
        if not (0 <= message.tick < 1 << 62 and abs(message.being) < 1 << 63):
            raise RunError(f"{message.what}: tick {message.tick}, being {message.being}: give numbers from 0 on")
        if message.what == "births":
            kinds = self._kinds_of(message.table)
            most = message.most if 1 <= message.most <= MAX_BIRTHS else MAX_BIRTHS
            job: Callable[[Journal], Found] = partial(self._births, message=message, most=most, kinds=kinds)
        elif message.what == "metrics":
            job = partial(_metrics, since=message.tick)
        else:
            job = partial(_family, being=message.being)
        if len(self._pending) >= MAX_UNDER_WAY:
            raise RunError("too many questions at once: wait for their answers")
        self._pending.append((self._reader.submit(self._read, job), done))

    def _read(self, job: Callable[[Journal], Found]) -> Found:
        journal = Journal.reading(self.path)
        try:
            return job(journal)
        finally:
            journal.close()

    def turn(self) -> None:
        """Tell what was found."""
        while self._pending and self._pending[0][0].done():
            future, done = self._pending.pop(0)
            try:
                found, line = future.result(), ""
            except UmweltError as error:
                found, line = None, str(error)
            except (LookupError, ValueError, TypeError, OverflowError) as error:  # nothing that we entered
                found, line = None, f"{self.path}: damaged: {one_line(error)}: the snapshots are whole"
            done(found, line)

    def _kinds_of(self, table: str) -> set[int] | None:
        """The kinds of beings, as their ids tell them, that are in a table; None stands for all."""
        if not table:
            return None
        one_of(one_line(table[:80]), self._kinds, "births: table")
        if len(self._kinds) > 1 and not isinstance(self.world.settings, EarthSettings):
            raise RunError(f"births: table {table}: in this world births do not tell their tables: ask for all of them")
        return None if len(self._kinds) == 1 else {self._kinds[table]}

    def _births(self, journal: Journal, message: History, most: int, kinds: set[int] | None) -> Found:
        found = journal.lineage.births_from(message.tick, message.being or -1, most, kinds, self._genes)
        by_column: list[Any] = list(zip(*found.rows, strict=True)) or [()] * 7
        by_column[5] = [self._species.get(name, -1) for name in by_column[5]]
        columns = {
            name: np.array([value or 0 for value in values], dtype)
            for (name, dtype), values in zip(_COLUMNS.items(), by_column, strict=False)
        }
        genes = np.frombuffer(b"".join(one or bytes(len(MARKERS)) for one in by_column[6]), np.int8)
        columns |= dict(zip(MARKERS, genes.reshape(-1, len(MARKERS)).T, strict=True))
        told = [[name, array.dtype.name, 0] for name, array in columns.items()]
        content = {
            "count": len(found.rows),
            "columns": told,
            "more": found.more,
            "next": found.tick,
            "after": max(0, found.after),
        }
        return Found(content, b"".join(array.tobytes() for array in columns.values()))

    def close(self) -> None:
        """Begin nothing more."""
        self._reader.shutdown(wait=True, cancel_futures=True)


def _metrics(journal: Journal, since: int) -> Found:
    moments = journal.history.metrics_from(since, MAX_POINTS)
    width = 3 + max((_width(one) for one in moments), default=0)
    most = max(2, MAX_NUMBERS // width)
    if len(moments) > most:
        moments = [moments[at] for at in np.linspace(0, len(moments) - 1, most).astype(int).tolist()]
    species = {
        table: dict.fromkeys(name for one in moments for name in one.populations.get(table, ()))
        for table in dict.fromkeys(table for one in moments for table in one.populations)
    }
    substances = dict.fromkeys(name for one in moments for name in one.substances)
    content = {
        "ticks": [one.tick for one in moments],
        "births": [one.births for one in moments],
        "deaths": [one.deaths for one in moments],
        "populations": {
            table: {name: [one.populations.get(table, {}).get(name, 0) for one in moments] for name in names}
            for table, names in species.items()
        },
        "substances": {name: [one.substances.get(name, 0) for one in moments] for name in substances},
    }
    return Found({}, msgspec.json.encode(content))


def _width(moment: Metrics) -> int:
    """How many numbers a moment has."""
    return len(moment.substances) + sum(map(len, moment.populations.values()))


def _family(journal: Journal, being: int) -> Found:
    names = ("id", "parent_id", "tick", "species", "y", "x")
    ancestors, children = (
        [dict(zip(names, (born[0], born[1] or 0, born[2], born[5] or "", *born[3:5]), strict=True)) for born in found]
        for found in journal.lineage.family(being)
    )
    return Found({"ancestors": ancestors, "children": children})
