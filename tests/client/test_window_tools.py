"""Tools, steering and the timeline of the window: commands reach the world and its journal; overrides are released."""

import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from local_cluster import LocalCluster, process_cluster_run
from sharded_regions import golden_world
from waiting import WITHIN_S, wait_until

from umwelt.agents import commands
from umwelt.agents.commands.drop import Drop
from umwelt.agents.commands.wound import Wound
from umwelt.client.connection.api import connect
from umwelt.client.connection.connection import GatewayLink
from umwelt.client.connection.promises import PromisedConnection
from umwelt.client.window.feed.camera import Camera
from umwelt.client.window.input.fork_dialog import SPECTATOR_LINE
from umwelt.client.window.input.inhabit import KEYS, MAX_TURNS_A_S, SEND_EVERY_S, TURN_A_TICK, Inhabiting
from umwelt.client.window.input.palette import TOOLS
from umwelt.client.window.input.tools import PAST_LINE, Toolbox
from umwelt.client.window.session import Session
from umwelt.client.window.timeline import COMMAND, KEPT, Timeline
from umwelt.cluster.run.replay import read_journalled_commands, restore_region
from umwelt.cluster.run.store import Store
from umwelt.cluster.wire.keys import KEEPER, SPECTATOR, Keys, make_keys
from umwelt.cluster.wire.viewer_protocol import LIVE

HEIGHT, WIDTH = 96, 80


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    folder = tmp_path_factory.mktemp("keys")
    make_keys(folder)
    return folder


@pytest.fixture(scope="module")
def cluster(keys):
    with LocalCluster(golden_world(HEIGHT, WIDTH), 2, keys=keys, tick_s=0.04) as found:
        yield found


@pytest.fixture(scope="module")
def world(cluster, keys):
    """Another connection to the cluster, to observe effects."""
    with connect(cluster.address, Keys.load(keys, KEEPER)) as found:
        found.wait(3, WITHIN_S)
        yield found


def opened(place, keys=None, scale: float = 20.0) -> Session:
    """Returns a session connected to a gateway or run, whose view is complete."""
    found = Session(PromisedConnection(GatewayLink(place, keys)), Camera.over(HEIGHT, WIDTH, (640, 480)))
    found.camera.look(40, 40, scale, at_once=True)
    turned(found, lambda: found.status and found.feed.complete)
    return found


@pytest.fixture
def session(cluster, keys, world):
    found = opened(cluster.address, Keys.load(keys, KEEPER))
    yield found
    found.close()


@pytest.fixture
def toolbox(session):
    return Toolbox(session)


def turned(session: Session, until, *more, within_s: float = WITHIN_S) -> None:
    """Call `update` of the session, and of the objects `more`, until a condition holds."""
    end_s = time.monotonic() + within_s
    while not until():
        assert time.monotonic() < end_s, [notice.line for notice in session.notices]
        session.update(1 / 60)
        for one in more:
            one.update(session.clock())
        time.sleep(0.004)


def used(
    toolbox: Toolbox, tool: str, y: float, x: float, being: int = 0, to: tuple[float, float] | None = None
) -> None:
    """Use a tool by press, optional drag to `to`, and release; wait until the command has taken effect."""
    session, count = toolbox.session, len(toolbox.sender.done)
    toolbox.choose(tool)
    toolbox.press(y, x, being, "monsters" if being else "", 0)
    if to is not None:
        toolbox.drag((y + to[0]) / 2, (x + to[1]) / 2)
    toolbox.release(*(to or (y, x)))
    turned(
        session, lambda: len(toolbox.sender.done) > count and session.status["tick"] > toolbox.sender.done[-1].tick + 1
    )


def journalled(cluster: LocalCluster, since: int) -> list[commands.Command]:
    return [commands.decode(command.content) for _, command in cluster.disk.commands[since:]]


def living(world, table: str = "monsters", count: int = 1) -> list[int]:
    """Returns the ids of the largest young beings of a table."""
    found = world.query(table=table, where=[("age_ticks", "<", 400)], columns=["tissue_count"])
    return found["id"][np.argsort(-found["tissue_count"])][:count].tolist()


def held(cluster: LocalCluster) -> dict:
    """Returns the overridden drives of monsters, by id."""
    found = {}
    for node in cluster.nodes:
        controls = cluster.do(lambda node=node: node.shard.region.controls.copy())
        found |= {being: controls.drives_of(being) for being in controls.overrides}
    return found


# --- tools


