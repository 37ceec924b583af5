"""A hostile or damaged tokenizer.json ends in an error of ours, at once, with the process alive."""

import base64
import json
from pathlib import Path

import pytest

from hubloader.errors import CorruptFile, HubloaderError, UnsafeFile
from hubloader.resolve.files import DirectoryFiles
from hubloader.tokenizers.checks import check_tokenizer_json
from hubloader.tokenizers.tokenizer import Tokenizer

HUB = Path(__file__).resolve().parents[2] / "cache_fixtures" / "hub"
GOOD = {
    "version": "1.0",
    "truncation": None,
    "padding": None,
    "added_tokens": [
        {"id": 0, "content": "[UNK]", "special": True, "normalized": False,
         "single_word": False, "lstrip": False, "rstrip": False},
    ],
    "normalizer": None,
    "pre_tokenizer": {"type": "Whitespace"},
    "post_processor": None,
    "decoder": None,
    "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
              "max_input_chars_per_word": 100, "vocab": {"[UNK]": 0, "a": 1, "padding": 2}},
}  # fmt: skip


def replace(pattern, content):
    return {"type": "Replace", "pattern": pattern, "content": content}


def sequence(*steps):
    return {"type": "Sequence", "normalizers": list(steps)}


def charsmap(text):
    raw = (4).to_bytes(4, "little") + b"\0\0\0\0" + text.encode() + b"\0"
    return {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(raw).decode()}


def load(folder, content):
    text = content if isinstance(content, str) else json.dumps(content)
    (folder / "tokenizer.json").write_text(text, encoding="utf-8")
    return Tokenizer.from_files(DirectoryFiles(folder))


def test_a_plain_file_loads(tmp_path):
    assert load(tmp_path, GOOD)("a padding x")["input_ids"] == [1, 2, 0]


def test_a_file_of_a_large_vocabulary_is_read_without_decoding_it(monkeypatch):
    text = json.dumps(GOOD)
    decoded = []
    original = json.JSONDecoder.raw_decode

    def raw_decode(self, text, position=0):
        value, end = original(self, text, position)
        decoded.append(value)
        return value, end

    monkeypatch.setattr(json.JSONDecoder, "raw_decode", raw_decode)
    check_tokenizer_json(text)
    assert "model" in decoded
    assert GOOD["model"] not in decoded


UNSAFE = {
    "padding that would abort the process": (
        {"padding": {"strategy": {"Fixed": 2**33}, "direction": "Right", "pad_id": 0,
                     "pad_type_id": 0, "pad_token": "[PAD]", "pad_to_multiple_of": None}},
        "padding: Fixed=8589934592",
    ),
    "padding to a multiple of that": (
        {"padding": {"strategy": "BatchLongest", "pad_to_multiple_of": 2**33}},
        "pad_to_multiple_of",
    ),
    "truncation": ({"truncation": {"max_length": 2**40, "stride": 0}}, "max_length"),
    "replacements that grow": (
        {"normalizer": sequence(*[replace({"String": "a"}, "a" * 100)] * 5)},
        "times longer",
    ),
    "replacements of nothing": (
        {"normalizer": sequence(*[replace({"Regex": "x*"}, "y")] * 10)},
        "times longer",
    ),
    "a decoder that grows": (
        {"decoder": {"type": "Sequence", "decoders": [replace({"String": "a"}, "a" * 99)] * 2}},
        "decoder: its steps",
    ),
    "a long prefix": ({"normalizer": {"type": "Prepend", "prepend": "x" * 5000}}, "times longer"),
    "a huge pattern": (
        {"pre_tokenizer": {"type": "Split", "pattern": {"Regex": "a|" * 5000}}},
        "a pattern of 10000 characters",
    ),
    "nested repetition": (
        {"pre_tokenizer": {"type": "Split", "pattern": {"Regex": "(?:(?:a{1000}){1000}){1000}"}}},
        "repeats more than",
    ),
    "too many steps": ({"normalizer": sequence(*[{"type": "NFC"}] * 100)}, "steps are more than"),
    "a character map that grows": ({"normalizer": charsmap("x" * 5000)}, "replaces by 5000 bytes"),
    "a long template": (
        {"post_processor": {"type": "TemplateProcessing", "pair": [],
                            "single": [{"Sequence": {"id": "A", "type_id": 0}}] * 1000}},
        "1000 pieces",
    ),
    "too many added tokens": ({"added_tokens": [{}] * (2**18 + 1)}, "are more than"),
    "too long added tokens": ({"added_tokens": [{"content": "x" * 2**23 + "y"}]}, "characters"),
}  # fmt: skip


