"""The call: its forms, its columns, what it refuses, and what it remembers."""

import json
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest

from hubloader.auto.tokenizer import AutoTokenizer, PretrainedTokenizer, tokenizer_class
from hubloader.tokenizers.tokenizer import Tokenizer

HUB = Path(__file__).resolve().parents[2] / "cache_fixtures" / "hub"
CHECKPOINT = HUB / "distilbert" / "distilbert-base-uncased-finetuned-sst-2-english"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("bert")
    shutil.copy(CHECKPOINT / "vocab.txt", path)
    (path / "config.json").write_text('{"model_type": "bert"}')
    settings = {"do_lower_case": True, "model_max_length": 32}
    (path / "tokenizer_config.json").write_text(json.dumps(settings))
    return path


@pytest.fixture
def tokenizer(folder):
    return AutoTokenizer.from_pretrained(folder)


def test_a_call_with_everything_has_its_columns_in_transformers_order(tokenizer):
    everything = tokenizer(
        "the library",
        return_length=True,
        return_offsets_mapping=True,
        return_special_tokens_mask=True,
        return_overflowing_tokens=True,
    )
    assert list(everything) == [
        "input_ids",
        "token_type_ids",
        "attention_mask",
        "special_tokens_mask",
        "offset_mapping",
        "length",
        "overflow_to_sample_mapping",
    ]


@pytest.mark.parametrize(
    ("text", "pair", "error", "words"),
    [
        (None, None, ValueError, "either `text` or `text_target`"),
        (5, None, ValueError, "text input must be of type `str`"),
        ([5], None, ValueError, r"text input must be of type `str`"),
        (["a"], "b", TypeError, "must be a list or tuple with the same length"),
        (["a"], ["b", "c"], ValueError, "batch length of `text`: 1 does not match"),
        ([], None, IndexError, "holds no text"),
    ],
)
def test_what_is_no_text_is_refused_in_transformers_words(tokenizer, text, pair, error, words):
    with pytest.raises(error, match=words):
        tokenizer(text, pair)


def test_an_unknown_argument_is_named_with_the_nearest_one(tokenizer):
    with pytest.raises(TypeError, match=r"'paddding': did you mean 'padding'\?"):
        tokenizer("a", paddding=True)
    with pytest.raises(TypeError, match=r"no argument 'qqq'$"):
        tokenizer.encode("a", qqq=True)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"padding": "up"}, "not a valid PaddingStrategy"),
        ({"truncation": "all"}, "not a valid TruncationStrategy"),
        ({"return_tensors": "xx"}, "not a valid TensorType"),
        ({"padding": True, "padding_side": "up"}, "padding_side is 'up'"),
        (
            {"padding": True, "truncation": True, "max_length": 10, "pad_to_multiple_of": 8},
            r"truncation length \(10\) is not a multiple of pad_to_multiple_of \(8\)",
        ),
        ({"truncation": True, "max_length": 4, "stride": 4}, "stride"),
    ],
)
def test_arguments_that_mean_nothing_are_refused(tokenizer, arguments, words):
    with pytest.raises(ValueError, match=words):
        tokenizer("the library", **arguments)


def test_padding_without_a_padding_token_says_how_to_get_one(tokenizer):
    tokenizer.pad_token = None
    with pytest.raises(ValueError, match="Please select a token to use as `pad_token`"):
        tokenizer(["a", "b"], padding=True)


@pytest.mark.torch
def test_ragged_rows_as_tensors_are_told_to_pad(tokenizer):
    pytest.importorskip("torch")
    with pytest.raises(ValueError, match="activate truncation and/or padding"):
        tokenizer(["a", "the library"], return_tensors="pt")


def test_ragged_rows_as_numpy_are_objects(tokenizer):
    ragged = tokenizer(["a", "the library"], return_tensors="np")["input_ids"]
    assert ragged.dtype == object
    assert ragged.shape == (2,)


def test_one_text_as_tensors_keeps_the_batch_axis(tokenizer):
    assert tokenizer("a", return_tensors="np")["input_ids"].shape[0] == 1


def test_offsets_as_tensors_have_two_columns(tokenizer):
    batch = tokenizer(
        ["a", "the library"], padding=True, return_tensors="np", return_offsets_mapping=True
    )
    assert batch["offset_mapping"].shape == (*batch["input_ids"].shape, 2)