def test_ground_tools_change_the_world_and_are_journalled(toolbox, cluster, world):
    before = len(cluster.disk.commands)
    settings, brush = toolbox.settings, toolbox.brush
    settings["drop"]["count"], settings["rock"]["value"], brush.side_cells = 50_000, 2222, 3
    settings["paint"] |= {"part": "mineral", "value": 4321}
    used(toolbox, "drop", 20.5, 30.5)
    assert world.field("sugar", (20, 30, 1, 1))[0, 0] > 5000
    used(toolbox, "rock", 50.2, 79.9)  # a brush of 3 x 3 cells across the seam
    assert (world.field("elevation", (49, 78, 3, 3)) == 2222).all()
    assert not (world.field("elevation", (48, 78, 5, 3)) == 2222).all()
    brush.rectangle, settings["rock"]["value"] = True, 1111
    used(toolbox, "rock", 92.5, 5.5, to=(99.5, 9.5))  # a rectangle across the other seam
    assert (world.field("elevation", (92, 5, 8, 5)) == 1111).all()
    used(toolbox, "paint", 10, 10, to=(12, 12))
    assert world.field("mineral", (10, 10, 3, 3)).min() > 2000
    settings["water"]["value"] = 30_000
    used(toolbox, "water", 70, 20)
    assert world.field("water", (60, 10, 21, 21)).max() > 3000
    wet = world.field("water", (25, 45, 10, 10)).astype(int).sum()
    settings["rain"] |= {"radius_cells": 4, "count": 5000}
    used(toolbox, "rain", 30, 50)
    assert world.field("water", (25, 45, 10, 10)).astype(int).sum() > wet + 10_000
    kinds = [type(command).__name__ for command in journalled(cluster, before)]
    assert kinds == ["Drop", "Paint", "Paint", "Paint", "Paint", "Rain"]
    assert len(toolbox.sender.done) == 6 and all(
        f"(tick {done.tick})" in _said(toolbox, done.words) for done in toolbox.sender.done
    )


def _said(toolbox: Toolbox, words: str) -> str:
    """Returns the first notice that contains `words`, or ""."""
    return next((notice.line for notice in toolbox.session.notices if words in notice.line), "")


def test_a_stroke_drops_along_its_path_at_most_ten_times_a_second(toolbox, cluster):
    before, session = len(cluster.disk.commands), toolbox.session
    toolbox.choose("drop")
    toolbox.settings["drop"]["count"] = 7
    began_s = time.monotonic()
    toolbox.press(5.5, 78.5, 0, "", 0)
    for step in range(60):
        toolbox.drag(5.5 + step / 10, (78.5 + step / 5) % WIDTH)
        toolbox.update(session.clock())
        session.update(1 / 60)
        time.sleep(0.006)
    asked = len({command.tick for _, command in cluster.disk.commands[before:]})
    took_s = time.monotonic() - began_s
    toolbox.release(11.4, 10.3)
    turned(session, lambda: toolbox.sender.done and _said(toolbox, "dropped"))
    done = journalled(cluster, before)
    cells = [(command.y, command.x) for command in done]
    assert asked <= took_s * 10 + 2
    assert {(command.substance, command.count) for command in done} == {("sugar", 7)}
    assert cells[0] == (5, 78) and cells[-1] == (11, 10) and len(set(cells)) > 10
    apart = [max(abs(a[0] - b[0]), min((a[1] - b[1]) % WIDTH, (b[1] - a[1]) % WIDTH)) for a, b in pairwise(cells)]
    assert max(apart) == 1  # without gaps, also across the seam
    assert len(toolbox.sender.done) == 1 and toolbox.sender.done[0].words == f"dropped 7 sugar ({len(done)} times)"


