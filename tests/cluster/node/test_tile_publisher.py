"""Tiles and queries of nodes: they show the state of the world for any division; only watched tiles are encoded."""

import random
import time
import tracemalloc

import numpy as np
import pytest
import zmq
from sharded_regions import cut_rectangles, golden_world, open_shards
from small_runs import small_world
from waiting import wait_until

from umwelt.agents.open_world import begin, torus_of
from umwelt.agents.world_file import read_world
from umwelt.cluster.gateway.replay_process import ReplayShard
from umwelt.cluster.node.queries import QueryServer
from umwelt.cluster.node.tile_publisher import TilePublisher
from umwelt.cluster.tasks.node_worker import NodeWorker
from umwelt.cluster.view import queries, tiles
from umwelt.cluster.view.tile_encoder import TileEncoder
from umwelt.cluster.view.tiles import BEINGS, BODIES, DENSITIES, DOTS, LEVELS, Topic
from umwelt.cluster.wire.keys import Keys, make_keys
from umwelt.cluster.wire.protocol import QueryAnswer, QueryRequest, decode
from umwelt.sandbox.errors import CommandError
from umwelt.sandbox.laws.weather import weather
from umwelt.sandbox.region import Rectangle, Torus, exchange_halos
from umwelt.sandbox.step import advance, step
from umwelt.sandbox.units import SUBCELL


@pytest.fixture(scope="module")
def lived():
    """A world of 160 x 136 cells (not whole tiles) after 6 ticks, as one region and divided into six."""
    world = golden_world(160, 136)
    region = begin(world)
    advance(region, world.laws, 6)
    parts = cut_rectangles(torus_of(world), [24, 100], [[8, 72], [0, 40, 100]])
    return world, region, open_shards(region, world, parts, 1)


def every(world, level: str, layers) -> list[Topic]:
    """Returns the topics of these layers over the whole world."""
    return tiles.topics_over(None, level, layers, torus_of(world))


def pieces_of(world, regions, topics) -> list[tiles.Piece]:
    """Encodes and decodes tiles of topics; returns their pieces from all regions."""
    cut = [found for region in regions for found in TileEncoder(world, region).tiles(topics, 1)]
    assert all(tiles.decode(frame, torus_of(world)).topic == topic for topic, frame in cut)
    return [tiles.decode(frame, torus_of(world)) for _, frame in cut]


# --- tiles


@pytest.mark.parametrize("split", [False, True], ids=["one", "six"])
def test_bodies_show_every_being_with_its_own_columns(lived, split):
    world, region, parts = lived
    pieces = pieces_of(world, parts if split else [region], every(world, "bodies", [BEINGS]))
    assert sum(piece.rectangle.cells for piece in pieces) == region.torus.cells
    found = tiles.join_beings(pieces)
    for name, table in region.tables.items():
        own = np.flatnonzero(region.owned_rows(name))
        order = own[np.argsort(table["id"][own])]
        seen = found[name]
        assert seen["id"].tolist() == table["id"][order].tolist() and len(order) > 40
        for axis, size in (("y", 160), ("x", 136)):
            true = (table[f"{axis}_fixed"][order] / SUBCELL - region.halo_cells) % size
            assert np.abs(seen[axis] - true).max() <= 1 / 256
        assert seen["species"].tolist() == table["species"][order].tolist()
        assert seen["tissue_count"].tolist() == table["tissue_count"][order].tolist()
    monsters, order = region.tables["monsters"], np.argsort(region.tables["monsters"]["id"])
    order = order[region.owned_rows("monsters")[order]]
    assert np.abs(found["monsters"]["heading"] - monsters["heading"][order]).max() < 256
    assert found["monsters"]["jaw_organs"].tolist() == monsters["organs"][order, 0].tolist()
    from umwelt.agents.body.genome import HUE

    assert found["monsters"]["gene_hue"].tolist() == monsters["genome"][order, HUE].tolist()


