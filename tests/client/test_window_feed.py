"""The feed: tiles of a real gateway become frames, between which beings move without jumps."""

import time
from collections import deque
from random import Random

import numpy as np
import pytest
from waiting import WITHIN_S, wait_until

from umwelt.client.connection.api import connect
from umwelt.client.connection.connection import GatewayLink
from umwelt.client.connection.promises import PromisedConnection
from umwelt.client.window.feed.camera import Camera
from umwelt.client.window.feed.feed import drawn_places, nearest, place_of
from umwelt.client.window.feed.gathering import TileBeings, cells_of, merge_pieces, swarm_of
from umwelt.client.window.session import Session
from umwelt.cluster.view.tiles import BEINGS, Head, Piece, Topic
from umwelt.sandbox.region import Rectangle, Torus

HEIGHT, WIDTH = 96, 80  # the size of the world in conftest.py


@pytest.fixture
def session(cluster):
    found = Session(PromisedConnection(GatewayLink(cluster.address)), Camera.over(HEIGHT, WIDTH, (640, 480)))
    yield found
    found.close()


def turned(session: Session, until) -> None:
    """Call the session's `update` until a condition holds."""
    wait_until(lambda: until() or session.update(1 / 60), poll_s=0.004)


def test_every_level_of_detail_arrives(session):
    camera, feed = session.camera, session.feed
    for scale, has in ((40.0, "swarms"), (4.0, "dots")):
        camera.look(10, 70, scale, at_once=True)
        session.update(1 / 60)
        turned(session, lambda has=has: feed.complete and bool(getattr(feed.frame, has)))
    camera.scale = 0.5
    camera.target = (camera.y, camera.x, 0.5)
    turned(session, lambda: feed.complete and feed.frame.densities is not None)
    assert feed.frame.densities.counts and not feed.frame.swarms and feed.frame.dots is None


