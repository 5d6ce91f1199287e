"""The cost of a frame of the window at each level of detail, with and without panels; and the window's traffic.

    python -m benchmarks.viewer [--frames 240] [--from 300] [--line]

The window is the graphical viewer of Umwelt. The world "meadow" runs in this process at 20 ticks a second of the
window's time. What the window receives are tiles: messages with the beings, or the values of one layer, in a square of
the world; a topic names a tile. They are encoded as a node of a running world does it, and arrive within the window's
limit on bytes per second; this is not part of the measured time. A frame is everything that the window does between two
buffer swaps. Drawing by software takes far longer than the Python code, so each scene is measured twice: `python`
without draw calls (but with uploads, uniforms and panels), as CPU time of the window's thread; and `software` with draw
calls, as wall time.
"""

import argparse
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measure import median
from umwelt.agents.mesa.world import World
from umwelt.agents.world_file import read_world
from umwelt.client.connection.connection import GatewayLink
from umwelt.client.connection.promises import PromisedConnection
from umwelt.client.window.app import import_window, prepare_display
from umwelt.client.window.feed.camera import Camera
from umwelt.client.window.session import Session
from umwelt.cluster.gateway.welcome import compose_welcome
from umwelt.cluster.launch.local import Engine, Plan, begin_run
from umwelt.cluster.process import read_announcement
from umwelt.cluster.shard import measure_populations
from umwelt.cluster.view import queries
from umwelt.cluster.view.tile_encoder import TileEncoder
from umwelt.cluster.view.tiles import Topic
from umwelt.cluster.wire.keys import KEEPER
from umwelt.cluster.wire.viewer_protocol import GATEWAY_FILE

SIZE = (1280, 800)
FRAMES_A_TICK = 3
TARGETS_MS = {"densities": None, "dots": 4.0, "bodies": 6.0}
"""The targets for the time of a frame without draw calls, by level of detail; None for no target."""


class Ready:
    """A promise whose answer is already there."""

    done = True

    def __init__(self, answer: Any):
        self._answer = answer

    def result(self) -> Any:
        """Returns the answer."""
        return self._answer


