from __future__ import annotations

import pytest

from hubloader.auto.placement import one_device, place


class TorchLike:
    name = "torch"

    def best_device(self):
        return "cuda"


def test_one_device_is_what_was_named():
    kit = TorchLike()

    assert one_device(kit, "cpu", None) == "cpu"
    assert one_device(kit, None, None) is None
    assert one_device(kit, None, "cuda:1") == "cuda:1"
    assert one_device(kit, None, {"": "cuda:1"}) == "cuda:1"
    assert one_device(kit, None, {"a": "cpu", "b": "cpu"}) is None


@pytest.mark.parametrize("word", ["auto", "balanced", "sequential"])
def test_a_device_is_chosen_when_that_is_asked_for(word):
    assert one_device(TorchLike(), None, word) == "cuda"


def test_two_answers_are_an_error():
    with pytest.raises(ValueError, match="not both"):
        one_device(TorchLike(), "cpu", "cpu")


def test_device_maps_are_for_torch():
    numpy = TorchLike()
    numpy.name = "numpy"

    with pytest.raises(ValueError, match="PyTorch"):
        one_device(numpy, None, "auto")


@pytest.mark.torch
class TestPlace:
    @pytest.fixture
    def module(self):
        torch = pytest.importorskip("torch")
        return torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2))

    def test_each_part_lies_where_the_map_says(self, module):
        place(module, {"0": "cpu", "1": "meta"})

        assert module[0].weight.device.type == "cpu"
        assert module[1].weight.device.type == "meta"
        assert module.hf_device_map == {"0": "cpu", "1": "meta"}

    def test_the_longest_name_wins(self, module):
        place(module, {"": "meta", "0": "meta"})

        assert module[0].weight.is_meta

    def test_a_part_moves_what_it_is_given(self, module):
        import torch

        place(module, {"0": "cpu", "1": "meta"})

        assert module(torch.ones(1, 2)).is_meta

    def test_parameters_that_no_part_covers_are_an_error(self, module):
        with pytest.raises(ValueError, match=r"leaves out 1\.weight, 1\.bias"):
            place(module, {"0": "cpu"})

    def test_a_part_that_is_not_there_is_an_error(self, module):
        with pytest.raises(ValueError, match="does not have"):
            place(module, {"0": "cpu", "1": "cpu", "head": "cpu"})
