"""Computes how many atoms a closed world must hold: those of its first count plus those that commands add or remove.

Laws neither create nor destroy atoms. Commands can; for most of them the number of atoms follows from the command. For
others (a substance is painted over, a body is removed) it does not, and only bounds on the number of atoms are known
until the atoms are counted again.
"""

from collections.abc import Mapping

from umwelt.agents.commands import MAX_IN_CELL_COUNT, Command
from umwelt.sandbox.chemistry import CHARGE, Chemistry
from umwelt.sandbox.region import Torus


class MatterBudget:
    """Bounds on the number of atoms of each element in a world: `min_atoms` and `max_atoms`, equal if known exactly.

    `touched_tick` is the tick of the first command that added or removed matter. `open_tick` is the tick of the first
    command for which the amount does not follow from the command, unless the next count equals `max_atoms`, which shows
    that the full amount was added. Both are None if there was no such command.
    """

    def __init__(self, chemistry: Chemistry, torus: Torus, atoms: Mapping[str, int]):
        self.chemistry, self.torus = chemistry, torus
        self.min_atoms, self.max_atoms = dict(atoms), dict(atoms)
        self.touched_tick: int | None = None
        self.open_tick: int | None = None
        self._open_since: int | None = None
        """The tick of the first command since the last count whose amount of matter is not known; None without one."""
        self.content = chemistry.content

    def record(self, tick: int, command: Command) -> None:
        """Adds the change of matter by a command that was applied at the start of `tick`."""
        changed = False
        for substance, (minimum, maximum) in command.matter_change(self).items():
            for element, atoms in self.content[substance].items():
                low, high = sorted((minimum * atoms, maximum * atoms))
                self.min_atoms[element] += low
                self.max_atoms[element] += high
                if element != CHARGE:
                    self.min_atoms[element] = max(0, self.min_atoms[element])
            changed |= (minimum, maximum) != (0, 0)
            if minimum != maximum and self._open_since is None:
                self._open_since = tick
        if changed and self.touched_tick is None:
            self.touched_tick = tick

    def compare(self, atoms: Mapping[str, int]) -> str | None:
        """Returns the first element whose counted `atoms` (by element) are out of bounds, or None if there is none.

        If there is none, both bounds are set to `atoms`.
        """
        for element in self.chemistry.conserved:
            if not self.min_atoms[element] <= atoms[element] <= self.max_atoms[element]:
                return element
        # full cells are rare: if all of the poured matter is there, its amount is known exactly
        if self._open_since is not None and self.open_tick is None:
            if any(self.max_atoms[element] != atoms[element] for element in atoms):
                self.open_tick = self._open_since
        self._open_since = None
        self.min_atoms, self.max_atoms = dict(atoms), dict(atoms)
        return None

    def pour_bounds(self, substance: str, count: int, cells: int) -> tuple[int, int]:
        """Returns the minimum and maximum number of molecules added if `count` are poured into each of `cells` cells.

        Both are `count * cells` if no cell can become full.
        """
        atoms = {element: count for element, count in self.content[substance].items() if element != CHARGE}
        present = min(self.max_atoms[element] // count for element, count in atoms.items())
        return (count * cells if present + count <= MAX_IN_CELL_COUNT else 0), count * cells
