"""`connect()`: queries of the journal and of past ticks that are replayed; spectators may ask them, too."""

import time

import numpy as np
import pytest
from local_cluster import LocalCluster
from sharded_regions import golden_world
from small_runs import small_run, small_world
from waiting import WITHIN_S, wait_until

from umwelt.client.connection.api import Moment, connect
from umwelt.cluster.run.journal import Journal
from umwelt.cluster.run.replay import restore_region
from umwelt.cluster.wire import viewer_protocol
from umwelt.cluster.wire.keys import SPECTATOR, Keys, make_keys
from umwelt.sandbox.errors import RunError

LAST = 96


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return small_run(tmp_path_factory.mktemp("runs") / "run", 40, LAST)


@pytest.fixture(scope="module")
def cluster(store):
    with LocalCluster(small_world(), 2, tick_s=0.03, run=store.folder) as found:
        yield found


@pytest.fixture(scope="module")
def world(cluster):
    with connect(cluster.address) as found:
        found.wait(LAST, WITHIN_S)
        yield found


@pytest.mark.slow
def test_a_past_tick_can_be_played_and_paused_and_shows_the_run(world, store):
    moment, other = world.show(44), world.show(90)
    assert moment.rest() == 44
    assert 44 <= moment.play(5) < LAST  # slow enough to be still playing after three views
    ticks = []
    for view in moment.watch((0, 0, 40, 48), layers=["rain", "water"], timeout_s=WITHIN_S):
        ticks.append(view.tick)
        if len(set(ticks)) > 2:
            break
    assert ticks == sorted(ticks)
    at = moment.rest()
    assert max(ticks) <= at < LAST
    _, region, _ = restore_region(store, at)
    assert moment.query(columns=[]).tick == at
    assert (moment.field("water") == region.owned_view("water")).all()
    table, own = region.tables["monsters"], region.owned_rows("monsters")
    assert moment.query(columns=["tissue_count"])["tissue_count"].sum() == table["tissue_count"][own].sum()
    moment.play(10_000)
    wait_until(lambda: moment.query(columns=[], max_rows=1).tick >= LAST)
    time.sleep(0.3)
    assert moment.rest() == LAST  # the end of the journal; the world has run on
    assert world.show(44).query(columns=[], max_rows=1).tick == 44
    assert other.query(columns=[], max_rows=1).tick == 90


@pytest.mark.parametrize("speed", [-1.0, 10_001.0, float("nan"), float("inf")])
def test_invalid_speeds_and_ticks_that_are_not_shown_are_refused_in_one_line(world, speed):
    moment = world.show(90)
    with pytest.raises(RunError, match="ticks a second"):
        moment.play(speed)
    with pytest.raises(RunError, match="tick 3 is not shown"):
        Moment(world.link, 3, world.timeout_s).play(2)


def test_births_and_families_are_those_of_the_journal(world, store):
    journal = Journal.reading(store.journal)
    true = {row[0]: row for row in journal.lineage.births() if row[2] < LAST}
    journal.close()
    gathered, since, after, pages = [], 0, 0, 0
    while True:
        page = world.births(since, max_rows=37, after=after)
        gathered.append(page["id"])
        assert len(page["id"]) <= 37 and set(page) > {"marker_a", "species", "parent_id"}
        since, after, pages = page["next"], page["after"], pages + 1
        if not page["more"]:
            break
        time.sleep(0.06)  # the gateway answers at most 20 of these queries a second
    ids = np.concatenate(gathered).tolist()
    assert sorted(ids) == sorted(true) and pages > 2 and since == LAST
    every = world.births()
    assert every["id"].tolist() == ids and not every["more"]
    named = [world.species[at] for at in every["species"]]
    assert named == [true[one][5] for one in ids]
    monsters = world.births(table="monsters")
    assert set(monsters["species"].tolist()) <= {2, 3} and 0 < len(monsters["id"]) < len(ids)
    with pytest.raises(RunError, match='unknown "stones"'):
        world.births(table="stones")
    kin = [one for one in ids if true[one][1] in true]
    family = world.family(kin[0])
    assert family["ancestors"][0]["id"] == true[kin[0]][1]
    parent = world.family(family["ancestors"][0]["id"])
    assert kin[0] in [child["id"] for child in parent["children"]]
    assert world.family(1) == {"ancestors": [], "children": []}


@pytest.mark.slow
def test_a_census_and_a_line_of_descent_of_a_moment_are_of_its_tick(world, store):
    moment = world.show(90)
    _, region, _ = restore_region(store, 90)
    alive = {name: region.tables[name]["id"][region.owned_rows(name)].tolist() for name in ("plants", "monsters")}
    census = moment.census()
    assert census["tick"] == 90
    for table, ids in alive.items():
        assert sum(one["count"] for one in census["species"].values() if one["table"] == table) == len(ids)
    living = {one for ids in alive.values() for one in ids}
    births = world.births()
    told = [moment.lineage(one) for one in births["id"][np.isin(births["parent_id"], births["id"])][:4].tolist()]
    assert told
    for one in told:
        assert one["tick"] == 90 and one["lives"] == (one["being"] in living)
        assert all(other["lives"] == (other["id"] in living) for other in one["ancestors"] + one["children"])
        assert one["ancestors"] == [
            {**other, "lives": other["id"] in living} for other in world.family(one["being"])["ancestors"]
        ]


def test_metrics_are_those_of_the_journal(world, store):
    journal = Journal.reading(store.journal)
    true = list(journal.history.metrics())
    journal.close()
    found = world.metrics()
    assert found["ticks"] == [one.tick for one in true] and found["births"] == [one.births for one in true]
    assert found["populations"]["plants"]["grass"] == [one.populations["plants"]["grass"] for one in true]
    assert found["substances"]["water"] == [one.substances["water"] for one in true]
    assert world.metrics(since=50)["ticks"] == [one.tick for one in true if one.tick >= 50]


def test_spectators_may_query_the_past(store, tmp_path):
    make_keys(tmp_path / "keys")
    keys = Keys.load(tmp_path / "keys", SPECTATOR)
    cluster = LocalCluster(small_world(), 1, tmp_path / "keys", tick_s=0.04, run=store.folder)
    with cluster, connect(cluster.address, keys) as world:
        assert world.role == SPECTATOR and world.metrics()["ticks"] and len(world.births()["id"])
        assert world.family(1)["children"] == []
        with pytest.raises(RunError, match="is not shown"):  # and not an error about the role
            world.link.ask(lambda ticket: viewer_protocol.History(ticket, "play", 3, value=2.0)).result(30)


def test_too_many_questions_to_the_journal_are_refused_and_the_world_goes_on(cluster, world):
    with connect(cluster.address) as greedy:
        asked = [greedy.link.ask(_birth_question) for _ in range(120)]
        before = cluster.tick()
        found = [one.exception(WITHIN_S) for one in asked]
    lines = [str(error) for error in found if error is not None]
    assert any(error is None for error in found) and any("too many questions" in line for line in lines)
    world.wait(before + 5, WITHIN_S)
    wait_until(lambda: len(cluster.do(lambda: cluster.gateway.journal_queries)) == 0)
    assert cluster.failed is None


def _birth_question(ticket: str):
    from umwelt.cluster.wire.viewer_protocol import History

    return History(ticket, "births")


def test_a_gateway_without_a_run_refuses_queries_of_the_past():
    with LocalCluster(golden_world(64, 64), 1, tick_s=0.04) as cluster, connect(cluster.address) as world:
        for question in (world.metrics, world.births, lambda: world.family(5)):
            with pytest.raises(RunError, match="has no run folder"):
                question()
