"""Drawing of monsters: bodies whose segments, limbs, faces and colours follow from organs, genes and states.

A swarm (`frame.Swarm`) has the beings of one table in view; a table holds all beings of one kind. Attributes whose
names begin with `in_` are those of the shader `monster_vertex.glsl`.
"""

from typing import Any

import numpy as np

from umwelt.client.pictures.scene import body_cells, hash_ids
from umwelt.client.window.draw.colours import body_hues
from umwelt.client.window.draw.instances import NEAR_FROM, Instances, Marks, pack_bits
from umwelt.client.window.draw.programs import CLOCK_WRAP_S, give, lay_over, place, program
from umwelt.client.window.feed.camera import Camera
from umwelt.client.window.feed.frame import Frame, Swarm
from umwelt.client.window.feed.looks import Looks

SUGAR_BASE_COUNT, SUGAR_PER_STORE_COUNT = 160, 160
"""The sugar count at which a body is drawn as full: without store organs, and the increase for each store organ."""
HUNGRY_COUNT = 60
"""The sugar count below which a body is drawn paler."""
WALKED_MAX_CELLS = 2.0
"""The maximum distance between two updates of a monster for which moving legs are drawn."""
WALK_WRAP_CELLS = 512.0
"""The distance that a monster has walked is stored modulo this, because a large float32 would lose small steps."""
BENDS = 0.35
"""The bend of a body is a moving average of its turns over updates; this is the weight of the latest turn."""
DRAWN_ORGANS = ("jaw", "gut", "leg", "eye", "armour", "spike", "store", "gland")
"""The organs that the shader draws, in the order in which their numbers are packed, from the lowest bits up."""
ORGAN_BITS = 4
"""The number of bits in which the number of organs of one kind is stored."""
DEFAULT_ORGANS = {"leg": 3, "eye": 2, "gut": 1}
"""The numbers of organs that are drawn if the table has no columns of organs."""
ASLEEP, SHUT, MARKED, WAS_SHUT = 1, 2, 4, 8
"""Bits of the flags in the fourth number of `in_looks`.

`SHUT`: the eyes are shut; `WAS_SHUT`: they were shut before the latest update; `MARKED`: the being is highlighted.
"""


class Monsters:
    """Draws swarms of monsters; the monsters of each table have GPU buffers of their own."""

    def __init__(self, ctx: Any):
        self._ctx = ctx
        self._near = program(ctx, "monster_vertex.glsl", "monster_near.glsl")
        self._mid = program(ctx, "monster_vertex.glsl", "monster_mid.glsl")
        self._herds: dict[str, _Herd] = {}

    def draw(self, swarm: Swarm, frame: Frame, camera: Camera, looks: Looks, strength: float) -> None:
        """Draws a swarm with an opacity `strength` from 0 to 1, once for each copy of the torus in view."""
        if not len(swarm) or strength <= 0:
            return
        herd = self._herds.get(swarm.table)
        if herd is None:
            herd = self._herds[swarm.table] = _Herd(self._ctx)
        herd.update(swarm, looks)
        shader = self._near if camera.scale >= NEAR_FROM else self._mid
        lay_over(self._ctx)
        give(shader, strength=float(strength))
        for image in camera.images(frame.rectangle):
            place(shader, camera, frame, image)
            herd.instances.render(shader)