class Local:
    """A world in this process with the interface that the window's session needs: tiles, answers, status.

    It takes the place of a connection; methods that would send a request return a `Ready` at once.
    """

    def __init__(self, world: World):
        self.world, self.encoder = world, TileEncoder(world.world_file, world.region)
        self.known = compose_welcome(world.world_file, KEEPER, "")
        self.core = self
        self.clock_s = 100.0
        """The window's time in seconds."""
        self._watched: dict[Topic, None] = {}
        self._tiles: dict[Topic, tuple[int, list[bytes]]] = {}
        self._arrivals = 0
        self._status: dict[str, Any] = {}
        self.bytes = 0
        self.bytes_per_s: float | None = None
        self._left = 0.0
        self.next()

    def next(self) -> None:
        """Encodes the watched tiles at the present tick, oldest first, within the window's limit on bytes."""
        self._left = min(0.0, self._left) + (self.bytes_per_s or 0.0) / (60 / FRAMES_A_TICK)
        for topic in list(self._watched):
            if self._left <= 0:
                break
            self._left -= self._encode(topic)
            self._watched[topic] = self._watched.pop(topic)
        file, region = self.world.world_file, self.world.region
        whole = [0, 0, region.torus.height, region.torus.width]
        populations, substances = measure_populations(file, region, self.known.species)
        counts = region.counts
        metrics = {
            "tick": region.tick,
            "digest": "",
            "births": counts["births"],
            "deaths": counts["deaths"],
            "populations": populations,
            "substances": substances,
        }
        self._status = {
            "world": file.name,
            "run": "runs/meadow-1",
            "phase": "running",
            "tick": region.tick,
            "granted": region.tick,
            "epoch": 1,
            "ticks_per_exchange": 1,
            "paused": False,
            "speed": 20.0,
            "snapshot_tick": 0,
            "events": [],
            "metrics": metrics,
            "nodes": [
                {
                    "name": "node-1",
                    "pid": 1,
                    "host": "here",
                    "rectangle": whole,
                    "tick": region.tick,
                    "entities": sum(table.count for table in region.tables.values()),
                    "ticks_per_s": 20.0,
                    "waiting_share": 0.0,
                    "round_trip_s": 0.0,
                    "resident_bytes": 1,
                    "state": "ready",
                }
            ],
        }

    def _encode(self, topic: Topic) -> int:
        frames = [frame for _, frame in self.encoder.tiles([topic], 1)]
        self._arrivals += 1
        size = sum(map(len, frames))
        self.bytes += size
        self._tiles[topic] = (self._arrivals, frames)
        return size

    def watch(self, shown: int, topics: list[Topic]) -> None:
        """Subscribes to further tiles."""
        for topic in topics:
            self._watched[topic] = None
            self._encode(topic)

    def unwatch(self, shown: int, topics: list[Topic]) -> None:
        """Unsubscribes from tiles."""
        for topic in topics:
            self._watched.pop(topic, None)
            self._tiles.pop(topic, None)

    def tile(self, shown: int, topic: Topic) -> tuple[int, list[bytes]] | None:
        """Returns the arrival number and the newest pieces (encoded parts) of a tile; None if it is not watched."""
        return self._tiles.get(topic)

    def latest(self) -> tuple[dict[str, Any], float]:
        """Returns the status, and its age in seconds."""
        return self._status, 0.0

    def fetch(self, being: int) -> Ready:
        """Returns a `Ready` with all data of a being, None if there is none."""
        part = queries.answer(self.encoder, queries.Fetch(being))
        import msgspec

        answer = msgspec.json.decode(msgspec.json.encode(part.answer))
        being_row = queries.read_being(answer)
        return Ready(None if being_row is None else {**answer["being"], **being_row, "tick": part.tick})

    def metrics(self) -> Ready:
        """Returns a `Ready` with measurements of no ticks."""
        return Ready({"ticks": [], "births": [], "deaths": [], "populations": {}, "substances": {}})

    def births(self, since: int = 0, most: int = 20_000, table: str = "", after: int = 0) -> Ready:
        """Returns no births."""
        names = ("id", "parent_id", "tick", "y", "x", "species", "marker_a", "marker_b", "marker_c")
        return Ready({**{name: np.zeros(0, np.int64) for name in names}, "more": False, "next": since, "after": 0})

    def family(self, being: int) -> Ready:
        """Returns no relatives."""
        return Ready({"ancestors": [], "children": []})

    def snapshots(self) -> Ready:
        """Returns no snapshots."""
        return Ready([])

    def close(self) -> None:
        """Does nothing: there is no connection."""


def describe_view(window: Any) -> str:
    """Returns the number of beings in view as text; "densities" if the window has no single beings in view."""
    frame, rectangle = window.session.feed.frame, window.session.camera.rectangle()
    corner = frame.rectangle
    count = 0
    for group in [*frame.swarms, *([frame.dots] if frame.dots is not None else [])]:
        y = (group.y + corner.y - rectangle.y) % window.session.torus.height
        x = (group.x + corner.x - rectangle.x) % window.session.torus.width
        count += int(np.count_nonzero((y < rectangle.height) & (x < rectangle.width)))
    return f"{count:,} in view" if count else "densities"


def scene(window: Any, local: Local, frames: int, draws: bool) -> tuple[list[float], list[float]]:
    """Draws `frames` frames of the running world; returns two lists with the milliseconds of each frame.

    The first has the processor time of the thread, the second the wall time. If `draws` is false, draw calls do
    nothing.
    """
    import arcade.gl

    kind = arcade.gl.vertex_array.Geometry
    kept = kind.render, kind.render_instanced if hasattr(kind, "render_instanced") else None
    if not draws:
        kind.render = lambda self, *arguments, **named: None
    window.session.clock = lambda: local.clock_s
    spent, wall = [], []
    try:
        for number in range(frames):
            local.clock_s += 1 / 60
            if number % FRAMES_A_TICK == 0:
                local.world.step()
                local.next()
            window.switch_to()
            window.dispatch_events()
            began, began_s = time.thread_time(), time.perf_counter()
            window.on_update(1 / 60)
            window.on_draw()
            spent.append(1e3 * (time.thread_time() - began))
            wall.append(1e3 * (time.perf_counter() - began_s))
            window.flip()
    finally:
        kind.render = kept[0]
    return spent, wall


