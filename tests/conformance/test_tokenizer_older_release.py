"""Where a tokenizer here differs from transformers 4.57 on purpose: docs/reference/tokenizers.md.

What 4.57 does instead was seen with scripts/capture_golden.py's Python; it is told in comments.
"""

import json
import shutil
from pathlib import Path

import pytest
import tokenizers

from hubloader.auto.tokenizer import AutoTokenizer

FIXTURES = Path(__file__).resolve().parents[2] / "cache_fixtures" / "tokenizers"
BPE = ("vocab.json", "merges.txt")


@pytest.fixture
def load(tmp_path):
    def make(model_type, family, files=("vocab.txt",), **settings):
        for name in files:
            shutil.copy(FIXTURES / family / name, tmp_path)
        (tmp_path / "config.json").write_text(json.dumps({"model_type": model_type}))
        (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
        return AutoTokenizer.from_pretrained(tmp_path)

    return make


def test_a_tokenizer_json_of_gpt_neox_is_run_as_it_is(load, tmp_path):
    engine = load("gpt2", "gpt2", BPE).backend_tokenizer
    engine.post_processor = tokenizers.processors.ByteLevel(trim_offsets=True)
    (tmp_path / "neox").mkdir()
    engine.save(str(tmp_path / "neox" / "tokenizer.json"))
    (tmp_path / "neox" / "config.json").write_text('{"model_type": "gpt_neox"}')
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "neox")
    assert type(tokenizer).__name__ == "GPTNeoXTokenizer"
    # 4.57 gives (1, 4) for the second word: its template trims nothing.
    spans = tokenizer("a the", return_offsets_mapping=True)["offset_mapping"]
    assert spans[0] == (0, 1)
    assert spans[1][0] == 2


@pytest.mark.parametrize(
    ("model_type", "family", "files", "ids", "types"),
    [
        # 4.57: types are all 0 for MPNet; [5, 6, 2] for Blenderbot; nothing around OPT's.
        ("mpnet", "mpnet", ("vocab.txt",), "{0} 5 6 {2} {2} 7 {2}", [0, 0, 0, 0, 0, 1, 1]),
        ("opt", "gpt2", BPE, "{1} 5 6 7", [0, 0, 0, 1]),
    ],
)
def test_ids_are_framed_as_texts_are(load, model_type, family, files, ids, types):
    settings = {"add_bos_token": True} if model_type == "opt" else {}
    tokenizer = load(model_type, family, files, **settings)
    names = (tokenizer.cls_token_id, tokenizer.bos_token_id, tokenizer.sep_token_id)
    expected = [int(part) for part in ids.format(*names).split()]
    assert tokenizer.build_inputs_with_special_tokens([5, 6], [7]) == expected
    assert tokenizer.create_token_type_ids_from_sequences([5, 6], [7]) == types
    assert tokenizer.prepare_for_model([5, 6], [7])["input_ids"] == expected


def test_the_mask_of_ids_without_special_tokens_is_that_of_their_frame(load):
    tokenizer = load("bert", "wordpiece-cased")
    assert tokenizer.get_special_tokens_mask([5, 6], [7]) == [1, 0, 0, 1, 0, 1]


def test_a_cut_of_ids_that_cannot_be_made_is_a_value_error(load):
    tokenizer = load("bert", "wordpiece-cased")
    with pytest.raises(ValueError, match="We need to remove 2"):
        tokenizer.prepare_for_model([5, 6], [7], truncation="only_first", max_length=4)


def test_byte_level_classes_take_words_as_they_are(load):
    tokenizer = load("gpt2", "gpt2", BPE)
    joined = tokenizer("New")["input_ids"] + tokenizer("York")["input_ids"]
    assert tokenizer(["New", "York"], is_split_into_words=True)["input_ids"] == joined


def test_a_class_is_called_without_fast(load):
    tokenizer = load("bert", "wordpiece-cased", tokenizer_class="BertTokenizerFast")
    assert type(tokenizer).__name__ == "BertTokenizer"
