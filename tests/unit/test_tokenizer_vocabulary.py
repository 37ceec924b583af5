"""Tokens, ids, roles, decoding, padding later, and saving."""

import json
from pathlib import Path

import numpy as np
import pytest
from tokenizers import AddedToken

from hubloader.auto.tokenizer import AutoTokenizer

HUB = Path(__file__).resolve().parents[2] / "cache_fixtures" / "hub"
CHECKPOINT = HUB / "distilbert" / "distilbert-base-uncased-finetuned-sst-2-english"


@pytest.fixture
def tokenizer():
    return AutoTokenizer.from_pretrained(CHECKPOINT)


def test_tokens_and_ids_are_looked_up_both_ways(tokenizer):
    assert tokenizer.convert_tokens_to_ids("the") == 1996
    assert tokenizer.convert_tokens_to_ids(["the", "no such token"]) == [1996, 100]
    assert tokenizer.convert_ids_to_tokens(1996) == "the"
    assert tokenizer.convert_ids_to_tokens([101, 1996, 999_999]) == ["[CLS]", "the", None]
    assert tokenizer.convert_ids_to_tokens([101, 1996], skip_special_tokens=True) == ["the"]
    assert tokenizer.convert_ids_to_tokens(np.array([1996])) == ["the"]
    assert tokenizer.vocab == tokenizer.get_vocab()
    assert (tokenizer.vocab_size, len(tokenizer)) == (30522, 30522)
    assert tokenizer.get_added_vocab()["[MASK]"] == 103
    assert bool(tokenizer)


def test_an_unknown_token_without_an_unknown_role_has_no_id(tokenizer):
    tokenizer.unk_token = None
    assert tokenizer.convert_tokens_to_ids("no such token") is None


def test_roles_are_attributes_with_ids(tokenizer):
    assert (tokenizer.pad_token, tokenizer.pad_token_id) == ("[PAD]", 0)
    assert (tokenizer.bos_token, tokenizer.bos_token_id) == (None, None)
    tokenizer.bos_token = AddedToken("[CLS]")
    tokenizer.eos_token_id = 102
    assert (tokenizer.bos_token_id, tokenizer.eos_token) == (101, "[SEP]")
    tokenizer.eos_token_id = None
    assert tokenizer.eos_token is None
    with pytest.raises(ValueError, match="Cannot set a non-string value as the pad_token"):
        tokenizer.pad_token = 5
    with pytest.raises(AttributeError, match="DistilBertTokenizer has no attribute frob"):
        _ = tokenizer.frob


def test_roles_of_a_models_own_are_attributes_too():
    tokenizer = AutoTokenizer.from_pretrained(
        CHECKPOINT, extra_special_tokens={"image_token": "[MASK]"}
    )
    assert (tokenizer.image_token, tokenizer.image_token_id) == ("[MASK]", 103)
    listed = AutoTokenizer.from_pretrained(CHECKPOINT, extra_special_tokens=["<x>"])
    assert listed.extra_special_tokens == listed.additional_special_tokens == ["<x>"]
    assert listed.additional_special_tokens_ids == [30522]


def test_init_arguments_of_the_class_are_attributes(tokenizer):
    assert (tokenizer.do_lower_case, tokenizer.strip_accents) == (True, None)
    cased = AutoTokenizer.from_pretrained(CHECKPOINT, do_lower_case=False)
    assert cased.do_lower_case is False
    with pytest.raises(AttributeError, match="no attribute add_prefix_space"):
        _ = cased.add_prefix_space


def test_special_tokens_are_added_and_tied_to_their_roles(tokenizer):
    added = tokenizer.add_special_tokens(
        {"bos_token": "<s>", "pad_token": "[PAD]", "additional_special_tokens": ["<a>", "<b>"]}
    )
    assert added == 3
    assert tokenizer.bos_token_id == 30522
    assert tokenizer("<s> <a>")["input_ids"] == [101, 30522, 30523, 102]
    assert tokenizer.special_tokens_map["additional_special_tokens"] == ["<a>", "<b>"]
    assert tokenizer.all_special_tokens == [
        "<s>", "[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]", "<a>", "<b>",
    ]  # fmt: skip
    more = {"additional_special_tokens": ["<b>", "<c>"]}
    assert tokenizer.add_special_tokens(more, replace_additional_special_tokens=False) == 1
    assert tokenizer.additional_special_tokens == ["<a>", "<b>", "<c>"]
    tokenizer.add_special_tokens({"additional_special_tokens": ["<d>"]})
    assert tokenizer.additional_special_tokens == ["<d>"]
    assert tokenizer.sanitize_special_tokens() == 0


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"frob_token": "x"}, "Key frob_token is not a special token"),
        ({"bos_token": 5}, "should be a str or an AddedToken"),
        ({"additional_special_tokens": "x"}, "should all be str or AddedToken"),
    ],
)
def test_what_is_no_special_token_is_refused(tokenizer, table, words):
    with pytest.raises(ValueError, match=words):
        tokenizer.add_special_tokens(table)


