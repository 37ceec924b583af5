"""Files that would keep a load busy for minutes are refused before the work begins."""

import json

import pytest

from hubloader.errors import CorruptFile, UnsafeFile
from hubloader.resolve.files import DirectoryFiles
from hubloader.tokenizers.added_tokens_cost import check_normalizing
from hubloader.tokenizers.checks import check_tokenizer_json
from hubloader.tokenizers.tokenizer import Tokenizer

GOOD = {
    "version": "1.0",
    "added_tokens": [],
    "normalizer": None,
    "pre_tokenizer": {"type": "Whitespace"},
    "model": {"type": "WordLevel", "vocab": {"[UNK]": 0, "a": 1}, "unk_token": "[UNK]"},
}
MANY_STEPS = {"type": "Sequence", "normalizers": [{"type": "NFKD"}] * 60}


def added(texts, **flags):
    usual = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": True,
             "special": False}  # fmt: skip
    return [{"id": 9 + i, "content": text, **usual, **flags} for i, text in enumerate(texts)]


def replacing(pattern):
    return {"type": "Replace", "pattern": {"Regex": pattern}, "content": " "}


@pytest.mark.parametrize("last", ['"padding":{}', '"\\u0041":1', '"max_input_chars_per_word":5000'])
def test_a_file_of_many_parts_is_refused_without_looking_ahead_from_each(last):
    text = "{" + '"model":1,' * 30_000 + last + "}"
    with pytest.raises(UnsafeFile, match="more than 64 parts"):
        check_tokenizer_json(text)


def test_the_vocabulary_is_looked_past_once(monkeypatch):
    looked = []
    module = "hubloader.tokenizers.checks._has_short_words"
    monkeypatch.setattr(module, lambda _text, position: looked.append(position))
    check_tokenizer_json('{"model":{},"model":{},"model":{}}')
    assert len(looked) == 1


def test_lists_are_counted_before_they_are_made():
    with pytest.raises(UnsafeFile, match=f"{2**21 + 2} lists and objects are more than"):
        check_tokenizer_json('{"x":[' + "[]," * 2**21 + "0]}")


def test_added_tokens_times_steps_of_the_normalizer_are_bounded():
    tokens = added([f"t{i}x" for i in range(30_000)])
    check_tokenizer_json(
        json.dumps({**GOOD, "added_tokens": tokens, "normalizer": {"type": "NFC"}})
    )
    with pytest.raises(UnsafeFile, match="30000 are too many, or too long, for 61 steps"):
        check_tokenizer_json(json.dumps({**GOOD, "added_tokens": tokens, "normalizer": MANY_STEPS}))
    exact = added([f"t{i}x" for i in range(30_000)], normalized=False)
    check_tokenizer_json(json.dumps({**GOOD, "added_tokens": exact, "normalizer": MANY_STEPS}))


def test_tokens_that_the_config_adds_count_too(tmp_path):
    listed = {str(2 + i): {"content": f"t{i}x", "normalized": True} for i in range(30_000)}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"added_tokens_decoder": listed}))
    (tmp_path / "tokenizer.json").write_text(json.dumps({**GOOD, "normalizer": MANY_STEPS}))
    with pytest.raises(UnsafeFile, match="30000 are too many") as caught:
        Tokenizer.from_files(DirectoryFiles(tmp_path))
    assert caught.value.filename == "tokenizer.json"


@pytest.mark.parametrize(
    "pattern", ["(x+x+)+y", "(x|xx)*y", "(?:x?){30}y", r"(x+)\g<1>y", r"(?<a>x*)(\k<a>)*y"]
)
def test_a_pattern_that_tries_without_end_is_not_matched_in_many_tokens(pattern):
    content = {**GOOD, "added_tokens": added(["x" * 22 + str(i) for i in range(300)])}
    with pytest.raises(UnsafeFile, match="in 300 added tokens takes too long"):
        check_tokenizer_json(json.dumps({**content, "normalizer": replacing(pattern)}))


def test_a_simple_pattern_is_not_matched_in_a_huge_token():
    content = {**GOOD, "added_tokens": added([" " * 100_000])}
    with pytest.raises(UnsafeFile, match="in 1 added tokens takes too long"):
        check_tokenizer_json(json.dumps({**content, "normalizer": replacing(r"\s+$")}))


@pytest.mark.parametrize(
    "pattern",
    [r"\s{2,}|[\n\r\t]", " {2,}", r"[^(*+)\]]+", r"\(\s*\+", "(?:ab)+c", "(?=(?:x{3})*y)"],
)
def test_patterns_of_models_pass_beside_thousands_of_tokens(pattern):
    check_normalizing([f"<extra_id_{i}>" for i in range(10_000)], [pattern], 3, 1.0)


def test_special_tokens_of_a_config_are_bounded(tmp_path):
    (tmp_path / "tokenizer.json").write_text(json.dumps(GOOD))
    for key in ("additional_special_tokens", "extra_special_tokens"):
        names = [f"<{i}>" for i in range(2**16 + 1)]
        (tmp_path / "tokenizer_config.json").write_text(json.dumps({key: names}))
        with pytest.raises(CorruptFile, match=f"{key}: 65537 tokens are more than 65536"):
            Tokenizer.from_files(DirectoryFiles(tmp_path))


def test_the_lines_of_a_vocabulary_are_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr("hubloader.tokenizers.families.wordpiece._MOST_TOKENS", 5)
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer"}')
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n")
    assert len(Tokenizer.from_files(DirectoryFiles(tmp_path))) == 5
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n")
    with pytest.raises(UnsafeFile, match="6 lines, more than 5") as caught:
        Tokenizer.from_files(DirectoryFiles(tmp_path))
    assert caught.value.filename == "vocab.txt"