def test_fields_arrive_by_cells_near_by_and_by_bins_from_far_away(session):
    camera, feed = session.camera, session.feed
    camera.look(48, 40, 20.0, at_once=True)
    turned(session, lambda: feed.complete and {"water", "elevation", "light"} <= feed.frame.planes.keys())
    water = feed.frame.planes["water"]
    assert water.step == 1 and water.values.shape == (water.rectangle.height, water.rectangle.width)
    camera.scale = 1.0
    camera.target = (camera.y, camera.x, 1.0)
    turned(session, lambda: feed.complete and feed.frame.planes["water"].step == 8)
    assert feed.frame.planes["water"].values.shape == (HEIGHT // 8, WIDTH // 8)


def test_beings_are_drawn_where_the_world_has_them(session, cluster):
    session.camera.look(0, 0, 30.0, at_once=True)
    with connect(cluster.address) as world:
        tick = world.pause()
        world.wait(tick, WITHIN_S)
        turned(session, lambda: session.feed.complete and session.tick == tick)
        turned(session, lambda: session.clock() - max(s.since_s.max(initial=0) for s in session.feed.frame.swarms) > 1)
        there = world.query(table="monsters", columns=["y_fixed", "x_fixed"])
        known = dict(zip(there["id"].tolist(), zip(there["y_fixed"], there["x_fixed"], strict=True), strict=True))
        frame = session.feed.frame
        swarm = next(s for s in frame.swarms if s.table == "monsters")
        assert len(swarm) > 3
        for being in swarm.ids.tolist():
            y, x, _ = place_of(frame, being, Torus(HEIGHT, WIDTH))
            assert abs(y - known[being][0] / 1024) < 0.01 and abs(x - known[being][1] / 1024) < 0.01
        at = swarm.ids[0]
        y, x, _ = place_of(frame, int(at), Torus(HEIGHT, WIDTH))
        assert nearest(frame, y, x, Torus(HEIGHT, WIDTH), 0.5)[0] == at
        world.go()


def test_no_being_jumps_between_two_frames(session):
    session.camera.look(48, 40, 24.0, at_once=True)
    turned(session, lambda: session.feed.complete and bool(session.feed.frame.swarms))
    torus, before, furthest, moved = Torus(HEIGHT, WIDTH), {}, 0.0, 0.0
    recent = deque([session.tick], maxlen=5)
    for _ in range(240):
        session.update(1 / 60)
        recent.append(session.tick)
        tick_count = max(1, recent[-1] - recent[0])  # more than one if the machine was busy
        frame = session.feed.frame
        now = {}
        for swarm in frame.swarms:
            if swarm.plant:
                continue
            y, x = drawn_places(swarm, frame)
            now |= dict(
                zip(swarm.ids.tolist(), zip(y + frame.rectangle.y, x + frame.rectangle.x, strict=True), strict=True)
            )
        for being in now.keys() & before.keys():
            ways = [
                (a - b + size / 2) % size - size / 2
                for a, b, size in zip(now[being], before[being], torus, strict=True)
            ]
            furthest, moved = max(furthest, np.hypot(*ways) / tick_count), moved + np.hypot(*ways)
        before = now
        time.sleep(0.004)
    assert moved > 1, "no monster moved"
    assert furthest < 1.2, "a monster moves about a cell a tick"


def test_the_selected_being_is_fetched_and_followed(session):
    session.camera.look(48, 40, 24.0, at_once=True)
    turned(session, lambda: bool(session.feed.frame.swarms) and session.feed.complete)
    swarm = next(s for s in session.feed.frame.swarms if s.table == "monsters")
    session.select(int(swarm.ids[0]), "monsters")
    session.following = True
    turned(session, lambda: session.selected.gone or session.selected.being is not None)
    being = session.selected.being
    assert being["id"] == swarm.ids[0] and "drives" in being and len(being["stimuli"]) > 30
    turned(
        session,
        lambda: (
            session.selected.gone or np.hypot(*np.subtract(session.camera.target[:2], session.selected_place()[:2])) < 2
        ),
    )


def part(ids, y, x, **columns) -> TileBeings:
    return TileBeings(
        np.array(ids), np.array(y, np.float32), np.array(x, np.float32), {n: np.array(c) for n, c in columns.items()}
    )


def test_beings_glide_over_the_seam_from_where_they_were_drawn(session):
    frame, torus = session.feed.frame, Torus(HEIGHT, WIDTH)
    frame.glide_s = 1.0
    first = swarm_of("monsters", [(part([3, 9], [95.5, 20.0], [79.5, 20.0]), True)], None, frame, torus, 10.0)
    second = swarm_of("monsters", [(part([3, 9], [0.5, 21.0], [0.5, 20.0]), True)], first, frame, torus, 20.0)
    frame.now_s = 20.5
    y, x = drawn_places(second, frame)
    assert (y % HEIGHT).tolist() == pytest.approx([0.0, 20.5]) and (x % WIDTH).tolist() == pytest.approx([0.0, 20.0])
    third = swarm_of("monsters", [(part([3, 9], [1.5, 21.0], [0.5, 20.0]), True)], second, frame, torus, 20.5)
    frame.now_s = 20.5
    again_y, again_x = drawn_places(third, frame)
    assert (again_y % HEIGHT).tolist() == pytest.approx((y % HEIGHT).tolist())
    assert (again_x % WIDTH).tolist() == pytest.approx((x % WIDTH).tolist())


def piece(epoch: int, tick: int, y: int, height: int) -> Piece:
    """Returns some rows of a tile of 64 x 64 cells of a field."""
    rectangle = Rectangle(y, 0, height, 64)
    return Piece(Head(1, epoch, tick, (0, 1, 0, 0), tuple(rectangle)), Topic(0, 1, 0, 0), rectangle, {})


def test_a_new_piece_of_one_node_keeps_the_pieces_of_the_others():
    upper, lower = piece(3, 10, 0, 20), piece(3, 10, 20, 44)
    later = piece(3, 12, 20, 44)
    assert merge_pieces([], [upper], 4096) == [upper] and cells_of([upper]) < 4096
    assert merge_pieces([upper, lower], [later], 4096) == [later, upper]
    half, rest = piece(4, 13, 0, 32), piece(4, 13, 32, 32)  # pieces of a newer epoch
    assert merge_pieces([upper, later], [half], 4096) == [half, upper, later]
    assert merge_pieces([upper, later, half], [half, rest], 4096) == [half, rest]
    many = [piece(3, 10, y, 1) for y in range(64)]
    assert len(merge_pieces(many, [later], 4096)) < len(many)  # the number of pieces is bounded


class OneByOne:
    """A source of tiles that returns of each field's tile only the piece of one node, chosen at random."""

    def __init__(self, source):
        self._source, self._count, self._chance = source, 0, Random(1)

    def __getattr__(self, name):
        return getattr(self._source, name)

    def tile(self, shown, topic):
        found = self._source.tile(shown, topic)
        if found is None or topic.layer == BEINGS:
            return found
        self._count += 1
        return self._count, [self._chance.choice(found[1])]


def test_fields_are_complete_whichever_node_sends_last(session):
    camera, feed = session.camera, session.feed
    camera.look(48, 40, 1.0, at_once=True)
    turned(session, lambda: feed.complete and "elevation" in feed.frame.planes)
    high = feed.frame.planes["elevation"].values.copy()
    feed.source, feed._kept = OneByOne(feed.source), {}
    turned(session, lambda: feed.complete)
    for _ in range(100):
        session.update(1 / 60)
        assert (feed.frame.planes["elevation"].values == high).all()
        light = feed.frame.planes["light"].values
        assert light.any(axis=1).all() or not light.any()
        time.sleep(0.004)
