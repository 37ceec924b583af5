"""Entities of words that no mark tells apart, of lists of words, of texts read in windows."""

from __future__ import annotations

import json
import shutil

import pytest

import hubloader

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

pytestmark = [pytest.mark.torch, pytest.mark.oracle]

LABELS = dict(enumerate(["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]))
TEXT = "Clara  lives in New York City, and Paris;  ## it was made there."
LONG = " ".join([TEXT] * 6)
BYTES = {
    "tokenizer_class": "RobertaTokenizer",
    "bos_token": "<s>",
    "eos_token": "</s>",
    "cls_token": "<s>",
    "sep_token": "</s>",
    "pad_token": "<pad>",
    "unk_token": "<unk>",
    "mask_token": "<mask>",
    "model_max_length": 40,
}


@pytest.fixture(scope="module", params=["marked pieces", "bytes"])
def folder(request, fixture_hub, tmp_path_factory):
    """A model of tokens; its vocabulary marks what goes on with a word, or only seems to."""
    made = tmp_path_factory.mktemp("entities")
    if request.param == "bytes":
        size = save_byte_vocabulary(made)
        (made / "tokenizer_config.json").write_text(json.dumps(BYTES))
    else:
        source = fixture_hub / "fixtures" / "bert-tiny-sentiment"
        for name in ("tokenizer.json", "tokenizer_config.json"):
            shutil.copy(source / name, made)
        size = json.loads((source / "config.json").read_text())["vocab_size"]
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=size,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        initializer_range=0.5,
        id2label=LABELS,
        label2id={label: i for i, label in LABELS.items()},
    )
    transformers.BertForTokenClassification(config).save_pretrained(made)
    return str(made)


def save_byte_vocabulary(folder):
    """Write a tokenizer of bytes whose vocabulary has the word ``##``, as GPT-2's has."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator([TEXT, "## ####"] * 9, trainer)
    tokenizer.post_processor = processors.RobertaProcessing(
        ("</s>", 2), ("<s>", 0), trim_offsets=True, add_prefix_space=False
    )
    assert tokenizer.token_to_id("##") is not None
    tokenizer.save(str(folder / "tokenizer.json"))
    return tokenizer.get_vocab_size()


def both(folder, inputs, **options):
    ours = hubloader.pipeline("ner", model=folder, framework="np")
    theirs = transformers.pipeline("ner", model=folder, device="cpu")
    return ours(inputs, **options), theirs(inputs, **options)


def same(ours, theirs):
    if isinstance(theirs, list):
        assert len(ours) == len(theirs)
        for one, other in zip(ours, theirs, strict=True):
            same(one, other)
        return
    assert ours == {**theirs, "score": pytest.approx(float(theirs["score"]), abs=1e-5)}


@pytest.mark.filterwarnings("ignore:Tokenizer does not support real words")
@pytest.mark.parametrize("strategy", ["first", "average", "MAX"])
def test_a_word_is_told_from_the_next_by_marks_or_by_spaces(folder, strategy):
    ours, theirs = both(folder, [TEXT, "Paris"], aggregation_strategy=strategy)

    same(ours, theirs)
    assert len(ours[0]) > 5


@pytest.mark.filterwarnings("ignore:Tokenizer does not support real words")
@pytest.mark.parametrize("strategy", ["simple", "first"])
def test_a_long_text_is_read_in_windows_that_overlap(folder, strategy):
    ours, theirs = both(folder, LONG, aggregation_strategy=strategy, stride=8)

    same(ours, theirs)
    whole = both(folder, LONG, aggregation_strategy=strategy)[0]
    assert ours[-1]["end"] > len(TEXT) * 5
    assert max(one["end"] for one in whole) <= len(LONG)


@pytest.mark.filterwarnings("ignore:Tokenizer does not support real words")
@pytest.mark.parametrize("delimiter", [" ", "--"])
@pytest.mark.parametrize("strategy", ["none", "first"])
def test_a_list_of_words_is_one_text(folder, strategy, delimiter):
    words = TEXT.split()
    options = {"is_split_into_words": True, "delimiter": delimiter}

    for inputs in ([words, ["Paris", "."]], words):
        same(*both(folder, inputs, aggregation_strategy=strategy, **options))


def test_places_of_tokens_may_be_given(folder):
    pieces = hubloader.AutoTokenizer.from_pretrained(folder)("Paris").input_ids
    places = [(i, i + 1) for i in range(len(pieces))]

    same(*both(folder, "Paris", offset_mapping=places))


def test_a_stride_that_cannot_be_is_refused(folder):
    answer = hubloader.pipeline("ner", model=folder, framework="np")

    with pytest.raises(ValueError, match="aggregation_strategy"):
        answer(TEXT, stride=4)
    with pytest.raises(ValueError, match="model_max_length"):
        answer(TEXT, stride=500, aggregation_strategy="first")
    with pytest.raises(ValueError, match="list of words"):
        answer(TEXT, is_split_into_words=True)
