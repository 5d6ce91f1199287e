"""The class `World`: a world as a Mesa model.

    world = World.load("meadow", seed=7, width=128, height=128)
    world.step()
    world.agents.select(lambda a: a.sugar_count > 50)
    world.agents.agg("age_ticks", max)

The agents of such a model are the beings of the world.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import mesa
import numpy as np
from numpy.typing import NDArray

from umwelt.agents.mesa.agent_set import AgentSet
from umwelt.agents.mesa.being_set import BeingSet
from umwelt.agents.mesa.handles import Handles, Kind
from umwelt.agents.mesa.loading import load_region, save_snapshot
from umwelt.agents.mesa.row_index import RowIndex
from umwelt.agents.species.behaviour import set_checking
from umwelt.agents.species.mesa_types import MesaModel
from umwelt.agents.world_file import WorldFile
from umwelt.sandbox import audit
from umwelt.sandbox.errors import WorldFileError
from umwelt.sandbox.region import Region
from umwelt.sandbox.step import Laws, advance
from umwelt.sandbox.text import one_of


class World(MesaModel):
    """A world as a Mesa model; `step` applies the world's laws once.

        world = World.load("meadow", seed=7, width=128, height=128)
        world.step()
        world.agents["sugar_count"].mean()
        world.agents_by_type[Monster].select(lambda a: a.fatigue > 500)

    Arguments:

    - `world`: a bundled name ("meadow"), the path of a .toml file or of a snapshot that `save` wrote, or a WorldFile.
    - `seed`: an int from 0 to 2^63 - 1; by default that of the world file. Equal seeds give equal worlds, bit for bit.
    - `species`: classes (subclasses of Monster) by the name of the founders' species, `{"grazer": Shy}`.
    - `check`: tests in each tick that the drives of these species depend only on stimuli, columns and dice (slow).
    - other keywords override values of the world file; two underscores can replace a dot: `climate__light=0.5`.

    Raises WorldFileError if the world does not exist or a value is not valid; `step` raises SpeciesError if a species
    fails. Both are UmweltErrors, whose text is one line.

    `region` holds the state of the world, which `laws` advance, and `world_file` describes it. `datacollector` (a
    mesa.DataCollector) records the numbers of living beings, births and deaths in each tick; a model can replace it.
    `World()`, without a world file, is a plain Mesa model for agents of the class `Agent`, without these attributes.
    """

    region: Region
    laws: Laws
    world_file: WorldFile
    datacollector: Any
    _handles: Handles | None = None

    def __init__(
        self,
        world: str | Path | WorldFile | None = None,
        *args: Any,
        seed: Any = None,
        rng: Any = None,
        species: Mapping[str, type] | None = None,
        check: bool = False,
        **overrides: Any,
    ) -> None:
        if world is None:
            super().__init__(*args, seed=seed, rng=rng, **overrides)
            self._all_agents = AgentSet([], random=self.random)
            return
        if rng is not None:
            raise TypeError("a world from a file has one seed: give seed=..., not rng")
        if seed is not None:
            overrides["seed"] = seed
        self.world_file, region = load_region(world, overrides, species)
        super().__init__(*args, seed=self.world_file.common.seed)
        self._enter(region, check)

    def _enter(self, region: Region, check: bool) -> None:
        """Initialises the world with `region`, which is ready to run; `check` is the argument of `__init__`."""
        self.region, self.laws = region, self.world_file.laws
        handles = self._handles = Handles(self, RowIndex(region), self.world_file)
        kinds = [Kind(code, None) for code in range(len(handles.index.tables))]
        self._all_agents = BeingSet.of_kinds(handles, self.random, kinds)
        self._sets_by_class: dict[type, tuple[list[Kind], BeingSet]] = {}
        self._first_counts: dict[str, int] = dict(region.counts)
        set_checking(region, check)
        reporters: dict[str, Any] = {name: partial(_count_living, table=name) for name in region.tables}
        reporters |= {name: partial(_count_events, name=name) for name in ("births", "deaths")}
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
    ) -> Self:
        """Returns a world from a world file or a snapshot, ready to run; the arguments are those of the class."""
        return cls(world, seed=seed, species=species, check=check, **overrides)

    def step(self) -> None:
        """Advances the world by one tick. Does nothing in a plain model, whose subclass overrides this method."""
        if self._handles is None:
            return
        kept = self._handles.last_values()
        advance(self.region, self.laws, 1)
        self._handles.keep_of_dead(kept)
        if self.datacollector is self._own_collector:
            self.datacollector.collect(self)

    def save(self, path: str | Path) -> None:
        """Writes a snapshot of the present world to the folder `path`, which must not exist; `load` can open it.

        It contains the complete state of the laws, but not that of Mesa's `random` and `rng`. Raises SnapshotError if
        the folder exists or cannot be written.
        """
        self._require_file("saved")
        save_snapshot(Path(path), self.region, self.world_file)

    def field(self, name: str) -> NDArray[Any]:
        """Returns a view of a field, `[height, width]` or `[part, height, width]`, or of one part of a field.

        `field("water")` is `int32[height, width]`, in molecules. Writing to the view changes the world. Raises
        WorldFileError for an unknown name.
        """
        self._require_file("asked for fields")
        one_of(name, [known for field in self.region.field_list for known in (field.name, *field.parts)], "field")
        return self.region.owned_view(name)

    def digest(self) -> int:
        """Returns the 64-bit digest of the world's state; equal digests mean equal states."""
        self._require_file("digested")
        return audit.world_digest(self.region)

    def elements(self) -> dict[str, int]:
        """Returns the total atoms of each chemical element, and the total charge; laws never change them.

        The charge is included if the world defines charges. The result is empty for a world without a chemistry.
        """
        self._require_file("weighed")
        chemistry = self.world_file.chemistry
        if chemistry is None:
            return {}
        return audit.element_totals(audit.substance_totals(self.region, chemistry), chemistry)

    def _require_file(self, what: str) -> None:
        """Raises WorldFileError if this is a plain model, without a world file.

        `what` says in the message what was to be done, as in "saved".
        """
        if self._handles is None:
            raise WorldFileError(f"a plain model cannot be {what}: load a world from a file, with World.load")

    # --- the interface of mesa.Model

    if TYPE_CHECKING:

        @property
        def agents(self) -> AgentSet:
            """All agents, in order of birth; a BeingSet if the world comes from a file."""

    @property
    def agents_by_type(self) -> dict[type, AgentSet]:
        """The agents of each class. In a world from a file: Plant, Monster, and the Python classes of species."""
        if self._handles is None:
            return self._agents_by_type
        kinds_by_class = self._handles.kinds_by_class()
        for cls, kinds in kinds_by_class.items():
            if cls not in self._sets_by_class or self._sets_by_class[cls][0] != kinds:
                self._sets_by_class[cls] = kinds, BeingSet.of_kinds(self._handles, self.random, kinds)
        return {cls: self._sets_by_class[cls][1] for cls in kinds_by_class}

    @property
    def agent_types(self) -> list[type]:
        """The classes of the agents."""
        return list(self.agents_by_type)

    def register_agent(self, agent: Any) -> None:
        """Adds an agent to a plain model, unless the model contains it. Raises TypeError in a world from a file."""
        if self._handles is not None:
            raise TypeError(
                f"{type(agent).__name__}: a world from a file is inhabited by beings of its laws; "
                "keep other agents in a World() of their own"
            )
        if agent not in self._agents:
            self._agents_by_type.setdefault(type(agent), AgentSet([], random=self.random))
            super().register_agent(agent)

    def deregister_agent(self, agent: Any) -> None:
        """Removes an agent from a plain model, or a being from the world."""
        if self._handles is not None:
            self._handles.remove(agent)
        else:
            super().deregister_agent(agent)

    def remove_all_agents(self) -> None:
        """Removes all agents from a plain model, or all beings from the world."""
        if self._handles is None:
            super().remove_all_agents()
        else:
            self.agents.do("remove")


def _count_living(world: World, table: str) -> int:
    """Returns the number of living beings of a table."""
    return int(np.count_nonzero(world.region.owned_rows(table)))


def _count_events(world: World, name: str) -> int:
    """Returns the number of events since the world was loaded; `name` is "births" or "deaths"."""
    return world.region.counts[name] - world._first_counts[name]
