"""Makes the recording that is bundled with Umwelt: python -m umwelt.client.window.recording.make_demo [FILE]

Runs a small world in this process up to `FIRST_TICK`, then records the next `TICKS` ticks, which are one minute of
playback. The same world file and laws give the same recording. A *moment* is a recorded tick, a *sample* the values
of beings or fields (quantities of each cell) at a moment, a *track* all samples of one being (see `recording.py`). A
region holds the beings and fields of a part of a world, here of all of it; a table of it has all beings of one kind.

Sampled values are divided by a step and rounded. *Hysteresis* makes the file smaller: a rounded value changes only if
the exact value has moved well away from it, so that small changes back and forth disappear.
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
from umwelt.cluster import LAST_TICK_COLUMNS as LAST
from umwelt.cluster import measure_populations, species_names
from umwelt.sandbox.errors import UmweltError
from umwelt.sandbox.region import Region
from umwelt.sandbox.step import advance

WORLD, SEED = "pond", 3
"""The bundled world that is recorded, and its seed."""
FIRST_TICK, TICKS = 780, 600
"""The first recorded tick, and the number of recorded ticks: one day of this world."""
TICKS_A_S, MOMENT_TICKS = 10.0, 2
"""The speed of playback, and the number of ticks from one recorded moment to the next."""
SLOW, FIELD = 5, 25
"""Intervals, in moments: between samples of columns that are not in `MOVES`, and between samples of fields."""
MOVES = ("y_fixed", "x_fixed", "heading", "speed_fixed", "fatigue", "pain", "asleep", "eyes_shut")
"""Columns of monsters that are sampled at each moment."""
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
"""Columns of plants that are sampled every `SLOW` moments."""
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
"""The steps by which the values of columns are divided; columns that are not listed are stored exactly."""
_LEVELS = [0, 1, 2, 4, 6, 8, 12, 16, 22, 30, 40, 52, 66, 82, 100, 120, 145, 180, 230, 300, 400, 600]
LEVELS = {"sugar_count": _LEVELS, "water_count": _LEVELS}
"""By column: the levels to the nearest of which values are rounded; finer where leaves wither, at low values."""
FIELD_LEVELS = 90
"""The approximate number of steps into which the range of a layer is divided."""


class Recorder:
    """Collects samples of a region's beings and fields and measurements of it, and converts beings to tracks.

    `samples[name]` are pairs (number of the sample, columns by name); `name` is a key of `Recording.tracks`. Columns
    have one row per being. `fixed[table]` are the columns that never change, once per sample. `fields[layer]` are the
    values of a layer, once per sample. `statuses` are the measurements.
    """

    def __init__(self, world: WorldFile, region: Region):
        self.world, self.region = world, region
        self.samples: dict[str, list[tuple[int, dict[str, np.ndarray]]]] = {}
        self.fixed: dict[str, list[dict[str, np.ndarray]]] = {}
        self.fields: dict[str, list[np.ndarray]] = {}
        self.statuses: list[dict[str, Any]] = []
        self.species = species_names(world)

    def sample(self, moment: int) -> None:
        """Samples the columns of beings that are due at the moment with this number.

        Every `SLOW` moments, also measures populations, substances, births and deaths.
        """
        region = self.region
        for name in region.tables:
            if name == "monsters":
                self._sample_beings("monsters.moves", name, moment, MOVES)
            if moment % SLOW == 0:
                columns = PLANT_COLUMNS if name == "plants" else tuple(self._slow_columns(name))
                self._sample_beings(name, name, moment // SLOW, columns)
                self._sample_fixed(name)
        if moment % SLOW == 0:
            populations, substances = measure_populations(self.world, region, self.species)
            counts = {name: region.counts[name] for name in ("births", "deaths")}
            self.statuses.append({"tick": region.tick, **counts, "populations": populations, "substances": substances})

    def sample_fields(self) -> None:
        """Adds the present values of all layers to `fields`."""
        for field in self.region.field_list:
            for layer in field.parts or (field.name,):
                self.fields.setdefault(layer, []).append(self.region.owned_view(layer).astype(np.int32))

    def _slow_columns(self, name: str) -> list[str]:
        """Returns the names of the columns of a table, other than of plants, that are sampled every `SLOW` moments."""
        columns = [c for c in self.region.tables[name].schema.own if not c.fixed and (not c.derived or c.name in LAST)]
        return [column.name for column in columns if column.name not in (*MOVES, "age_ticks")]

    def _sample_beings(self, into: str, name: str, sample: int, columns: tuple[str, ...]) -> None:
        """Adds a sample of these columns of the table `name` to `samples[into]`, with the number `sample`.

        Positions are stored relative to the place of birth.
        """
        table, rows = self.region.tables[name], np.flatnonzero(self.region.owned_rows(name))
        values = {"id": table["id"][rows].copy()}
        births = dict(zip(("y_fixed", "x_fixed"), birthplaces(values["id"], *self.region.torus), strict=True))
        for column in columns:
            if column in births:
                distance = read_column(self.region, table, column, rows) - births[column]
                values[column] = distance.astype(np.int32)
            else:
                values[column] = table[column][rows]
        self.samples.setdefault(into, []).append((sample, values))

    def _sample_fixed(self, name: str) -> None:
        """Adds the columns of the table `name` that never change, of the present beings, to `fixed[name]`."""
        table, rows = self.region.tables[name], np.flatnonzero(self.region.owned_rows(name))
        names = [column.name for column in table.schema.own if column.fixed]
        values = {column: table[column][rows].copy() for column in ("id", *names)}
        values["born_tick"] = (self.region.tick - table["age_ticks"][rows]).astype(np.int32)
        self.fixed.setdefault(name, []).append(values)

    # --- after the last sample

    def tracks(self) -> dict[str, Tracks]:
        """Returns the tracks of all sampled beings, keyed as in `Recording.tracks`."""
        by_table = {}
        for name in self.fixed:
            tracks = by_table[name] = _tracks(self.samples[name])
            joined = {c: np.concatenate([values[c] for values in self.fixed[name]]) for c in self.fixed[name][0]}
            _, first = np.unique(joined.pop("id"), return_index=True)
            tracks.fixed = {column: values[first] for column, values in joined.items()}
            tracks.fixed["genome"] = against_parents(tracks.ids, tracks.fixed["parent_id"], tracks.fixed["genome"])
        by_table["monsters.moves"] = _tracks(self.samples["monsters.moves"], by_table["monsters"].ids)
        return by_table

    def entries(self) -> dict[str, dict[str, list[str]]]:
        """Returns the names of the entries of columns with several, such as one per organ: table -> column -> names."""
        return {
            name: {column.name: list(column.parts) for column in table.schema.own if column.parts}
            for name, table in self.region.tables.items()
        }


def _tracks(sampled: list[tuple[int, dict[str, np.ndarray]]], only: np.ndarray | None = None) -> Tracks:
    """Returns the tracks of a list of samples, which are pairs (number, columns by name) in order of their numbers.

    Values are divided by steps or replaced by levels. `only` are the ids of the beings to include; None includes all.
    """
    joined = {name: np.concatenate([values[name] for _, values in sampled]) for name in sampled[0][1]}
    samples = np.concatenate([np.full(len(values["id"]), number) for number, values in sampled])
    if only is not None:
        chosen = np.isin(joined["id"], only)
        joined, samples = {name: values[chosen] for name, values in joined.items()}, samples[chosen]
    order = np.lexsort((samples, joined["id"]))
    ids, starts, counts = np.unique(joined.pop("id")[order], return_index=True, return_counts=True)
    samples = samples[order]
    assert (np.diff(samples)[np.diff(np.repeat(ids, counts)) == 0] == 1).all(), (
        "a being is missing in a sample between others"
    )
    tracks = Tracks(ids, samples[starts].astype(np.uint16), counts.astype(np.uint16))
    for name, values in joined.items():
        if name in LEVELS:
            tracks.moving[name] = steady_levels(values[order], tracks, LEVELS[name])
        else:
            tracks.moving[name] = steady(values[order], tracks, STEPS.get(name, 1))
    return tracks


def steady(values: np.ndarray, tracks: Tracks, step: int) -> np.ndarray:
    """Returns values divided by `step` and rounded, with hysteresis along each track; same shape and dtype.

    The result stays that of the previous sample as long as the value is less than 3/4 of a step away from it.
    """
    if step == 1:
        return values
    steps = (values.astype(np.int64) + step // 2) // step
    for sample in range(1, int(tracks.counts.max(initial=0))):
        rows = tracks.starts[tracks.counts > sample] + sample
        near = np.abs(values[rows].astype(np.int64) - steps[rows - 1] * step) * 4 < step * 3
        steps[rows] = np.where(near, steps[rows - 1], steps[rows])
    return np.clip(steps * step, *_bounds(values.dtype, step)).astype(values.dtype) // values.dtype.type(step)


def steady_levels(values: np.ndarray, tracks: Tracks, levels: list[int]) -> np.ndarray:
    """Returns the index of the level nearest to each value, `uint8[row]`, with hysteresis as in `steady`.

    The place of the step is taken by the distance between the levels of the previous and the present sample.
    """
    known = np.array(levels)
    numbers = np.searchsorted((known[1:] + known[:-1]) / 2, values)
    for sample in range(1, int(tracks.counts.max(initial=0))):
        rows = tracks.starts[tracks.counts > sample] + sample
        before = numbers[rows - 1]
        gap = np.abs(known[numbers[rows]] - known[before])
        near = np.abs(values[rows] - known[before]) * 4 < gap * 3
        numbers[rows] = np.where(near, before, numbers[rows])
    return numbers.astype(np.uint8)


def _bounds(dtype: np.dtype, step: int) -> tuple[int, int]:
    """Returns the lowest and the highest multiple of `step` that `dtype` can represent."""
    bounds = np.iinfo(dtype)
    return -(-bounds.min // step) * step, bounds.max // step * step


def steady_planes(planes: list[np.ndarray]) -> tuple[np.ndarray, int]:
    """Divides the samples of a layer by a step and rounds them, with hysteresis in each cell as in `steady`.

    Returns `int16[sample, y, x]` and the step. A layer that never changes is returned as one sample, exactly.
    """
    values = np.stack(planes).astype(np.int64)
    if (values == values[0]).all() and np.abs(values).max() <= 32767:
        return values[:1].astype(np.int16), 1
    low, high = np.percentile(values, (0.5, 99.5))
    step = max(1, round((high - low) / FIELD_LEVELS), -(-int(np.abs(values).max()) // 32767))
    steps = (values + step // 2) // step
    for sample in range(1, len(steps)):
        near = np.abs(values[sample] - steps[sample - 1] * step) * 4 < step * 3
        steps[sample] = np.where(near, steps[sample - 1], steps[sample])
    return steps.astype(np.int16), step


def record(world: WorldFile, first_tick: int = FIRST_TICK, ticks: int = TICKS) -> Recording:
    """Runs a world from tick 0 to `first_tick`, then records the next `ticks` ticks."""
    region = begin(world)
    advance(region, world.laws, first_tick)
    recorder, moments = Recorder(world, region), ticks // MOMENT_TICKS
    for moment in range(moments):
        recorder.sample(moment)
        if moment % FIELD == 0:
            recorder.sample_fields()
        advance(region, world.laws, MOMENT_TICKS)
    recorder.sample_fields()  # the end of the interpolation of the last moments
    fields, steps = {}, dict(STEPS)
    for layer, planes in recorder.fields.items():
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
        recorder.entries(),
        steps,
        LEVELS,
        recorder.statuses,
        recorder.tracks(),
        fields,
    )


def main() -> None:
    """Makes the recording and writes it to the file given on the command line, by default the bundled file."""
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else BUNDLED
    began_s = time.monotonic()
    try:
        recording = record(read_world(WORLD, {"seed": SEED}))
        write(recording, path)
    except UmweltError as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from None
    beings = ", ".join(f"{len(tracks.ids)} {name}" for name, tracks in recording.tracks.items())
    print(f"{path}: {path.stat().st_size / 1e6:.2f} MB, {beings}, {time.monotonic() - began_s:.0f} s")


if __name__ == "__main__":
    main()
