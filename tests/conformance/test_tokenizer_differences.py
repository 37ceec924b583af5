"""Where a tokenizer here differs from transformers 5.23 on purpose: docs/reference/tokenizers.md.

Each test shows what either gives, so that a difference which goes away upstream is noticed.
"""

import json
from pathlib import Path

import pytest
import tokenizers

from hubloader.auto.tokenizer import AutoTokenizer

FIXTURES = Path(__file__).resolve().parents[2] / "cache_fixtures" / "tokenizers"
TEXT, PAIR = "We hope you", "don't hate it"

pytestmark = pytest.mark.oracle


@pytest.fixture
def both(tmp_path):
    transformers = pytest.importorskip("transformers", minversion="5.0")
    transformers.logging.set_verbosity_error()

    def load(model_type, family, files=("vocab.txt",), **settings):
        for name in files:
            content = (FIXTURES / family / name).read_text(encoding="utf-8")
            (tmp_path / name).write_text(content, encoding="utf-8")
        for name, value in (
            ("config.json", {"model_type": model_type}),
            ("tokenizer_config.json", settings),
        ):
            (tmp_path / name).write_text(json.dumps(value), encoding="utf-8")
        return again()

    def again():
        theirs = transformers.AutoTokenizer.from_pretrained(str(tmp_path))
        return AutoTokenizer.from_pretrained(tmp_path), theirs

    load.folder, load.again = tmp_path, again
    return load


BPE = ("vocab.json", "merges.txt")


def test_distilbert_takes_no_token_types(both):
    ours, theirs = both("distilbert", "wordpiece-cased")
    assert list(ours(TEXT)) == ["input_ids", "attention_mask"]
    assert list(theirs(TEXT)) == ["input_ids", "token_type_ids", "attention_mask"]


@pytest.mark.parametrize(("model_type", "family"), [("funnel", "funnel"), ("splinter", "splinter")])
def test_token_types_come_where_the_model_takes_them(both, model_type, family):
    ours, theirs = both(model_type, family)
    assert "token_type_ids" in ours(TEXT)
    assert "token_type_ids" not in theirs(TEXT)


def test_the_generic_class_gives_token_types(both):
    ours, theirs = both(
        "bert", "wordpiece-cased", tokenizer_class="BertTokenizer", do_lower_case=False
    )
    ours.save_pretrained(both.folder)
    settings = json.dumps({"tokenizer_class": "PreTrainedTokenizerFast"})
    (both.folder / "tokenizer_config.json").write_text(settings, encoding="utf-8")
    ours, theirs = both.again()
    assert list(ours(TEXT)) == ["input_ids", "token_type_ids", "attention_mask"]
    assert list(theirs(TEXT)) == ["input_ids", "attention_mask"]


def test_tokenizer_json_is_run_as_it_is(both):
    ours, _ = both("bert", "wordpiece-cased", tokenizer_class="BertTokenizer", do_lower_case=False)
    engine = ours.backend_tokenizer
    engine.normalizer = tokenizers.normalizers.Replace("hope", "hate")
    engine.save(str(both.folder / "tokenizer.json"))
    ours, theirs = both.again()
    edited, plain = ours("We hate you").input_ids, theirs("We hope you").input_ids
    assert ours("We hope you").input_ids == edited
    assert theirs("We hate you").input_ids == edited != plain


def test_the_mask_of_roberta_takes_the_space_before_it(both):
    ours, theirs = both("roberta", "roberta", BPE)
    ids, other = (each("a <mask>", add_special_tokens=False).input_ids for each in (ours, theirs))
    assert ours.convert_ids_to_tokens(ids) == ["a", "<mask>"]
    assert ours.convert_ids_to_tokens(other) == ["a", "Ġ", "<mask>"]


def test_a_pair_of_deberta_has_one_separator_and_two_types(both):
    ours, theirs = both("deberta", "deberta", BPE)
    mine, other = ours(TEXT, PAIR), theirs(TEXT, PAIR)
    assert mine.input_ids.count(ours.sep_token_id) == 2
    assert set(mine["token_type_ids"]) == {0, 1}
    assert other.input_ids.count(ours.sep_token_id) == 3
    assert set(other["token_type_ids"]) == {0}


def test_the_second_text_of_mpnet_is_of_the_second_type(both):
    ours, theirs = both("mpnet", "mpnet")
    assert set(ours(TEXT, PAIR, return_token_type_ids=True)["token_type_ids"]) == {0, 1}
    assert set(theirs(TEXT, PAIR, return_token_type_ids=True)["token_type_ids"]) == {0}


def test_cleaning_up_spaces_is_done_for_bpe_too(both):
    ours, theirs = both("gpt2", "gpt2", BPE)
    ids = ours("it 's a test .")["input_ids"]
    assert ours.decode(ids, clean_up_tokenization_spaces=True) == "it's a test."
    assert theirs.decode(ids, clean_up_tokenization_spaces=True) == "it 's a test ."


def test_an_unknown_argument_of_a_call_is_refused(both):
    ours, theirs = both("bert", "wordpiece-cased")
    with pytest.raises(TypeError, match="truncation"):
        ours(TEXT, trunkation=True)
    assert theirs(TEXT, trunkation=True).input_ids == ours(TEXT).input_ids


@pytest.mark.parametrize(
    "name",
    [
        "encode_plus",
        "batch_encode_plus",
        "prepare_for_model",
        "build_inputs_with_special_tokens",
        "create_token_type_ids_from_sequences",
    ],
)
def test_methods_that_were_dropped_are_still_there(both, name):
    ours, theirs = both("bert", "wordpiece-cased")
    assert callable(getattr(ours, name))
    assert not hasattr(theirs, name)


def test_a_cut_that_cannot_be_made_is_a_value_error(both):
    ours, theirs = both("bert", "wordpiece-cased")
    cut = {"truncation": "only_second", "max_length": 8}
    with pytest.raises(ValueError, match="Truncation error"):
        ours("a " * 9, "b", **cut)
    with pytest.raises(Exception, match="Truncation error") as caught:
        theirs("a " * 9, "b", **cut)
    assert type(caught.value) is Exception


def test_legacy_files_are_saved_beside_tokenizer_json(both, tmp_path):
    ours, theirs = both("bert", "wordpiece-cased")
    mine = {Path(path).name for path in ours.save_pretrained(tmp_path / "ours")}
    other = {Path(path).name for path in theirs.save_pretrained(str(tmp_path / "theirs"))}
    assert mine - other == {"special_tokens_map.json", "vocab.txt"}


def test_roformer_needs_no_word_splitter_where_there_is_no_chinese_word(both):
    with pytest.raises(ImportError, match="rjieba"):
        both("roformer", "wordpiece-cased")
    assert AutoTokenizer.from_pretrained(both.folder).tokenize("a-b") == ["a", "[UNK]", "b"]