@pytest.mark.parametrize("split", [False, True], ids=["one", "six"])
def test_fields_show_every_cell(lived, split):
    world, region, parts = lived
    names = ["water", "elevation", "musk", "light", "temperature"]
    layers = tiles.layer_numbers(names, tiles.layers_of(world))
    pieces = pieces_of(world, parts if split else [region], every(world, "bodies", layers))
    view = Rectangle(-5, -9, 160, 136)
    for name, layer in zip(names, layers, strict=True):
        whole = TileEncoder(world, region).values(name, Rectangle(0, 0, 160, 136))
        seen = tiles.join_field([piece for piece in pieces if piece.topic.layer == layer], view, region.torus)
        shifted = np.roll(whole, (5, 9), (0, 1))
        most = max(piece.head.shift for piece in pieces if piece.topic.layer == layer)
        assert np.abs(seen - shifted).max() < 1 << most and np.ptp(whole) > 0


@pytest.mark.parametrize(("name", "plane"), [("light", 0), ("rain", 3)])
def test_the_sky_is_that_of_the_weather(lived, name, plane):
    world, region, _ = lived
    region.wrap()
    rim, dry = region.halo_cells, region["vapour"].copy()
    if name == "rain":  # in 6 ticks the air gets too little vapour for rain: add some, and in some rows far more
        region["vapour"][::3] *= 4
        region["vapour"][::7] = 3000
    try:
        weather(region)
        made = region.scratch("environment", "int16", 4)[plane, rim:-rim, rim:-rim]
        assert (TileEncoder(world, region).values(name, Rectangle(0, 0, 160, 136)) == made).all()
        assert made.min() == 0 and made.max() > 0 and len(np.unique(made)) > 20
        assert name != "rain" or made.max() == 8 * 1024
    finally:
        region["vapour"][:] = dry


