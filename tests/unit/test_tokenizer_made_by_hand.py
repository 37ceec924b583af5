"""Tokenizers made of single files, as transformers' classes are called."""

import copy
import json
import pickle
from pathlib import Path

import pytest
import tokenizers

import hubloader
from hubloader.auto.tokenizer import AutoTokenizer
from hubloader.errors import CorruptFile, EntryNotFound, UnknownTokenizer
from hubloader.resolve.needs import needs
from hubloader.tokenizers.config import TokenizerConfig
from hubloader.tokenizers.selection import select_tokenizer
from hubloader.types import Entry, Manifest, Purpose, RepoId

FIXTURES = Path(__file__).resolve().parents[2] / "cache_fixtures" / "tokenizers"
VOCABULARY = FIXTURES / "wordpiece-cased" / "vocab.txt"
GPT2 = (FIXTURES / "gpt2" / "vocab.json", FIXTURES / "gpt2" / "merges.txt")
TEXT = "The quick naïve fox."


def test_a_class_is_called_with_its_vocabulary():
    expected = AutoTokenizer.from_pretrained(VOCABULARY.parent, tokenizer_type="bert")
    for name in ("BertTokenizer", "BertTokenizerFast"):
        kind = getattr(hubloader, name)
        for made in (kind(str(VOCABULARY)), kind(vocab_file=VOCABULARY), kind(vocab=VOCABULARY)):
            assert type(made).__name__ == "BertTokenizer"
            assert made(TEXT) == expected(TEXT)
            assert made.name_or_path == ""


def test_arguments_are_init_arguments_and_use_fast_is_none():
    made = hubloader.BertTokenizer(
        VOCABULARY, do_lower_case=False, model_max_length=7, use_fast=True
    )
    assert made.tokenize("The")[0].startswith("T")
    assert (made.model_max_length, "use_fast" in made.init_kwargs) == (7, False)


def test_two_files_come_in_transformers_order_or_by_keyword():
    expected = AutoTokenizer.from_pretrained(GPT2[0].parent, tokenizer_type="gpt2")
    assert hubloader.GPT2Tokenizer(*GPT2)(TEXT) == expected(TEXT)
    assert hubloader.GPT2TokenizerFast(GPT2[0], merges_file=GPT2[1])(TEXT) == expected(TEXT)
    assert hubloader.GPT2Tokenizer(vocab=GPT2[0], merges=GPT2[1])(TEXT) == expected(TEXT)


def test_files_may_be_called_anything_and_neighbours_are_not_read(tmp_path):
    words = tmp_path / "words"
    words.write_text(VOCABULARY.read_text(encoding="utf-8"), encoding="utf-8")
    (tmp_path / "tokenizer_config.json").write_text("not JSON", encoding="utf-8")
    assert hubloader.BertTokenizer(words)(TEXT) == hubloader.BertTokenizer(VOCABULARY)(TEXT)


def test_an_engine_is_copied_and_run_as_it_is(tmp_path):
    engine = hubloader.BertTokenizer(VOCABULARY).backend_tokenizer
    made = hubloader.PreTrainedTokenizerFast(
        tokenizer_object=engine, unk_token="[UNK]", pad_token="[PAD]"
    )
    engine.normalizer = tokenizers.normalizers.Lowercase()
    engine.save(str(tmp_path / "tokenizer.json"))
    assert made(TEXT) == hubloader.BertTokenizer(VOCABULARY)(TEXT)
    assert made([TEXT, "a"], padding=True)["attention_mask"][1][-1] == 0
    assert made.special_tokens_map == {"unk_token": "[UNK]", "pad_token": "[PAD]"}
    read = hubloader.PreTrainedTokenizerFast(tokenizer_file=tmp_path / "tokenizer.json")
    assert read(TEXT)["input_ids"] == engine.encode(TEXT).ids


