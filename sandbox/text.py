"""Helpers for error messages of one line, and for names and `"package.module:name"` references that users write."""

import difflib
import importlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from umwelt.sandbox.errors import UmweltError, WorldFileError

MAX_LISTED_NAMES = 24
"""The maximum number of known names that an error about an unknown name lists."""


def one_line(text: object) -> str:
    """Returns `str(text)` with its line breaks replaced by spaces, so that an error stays one line."""
    return " ".join(str(text).splitlines())


def suggest(name: str, known: Iterable[str], otherwise: str) -> str:
    """Returns `did you mean "..."?` with the known name nearest to `name`, or `otherwise` if none is similar."""
    near = difflib.get_close_matches(name, list(known), 1)
    return f'did you mean "{near[0]}"?' if near else otherwise


def one_of(name: str, known: Iterable[str], place: str) -> str:
    """Returns `name` if it is among `known`.

    Otherwise raises WorldFileError; its line begins with `place`, and suggests the most similar known name or lists
    the known names.
    """
    names = list(known)
    if name in names:
        return name
    more = f" and {len(names) - MAX_LISTED_NAMES} more" if len(names) > MAX_LISTED_NAMES else ""
    hint = suggest(name, names, f"use one of {', '.join(names[:MAX_LISTED_NAMES])}{more}")
    raise WorldFileError(f'{place}: unknown "{name}": {hint}')


@contextmanager
def prefix_errors(source: str) -> Iterator[None]:
    """Prefixes the line of an UmweltError raised inside with `source: `, unless it begins so already."""
    try:
        yield
    except UmweltError as error:
        line = str(error)
        raise type(error)(one_line(line if line.startswith(f"{source}: ") else f"{source}: {line}")) from None


def load_object(reference: str, place: str) -> Any:
    """Imports the module of a reference `"package.module:name"` and returns its attribute `name`.

    Raises WorldFileError if the reference is malformed, the module cannot be imported, or it has no such attribute; the
    line begins with `place`.
    """
    module_name, colon, name = reference.partition(":")
    if not colon:
        raise WorldFileError(f'{place} = "{reference}": write "package.module:name"')
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:  # a user's module may fail in any way while it is imported
        cause = one_line(f"{type(error).__name__}: {error}")
        is_missing = isinstance(error, ImportError)
        fix = "correct the name, or install it on this machine" if is_missing else "fix that module"
        raise WorldFileError(f'{place} = "{reference}": cannot import {module_name}: {cause}: {fix}') from None
    if not hasattr(module, name):
        public_names = [public for public in vars(module) if not public.startswith("_")]
        hint = suggest(name, public_names, "correct the name")
        raise WorldFileError(f'{place} = "{reference}": {module_name} has no "{name}": {hint}')
    return getattr(module, name)
