"""Python 3.10 has no ``tomllib``: the package ``tomli``, which is the same parser, stands in."""

from __future__ import annotations

import importlib.util
import sys
import types
from pathlib import Path

import pytest
import tomllib

import hubloader.locking._toml as present


def test_tomli_is_used_where_tomllib_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in = types.ModuleType("tomli")
    stand_in.loads = lambda text: {"by": "tomli", **tomllib.loads(text)}  # type: ignore[attr-defined]
    stand_in.TOMLDecodeError = tomllib.TOMLDecodeError  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "tomli", stand_in)
    monkeypatch.setattr(sys, "version_info", (3, 10, 13))
    path = Path(present.__file__)
    spec = importlib.util.spec_from_file_location("toml_of_310", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)

    spec.loader.exec_module(module)

    assert module.parse("a = 1") == {"by": "tomli", "a": 1}
    with pytest.raises(module.TomlError):
        module.parse("a =")


def test_the_package_is_asked_for_where_it_is_needed() -> None:
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")

    needed = tomllib.loads(text)["project"]["dependencies"]

    assert "tomli>=2; python_version < '3.11'" in needed