def test_left_padding_fills_tensors_and_lists_alike(tokenizer):
    texts = ["a", "the library is here", ""]
    options = {"padding": "max_length", "max_length": 12, "padding_side": "left"}
    lists = tokenizer(texts, **options)
    arrays = tokenizer(texts, return_tensors="np", **options)
    assert {key: value.tolist() for key, value in arrays.items()} == lists.data
    assert lists["input_ids"][2][:10] == [tokenizer.pad_token_id] * 10


def test_a_limit_of_one_call_is_not_there_in_the_next(tokenizer):
    long = "the library is here"
    whole = tokenizer(long)
    assert len(tokenizer(long, truncation=True, max_length=3)["input_ids"]) == 3
    assert len(tokenizer(long, padding="max_length", max_length=30)["input_ids"]) == 30
    assert tokenizer(long).data == whole.data


def test_padding_and_truncation_saved_in_tokenizer_json_do_not_reach_a_call(tokenizer, tmp_path):
    whole = tokenizer("the library is here")
    tokenizer.save_pretrained(tmp_path)
    backend = tokenizer.backend_tokenizer
    backend.enable_padding(length=64, pad_id=0, pad_token="[PAD]", direction="left")
    backend.enable_truncation(4)
    backend.save(str(tmp_path / "tokenizer.json"))
    again = AutoTokenizer.from_pretrained(tmp_path)
    assert again("the library is here").data == whole.data


def test_a_changed_setting_changes_the_next_call(tokenizer):
    pair = ["a", "the library"]
    right = tokenizer(pair, padding=True)["input_ids"][0]
    tokenizer.padding_side = "left"
    assert tokenizer(pair, padding=True)["input_ids"][0] == right[3:] + right[:3] != right
    tokenizer.pad_token = "[MASK]"
    assert tokenizer(pair, padding=True)["input_ids"][0][0] == tokenizer.mask_token_id
    tokenizer.model_max_length = 3
    assert len(tokenizer("the library", truncation=True)["input_ids"]) == 3
    tokenizer.model_input_names = ["input_ids"]
    assert list(tokenizer("a")) == ["input_ids"]


def test_the_engine_itself_may_be_changed_and_calls_follow(tokenizer):
    from tokenizers import normalizers

    backend = tokenizer.backend_tokenizer
    before = tokenizer("the library", truncation=True, max_length=16)
    backend.normalizer = normalizers.Replace("library", "hub")
    after = tokenizer("the library", truncation=True, max_length=16)
    assert after["input_ids"] != before["input_ids"]
    assert after.data == tokenizer("the hub").data
    assert after.word_ids()[1] == 0


def test_too_long_a_text_is_said_once(tokenizer):
    with pytest.warns(UserWarning, match=r"\(\d+ > 32\)"):
        tokenizer("a " * 40)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tokenizer("a " * 40)
        tokenizer("a " * 40, truncation=True)


def test_without_any_limit_padding_to_one_is_switched_off_with_a_warning(tokenizer):
    tokenizer.model_max_length = int(1e30)
    with pytest.warns(UserWarning, match="Default to no padding"):
        short = tokenizer("a", padding="max_length")
    assert short.data == tokenizer("a").data
    with pytest.warns(UserWarning, match="Default to no truncation"):
        tokenizer("a", truncation=True)


def test_enums_of_transformers_are_taken_for_words(tokenizer):
    class Word:
        def __init__(self, value):
            self.value = value

    texts = ["a", "the library"]
    assert (
        tokenizer(texts, padding=Word("longest"), return_tensors=Word("np"))["input_ids"].tolist()
        == tokenizer(texts, padding=True)["input_ids"]
    )


def test_the_older_calls_give_what_the_call_gives(tokenizer):
    one = tokenizer("the library", "here")
    assert tokenizer.encode_plus("the library", "here").data == one.data
    assert (
        tokenizer.batch_encode_plus([("the library", "here")])["input_ids"][0] == one["input_ids"]
    )
    assert tokenizer.encode("the library", "here") == one["input_ids"]
    assert tokenizer.tokenize("the library") == one.tokens()[1:3]
    with pytest.raises(TypeError, match="has to be a list or a tuple"):
        tokenizer.batch_encode_plus("the library")


