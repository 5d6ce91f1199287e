"""Hashes of everything that must be equal on all nodes: laws, species and behaviours, table layouts, libraries."""

import hashlib
import inspect
import sys
from collections.abc import Iterable
from pathlib import Path

import numba
import numpy as np

from umwelt.agents.species.references import classes_for, programs_for
from umwelt.agents.world_file import WorldFile
from umwelt.sandbox.kernel import ROOMS, sources_behind
from umwelt.sandbox.source_hash import hash_file, hash_source


def seals_of(world: WorldFile) -> dict[str, str]:
    """Returns the hashes by which the coordinator checks that a node computes the same results as the other nodes.

    The keys are `laws` (source code of the laws and of all code that they use), `species` (behaviours of the founders),
    `tables` (fields and columns) and `libraries` (versions of numpy and numba, as text).
    """
    home = getattr(sys.modules.get(world.laws.layout.__module__), "__file__", None)
    sources = {path for room in ("sandbox", "agents") for path in (ROOMS / room).rglob("*.py")}
    if home is not None:
        sources |= sources_behind(Path(home).resolve())
    fields, schemas = world.laws.layout(world)
    described = repr((fields, [(schema.name, schema.kind, schema.columns) for schema in schemas]))
    founders = getattr(world.settings, "founders", None) or []
    references = [founder.behaviour for founder in founders if hasattr(founder, "behaviour")]
    written = [(at, cls.__qualname__, _source(cls)) for at, cls in sorted(classes_for(references).items())]
    written += [(at, references[at], str(program)) for at, program in sorted(programs_for(references).items())]
    return {
        "laws": _hash(hash_file(path).encode() for path in sorted(sources)),
        "species": _hash(repr(one).encode() for one in written),
        "tables": _hash([described.encode()]),
        "libraries": f"numpy {np.__version__}, numba {numba.__version__}",
    }


def _source(cls: type) -> str:
    """Returns the hash of the source of the module that defines `cls`; an empty string if there is no source."""
    try:
        return hash_source(inspect.getsource(sys.modules[cls.__module__]))
    except (OSError, TypeError, KeyError):
        return ""


def _hash(contents: Iterable[bytes]) -> str:
    """Returns one 64-bit hash, as 16 hex digits, of a sequence of contents."""
    digest = hashlib.blake2b(digest_size=8)
    for content in contents:
        digest.update(hashlib.blake2b(content, digest_size=8).digest())
    return digest.hexdigest()