def test_added_tokens_keep_their_flags(tokenizer):
    assert tokenizer.add_tokens("hubloader") == 1
    assert tokenizer.add_tokens(["hubloader", AddedToken("naïve", normalized=False)]) == 1
    assert tokenizer.add_tokens([]) == 0
    assert tokenizer.tokenize("the HubLoader is naïve") == ["the", "hubloader", "is", "naïve"]
    assert tokenizer.added_tokens_decoder[30523].normalized is False
    assert tokenizer.added_tokens_encoder["naïve"] == 30523


def test_ids_are_decoded_in_every_shape(tokenizer):
    ids = tokenizer("hello, world!")["input_ids"]
    text = "[CLS] hello, world! [SEP]"
    assert tokenizer.decode(ids) == text
    assert tokenizer.decode(np.array(ids)) == text
    assert tokenizer.decode([ids, ids]) == [text, text]
    assert tokenizer.decode(7592) == "hello"
    assert tokenizer.batch_decode([ids], skip_special_tokens=True) == ["hello, world!"]
    assert tokenizer.batch_decode(np.array([7592, 1010])) == ["hello", ","]
    assert tokenizer.decode([]) == ""
    assert tokenizer.convert_tokens_to_string(["hell", "##o"]) == "hello"


def test_cleaning_up_is_a_setting_and_an_argument(tokenizer):
    ids = tokenizer.encode("it's", add_special_tokens=False)
    assert tokenizer.decode(ids) == "it's"
    assert tokenizer.decode(ids, clean_up_tokenization_spaces=False) == "it ' s"
    tokenizer.clean_up_tokenization_spaces = False
    assert tokenizer.decode(ids) == "it ' s"


def test_room_for_text_is_counted(tokenizer):
    assert tokenizer.num_special_tokens_to_add(pair=True) == 3
    assert tokenizer.max_len_single_sentence == 510
    assert tokenizer.max_len_sentences_pair == 509


ROWS = [{"input_ids": [101, 102], "labels": 1}, {"input_ids": [101, 7592, 102], "labels": 0}]


def test_rows_are_padded_later_and_foreign_columns_stay(tokenizer):
    padded = tokenizer.pad(ROWS)
    assert padded.data == {
        "input_ids": [[101, 102, 0], [101, 7592, 102]],
        "labels": [1, 0],
        "attention_mask": [[1, 1, 0], [1, 1, 1]],
    }
    left = tokenizer.pad(ROWS, padding_side="left", pad_to_multiple_of=4, return_tensors="np")
    assert left["input_ids"].tolist() == [[0, 0, 101, 102], [0, 101, 7592, 102]]
    assert left["labels"].tolist() == [1, 0]
    assert "attention_mask" not in tokenizer.pad(ROWS, return_attention_mask=False)
    assert tokenizer.pad(ROWS, padding=False)["input_ids"] == [[101, 102], [101, 7592, 102]]
    assert ROWS[0] == {"input_ids": [101, 102], "labels": 1}


def test_one_encoding_is_padded_as_one(tokenizer):
    padded = tokenizer.pad({"input_ids": [101, 102]}, padding="max_length", max_length=4)
    assert padded.data == {"input_ids": [101, 102, 0, 0], "attention_mask": [1, 1, 0, 0]}


def test_arrays_in_give_arrays_out(tokenizer):
    rows = [{"input_ids": np.array([101, 102])}, {"input_ids": np.array([101, 7592, 102])}]
    padded = tokenizer.pad(rows)
    assert isinstance(padded["input_ids"], np.ndarray)
    assert padded["attention_mask"].tolist() == [[1, 1, 0], [1, 1, 1]]


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"labels": [1]}, ValueError, "that includes input_ids, but you provided"),
        ({"input_ids": [[1], [2]], "x": [1]}, ValueError, "different batch size"),
        ([1, 2], TypeError, "takes an encoding"),
    ],
)
def test_what_cannot_be_padded_is_refused(tokenizer, given, error, words):
    with pytest.raises(error, match=words):
        tokenizer.pad(given)


def test_nothing_stays_nothing(tokenizer):
    assert tokenizer.pad({"input_ids": []}, return_attention_mask=True).data == {
        "input_ids": [],
        "attention_mask": [],
    }


