"""Drawing of plants: leafy rosettes joined by stems. Leaves, thorns and flowers follow from genes and substances.

A plant consists of modules, each of which is a being of its own with leaves, and with a stem to the older module from
which it grew. Seeds are beings too. A swarm (`frame.Swarm`) has the beings of one table in view; a table holds all
beings of one kind. Attributes whose names begin with `in_` are those of the shaders.
"""

from typing import Any

import numpy as np

from umwelt.agents.body.interface import MODULE, SEED_ALOFT
from umwelt.agents.earth.parameters import LEAF_FULL_COUNT, PLANT_WATER_COUNT
from umwelt.client.pictures.scene import (
    LEAF_MAX_CELLS,
    LEAF_MIN_CELLS,
    SEED_CELLS,
    cell_offsets,
    hash_ids,
)
from umwelt.client.window.draw.colours import body_hues
from umwelt.client.window.draw.instances import NEAR_FROM, Instances, Marks, pack_bits
from umwelt.client.window.draw.programs import give, lay_over, place, program
from umwelt.client.window.feed.camera import Camera
from umwelt.client.window.feed.frame import Frame, Swarm
from umwelt.client.window.feed.looks import Looks

SUGAR_SPARE_COUNT, SUGAR_BLOOM_COUNT = 70, 130
"""The sugar count from which buds are visible, and that at which flowers are open."""
SUGAR_POOR_COUNT, WATER_POOR_COUNT = 8, 16
"""The counts of sugar and water below which leaves wither."""
GENES = {"leaf": 0, "shape": 0, "height": -40, "thorn": -128}
"""The genes that shape leaves, with the values that are drawn if the table has no column for the gene."""
MARKED, ALOFT = 1, 2
"""Bits of the flags in the third number of `in_looks`: the being is highlighted; it is a flying seed."""
STEM_DIRECTIONS = 8
STEM_CELLS = 1.2
"""With this length, the ends of stems in all eight directions, rounded to cells, are the eight neighbour cells."""


class Plants:
    """Draws swarms of plants; `wind` (right, down, each from -1 to 1) bends their leaves."""

    def __init__(self, ctx: Any):
        self._ctx = ctx
        self.wind = (0.0, 0.0)
        self._leaves = [program(ctx, "plant_vertex.glsl", f"plant_{level}.glsl") for level in ("mid", "near")]
        self._stems = [program(ctx, "stem_vertex.glsl", f"stem_{level}.glsl") for level in ("mid", "near")]
        self._flowers = program(ctx, "plant_flower_vertex.glsl", "plant_flower.glsl")
        self._seeds = program(ctx, "plant_vertex.glsl", "plant_seed.glsl")
        self._stands: dict[str, _Stand] = {}

    def draw(self, swarm: Swarm, frame: Frame, camera: Camera, looks: Looks, strength: float) -> None:
        """Draws a swarm with an opacity `strength` from 0 to 1, once for each copy of the torus in view."""
        if not len(swarm) or strength <= 0:
            return
        stand = self._stands.get(swarm.table)
        if stand is None:
            stand = self._stands[swarm.table] = _Stand(self._ctx)
        stand.update(swarm, looks)
        near = camera.scale >= NEAR_FROM
        lay_over(self._ctx)
        images = camera.images(frame.rectangle)
        # from the ground up: buried seeds, stems, leaves, flowers, flying seeds
        layers = (
            (self._seeds, stand.buried),
            (self._stems[near], stand.stems),
            (self._leaves[near], stand.rosettes),
            (self._flowers, stand.flowers),
            (self._seeds, stand.aloft),
        )
        for shader, instances in layers:
            if not instances.count:
                continue
            give(shader, strength=float(strength), wind=(float(self.wind[0]), float(self.wind[1])))
            for image in images:
                place(shader, camera, frame, image)
                instances.render(shader)