def test_beings_are_spawned_moved_wounded_and_removed(toolbox, cluster, world):
    before, session = len(cluster.disk.commands), toolbox.session
    first, second, third = living(world, count=3)
    plants, monsters = world.count()["plants"], world.count()["monsters"]
    toolbox.settings["seed"]["species"] = "reed"
    used(toolbox, "seed", 15.5, 15.5)
    assert toolbox.species("monsters") == ["grazer", "hunter"] and toolbox.species("plants") == [
        "grass",
        "shrub",
        "reed",
    ]
    toolbox.settings["monster"]["species"] = "hunter"
    used(toolbox, "monster", 33.5, 33.5)
    assert toolbox.copy_genome(world.fetch(first)) and len(toolbox.genome) > 20 and toolbox.genome_species in monsters
    used(toolbox, "monster", 60.5, 60.5)
    genome = toolbox.genome
    toolbox.copy_being(second)
    used(toolbox, "monster", 44.25, 44.75)
    used(toolbox, "move", 10, 10, first, to=(70.5, 11.5))
    toolbox.settings["wound"]["tissue_count"] = 3
    used(toolbox, "wound", 1, 1, second)
    toolbox.settings["feed"]["count"] = 900
    used(toolbox, "feed", 2.5, 3.5)
    used(toolbox, "remove", 1, 1, third)
    toolbox.choose("look")
    assert toolbox.copy_genome(world.fetch(living(world, "plants")[0])) and toolbox.tool == "seed"
    used(toolbox, "seed", 80.5, 70.5)
    toolbox.choose("monster")
    toolbox.settings["monster"]["source"] = "genome"
    toolbox.press(1, 1)
    assert "is one of plants" in session.notices[-1].line
    refusal = session.notices[-1].line
    done = journalled(cluster, before)
    kinds = [type(command).__name__ for command in done]
    assert kinds == ["Spawn", "Spawn", "Spawn", "Spawn", "Move", "Wound", "Drop", "Remove", "Spawn"]
    assert [command.kind for command in done[:4]] == ["plants", "monsters", "monsters", "monsters"]
    assert np.frombuffer(done[2].row["genome"], np.int8).tolist() == genome
    assert done[8].kind == "plants" and np.frombuffer(done[8].row["genome"], np.int8).tolist() == toolbox.genome
    assert (done[3].y_fixed, done[3].x_fixed) == (int(44.25 * 1024), int(44.75 * 1024))
    assert done[4].id == first and (done[4].y_fixed >> 10, done[4].x_fixed >> 10) == (70, 11)
    assert done[5] == Wound(second, 3) and done[6] == Drop(2, 3, "sugar", 900) and done[7].id == third
    assert world.fetch(third) is None and sum(world.count()["plants"].values()) and sum(plants.values())
    assert [notice.line for notice in session.notices if notice.bad] == [refusal]


def test_an_invalid_use_of_a_tool_is_one_line_and_sends_no_command(toolbox, cluster):
    before, session = len(cluster.disk.commands), toolbox.session
    for tool, source, said in (
        ("remove", "", "no being is here"),
        ("move", "", "no being is here"),
        ("monster", "genome", "no genome copied yet"),
        ("monster", "copy", "no being to copy"),
    ):
        toolbox.choose(tool)
        toolbox.settings["monster"]["source"] = source or "founder"
        toolbox.press(5, 5)
        toolbox.release(5, 5)
        assert said in session.notices[-1].line and session.notices[-1].bad
    toolbox.choose("drop")
    toolbox.settings["drop"]["substance"] = "gold"
    toolbox.press(5, 5)
    toolbox.drag(15, 5)
    toolbox.release(15, 5)
    turned(session, lambda: 'unknown "gold"' in session.notices[-1].line)
    assert len(cluster.disk.commands) == before and not toolbox.sender.done
    toolbox.fork_dialog.offer_undo()
    assert toolbox.fork_dialog.question is None and "nothing was done" in session.notices[-1].line


def test_marks_show_where_a_tool_works(toolbox):
    session = toolbox.session
    assert toolbox.marks() == ([], [])
    for tool in TOOLS:
        toolbox.choose(tool.name)
        toolbox.hover(95.9, 0.1)
        rings, lines = toolbox.marks()
        assert (rings or lines) if tool.name != "look" else not (rings or lines)
        assert all(len(ring) == 4 and len(ring[3]) == 4 for ring in rings)
        assert all(len(line) == 6 and abs(line[2] - line[0]) + abs(line[3] - line[1]) <= 16 for line in lines)
    toolbox.choose("water")
    toolbox.brush.rectangle = True
    toolbox.press(90.5, 75.5)
    for step in range(1, 40):
        toolbox.drag(90.5 + step, 75.5 + 2 * step)
    assert toolbox.rectangle() == (90, 75, 40, 79)  # more than half of the world, across both seams
    toolbox.cancel()
    assert toolbox.rectangle() is None and toolbox.tool == "water"
    toolbox.cancel()
    assert toolbox.tool == "look" and not session.done
    toolbox.choose(7)
    assert toolbox.tool == TOOLS[7].name
    toolbox.choose(99)
    assert toolbox.tool == TOOLS[7].name


def test_a_click_with_the_look_tool_selects(toolbox, world):
    being = living(world)[0]
    toolbox.press(1, 1, being, "monsters", 0)
    assert toolbox.session.selected.id == being
    toolbox.press(1, 1, 0, "", 0)
    assert toolbox.session.selected is None