def test_a_tokenizer_json_wins_over_legacy_files(tmp_path):
    hubloader.BertTokenizer(VOCABULARY, do_lower_case=False).save_pretrained(tmp_path)
    both = hubloader.BertTokenizer(
        FIXTURES / "mpnet" / "vocab.txt",
        tokenizer_file=tmp_path / "tokenizer.json",
        do_lower_case=False,
    )
    assert both(TEXT) == hubloader.BertTokenizer(VOCABULARY, do_lower_case=False)(TEXT)


def test_it_is_saved_pickled_and_copied_like_any_other(tmp_path):
    made = hubloader.BertTokenizer(VOCABULARY, do_lower_case=False)
    made.save_pretrained(tmp_path)
    others = AutoTokenizer.from_pretrained(tmp_path), pickle.loads(pickle.dumps(made))
    for other in (*others, copy.deepcopy(made)):
        assert type(other) is type(made)
        assert other(TEXT) == made(TEXT)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (hubloader.BertTokenizer, TypeError, "vocab_file=<vocab.txt>"),
        (hubloader.PreTrainedTokenizerFast, TypeError, "tokenizer_object="),
        (lambda: hubloader.BertTokenizer("a", "b"), TypeError, "at most 1 files"),
        (lambda: hubloader.BertTokenizer(vocab={"a": 1}), TypeError, "not a dict"),
        (lambda: hubloader.BertTokenizer("bert-base"), EntryNotFound, "from_pretrained"),
        (lambda: hubloader.GPT2Tokenizer(GPT2[0]), UnknownTokenizer, "no merges.txt"),
        (lambda: hubloader.GPT2Tokenizer(GPT2[1], GPT2[0]), CorruptFile, "not JSON"),
    ],
)
def test_what_cannot_be_made_says_how_it_could(call, error, words):
    with pytest.raises(error, match=words):
        call()


LISTED = ["tokenizer.json", "tokenizer.4.0.0.json", "tokenizer.4.10.2.json", "tokenizer.9.0.json"]


@pytest.mark.parametrize(
    ("names", "listed", "chosen"),
    [
        (LISTED, LISTED, "tokenizer.4.10.2.json"),
        (LISTED, None, "tokenizer.json"),
        (LISTED, ["tokenizer.9.0.json"], "tokenizer.json"),
        (["tokenizer.json"], LISTED, "tokenizer.json"),
        (["tokenizer.4.0.0.json"], LISTED, "tokenizer.4.0.0.json"),
        (["tokenizer.json", "x.json"], ["x.json", "../tokenizer.1.json", 5], "tokenizer.json"),
    ],
)
def test_of_a_tokenizer_json_in_several_versions_the_newest_that_fits_is_taken(
    names, listed, chosen
):
    values = {} if listed is None else {"fast_tokenizer_files": listed}
    assert select_tokenizer({*names}, TokenizerConfig(values=values)).files == (chosen,)


def test_every_version_of_a_tokenizer_json_is_brought():
    entries = {name: Entry(1, "0" * 40) for name in [*LISTED, "tokenizer.x.json"]}
    manifest = Manifest(RepoId("a", "b"), "main", "1" * 40, entries)
    wanted = needs(manifest, Purpose(uses=frozenset({"tokenizer"}))).wanted
    assert set(wanted) == set(LISTED)


def test_a_chosen_version_is_loaded_and_saved_as_tokenizer_json(tmp_path):
    hubloader.BertTokenizer(VOCABULARY, do_lower_case=False).save_pretrained(tmp_path)
    (tmp_path / "tokenizer.json").rename(tmp_path / "tokenizer.4.0.0.json")
    (tmp_path / "tokenizer.json").write_text("{}", encoding="utf-8")
    config = tmp_path / "tokenizer_config.json"
    settings = {**json.loads(config.read_text("utf-8")), "fast_tokenizer_files": LISTED}
    config.write_text(json.dumps(settings), encoding="utf-8")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path / "again")
    saved = json.loads((tmp_path / "again" / "tokenizer_config.json").read_text("utf-8"))
    assert "fast_tokenizer_files" not in saved
    assert AutoTokenizer.from_pretrained(tmp_path / "again")(TEXT) == tokenizer(TEXT)
