"""`World` as a Mesa model: loading, stepping, handles of beings, Mesa's tools, and plain Mesa models."""

import gc
import subprocess
import sys
import weakref

import mesa
import numpy as np
import pytest
from sharded_regions import golden_world

from umwelt.agents import Agent, AgentSet, Column, Drives, Monster, Plant, World
from umwelt.agents.open_world import begin, try_small_world
from umwelt.agents.world_file import bundled_worlds, parse_world, read_world
from umwelt.sandbox import audit
from umwelt.sandbox.errors import SnapshotError, UmweltError, WorldFileError
from umwelt.sandbox.step import advance


def small(seed=4, **more):
    return World.load("golden", seed=seed, width=32, height=32, **more)


def test_a_world_steps_as_a_bare_region_does():
    text = small().world_file.text
    region = begin(parse_world(text, "x", "x"))
    world = small()
    for _ in range(5):
        world.step()
    advance(region, world.laws, 5)
    assert world.digest() == audit.digest(region)
    assert world.region.tick == world.steps == 5


def test_overrides_reach_the_world_file():
    world = World.load("golden", width=40, height=32, climate__day_ticks=77, **{"founders.0.count": 9})
    assert (world.region.torus.width, world.region.torus.height) == (40, 32)
    assert world.world_file.settings.climate.day_ticks == 77
    assert world.agents.groupby("species").count()[0] == 9
    assert world.world_file.common.seed == 1
    with pytest.raises(WorldFileError, match="climate"):
        World.load("golden", climate__day_tocks=77)
    with pytest.raises(WorldFileError, match="goldne"):
        World.load("goldne")
    with pytest.raises(TypeError, match="not rng"):
        World("golden", rng=4)


def test_a_world_file_object_or_its_path_can_be_loaded(tmp_path):
    path = tmp_path / "tiny.toml"
    path.write_text(small().world_file.text)
    assert World.load(path).digest() == World(str(path)).digest() == small().digest()
    checked = golden_world(32, 32, seed=9)
    assert World(checked).digest() == audit.digest(begin(checked))


def test_the_same_seed_gives_the_same_world_and_another_seed_another():
    assert small(4).digest() == small(4).digest() != small(5).digest()


def test_removing_beings_by_handle_conserves_matter():
    world = small()
    before = world.elements()
    for _ in range(3):
        world.step()
        world.agents.select(at_most=4).do("remove")
    assert world.elements() == before and sum(before.values()) > 0


# --- handles


def test_a_handle_stays_with_its_being_while_rows_move():
    world = small()
    beings = list(world.agents)[::7]
    known = {being: being.unique_id for being in beings}
    stayed = 0
    for _ in range(6):
        world.step()
        for table in world.region.tables.values():
            table.reorder(np.random.default_rng(1).permutation(table.count))
        world.region._indices.clear()
        for being, identity in known.items():
            if being.alive:
                assert being.unique_id == identity == being.id
                assert being in world.agents
                stayed += 1
    assert stayed > 100
    again = {being.unique_id: being for being in world.agents}
    assert all(again[identity] is being for being, identity in known.items() if being.alive)


def test_a_dead_being_keeps_its_last_values():
    world = small()
    being = world.agents_by_type[Monster][3]
    world.step()
    last = (being.sugar_count, being.age_ticks, being.position, being.organs.tolist(), being.species_name)
    count = len(world.agents)
    being.remove()
    assert not being.alive and being not in world.agents and len(world.agents) == count - 1
    assert (being.sugar_count, being.age_ticks, being.position, being.organs.tolist(), being.species_name) == last
    with pytest.raises(AttributeError, match="dead"):
        being.sugar_count = 3
    with pytest.raises(AttributeError, match="has no nonsense"):
        _ = being.nonsense
    being.remove()
    world.step()
    assert being.sugar_count == last[0] and len(world.agents_by_type[Monster].select(lambda a: a.id == being.id)) == 0


def test_beings_that_die_by_the_laws_keep_their_last_values():
    world = small()
    plants = world.agents_by_type[Plant].select(at_most=20)
    handles = list(plants)
    plants.set("tissue_count", 0)
    plants.set("sugar_count", 0)
    world.agents_by_type[Monster].do("remove")
    ages = [being.age_ticks for being in handles]
    world.step()
    assert not any(being.alive for being in handles)
    assert [being.age_ticks for being in handles] == ages
    assert len(plants) == 0


def test_selections_lose_their_dead_and_keep_their_order():
    world = small()
    some = world.agents.sort("sugar_count").select(at_most=10)
    before = some.get("unique_id")
    some[4].remove()
    assert some.get("unique_id") == before[:4] + before[5:]
    world.step()
    alive = {being.unique_id for being in world.agents}
    assert some.get("unique_id") == [identity for identity in before if identity in alive]


