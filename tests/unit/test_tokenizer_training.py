"""A tokenizer trained anew on other texts: the same pipeline, frames and roles."""

import json
import shutil
from pathlib import Path

import pytest
import tokenizers

from hubloader.auto.tokenizer import AutoTokenizer

FIXTURES = Path(__file__).resolve().parents[2] / "cache_fixtures"
TEXTS = json.loads((FIXTURES / "goldens" / "texts.json").read_text(encoding="ascii"))[:20]
KINDS = {
    "bert": ("wordpiece-cased", ("vocab.txt",)),
    "roberta": ("roberta", ("vocab.json", "merges.txt")),
    "gpt2": ("gpt2", ("vocab.json", "merges.txt")),
    "clip": ("clip", ("vocab.json", "merges.txt")),
}


def load(folder, model_type):
    family, files = KINDS[model_type]
    for name in files:
        shutil.copy(FIXTURES / "tokenizers" / family / name, folder)
    (folder / "config.json").write_text(json.dumps({"model_type": model_type}))
    return AutoTokenizer.from_pretrained(folder)


@pytest.mark.parametrize("model_type", sorted(KINDS))
def test_it_keeps_class_pipeline_and_roles_and_learns_a_vocabulary(tmp_path, model_type):
    old = load(tmp_path, model_type)
    made = old.train_new_from_iterator(TEXTS, 400, show_progress=False)
    assert type(made) is type(old)
    assert made.vocab_size <= 700
    assert made.special_tokens_map == old.special_tokens_map
    whole, cut = made(TEXTS[0]), made(TEXTS[0], TEXTS[1], truncation=True, max_length=20)
    assert len(cut["input_ids"]) == 20
    assert made.decode(whole["input_ids"], skip_special_tokens=True)
    first = whole["input_ids"][0]
    if old.cls_token is not None:
        assert first == made.cls_token_id
    made.save_pretrained(tmp_path / "saved")
    assert AutoTokenizer.from_pretrained(tmp_path / "saved")(TEXTS[0]).data == whole.data
    assert old.get_vocab() != made.get_vocab()


def test_special_tokens_may_be_added_and_renamed(tmp_path):
    old = load(tmp_path, "bert")
    made = old.train_new_from_iterator(
        [TEXTS], 300, new_special_tokens=["<e>"], special_tokens_map={"[CLS]": "<s>"},
        show_progress=False,
    )  # fmt: skip
    assert (made.cls_token, old.cls_token) == ("<s>", "[CLS]")
    assert made.additional_special_tokens == ["<e>"]
    assert made.convert_ids_to_tokens(made("a <e>")["input_ids"])[0] == "<s>"
    assert "<e>" in made.tokenize("a <e>")


def test_a_unigram_keeps_its_unknown_token_and_a_frame_needs_its_tokens():
    engine = tokenizers.Tokenizer(
        tokenizers.models.Unigram([("<unk>", 0.0), ("a", -1.0)], unk_id=0)
    )
    engine.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    from hubloader import PreTrainedTokenizerFast

    old = PreTrainedTokenizerFast(tokenizer_object=engine, unk_token="<unk>")
    made = old.train_new_from_iterator(["b ab ba", "bab"], 40, show_progress=False)
    assert made.convert_tokens_to_ids("<unk>") == 0
    assert made("bab")["input_ids"].count(0) == 0
    assert made("z")["input_ids"] == [0]
    with pytest.raises(ValueError, match="not large enough"):
        old.train_new_from_iterator(TEXTS, 20, show_progress=False)
    engine.post_processor = tokenizers.processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 1)]
    )
    framed = PreTrainedTokenizerFast(tokenizer_object=engine)
    with pytest.raises(ValueError, match="'<s>' stands around texts"):
        framed.train_new_from_iterator(["ab"], 40, show_progress=False)
