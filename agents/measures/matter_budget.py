"""The budget of a closed world: how many atoms it must hold, from its first state and from the commands since.

Laws neither make nor destroy atoms. Commands may add or take some, and most tell how many. Those that do not (what was
painted over, what a removed body held) leave the numbers of some elements uncertain until atoms are counted again.
"""

from collections.abc import Mapping

import numpy as np

from umwelt.agents.commands.deeds import MAX_IN_CELL_COUNT, Deed, Drop, Move, Paint, Rain, Remove, Spawn
from umwelt.sandbox.chemistry import CHARGE, Chemistry
from umwelt.sandbox.region import Torus

UNKNOWN = 1 << 80
"""More molecules than any world holds: the bound of an amount that a command does not tell."""


class MatterBudget:
    """Bounds on the atoms of each element that a world holds, `min_atoms` and `max_atoms` by element.

    The bounds are equal as long as all amounts are known. `touched_tick` is the tick of the first command that added or
    took matter, and `open_tick` that of the first whose amount the commands alone do not tell; None if there is none.
    Use: `record` each command, in order, and `compare` with a count of the world whenever there is one.
    """

    def __init__(self, chemistry: Chemistry, torus: Torus, atoms: Mapping[str, int]):
        self.chemistry, self.torus = chemistry, torus
        self.min_atoms, self.max_atoms = dict(atoms), dict(atoms)
        self.touched_tick: int | None = None
        self.open_tick: int | None = None
        self._uncertain_since: int | None = None
        self._content = chemistry.content

    def record(self, tick: int, command: Deed) -> None:
        """Adds what a command at the start of `tick` changes."""
        is_changed = False
        for substance, (min_count, max_count) in self._change(command).items():
            for element, atoms in self._content[substance].items():
                low, high = sorted((min_count * atoms, max_count * atoms))
                self.min_atoms[element] += low
                self.max_atoms[element] += high
                if element != CHARGE:
                    self.min_atoms[element] = max(0, self.min_atoms[element])
            is_changed |= (min_count, max_count) != (0, 0)
            if min_count != max_count and self._uncertain_since is None:
                self._uncertain_since = tick
        if is_changed and self.touched_tick is None:
            self.touched_tick = tick

    def compare(self, atoms: Mapping[str, int]) -> str | None:
        """Compares with counted atoms; returns the first element out of bounds, or None.

        If all are within bounds, the counted numbers are the budget from here on.
        """
        for element in self.chemistry.conserved:
            if not self.min_atoms[element] <= atoms[element] <= self.max_atoms[element]:
                return element
        # a full cell is rare: if all that was added is there, no amount was uncertain
        if self._uncertain_since is not None and self.open_tick is None:
            if any(self.max_atoms[element] != atoms[element] for element in atoms):
                self.open_tick = self._uncertain_since
        self._uncertain_since = None
        self.min_atoms, self.max_atoms = dict(atoms), dict(atoms)
        return None

    def _change(self, command: Deed) -> dict[str, tuple[int, int]]:
        """Returns by how many molecules, at least and at most, a command changes each substance."""
        change: dict[str, tuple[int, int]] = {}
        match command:
            case Drop():
                change[command.substance] = self._added(command.substance, command.count, 1)
            case Rain():
                change["water"] = self._added("water", command.count, self._disc_cells(command))
            case Paint() if command.part in self._content:
                cells = min(command.height, self.torus.height) * min(command.width, self.torus.width)
                change[command.part] = (command.value * cells - UNKNOWN, command.value * cells)
            case Spawn():
                change = {name: (count, count) for name, count in self._body(command).items()}
            case Remove():
                change = dict.fromkeys(self._content, (-UNKNOWN, 0))
            case Move():
                change = {name: (count - UNKNOWN, count) for name, count in self._body(command).items()}
        return change

    def _added(self, substance: str, count: int, cells: int) -> tuple[int, int]:
        """Returns how many molecules cells take in of `count` each: all, if none of the cells can be full."""
        atoms = {element: count for element, count in self._content[substance].items() if element != CHARGE}
        possible_in_cell = min(self.max_atoms[element] // count for element, count in atoms.items())
        return (count * cells if possible_in_cell + count <= MAX_IN_CELL_COUNT else 0), count * cells

    def _disc_cells(self, rain: Rain) -> int:
        """Returns how many cells of the world a disc of rain covers."""
        squares = []
        for centre, size in ((rain.y, self.torus.height), (rain.x, self.torus.width)):
            distances = (np.arange(size) - centre) % size
            distances = np.minimum(distances, size - distances)
            squares.append(distances[distances <= rain.radius_cells] ** 2)
        return int(np.count_nonzero(squares[0][:, None] + squares[1][None, :] <= rain.radius_cells**2))

    def _body(self, command: Spawn | Move) -> dict[str, int]:
        """Returns the molecules in the body of the row that a command brings, by substance."""
        counts = command.row.get("counts", ())
        return dict(zip(self._content, counts, strict=True)) if isinstance(counts, list) and counts else {}
