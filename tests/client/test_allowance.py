"""The limit on bytes a second of a viewer: it is kept and nearly used, and the tiles that arrive are the newest."""

import random
import time

import pytest
from local_cluster import LocalCluster
from sharded_regions import golden_world
from waiting import WITHIN_S, wait_until

from umwelt.client.connection.api import connect
from umwelt.client.connection.connection import GatewayLink
from umwelt.client.connection.rate_limit import BURST_S, CREDIT, SILENT_S, CreditLimit
from umwelt.cluster.view.tiles import BODIES, DENSITIES, Topic, read_head
from umwelt.cluster.wire.viewer_protocol import LIVE
from umwelt.sandbox.errors import RunError

TURN_S = 0.004


class Gateway:
    """Stands in for a gateway: sends a tile for every credit at once, which arrives after `way_s` seconds."""

    def __init__(self, sizes, way_s: float = 0.0):
        self.sizes, self.way_s = sizes, way_s
        self.credit = 0
        self.coming: list[tuple[float, int]] = []
        self.came: list[tuple[float, int]] = []

    def poll(self, limit: CreditLimit, now_s: float) -> None:
        while self.credit > 0:
            self.credit -= 1
            self.coming.append((now_s + self.way_s, next(self.sizes)))
        while self.coming and self.coming[0][0] <= now_s:
            _, size = self.coming.pop(0)
            limit.record_tile(size, now_s)
            self.came.append((now_s, size))

    def bytes(self, from_s: float, to_s: float) -> int:
        return sum(size for at, size in self.came if from_s < at <= to_s)


def run_for(limit: CreditLimit, gateway: Gateway, seconds: float, watch_every_s: float = 1e9) -> None:
    """Runs a credit limit and a gateway for a time; the view changes every `watch_every_s` seconds."""
    now_s = watched_s = 0.0
    gateway.credit = limit.restart(now_s)
    while now_s < seconds:
        gateway.poll(limit, now_s)
        now_s += TURN_S
        gateway.credit += limit.grant(now_s)
        if now_s - watched_s > watch_every_s or limit.is_doubtful(now_s):
            watched_s, gateway.credit = now_s, limit.restart(now_s)


def tile_sizes(least: int, most: int, seed: int = 3):
    chance = random.Random(seed)
    while True:
        yield chance.randint(least, most)


@pytest.mark.parametrize("way_s", [0.0, 0.1])
@pytest.mark.parametrize("bytes_per_s", [3e4, 3e5, 2e6])
@pytest.mark.parametrize("least", [500, 19_000])
def test_the_rate_of_bytes_is_near_the_limit_and_not_above(bytes_per_s, least, way_s):
    limit, gateway = CreditLimit(bytes_per_s), Gateway(tile_sizes(least, 20_000), way_s)
    run_for(limit, gateway, 30.0)
    assert 0.93 < gateway.bytes(2.0, 30.0) / (28.0 * bytes_per_s) < 1.05
    for begin_s in range(5, 28):
        most = (1.0 + BURST_S) * bytes_per_s + 2 * 20_000
        assert gateway.bytes(begin_s, begin_s + 1.0) <= most


def mixed_sizes(seed: int = 3):
    """Yields sizes of tiles, mostly small and sometimes large, as with fields and beings."""
    chance = random.Random(seed)
    while True:
        large = chance.random() < 0.2
        for _ in range(chance.randint(1, 12)):
            yield chance.randint(15_000, 40_000) if large else chance.randint(300, 1500)


@pytest.mark.parametrize("watch_every_s", [0.15, 1e9])
def test_the_limit_holds_for_tiles_of_mixed_sizes(watch_every_s):
    limit, gateway = CreditLimit(2e5), Gateway(mixed_sizes())
    run_for(limit, gateway, 60.0, watch_every_s)
    assert 0.9 < gateway.bytes(2.0, 60.0) / (58.0 * 2e5) < 1.05
    most = max(gateway.bytes(begin_s / 4, begin_s / 4 + 2.0) for begin_s in range(20, 230))
    assert most < (2.0 + 2 * BURST_S) * 2e5


@pytest.mark.parametrize("way_s", [0.0, 0.05, 0.3])
@pytest.mark.parametrize("watch_every_s", [0.03, 0.2, 1.1])
def test_the_limit_holds_while_the_view_changes(watch_every_s, way_s):
    limit, gateway = CreditLimit(3e5), Gateway(tile_sizes(2000, 9000), way_s)
    run_for(limit, gateway, 30.0, watch_every_s)
    assert 0.8 < gateway.bytes(2.0, 30.0) / (28.0 * 3e5) < 1.05


def test_lost_credit_is_granted_again():
    limit = CreditLimit(1e5)
    given = limit.restart(0.0)
    assert given > 0
    again = limit.restart(0.01)  # replaces the first credit, which may have been lost
    assert again == 0 and not limit.is_doubtful(SILENT_S)
    assert limit.is_doubtful(SILENT_S + 0.05)
    assert limit.restart(SILENT_S + 0.05) == given and not limit.is_doubtful(100.0)