def test_ids_that_come_from_elsewhere_are_framed_as_the_engine_frames(tokenizer):
    first = tokenizer.encode("the library", add_special_tokens=False)
    second = tokenizer.encode("here", add_special_tokens=False)
    pair = tokenizer("the library", "here", return_special_tokens_mask=True)
    assert tokenizer.build_inputs_with_special_tokens(first, second) == pair["input_ids"]
    types = tokenizer.create_token_type_ids_from_sequences(first, second)
    assert types == pair["token_type_ids"]
    mask = tokenizer.get_special_tokens_mask(first, second)
    assert mask == pair["special_tokens_mask"]
    assert tokenizer.get_special_tokens_mask(pair["input_ids"], None, True) == mask
    prepared = tokenizer.prepare_for_model(first, second, return_special_tokens_mask=True)
    assert {key: prepared[key] for key in pair} == pair.data


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("strategy", ["only_first", "longest_first", "only_second"])
def test_prepare_for_model_cuts_as_the_call_does(tokenizer, side, strategy):
    tokenizer.truncation_side = side
    texts = ("the library is here and there", "the text is here too")
    options = {"truncation": strategy, "max_length": 10}
    ids = [tokenizer.encode(text, add_special_tokens=False) for text in texts]
    expected = tokenizer(*texts, **options)
    assert tokenizer.prepare_for_model(*ids, **options)["input_ids"] == expected["input_ids"]


def test_cutting_more_than_there_is_says_so(tokenizer):
    with pytest.raises(ValueError, match="remove 5 to truncate"):
        tokenizer.truncate_sequences([1, 2], num_tokens_to_remove=5)
    assert tokenizer.truncate_sequences([1, 2, 3, 4], None, 2, "only_first", 1) == (
        [1, 2],
        None,
        [2, 3, 4],
    )
    tokenizer.truncation_side = "left"
    assert tokenizer.truncate_sequences([1, 2, 3, 4], [5, 6, 7], 2, "only_second", 1) == (
        [1, 2, 3, 4],
        [7],
        [5, 6, 7],
    )


def test_rows_that_were_cut_off_keep_the_types_of_both_texts(tokenizer):
    rows = tokenizer(
        "the library is here and there",
        "the text is here too",
        truncation=True,
        max_length=9,
        return_overflowing_tokens=True,
    )
    for types, texts in zip(rows["token_type_ids"], map(rows.sequence_ids, range(3)), strict=False):
        last = len(types) - 1
        assert [types[place] for place in range(last) if texts[place] == 1] == [1] * texts.count(1)


def test_targets_come_back_as_labels(tokenizer):
    both = tokenizer("the library", text_target="here", max_target_length=3)
    assert both["labels"] == tokenizer("here", max_length=3, truncation=True)["input_ids"]
    assert tokenizer(text_target="here").data == tokenizer("here").data


def test_special_tokens_in_a_text_are_plain_text_when_asked(tokenizer):
    assert tokenizer("[MASK]")["input_ids"][1] == tokenizer.mask_token_id
    split = tokenizer("[MASK]", split_special_tokens=True)["input_ids"]
    assert tokenizer.mask_token_id not in split
    tokenizer.split_special_tokens = True
    assert tokenizer("[MASK]")["input_ids"] == split


def test_what_the_engine_cannot_take_for_text_is_pointed_out(tokenizer):
    with pytest.raises(TypeError, match=r"the text cannot be encoded: .*surrogates not allowed"):
        tokenizer("lone \ud800 surrogate")
    with pytest.raises(TypeError, match="text 1 of the batch holds a int, not a str"):
        tokenizer(["a", 5])
    with pytest.raises(TypeError, match="text 1 of the batch holds a NoneType"):
        tokenizer([("a", "b"), ("c", None)])


def test_a_text_too_short_for_its_part_of_the_cut_is_an_ordinary_error(tokenizer):
    with pytest.raises(ValueError, match="Sequence to truncate too short"):
        tokenizer("a", "the library is here", truncation="only_first", max_length=4)


def test_a_text_of_a_megabyte_is_one_text(tokenizer):
    long = "the library is here " * 50_000
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ids = tokenizer(long, return_tensors="np")["input_ids"]
    assert ids.dtype == np.int64
    assert ids.shape[1] > 200_000


def test_classes_are_had_by_name_and_load_what_they_say(folder):
    electra = tokenizer_class("ElectraTokenizerFast")
    assert electra is tokenizer_class("ElectraTokenizer")
    loaded = electra.from_pretrained(folder)
    assert type(loaded) is electra
    assert isinstance(loaded, PretrainedTokenizer)
    assert isinstance(loaded, Tokenizer)
    assert tokenizer_class("FrobTokenizer") is None
    by_type = AutoTokenizer.from_pretrained(folder, tokenizer_type="distilbert")
    assert type(by_type).__name__ == "DistilBertTokenizer"


