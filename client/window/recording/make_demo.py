"""Makes the recording that comes with Umwelt anew: python -m umwelt.client.window.recording.make_demo [FILE]

A small world is run, without a server, until it is lively; then it is watched for a minute. The same world file and
laws give the same recording.
"""

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from umwelt.agents.open_world import begin
from umwelt.agents.species.column_access import read_column
from umwelt.agents.world_file import WorldFile, read_world
from umwelt.client.window.recording.demo import BUNDLED
from umwelt.client.window.recording.recording import Recording, Tracks, against_parents, birthplaces, write
from umwelt.cluster.gateway.welcome import species_names
from umwelt.cluster.shard import measure_populations
from umwelt.cluster.view.queries import LAST
from umwelt.sandbox.errors import UmweltError
from umwelt.sandbox.region import Region
from umwelt.sandbox.step import advance

WORLD, SEED = "pond", 3
FIRST_TICK, TICKS = 780, 600
"""600 ticks are a whole day of this world."""
TICKS_A_S, MOMENT_TICKS = 10.0, 2
SLOW, FIELD = 5, 25
"""Moments from one sample of all else to the next, and of fields."""
MOVES = ("y_fixed", "x_fixed", "heading", "speed_fixed", "fatigue", "pain", "asleep", "eyes_shut")
"""What of monsters is told at each moment."""
PLANT_COLUMNS = (
    "y_fixed",
    "x_fixed",
    "tissue_count",
    "sugar_count",
    "water_count",
    "stem_id",
    "stem_direction",
    "stage",
)
STEPS = {
    "y_fixed": 8,
    "x_fixed": 8,
    "heading": 512,
    "speed_fixed": 8,
    "fatigue": 16,
    "pain": 16,
    "dryness": 64,
    "counts": 4,
    "catalysts": 16,
    "memory": 16,
    "stimuli": 32,
    "drives": 32,
}
"""Columns are told in steps of so many units; one that moves by less stands still."""
_LEVELS = [0, 1, 2, 4, 6, 8, 12, 16, 22, 30, 40, 52, 66, 82, 100, 120, 145, 180, 230, 300, 400, 600]
LEVELS = {"sugar_count": _LEVELS, "water_count": _LEVELS}
"""Columns that are told as the nearest of these: the finer the less there is, since leaves wither then."""
FIELD_LEVELS = 90
"""So many steps are told apart in each layer."""


