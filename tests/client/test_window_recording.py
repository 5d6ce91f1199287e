"""Recordings and their playback; and that feed and session survive anything that a server may send."""

from concurrent.futures import Future

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from umwelt.agents.body.interface import STIMULI
from umwelt.agents.open_world import begin
from umwelt.agents.world_file import read_world
from umwelt.client.connection.pending import Reply
from umwelt.client.window.feed.camera import Camera
from umwelt.client.window.recording import make_demo, recording
from umwelt.client.window.recording.demo import BUNDLED, UNTOUCHED, Demo
from umwelt.client.window.session import Session
from umwelt.cluster.view.tile_encoder import TileEncoder
from umwelt.cluster.view.tiles import Look, ShownTable, Topic, decode, encode, join_beings
from umwelt.cluster.wire.viewer_protocol import LIVE
from umwelt.sandbox.columns import Column
from umwelt.sandbox.errors import UmweltError
from umwelt.sandbox.region import Rectangle
from umwelt.sandbox.step import advance

SIDE, FIRST_TICK, TICKS = 64, 20, 40
VIEW = (640, 480)


class Clock:
    """A clock that the test advances."""

    def __init__(self):
        self.now_s = 100.0

    def __call__(self):
        return self.now_s


def world():
    return read_world("pond", {"width": SIDE, "height": SIDE, "seed": 5})


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """The path of a recording of a small world."""
    path = tmp_path_factory.mktemp("recording") / "small.demo"
    recording.write(make_demo.record(world(), FIRST_TICK, TICKS), path)
    return path


def played(path, clock=None, scale=None):
    """Returns a session that plays a recording, and its clock."""
    clock = clock or Clock()
    demo = Demo(path, clock)
    known = demo.core.known
    camera = Camera.over(known.height, known.width, VIEW)
    camera.look(known.height / 2, known.width / 2, scale or camera.whole_scale, at_once=True)
    return Session(demo, camera, clock), clock


def turned(session, clock, seconds, frame_s=1 / 20):
    """Advances the clock and the session, frame by frame."""
    for _ in range(round(seconds / frame_s)):
        clock.now_s += frame_s
        session.update(frame_s)


# --- recordings


