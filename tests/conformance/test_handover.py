"""Architectures that only transformers implements: its model, hubloader's files, no network."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys

import pytest

import hubloader
from hubloader.errors import (
    AssemblyError,
    RemoteCodeRefused,
    UnknownArchitecture,
    UnsafeFile,
    UnsupportedTask,
)

pytestmark = [pytest.mark.oracle, pytest.mark.torch]

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

IDS = torch.tensor([[5, 6, 7, 2]])
FAMILY = "squeezebert"  # any that hubloader does not implement


@pytest.fixture(scope="module")
def reference():
    torch.manual_seed(0)
    config = transformers.SqueezeBertConfig(
        vocab_size=20,
        hidden_size=16,
        embedding_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=12,
        initializer_range=0.3,
        id2label={0: "bad", 1: "good", 2: "odd"},
    )
    return transformers.AutoModelForSequenceClassification.from_config(config).eval()


@pytest.fixture
def folder(reference, tmp_path):
    if FAMILY in importlib.import_module("hubloader.architectures").supported():
        pytest.fail(f"{FAMILY} is implemented now: take another family for this test")
    reference.save_pretrained(tmp_path)
    return tmp_path


def same(model, reference):
    with torch.no_grad():
        return torch.allclose(model.eval()(IDS).logits, reference(IDS).logits, atol=1e-6)


def test_the_model_is_transformers_own(folder, reference):
    model = hubloader.AutoModelForSequenceClassification.from_pretrained(folder)

    assert type(model) is type(reference)
    assert same(model, reference)


def test_pickled_weights_are_read_here_and_passed_on_as_tensors(folder, reference):
    (folder / "model.safetensors").unlink()
    torch.save(reference.state_dict(), folder / "pytorch_model.bin")

    model, info = hubloader.AutoModelForSequenceClassification.from_pretrained(
        folder, output_loading_info=True
    )

    assert same(model, reference)
    assert not info["missing_keys"]


def test_weights_named_by_another_framework_are_refused_not_made_up(folder, reference):
    from safetensors.torch import save_file

    state = {
        f"{name.replace('.', '/')}/kernel:0": value.contiguous()
        for name, value in reference.state_dict().items()
    }
    save_file(state, folder / "model.safetensors", {"format": "tf"})

    with pytest.raises(AssemblyError, match="another framework"):
        hubloader.AutoModelForSequenceClassification.from_pretrained(folder)


def test_a_hostile_pickle_is_refused_and_does_not_run(folder, tmp_path):
    import os
    import pickle

    from weight_files import torch_zip

    marker = tmp_path / "ran"

    class Exploit:
        def __reduce__(self):
            return os.system, (f"touch {marker}",)

    (folder / "model.safetensors").unlink()
    torch_zip(folder / "pytorch_model.bin", pickle.dumps({"w": Exploit()}, 2), {})

    with pytest.raises(UnsafeFile, match="system"):
        hubloader.AutoModelForSequenceClassification.from_pretrained(folder)

    assert not marker.exists()


def test_options_and_config_changes_are_passed_on(folder):
    model = hubloader.AutoModelForSequenceClassification.from_pretrained(
        folder, dtype="float16", num_labels=5, ignore_mismatched_sizes=True
    )

    assert model.dtype == torch.float16
    assert model.config.num_labels == 5


def test_the_config_is_transformers_own(folder):
    config = hubloader.AutoConfig.from_pretrained(folder, num_labels=7)

    assert type(config) is transformers.SqueezeBertConfig
    assert config.num_labels == 7


def test_the_bare_encoder_is_handed_over_too(folder):
    assert type(hubloader.AutoModel.from_pretrained(folder)) is transformers.SqueezeBertModel


def test_other_frameworks_are_told_that_it_is_for_pytorch_only(folder):
    with pytest.raises(UnknownArchitecture) as caught:
        hubloader.NpAutoModelForSequenceClassification.from_pretrained(folder)

    assert "PyTorch only" in caught.value.hint


def test_an_architecture_that_transformers_does_not_know_either_is_the_error_of_ours(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "weathernet"}))

    with pytest.raises(UnknownArchitecture, match="weathernet"):
        hubloader.AutoModelForSequenceClassification.from_pretrained(folder)


def test_a_head_that_transformers_lacks_is_an_error_of_ours(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "vit"}')

    with pytest.raises(UnsupportedTask, match="vit"):
        hubloader.AutoModelForSequenceClassification.from_pretrained(tmp_path)


def test_a_config_that_names_a_kernel_of_another_repository_is_refused(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(
        json.dumps({**config, "_attn_implementation_internal": "evil/repo"})
    )

    with pytest.raises(RemoteCodeRefused, match="evil/repo"):
        hubloader.AutoModelForSequenceClassification.from_pretrained(folder)


def test_what_transformers_cannot_read_is_an_error_of_ours(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "vocab_size": "many"}))

    with pytest.raises(AssemblyError, match="transformers could not load"):
        hubloader.AutoModelForSequenceClassification.from_pretrained(folder)


def test_no_internet_socket_is_opened(folder):
    code = f"""
import socket, sys
def watch(event, arguments):
    if event == "socket.__new__" and arguments[1] in (socket.AF_INET, socket.AF_INET6):
        print("opened", arguments)
sys.addaudithook(watch)
import hubloader
hubloader.AutoModelForSequenceClassification.from_pretrained({str(folder)!r})
print("loaded")
"""

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["loaded"]


def test_a_pipeline_takes_such_a_model(folder, reference):
    from tokenizers import Tokenizer, models, pre_tokenizers

    engine = Tokenizer(models.WordLevel({"[PAD]": 0, "[UNK]": 1, "good": 5}, unk_token="[UNK]"))
    engine.pre_tokenizer = pre_tokenizers.Whitespace()
    engine.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(
        '{"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "[PAD]"}'
    )

    pipe = hubloader.pipeline("text-classification", model=str(folder), framework="pt")

    assert pipe("good good")[0]["label"] in {"bad", "good", "odd"}
    assert type(pipe.model) is type(reference)
