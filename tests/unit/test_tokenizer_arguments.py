"""What an argument may be: odd ones get a sentence of their own, equal ones mean the same."""

import inspect
import json
import pickle
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from hubloader.auto.tokenizer import AutoTokenizer, tokenizer_class
from hubloader.errors import CorruptFile
from hubloader.tokenizers.batch import BatchEncoding
from hubloader.tokenizers.engine import Engine, Truncation
from hubloader.tokenizers.options import CallOptions
from hubloader.tokenizers.plan import CallPlan

HUB = Path(__file__).resolve().parents[2] / "cache_fixtures" / "hub"
CHECKPOINT = HUB / "distilbert" / "distilbert-base-uncased-finetuned-sst-2-english"
TEXT = "we are very happy"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("bert")
    shutil.copy(CHECKPOINT / "vocab.txt", path)
    (path / "config.json").write_text('{"model_type": "bert"}')
    return path


@pytest.fixture(scope="module")
def tokenizer(folder):
    return AutoTokenizer.from_pretrained(folder)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"padding": []}, ValueError, r"\[\] is not a valid PaddingStrategy"),
        ({"padding": 2}, ValueError, "2 is not a valid PaddingStrategy"),
        ({"truncation": {}}, ValueError, "{} is not a valid TruncationStrategy"),
        ({"return_tensors": []}, ValueError, "is not a valid TensorType"),
        ({"max_length": "5"}, TypeError, "max_length is '5', not a whole number"),
        ({"max_length": 5.5}, TypeError, "max_length is 5.5, not a whole number"),
        ({"max_length": float("nan")}, TypeError, "max_length is nan"),
        ({"max_length": float("inf")}, TypeError, "max_length is inf"),
        ({"max_length": [5]}, TypeError, r"max_length is \[5\]"),
        ({"max_length": -5}, ValueError, "max_length is -5: it cannot be below 0"),
        ({"stride": None}, TypeError, "stride is None, not a whole number"),
        ({"stride": -1}, ValueError, "stride is -1"),
        ({"pad_to_multiple_of": "8"}, TypeError, "pad_to_multiple_of is '8'"),
        ({"padding_side": 1}, ValueError, "padding_side is 1: it is 'right' or 'left'"),
        ({"add_special_tokens": None}, TypeError, "add_special_tokens is None, not True"),
        ({"is_split_into_words": "no"}, TypeError, "is_split_into_words is 'no'"),
        ({"split_special_tokens": "x"}, TypeError, "split_special_tokens is 'x'"),
    ],
)
def test_an_argument_that_cannot_be_meant_is_named(tokenizer, arguments, error, words):
    with pytest.raises(error, match=words):
        tokenizer(TEXT, **arguments)


@pytest.mark.parametrize(
    ("usual", "equal"),
    [
        ({"padding": True}, {"padding": 1}),
        ({"padding": False}, {"padding": np.bool_(False)}),
        ({"max_length": 4, "truncation": True}, {"max_length": 4.0, "truncation": 1}),
        ({"max_length": 4}, {"max_length": np.int64(4)}),
        ({"add_special_tokens": False}, {"add_special_tokens": 0}),
        ({"return_length": True}, {"return_length": [1]}),
    ],
)
def test_equal_arguments_mean_the_same_whichever_comes_first(folder, usual, equal):
    expected = AutoTokenizer.from_pretrained(folder)([TEXT, "a"], **usual).data
    for first, second in ((usual, equal), (equal, usual)):
        tokenizer = AutoTokenizer.from_pretrained(folder)
        assert tokenizer([TEXT, "a"], **first).data == expected
        assert tokenizer([TEXT, "a"], **second).data == expected


def test_a_limit_beyond_any_text_is_no_limit(tokenizer):
    whole = tokenizer(TEXT).data
    assert tokenizer(TEXT, truncation=True, max_length=2**70).data == whole


