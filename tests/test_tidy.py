"""Rules that no linter checks: full imports, integers in laws, docstrings, distinct purposes, no machine paths."""

import ast
import re
import subprocess
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("umwelt", "sandbox", "agents", "cluster", "client", "worlds", "tests", "benchmarks", "docs")
SOURCES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))
LAWS = sorted(path for room in ("sandbox", "agents/earth") for path in (ROOT / room / "laws").glob("*.py"))


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def test_packages_are_imported_by_their_full_name():
    bare = []
    for path in SOURCES:
        for node in ast.walk(tree(path)):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module]
            folders = ("agents", "cluster", "sandbox", "client", "worlds")
            bare += [f"{named(path)}: {name}" for name in names if name.split(".")[0] in folders]
    assert bare == []


def test_laws_hold_no_floats_and_no_sequential_randomness():
    wrong = []
    assert len(LAWS) >= 9
    for path in LAWS:
        for node in ast.walk(tree(path)):
            place = f"{named(path)}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.Constant) and isinstance(node.value, float):
                wrong.append(f"{place}: {node.value}")
            if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
                wrong.append(f"{place}: true division")
            if isinstance(node, ast.Name | ast.Attribute):
                name = node.id if isinstance(node, ast.Name) else node.attr
                if re.fullmatch(r"float\d*|random|default_rng|shuffle|RandomState", name):
                    wrong.append(f"{place}: {name}")
    assert wrong == []


def test_every_public_module_class_and_function_has_a_docstring():
    silent = []
    for path in SOURCES:
        if path.name == "__init__.py" or path.parts[len(ROOT.parts)] in ("tests", "benchmarks", "docs"):
            continue
        module = tree(path)
        if not ast.get_docstring(module):
            silent.append(named(path))
        for node in module.body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                is_overload = any(getattr(one, "id", "") == "overload" for one in node.decorator_list)
                if not ast.get_docstring(node) and not is_overload:
                    silent.append(f"{named(path)}: {node.name}")
    assert silent == []


def test_purposes_of_dice_are_all_different():
    from umwelt.sandbox.dice import purpose

    names = []
    for path in SOURCES:
        if path.parts[len(ROOT.parts)] in ("tests", "benchmarks", "docs"):
            continue
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "purpose":
                if isinstance(node.args[0], ast.Constant):
                    names.append(node.args[0].value)
    assert len(names) > 15
    assert [name for name, count in Counter(names).items() if count > 1] == []
    assert len({purpose(name) for name in names}) == len(names)


def tracked() -> list[Path]:
    """Returns the files that git tracks, or all files if this is not a checkout."""
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