def test_saving_writes_what_transformers_writes(tokenizer, tmp_path):
    paths = tokenizer.save_pretrained(tmp_path / "new" / "folder")
    names = [Path(path).name for path in paths]
    assert names == [
        "tokenizer_config.json", "special_tokens_map.json", "vocab.txt", "tokenizer.json",
    ]  # fmt: skip
    settings = json.loads(Path(paths[0]).read_text(encoding="utf-8"))
    assert settings["tokenizer_class"] == "DistilBertTokenizer"
    assert settings["model_max_length"] == 512
    assert settings["added_tokens_decoder"]["103"]["content"] == "[MASK]"
    assert str(CHECKPOINT) not in Path(paths[0]).read_text(encoding="utf-8")
    assert Path(paths[2]).read_bytes() == (CHECKPOINT / "vocab.txt").read_bytes()


@pytest.mark.parametrize("legacy", [True, False])
def test_either_format_alone_loads_to_the_same(tokenizer, tmp_path, legacy):
    tokenizer.add_tokens(["<plain>", AddedToken("Mixed", normalized=False, lstrip=True)])
    tokenizer.add_special_tokens({"additional_special_tokens": ["<special>"]})
    tokenizer.chat_template = {"default": "a", "tools": "b"}
    tokenizer.model_max_length = 77
    tokenizer.padding_side = "left"
    tokenizer.save_pretrained(tmp_path, legacy_format=legacy)
    assert (tmp_path / "tokenizer.json").exists() is not legacy
    assert (tmp_path / "vocab.txt").exists() is legacy
    again = AutoTokenizer.from_pretrained(tmp_path)
    text = "a <plain> Mixed <special> [MASK]"
    assert again(text).data == tokenizer(text).data
    assert again.special_tokens_map == tokenizer.special_tokens_map
    assert again.added_tokens_encoder == tokenizer.added_tokens_encoder
    assert (again.model_max_length, again.padding_side) == (77, "left")
    assert again.chat_template == tokenizer.chat_template
    assert again.decode([101]) == tokenizer.decode([101])


def test_special_tokens_of_both_kinds_are_saved_for_older_and_newer_readers(tmp_path):
    roles = {"image_token": AddedToken("<i>", lstrip=True), "video_token": "<v>"}
    tokenizer = AutoTokenizer.from_pretrained(CHECKPOINT, extra_special_tokens=roles)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<x>"]})
    tokenizer.save_pretrained(tmp_path)
    settings = json.loads((tmp_path / "tokenizer_config.json").read_text(encoding="utf-8"))
    # 4.x takes a mapping here and nothing else, and a list by the other name.
    assert settings["extra_special_tokens"]["video_token"] == "<v>"
    assert settings["extra_special_tokens"]["image_token"]["lstrip"] is True
    assert settings["additional_special_tokens"] == ["<x>"]
    again = AutoTokenizer.from_pretrained(tmp_path)
    assert (again.image_token, again.video_token_id) == ("<i>", tokenizer.video_token_id)
    assert again.all_special_tokens == tokenizer.all_special_tokens
    assert again("a <i> <v><x>").data == tokenizer("a <i> <v><x>").data


@pytest.mark.parametrize("given", [{}, ["<x>"]])
def test_special_tokens_without_a_role_are_saved_by_their_older_name_alone(tmp_path, given):
    tokenizer = AutoTokenizer.from_pretrained(CHECKPOINT, extra_special_tokens=given)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<y>"]}, False)
    tokenizer.save_pretrained(tmp_path)
    settings = json.loads((tmp_path / "tokenizer_config.json").read_text(encoding="utf-8"))
    assert "extra_special_tokens" not in settings
    assert settings["additional_special_tokens"] == [*given, "<y>"]
    assert AutoTokenizer.from_pretrained(tmp_path).additional_special_tokens == [*given, "<y>"]


def test_a_prefix_goes_before_every_name(tokenizer, tmp_path):
    paths = tokenizer.save_pretrained(tmp_path, filename_prefix="mine")
    assert all(Path(path).name.startswith("mine-") for path in paths)


def test_uploading_and_legacy_files_that_are_none_are_refused(tokenizer, tmp_path):
    with pytest.raises(ValueError, match="uploads nothing"):
        tokenizer.save_pretrained(tmp_path, push_to_hub=True)
    (tmp_path / "tokenizer.json").write_text(tokenizer.backend_tokenizer.to_str())
    generic = AutoTokenizer.from_pretrained(tmp_path)
    with pytest.raises(ValueError, match="has no legacy files"):
        generic.save_pretrained(tmp_path, legacy_format=True)