@pytest.mark.parametrize(
    ("argument", "value", "words"),
    [
        ("additional_special_tokens", "abc", "'abc', not a list of tokens"),
        ("additional_special_tokens", [1], "holds 1, which is not a token"),
        ("extra_special_tokens", "abc", "not a list or an object"),
        ("extra_special_tokens", {"image_token": 1}, "holds 1, which is not a token"),
        ("pad_token", 1, "pad_token is not a token: 1"),
        ("do_lower_case", "no", "do_lower_case is 'no', not true or false"),
        ("model_max_length", "512", "model_max_length is '512', not a number"),
        ("model_max_length", 512.5, "model_max_length is 512.5, not a whole number"),
        ("model_input_names", "input_ids", "not a list of names"),
    ],
)
def test_an_init_argument_is_blamed_on_who_gave_it(folder, tmp_path, argument, value, words):
    with pytest.raises(TypeError, match=words):
        AutoTokenizer.from_pretrained(folder, **{argument: value})
    shutil.copytree(folder, tmp_path / "folder")
    settings = json.dumps({argument: value})
    (tmp_path / "folder" / "tokenizer_config.json").write_text(settings)
    with pytest.raises(CorruptFile, match=words) as caught:
        AutoTokenizer.from_pretrained(tmp_path / "folder")
    assert caught.value.filename == "tokenizer_config.json"


@pytest.mark.parametrize("limit", [None, float("inf"), 1e30])
def test_a_limit_that_nobody_set_is_written_in_several_ways(folder, limit):
    tokenizer = AutoTokenizer.from_pretrained(folder, model_max_length=limit)
    assert tokenizer.model_max_length == int(1e30)


def test_a_limit_may_be_a_float_without_a_fraction_and_never_words(folder):
    tokenizer = AutoTokenizer.from_pretrained(folder, model_max_length=4.0)
    assert tokenizer(TEXT, truncation=True)["input_ids"] == [101, 2057, 2024, 102]
    with pytest.raises(TypeError, match="model_max_length is 'x'"):
        tokenizer.model_max_length = "x"
    tokenizer.model_max_length = -1
    assert tokenizer("a", verbose=False)["input_ids"] == [101, 1037, 102]
    with pytest.raises(ValueError, match="model_max_length is -1"):
        tokenizer("a", truncation=True)


@pytest.mark.parametrize(
    ("call", "given", "error", "words"),
    [
        ("decode", [101, -100], OverflowError, "-100 marks labels"),
        ("decode", [1 << 40], OverflowError, "ids go from 0 to 4294967295"),
        ("decode", [1.0], TypeError, "1.0 is no id of a token"),
        ("decode", "abc", TypeError, "'abc' is no id of a token"),
        ("batch_decode", [[101], [-1]], OverflowError, "-1 is no id of a token"),
        ("convert_ids_to_tokens", -1, OverflowError, "-1 is no id of a token"),
        ("convert_ids_to_tokens", iter([101, 1 << 40]), OverflowError, "is no id of a token"),
        ("convert_tokens_to_ids", ["a", 5], TypeError, "5 is no token: a token is a str"),
        ("convert_tokens_to_string", "abc", TypeError, "takes a list of tokens"),
        ("convert_tokens_to_string", [1], TypeError, "takes a list of tokens"),
    ],
)
def test_what_is_no_id_and_no_token_is_named(tokenizer, call, given, error, words):
    with pytest.raises(error, match=words):
        getattr(tokenizer, call)(given)


def test_the_older_calls_take_their_options_by_position_as_transformers_did(tokenizer):
    ids = tokenizer.convert_tokens_to_ids(TEXT.split())
    assert tokenizer.encode(TEXT, None, False) == ids
    assert tokenizer.encode(TEXT, None, True, False, True, 3) == [101, 2057, 102]
    assert tokenizer.encode_plus(TEXT, None, False)["input_ids"] == ids
    assert tokenizer.batch_encode_plus([TEXT], False)["input_ids"] == [ids]
    assert tokenizer.prepare_for_model(ids, None, False)["input_ids"] == ids
    batch = tokenizer.prepare_for_model(ids, prepend_batch_axis=True, return_tensors="np")
    assert batch["input_ids"].shape == (1, 6)
    with pytest.raises(TypeError, match="given add_special_tokens twice"):
        tokenizer.encode(TEXT, None, False, add_special_tokens=True)
    with pytest.raises(TypeError, match="takes 7 arguments after its texts"):
        tokenizer.encode(TEXT, None, *range(8))


def test_a_class_loads_by_transformers_own_keyword(folder):
    bert = tokenizer_class("BertTokenizer")
    loaded = bert.from_pretrained(pretrained_model_name_or_path=folder)
    assert type(loaded) is bert


def test_what_padding_has_for_a_type_is_the_classs_own(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "folder")
    settings = json.dumps({"pad_token_type_id": 3})
    (tmp_path / "folder" / "tokenizer_config.json").write_text(settings)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "folder", pad_token_type_id=2)
    assert tokenizer.pad_token_type_id == 0
    assert tokenizer("a", padding="max_length", max_length=4)["token_type_ids"] == [0] * 4