class Watch:
    """Looks at a region at its moments, and makes tracks of what it saw."""

    def __init__(self, world: WorldFile, region: Region):
        self.world, self.region = world, region
        self.seen: dict[str, list[tuple[int, dict[str, np.ndarray]]]] = {}
        self.fixed: dict[str, list[dict[str, np.ndarray]]] = {}
        self.fields: dict[str, list[np.ndarray]] = {}
        self.statuses: list[dict[str, Any]] = []
        self.species = species_names(world)

    def look(self, moment: int) -> None:
        """Take in a moment."""
        region = self.region
        for name in region.tables:
            if name == "monsters":
                self._beings("monsters.moves", name, moment, MOVES)
            if moment % SLOW == 0:
                columns = PLANT_COLUMNS if name == "plants" else tuple(self._slow_columns(name))
                self._beings(name, name, moment // SLOW, columns)
                self._take_fixed(name)
        if moment % SLOW == 0:
            populations, substances = measure_populations(self.world, region, self.species)
            counts = {name: region.counts[name] for name in ("births", "deaths")}
            self.statuses.append({"tick": region.tick, **counts, "populations": populations, "substances": substances})

    def look_at_fields(self) -> None:
        """Take in what cells hold."""
        for one in self.region.field_list:
            for layer in one.parts or (one.name,):
                self.fields.setdefault(layer, []).append(self.region.owned_view(layer).astype(np.int32))

    def _slow_columns(self, name: str) -> list[str]:
        told = [c for c in self.region.tables[name].schema.own if not c.fixed and (not c.derived or c.name in LAST)]
        return [column.name for column in told if column.name not in (*MOVES, "age_ticks")]

    def _beings(self, into: str, name: str, sample: int, columns: tuple[str, ...]) -> None:
        table, rows = self.region.tables[name], np.flatnonzero(self.region.owned_rows(name))
        found = {"id": table["id"][rows].copy()}
        births = dict(zip(("y_fixed", "x_fixed"), birthplaces(found["id"], *self.region.torus), strict=True))
        for column in columns:
            if column in births:
                away = read_column(self.region, table, column, rows) - births[column]
                found[column] = away.astype(np.int32)
            else:
                found[column] = table[column][rows]
        self.seen.setdefault(into, []).append((sample, found))

    def _take_fixed(self, name: str) -> None:
        table, rows = self.region.tables[name], np.flatnonzero(self.region.owned_rows(name))
        names = [column.name for column in table.schema.own if column.fixed]
        found = {column: table[column][rows].copy() for column in ("id", *names)}
        found["born_tick"] = (self.region.tick - table["age_ticks"][rows]).astype(np.int32)
        self.fixed.setdefault(name, []).append(found)

    # --- afterwards

    def tracks(self) -> dict[str, Tracks]:
        """All that was seen of beings."""
        found = {}
        for name in self.fixed:
            tracks = found[name] = _tracks(self.seen[name])
            joined = {c: np.concatenate([one[c] for one in self.fixed[name]]) for c in self.fixed[name][0]}
            _, first = np.unique(joined.pop("id"), return_index=True)
            tracks.fixed = {column: values[first] for column, values in joined.items()}
            tracks.fixed["genome"] = against_parents(tracks.ids, tracks.fixed["parent_id"], tracks.fixed["genome"])
        found["monsters.moves"] = _tracks(self.seen["monsters.moves"], found["monsters"].ids)
        return found


def _tracks(seen: list[tuple[int, dict[str, np.ndarray]]], only: np.ndarray | None = None) -> Tracks:
    """Tracks from samples; of some beings, or of all."""
    joined = {name: np.concatenate([found[name] for _, found in seen]) for name in seen[0][1]}
    samples = np.concatenate([np.full(len(found["id"]), sample) for sample, found in seen])
    if only is not None:
        chosen = np.isin(joined["id"], only)
        joined, samples = {name: values[chosen] for name, values in joined.items()}, samples[chosen]
    order = np.lexsort((samples, joined["id"]))
    ids, starts, counts = np.unique(joined.pop("id")[order], return_index=True, return_counts=True)
    samples = samples[order]
    assert (np.diff(samples)[np.diff(np.repeat(ids, counts)) == 0] == 1).all(), "a being was away"
    tracks = Tracks(ids, samples[starts].astype(np.uint16), counts.astype(np.uint16))
    for name, values in joined.items():
        if name in LEVELS:
            tracks.moving[name] = steady_levels(values[order], tracks, LEVELS[name])
        else:
            tracks.moving[name] = steady(values[order], tracks, STEPS.get(name, 1))
    return tracks


def steady(values: np.ndarray, tracks: Tracks, step: int) -> np.ndarray:
    """Values in whole steps; one that wavers between two steps stays where it was."""
    if step == 1:
        return values
    told = (values.astype(np.int64) + step // 2) // step
    for at in range(1, int(tracks.counts.max(initial=0))):
        rows = tracks.starts[tracks.counts > at] + at
        near = np.abs(values[rows].astype(np.int64) - told[rows - 1] * step) * 4 < step * 3
        told[rows] = np.where(near, told[rows - 1], told[rows])
    return np.clip(told * step, *_bounds(values.dtype, step)).astype(values.dtype) // values.dtype.type(step)


def steady_levels(values: np.ndarray, tracks: Tracks, levels: list[int]) -> np.ndarray:
    """The numbers of the levels that values are nearest to, `uint8[row]`; they waver as little as in `steady`."""
    known = np.array(levels)
    found = np.searchsorted((known[1:] + known[:-1]) / 2, values)
    for at in range(1, int(tracks.counts.max(initial=0))):
        rows = tracks.starts[tracks.counts > at] + at
        before = found[rows - 1]
        gap = np.abs(known[found[rows]] - known[before])
        near = np.abs(values[rows] - known[before]) * 4 < gap * 3
        found[rows] = np.where(near, before, found[rows])
    return found.astype(np.uint8)


def _bounds(dtype: np.dtype, step: int) -> tuple[int, int]:
    bounds = np.iinfo(dtype)
    return -(-bounds.min // step) * step, bounds.max // step * step


def steady_planes(planes: list[np.ndarray]) -> tuple[np.ndarray, int]:
    """A layer over time in whole steps, `int16[sample, y, x]`, and the step; exact where it never changes."""
    values = np.stack(planes).astype(np.int64)
    if (values == values[0]).all() and np.abs(values).max() <= 32767:
        return values[:1].astype(np.int16), 1
    low, high = np.percentile(values, (0.5, 99.5))
    step = max(1, round((high - low) / FIELD_LEVELS), -(-int(np.abs(values).max()) // 32767))
    told = (values + step // 2) // step
    for at in range(1, len(told)):
        near = np.abs(values[at] - told[at - 1] * step) * 4 < step * 3
        told[at] = np.where(near, told[at - 1], told[at])
    return told.astype(np.int16), step


def made(world: WorldFile, first_tick: int = FIRST_TICK, ticks: int = TICKS) -> Recording:
    """The recording of a world: so many ticks from a first one on."""
    region = begin(world)
    advance(region, world.laws, first_tick)
    watch, moments = Watch(world, region), ticks // MOMENT_TICKS
    for moment in range(moments):
        watch.look(moment)
        if moment % FIELD == 0:
            watch.look_at_fields()
        advance(region, world.laws, MOMENT_TICKS)
    watch.look_at_fields()  # those of the last moments are mixed from these
    fields, steps = {}, dict(STEPS)
    for layer, planes in watch.fields.items():
        fields[layer], steps[f"fields/{layer}"] = steady_planes(planes)
    return Recording(
        world.name,
        world.text,
        first_tick,
        TICKS_A_S,
        MOMENT_TICKS,
        moments,
        SLOW,
        FIELD,
        steps,
        LEVELS,
        watch.statuses,
        watch.tracks(),
        fields,
    )


def main() -> None:
    """Make the recording."""
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else BUNDLED
    began_s = time.monotonic()
    try:
        recording = made(read_world(WORLD, {"seed": SEED}))
        write(recording, path)
    except UmweltError as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from None
    beings = ", ".join(f"{len(tracks.ids)} {name}" for name, tracks in recording.tracks.items())
    print(f"{path}: {path.stat().st_size / 1e6:.2f} MB, {beings}, {time.monotonic() - began_s:.0f} s")


if __name__ == "__main__":
    main()
