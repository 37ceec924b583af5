"""An architecture is found by name among what is here, and never by a path."""

from __future__ import annotations

import sys
from importlib import metadata

import pytest

from hubloader.architectures import find, supported
from hubloader.architectures._entry import ENTRY_POINTS
from hubloader.errors import UnknownArchitecture


@pytest.mark.parametrize("family", supported())
def test_a_record_answers_to_its_own_name(family):
    found = find(family)
    assert found.model_type == family
    assert found.tasks.keys() == found.class_names.keys()
    for task, layer in found.tasks.items():
        if task not in found.suffixes:  # XLMWithLMHeadModel
            assert layer.__name__.endswith(found.class_names[task].removeprefix(found.class_prefix))


@pytest.mark.parametrize(
    "name",
    ["_entry", "_config", "..nn.layer", "os", "hubloader.errors", "", "bert.ARCHITECTURE", "Bert"],
)
def test_a_name_that_is_no_file_here_is_unknown_and_imports_nothing(name):
    before = set(sys.modules)
    with pytest.raises(UnknownArchitecture) as caught:
        find(name)
    assert caught.value.model_type == name
    new = {module for module in set(sys.modules) - before if "architectures" not in module}
    assert not {module for module in new if module.split(".")[0] in {"os", "hubloader"}}


def test_the_error_names_what_is_near_and_what_there_is():
    with pytest.raises(UnknownArchitecture) as caught:
        find("distillbert")
    assert "distilbert" in caught.value.close_matches
    assert all(name in str(caught.value) for name in supported())
    assert "pip install transformers" in str(caught.value)


def test_another_package_may_bring_an_architecture(monkeypatch):
    point = metadata.EntryPoint("mine", "hubloader.architectures.bert:ARCHITECTURE", ENTRY_POINTS)
    monkeypatch.setattr(
        metadata, "entry_points", lambda group: [point] if group == ENTRY_POINTS else []
    )
    assert find("mine") is find("bert")
    assert "mine" in supported()


def test_an_alias_is_the_same_under_another_name():
    alias = find("bert").renamed("other", "Other")
    assert alias.class_names["encoder"] == "OtherModel"
    assert alias.config_name == "OtherConfig"
    assert alias.tasks == find("bert").tasks