def test_auto_tokenizer_is_not_made():
    with pytest.raises(TypeError, match="from_pretrained"):
        AutoTokenizer()


HUGE = 10**12


@pytest.mark.parametrize(
    "options",
    [
        {"padding": "max_length", "max_length": HUGE},
        {"padding": True, "pad_to_multiple_of": HUGE},
        {"padding": "max_length"},
    ],
)
@pytest.mark.parametrize("tensors", [None, "np"])
def test_a_width_that_no_memory_holds_is_refused(tokenizer, options, tensors):
    tokenizer.model_max_length = HUGE
    with pytest.raises(ValueError, match=f"padded to {HUGE} tokens: 1048576 are the most"):
        tokenizer("a", return_tensors=tensors, **options)
    with pytest.raises(ValueError, match=f"padded to {HUGE} tokens: 1048576 are the most"):
        tokenizer.pad({"input_ids": [[1], [1, 2]]}, return_tensors=tensors, **options)


def test_an_unknown_argument_of_decoding_and_padding_is_named_with_the_nearest_one(tokenizer):
    with pytest.raises(TypeError, match=r"did you mean 'skip_special_tokens'\?"):
        tokenizer.decode([5], skip_special_token=True)
    with pytest.raises(TypeError, match=r"did you mean 'skip_special_tokens'\?"):
        tokenizer.batch_decode([[5]], skip_special_token=True)
    with pytest.raises(TypeError, match=r"pad has no argument 'paddin': did you mean 'padding'\?"):
        tokenizer.pad([tokenizer("a")], paddin=True)
    assert tokenizer.decode([5], use_source_tokenizer=False) == tokenizer.decode([5])


def test_a_model_with_dropout_aligns_the_tokens_that_it_returned(tmp_path):
    from tokenizers import Tokenizer as Raw
    from tokenizers import models, processors

    word = "abcdefgh"
    vocab = {letter: index for index, letter in enumerate(word)}
    merges = [(word[:end], word[end]) for end in range(1, len(word))]
    vocab.update({word[: end + 1]: len(word) + end for end in range(1, len(word))})
    engine = Raw(models.BPE(vocab, merges, dropout=0.5))
    engine.post_processor = processors.TemplateProcessing("a $A", None, [("a", 0)])
    engine.save(str(tmp_path / "tokenizer.json"))
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    for _ in range(20):
        batch = tokenizer(word * 4)
        assert batch.encodings[0].ids == batch["input_ids"]


@pytest.mark.parametrize("batched", [False, True])
def test_words_that_the_caller_changes_later_stay_the_words_of_the_call(tokenizer, batched):
    words = ["the", "library"]
    batch = tokenizer([words] if batched else words, is_split_into_words=True)
    expected = tokenizer(["the", "library"], is_split_into_words=True).word_ids()
    words[:] = ["x"] * 9
    assert batch.word_ids() == expected


def test_a_pair_that_the_caller_changes_later_stays_the_pair_of_the_call(tokenizer):
    pair = ["the", "library"]
    batch = tokenizer([pair])
    pair[:] = ["here", "and there"]
    assert batch.tokens() == tokenizer("the", "library").tokens()


def test_arguments_that_never_come_twice_do_not_fill_the_memory(tokenizer):
    for length in range(3, 303):
        tokenizer("a", truncation=True, max_length=length)
    assert 0 < len(tokenizer._plans) <= 64


def test_model_input_names_may_be_changed_in_place(tokenizer):
    assert "token_type_ids" in tokenizer("a")
    tokenizer.model_input_names = list(tokenizer.model_input_names)
    assert "token_type_ids" in tokenizer("a")
    tokenizer.model_input_names.remove("token_type_ids")
    assert list(tokenizer("a")) == ["input_ids", "attention_mask"]


@pytest.mark.parametrize("pair", [None, "the text is here too"])
def test_a_stride_that_leaves_no_room_is_the_callers_mistake(tokenizer, pair):
    with pytest.raises(ValueError, match=r"stride=3 is too long for max_length=5"):
        tokenizer(
            "the library is here and there",
            pair,
            truncation=True,
            max_length=5,
            stride=3,
            return_overflowing_tokens=True,
        )


def test_a_row_is_found_by_any_whole_number(tokenizer):
    batch = tokenizer(["a", "the library"])
    assert batch[np.int64(1)].ids == batch[1].ids == batch["input_ids"][1]
    with pytest.raises(KeyError, match="Invalid key"):
        batch[1.0]