def test_spectators_get_one_notice_and_change_nothing(cluster, keys, world):
    session = opened(cluster.address, Keys.load(keys, SPECTATOR))
    try:
        toolbox, inhabiting, before = Toolbox(session), Inhabiting(session), len(cluster.disk.commands)
        for tool in TOOLS[1:]:
            toolbox.choose(tool.name)
            toolbox.press(5, 5, living(world)[0], "monsters", 0)
            toolbox.drag(9, 9)
            toolbox.release(9, 9)
        toolbox.fork_dialog.offer_undo()
        turned(session, lambda: True)
        assert [notice.line for notice in session.notices] == [SPECTATOR_LINE]
        assert not inhabiting.begin(living(world)[0]) and not inhabiting.being
        Timeline(session).fork()
        assert "only keepers may fork" in session.notices[-1].line
        assert len(cluster.disk.commands) == before and not toolbox.sender.done
    finally:
        session.close()


# --- steering a monster


def steered(session: Session, inhabiting: Inhabiting, seconds: float) -> None:
    """Turns a session and its steering for a number of seconds."""
    end_s = time.monotonic() + seconds
    turned(session, lambda: time.monotonic() > end_s, inhabiting)


def test_keys_set_the_drives_of_the_steered_monster(session, cluster, world):
    inhabiting, being = Inhabiting(session), living(world)[0]
    assert inhabiting.begin(being) and session.following and session.selected.id == being
    turned(session, lambda: held(cluster).get(being) == (0,) * 11, inhabiting)
    before = len(cluster.disk.commands)
    inhabiting.on_key("W", True)
    inhabiting.on_key("D", True)
    began_s = time.monotonic()

    def grown() -> bool:
        """Whether thrust has its maximum, and turning too: `MAX_TURNS_A_S`, or the maximal drive in a slow world."""
        drives = inhabiting.drives()
        turn, thrust = drives.get("turn", 0.0), drives.get("thrust", 0.0)
        turns_a_s = turn * TURN_A_TICK * inhabiting.ticks_per_s
        return thrust == 1.0 and (turn == 1.0 or abs(turns_a_s - MAX_TURNS_A_S) < 0.03)

    turned(session, grown, inhabiting)
    first = world.fetch(being)
    turns, way, heading = 0.0, 0.0, first["row"]["heading"]
    while turns < 0.5:  # half a turn clockwise
        assert time.monotonic() - began_s < WITHIN_S, turns
        steered(session, inhabiting, 0.04)
        found = world.fetch(being)
        turns += ((found["row"]["heading"] - heading + 32768) % 65536 - 32768) / 65536
        heading = found["row"]["heading"]
        way += np.hypot(*((found[axis] - first[axis] + 20480) % 40960 - 20480 for axis in ("y_fixed", "x_fixed")))
    assert way > 200 and found["drives"]["thrust"] == 1024 and found["drives"]["turn"] > 0
    told = [(command.tick, commands.decode(command.content)) for _, command in cluster.disk.commands[before:]]
    assert 4 <= len(told) <= 4 + (time.monotonic() - began_s) / SEND_EVERY_S
    assert all(command.id == being for _, command in told)
    thrusts = [command.drives[1] for _, command in told]
    assert 0 < thrusts[0] < 1024 and thrusts[-1] == 1024 and thrusts == sorted(thrusts)
    inhabiting.on_key("W", False)
    inhabiting.on_key("D", False)
    inhabiting.on_key("SPACE", True)
    inhabiting.on_key("E", True)
    turned(session, lambda: (held(cluster).get(being) or (0,) * 11)[2:5] == (1024, 0, 1024), inhabiting)
    assert inhabiting.drives() == {"bite": 1.0, "drink": 1.0}
    inhabiting.end()
    assert not inhabiting.being and inhabiting.unreleased == {being}
    turned(session, lambda: not inhabiting.unreleased and not held(cluster), inhabiting)
    assert not inhabiting.on_key("W", True) and {drive for drive, _ in KEYS.values()} == set(session.known.drives)


def test_a_steered_monster_is_released_when_the_window_closes(cluster, keys, world):
    session = opened(cluster.address, Keys.load(keys, KEEPER))
    inhabiting, being = Inhabiting(session), living(world)[0]
    inhabiting.begin(being)
    inhabiting.on_key("W", True)
    turned(session, lambda: being in held(cluster), inhabiting)
    session.close()
    wait_until(lambda: not held(cluster))
    assert not inhabiting.unreleased


