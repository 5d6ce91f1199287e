"""Hashes of Python source code that ignore comments, docstrings, blank lines and formatting.

The hash names the folder of a module's compiled kernels, and nodes compare the hashes of laws when they join a cluster;
a changed comment must neither recompile kernels nor reject a node. The hash does not depend on the Python version: it
covers the syntax tree's node names and non-empty fields, which are the same from Python 3.11 on.
"""

import ast
import hashlib
import os
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

HASH_BYTES = 8
_VERSION = b"1"
"""The version of the hash function: hashes cached by another version are not used."""
_IGNORED_FIELDS = frozenset({"ctx", "kind", "type_comment", "type_ignores"})


def cache_home() -> Path:
    """Returns the folder of Umwelt's caches: `$UMWELT_CACHE/umwelt`, `$XDG_CACHE_HOME/umwelt` or `~/.cache/umwelt`."""
    home = os.environ.get("UMWELT_CACHE") or os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "umwelt"


def hash_source(text: str) -> str:
    """Returns the hash of Python source code, 16 hex digits; if it is not valid Python, the hash of the whole text."""
    digest = hashlib.blake2b(digest_size=HASH_BYTES)
    try:
        _add(digest, ast.parse(text))
    except (SyntaxError, ValueError, RecursionError):
        digest.update(text.encode())
    return digest.hexdigest()


@cache
def hash_file(path: Path) -> str:
    """Returns `hash_source` of a UTF-8 file. Results are cached on disk under the hash of the file's bytes."""
    content = path.read_bytes()
    key = hashlib.blake2b(content, digest_size=16, key=_VERSION).hexdigest()
    kept = cache_home() / "sources" / key
    with suppress(OSError):
        known = kept.read_text("ascii")
        if len(known) == 2 * HASH_BYTES:
            return known
    value = hash_source(content.decode("utf-8"))
    with suppress(OSError):
        kept.parent.mkdir(parents=True, exist_ok=True)
        unfinished = kept.with_name(f"{key}.{os.getpid()}")
        unfinished.write_text(value, "ascii")
        unfinished.replace(kept)
    return value


def _add(digest: Any, node: ast.AST) -> None:
    """Updates `digest` with a node of a syntax tree and all nodes in it."""
    digest.update(f"({type(node).__name__}".encode())
    for name, value in ast.iter_fields(node):
        if name in _IGNORED_FIELDS or value is None or value == []:
            continue
        digest.update(f" {name}=".encode())
        if isinstance(value, list):
            for item in value:
                if name == "body" and _is_text(item):
                    continue
                _add_value(digest, item)
        else:
            _add_value(digest, value)
    digest.update(b")")


def _add_value(digest: Any, value: Any) -> None:
    """Updates `digest` with a value of a node's field: a node or a constant."""
    if isinstance(value, ast.AST):
        _add(digest, value)
    else:
        digest.update(f"{type(value).__name__}:{value!r},".encode())


def _is_text(statement: Any) -> bool:
    """Returns whether a statement is only a string: a docstring, or the description under a constant or field."""
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )
