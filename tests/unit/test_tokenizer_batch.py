"""BatchEncoding: a mapping with the alignment of tokens and text."""

import copy
import functools
import pickle
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubloader.auto.tokenizer import AutoTokenizer
from hubloader.errors import BackendUnavailable
from hubloader.resolve.files import DirectoryFiles
from hubloader.tokenizers import tensors
from hubloader.tokenizers.batch import BatchEncoding, CharSpan, TokenSpan
from hubloader.tokenizers.tokenizer import Tokenizer

HUB = Path(__file__).resolve().parents[2] / "cache_fixtures" / "hub"
CHECKPOINT = HUB / "distilbert" / "distilbert-base-uncased-finetuned-sst-2-english"
TEXT, PAIR = "hello world this is a long sentence", "another one"


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.from_files(DirectoryFiles(CHECKPOINT))


@pytest.fixture(params=["lists", "eager"])
def encoded(request, tokenizer):
    return tokenizer(TEXT, PAIR, return_offsets_mapping=request.param == "eager")


def test_tokens_are_aligned_with_words_and_characters(encoded):
    assert encoded.tokens()[:3] == ["[CLS]", "hello", "world"]
    assert encoded.sequence_ids() == [None, *[0] * 7, None, 1, 1, None]
    assert encoded.word_ids() == encoded.words() == [None, *range(7), None, 0, 1, None]
    assert encoded.char_to_token(0) == 1
    assert encoded.char_to_token(0, 0, 1) == 9
    assert encoded.char_to_token(5) is None
    assert encoded.token_to_chars(1) == CharSpan(0, 5)
    assert encoded.token_to_chars(0) is None
    assert encoded.word_to_tokens(1) == TokenSpan(2, 3)
    assert encoded.word_to_tokens(99) is None
    assert encoded.word_to_chars(1) == CharSpan(6, 11)
    assert encoded.char_to_word(7) == 1
    assert encoded.token_to_word(-4) is None
    assert encoded.token_to_word(0, -2) == 1
    assert encoded.token_to_sequence(9) == 1
    assert encoded.n_sequences == 2
    assert encoded.is_fast


def test_alignment_made_later_is_laid_out_as_the_rows_were(tokenizer):
    options = {
        "padding": True,
        "truncation": True,
        "max_length": 6,
        "padding_side": "left",
    }
    later = tokenizer([TEXT, PAIR], **options)
    at_once = tokenizer([TEXT, PAIR], return_offsets_mapping=True, **options)
    assert later["input_ids"] == at_once["input_ids"]
    for ours, theirs in zip(later.encodings, at_once.encodings, strict=True):
        assert (ours.ids, ours.offsets) == (theirs.ids, theirs.offsets)
        assert (ours.tokens, ours.word_ids) == (theirs.tokens, theirs.word_ids)


def test_alignment_made_later_is_that_of_the_tokenizer_as_it_was(tokenizer):
    changed = copy.deepcopy(tokenizer)
    encoded = changed("hello worldly")
    changed.add_tokens(["worldly"])
    assert len(changed("hello worldly")["input_ids"]) == 4
    assert len(encoded.tokens()) == len(encoded["input_ids"]) == 5


def test_rows_encodings_and_slices_are_had_by_key(tokenizer):
    batch = tokenizer([TEXT, PAIR])
    assert batch["input_ids"] is batch.input_ids is batch.data["input_ids"]
    assert batch[1].ids == batch["input_ids"][1]
    assert [row.ids for row in batch[:1]] == batch["input_ids"][:1]
    with pytest.raises(KeyError, match="Only three types of key"):
        batch[None]
    with pytest.raises(KeyError):
        batch["labels"]
    with pytest.raises(AttributeError, match="labels"):
        _ = batch.labels


def test_a_batch_made_by_hand_knows_no_tokens():
    batch = BatchEncoding({"input_ids": [[1, 2], [3, 4]], "x": [5, 6]})
    assert not batch.is_fast
    assert batch.encodings is None
    assert batch.n_sequences is None
    assert batch[1:] == {"input_ids": [[3, 4]], "x": [6]}
    with pytest.raises(ValueError, match="knows no tokens or words"):
        batch.tokens()


def test_it_is_a_mapping_in_every_way(tokenizer):
    batch = tokenizer(PAIR)
    assert isinstance(batch, Mapping)
    assert dict(**batch) == batch.data
    assert list(batch.keys()) == ["input_ids", "attention_mask"]
    batch["labels"] = [1]
    assert "labels" in batch
    assert batch.pop("labels") == [1]
    assert batch.copy().data == batch.data
    assert batch.copy().tokens() == batch.tokens()


def test_it_pickles_with_its_alignment(tokenizer):
    batch = tokenizer([TEXT, PAIR])
    again = pickle.loads(pickle.dumps(batch))
    assert again.data == batch.data
    assert again.word_ids(1) == batch.word_ids(1)
    assert copy.deepcopy(batch).tokens() == batch.tokens()


def test_values_become_tensors_in_place(tokenizer):
    batch = tokenizer(PAIR)
    assert batch.tensors == {}
    assert batch.convert_to_tensors("np", prepend_batch_axis=True) is batch
    assert batch["input_ids"].shape == (1, 4)
    assert set(batch.tensors) == {"input_ids", "attention_mask"}
    assert batch.convert_to_tensors(None) is batch
    assert BatchEncoding({"input_ids": []}, tensor_type="np")["input_ids"].dtype == np.int64


def test_a_value_that_is_no_number_is_named():
    with pytest.raises(ValueError, match="`input_ids` in this case"):
        BatchEncoding({"input_ids": [["a"]]}, tensor_type="np")


@pytest.mark.torch
def test_tensors_move_to_a_device_and_others_stay(tokenizer):
    torch = pytest.importorskip("torch")
    batch = tokenizer([PAIR], return_tensors="pt")
    batch["note"] = "kept"
    assert batch.to("meta") is batch
    assert batch["input_ids"].device == torch.device("meta")
    assert batch["note"] == "kept"
    floats = BatchEncoding({"x": [0.5]}, tensor_type="pt")["x"]
    assert floats.dtype == torch.float32


def test_a_framework_that_is_not_installed_is_named_with_its_extra(tokenizer, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    with pytest.raises(BackendUnavailable, match="PyTorch is not installed") as caught:
        tensors.wrap(np.zeros(1), "pt")
    assert "hubloader[torch]" in caught.value.hint
    assert isinstance(caught.value, ImportError)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    batch=st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=40), min_size=1),
    pairs=st.booleans(),
    family=st.sampled_from(["roberta", "deberta", "gpt2"]),
    cut=st.sampled_from([{}, {"truncation": True, "max_length": 9}]),
)
def test_rows_made_without_offsets_are_those_made_with_them(batch, pairs, family, cut):
    tokenizer = byte_level(family)
    second = batch[::-1] if pairs else None
    options = {**cut, "return_token_type_ids": True, "return_special_tokens_mask": True}
    without = tokenizer(batch, second, **options)
    with_offsets = tokenizer(batch, second, return_offsets_mapping=True, **options)
    assert {key: with_offsets[key] for key in without} == without.data


@functools.cache
def byte_level(family):
    return AutoTokenizer.from_pretrained(HUB.parent / "tokenizers" / family, tokenizer_type=family)