def test_attributes_that_are_not_columns_stay_with_the_handle():
    world = small()
    world.agents[2].note = "mine"
    identity = world.agents[2].unique_id
    gc.collect()
    world.step()
    assert next(being for being in world.agents if being.unique_id == identity).note == "mine"
    world.agents.set("marked", True)
    assert all(world.agents.get("marked"))


def test_unreferenced_handles_are_garbage_collected():
    world = small()
    held = weakref.ref(world.agents[0])
    gc.collect()
    assert held() is None


def test_do_skips_beings_that_die_meanwhile():
    world = small()
    met = []

    def strike(being):
        met.append(being.unique_id)
        world.agents[-1].remove()

    count = len(world.agents)
    world.agents.do(strike)
    assert len(met) == len(set(met)) == (count + 1) // 2
    world.remove_all_agents()
    assert len(world.agents) == 0
    world.step()


def test_beings_cannot_be_instantiated():
    with pytest.raises(TypeError, match="founders"):
        Monster(small())
    with pytest.raises(TypeError, match="inhabited"):
        Agent(small())


# --- kinds


def test_agents_by_type_is_live_and_complete():
    world = small()
    kinds = world.agents_by_type
    assert list(kinds) == world.agent_types == [Plant, Monster]
    assert sum(len(some) for some in kinds.values()) == len(world.agents)
    plants = kinds[Plant]
    plants[0].remove()
    assert len(plants) == len(world.agents_by_type[Plant]) == int(world.region.owned_rows("plants").sum())
    assert {type(being) for being in world.agents} == {Plant, Monster}


class Idle(Monster):
    def respond(self, see):
        return Drives()


class Busy(Monster):
    bites = Column()

    def respond(self, see):
        self.bites += 1
        return Drives(bite=1)


def test_python_species_are_agent_types():
    world = small(species={"grazer": Idle})
    assert set(world.agents_by_type) == {Plant, Monster, Idle}
    assert {being.species_name for being in world.agents_by_type[Idle]} == {"grazer"}
    assert {being.species_name for being in world.agents_by_type[Monster]} == {"hunter"}
    assert len(world.agents.select(agent_type=Monster)) == len(world.agents) - len(world.agents_by_type[Plant])
    both = small(species={"grazer": Idle, "hunter": Idle})
    assert set(both.agents_by_type) == {Plant, Idle}


def test_two_worlds_do_not_disturb_each_other():
    alone = small(species={"grazer": Busy})
    for _ in range(4):
        alone.step()
    one = small(species={"grazer": Busy})
    other = small(9, species={"hunter": Idle}, chemistry__substances={"ichor": "H2O"})
    for _ in range(4):
        one.step()
        other.step()
        other.agents.set("age_ticks", 3)
    assert one.digest() == alone.digest()
    assert one.agents[0] not in other.agents
    assert hasattr(other.agents[0], "ichor_count") and not hasattr(one.agents[0], "ichor_count")
    assert hasattr(one.agents_by_type[Busy][0], "bites")
    assert "bites" not in other.region.tables["monsters"]


def test_species_with_the_same_name_are_distinguished():
    def made(turn):
        class Same(Monster):
            def respond(self, see):
                return Drives(turn=turn)

        return Same

    one, other = small(species={"grazer": made(1)}), small(species={"grazer": made(-1)})
    one.step(), other.step()
    drives = [world.region.tables["monsters"]["drives"][:, 0] for world in (one, other)]
    assert drives[0].max() == 1024 and drives[1].min() == -1024


# --- Mesa's tools


class Study(World):
    """A model as a user might derive it from `World`, with a parameter."""

    def __init__(self, day_ticks=120, seed=None):
        super().__init__("golden", seed=seed, width=32, height=32, climate__day_ticks=day_ticks)
        self.datacollector = mesa.DataCollector(
            model_reporters={"plants": lambda m: len(m.agents_by_type[Plant]), "oldest": "oldest"},
            agent_reporters={"sugar": "sugar_count", "heading": "heading"},
            agenttype_reporters={Monster: {"fatigue": "fatigue"}},
        )
        self.datacollector.collect(self)

    @property
    def oldest(self):
        return self.agents.agg("age_ticks", max)

    def step(self):
        super().step()
        self.datacollector.collect(self)
        self.running = self.steps < 6


