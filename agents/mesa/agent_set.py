"""Mesa's AgentSet for models without a world file, extended by arrays of attributes and selection by mask."""

from collections.abc import Iterable
from random import Random
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from umwelt.agents.species.entity import Being
from umwelt.agents.species.mesa_types import MesaAgentSet

NO_LIMIT = float("inf")
"""The value of `at_most` that does not limit the number of agents."""


class AgentSet(MesaAgentSet):
    """An ordered set of agents: Mesa's AgentSet, extended by access to attributes as arrays.

        wealth = model.agents["wealth"]             # an array with one entry for each agent
        rich = model.agents.select(wealth > 10)     # by a mask, bool[agents]

    If the world comes from a file, `World.agents` is a BeingSet, a subclass with the same methods.
    """

    def __init__(self, agents: Iterable[Any] = (), random: Random | None = None) -> None:
        members = list(agents)
        super().__init__(members, random)
        # Mesa's sets have only weak references to agents; without this list, the Python objects that stand for living
        # beings, which the world creates when they are accessed, would be deleted
        self._held = [agent for agent in members if isinstance(agent, Being)]

    @overload
    def __getitem__(self, item: str) -> NDArray[Any]: ...

    @overload
    def __getitem__(self, item: NDArray[np.bool_]) -> "AgentSet": ...

    @overload
    def __getitem__(self, item: int) -> Any: ...

    @overload
    def __getitem__(self, item: slice) -> list[Any]: ...

    def __getitem__(self, item: Any) -> Any:
        """Returns an attribute of all agents as an array, agents by mask or slice, or one agent by position."""
        if isinstance(item, str):
            return np.array(self.get(item))
        if isinstance(item, np.ndarray) and item.dtype == bool:
            return self.select(item)
        return super().__getitem__(item)

    def select(
        self,
        filter_func: Any = None,
        at_most: float = NO_LIMIT,
        inplace: bool = False,
        agent_type: type | None = None,
    ) -> "AgentSet":
        """Returns the agents that satisfy all conditions, in order.

        `filter_func` is a mask (`bool[agents]`) or a function of one agent, `agent_type` a class, and `at_most` the
        maximum number (int) or share (float up to 1.0) of agents. With `inplace`, removes the other agents from this
        set and returns it. Raises ValueError for a mask of another length.
        """
        if isinstance(filter_func, np.ndarray | list):
            mask = check_mask(filter_func, len(self)).tolist()
            chosen = AgentSet([agent for agent, is_in in zip(self, mask, strict=True) if is_in], self.random)
            reduced = chosen.select(at_most=at_most, agent_type=agent_type)
            return self._update(reduced) if inplace else reduced
        return self._as_agent_set(super().select(filter_func, at_most, inplace, agent_type))

    def shuffle(self, inplace: bool = False) -> "AgentSet":
        """Returns the agents in random order, determined by the set's `random`."""
        return self._as_agent_set(super().shuffle(inplace))

    def sort(self, key: Any, ascending: bool = False, inplace: bool = False) -> "AgentSet":
        """Returns the agents sorted by `key`, an attribute or a function of an agent; descending by default."""
        return self._as_agent_set(super().sort(key, ascending, inplace))

    def _as_agent_set(self, agents: Any) -> "AgentSet":
        """Converts a set of Mesa's own class, without access to arrays, to an AgentSet."""
        return agents if isinstance(agents, AgentSet) else AgentSet(agents, self.random)


def check_mask(values: Any, count: int) -> NDArray[np.bool_]:
    """Returns `values`, an array or list, as an array. Raises ValueError unless it is `bool[count]`."""
    mask = np.asarray(values)
    if mask.dtype != bool or mask.shape != (count,):
        raise ValueError(f"a mask for {count} agents is bool[{count}], not {mask.dtype}{list(mask.shape)}")
    return mask
