"""The door to the frameworks."""

from __future__ import annotations

import sys

import pytest

from hubloader.errors import BackendUnavailable
from hubloader.nn import get_kit


@pytest.mark.parametrize(("name", "framework"), [("torch", "torch"), ("tf", "tensorflow")])
def test_a_framework_that_is_not_installed_is_named_with_its_extra(monkeypatch, name, framework):
    for module in list(sys.modules):
        if module.startswith(f"hubloader.nn.{name}_kit"):
            monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, framework, None)
    with pytest.raises(BackendUnavailable, match=f"{framework} is not installed") as caught:
        get_kit(name)
    assert f"hubloader[{framework}]" in str(caught.value)


def test_a_kit_is_the_same_object_every_time():
    assert get_kit("numpy") is get_kit("numpy")


def test_a_kit_that_nobody_has_is_told_with_those_there_are():
    with pytest.raises(ValueError, match="'jax' is none of numpy, torch, torch-eager, tf"):
        get_kit("jax")
