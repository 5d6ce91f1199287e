"""How many atoms a closed world must hold: those of its first count, and what commands have added or removed since.

Laws neither create nor destroy atoms. Commands may, and most of them tell how many. Where a command does not (what is
painted over, what a removed body held), the elements concerned stay within bounds until the world is counted again.
"""

from collections.abc import Mapping

from umwelt.agents.commands import MAX_IN_CELL_COUNT, Command
from umwelt.sandbox.chemistry import CHARGE, Chemistry
from umwelt.sandbox.region import Torus


class MatterBudget:
    """The least and the greatest number of atoms of each element that a world may hold; equal while all is known.

    `touched_tick` is when a command first added or removed matter, `open_tick` when one first did so in an amount that
    the commands alone do not tell; None if there was none.
    """

    def __init__(self, chemistry: Chemistry, torus: Torus, atoms: Mapping[str, int]):
        self.chemistry, self.torus = chemistry, torus
        self.min_atoms, self.max_atoms = dict(atoms), dict(atoms)
        self.touched_tick: int | None = None
        self.open_tick: int | None = None
        self._open_since: int | None = None
        self.content = chemistry.content

    def record(self, tick: int, command: Command) -> None:
        """Account for a command that was applied at the start of a tick."""
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
        """Compare with a count of the world; return the first element that differs, or None.

        Without a difference, the budget continues from this count.
        """
        for element in self.chemistry.conserved:
            if not self.min_atoms[element] <= atoms[element] <= self.max_atoms[element]:
                return element
        # a full cell is rare: where all that was poured is there, nothing was open
        if self._open_since is not None and self.open_tick is None:
            if any(self.max_atoms[element] != atoms[element] for element in atoms):
                self.open_tick = self._open_since
        self._open_since = None
        self.min_atoms, self.max_atoms = dict(atoms), dict(atoms)
        return None

    def pour_bounds(self, substance: str, count: int, cells: int) -> tuple[int, int]:
        """How many molecules `cells` cells take in if `count` are poured into each: all, if no cell can be full."""
        atoms = {element: count for element, count in self.content[substance].items() if element != CHARGE}
        present = min(self.max_atoms[element] // count for element, count in atoms.items())
        return (count * cells if present + count <= MAX_IN_CELL_COUNT else 0), count * cells
