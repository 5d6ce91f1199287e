"""The house is tidy: sizes, imports, integers in laws, purposes of their own, no paths of one machine."""

import ast
import re
import subprocess
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("sandbox", "agents", "cluster", "client", "worlds", "tests", "benchmarks")
SOURCES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))
LAWS = sorted(path for room in ("sandbox", "agents") for path in (ROOT / room / "laws").glob("*.py"))
MAX_LINES, MAX_FUNCTION_LINES, MAX_WIDTH = 600, 70, 120


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def test_there_is_something_to_look_at():
    assert len(SOURCES) > 40 and len(LAWS) >= 9


@pytest.mark.parametrize("path", SOURCES, ids=named)
def test_files_and_functions_are_short(path):
    assert len(path.read_text("utf-8").splitlines()) <= MAX_LINES
    long = [
        f"{node.name}: {node.end_lineno - node.lineno + 1} lines"
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno + 1 > MAX_FUNCTION_LINES
    ]
    assert long == []


@pytest.mark.parametrize("path", SOURCES, ids=named)
def test_rooms_are_imported_by_their_full_name(path):
    bare = []
    for node in ast.walk(tree(path)):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module]
        bare += [name for name in names if name.split(".")[0] in ("agents", "cluster", "sandbox", "client", "worlds")]
    assert bare == []


@pytest.mark.parametrize("path", LAWS, ids=named)
def test_laws_hold_no_floats_and_no_sequential_randomness(path):
    found = []
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Constant) and isinstance(node.value, float):
            found.append(f"line {node.lineno}: {node.value}")
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
            found.append(f"line {node.lineno}: true division")
        if isinstance(node, ast.Name | ast.Attribute):
            name = node.id if isinstance(node, ast.Name) else node.attr
            if re.fullmatch(r"float\d*|random|default_rng|shuffle|RandomState", name):
                found.append(f"line {node.lineno}: {name}")
    assert found == []


def test_every_public_module_class_and_function_says_what_it_is():
    silent = []
    for path in SOURCES:
        if path.name == "__init__.py" or path.parts[len(ROOT.parts)] in ("tests", "benchmarks"):
            continue
        module = tree(path)
        if not ast.get_docstring(module):
            silent.append(named(path))
        for node in module.body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                if not ast.get_docstring(node):
                    silent.append(f"{named(path)}: {node.name}")
    assert silent == []


def test_purposes_of_dice_are_all_different():
    from umwelt.sandbox.dice import purpose

    names = []
    for path in SOURCES:
        if path.parts[len(ROOT.parts)] in ("tests", "benchmarks"):
            continue
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "purpose":
                if isinstance(node.args[0], ast.Constant):
                    names.append(node.args[0].value)
    assert len(names) > 15
    assert [name for name, count in Counter(names).items() if count > 1] == []
    assert len({purpose(name) for name in names}) == len(names)


def tracked() -> list[Path]:
    """The files that git keeps, or all of them where this is no checkout."""
    try:
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.decode()
        found = [ROOT / name for name in listed.split("\0") if name]
    except (OSError, subprocess.CalledProcessError):
        found = [*SOURCES, *ROOT.glob("*.toml"), *ROOT.glob("*.md"), ROOT / "Makefile"]
    return [path for path in found if path.is_file() and path.suffix in ("", ".py", ".toml", ".md", ".yml", ".cfg")]


def test_no_registry_and_no_path_of_one_machine_is_written_down():
    wrong = re.compile(
        r"pypi\.|files\.pythonhosted|index-url|(?<![\w.~])/(?:home|root|Users|work)/\w|" + re.escape(str(ROOT))
    )
    here = Path(__file__).resolve()
    found = [
        f"{named(path)}:{number}: {line.strip()[:80]}"
        for path in tracked()
        if path != here
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if wrong.search(line)
    ]
    assert found == []


def test_the_layers_of_the_house_are_declared():
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    assert 'layers = ["umwelt.client", "umwelt.cluster", "umwelt.agents", "umwelt.sandbox"]' in text