@pytest.mark.parametrize("last", ["model", "hostile part"])
@pytest.mark.parametrize("name", UNSAFE)
def test_what_would_exhaust_the_machine_is_refused(tmp_path, name, last):
    changes, words = UNSAFE[name]
    rest = {key: value for key, value in GOOD.items() if key not in changes}
    content = {**changes, **rest} if last == "model" else {**rest, **changes}
    with pytest.raises(UnsafeFile, match=words) as caught:
        load(tmp_path, content)
    assert caught.value.filename == "tokenizer.json"
    assert str(tmp_path) in caught.value.message


def test_a_part_hidden_behind_the_vocabulary_by_an_escape_is_still_seen(tmp_path):
    hostile = json.dumps(sequence(*[replace({"String": "a"}, "a" * 100)] * 5))
    text = json.dumps({key: value for key, value in GOOD.items() if key != "normalizer"})
    with pytest.raises(UnsafeFile, match="times longer"):
        load(tmp_path, text[:-1] + ', "norm\\u0061lizer" : ' + hostile + "}")


def test_of_two_parts_of_one_name_both_are_looked_at(tmp_path):
    hostile = json.dumps(sequence(*[replace({"String": "a"}, "a" * 100)] * 5))
    with pytest.raises(UnsafeFile, match="times longer"):
        load(tmp_path, '{"normalizer": ' + hostile + "," + json.dumps(GOOD)[1:])


CORRUPT = {
    "no JSON": ("{", "not JSON|expected"),
    "a list": ("[]", "does not hold an object"),
    "nothing": ("", "does not hold an object"),
    "no colon": ('{"version" 1}', "colon"),
    "no comma": ('{"version": 1 "padding": null}', "comma"),
    "deep nesting": ('{"normalizer": ' + "[" * 100_000 + "}", "nested too deeply"),
    "no model": ({"version": "1.0"}, "cannot be used"),
    "another model": ({**GOOD, "model": {"type": "Frob"}}, "cannot be used"),
    "a vocabulary of text": ({**GOOD, "model": {**GOOD["model"], "vocab": {"a": "b"}}}, "cannot"),
    "no base64": (
        {**GOOD, "normalizer": {"type": "Precompiled", "precompiled_charsmap": "???"}},
        "not base64",
    ),
    "an empty character map": (
        {**GOOD, "normalizer": {"type": "Precompiled", "precompiled_charsmap": ""}},
        "cannot be used",
    ),
    "an unknown token that is not there": (
        {**GOOD, "model": {"type": "Unigram", "unk_id": 5, "vocab": [["a", 0.0]]}},
        "cannot be used",
    ),
    "a pattern that does not compile": (
        {**GOOD, "pre_tokenizer": {"type": "Split", "pattern": {"Regex": "("},
                                   "behavior": "Isolated", "invert": False}},
        "cannot be used",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CORRUPT)
def test_what_the_engine_cannot_use_is_a_corrupt_file(tmp_path, name):
    content, words = CORRUPT[name]
    with pytest.raises(CorruptFile, match=words) as caught:
        load(tmp_path, content)
    assert caught.value.filename == "tokenizer.json"


def test_a_pattern_that_backtracks_without_end_is_an_ordinary_error_of_the_call(tmp_path):
    split = {"type": "Split", "pattern": {"Regex": "(a+)+$"}, "behavior": "Isolated",
             "invert": False}  # fmt: skip
    tokenizer = load(tmp_path, {**GOOD, "pre_tokenizer": split})
    with pytest.raises(HubloaderError, match="gave up"):
        tokenizer("a" * 60 + "!")
    assert tokenizer("b")["input_ids"] == [0]


def test_every_fixture_of_the_hub_passes_the_checks():
    checked = list(HUB.glob("**/tokenizer.json"))
    for path in checked:
        check_tokenizer_json(path.read_text(encoding="utf-8"))
    assert checked