def test_a_recording_plays_the_tiles_that_a_node_would_have_sent(small):
    clock = Clock()
    demo = Demo(small, clock)
    region = begin(world())
    advance(region, world().laws, FIRST_TICK)
    clock.now_s += 0.001
    for at in range(0, TICKS // make_demo.MOMENT_TICKS, make_demo.SLOW):
        topics = [Topic(0, 0, 0, 0), Topic(0, 1, 0, 0), Topic(2, 0, 0, 0)]
        true = dict(TileEncoder(world(), region).tiles(topics, 0))
        demo.core.watch(LIVE, topics)
        torus = region.torus
        found = {t: [decode(piece, torus) for piece in demo.core.tile(LIVE, t)[1]] for t in topics}
        wanted, seen = join_beings([decode(true[topics[0]], torus)]), join_beings(found[topics[0]])
        assert wanted["plants"].keys() == seen["plants"].keys()
        plants = {name: values[np.argsort(wanted["plants"]["id"])] for name, values in wanted["plants"].items()}
        assert np.array_equal(plants["id"], seen["plants"]["id"])
        for name in ("species", "stage", "tissue_count", "stem_id", "age_ticks", "gene_hue", "gene_leaf"):
            assert np.array_equal(plants[name], seen["plants"][name]), name
        for name in ("sugar_count", "water_count"):
            away = np.abs(plants[name].astype(int) - seen["plants"][name])
            assert (away <= 1 + plants[name] * 0.3).all(), name
        true_monsters = zip(*(wanted["monsters"][name].tolist() for name in ("id", "y", "x")), strict=True)
        monsters = {being: place for being, *place in true_monsters}
        assert len(seen["monsters"]["id"]) >= 0.95 * len(monsters)  # some live too shortly to be sampled
        for being, y, x in zip(*(seen["monsters"][c] for c in ("id", "y", "x")), strict=True):
            assert max(abs(monsters[being][0] - y), abs(monsters[being][1] - x)) < 0.02
        away = np.abs(found[topics[1]][0].field - decode(true[topics[1]], torus).field)
        assert away.mean() < 25 and (at or away.max() < 12)  # planes between samples are interpolated
        planes = sum(int(piece.counts.sum(dtype=np.int64)) for piece in found[topics[2]])
        assert planes == len(seen["plants"]["id"]) + len(seen["monsters"]["id"])
        demo.core.unwatch(LIVE, topics)
        advance(region, world().laws, make_demo.SLOW * make_demo.MOMENT_TICKS)
        clock.now_s += make_demo.SLOW * make_demo.MOMENT_TICKS / make_demo.TICKS_A_S


def test_every_level_and_layer_of_the_bundled_recording_is_shown():
    session, clock = played(BUNDLED)
    assert BUNDLED.stat().st_size <= 3_000_000
    for scale, has in ((12.0, "swarms"), (4.0, "dots"), (0.5, "densities")):
        session.camera.scale = scale
        session.camera.target = (session.camera.y, session.camera.x, scale)
        turned(session, clock, 1.0)
        frame = session.feed.frame
        assert session.feed.complete and getattr(frame, has)
        assert {"water", "elevation", "light", "aroma", "rain"} <= frame.planes.keys()
    session.camera.scale, session.camera.target = 12.0, (session.camera.y, session.camera.x, 12.0)
    for layer in session.known.layers[1:]:
        session.looks.layer = layer
        turned(session, clock, 0.3)
        assert layer in session.feed.frame.planes
    assert sum(len(swarm) for swarm in session.feed.frame.swarms) > 1000
    assert session.feed.frame.planes["light"].values.max() > 300


def test_a_recording_repeats_and_can_be_paused(small):
    session, clock = played(small, scale=12.0)
    turned(session, clock, 1.0)
    first = session.tick
    turned(session, clock, 1.0)
    assert FIRST_TICK <= first < session.tick < FIRST_TICK + TICKS
    session.command("pause")
    turned(session, clock, 0.5)
    held = session.tick
    turned(session, clock, 3.0)
    assert session.tick == held and session.status["paused"]
    session.command("step", 2)
    turned(session, clock, 0.5)
    assert session.tick == held + 2
    session.command("speed", 40.0)
    session.command("go")
    ticks = []
    for _ in range(40):
        turned(session, clock, 0.1)
        ticks.append(session.tick)
    assert not session.status["paused"] and session.status["speed"] == 40.0
    assert min(ticks) < FIRST_TICK + 8 and max(ticks) > FIRST_TICK + TICKS - 8 and (np.diff(ticks) < 0).sum() >= 2
    assert session.series.ticks == sorted(session.series.ticks) and len(session.series.ticks) > 3


def test_beings_glide_while_it_plays(small):
    session, clock = played(small, scale=12.0)
    turned(session, clock, 2.0)
    monsters = next(swarm for swarm in session.feed.frame.swarms if swarm.table == "monsters")
    assert (np.hypot(monsters.y - monsters.y_before, monsters.x - monsters.x_before) > 0).any()


def test_the_inspector_gets_all_columns_of_a_recorded_being(small):
    session, clock = played(small, scale=12.0)
    turned(session, clock, 0.5)
    monsters = next(swarm for swarm in session.feed.frame.swarms if swarm.table == "monsters")
    session.select(int(monsters.ids[0]), "monsters")
    turned(session, clock, 0.5)
    first_tick = session.selected.being["tick"]
    turned(session, clock, 1.0)
    being = session.selected.being
    assert being["tick"] > first_tick
    assert being["kind"] == "monsters" and being["species"] in session.known.species
    assert list(being["stimuli"]) == list(STIMULI) and any(being["stimuli"].values())
    assert list(being["drives"]) == session.known.drives
    assert isinstance(being["row"]["genome"], bytes) and any(being["row"]["genome"])
    assert being["columns"]["tissue_count"] > 0 and being["columns"]["age_ticks"] > 0
    place = session.selected_place()
    assert abs(place[0] - being["y_fixed"] / 1024) < 2
    region = begin(world())
    advance(region, world().laws, FIRST_TICK)
    at = int(np.flatnonzero(region.tables["monsters"]["id"] == being["id"])[0])
    assert being["row"]["genome"] == region.tables["monsters"]["genome"][at].tobytes()


def test_a_recording_answers_queries_of_the_journal(small):
    clock = Clock()
    demo = Demo(small, clock)
    clock.now_s += 3.5
    counts = demo.count().result()
    assert counts["plants"] and counts["monsters"]
    assert len(demo.query(columns=["y", "x", "species"], max_rows=5).result()["id"]) == 5
    assert demo.field("water", (0, 0, 8, 8)).result().shape == (8, 8)
    metrics = demo.metrics().result()
    assert metrics["ticks"][0] == FIRST_TICK and metrics["populations"]["plants"]["grass"][0] > 0
    page = demo.births(max_rows=10).result()
    assert page["more"] and len(page["id"]) == 10
    rest = demo.births(page["next"], after=page["after"]).result()
    assert not rest["more"] and not set(rest["id"].tolist()) & set(page["id"].tolist())
    family = demo.family(int(rest["id"][-1])).result()
    assert set(family) == {"ancestors", "children"}
    assert demo.snapshots().result() == []


def test_commands_to_a_recording_are_refused_in_one_line(small):
    session, clock = played(small)
    for name, arguments in (
        ("drop", (1, 1, "water", 5)),
        ("spawn", ("grass",)),
        ("remove", (7,)),
        ("save", ()),
        ("stop", ()),
        ("fork", (3,)),
    ):
        session.command(name, *arguments)
    session.show(25)
    turned(session, clock, 0.2)
    assert [notice.line for notice in session.notices if notice.bad] == [UNTOUCHED] * 7


@pytest.mark.parametrize("harm", ["cut", "flipped", "foreign", "empty", "missing", "newer"])
def test_a_file_that_is_no_recording_is_one_line(small, tmp_path, harm):
    content = small.read_bytes()
    path = tmp_path / "harmed.demo"
    harmed = {
        "cut": content[: len(content) // 2],
        "flipped": content[:5000] + b"??" + content[5002:],
        "empty": b"",
        "foreign": b"GIF89a" + bytes(500),
        "newer": content.replace(b"recording 2", b"recording 9", 1),
    }.get(harm)
    if harmed is not None:
        path.write_bytes(harmed)
    with pytest.raises(UmweltError) as caught:
        Demo(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def refused(path):
    """Returns whether opening a recording raises an UmweltError of one line."""
    try:
        Demo(path)
    except UmweltError as error:
        return "\n" not in str(error)
    return False


@pytest.mark.slow
def test_a_recording_with_code_or_invalid_values_is_refused(small, tmp_path):
    values, arrays = recording.unpack(small.read_bytes())
    kept = {name: (array, array.ndim == 1) for name, array in arrays.items()}
    path = tmp_path / "foreign.demo"
    changes = [
        {"text": 'laws = "os:system"\n' + values["text"]},
        {"text": "["},
        {"moments": -1},
        {"slow": "x"},
        {"name": 5},
        {"statuses": [5]},
        {"statuses": [{"tick": 5}] * 99},
        {"ticks_per_s": 0},
        {"steps": 4},
        {"first_tick": "a"},
        {"text": values["text"].replace("64", "96")},
        {"unknown": 1},
        {"steps": {"y_fixed": "x"}},
    ]
    for change in changes:
        path.write_bytes(recording.pack({**values, **change}, kept))
        assert refused(path), change
    names = ("plants/ids", "plants/fixed/genome", "monsters.moves/ids", "monsters.moves/moving/y_fixed", "fields/water")
    for name in names:
        for array in (None, np.zeros(3, np.int64), np.zeros((2, 2), np.int8), np.zeros((1, 1, 1), np.int64)):
            changed = {one: kept[one] for one in kept if one != name}
            if array is not None:
                changed[name] = (array, False)
            elif name in ("monsters.moves/ids", "fields/water"):
                continue
            path.write_bytes(recording.pack(values, changed))
            assert refused(path), name


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(["int8", "uint8", "int16", "uint16", "int32", "int64"]),
    st.lists(st.integers(0, 6), min_size=1, max_size=3),
    st.booleans(),
    st.randoms(use_true_random=False),
)
def test_arrays_are_unpacked_as_they_were_packed(dtype, shape, differences, random):
    bounds = np.iinfo(dtype)
    array = np.array([random.randint(bounds.min, bounds.max) for _ in range(int(np.prod(shape)))], dtype).reshape(shape)
    values, arrays = recording.unpack(recording.pack({"a": 1}, {"x": (array, differences)}))
    assert values == {"a": 1} and arrays["x"].dtype == array.dtype and np.array_equal(arrays["x"], array)


def test_entries_are_found_by_name_and_added_ones_have_their_default():
    recorded = np.array([[1, 2], [3, 4]], np.int8)
    now = Column("organs", "int8", ("wing", "leg", "jaw"), default=7)
    assert recording.match_entries(recorded, ["jaw", "leg"], now).tolist() == [[7, 2, 1], [7, 4, 3]]
    assert recording.match_entries(recorded, ["jaw", "tail"], now).tolist() == [[7, 7, 1], [7, 7, 3]]
    assert recording.match_entries(recorded, [], Column("genome", "int8", width=3)).tolist() == [[1, 2, 0], [3, 4, 0]]
    for names, column in (
        (["jaw"], now),
        ([], now),
        ([], Column("genome", "int8", width=1)),
    ):
        with pytest.raises(ValueError, match=f"{column.name}: "):
            recording.match_entries(recorded, names, column)


# --- what a server may send


class Hostile:
    """A source of tiles that returns arbitrary pieces: the result of `frames(topic, true pieces)`."""

    def __init__(self, true, frames):
        self.true, self.frames, self.arrivals = true, frames, 10_000
        self.known = true.known
        self.status = {}

    def watch(self, shown, topics):
        self.true.watch(shown, topics)

    def unwatch(self, shown, topics):
        self.true.unwatch(shown, topics)

    def latest(self):
        return self.status, 0.0

    def tile(self, shown, topic):
        self.arrivals += 1
        found = self.true.tile(shown, topic)
        return self.arrivals, self.frames(topic, found[1] if found else [])


SCALES = st.sampled_from([0.5, 2.0, 5.0, 8.0, 40.0])
LOOK_NAMES = st.sampled_from(["id", "species", "stage", "heading", "size", "tissue_count", "gene_hue", "unheard_of"])
LOOK_DTYPES = st.sampled_from(["int8", "uint8", "int16", "uint16", "int32", "int64"])


def hostile_session(path, frames):
    """Returns a session over a `Hostile` source, its clock, and the source."""
    session, clock = played(path)
    source = Hostile(session.core, frames)
    session.core = session.feed.source = source
    return session, clock, source


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_the_feed_survives_any_bytes(small, data):
    random = data.draw(st.randoms(use_true_random=False))
    kinds = data.draw(st.lists(st.sampled_from(["true", "random", "cut", "flipped", "swapped", "none"]), min_size=1))
    seen = [b""]

    def frames(topic, true):
        kind, found = random.choice(kinds), list(true)
        seen.extend(found[:1])
        if kind == "random":
            return [bytes(random.randrange(256) for _ in range(random.randrange(60)))]
        if kind == "swapped":
            return [random.choice(seen[-50:])]
        if kind == "none" or not found:
            return []
        if kind == "cut":
            return [found[0][: random.randrange(len(found[0]))], *found[1:]]
        if kind == "flipped":
            at = random.randrange(min(len(found[0]), 120))
            return [found[0][:at] + bytes([random.randrange(256)]) + found[0][at + 1 :]]
        return found

    session, clock, _ = hostile_session(small, frames)
    for scale in (data.draw(SCALES), data.draw(SCALES)):
        session.camera.look(random.random() * SIDE, random.random() * SIDE, scale, at_once=True)
        turned(session, clock, 0.4, 0.1)


@st.composite
def beings(draw, topic, cells):
    """Draws a piece of beings that is well formed, with random values."""
    tables = []
    for name in draw(st.lists(st.sampled_from(["plants", "monsters", "ghosts"]), max_size=3)):
        count = draw(st.integers(0, 4))
        looks = [Look("y", draw(LOOK_DTYPES)), Look("x", draw(LOOK_DTYPES))]
        looks += [
            Look(one, draw(LOOK_DTYPES), draw(st.integers(0, 32))) for one in draw(st.lists(LOOK_NAMES, max_size=5))
        ]
        columns = {}
        for look in looks:
            bounds = np.iinfo(look.dtype)
            most = min(bounds.max, 200) if look.name in "yx" else bounds.max
            values = draw(st.lists(st.integers(int(bounds.min), int(most)), min_size=count, max_size=count))
            columns[look.name] = np.array(values, look.dtype)
        by_name = {look.name: look for look in looks}
        tables.append((name, [*by_name.values(), *looks[:1]], columns))
    tables = [
        ShownTable(name, looks, {look.name: columns[look.name].astype(look.dtype) for look in looks})
        for name, looks, columns in tables
    ]
    return encode(topic, cells, 0, draw(st.integers(-(1 << 63), (1 << 64) - 1)), tables=tables)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_the_feed_survives_well_formed_tiles_with_random_values(small, data):
    def piece(topic):
        cells = topic.cells(session.torus)
        part = Rectangle(
            cells.y, cells.x, data.draw(st.integers(1, cells.height)), data.draw(st.integers(1, cells.width))
        )
        if topic.layer:
            shape = (part.height, part.width) if topic.level == 0 else (-(-part.height // 8), -(-part.width // 8))
            field = np.full(shape, data.draw(st.integers(-(1 << 31), (1 << 31) - 1)))
            return encode(topic, part, 0, 5, field=field)
        if topic.level == 2:
            planes = data.draw(
                st.lists(st.tuples(st.sampled_from(["plants", "?"]), st.integers(-9, 1 << 63)), max_size=4)
            )
            counts = np.full((len(planes), -(-part.height // 8), -(-part.width // 8)), 65535)
            return encode(topic, part, 0, data.draw(st.integers(0, 1 << 63)), counts=(planes, counts))
        return data.draw(beings(topic, part))

    session, clock, _ = hostile_session(
        small, lambda topic, true: [piece(topic), *true[: data.draw(st.integers(0, 1))]]
    )
    session.camera.look(9, 9, data.draw(SCALES), at_once=True)
    turned(session, clock, 0.2, 0.1)


json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
TRUE_STATUS = {
    "world": "pond",
    "phase": "running",
    "tick": 30,
    "paused": False,
    "speed": 0.0,
    "events": [{"tick": 1, "line": ""}],
    "nodes": [{"name": "n", "rectangle": [0, 0, 9, 9], "tick": 3, "ticks_per_s": 2.5, "entities": 4}],
    "metrics": {
        "tick": 30,
        "births": 1,
        "deaths": 2,
        "populations": {"plants": {"grass": 4}},
        "substances": {"water": 1},
    },
}


def somewhere(random, content, value):
    """Returns a copy of `content` in which a random part is replaced by `value`."""
    if isinstance(content, dict) and content and random.random() < 0.8:
        name = random.choice(list(content))
        return {**content, name: somewhere(random, content[name], value)}
    if isinstance(content, list) and content and random.random() < 0.8:
        return [somewhere(random, content[0], value), *content[1:]]
    return value


@settings(max_examples=80, deadline=None)
@given(st.lists(json, min_size=1, max_size=4), st.randoms(use_true_random=False))
def test_the_session_survives_any_status(small, values, random):
    session, clock, source = hostile_session(small, lambda topic, true: true)
    for at, value in enumerate(values):
        source.status = somewhere(random, TRUE_STATUS, value)
        turned(session, clock, 0.05, 0.05)
        metrics = (session.status.get("metrics") or {}) if isinstance(session.status, dict) else None
        assert metrics is not None and all(isinstance(node, dict) for node in session.status.get("nodes") or ())
        source.status = {**TRUE_STATUS, "metrics": {**TRUE_STATUS["metrics"], "tick": 31 + at}}
        turned(session, clock, 0.05, 0.05)
        assert session.status is source.status
    lengths = {len(curve) for curve in (*session.series.populations.values(), session.series.births)}
    assert lengths == {len(session.series.ticks)}


@settings(max_examples=80, deadline=None)
@given(json, st.binary(max_size=20), st.randoms(use_true_random=False))
def test_the_session_survives_any_answer(small, value, raw, random):
    session, clock = played(small)
    turned(session, clock, 0.1)
    being = int(session.world.core.recorded.region.tables["monsters"]["id"][0])
    true = session.world.fetch(being)._asked.result().content
    ask = session.world.core.ask

    def lying(made, once=False):
        future = Future()
        future.set_result(Reply(5, random.choice([somewhere(random, true, value), {"count": value}, {}]), raw))
        return future

    session.world.core.ask = lying
    session.select(being, "monsters")
    for name, arguments in (
        ("query", ()),
        ("field", ("water",)),
        ("births", ()),
        ("metrics", ()),
        ("family", (being,)),
    ):
        session.ask(getattr(session.world, name)(*arguments), session.series.begin if name == "metrics" else None)
    session.ask(session.world.snapshots(), lambda found: found[0]["tick"] + 1)
    turned(session, clock, 1.0, 0.1)
    session.selected_place()
    session.world.core.ask = ask
    session.select(0)
    session.select(being, "monsters")
    turned(session, clock, 0.5, 0.1)
    assert session.selected.being["id"] == being


def test_the_past_of_curves_is_taken_whole_or_not_at_all(small):
    session, clock = played(small)
    turned(session, clock, 1.0)
    before = len(session.series.ticks)
    good = {"ticks": [1, 2], "births": [0, 1], "deaths": [0, 0], "populations": {"p": {"grass": [3]}}, "substances": {}}
    for bad in ({}, {**good, "births": [1]}, {**good, "ticks": "ab"}, {**good, "populations": {"p": 5}}):
        session.series.begin(bad)
        assert len(session.series.ticks) == before
    session.series.begin(good)
    assert len(session.series.ticks) == before + 2
    assert {len(curve) for curve in session.series.populations.values()} == {before + 2}