class _Stand:
    """The plants of one table as GPU buffers: one each for rosettes, stems, flowers, buried seeds and flying seeds."""

    def __init__(self, ctx: Any):
        groups = {"looks": ("4f 4u", ["in_place", "in_looks"])}
        self.rosettes, self.stems, self.flowers, self.buried, self.aloft = (Instances(ctx, groups) for _ in range(5))
        self._marks = Marks()
        self._stamp: tuple = ()
        self._ids: np.ndarray | None = None

    def update(self, swarm: Swarm, looks: Looks) -> None:
        """Uploads the swarm to the GPU if it, its highlights or its clade hues have changed."""
        stamp = (swarm.number, len(swarm), *self._marks.stamp(looks))
        if stamp == self._stamp and swarm.ids is self._ids:
            return
        self._stamp, self._ids = stamp, swarm.ids
        ids = swarm.ids
        stage = swarm.columns.get("stage")
        stage = np.full(len(swarm), MODULE) if stage is None else np.asarray(stage)
        tissue = swarm.column("tissue_count", 0.6 * LEAF_FULL_COUNT)
        grown = np.clip(tissue / LEAF_FULL_COUNT, 0, 1)
        rows = self._rows(swarm, looks, stage, grown)
        sizes = np.where(stage == MODULE, (grown * 255).astype(np.uint8), 0)
        order = np.argsort(sizes.astype(np.uint8), kind="stable")  # large leaves are drawn over small ones
        sorted_stage = stage[order]
        for instances, which in (
            (self.rosettes, sorted_stage >= MODULE),
            (self.flowers, (rows[order, 5] >> 8) & 255 > 0),
            (self.aloft, sorted_stage == SEED_ALOFT),
            (self.buried, (sorted_stage > SEED_ALOFT) & (sorted_stage < MODULE)),
        ):
            instances.write(looks=rows[order[which]])
        self.stems.write(looks=self._stem_rows(swarm, rows, grown, ids))

    def _rows(self, swarm: Swarm, looks: Looks, stage: np.ndarray, grown: np.ndarray) -> np.ndarray:
        """Returns the attributes `in_place` and `in_looks` of each being, `uint32[n, 8]`.

        `in_place` holds floats: x, y and size in cells, and 0. `in_looks` is packed into bits: genes; hue of flowers,
        bloom, growth, withering; hue and flags; a hash of the id. `stage` and `grown` (0 to 1) are arrays by being.
        """
        column, ids = swarm.column, swarm.ids
        rows = np.empty((len(ids), 8), np.uint32)
        places = rows.view(np.float32)
        stray = cell_offsets(ids) * (stage == MODULE)
        places[:, 0], places[:, 1] = swarm.x + stray[1], swarm.y + stray[0]
        places[:, 2] = np.where(stage < MODULE, SEED_CELLS, LEAF_MIN_CELLS + (LEAF_MAX_CELLS - LEAF_MIN_CELLS) * grown)
        hue = body_hues(column("species"), column("gene_hue") if "gene_hue" in swarm.columns else None, True)
        hue = self._marks.hues(ids, hue, looks) % 1.0
        sugar, water = column("sugar_count", 60), column("water_count", PLANT_WATER_COUNT)
        poor = 1 - np.minimum(sugar / SUGAR_POOR_COUNT, water / WATER_POOR_COUNT)
        blooms = (sugar - SUGAR_SPARE_COUNT) / (SUGAR_BLOOM_COUNT - SUGAR_SPARE_COUNT) * (grown > 0.4)
        places[:, 3] = 0.0
        flags = self._marks.highlighted(ids, looks) * MARKED + (stage == SEED_ALOFT) * ALOFT
        rows[:, 4] = pack_bits(*((column(f"gene_{name}", default) + 128, 8) for name, default in GENES.items()))
        rows[:, 5] = pack_bits(
            (column("gene_flower_hue") + 128, 8), (blooms * 255, 8), (grown * 255, 8), (poor * 255, 8)
        )
        rows[:, 6] = pack_bits((hue * 65535, 16), (flags, 8))
        rows[:, 7] = hash_ids(ids)
        return rows

    @staticmethod
    def _stem_rows(swarm: Swarm, rows: np.ndarray, grown: np.ndarray, ids: np.ndarray) -> np.ndarray:
        """Returns the attributes of the stems of modules whose older module is in view too, `uint32[stem, 8]`.

        A row is that of the module in `rows`, but its numbers 2 and 3 hold the way (right, down) to the older module in
        cells, and the highest byte of number 6 the growth of the older module.
        """
        if "stem_id" not in swarm.columns or "stem_direction" not in swarm.columns:
            return np.empty((0, 8), np.uint32)
        own = np.flatnonzero((swarm.columns["stem_direction"] > 0) & (swarm.columns["stage"] == MODULE))
        elder_ids = np.asarray(swarm.columns["stem_id"])[own]
        elder = np.minimum(np.searchsorted(ids, elder_ids), len(ids) - 1)
        in_view = ids[elder] == elder_ids
        own, elder, elder_ids = own[in_view], elder[in_view], elder_ids[in_view]
        stems = rows[own]
        places = stems.view(np.float32)
        # computed from the direction, because the neighbour's position can be beyond the edge of the world
        eighth = np.float32(2 * np.pi / STEM_DIRECTIONS)
        angle = (swarm.columns["stem_direction"][own].astype(np.float32) - 1) * eighth
        base, elder_stray = rows.view(np.float32)[own, :2], cell_offsets(elder_ids)
        places[:, 2] = np.round(np.cos(angle) * STEM_CELLS) + elder_stray[1] - (base[:, 0] - swarm.x[own])
        places[:, 3] = np.round(np.sin(angle) * STEM_CELLS) + elder_stray[0] - (base[:, 1] - swarm.y[own])
        stems[:, 6] = (stems[:, 6] & np.uint32(0xFFFFFF)) | pack_bits((grown[elder] * 255, 8)) << np.uint32(24)
        return stems
