"""Behaviours (functions from stimuli to drives) of species that are written in Python, in three forms.

`respond` in plain Python is called once per being, `@compiled respond` is compiled to a loop over the beings, and
`respond_all` is called once with arrays for all beings. If they express the same rule, the results are identical.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from umwelt.agents.body.interface import DRIVES
from umwelt.agents.species.answers import response_error, round_drive
from umwelt.agents.species.behaviour import Behaviour
from umwelt.agents.species.column_access import BeingColumns, LazyStimuli, as_slice, bind_class, window_bounds
from umwelt.agents.species.compiler import CompiledLoop
from umwelt.agents.species.species import Column, Dice, DiceColumns, Drives, Stimuli, StimulusColumns, dice_purpose
from umwelt.sandbox.errors import SpeciesError
from umwelt.sandbox.region import Region


class _PythonBehaviour:
    """Base class of the three forms.

    `cls` is the class of the species, `own` its declared columns by name, and `purpose` the purpose of its random
    numbers.
    """

    is_vectorised = False

    def __init__(self, cls: Any, own: Mapping[str, Column[Any]]):
        self.cls, self.own, self.name = cls, dict(own), str(cls.__name__)
        self.columns = tuple(own)
        self.purpose = dice_purpose(cls)


class PlainBehaviour(_PythonBehaviour):
    """A behaviour that calls the plain Python method `respond` once per being."""

    def __init__(self, cls: Any, own: Mapping[str, Column[Any]]):
        super().__init__(cls, own)
        self.bound_class = bind_class(cls)

    def respond(self, region: Region, rows: np.ndarray) -> None:
        """Writes `drives` and the species-defined columns of the monsters at `rows`."""
        table = region.tables["monsters"]
        dice = Dice(region.seed, region.tick, self.purpose)
        me, see = self.bound_class.begin(region, table, dice, self.own), Stimuli()
        respond = self.cls.respond
        stimuli, ids = table["stimuli"][rows].tolist(), table["id"][rows].tolist()
        answers = []
        for row, values, identity in zip(rows.tolist(), stimuli, ids, strict=True):
            me.__dict__["_row"] = row
            dice.reset(identity)
            see.raw.values = values
            try:
                answer = respond(me, see)
            except SpeciesError:
                raise
            except (Exception, SystemExit) as error:
                raise response_error(self.name, error) from error
            if not isinstance(answer, Drives):
                if answer is not None:
                    line = f"respond must return Drives(...), not {type(answer).__name__}"
                    raise SpeciesError(f"species {self.name}: {line}")
                answer = Drives()
            answers.append(answer)
        for drive, values in enumerate(zip(*answers, strict=True)):
            table["drives"][rows, drive] = round_drive(values, self.name, drive, len(rows))


class CompiledBehaviour(_PythonBehaviour):
    """A behaviour that runs `respond` as a compiled loop, compiled once for each layout of the monsters table."""

    def __init__(self, cls: Any, own: Mapping[str, Column[Any]]):
        super().__init__(cls, own)
        self._loops: dict[Any, CompiledLoop] = {}

    def respond(self, region: Region, rows: np.ndarray) -> None:
        """Writes `drives` and the species-defined columns of the monsters at `rows`."""
        table = region.tables["monsters"]
        layout = table.schema.columns
        if layout not in self._loops:
            self._loops[layout] = CompiledLoop(self.cls, self.cls.respond, table.schema, self.own)
        self._loops[layout].run(table, rows, (region.seed, region.tick, self.purpose), window_bounds(region))


class ColumnBehaviour(_PythonBehaviour):
    """A behaviour that calls `respond_all` once for all beings."""

    is_vectorised = True

    def respond(self, region: Region, rows: np.ndarray) -> None:
        """Writes `drives` and the species-defined columns of the monsters at `rows`."""
        if not len(rows):
            return
        table = region.tables["monsters"]
        dice = DiceColumns(region.seed, region.tick, self.purpose)
        dice.reset(table["id"][rows])
        see = StimulusColumns()
        places = as_slice(rows)
        see.raw.values = LazyStimuli(table["stimuli"], places)
        me = BeingColumns(region, rows, self.name, self.own, dice)
        try:
            answer = self.cls.respond_all(me, see)
        except SpeciesError:
            raise
        except (Exception, SystemExit) as error:
            raise response_error(self.name, error) from error
        answer = Drives() if answer is None else answer
        if not isinstance(answer, Drives):
            line = f"respond_all must return Drives(...), not {type(answer).__name__}"
            raise SpeciesError(f"species {self.name}: {line}")
        drives = np.zeros((len(rows), len(DRIVES)), np.int16)
        for drive, values in enumerate(answer):
            drives[:, drive] = round_drive(values, self.name, drive, len(rows))
        table["drives"][places] = drives
        for name, values in me._assigned.items():
            table[name][rows] = values


BEHAVIOUR_CLASSES: dict[str, Callable[[type, Mapping[str, Column[Any]]], Behaviour]] = {
    "plain": PlainBehaviour,
    "compiled": CompiledBehaviour,
    "columns": ColumnBehaviour,
}
"""The behaviour class for each form that `references.respond_form` returns."""
