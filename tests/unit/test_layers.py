"""The layers of docs/where-things-live.md hold in the code."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import hubloader

PACKAGE = Path(hubloader.__file__).parent
ONLY_IN = {
    "torch": {
        "nn/torch_kit.py",
        "nn/torch_modules.py",
        "nn/torch_ops.py",
        "tokenizers/tensors.py",
        "torch.py",
    },
    "tensorflow": {
        "nn/tf_kit.py",
        "nn/tf_modules.py",
        "nn/tf_ops.py",
        "nn/keras_adapter.py",
        "tokenizers/tensors.py",
        "tensorflow.py",
    },
    "keras": {
        "nn/tf_kit.py",
        "nn/tf_modules.py",
        "nn/tf_ops.py",
        "nn/keras_adapter.py",
        "tensorflow.py",
    },
    "requests": {"transport/http.py", "transport/http_errors.py"},
    "aiohttp": {"mirror/"},
}
CACHE_WORDS = {"blobs", "refs", "snapshots", ".no_exist", ".locks"}


def sources():
    for path in sorted(PACKAGE.rglob("*.py")):
        yield path.relative_to(PACKAGE).as_posix(), ast.parse(path.read_text(encoding="utf-8"))


def imports(tree: ast.AST):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module or ""


def type_checking_imports(tree: ast.AST) -> set[str]:
    return {
        name
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for name in imports(node)
    }


def test_imports_go_down_only_and_members_of_a_layer_do_not_know_each_other():
    linted = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"],
        cwd=PACKAGE.parent,
        check=False,
        capture_output=True,
        text=True,
    )

    assert linted.returncode == 0, linted.stdout


def test_frameworks_and_http_libraries_are_imported_in_their_own_files_only():
    strays = [
        f"{name} imports {module}"
        for name, tree in sources()
        for module in set(imports(tree)) - type_checking_imports(tree)
        if (homes := ONLY_IN.get(module.partition(".")[0])) is not None
        and not any(name.startswith(home) for home in homes)
    ]

    assert strays == []


def test_the_environment_is_read_in_settings_only():
    strays = [
        f"{name}:{node.lineno}"
        for name, tree in sources()
        if name != "settings.py"
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and node.attr in {"environ", "getenv"}
        and isinstance(node.value, ast.Name)
        and node.value.id == "os"
    ]

    assert strays == []


def test_print_is_for_the_command_line():
    strays = [
        f"{name}:{node.lineno}"
        for name, tree in sources()
        if not name.startswith(("cli/", "mirror/"))
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "print"
    ]

    assert strays == []


def test_cache_paths_are_joined_in_the_layout_only():
    strays = [
        f"{name}:{node.lineno}"
        for name, tree in sources()
        if name != "cache/layout.py"
        for node in ast.walk(tree)
        if joins_a_cache_word(node)
    ]

    assert strays == []


def joins_a_cache_word(node: ast.AST) -> bool:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
        parts = (node.left, node.right)
    elif (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in {"join", "joinpath"}
    ):
        parts = tuple(node.args)
    else:
        return False
    return any(isinstance(part, ast.Constant) and part.value in CACHE_WORDS for part in parts)
