"""Resolves references of a world file (`behaviour = "..."` of founders) to classes, programs, columns and behaviours.

A reference is "net" for the default net, the name or path of a HOCL program, or `"package.module:Class"` for a subclass
of `Monster`. A class that is passed in Python (`World.load(..., species=...)`) is registered here under a generated
reference. Error messages begin with the key of the founders in the world file, such as `founders[2].behaviour`.

In all functions, `references` holds the reference of each species, by index of the species.
"""

import weakref
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from umwelt.agents.body.schema import MONSTERS
from umwelt.agents.hocl.parser import Program
from umwelt.agents.species.behaviour import Behaviours
from umwelt.agents.species.hocl_behaviour import HoclBehaviour, is_hocl_behaviour, read_hocl_behaviour
from umwelt.agents.species.python_behaviour import BEHAVIOUR_CLASSES
from umwelt.agents.species.species import declared_columns
from umwelt.sandbox.columns import Column, Table
from umwelt.sandbox.errors import WorldFileError
from umwelt.sandbox.text import load_object, one_line

NET = "net"

_registered: "weakref.WeakValueDictionary[str, type]" = weakref.WeakValueDictionary()
"""The classes passed to `register_class`, by reference."""


def behaviours_for(references: Sequence[str]) -> Behaviours:
    """Creates the behaviours of all species of a world: the functions from stimuli to drives."""
    behaviours = Behaviours(np.array([reference == NET for reference in references] or [True], np.int8))
    for species, program in programs_for(references).items():
        behaviours.own[species] = HoclBehaviour(program, references[species])
    for species, cls in _classes(references):
        form = respond_form(cls, _place(species))
        behaviours.own[species] = BEHAVIOUR_CLASSES[form](cls, declared_columns(cls))
    return behaviours


def columns_for(references: Sequence[str]) -> tuple[Column, ...]:
    """Returns the columns that the Python classes of species declare, to be added to the monsters table.

    Several species share a column if their declarations are equal. Raises WorldFileError if declarations of the same
    name differ, or if the monsters table already has a column of that name.
    """
    columns: dict[str, tuple[Column, str]] = {}
    for species, cls in _classes(references):
        for name, declared in declared_columns(cls).items():
            column = declared.table_column()
            if name in Table(MONSTERS):
                line = f"{cls.__name__}.{name}: every monster has that column: use another name"
                raise WorldFileError(f"{_place(species)}: {line}")
            other, owner = columns.setdefault(name, (column, cls.__name__))
            if other != column:
                line = f"{cls.__name__}.{name} is declared differently by {owner}: declare both alike"
                raise WorldFileError(f"{_place(species)}: {line}")
    return tuple(column for column, _ in columns.values())


def programs_for(references: Sequence[str]) -> dict[int, Program]:
    """Returns the HOCL programs that `references` name, by index of the species."""
    return {
        species: read_hocl_behaviour(reference, _place(species))
        for species, reference in enumerate(references)
        if is_hocl_behaviour(reference)
    }


def classes_for(references: Sequence[str]) -> dict[int, type]:
    """Returns the classes that `references` name, by index of the species."""
    return dict(_classes(references))


def register_class(cls: type) -> str:
    """Registers a class and returns its reference, `"module:Class"`.

    If another class is registered under this reference, a number is appended: `"module:Class#2"`.
    """
    reference = f"{cls.__module__}:{cls.__qualname__}"
    number = 1
    while (known := _registered.get(reference)) is not None and known is not cls:
        number += 1
        reference = f"{cls.__module__}:{cls.__qualname__}#{number}"
    _registered[reference] = cls
    return reference


def _place(species: int) -> str:
    """Returns the key of a species' behaviour in the world file, for error messages."""
    return f"founders[{species}].behaviour"


def _classes(references: Sequence[str]) -> Iterator[tuple[int, type]]:
    """Yields the index and the class of each species whose reference names a class."""
    for species, reference in enumerate(references):
        if reference != NET and not is_hocl_behaviour(reference):
            yield species, load_species_class(reference, _place(species))


def load_species_class(reference: str, place: str) -> type:
    """Returns the class that `reference` names, registered or imported.

    Raises WorldFileError, whose message begins with `place`, if it cannot be imported, is not a subclass of `Monster`,
    or has no valid `respond` or `respond_all`.
    """
    from umwelt.agents.species.entity import Monster  # imports Mesa: only worlds with Python species need it

    cls: Any = _registered.get(reference)
    if cls is None:
        try:
            cls = load_object(reference, place)
        except WorldFileError:
            raise
        except Exception as error:
            line = one_line(f"{type(error).__name__}: {error}")
            raise WorldFileError(f'{place} = "{reference}": cannot be imported: {line}') from None
    if not (isinstance(cls, type) and issubclass(cls, Monster)):
        what = cls.__name__ if isinstance(cls, type) else f"a {type(cls).__name__}"
        raise WorldFileError(f'{place} = "{reference}": {what} is not a Monster: write class Name(Monster)')
    respond_form(cls, place)
    return cls


def respond_form(cls: type, place: str) -> str:
    """Returns the form of a species class: "plain" (`respond`), "compiled" or "columns" (`respond_all`).

    The first class in the method resolution order that defines `respond` or `respond_all` decides. Raises
    WorldFileError, whose message begins with `place`, if no class defines either or that class defines both, or if
    `respond_all` is not a class method.
    """
    for base in cls.__mro__:
        forms = [name for name in ("respond", "respond_all") if name in vars(base)]
        if len(forms) == 2:
            raise WorldFileError(f"{place}: {base.__name__} has respond and respond_all: keep one of them")
        if forms == ["respond_all"]:
            if not isinstance(vars(base)["respond_all"], classmethod):
                raise WorldFileError(f"{place}: {base.__name__}.respond_all: write @classmethod before it")
            return "columns"
        if forms == ["respond"]:
            return "compiled" if getattr(vars(base)["respond"], "umwelt_compiled", False) else "plain"
    raise WorldFileError(f"{place}: {cls.__name__} has no respond: write def respond(self, see) or respond_all")
