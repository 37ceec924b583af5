"""Imports inside functions are first run when a user gets there: what they name must be there.

Looked up in the sources, not imported: so frameworks that are not installed do not matter.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import hubloader

PACKAGE = Path(hubloader.__file__).parent


def path_of(module: str) -> Path | None:
    """The file of a ``hubloader.…`` module, None if there is none."""
    base = PACKAGE.joinpath(*module.split(".")[1:])
    found = [path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()]
    return found[0] if found else None


def late_imports(path: Path) -> Iterator[tuple[str, str, int]]:
    """Each module, name ("" for the module itself) and line that a function imports of ours."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = [
        n for n in ast.walk(tree) if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef))
    ]
    for node in {inner for function in functions for inner in ast.walk(function)}:
        if isinstance(node, ast.Import):
            yield from ((alias.name, "", node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.module or "", alias.name, node.lineno) for alias in node.names)


def names_in(path: Path) -> set[str]:
    """What a module has at its top: definitions, assignments, imports."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found: set[str] = set()
    for node in at_the_top(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            found.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            found |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
    return found


def at_the_top(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        yield child
        if not isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)):
            yield from at_the_top(child)


def is_there(module: str, name: str) -> bool:
    path = path_of(module)
    if path is None:
        return False
    have = names_in(path)
    made_on_demand = "__getattr__" in have
    return not name or name in have or path_of(f"{module}.{name}") is not None or made_on_demand


def test_what_a_function_imports_is_there():
    late = [
        (path.relative_to(PACKAGE).as_posix(), *found)
        for path in sorted(PACKAGE.rglob("*.py"))
        for found in late_imports(path)
        if found[0].partition(".")[0] == "hubloader"
    ]
    lost = [
        f"{file}:{line}: {module} {name}"
        for file, module, name, line in late
        if not is_there(module, name)
    ]

    assert len(late) > 50
    assert sorted(lost) == []


def test_a_module_or_a_name_that_is_not_there_is_seen():
    assert is_there("hubloader.errors", "CacheMiss")
    assert is_there("hubloader.cache", "store")
    assert not is_there("hubloader.cache.stores", "CacheStore")
    assert not is_there("hubloader.cache.store", "CacheStores")