def measure_traffic(seconds: float) -> None:
    """Prints the bytes per second that a real gateway (the process that answers clients) sends to a window.

    The window has 1280 x 800 pixels and shows the meadow at 20 ticks a second; each scale is measured for `seconds`.
    """
    folder = Path(tempfile.mkdtemp(prefix="umwelt-viewer-"))
    engine = Engine(begin_run(read_world("meadow"), folder / "run"), Plan())
    session = None
    try:
        engine.start()
        assert engine.coordinator is not None
        while not engine.coordinator.status.get("tick") or read_announcement(folder / "run" / GATEWAY_FILE) is None:
            engine.poll(0.05)
        world = PromisedConnection(GatewayLink(folder / "run"))
        session = Session(world, Camera.over(512, 512, SIZE))
        world.speed(20.0)
        for name, scale in (("densities", 1.5), ("dots", 3.0), ("bodies", 16.0), ("bodies, close up", 40.0)):
            session.camera.look(200, 200, scale, at_once=True)
            counts: list[tuple[float, int, int]] = []
            end_s = time.monotonic() + 3 + seconds
            while (now_s := time.monotonic()) < end_s:
                session.update(1 / 60)
                engine.poll(0.01)
                if now_s > end_s - seconds:
                    counts.append((now_s, world.core.received_bytes, session.tick))
            (first_s, first, _), (last_s, last, _) = counts[0], counts[-1]
            ticks = len({tick for _, _, tick in counts}) / (last_s - first_s)
            print(
                f"{name:34}{(last - first) / (last_s - first_s) / 1e6:8.2f} MB/s, {ticks:.1f} ticks/s",
                flush=True,
            )
    finally:
        if session is not None:
            session.close()
        engine.close()
        shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.viewer", description="Measure what a frame costs.")
    parser.add_argument("--frames", type=int, default=240)
    parser.add_argument("--from", dest="first", type=int, default=300, help="ticks to run the world before measuring")
    parser.add_argument("--line", action="store_true", help="only measure the traffic from a gateway")
    chosen = parser.parse_args()
    prepare_display(hidden=True)
    if chosen.line:
        measure_traffic(8.0)
        return
    world = World.load("meadow")
    for _ in range(chosen.first):
        world.step()
    local = Local(world)
    window_type = import_window()
    camera = Camera.over(local.known.height, local.known.width, SIZE)
    session = Session(local, camera, lambda: local.clock_s)
    window = window_type(session, SIZE, panels=False, shown=False)
    print(f"{'scene':34}{'':>16}{'python ms':>12}{'p95':>8}{'target':>8}{'software ms':>13}{'MB/s':>8}")
    for name, scale, panels in (
        ("the whole world, densities", 1.5, False),
        ("dots", 2.3, False),
        ("dots and all panels", 2.3, True),
        ("bodies", 16.0, False),
        ("bodies and all panels", 16.0, True),
        ("one face", 150.0, True),
    ):
        camera.look(local.known.height * 0.4, local.known.width * 0.4, scale, at_once=True)
        window.dock.visible = panels
        for panel in window.dock.open:
            window.dock.open[panel] = panels
        if panels:
            monsters = next((swarm for swarm in session.feed.frame.swarms if not swarm.plant and len(swarm)), None)
            session.select(int(monsters.ids[0]) if monsters is not None else 0)
        scene(window, local, 30, False)
        local.bytes = 0
        spent, _ = scene(window, local, chosen.frames, False)
        megabytes_a_s = local.bytes / 1e6 / (chosen.frames / 60)
        _, wall = scene(window, local, 6, True)
        level = next(iter(camera.levels()))
        target = TARGETS_MS[level]
        print(
            f"{name:34}{describe_view(window):>16}{median(spent):12.2f}{np.percentile(spent, 95):8.2f}"
            f"{f'{target:g}' if target else '':>8}{median(wall):13.0f}{megabytes_a_s:8.2f}",
            flush=True,
        )
    window.close()
    session.close()


if __name__ == "__main__":
    main()
