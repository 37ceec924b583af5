"""The collector rests while a model is built, and is afterwards as it was."""

from __future__ import annotations

import gc

import pytest

from hubloader.auto.collecting import uncollected


@pytest.fixture(autouse=True)
def collecting():
    was = gc.isenabled()
    gc.enable()
    yield
    (gc.enable if was else gc.disable)()


def test_it_rests_inside_and_runs_again_after():
    with uncollected():
        assert not gc.isenabled()
    assert gc.isenabled()


def test_it_runs_again_after_an_error():
    with pytest.raises(KeyError), uncollected():
        raise KeyError
    assert gc.isenabled()


def test_a_process_that_runs_without_it_keeps_running_without_it():
    gc.disable()
    with uncollected():
        assert not gc.isenabled()
    assert not gc.isenabled()


def test_a_model_is_built_and_filled_without_a_collection(fixture_hub, monkeypatch):
    from hubloader import NpAutoModelForSequenceClassification as Model
    from hubloader.auto import loading

    seen, fill = [], loading.fill
    monkeypatch.setattr(
        loading, "fill", lambda *given: (seen.append(gc.isenabled()), fill(*given))[1]
    )
    Model.from_pretrained(fixture_hub / "fixtures" / "bert-tiny-sentiment")

    assert seen == [False]
    assert gc.isenabled()
