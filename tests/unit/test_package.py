"""What importing hubloader costs and offers."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import hubloader

HEAVY = {
    *("torch", "tensorflow", "keras", "numpy", "tokenizers", "safetensors"),
    *("requests", "urllib3", "httpx", "httpx2", "aiohttp"),
    *("huggingface_hub", "filelock", "tqdm", "click"),
}


def modules_after(code: str) -> set[str]:
    script = f"import json, sys\n{code}\nprint(json.dumps(sorted(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    return set(json.loads(ran.stdout.splitlines()[-1]))


def test_importing_hubloader_loads_no_framework_and_no_http_library():
    loaded = modules_after("import hubloader")

    assert loaded.isdisjoint(HEAVY)


def test_every_public_name_is_sorted_and_resolves():
    assert list(hubloader.__all__) == sorted(hubloader.__all__)
    for name in hubloader.__all__:
        assert getattr(hubloader, name) is not None


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'NoSuchThing'"):
        _ = hubloader.NoSuchThing


@pytest.mark.torch
def test_the_torch_namespace_has_the_torch_classes_by_name():
    import torch

    import hubloader.torch

    assert issubclass(hubloader.torch.BertModel, torch.nn.Module)
    assert hubloader.torch.AutoModel is hubloader.AutoModel
    for stranger in ("TFBertModel", "NpBertModel", "NoSuchModel"):
        assert not hasattr(hubloader.torch, stranger)


@pytest.mark.tensorflow
def test_the_tensorflow_namespace_has_the_keras_classes_by_name():
    import keras

    import hubloader.tensorflow

    assert issubclass(hubloader.tensorflow.TFBertModel, keras.Model)
    assert hubloader.tensorflow.TFAutoModel is hubloader.TFAutoModel
    assert not hasattr(hubloader.tensorflow, "BertModel")
