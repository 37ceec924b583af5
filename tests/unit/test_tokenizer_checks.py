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


BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False,
         "use_regex": False}  # fmt: skip
TEXT_A = {"Sequence": {"id": "A", "type_id": 0}}


def template(single, **special):
    pair = [TEXT_A, {"Sequence": {"id": "B", "type_id": 1}}]
    return {"type": "TemplateProcessing", "single": single, "pair": pair,
            "special_tokens": special}  # fmt: skip


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
    "replacements that do not say their type": (
        {"normalizer": sequence(*[{"pattern": {"String": "a"}, "content": "a" * 100}] * 5)},
        "times longer",
    ),
    "a decoder that does not say its type": (
        {"decoder": {"pattern": {"String": "a"}, "content": "a" * 99}},
        "times longer",
    ),
    "a huge pattern of a step that does not say its type": (
        {"pre_tokenizer": {"pattern": {"Regex": "a" * 5000}, "behavior": "Isolated"}},
        "a pattern of 5000 characters",
    ),
    "a step that is a list": (
        {"normalizer": sequence(["Replace", {"String": "a"}, "a" * 1000])},
        "written as a list",
    ),
    "bytes of bytes of bytes": ({"normalizer": sequence(*[BYTES] * 6)}, "64 times longer"),
    "bytes of bytes before words": (
        {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [BYTES] * 6}},
        "64 times longer",
    ),
    "bytes of bytes in both parts": (
        {"normalizer": sequence(*[BYTES] * 3),
         "pre_tokenizer": {"type": "Sequence", "pretokenizers": [BYTES] * 3}},
        "normalizer and pre_tokenizer: .* 64 times longer",
    ),
    "words without end": (
        {"model": {**GOOD["model"], "max_input_chars_per_word": 10**9}},
        "max_input_chars_per_word=1000000000 is more than 1000",
    ),
    "a template that repeats its text": (
        {"post_processor": template([TEXT_A, TEXT_A])},
        "single holds one text more than once",
    ),
    "a template that repeats its text and does not say its type": (
        {"post_processor": {"single": [TEXT_A] * 3, "pair": [], "special_tokens": {}}},
        "single holds one text more than once",
    ),
    "a special token of many": (
        {"post_processor": template(
            [TEXT_A], X={"id": "X", "ids": [1] * 3000, "tokens": ["X"] * 3000})},
        "pieces of up to 3000 tokens",
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


def test_a_bound_hidden_by_an_escape_is_still_seen(tmp_path):
    model = {**GOOD["model"], "max_input_chars_per_word": 10**9}
    text = json.dumps({**GOOD, "model": model})
    with pytest.raises(UnsafeFile, match="max_input_chars_per_word"):
        load(tmp_path, text.replace("max_input", "max\\u005finput"))


def test_a_token_named_as_a_bound_is_a_token(tmp_path):
    vocab = {**GOOD["model"]["vocab"], "max_input_chars_per_word": 5000, "é": 3}
    tokenizer = load(tmp_path, {**GOOD, "model": {**GOOD["model"], "vocab": vocab}})
    assert tokenizer("a é max_input_chars_per_word")["input_ids"] == [1, 3, 5000]


def test_a_template_of_both_texts_and_their_frame_passes(tmp_path):
    cls = {"SpecialToken": {"id": "a", "type_id": 0}}
    frame = template([cls, TEXT_A, cls], a={"id": "a", "ids": [1], "tokens": ["a"]})
    assert load(tmp_path, {**GOOD, "post_processor": frame})("padding")["input_ids"] == [1, 2, 1]


def test_a_decoder_that_panics_is_an_ordinary_error_of_decoding(tmp_path):
    strip = {"type": "Strip", "content": "a", "start": 10**18, "stop": 10**18}
    tokenizer = load(tmp_path, {**GOOD, "decoder": strip})
    with pytest.raises(HubloaderError, match="gave up"):
        tokenizer.decode([1])
    with pytest.raises(HubloaderError, match="gave up"):
        tokenizer.batch_decode([[1], [1]])
    with pytest.raises(HubloaderError, match="gave up"):
        tokenizer.convert_tokens_to_string(["a"])


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ([5], "holds 5, which is not a token"),
        ({"image_token": 5}, "holds 5, which is not a token"),
        ("abc", "not a list or an object"),
        ({"__class__": "a"}, "has the role '__class__'"),
        ({"an image_token": "a"}, "has the role"),
        (["\ud800"], "no text"),
        ({"image_token": {"content": "\udfff"}}, "no text"),
    ],
)
def test_extra_special_tokens_that_are_none_are_a_corrupt_file(tmp_path, extra, words):
    settings = json.dumps({"extra_special_tokens": extra})
    (tmp_path / "tokenizer_config.json").write_text(settings)
    with pytest.raises(CorruptFile, match=words) as caught:
        load(tmp_path, GOOD)
    assert caught.value.filename == "tokenizer_config.json"


def test_extra_special_tokens_are_roles_or_a_list(tmp_path):
    extra = {"image_token": {"content": "<i>", "lstrip": True}, "video_token": "<v>"}
    settings = json.dumps({"extra_special_tokens": extra})
    (tmp_path / "tokenizer_config.json").write_text(settings)
    tokenizer = load(tmp_path, GOOD)
    assert (tokenizer.image_token, tokenizer.video_token) == ("<i>", "<v>")
    assert tokenizer("a <i>")["input_ids"] == [1, tokenizer.image_token_id]
    (tmp_path / "tokenizer_config.json").write_text('{"extra_special_tokens": ["<x>"]}')
    assert load(tmp_path, GOOD).additional_special_tokens == ["<x>"]


@pytest.mark.parametrize("token", ["\ud800", "a\udc00b"])
def test_a_token_of_added_tokens_json_that_is_no_text_is_a_corrupt_file(tmp_path, token):
    (tmp_path / "added_tokens.json").write_text(json.dumps({token: 3}))
    with pytest.raises(CorruptFile, match="no text") as caught:
        load(tmp_path, GOOD)
    assert caught.value.filename == "added_tokens.json"


@pytest.mark.parametrize("name", ["tokenizer_config.json", "added_tokens.json"])
def test_the_bound_of_added_tokens_holds_for_every_file(tmp_path, monkeypatch, name):
    monkeypatch.setattr("hubloader.tokenizers.checks._MAX_ADDED_TOKENS", 3)
    listed = {str(i): {"content": f"<{i}>"} for i in range(4)}
    content = {"added_tokens_decoder": listed} if "config" in name else dict.fromkeys(listed, 7)
    (tmp_path / name).write_text(json.dumps(content))
    with pytest.raises(UnsafeFile, match="4 are more than 3") as caught:
        load(tmp_path, GOOD)
    assert caught.value.filename == name


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
