"""Converts the return values and assigned columns of a species to the integers of the world, and creates its errors.

A drive is a number that says how strongly a monster does something. Drives are rounded and clamped; values of columns
are truncated and checked against the range of the column. Every error is a SpeciesError with a message of one line that
begins with the name of the species.
"""

import traceback
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from umwelt.agents.body.interface import DRIVES
from umwelt.sandbox.errors import SpeciesError
from umwelt.sandbox.text import one_line
from umwelt.sandbox.units import ONE


def round_drive(values: Any, species: str, drive: int, being_count: int) -> NDArray[np.int16]:
    """Converts one drive of many beings to `int16[being_count]`, rounded to 1/1024 and clamped to -1 .. 1.

    `values` holds one number for each being, or is a single number for all of them (the result then has shape `()`).
    `drive` is the index of the drive, for error messages. Raises SpeciesError for any other shape, for values that are
    not real numbers, and for NaN.
    """
    try:
        array = np.asarray(values)
    except (TypeError, ValueError):  # nested lists of different lengths
        array = np.empty(0, object)
    if array.dtype.kind not in "iubf":
        line = f"its drive {DRIVES[drive]} is not a number: give each being one number from -1 to 1"
        raise SpeciesError(f"species {species}: {line}")
    if array.shape not in ((), (being_count,)):
        line = f"its drive {DRIVES[drive]} has shape {array.shape} for {being_count} beings: give each one number"
        raise SpeciesError(f"species {species}: {line}")
    array = array.astype(np.float64)
    if np.isnan(array).any():
        raise nan_drive_error(species, drive)
    return np.rint(np.clip(array, -1.0, 1.0) * ONE).astype(np.int16)


def as_column_integers(value: Any, dtype: DTypeLike, species: str, column: str) -> np.ndarray:
    """Converts `value`, which a species assigns to a column, to an array of `dtype`; truncates floats as `int()` does.

    Raises SpeciesError if `value` is not numeric or does not fit `dtype`.
    """
    limits = np.iinfo(dtype)  # type: ignore[arg-type]
    array = np.asarray(value)
    if array.dtype.kind not in "iubf":
        raise SpeciesError(f"species {species}: {column} is an integer column and cannot hold {one_line(repr(value))}")
    if array.dtype.kind == "f":
        array = np.trunc(array)
    # comparisons with NaN are false, so NaN is refused too
    if not ((array >= limits.min) & (array <= limits.max)).all():
        line = f"species {species}: {column} = {value!r}: use {limits.min} to {limits.max}"
        raise SpeciesError(one_line(line))
    return array.astype(dtype)


def nan_drive_error(species: str, drive: int) -> SpeciesError:
    """Returns the error for a species whose drive with index `drive` is NaN."""
    return SpeciesError(f"species {species}: its drive {DRIVES[drive]} is not a number: look for a division by 0")


def undeclared_column_error(species: str, attribute: str) -> SpeciesError:
    """Returns the error for a species that assigns to an attribute that it does not declare as a column."""
    return SpeciesError(
        f"species {species}: sets {attribute} within a tick, which is not one of its columns and would be lost: "
        f'declare {attribute} = Column("int16") in the class'
    )


def response_error(species: str, error: BaseException) -> SpeciesError:
    """Returns the error for a species whose code raised `error`, with the line in `respond` or `respond_all`."""
    own_folder = Path(__file__).parent
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename).parent != own_folder]
    respond_frames = [frame for frame in frames if frame.name in ("respond", "respond_all")]
    where = f" at {respond_frames[-1].filename}:{respond_frames[-1].lineno}" if respond_frames else ""
    return SpeciesError(one_line(f"species {species}: respond failed{where}: {type(error).__name__}: {error}"))