class _Herd:
    """The monsters of one table as GPU buffers, with what is remembered of the previous update to animate them.

    All arrays have one row per monster, ordered by id. `_walked` is the distance walked and `_bend` the bend of the
    body, each before and after the latest movement; `_since_s` is the time at which that began.
    """

    def __init__(self, ctx: Any):
        groups = {
            "motion": ("4f 4f 4f", ["in_way", "in_turn", "in_walk"]),
            "looks": ("4u 1u", ["in_looks", "in_own"]),
        }
        self.instances = Instances(ctx, groups)
        self._marks = Marks()
        self._stamp: tuple = ()
        self._ids, self._since_s = np.zeros(0, np.int64), np.zeros(0)
        self._walked, self._bend = np.zeros((0, 2), np.float32), np.zeros((0, 2), np.float32)
        self._shut, self._was_shut = np.zeros(0, bool), np.zeros(0, bool)

    def update(self, swarm: Swarm, looks: Looks) -> None:
        """Uploads the swarm to the GPU if it, its highlights or its clade hues have changed."""
        stamp = (swarm.number, len(swarm), *self._marks.stamp(looks))
        if stamp == self._stamp and swarm.ids is self._ids:
            return
        self._stamp = stamp
        self._remember(swarm)
        self.instances.write(motion=self._motion(swarm), looks=self._packed_looks(swarm, looks))

    def _remember(self, swarm: Swarm) -> None:
        """Updates distances walked (for moving legs), bends, and whether eyes are and were shut.

        A monster whose `since_s` has not changed keeps its values; a new one starts without a past.
        """
        ids, since_s = swarm.ids, swarm.since_s
        walked, bend = np.zeros((len(ids), 2), np.float32), np.zeros((len(ids), 2), np.float32)
        shut = (swarm.column("eyes_shut") > 0) | (swarm.column("asleep") > 0)
        was_shut = shut.copy()
        moved = np.minimum(np.hypot(swarm.y - swarm.y_before, swarm.x - swarm.x_before), WALKED_MAX_CELLS)
        turned = np.clip(swarm.heading - swarm.heading_before, -1.2, 1.2)
        walked[:, 1], bend[:, 0], bend[:, 1] = moved, turned * BENDS, turned * BENDS
        if len(self._ids):
            at = np.minimum(np.searchsorted(self._ids, ids), len(self._ids) - 1)
            known = self._ids[at] == ids
            same = known & (self._since_s[at] == since_s)
            on = known & ~same
            walked[on, 0] = self._walked[at[on], 1] % WALK_WRAP_CELLS
            walked[on, 1] += walked[on, 0]
            bend[on, 0] = self._bend[at[on], 1]
            bend[on, 1] += bend[on, 0] * (1 - BENDS)
            was_shut[on] = self._shut[at[on]]
            walked[same], bend[same], was_shut[same] = (
                self._walked[at[same]],
                self._bend[at[same]],
                self._was_shut[at[same]],
            )
        self._ids, self._since_s = ids, since_s
        self._walked, self._bend, self._shut, self._was_shut = walked, bend, shut, was_shut

    def _motion(self, swarm: Swarm) -> np.ndarray:
        """Returns the attributes `in_way`, `in_turn` and `in_walk` of the vertex shader, `float32[n, 12]`."""
        rows = np.empty((len(swarm), 12), np.float32)
        rows[:, 0], rows[:, 1], rows[:, 2], rows[:, 3] = swarm.x_before, swarm.y_before, swarm.x, swarm.y
        rows[:, 4], rows[:, 5] = swarm.heading_before, swarm.heading
        rows[:, 6] = np.asarray(swarm.since_s, np.float64) % CLOCK_WRAP_S
        rows[:, 7] = body_cells(swarm.column("tissue_count", 40.0))
        rows[:, 8:10], rows[:, 10:12] = self._walked, self._bend
        return rows

    def _packed_looks(self, swarm: Swarm, looks: Looks) -> np.ndarray:
        """Returns the attributes `in_looks` (four numbers) and `in_own` of the vertex shader, `uint32[n, 5]`.

        They are, packed into bits: numbers of organs; colours; fangs, glow, fullness, being fed; fatigue, pain, speed
        and flags; and a hash of the id.
        """
        column, ids = swarm.column, swarm.ids
        rows = np.empty((len(swarm), 5), np.uint32)
        rows[:, 0] = pack_bits(
            *((column(f"{organ}_organs", DEFAULT_ORGANS.get(organ, 0)), ORGAN_BITS) for organ in DRAWN_ORGANS)
        )
        hue = body_hues(column("species"), column("gene_hue") if "gene_hue" in swarm.columns else None, False)
        hue = self._marks.hues(ids, hue, looks) % 1.0
        rows[:, 1] = pack_bits((hue * 65535, 16), (column("gene_shade") + 128, 8), (column("gene_pattern") + 128, 8))
        store = column("store_organs")
        if "sugar_count" in swarm.columns:
            sugar = column("sugar_count")
            full, fed = sugar / (SUGAR_BASE_COUNT + SUGAR_PER_STORE_COUNT * store), sugar / HUNGRY_COUNT
        else:
            full = fed = np.full(len(swarm), 0.6, np.float32)
        rows[:, 2] = pack_bits(
            (column("gene_fangs") + 128, 8), (column("gene_glow", -30) + 128, 8), (full * 255, 8), (fed * 255, 8)
        )
        flags = (
            (column("asleep") > 0) * ASLEEP
            + self._shut * SHUT
            + self._was_shut * WAS_SHUT
            + self._marks.highlighted(ids, looks) * MARKED
        )
        rows[:, 3] = pack_bits(
            (column("fatigue") / 4, 8), (column("pain") / 4, 8), (column("speed_fixed", 200) / 4, 8), (flags, 8)
        )
        rows[:, 4] = hash_ids(ids)
        return rows
