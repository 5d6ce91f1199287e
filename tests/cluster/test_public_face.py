"""The public names of `umwelt.cluster`: loaded when first used, and the same as for a type checker."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import umwelt.cluster

FACE = Path(umwelt.cluster.__file__)
CLIENT = FACE.parent.parent / "client"


def typed_names() -> dict[str, str]:
    """Returns the imports under TYPE_CHECKING in the form of `_HOMES`: modules by name."""
    tree = ast.parse(FACE.read_text("utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    return {
        alias.asname or alias.name: f"{node.module.removeprefix('umwelt.cluster.')}:{alias.name}"
        for node in block.body
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    }


@pytest.mark.parametrize("name", umwelt.cluster.__all__)
def test_each_name_can_be_loaded(name):
    assert getattr(umwelt.cluster, name) is not None


def test_imports_for_type_checkers_equal_the_loaded_names():
    assert typed_names() == umwelt.cluster._HOMES
    assert sorted(umwelt.cluster.__all__) == sorted(umwelt.cluster._HOMES)


def test_each_name_is_used_by_the_client():
    """A public name that no module uses should be removed."""
    used = {
        alias.name
        for path in CLIENT.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module == "umwelt.cluster"
        for alias in node.names
    }
    assert set(umwelt.cluster.__all__) == used


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        umwelt.cluster.Nothing  # noqa: B018


def test_the_face_itself_imports_nothing_that_is_slow():
    script = "import umwelt.cluster, sys; print(*sys.modules)"
    modules = set(subprocess.check_output([sys.executable, "-c", script], text=True).split())
    assert not modules & {"zmq", "numba", "numpy", "msgspec", "sqlite3", "ray"}
