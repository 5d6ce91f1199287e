"""Modules of `agents` have no cyclic imports, not even within functions or for type checkers."""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MODULES = {
    "umwelt." + ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in (ROOT / "agents").rglob("*.py")
}


def imports_of(path: Path) -> set[str]:
    """Returns the modules of `agents` that a file imports anywhere."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return names & set(MODULES)


def test_no_two_files_import_each_other():
    # umwelt.agents itself imports its public names lazily
    graph = {name: imports_of(path) - {name} for name, path in MODULES.items() if name != "umwelt.agents"}
    assert len(graph) > 40 and sum(map(len, graph.values())) > 100
    while leaves := [name for name, imported in graph.items() if not imported & set(graph)]:
        for name in leaves:
            del graph[name]
    assert graph == {}


def test_hocl_imports_nothing_else_of_agents():
    within = {name for name in MODULES if name.startswith("umwelt.agents.hocl")}
    assert {other for name in within for other in imports_of(MODULES[name]) - within} == set()