def test_ids_stay_whole_numbers_when_a_dtype_is_asked_for(tokenizer):
    batch = tokenizer(TEXT, return_tensors="pt")
    with pytest.warns(UserWarning, match="cast a BatchEncoding to type torch.float16"):
        assert batch.to(torch.float16) is batch
    assert batch["input_ids"].dtype == torch.int64


def test_two_threads_may_ask_for_the_alignment_at_once():
    asked, go = threading.Barrier(2, timeout=30), []

    def encodings():
        asked.wait()
        go.append(1)
        return ["made"]

    batch = BatchEncoding({"input_ids": [1]}, source=encodings)
    seen = []
    threads = [threading.Thread(target=lambda: seen.append(batch.encodings)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [["made"], ["made"]]


class PanicException(BaseException):
    """Stands for a panic of the engine: what counts is its name."""


class Panicking:
    """An engine, or an encoding, whose every method panics."""

    truncation = None
    ids = ()

    def __len__(self):
        return 1

    def __setattr__(self, name, value):
        raise PanicException("byte index 1 is not a char boundary")

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        raise PanicException("byte index 1 is not a char boundary")


def engine_that_panics():
    engine = Engine.__new__(Engine)
    engine.__dict__.update(
        _backend=Panicking(), _views={}, _lock=threading.Lock(), _renamed=None, exposed=True
    )
    return engine


@pytest.mark.parametrize(
    "work",
    [
        lambda engine: engine._make_view((Truncation(3, 0, "longest_first", "right"), False)),
        lambda engine: engine.add_tokens(["a"], special=False),
        lambda engine: engine.replace_part("normalizer", None),
        lambda engine: engine.decode([[1]], skip_special_tokens=False),
        lambda engine: engine.with_part("normalizer", None),
    ],
)
def test_a_panic_of_the_engine_is_an_ordinary_error(work):
    with pytest.raises(CorruptFile, match="the tokenizer's engine gave up: byte index"):
        work(engine_that_panics())


def test_a_panic_while_rows_are_filled_up_or_ids_looked_up_is_an_ordinary_error(tokenizer):
    plan = tokenizer._plan(CallOptions(padding="max_length", max_length=5))
    assert isinstance(plan, CallPlan)
    with pytest.raises(CorruptFile, match="gave up"):
        plan._fill([Panicking()])
    broken = pickle.loads(pickle.dumps(tokenizer))
    broken._engine = engine_that_panics()
    with pytest.raises(CorruptFile, match="gave up"):
        broken.convert_ids_to_tokens([1])


def test_the_arguments_of_a_call_are_transformers_own():
    parameters = list(inspect.signature(tokenizer_class("BertTokenizer").__call__).parameters)
    names = [name for name in CallOptions._fields if name != "split_special_tokens"]
    assert parameters[5:-1] == names


def test_a_load_imports_no_family_and_no_format_that_it_does_not_need(folder):
    code = (
        "import sys; from hubloader import AutoTokenizer\n"
        f"AutoTokenizer.from_pretrained({str(folder)!r})('a')\n"
        "print(*(n for n in sys.modules if n.startswith('hubloader.tokenizers.')), *sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    imported = {name.removeprefix("hubloader.tokenizers.") for name in ran.stdout.split()}
    unneeded = {"checks", "chat_render", "ranked_bytes", "sentencepiece_model"}
    assert not imported & {*unneeded, "families.sentencepiece", "families.ranked"}
    assert not imported & {"shutil", "numpy", "requests", "filelock", "tqdm"}


def test_a_class_says_what_it_is_without_being_loaded():
    electra, gpt2 = tokenizer_class("ElectraTokenizer"), tokenizer_class("GPT2Tokenizer")
    assert electra.vocab_files_names == {
        "vocab_file": "vocab.txt",
        "tokenizer_file": "tokenizer.json",
    }
    assert list(gpt2.vocab_files_names.values()) == ["vocab.json", "merges.txt", "tokenizer.json"]
    assert electra.model_input_names == ["input_ids", "token_type_ids", "attention_mask"]
    assert tokenizer_class("XLNetTokenizer").padding_side == "left"
    assert "pad_token" in electra.SPECIAL_TOKENS_ATTRIBUTES
