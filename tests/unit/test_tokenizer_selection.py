"""Which class, from which files, and why."""

import pytest

from hubloader.errors import RemoteCodeRefused, UnknownTokenizer
from hubloader.tokenizers.classes import class_for_model_type, class_named, class_names
from hubloader.tokenizers.config import TokenizerConfig
from hubloader.tokenizers.selection import select_tokenizer

DISTILBERT = TokenizerConfig(model_type="distilbert")


def test_tokenizer_json_wins_over_legacy_files():
    chosen = select_tokenizer({"tokenizer.json", "vocab.txt"}, DISTILBERT)
    assert (chosen.kind.name, chosen.files) == ("DistilBertTokenizer", ("tokenizer.json",))
    assert chosen.from_tokenizer_json


def test_without_it_the_family_of_the_model_type_reads_its_files():
    chosen = select_tokenizer({"config.json", "vocab.txt"}, DISTILBERT)
    assert chosen.files == ("vocab.txt",)
    assert chosen.reasons == (
        "models of type distilbert use DistilBertTokenizer",
        "there is no tokenizer.json: vocab.txt is converted",
    )


def test_a_declared_class_wins_over_the_model_type():
    config = TokenizerConfig(declared="BertTokenizerFast", model_type="distilbert")
    assert select_tokenizer({"vocab.txt"}, config).kind.name == "BertTokenizer"


def test_the_class_that_the_caller_loads_through_wins_over_both():
    config = TokenizerConfig(declared="BertTokenizer", model_type="distilbert")
    chosen = select_tokenizer({"vocab.txt"}, config, asked="ElectraTokenizer")
    assert chosen.kind.name == "ElectraTokenizer"


@pytest.mark.parametrize(
    "config",
    [
        TokenizerConfig(),
        TokenizerConfig(declared="FrobTokenizer"),
        TokenizerConfig(model_type="frob"),
        TokenizerConfig(declared="FrobTokenizer", wants_code="tok.FrobTokenizer"),
    ],
)
def test_tokenizer_json_alone_is_enough(config):
    chosen = select_tokenizer({"tokenizer.json"}, config)
    assert chosen.kind.name == "PreTrainedTokenizerFast"
    assert chosen.kind.model_input_names == ("input_ids", "token_type_ids", "attention_mask")


@pytest.mark.parametrize(
    ("names", "config", "words"),
    [
        ({"vocab.txt"}, TokenizerConfig(), "no file says which class"),
        ({"vocab.txt"}, TokenizerConfig(declared="FrobTokenizer"), "FrobTokenizer"),
        ({"vocab.txt"}, TokenizerConfig(model_type="frob"), "'frob'"),
        ({"vocab.json"}, TokenizerConfig(model_type="whisper"), "WhisperTokenizer"),
        ({"vocab.json"}, TokenizerConfig(model_type="gpt2"), "no merges.txt"),
    ],
)
def test_what_cannot_be_built_is_named(names, config, words):
    with pytest.raises(UnknownTokenizer, match=words) as caught:
        select_tokenizer(names, config)
    assert min(names) in caught.value.hint


def test_code_of_the_repository_is_refused_where_nothing_else_would_do():
    config = TokenizerConfig(declared="FrobTokenizer", wants_code="tok.FrobTokenizer")
    with pytest.raises(RemoteCodeRefused, match=r"tok\.FrobTokenizer"):
        select_tokenizer({"vocab.txt"}, config)


def test_code_that_is_not_run_is_among_the_reasons():
    config = TokenizerConfig(declared="FrobTokenizer", wants_code="tok.FrobTokenizer")
    reasons = select_tokenizer({"tokenizer.json"}, config).reasons
    assert "the repository has code of its own (tok.FrobTokenizer), never run here" in reasons


def test_every_class_is_found_with_and_without_fast():
    for name in class_names():
        assert class_named(name).name == name
        assert class_named(name.removesuffix("Fast") + "Fast").name == name
    assert class_named("FrobTokenizer") is None


def test_every_model_type_names_a_class_that_exists():
    from hubloader.tokenizers.classes import _families

    names = [kind.name for family in _families() for kind in family.CLASSES]
    assert len(names) == len(set(names)), "two families claim one class"
    for family in _families():
        assert frozenset(kind.name for kind in family.CLASSES) == family.CLASS_NAMES
        for model_type, name in family.MODEL_TYPES.items():
            assert class_for_model_type(model_type).name == name