def test_without_a_limit_credit_is_a_number_of_tiles():
    limit = CreditLimit(None)
    assert limit.restart(0.0) == CREDIT
    for _ in range(CREDIT // 4 - 1):
        limit.record_tile(10**9, 0.1)
        assert limit.grant(0.1) == 0
    limit.record_tile(10**9, 0.1)
    assert limit.grant(0.1) == CREDIT // 4 and limit.grant(0.1) == 0
    assert not limit.is_doubtful(1e9)
    limit.revert(CREDIT // 4)
    assert limit.grant(0.1) == CREDIT // 4


def test_a_bound_may_change_at_any_time():
    limit, gateway = CreditLimit(1e6), Gateway(tile_sizes(5000, 9000))
    run_for(limit, gateway, 5.0)
    limit.set_limit(1e5, 5.0)
    gateway.credit, now_s = limit.restart(5.0), 5.0
    while now_s < 15.0:
        gateway.poll(limit, now_s)
        now_s += TURN_S
        gateway.credit += limit.grant(now_s)
    assert 0.9 < gateway.bytes(6.0, 15.0) / (9.0 * 1e5) < 1.06
    limit.set_limit(None, now_s)
    assert limit.restart(now_s) == CREDIT


@pytest.mark.parametrize("wrong", [0, -5.0, float("nan"), float("inf")])
def test_invalid_bounds_are_refused_with_one_line(tmp_path, wrong):
    with pytest.raises(RunError, match=r"bytes_per_s = .*: give more than 0, or None"):
        GatewayLink(f"ipc://{tmp_path}/nobody", bytes_per_s=wrong)


# --- over sockets


def rate(core: GatewayLink, seconds: float) -> float:
    """Returns the bytes that arrive per second, measured over `seconds`."""
    began, began_s = core.received_bytes, time.monotonic()
    time.sleep(seconds)
    return (core.received_bytes - began) / (time.monotonic() - began_s)


@pytest.fixture(scope="module")
def cluster():
    with LocalCluster(golden_world(128, 128), 2, tick_s=0.04) as cluster:
        yield cluster


ALL = [Topic(BODIES, layer, y, x) for layer in range(15) for y in range(2) for x in range(2)]


@pytest.mark.slow
def test_a_gateway_sends_no_more_than_is_allowed_and_more_without_a_bound(cluster):
    with connect(cluster.address) as world:
        core = world.link

        def tiles() -> list:
            return [tile for topic in ALL if (tile := core.tile(LIVE, topic)) is not None]

        core.watch(LIVE, ALL)
        wait_until(lambda: len(tiles()) == len(ALL))
        bound = rate(core, 2.0) / 12
        world.bytes_per_s = bound
        time.sleep(1.5)
        assert world.bytes_per_s == bound
        most = 1.1 + 2 * BURST_S / 3.0  # tiles that were under way at the beginning arrive as well

        def is_nearly_used_up() -> bool:  # on a busy machine, the gateway may have less to send for some time
            found = rate(core, 3.0)
            assert found < most * bound, (found, bound)
            return found > 0.9 * bound

        wait_until(is_nearly_used_up)
        tick, began = world.pause(), core.received_bytes

        def newest() -> list[int]:
            return [max(read_head(frame)[0].tick for frame in pieces) for _, pieces in tiles()]

        wait_until(lambda: min(newest()) == tick)
        all_bytes = sum(len(frame) for _, pieces in tiles() for frame in pieces)
        assert core.received_bytes - began < 3 * all_bytes  # no older tiles were queued
        world.go()
        world.bytes_per_s = None
        wait_until(lambda: rate(core, 1.0) > 1.5 * most * bound)


@pytest.mark.parametrize("bytes_per_s", [None, 1e6])
def test_tiles_that_are_dropped_and_watched_again_are_sent_again_by_a_resting_world(cluster, bytes_per_s):
    with connect(cluster.address, bytes_per_s=bytes_per_s) as world:
        core, few = world.link, ALL[:4]
        world.wait(world.pause(), WITHIN_S)
        core.watch(LIVE, few)
        for _ in range(12):
            wait_until(lambda: all(core.tile(LIVE, topic) is not None for topic in few))
            core.unwatch(LIVE, few)
            core.watch(LIVE, few)
        world.go()


@pytest.mark.slow
def test_a_bound_from_the_beginning_holds_while_the_view_changes(cluster):
    bound, chance = 40_000.0, random.Random(1)
    with connect(cluster.address, bytes_per_s=bound) as world:
        core = world.link
        began, began_s, shown = core.received_bytes, time.monotonic(), ALL[:20]
        core.watch(LIVE, shown)

        def look_elsewhere() -> bool:
            nonlocal shown
            other = chance.sample(ALL, 20)
            core.watch(LIVE, other)
            core.unwatch(LIVE, shown)
            shown = other
            return core.received_bytes - began > 4.0 * bound

        wait_until(look_elsewhere, poll_s=0.15)
        passed_s = time.monotonic() - began_s
        assert core.received_bytes - began < 1.1 * (passed_s + BURST_S) * bound + 20_000
        assert next(world.watch((0, 0, 128, 128), "densities", timeout_s=WITHIN_S)).complete
    assert Topic(DENSITIES, 0, 0, 0) not in ALL
