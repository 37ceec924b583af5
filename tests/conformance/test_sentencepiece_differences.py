"""Where a SentencePiece or tekken tokenizer, or a chat, is not that of transformers 5, or is.

Each test also shows what transformers does, so that it fails when the difference is gone.
"""

import json
import warnings
from pathlib import Path

import pytest

from hubloader.auto.tokenizer import AutoTokenizer
from hubloader.errors import UnsafeFile

pytestmark = pytest.mark.oracle

TOKENIZERS = Path(__file__).resolve().parents[2] / "cache_fixtures" / "tokenizers"
TEXTS = json.loads((TOKENIZERS.parent / "goldens" / "texts.json").read_text("ascii"))


def both(tmp_path, model, name, **settings):
    """Load one tokenizer here from its model file, and with transformers 5 from tokenizer.json."""
    import transformers

    folder = tmp_path / "legacy"
    folder.mkdir()
    (folder / Path(model).name).write_bytes((TOKENIZERS / model).read_bytes())
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": name, **settings}))
    ours = AutoTokenizer.from_pretrained(folder)
    ours.save_pretrained(tmp_path / "saved", legacy_format=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "saved")
    return ours, theirs


def test_albert_and_xlnet_give_token_types(tmp_path):
    ours, theirs = both(tmp_path, "spm-albert/spiece.model", "AlbertTokenizer")
    assert "token_type_ids" in ours("a", "b")
    assert "token_type_ids" not in theirs("a", "b")


def test_albert_keeps_the_space_at_the_end_of_a_text(tmp_path):
    ours, theirs = both(tmp_path, "spm-albert/spiece.model", "AlbertTokenizer")
    assert ours.tokenize("a ")[-1] == "▁"
    assert theirs.tokenize("a ")[-1] != "▁"


def test_deberta_v2_maps_characters_as_its_model_file_says(tmp_path):
    ours, theirs = both(tmp_path, "spm-deberta/spm.model", "DebertaV2Tokenizer")
    assert ours("\ufb01\u200b")["input_ids"] == ours("fi")["input_ids"]
    assert theirs("\ufb01\u200b")["input_ids"] != theirs("fi")["input_ids"]


def test_xlm_roberta_gives_the_same_ids(tmp_path):
    ours, theirs = both(tmp_path, "spm-fairseq/sentencepiece.bpe.model", "XLMRobertaTokenizer")
    same = [text for text in TEXTS if ours(text)["input_ids"] == theirs(text)["input_ids"]]
    assert len(same) >= len(TEXTS) - 3  # 5 splits at white space before it looks at characters


def test_tekken_is_read_as_transformers_5_reads_it():
    from transformers.integrations.mistral.tokenizer import MistralConverter

    from hubloader.resolve.files import DirectoryFiles
    from hubloader.tokenizers.ranked_bytes import build_ranked

    ours = build_ranked(DirectoryFiles(TOKENIZERS / "tekken"), "tekken.json", ())
    theirs = MistralConverter(str(TOKENIZERS / "tekken" / "tekken.json")).converted()
    assert ours.get_vocab() == theirs.get_vocab()
    for text in TEXTS:
        assert ours.encode(text).ids == theirs.encode(text).ids
        assert ours.encode(text).offsets == theirs.encode(text).offsets


def test_a_normalized_special_token_is_left_out_of_a_decoded_text(tmp_path):
    import transformers

    both(tmp_path, "spm-llama/tokenizer.model", "LlamaTokenizer")
    saved = tmp_path / "saved"
    for name in ("tokenizer.json", "tokenizer_config.json"):
        table = json.loads((saved / name).read_text("utf-8"))
        tokens = table.get("added_tokens") or table["added_tokens_decoder"].values()
        for token in tokens:
            token["normalized"] = True
        (saved / name).write_text(json.dumps(table))
    ours = AutoTokenizer.from_pretrained(saved)
    theirs = transformers.AutoTokenizer.from_pretrained(saved)
    ids = ours("hello")["input_ids"]
    assert ours.decode(ids, skip_special_tokens=True) == "hello"
    assert ours.backend_tokenizer.decode(ids, skip_special_tokens=True) != "hello"
    assert theirs.decode(ids, skip_special_tokens=True) in {"hello", "<s> hello", "<s>hello"}


def test_a_chat_gives_ids_unless_a_mapping_is_asked_for(tmp_path):
    ours, theirs = both(
        tmp_path, "spm-llama/tokenizer.model", "LlamaTokenizer", chat_template="{{ messages }}"
    )
    talk = [{"role": "user", "content": "a"}]
    assert isinstance(ours.apply_chat_template(talk), list)
    assert "input_ids" in theirs.apply_chat_template(talk)


def test_a_chat_template_that_takes_too_much_is_stopped(tmp_path):
    ours, _ = both(tmp_path, "spm-llama/tokenizer.model", "LlamaTokenizer")
    with pytest.raises(UnsafeFile):
        ours.apply_chat_template([], chat_template="{{ 'a' * 10**10 }}")


def test_an_empty_conversation_is_written(tmp_path):
    ours, theirs = both(
        tmp_path, "spm-llama/tokenizer.model", "LlamaTokenizer", chat_template="{{ messages }}!"
    )
    assert ours.apply_chat_template([], tokenize=False) == "[]!"
    with pytest.raises(ValueError, match="empty conversation"):
        theirs.apply_chat_template([], tokenize=False)


class Place:
    pass


def test_a_class_of_ones_own_is_an_object_to_a_tool():
    from transformers.utils.chat_template_utils import TypeHintParsingException, get_json_schema

    from hubloader.tokenizers.chat_tools import tool_schema

    def look_up(place: Place):
        """Look up.

        Args:
            place: where
        """

    function = tool_schema(look_up)["function"]
    assert function["parameters"]["properties"]["place"]["type"] == "object"
    with pytest.raises(TypeHintParsingException):
        get_json_schema(look_up)
