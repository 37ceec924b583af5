"""The quick tour's numbers, on both roads: vocab.txt and tokenizer.json."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hubloader.auto.tokenizer import AutoTokenizer

HUB = Path(__file__).resolve().parents[2] / "cache_fixtures" / "hub"
CHECKPOINT = HUB / "distilbert" / "distilbert-base-uncased-finetuned-sst-2-english"
A = "We are very happy to show you the 🤗 Transformers library."
B = "We hope you don't hate it."
IDS_A = [101, 2057, 2024, 2200, 3407, 2000, 2265, 2017, 1996, 100, 19081, 3075, 1012, 102]
IDS_B = [101, 2057, 3246, 2017, 2123, 1005, 1056, 5223, 2009, 1012, 102, 0, 0, 0]
MASK_B = [1] * 11 + [0] * 3


@pytest.fixture(scope="module", params=["vocab.txt", "tokenizer.json"])
def folder(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("checkpoint")
    for name in ("config.json", "tokenizer_config.json", "vocab.txt"):
        shutil.copy(CHECKPOINT / name, path / name)
    if request.param == "tokenizer.json":
        AutoTokenizer.from_pretrained(path).backend_tokenizer.save(str(path / "tokenizer.json"))
        (path / "vocab.txt").unlink()
    return path


@pytest.fixture(scope="module")
def tokenizer(folder):
    return AutoTokenizer.from_pretrained(folder)


def test_one_text_is_a_mapping_of_two_lists_in_this_order(tokenizer):
    assert list(tokenizer(A).items()) == [("input_ids", IDS_A), ("attention_mask", [1] * 14)]


@pytest.mark.parametrize(
    "kind",
    [
        "np",
        pytest.param("pt", marks=pytest.mark.torch),
        pytest.param("tf", marks=pytest.mark.tensorflow),
    ],
)
def test_the_padded_batch_has_the_published_numbers(tokenizer, kind):
    pytest.importorskip({"np": "numpy", "pt": "torch", "tf": "tensorflow"}[kind])
    batch = tokenizer([A, B], padding=True, truncation=True, max_length=512, return_tensors=kind)
    arrays = {key: value if kind == "np" else value.numpy() for key, value in batch.items()}
    assert {key: array.tolist() for key, array in arrays.items()} == {
        "input_ids": [IDS_A, IDS_B],
        "attention_mask": [[1] * 14, MASK_B],
    }
    assert {str(array.dtype) for array in arrays.values()} == {"int32" if kind == "tf" else "int64"}


def test_a_saved_tokenizer_loads_to_the_same(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    assert again([A, B], padding=True).data == tokenizer([A, B], padding=True).data
    assert repr(again).replace(str(tmp_path), "") == repr(tokenizer).replace(
        tokenizer.name_or_path, ""
    )


def test_the_class_is_the_one_that_transformers_names(tokenizer):
    assert type(tokenizer).__name__ == "DistilBertTokenizer"


def test_a_warm_load_and_call_import_no_array_or_network_library(folder):
    code = (
        "import sys, json; from hubloader.auto.tokenizer import AutoTokenizer;"
        f"AutoTokenizer.from_pretrained({str(folder)!r})('hello', padding=True);"
        "print(json.dumps(sorted(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    slow = {
        "click", "filelock", "huggingface_hub", "numpy", "requests", "tensorflow", "torch", "tqdm",
        "transformers",
    }  # fmt: skip
    assert not slow & set(json.loads(done.stdout))
