"""Inside a folder, too, modules know each other one way: no circles, late imports counted."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import hubloader

PACKAGE = Path(hubloader.__file__).parent
FOLDERS = sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py"))

STANDING = {  # circles closed by an import inside a function: the edge that closes each
    ("auto", "source", "locks"),
}


def known_siblings(path: Path) -> set[str]:
    """The modules of its own folder that a module imports, anywhere but for a type checker."""
    package = f"hubloader.{path.parent.name}"
    tree = ast.parse(path.read_text(encoding="utf-8"))
    only_for_checkers = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    named = [
        name
        for node in ast.walk(tree)
        if id(node) not in only_for_checkers
        for name in names_of(node)
    ]
    modules = {p.stem for p in path.parent.glob("*.py")} - {"__init__"}
    parts = (name.removeprefix(f"{package}.").split(".")[0] for name in named if package in name)
    return {part for part in parts if part in modules}


def names_of(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
        return [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return []


@pytest.mark.parametrize("folder", FOLDERS)
def test_modules_of_a_folder_import_each_other_one_way(folder):
    graph = {path.stem: known_siblings(path) for path in (PACKAGE / folder).glob("*.py")}
    graph.pop("__init__")
    for _, module, known in (edge for edge in STANDING if edge[0] == folder):
        graph[module].discard(known)

    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"{folder}: {' -> '.join(error.args[1])}")