@pytest.mark.parametrize("split", [False, True], ids=["one", "six"])
def test_densities_count_every_being_once_and_average_fields(lived, split):
    world, region, parts = lived
    water = tiles.layers_of(world).index("water")
    pieces = pieces_of(world, parts if split else [region], every(world, "densities", [BEINGS, water]))
    view = Rectangle(0, 0, *region.torus)
    counts = tiles.join_counts([piece for piece in pieces if piece.topic.layer == BEINGS], view, region.torus)
    for name, table in region.tables.items():
        own = region.owned_rows(name)
        y = (table["y_fixed"][own] >> 10) - region.halo_cells
        x = (table["x_fixed"][own] >> 10) - region.halo_cells
        for species in np.unique(table["species"][own]).tolist():
            wanted = np.zeros((20, 17), int)
            chosen = table["species"][own] == species
            np.add.at(wanted, (y[chosen] // 8, x[chosen] // 8), 1)
            assert (counts[name][species] == wanted).all()
    if not split:  # in a bin that several nodes share, each sends the mean of its own part
        field = tiles.join_field([piece for piece in pieces if piece.topic.layer == water], view, region.torus)
        means = region.owned_view("water").reshape(20, 8, 17, 8).sum(axis=(1, 3)) // 64
        assert (field == means.repeat(8, 0).repeat(8, 1)).all()


def test_dots_have_fewer_columns_and_fewer_bytes_than_bodies(lived):
    world, region, _ = lived
    dots, bodies = (every(world, level, [BEINGS]) for level in ("dots", "bodies"))
    cutter = TileEncoder(world, region)
    small, large = (sum(len(frame) for _, frame in cutter.tiles(found, 1)) for found in (dots, bodies))
    assert small * 3 < large
    found = tiles.join_beings(pieces_of(world, [region], dots))
    assert set(found["plants"]) == {"y", "x", "species", "size"}
    assert len(found["plants"]["y"]) == np.count_nonzero(region.owned_rows("plants"))


@pytest.mark.parametrize("name", ["wolf_sheep", "flocking", "market"])
def test_worlds_of_other_laws_are_shown_too(name):
    world = read_world(name, {"width": 96, "height": 72})
    region = begin(world)
    advance(region, world.laws, 2)
    for level in LEVELS:
        layers = range(len(tiles.layers_of(world))) if level != "dots" else [BEINGS]
        pieces = pieces_of(world, [region], every(world, level, layers))
        if level == "densities":
            counts = tiles.join_counts(pieces, Rectangle(0, 0, 72, 96), region.torus)
            assert {n: sum(int(p.sum()) for p in planes.values()) for n, planes in counts.items() if planes} == {
                n: int(np.count_nonzero(region.owned_rows(n))) for n in region.tables if region.owned_rows(n).any()
            }
            continue
        found = tiles.join_beings([piece for piece in pieces if piece.topic.layer == BEINGS])
        for table in region.tables:
            assert len(found[table]["y"]) == np.count_nonzero(region.owned_rows(table))
        if level == "bodies" and name == "wolf_sheep":
            assert "energy" in found["sheep"] and "parent_id" not in found["sheep"]


@pytest.mark.parametrize("values", [[[0]], [[-32768, 32767]], [[1 << 30, -(1 << 30)], [5, -7]], [[70000, 3]]])
def test_a_field_keeps_its_values_up_to_the_stated_scale(values):
    array, topic = np.array(values), Topic(BODIES, 1, 0, 0)
    frame = tiles.encode(topic, Rectangle(0, 0, *array.shape), 1, 7, field=array)
    piece = tiles.decode(frame, Torus(64, 64))
    assert (piece.field == array >> piece.head.shift << piece.head.shift).all() and piece.head.tick == 7
    assert piece.head.shift == max(0, max(int(array.max()), ~int(array.min())).bit_length() - 15)


def test_hostile_tiles_are_value_errors_and_nothing_else(lived):
    world, region, _ = lived
    torus, chance, refused = region.torus, random.Random(1), 0
    frames = [
        frame
        for level, layer in ((BODIES, 0), (DOTS, 0), (DENSITIES, 0), (BODIES, 2), (DENSITIES, 3))
        for _, frame in TileEncoder(world, region).tiles([Topic(level, layer, 0, 0)], 1)
    ]
    garbage = [b"", b"\0", b"\xff" * 40, *(frame[:n] for frame in frames for n in (3, 9, 40, len(frame) - 1))]
    for frame in frames:
        size = int.from_bytes(frame[:4], "little")
        for _ in range(400):
            bad = bytearray(frame)
            for _ in range(chance.randint(1, 4)):
                bad[chance.randrange(len(bad) if chance.random() < 0.4 else 4 + size)] = chance.randrange(256)
            garbage.append(bytes(bad))
    for bad in garbage:
        try:
            tiles.decode(bad, torus)
        except ValueError:
            refused += 1
    assert refused > len(garbage) // 2
    head = tiles.Head(1, 1, 1, (0, 0, 0, 0), (0, 0, 64, 64), [("a", 1 << 20, [("y", "int64", 0)] * 255)])
    tracemalloc.start()
    with pytest.raises(ValueError, match="too large"):  # a small frame that declares a size of gigabytes
        tiles.decode(tiles.pack(head, b"x"), torus)
    assert tracemalloc.get_traced_memory()[1] < 10_000_000
    tracemalloc.stop()
    for packed in (b"", b"12345", b"\x03\0\0\0\0\0", b"\x01\1\0\0\0\0"):
        with pytest.raises(ValueError, match="topic"):
            Topic.read(packed)


# --- publishing


class Subscriber:
    """A socket that subscribes to a publisher as a gateway does; it also calls the publisher's `poll`."""

    def __init__(self, publisher: TilePublisher, keys: Keys | None = None):
        self.context = zmq.Context()
        self.context.linger = 0
        self.socket = self.context.socket(zmq.SUB)
        if keys is not None:
            self.socket.curve_publickey, self.socket.curve_secretkey = keys.public, keys.secret
            self.socket.curve_serverkey = keys.world_public
        self.socket.connect(publisher.address)
        self.publisher = publisher

    def subscribe(self, *topics: Topic) -> None:
        for topic in topics:
            self.socket.subscribe(topic.packed())

    def _turn(self, moment) -> list[tuple[Topic, bytes]]:
        self.publisher.poll(moment)
        received = []
        while self.socket.poll(2):
            packed, frame = self.socket.recv_multipart()
            received.append((Topic.read(packed), frame))
        return received

    def receive(self, moment, count: int, more_s: float = 0.15) -> list[tuple[Topic, bytes]]:
        """Returns `count` tiles of the publisher, and those that arrive within `more_s` seconds after them."""
        received = []
        wait_until(lambda: received.extend(self._turn(moment)) or len(received) >= count, poll_s=0.0)
        end_s = time.monotonic() + more_s
        while time.monotonic() < end_s:
            received += self._turn(moment)
        return received

    def close(self) -> None:
        self.context.destroy(linger=0)


@pytest.fixture
def publisher(tmp_path):
    made = TilePublisher(f"ipc://{tmp_path}/tiles")
    yield made
    made.close()


@pytest.fixture
def moment():
    world = golden_world(128, 128)
    return ReplayShard(world, begin(world))


def test_only_watched_tiles_are_computed(publisher, moment, monkeypatch):
    computed = []
    cut = TileEncoder.tiles
    monkeypatch.setattr(
        TileEncoder, "tiles", lambda self, found, epoch: computed.extend(found) or cut(self, found, epoch)
    )
    gateway = Subscriber(publisher)
    assert gateway.receive(moment, 0) == [] and computed == []
    wanted = {Topic(BODIES, 0, 0, 1), Topic(BODIES, 1, 1, 1), Topic(DENSITIES, 0, 0, 0)}
    gateway.subscribe(*wanted, Topic(BODIES, 0, 9, 9))
    received = gateway.receive(moment, 3)
    assert {topic for topic, _ in received} == wanted == set(computed)
    assert len(received) == 3  # the world is paused: no tile is sent twice
    for _ in range(3):
        step_once(moment)
        assert {topic for topic, _ in gateway.receive(moment, 3)} == wanted
    for topic in wanted:
        gateway.socket.unsubscribe(topic.packed())
    wait_until(lambda: publisher.poll(moment) == 0 and len(publisher.subscribed) == 1)
    computed.clear()
    step_once(moment)
    assert gateway.receive(moment, 0) == [] and computed == []
    gateway.close()


def step_once(moment) -> None:
    """Advances a shard by one tick; copies its halo first if it is used up."""
    if moment.region.margin_cells < moment.world.laws.light_speed:
        exchange_halos([moment.region])
    step(moment.region, moment.world.laws)


def test_a_second_gateway_sees_a_resting_world_at_once(publisher, moment):
    topic = Topic(BODIES, 0, 0, 0)
    first, second = Subscriber(publisher), Subscriber(publisher)
    first.subscribe(topic)
    assert len(first.receive(moment, 1)) == 1
    second.subscribe(topic)
    assert len(second.receive(moment, 1)) == 1
    first.close()
    second.close()


class VirtualClock:
    """A clock that the test sets; each reading advances it by `reading_s`."""

    def __init__(self, reading_s: float = 0.0):
        self.now_s, self.reading_s = 0.0, reading_s

    def __call__(self) -> float:
        self.now_s += self.reading_s
        return self.now_s


def test_publishing_takes_a_share_of_the_time_and_every_tile_has_its_turn(tmp_path, moment):
    clock = VirtualClock(reading_s=0.0002)
    publisher = TilePublisher(f"ipc://{tmp_path}/clocked", clock=clock)
    gateway = Subscriber(publisher)
    wanted = [Topic(BODIES, layer, y, x) for layer in range(14) for y in range(2) for x in range(2)]
    gateway.subscribe(*wanted)
    wait_until(lambda: publisher.poll(moment) == 0 and len(publisher.subscribed) == len(wanted))
    gateway.receive(moment, 0)
    publisher.spent_s, began_s, counts = 0.0, clock.now_s, dict.fromkeys(wanted, 0)
    sent_before, received = publisher.counts["tiles"], []
    while clock.now_s < began_s + 2.0:
        moment.region.tick += 1
        clock.now_s += 0.01
        received += gateway._turn(moment)
    sent = publisher.counts["tiles"] - sent_before
    wait_until(lambda: received.extend(gateway._turn(None)) or len(received) >= sent, poll_s=0.0)
    for topic, _ in received:
        counts[topic] += 1
    passed_s = clock.now_s - began_s
    assert 0 < publisher.spent_s < 0.08 * passed_s + 0.02
    assert min(counts.values()) >= max(counts.values()) - 2 and min(counts.values()) > 0
    assert max(counts.values()) <= 20 * passed_s + 2
    gateway.close()
    publisher.close()


def test_a_gateway_that_does_not_read_delays_nobody(publisher, moment):
    gateway = Subscriber(publisher)
    gateway.socket.set(zmq.RCVHWM, 1)
    gateway.subscribe(Topic(BODIES, 1, 0, 0))
    assert len(gateway.receive(moment, 1)) == 1
    publisher.clock = clock = VirtualClock()
    clock.now_s = time.monotonic()
    for _ in range(2000):  # a turn that waited for the subscriber would never end
        moment.region.tick += 1
        clock.now_s += 1.0  # so that the tile is due at every turn
        publisher.poll(moment)
    assert publisher.counts["tiles"] >= 2000
    gateway.close()


def test_only_the_world_may_subscribe(tmp_path, moment):
    make_keys(tmp_path / "keys")
    publisher = TilePublisher(f"ipc://{tmp_path}/tiles", Keys.load(tmp_path / "keys", "node"))
    received = {}
    for role in ("keeper", "spectator", "node", "world"):
        gateway = Subscriber(publisher, Keys.load(tmp_path / "keys", role))
        gateway.subscribe(Topic(BODIES, 0, 0, 0))
        received[role] = len(gateway.receive(moment, role == "world", more_s=0.3))
        gateway.close()
    assert received == {"keeper": 0, "spectator": 0, "node": 0, "world": 1}
    publisher.close()


# --- queries


QUESTIONS = [
    {"ask": "select", "table": "monsters", "columns": ["y", "x", "species", "organs", "sugar_count"]},
    {"ask": "select", "table": "monsters", "columns": ["memory", "genome"], "where": [["age_ticks", ">", 9]]},
    {
        "ask": "select",
        "table": "plants",
        "columns": ["y_fixed", "stage"],
        "rectangle": [-20, 120, 60, 50],
        "where": [["tissue_count", ">=", 10], ["species", "!=", "shrub"]],
    },
    {"ask": "select", "table": "plants", "columns": ["x"], "most": 7},
    {"ask": "select", "table": "plants", "columns": ["x"], "where": [["x", "<", -1]]},
    {"ask": "count"},
    {"ask": "count", "rectangle": [150, 130, 40, 40]},
    {"ask": "patch", "name": "water", "rectangle": [-10, 100, 70, 60]},
    {"ask": "patch", "name": "light", "rectangle": [0, 0, 160, 136]},
]


@pytest.mark.parametrize("asked", QUESTIONS, ids=str)
def test_answers_of_many_nodes_are_those_of_one(lived, asked):
    import msgspec

    world, region, parts = lived
    question = queries.check(world, queries.read(msgspec.json.encode(asked)))
    alone = queries.merge(question, [queries.answer(TileEncoder(world, region), question)], region.torus)
    shared = [queries.answer(TileEncoder(world, part), question) for part in parts]
    together = queries.merge(question, shared[::-1], region.torus)
    assert together == alone
    if asked["ask"] == "patch":
        y, x, height, width = asked["rectangle"]
        whole = np.roll(TileEncoder(world, region).values(asked["name"], Rectangle(0, 0, 160, 136)), (-y, -x), (0, 1))
        assert (np.frombuffer(alone.raw, np.int32).reshape(height, width) == whole[:height, :width]).all()
    if "where" in asked and asked["where"][0][0] != "x":
        assert 0 < alone.answer["count"] < region.tables[asked["table"]].count


def test_conditions_select_exactly_the_matching_beings(lived):
    world, region, _ = lived
    asked = queries.Select("monsters", ["sugar_count", "y"], [("sugar_count", ">", 80), ("species", "==", "hunter")])
    part = queries.answer(TileEncoder(world, region), queries.check(world, asked))
    found = queries.read_columns(part.answer, part.raw)
    table, own = region.tables["monsters"], region.owned_rows("monsters")
    hunter = list(world.laws.species(world)).index("hunter")
    wanted = own & (table["sugar_count"] > 80) & (table["species"] == hunter)
    assert found["id"].tolist() == sorted(table["id"][wanted].tolist()) and len(found["id"]) > 0


def test_only_the_owner_of_a_being_returns_it_with_all_its_columns(lived):
    world, region, parts = lived
    being = int(region.tables["monsters"]["id"][region.owned_rows("monsters")][0])
    told = [queries.answer(TileEncoder(world, part), queries.Fetch(being)).answer["being"] for part in parts]
    assert sum(one is not None for one in told) == 1
    found = next(one for one in told if one is not None)
    assert found["id"] == being and len(found["stimuli"]) > 30 and "turn" in found["drives"]
    assert found["species"] in ("grazer", "hunter") and "sugar_count" in found["columns"]


def test_merged_rows_end_at_the_last_id_up_to_which_all_parts_are_complete():
    asked = queries.Select("monsters", [])
    parts = []
    for first, count, total in ((0, 5, 9), (100, 3, 3)):
        raw = np.arange(first, first + count, dtype=np.int64).tobytes()
        parts.append(queries.Part(1, {"total": total, "count": count, "columns": [["id", "int64", 0]]}, raw))
    merged = queries.merge(asked, parts, Torus(64, 64))
    assert queries.read_columns(merged.answer, merged.raw)["id"].tolist() == [0, 1, 2, 3, 4]
    assert merged.answer["total"] == 12


BAD_QUESTIONS = {
    b"": "question",
    b"[]": "question",
    b'{"ask":"kill"}': "question",
    b'{"ask":"select","table":"wolves","columns":[]}': 'unknown "wolves"',
    b'{"ask":"select","table":"plants","columns":["sugar"]}': 'unknown "sugar"',
    b'{"ask":"select","table":"plants","columns":[],"where":[["lit","==",1]]}': 'unknown "lit"',
    b'{"ask":"select","table":"plants","columns":[],"where":[["counts","==",1]]}': 'unknown "counts"',
    b'{"ask":"select","table":"plants","columns":[],"where":[["species","~",1]]}': 'unknown "~"',
    b'{"ask":"select","table":"plants","columns":[],"where":[["species","==","wolf"]]}': 'unknown "wolf"',
    b'{"ask":"select","table":"plants","columns":[],"where":[["age_ticks","==","old"]]}': "whole number",
    b'{"ask":"select","table":"plants","columns":[],"most":-1}': "most = -1",
    b'{"ask":"count","rectangle":[0,0,0,5]}': "rectangle",
    b'{"ask":"count","rectangle":[0,0,9999,5]}': "rectangle",
    b'{"ask":"patch","name":"gold","rectangle":[0,0,5,5]}': 'unknown "gold"',
}


@pytest.mark.parametrize("content", BAD_QUESTIONS, ids=lambda content: content.decode())
def test_bad_questions_are_refused_in_one_line(content):
    with pytest.raises(CommandError) as refused:
        queries.check(small_world(), queries.read(content))
    assert BAD_QUESTIONS[content] in str(refused.value) and "\n" not in str(refused.value)


def test_a_question_that_a_node_cannot_answer_gets_a_line(publisher, moment):
    said: list[tuple[QueryAnswer, list[bytes]]] = []
    answers = QueryServer(publisher, lambda to, frames: bool(said.append(decode(frames))) or True, NodeWorker())
    answers.take(b"me", QueryRequest(3, b"", "t", b'{"ask":"select","table":"gold","columns":[]}'), moment)
    answers.take(b"me", QueryRequest(3, b"", "u", b'{"ask":"count"}'), moment)
    (refused, _), (answered, raw) = said
    assert b'"line"' in refused.answer and (refused.ticket, refused.epoch) == ("t", 3)
    assert b"grazer" in answered.answer and raw == [b""]
