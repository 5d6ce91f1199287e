"""A world as a Mesa model: `World.load("meadow", seed=7)`, `step()`, `agents`; without a world file, a plain model.

w = World.load("meadow", seed=7, width=128, height=128)
w.step()
w.agents.select(lambda a: a.sugar_count > 50)
w.agents.agg("age_ticks", max)
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import mesa
import numpy as np

from umwelt.agents.mesa.agent_set import Beings, Population
from umwelt.agents.mesa.row_index import Roster
from umwelt.agents.open_world import begin, open_region
from umwelt.agents.species import behaviour
from umwelt.agents.world_file import WorldFile, bundled_worlds, parse_world, read_world
from umwelt.sandbox import audit
from umwelt.sandbox.errors import SnapshotError, WorldFileError
from umwelt.sandbox.region import Region
from umwelt.sandbox.step import advance
from umwelt.sandbox.text import one_line, one_of


class World(mesa.Model):
    """A world that lives by its laws, or (without a world file) a plain Mesa model.

    `world` is a bundled name, the path of a .toml file or a snapshot, or a checked `WorldFile`. Other keywords override
    values of the file; a dot in a key may be written as two underscores (`climate__light=0.5`). `species` puts classes
    of one's own on founders, by the name of their species; `check` asks every such species several times over in each
    tick (slow): a memory of its own that changes only from tick to tick passes unnoticed.

    In a world from a file, `region`, `laws` and `world_file` are what it runs on, and `datacollector` keeps how many
    live, were born and died at each tick, until a model of one's own puts another in its place.
    """

    _roster: Roster | None = None
    region: Region

    def __init__(
        self,
        world: str | Path | WorldFile | None = None,
        *args: Any,
        seed: Any = None,
        rng: Any = None,
        species: Mapping[str, type] | None = None,
        check: bool = False,
        **overrides: Any,
    ):
        if world is None:
            super().__init__(*args, seed=seed, rng=rng, **overrides)
            self._all_agents = Population([], random=self.random)
            return
        if rng is not None:
            raise TypeError("a world from a file has one seed: give seed=..., not rng")
        if seed is not None:
            overrides["seed"] = seed
        dotted = {key.replace("__", "."): as_toml(value) for key, value in overrides.items()}
        if not isinstance(world, str | Path | WorldFile):
            line = f"world = {world!r}: give a bundled name, the path of a .toml file or snapshot, or a WorldFile"
            raise WorldFileError(one_line(line))
        classes = {} if species is None else checked_classes(species)
        snapshot = saved_at(world)
        if snapshot is not None:
            self.world_file, region = reopened(snapshot, dotted, classes)
        else:
            self.world_file = described(world, dotted, classes)
            region = begin(self.world_file)
        super().__init__(*args, seed=self.world_file.common.seed)
        self._enter(region, check)

    def _enter(self, region: Region, check: bool = False) -> None:
        """Live in a region that is ready to run."""
        self.region, self.laws = region, self.world_file.laws
        self._roster = Roster(self, region, self.world_file)
        self._all_agents = Beings(self._roster, self.random, [(code, None) for code in range(len(self._roster.tables))])
        self._by_class: dict[type, Beings] = {}
        self._start: dict[str, int] = dict(region.counts)
        behaviour.check(region, check)
        reporters: dict[str, Any] = {name: partial(_living, table=name) for name in region.tables}
        reporters |= {name: partial(_counted, name=name) for name in ("births", "deaths")}
        self.datacollector = self._own_collector = mesa.DataCollector(model_reporters=reporters)
        self.datacollector.collect(self)

    @classmethod
    def load(
        cls,
        world: str | Path | WorldFile,
        seed: int | None = None,
        species: Mapping[str, type] | None = None,
        check: bool = False,
        **overrides: Any,
    ) -> "World":
        """A world ready to run: a bundled name, the path of a .toml file, or of a snapshot that `save` wrote."""
        return cls(world, seed=seed, species=species, check=check, **overrides)

    def step(self) -> None:
        """Carry the world on by one tick."""
        roster = self._roster
        if roster is None:
            return
        kept = roster.keep_last()
        advance(self.region, self.laws, 1)
        roster.remove_dead(kept)
        if self.datacollector is self._own_collector:
            self.datacollector.collect(self)

    def save(self, path: str | Path) -> None:
        """Write a snapshot of the world as it is now, into a folder that must not exist yet; `load` opens it again.

        Its laws' state is whole; what Mesa's `random` and `rng` have drawn is no part of it.
        """
        from umwelt.sandbox.snapshot import save

        self._from_file("saved")
        try:
            if Path(path).exists():
                raise SnapshotError(one_line(f"{path}: exists already: choose another folder"))
            save(Path(path), self.region, self.world_file.text, self.world_file.name)
        except OSError as error:
            line = f"{str(path)[:200]}: cannot be written: {error.strerror or error}: choose another folder"
            raise SnapshotError(one_line(line)) from None

    def field(self, name: str) -> np.ndarray:
        """A field of the world's cells, or one part of it, `[height, width]`; writing into it writes into the world."""
        self._from_file("asked for fields")
        one_of(name, [known for field in self.region.field_list for known in (field.name, *field.parts)], "field")
        return self.region.owned_view(name)

    def digest(self) -> int:
        """The 64-bit sum that two worlds share if they are the same."""
        self._from_file("digested")
        return audit.world_digest(self.region)

    def elements(self) -> dict[str, int]:
        """Atoms of each element, and the charge if there is any; they never change. Empty without a chemistry."""
        self._from_file("weighed")
        chemistry = self.world_file.chemistry
        if chemistry is None:
            return {}
        return audit.element_totals(audit.substance_totals(self.region, chemistry), chemistry)

    def _from_file(self, what: str) -> None:
        if self._roster is None:
            raise WorldFileError(f"a plain model cannot be {what}: only a world from a file, as World.load gives")

    # --- what Mesa asks of a model

    @property
    def agents_by_type(self) -> dict[type, Any]:
        """The agents of each class; `Plant`, `Monster`, and the classes of species of one's own."""
        if self._roster is None:
            return self._agents_by_type
        kinds = self._roster.classes()
        for cls, tables in kinds.items():
            known = self._by_class.get(cls)
            if known is None or known._kinds != tables:
                self._by_class[cls] = Beings(self._roster, self.random, tables)
        return {cls: self._by_class[cls] for cls in kinds}

    @property
    def agent_types(self) -> list[type]:
        """The classes of the agents."""
        return list(self.agents_by_type)

    def register_agent(self, agent: Any) -> None:
        """Take in an agent of a plain model; again and again does no harm."""
        if self._roster is not None:
            raise TypeError(
                f"{type(agent).__name__}: a world from a file is inhabited by what its laws know; "
                "keep other agents in a World() of their own"
            )
        if agent not in self._agents:
            self._agents_by_type.setdefault(type(agent), Population([], random=self.random))
            super().register_agent(agent)

    def deregister_agent(self, agent: Any) -> None:
        """Let go of an agent of a plain model, or take a being out of the world."""
        if self._roster is not None:
            self._roster.remove(agent)
        else:
            super().deregister_agent(agent)

    def remove_all_agents(self) -> None:
        """Take all agents out of the world."""
        if self._roster is None:
            super().remove_all_agents()
        else:
            self.agents.do("remove")


