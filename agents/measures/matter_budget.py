"""The ledger of a closed world: how many atoms it must hold, from its first moment on and by what people did since.

Laws neither make nor lose an atom. Commands may, and most say how many: those that do not (what is painted over, what a
body held that was removed) leave the elements they touch open until somebody counts again.
"""

from collections.abc import Mapping

import numpy as np

from umwelt.agents.commands import MAX_IN_CELL_COUNT, Command, Drop, Move, Paint, Rain, Remove, Spawn
from umwelt.sandbox.chemistry import CHARGE, Chemistry
from umwelt.sandbox.region import Torus

UNKNOWN = 1 << 80
"""More atoms than any world holds."""


class MatterBudget:
    """The atoms of each element that a world may hold, at least and at most; both are the same as long as all is known.

    `touched_tick` is when people first added or took matter, `open_tick` when they first did so in an amount that
    commands alone do not tell.
    """

    def __init__(self, chemistry: Chemistry, torus: Torus, atoms: Mapping[str, int]):
        self.chemistry, self.torus = chemistry, torus
        self.min_atoms, self.max_atoms = dict(atoms), dict(atoms)
        self.touched_tick: int | None = None
        self.open_tick: int | None = None
        self._open_since: int | None = None
        self._content = chemistry.content

    def record(self, tick: int, command: Command) -> None:
        """Enter what people did at the start of a tick."""
        changed = False
        for substance, (least, most) in self._change(command).items():
            for one, held in self._content[substance].items():
                low, high = sorted((least * held, most * held))
                self.min_atoms[one], self.max_atoms[one] = self.min_atoms[one] + low, self.max_atoms[one] + high
                if one != CHARGE:
                    self.min_atoms[one] = max(0, self.min_atoms[one])
            changed |= (least, most) != (0, 0)
            if least != most and self._open_since is None:
                self._open_since = tick
        if changed and self.touched_tick is None:
            self.touched_tick = tick

    def compare(self, atoms: Mapping[str, int]) -> str | None:
        """Compare with what was counted; gives the first element that differs. What was open is known from here on."""
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

    def _change(self, command: Command) -> dict[str, tuple[int, int]]:
        """By how many molecules a command changes each substance, at least and at most."""
        change: dict[str, tuple[int, int]] = {}
        match command:
            case Drop():
                change[command.substance] = self._poured(command.substance, command.count, 1)
            case Rain():
                change["water"] = self._poured("water", command.count, self._disc_cells(command))
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

    def _poured(self, substance: str, count: int, cells: int) -> tuple[int, int]:
        """What so many cells take in of `count` molecules each: all of it, if none of them can be full."""
        atoms = {element: count for element, count in self._content[substance].items() if element != CHARGE}
        held = min(self.max_atoms[element] // count for element, count in atoms.items())
        return (count * cells if held + count <= MAX_IN_CELL_COUNT else 0), count * cells

    def _disc_cells(self, command: Rain) -> int:
        """How many cells of the world a disc covers."""
        squares = []
        for middle, size in ((command.y, self.torus.height), (command.x, self.torus.width)):
            away = (np.arange(size) - middle) % size
            away = np.minimum(away, size - away)
            squares.append(away[away <= command.radius_cells] ** 2)
        return int(np.count_nonzero(squares[0][:, None] + squares[1][None, :] <= command.radius_cells**2))

    def _body(self, command: Spawn | Move) -> dict[str, int]:
        """What the body of a row holds."""
        counts = command.row.get("counts", ())
        return dict(zip(self._content, counts, strict=True)) if isinstance(counts, list) and counts else {}
