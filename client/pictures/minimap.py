"""A small map of a running world for the terminal: ground, water and beings.

It is drawn from views: what the world's gateway (the process that answers clients) sends of a rectangle at one tick.
"""

import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from umwelt.agents.world_file import WorldFile
from umwelt.client.connection.api import View, connect
from umwelt.client.pictures.scene import DETRITUS_MUCH_COUNT, WATER_DEEP_COUNT, Crowd, draw_crowds, ground_colour
from umwelt.cluster import BIN_CELLS
from umwelt.sandbox.errors import UmweltError

GROUND = ("water", "elevation", "detritus")
"""The names of the layers from which the ground is drawn."""
MAX_SIDE_BY_CELL = 256
"""Longest side, in cells, of worlds in which the place of each being is received.

For larger worlds, only the number of beings in each bin of 8 x 8 cells is received.
"""
UPDATE_EVERY_S = 0.4
"""The pause between two views, and between two attempts to connect, in seconds."""
TILES_WITHIN_S = 3600.0
"""If no view arrives within this time, in seconds, the connection is made again."""
PLANT_CELLS = 0.6
"""The share of a cell that a plant covers on the map."""
BARE = 0.3
"""The moisture of the ground in worlds without soil water."""
PLANT_GAMMA = 2.2
"""Exponent applied to the colours of plants, which makes them darker, so that monsters stand out."""


class Minimap:
    """A map of a running world. A background thread receives its views until `close`; `pixels` draws the newest one.

    `run` is the run's folder, `keys` the folder with keys ("" for none). `tints` has the colour `float32[3]` of each
    species under "TABLE/SPECIES".
    """

    def __init__(self, world: WorldFile, run: Path, keys: str, tints: Mapping[str, np.ndarray]):
        self.world, self.run, self.keys, self.tints = world, run, keys, tints
        self._view: View | None = None
        self._species: list[str] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="umwelt-minimap", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends the background thread, after the present view or attempt to connect."""
        self._ended.set()

    def _watch(self) -> None:
        """Receives views until `close`, and connects to the run again after an error; the function of the thread."""
        common = self.world.common
        level = "dots" if max(common.height, common.width) <= MAX_SIDE_BY_CELL else "densities"
        while not self._ended.wait(UPDATE_EVERY_S):
            with suppress(UmweltError), connect(self.run, self.keys or None) as connection:
                self._species = connection.species
                layers = [name for name in GROUND if name in connection.layers]
                while not self._ended.wait(UPDATE_EVERY_S):
                    # subscribes for one view at a time, so that the world need not prepare views in between
                    for view in connection.watch(level=level, layers=layers, timeout_s=TILES_WITHIN_S):
                        if view.complete or self._ended.is_set():
                            self._view = view
                            break

    def pixels(self, rows: int, columns: int) -> np.ndarray | None:
        """Returns the map, `uint8[rows, columns, 3]`; None until the first complete view has arrived."""
        view = self._view
        if view is None:
            return None
        common = self.world.common
        ground = self._ground(view, rows, columns)
        crowds = [*self._dots(view), *self._densities(view)]
        crowds.sort(key=lambda crowd: not crowd.plant)
        return draw_crowds(ground, crowds, max(1.0, common.height / rows * common.width / columns))

    def _ground(self, view: View, rows: int, columns: int) -> np.ndarray:
        """Returns the colour of land and water, `float32[rows, columns, 3]`, from the layers of `view`.

        A layer has one value for each cell of the world; layers that the view lacks count as 0.
        """
        shape = (rows, columns)
        y = (np.arange(rows) * view.rectangle.height // rows)[:, None]
        x = (np.arange(columns) * view.rectangle.width // columns)[None, :]

        def plane(name: str) -> np.ndarray:
            """Returns a layer at the pixels, 0 if the view lacks it: `float32[rows, columns]`."""
            return view.fields[name][y, x].astype(np.float32) if name in view.fields else np.zeros(shape, np.float32)

        holds = float(getattr(getattr(self.world.settings, "ground", None), "soil_holds", 0))
        water, elevation = plane("water"), plane("elevation")
        height = elevation - elevation.min(initial=0)
        nothing = np.zeros(shape, np.float32)
        return ground_colour(
            np.clip((water - holds) / WATER_DEEP_COUNT, 0, 1) if holds else nothing,
            np.clip(water / holds, 0, 1) if holds else nothing + BARE,
            np.clip(plane("detritus") / DETRITUS_MUCH_COUNT, 0, 1),
            height / max(1.0, float(height.max(initial=0))),
            nothing,
            np.zeros((3, *shape), np.float32),
        )

    def _tint(self, table: str, species: int) -> np.ndarray:
        """Returns the colour in which a species is drawn, given its index: `float32[3]`, grey if `tints` has none."""
        name = self._species[species] if 0 <= species < len(self._species) else table
        tint = self.tints.get(f"{table}/{name}", np.full(3, 0.7, np.float32))
        return tint ** (PLANT_GAMMA if table == "plants" else 1.0)

    def _dots(self, view: View) -> list[Crowd]:
        """Returns the beings of a view at the level "dots", each at its own place: a `Crowd` for each species."""
        crowds = []
        for table, columns in view.beings.items():
            y, x = columns["y"] / view.rectangle.height, columns["x"] / view.rectangle.width
            species: Any = columns.get("species", np.full(len(y), -1))
            plant = table == "plants"
            for index in np.unique(species).tolist():
                rows = np.flatnonzero(species == index)
                weight = np.full(len(rows), PLANT_CELLS if plant else 1.0, np.float32)
                crowds.append(Crowd(plant, y[rows], x[rows], weight, self._tint(table, index)))
        return crowds

    def _densities(self, view: View) -> list[Crowd]:
        """Returns the beings of a view at the level "densities", which has the number of beings in each bin of cells.

        They are put at pseudorandom places within their bins, to hide the grid of bins; the same places for the same
        counts. There is a `Crowd` for each species.
        """
        crowds: list[Crowd] = []
        for table, planes in view.counts.items():
            plant = table == "plants"
            for species, counts in planes.items():
                at = np.repeat(np.arange(counts.size), counts.ravel())
                dice = np.random.default_rng(len(crowds))
                y = (at // counts.shape[1] + dice.random(len(at))) * BIN_CELLS / view.rectangle.height
                x = (at % counts.shape[1] + dice.random(len(at))) * BIN_CELLS / view.rectangle.width
                weight = np.full(len(at), PLANT_CELLS if plant else 1.0, np.float32)
                crowds.append(Crowd(plant, y, x, weight, self._tint(table, species)))
        return crowds
