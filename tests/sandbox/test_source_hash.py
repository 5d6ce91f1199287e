"""Hashes of source files: comments, docstrings and formatting do not change them, everything else does."""

import json
import os
import subprocess
import sys

import pytest

from umwelt.sandbox.source_hash import hash_file, hash_source

SOURCE = '''"""A module."""

LIMIT = 3
"""How many."""


def double(x: int) -> int:
    """Doubles."""
    return 2 * x  # exact
'''
SAME = [
    SOURCE.replace("Doubles.", "Returns twice `x`."),
    SOURCE.replace("  # exact", ""),
    SOURCE.replace('"""How many."""\n', ""),
    SOURCE.replace("LIMIT = 3\n", "# a comment\n\n\nLIMIT = (\n    3\n)\n"),
]
OTHER = [
    SOURCE.replace("2 * x", "3 * x"),
    SOURCE.replace("2 * x", "x * 2"),
    SOURCE.replace("LIMIT = 3", "LIMIT = 3.0"),
    SOURCE.replace("LIMIT = 3", 'LIMIT = "3"'),
    SOURCE.replace("double", "twice"),
    SOURCE.replace("x: int", "x: int = 1"),
    SOURCE + "\nLIMIT = 4\n",
]


@pytest.mark.parametrize("text", SAME)
def test_comments_docstrings_and_formatting_do_not_change_the_hash(text):
    assert text != SOURCE and hash_source(text) == hash_source(SOURCE)


def test_code_that_compiles_differently_changes_the_hash():
    hashes = [hash_source(text) for text in [SOURCE, *OTHER]]
    assert len(set(hashes)) == len(hashes)


def test_invalid_source_is_hashed_as_text():
    assert hash_source("def (") != hash_source("def )")


def test_the_hash_of_a_file_is_kept_on_disk_and_follows_the_content(tmp_path, monkeypatch):
    monkeypatch.setenv("UMWELT_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "module.py"
    path.write_text(SOURCE)
    assert hash_file(path) == hash_source(SOURCE)
    assert [kept.read_text() for kept in (tmp_path / "cache" / "umwelt" / "sources").iterdir()] == [hash_source(SOURCE)]
    hash_file.cache_clear()
    path.write_text(OTHER[0])
    assert hash_file(path) == hash_source(OTHER[0])
    hash_file.cache_clear()


KERNEL = '''"""Text one."""
import json

import numpy as np

from umwelt.sandbox.kernel import cached, kernel


@kernel
def fill(y_low, y_high, plane):
    """Text two."""
    for y in range(y_low, y_high):
        plane[y] = 2 * y


before = cached()
plane = np.zeros(4, np.int64)
fill(0, 4, plane)
print(json.dumps([before, len(fill.stats.cache_hits), plane.tolist()]))
'''


def test_a_changed_comment_recompiles_no_kernel_and_a_changed_rule_does(tmp_path):
    path = tmp_path / "own_kernel.py"
    environment = {**os.environ, "UMWELT_CACHE": str(tmp_path / "cache")}

    def run(text):
        path.write_text(text)
        found = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, env=environment, check=True)
        return json.loads(found.stdout)

    assert run(KERNEL) == [False, 0, [0, 2, 4, 6]]
    assert run(KERNEL.replace("Text two.", "Other text,\n\n    in more lines.")) == [True, 1, [0, 2, 4, 6]]
    assert run(KERNEL.replace("2 * y", "3 * y")) == [False, 0, [0, 3, 6, 9]]