def test_the_data_collector_collects():
    study = Study(seed=3)
    study.run_model()
    models = study.datacollector.get_model_vars_dataframe()
    assert len(models) == 7
    assert models["plants"].iloc[-1] == len(study.agents_by_type[Plant])
    assert models["oldest"].iloc[-1] == study.agents.agg("age_ticks", max)
    agents = study.datacollector.get_agent_vars_dataframe().xs(6, level="Step")
    assert agents["sugar"].tolist() == study.agents.get("sugar_count")
    assert agents["heading"].notna().sum() == len(study.agents_by_type[Monster])
    monsters = study.datacollector.get_agenttype_vars_dataframe(Monster).xs(6, level="Step")
    assert monsters["fatigue"].tolist() == study.agents_by_type[Monster].get("fatigue")


def test_batch_run_runs_worlds():
    rows = mesa.batch_run(Study, {"day_ticks": [60, 240], "seed": [1, 2]}, max_steps=3, display_progress=False)
    ends = {(row["day_ticks"], row["seed"]): row["plants"] for row in rows if row["Step"] == 3}
    assert len(ends) == 4
    direct = Study(240, seed=2)
    for _ in range(3):
        direct.step()
    assert ends[240, 2] == len(direct.agents_by_type[Plant])
    plain = mesa.batch_run(
        World,
        {"world": "golden", "width": 32, "height": 32, "seed": [1, 2]},
        max_steps=2,
        data_collection_period=1,
        display_progress=False,
    )
    assert {"plants", "monsters", "births", "deaths"} <= set(plain[0])
    assert len(plain) == 6


def test_the_default_data_collector_counts_beings_births_and_deaths():
    world = small()
    for _ in range(5):
        world.step()
    frame = world.datacollector.get_model_vars_dataframe()
    assert frame["plants"].iloc[-1] == len(world.agents_by_type[Plant])
    lives = frame["plants"] + frame["monsters"]
    assert (lives.diff().iloc[1:] == (frame["births"] - frame["deaths"]).diff().iloc[1:]).all()


# --- other laws, snapshots, plain models


def test_worlds_with_other_laws_have_handles_named_by_their_tables():
    world = World.load("wolf_sheep", seed=2, width=32, height=32)
    names = [cls.__name__ for cls in world.agent_types]
    assert names == ["Sheep", "Wolves"]
    world.step()
    assert len(world.agents) == sum(len(some) for some in world.agents_by_type.values()) > 0
    being = world.agents[0]
    assert type(being) in world.agent_types and isinstance(being, Agent)
    assert world.agents.agg("energy", max) == max(world.agents.get("energy"))
    assert world.elements() == {}
    other = World.load("wolf_sheep", seed=2, width=32, height=32)
    assert other.agent_types == world.agent_types


def test_a_saved_world_continues_bit_for_bit(tmp_path):
    world = small(species={"grazer": Busy})
    for _ in range(4):
        world.step()
    world.save(tmp_path / "kept")
    again = World.load(tmp_path / "kept", species={"grazer": Busy})
    assert again.digest() == world.digest()
    for _ in range(4):
        world.step(), again.step()
    assert again.digest() == world.digest() and again.region.tick == 8
    assert again.agents.get("unique_id") == world.agents.get("unique_id")
    with pytest.raises(WorldFileError, match="only species"):
        World.load(tmp_path / "kept", seed=3)


def test_plain_models_have_no_snapshot_and_no_digest(tmp_path):
    with pytest.raises(WorldFileError, match="plain model"):
        World().save(tmp_path / "nothing")
    with pytest.raises(WorldFileError, match="plain model"):
        World().digest()


class Walker(Agent):
    def __init__(self, model, wealth=1):
        super().__init__(model)
        self.wealth = wealth

    def step(self):
        other = self.model.agents[self.random.randrange(len(self.model.agents))]
        if self.wealth:
            self.wealth -= 1
            other.wealth += 1


def economy(model, agent):
    made = model(seed=11)
    agent.create_agents(made, 30, wealth=list(range(30)))
    trajectory = []
    for _ in range(10):
        made.agents.shuffle_do("step")
        made.step()
        trajectory.append(made.agents.get("wealth"))
    made.agents.select(lambda a: a.wealth > 20).do("remove")
    return made, [*trajectory, made.agents.shuffle().get("unique_id"), made.agents.sort("wealth").get("wealth")]


class MesaWalker(mesa.Agent):
    def __init__(self, model, wealth=1):
        super().__init__(model)
        self.wealth = wealth

    step = Walker.step