def test_a_steered_monster_is_released_when_it_dies_and_when_the_past_is_shown(session, cluster, world):
    inhabiting, (first, second) = Inhabiting(session), living(world, count=2)
    inhabiting.begin(first)
    turned(session, lambda: first in held(cluster), inhabiting)
    world.remove(first)
    turned(session, lambda: not inhabiting.being and not inhabiting.unreleased and not held(cluster), inhabiting)
    assert "it died" in session.notices[-1].line
    inhabiting.begin(second)
    turned(session, lambda: second in held(cluster), inhabiting)
    session.feed.shown = 3
    turned(session, lambda: not inhabiting.being, inhabiting)
    session.feed.shown = LIVE
    turned(session, lambda: not inhabiting.unreleased and not held(cluster), inhabiting)
    plant = living(world, "plants")[0]
    session.select(plant, "plants")
    assert not inhabiting.begin(plant) and "no drives" in session.notices[-1].line


def test_a_steered_monster_is_released_after_the_connection_was_lost(session, cluster, world):
    inhabiting, being = Inhabiting(session), living(world)[0]
    inhabiting.begin(being)
    inhabiting.on_key("D", True)
    turned(session, lambda: being in held(cluster), inhabiting)
    cluster.do(cluster.end_gateway)
    turned(session, lambda: session.reconnecting, inhabiting)
    cluster.do(cluster.begin_gateway)
    turned(session, lambda: not inhabiting.being and not inhabiting.unreleased and not held(cluster), inhabiting)
    assert any("the connection was lost" in notice.line for notice in session.notices)


# --- undo and the past, in a real run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    with process_cluster_run(folder, 1):
        yield folder


@pytest.mark.slow
def test_undo_forks_a_run_without_the_command_and_the_past_is_shown_at_its_tick(run):
    session = opened(run)
    session.command("speed", 40)
    toolbox, timeline = Toolbox(session), Timeline(session)
    toolbox.settings["drop"]["count"] = 9000
    used(toolbox, "drop", 8.5, 9.5)
    used(toolbox, "drop", 30.5, 31.5)
    first, last = toolbox.sender.done
    toolbox.fork_dialog.offer_undo()
    assert (
        f"tick {last.tick}" in toolbox.fork_dialog.question.text
        and "without this command" in toolbox.fork_dialog.question.text
    )
    toolbox.fork_dialog.answer(True)
    turned(session, lambda: "umwelt resume" in session.notices[-1].line, within_s=2 * WITHIN_S)
    made = Path(session.notices[-1].line.split("umwelt resume ")[1])
    done = [commands.decode(command.content) for command in read_journalled_commands(Store(made))]
    assert [(command.y, command.x) for command in done] == [(8, 9)]  # the fork has the first command, not the second
    forked = restore_region(Store(made), None)[1]
    assert forked.owned_view("sugar")[8, 9] > 1000 and forked.owned_view("sugar")[30, 31] < 1000
    assert forked.tick <= last.tick < session.status["tick"]

    timeline.snapshots = []
    turned(session, lambda: timeline.snapshots, timeline)
    assert timeline.marks()[0][:2] == (0, KEPT) or timeline.snapshots[0]["tick"] == 0
    assert [mark.words for mark in timeline.marks() if mark.kind == COMMAND] == [first.words, last.words]
    timeline.drag(timeline.share_of(first.tick))
    assert abs(timeline.held - first.tick) <= 1
    timeline.held = first.tick
    timeline.drop()
    assert timeline.waiting and session.shown == LIVE
    turned(session, lambda: session.shown == first.tick and session.feed.complete, timeline, within_s=2 * WITHIN_S)
    assert session.tick == first.tick == timeline.position and not timeline.waiting
    toolbox.press(5, 5)
    assert (
        PAST_LINE in [notice.line for notice in session.notices]
        and f"Tick {first.tick}" in toolbox.fork_dialog.question.text
    )
    toolbox.cancel()
    assert len(toolbox.sender.done) == 2

    timeline.toggle()
    turned(session, lambda: session.tick > first.tick + 3, timeline, within_s=2 * WITHIN_S)
    assert timeline.playing and session.shown == first.tick
    timeline.toggle()
    timeline.show(last.tick)
    turned(session, lambda: timeline.waited_s > 0.05, timeline)
    timeline.cancel()
    turned(session, lambda: True, timeline)
    assert not timeline.waiting and session.shown == first.tick
    timeline.back_to_now()
    turned(session, lambda: session.feed.complete and session.tick > last.tick, timeline)
    assert session.shown == LIVE and timeline.position == timeline.reached
    session.close()
