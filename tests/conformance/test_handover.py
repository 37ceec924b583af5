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
    UnsupportedArchitecture,
    UnsupportedTask,
    WeightsMismatch,
)

pytestmark = [pytest.mark.oracle, pytest.mark.torch]

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

IDS = torch.tensor([[5, 6, 7, 2]])
FAMILY = "ibert"  # any that hubloader does not implement


@pytest.fixture(scope="module")
def reference():
    torch.manual_seed(0)
    config = transformers.IBertConfig(
        vocab_size=20,
        hidden_size=16,
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


def test_weights_named_by_another_framework_are_read_under_pytorchs_names(folder, reference):
    from safetensors.torch import save_file

    state = {keras_name(name, value): value for name, value in reference.state_dict().items()}
    kernels = {name: v.T if name.endswith("kernel:0") else v for name, v in state.items()}
    save_file({n: v.contiguous() for n, v in kernels.items()}, folder / "model.safetensors", TF)

    model = hubloader.AutoModelForSequenceClassification.from_pretrained(folder)

    assert same(model, reference)


TF = {"format": "tf"}


def keras_name(name, value):
    *scope, leaf = name.split(".")
    norm = "norm" in name.lower()
    table = "embeddings." in name and not norm
    words = {"weight": "gamma" if norm else "embeddings" if table else "kernel"}
    words["bias"] = "beta" if norm else "bias"
    return f"tf_model/{'/'.join(scope)}/{words.get(leaf, leaf)}:0".replace("/layer/", "/layer_._")


@pytest.mark.parametrize("kind", ["safetensors", "bin"])
def test_an_encoder_under_names_that_mean_nothing_is_refused_not_made_up(folder, reference, kind):
    from safetensors.torch import save_file

    state = {f"x.y.{name}": value.contiguous() for name, value in reference.state_dict().items()}
    if kind == "bin":
        (folder / "model.safetensors").unlink()
        torch.save(state, folder / "pytorch_model.bin")
    else:
        save_file(state, folder / "model.safetensors", {"format": "pt"})

    with pytest.raises(WeightsMismatch, match=r"lacks .* of the encoder") as caught:
        hubloader.AutoModelForSequenceClassification.from_pretrained(folder)

    assert caught.value.report.missing


def test_a_new_head_is_none_of_the_encoder(folder, reference):
    getattr(reference, reference.base_model_prefix).save_pretrained(folder)

    model = hubloader.AutoModelForSequenceClassification.from_pretrained(folder)

    assert type(model) is type(reference)


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

    assert type(config) is transformers.IBertConfig
    assert config.num_labels == 7


def test_the_bare_encoder_is_handed_over_too(folder):
    assert type(hubloader.AutoModel.from_pretrained(folder)) is transformers.IBertModel


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


@pytest.fixture
def stretched(tmp_path):
    """A family that is here, in a variant that is not."""
    torch.manual_seed(0)
    rope = {"rope_type": "linear", "factor": 4.0, "rope_theta": 10_000.0}
    config = transformers.ModernBertConfig(
        **{f"{kind}_token_id": 0 for kind in ("pad", "bos", "eos", "cls", "sep")},
        vocab_size=20,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        rope_parameters={"full_attention": rope, "sliding_attention": rope},
    )
    model = transformers.AutoModelForSequenceClassification.from_config(config).eval()
    model.save_pretrained(tmp_path)
    return tmp_path, model


def test_a_variant_that_is_not_here_is_handed_over(stretched):
    folder, reference = stretched

    model = hubloader.AutoModelForSequenceClassification.from_pretrained(folder)

    assert type(model) is transformers.ModernBertForSequenceClassification
    assert same(model, reference)


def test_a_variant_that_is_not_here_says_which_key_asks_for_it(stretched):
    folder, _ = stretched

    with pytest.raises(UnsupportedArchitecture, match="'linear'") as caught:
        hubloader.NpAutoModelForSequenceClassification.from_pretrained(folder)

    assert "PyTorch only" in caught.value.hint


def test_packed_weights_that_nothing_can_unpack_are_an_error_not_numbers(stretched):
    folder, _ = stretched
    raw = json.loads((folder / "config.json").read_text())
    del raw["rope_parameters"]
    packing = {"quant_method": "bitsandbytes", "load_in_8bit": True}
    (folder / "config.json").write_text(json.dumps({**raw, "quantization_config": packing}))

    with pytest.raises(AssemblyError, match="transformers could not load"):
        hubloader.AutoModelForSequenceClassification.from_pretrained(folder)


def test_a_keyword_that_the_config_does_not_know_is_told_with_the_nearest(folder):
    with pytest.raises(TypeError, match="'num_lables': did you mean 'num_labels'"):
        hubloader.AutoModelForSequenceClassification.from_pretrained(folder, num_lables=3)
    with pytest.raises(TypeError, match="'num_lables': did you mean 'num_labels'"):
        hubloader.AutoConfig.from_pretrained(folder, num_lables=3)