def test_a_plain_model_runs_as_in_mesa_itself():
    ours, course = economy(World, Walker)
    theirs, wanted = economy(mesa.Model, MesaWalker)
    assert course == wanted
    assert ours.steps == theirs.steps == 10
    assert type(ours.agents) is AgentSet
    assert ours.agents["wealth"].tolist() == theirs.agents.get("wealth")
    rich = ours.agents["wealth"] > 10
    assert ours.agents.select(rich).get("wealth") == [wealth for wealth in theirs.agents.get("wealth") if wealth > 10]
    assert list(ours.agents_by_type) == ours.agent_types == [Walker]


def test_plain_models_count_their_ids_from_one_and_are_garbage_collected():
    models = [World(), World(), mesa.Model()]
    assert [[Walker(model).unique_id for _ in range(3)] for model in models] == [[1, 2, 3]] * 3
    kept = weakref.ref(models[0])
    models.clear()
    gc.collect()
    assert kept() is None


def test_registering_again_does_no_harm():
    world = World()
    walker = Walker(world)
    world.register_agent(walker)
    assert len(world.agents) == len(world.agents_by_type[Walker]) == 1
    walker.remove()
    walker.remove()
    assert len(world.agents) == 0


def test_plain_models_refuse_what_mesa_refuses():
    with pytest.raises(TypeError):
        World(nonsense=3)
    with pytest.raises(ValueError, match="either rng or seed"):
        World(seed=1, rng=1)


def test_laws_alone_do_not_load_mesa():
    modules = "sys, umwelt.agents.earth.earth, umwelt.agents.open_world"
    code = f"import {modules}; sys.exit(len({{'mesa', 'pandas'}} & {{*sys.modules}}))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_all_public_names_can_be_imported():
    import umwelt.agents

    assert {name for name in umwelt.agents.__all__ if getattr(umwelt.agents, name, None) is None} == set()
    with pytest.raises(AttributeError, match="no attribute 'Nonsense'"):
        _ = umwelt.agents.Nonsense


@pytest.mark.parametrize(
    ("world", "more", "expected"),
    [
        (5, {}, "world = 5: give a bundled name"),
        ("", {}, 'no world ""'),
        ("golden", {"seed": "x"}, 'seed = "x": write a whole number'),
        ("golden", {"seed": 1.5}, "seed = 1.5: write a whole number"),
        ("golden", {"width": np.float64(1.5)}, "width = 1.5: write a whole number"),
        ("golden", {"width": None}, "width = None: world files have no such value"),
    ],
)
def test_arguments_that_describe_no_world_are_refused(world, more, expected):
    with pytest.raises(WorldFileError, match=expected):
        World.load(world, **more)


def test_a_folder_that_is_no_snapshot_is_refused(tmp_path, monkeypatch):
    with pytest.raises(WorldFileError, match="is not a snapshot: give what"):
        World.load(tmp_path)
    (tmp_path / "golden").mkdir()
    monkeypatch.chdir(tmp_path)
    assert small().world_file.name == "golden"  # a folder of the same name does not hide a bundled world


def test_numpy_numbers_are_valid_overrides():
    world = World.load("golden", width=np.int64(48), height=np.int32(32), seed=np.int64(9))
    assert world.region.torus == (32, 48) and world.world_file.common.seed == 9


def test_save_does_not_overwrite(tmp_path):
    (tmp_path / "precious").mkdir()
    (tmp_path / "file").write_text("precious")
    places = {"precious": "exists already", "file": "exists already", "file/below": "cannot be written"}
    for path, expected in places.items():
        with pytest.raises(SnapshotError, match=expected):
            small().save(tmp_path / path)


def test_an_unknown_field_is_refused_with_the_nearest_name():
    with pytest.raises(WorldFileError, match='field: unknown "watr": did you mean "water"'):
        small().field("watr")


def test_counts_of_molecules_cannot_be_negative():
    world = small()
    before = world.digest()
    for set_it in (lambda: world.agents.set("sugar_count", -5), lambda: setattr(world.agents[0], "water_count", -1)):
        with pytest.raises(UmweltError, match="counts molecules: use 0 or more"):
            set_it()
    assert world.digest() == before


@pytest.mark.parametrize("name", bundled_worlds())
def test_every_bundled_world_runs_in_small_and_conserves_matter(name):
    world = read_world(name)
    before, after = try_small_world(world), try_small_world(world, 30)
    for table in after.tables.values():  # otherwise every process would compile its kernels again
        record = table.schema.record
        assert getattr(sys.modules[table.schema.module], record.__name__) is record
    assert after.tick == 30 and audit.world_digest(before) != audit.world_digest(after)
    if world.chemistry is not None:
        totals = [audit.substance_totals(region, world.chemistry) for region in (before, after)]
        first, last = (audit.element_totals(substances, world.chemistry) for substances in totals)
        assert first == last and min(last.values()) >= 0