def _living(world: World, table: str) -> int:
    """How many beings of a table live."""
    return int(np.count_nonzero(world.region.owned_rows(table)))


def _counted(world: World, name: str) -> int:
    """How many births or deaths there were since the world was opened."""
    return world.region.counts[name] - world._start[name]


def as_toml(value: Any) -> Any:
    """A value as world files know them: numbers and arrays of numpy become Python's."""
    return value.tolist() if isinstance(value, np.generic | np.ndarray) else value


def checked_classes(species: Any) -> Mapping[str, type]:
    """The classes that were handed over for founders; `WorldFileError` says what is none."""
    if not isinstance(species, Mapping):
        raise WorldFileError(one_line(f'species = {species!r}: name the founders, as in {{"grazer": Shy}}'))
    for name, cls in species.items():
        if not isinstance(name, str):
            raise WorldFileError(one_line(f"species: {name!r} is no name of founders: write it as text"))
        if not isinstance(cls, type):
            line = f'species: "{name}": {cls!r} is a {type(cls).__name__}, no class: give the class itself'
            raise WorldFileError(one_line(line))
    return species


def described(world: str | Path | WorldFile, overrides: dict[str, Any], species: Mapping[str, type]) -> WorldFile:
    """The checked description of a world, with values overridden and classes put on its founders."""

    def read(more: Mapping[str, Any]) -> WorldFile:
        if isinstance(world, WorldFile):
            return parse_world(world.text, world.source, world.name, more) if more else world
        return read_world(str(world), more)

    found = read(overrides)
    if not species:
        return found
    return read({**overrides, **references_for(found, species)})


def references_for(found: WorldFile, species: Mapping[str, type]) -> dict[str, str]:
    """The values of a world file that put classes on founders, by the name of their species."""
    founders = getattr(found.settings, "founders", None)
    if not founders:
        raise WorldFileError(f"{found.source}: species: this world has no founders to put classes on")
    names = [founder.species for founder in founders]
    classes: dict[str, str] = {}
    for name, cls in species.items():
        one_of(name, names, f"{found.source}: species")
        reference = behaviour.register(cls)
        classes |= {f"founders.{at}.behaviour": reference for at, other in enumerate(names) if other == name}
    return classes


def saved_at(world: str | Path | WorldFile) -> Path | None:
    """The folder of a snapshot, if that is what `world` names; a folder that is none is refused."""
    from umwelt.sandbox.snapshot import MANIFEST

    if isinstance(world, WorldFile) or not str(world):
        return None
    path = Path(world)
    try:
        if not path.is_dir():
            return None
    except OSError:
        return None
    if not (path / MANIFEST).exists():
        if str(world) in bundled_worlds():
            return None
        line = f"{path}: is no snapshot: give what World.save wrote, the path of a .toml file, or a bundled name"
        raise WorldFileError(one_line(line))
    return path


def reopened(path: Path, overrides: Mapping[str, Any], species: Mapping[str, type]) -> tuple[WorldFile, Region]:
    """The world of a snapshot, to go on from its tick."""
    from umwelt.sandbox.snapshot import load, read_manifest

    if overrides:
        raise WorldFileError(f"{path}: {next(iter(overrides))}: a snapshot is as it was saved: give only species")
    manifest = read_manifest(path)
    found = parse_world(manifest.world, str(path), manifest.name)
    if species:
        found = parse_world(manifest.world, str(path), manifest.name, references_for(found, species))
    kept = load(path, found.laws.layout(found))
    region = open_region(found, kept.pieces, kept.constants, manifest.tick)
    region.controls = kept.controls
    return found, region
