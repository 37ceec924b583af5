"""Which vocabulary file is read, what a wrong one is called, and what is saved."""

import base64
import gzip
import json
import pickle
import struct
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken

from hubloader.auto.tokenizer import AutoTokenizer
from hubloader.errors import CorruptFile, HubloaderError, UnknownTokenizer, UnsafeFile
from hubloader.tokenizers.ranked_bytes import parse_tekken, parse_tiktoken
from hubloader.tokenizers.sentencepiece_engine import merges_of
from hubloader.tokenizers.vocabulary_format import VocabularyFormat, sniff_vocabulary

TOKENIZERS = Path(__file__).resolve().parents[2] / "cache_fixtures" / "tokenizers"
LLAMA = (TOKENIZERS / "spm-llama" / "tokenizer.model").read_bytes()
TIKTOKEN = (TOKENIZERS / "tiktoken" / "tokenizer.model").read_bytes()
TEKKEN = json.loads((TOKENIZERS / "tekken" / "tekken.json").read_text("ascii"))


def folder_of(tmp_path, files, declared="LlamaTokenizer", **settings_):
    config = {"tokenizer_class": declared, **settings_}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    for name, raw in files.items():
        (tmp_path / name).write_bytes(raw)
    return tmp_path


@pytest.mark.parametrize(
    ("raw", "found"),
    [
        (LLAMA, VocabularyFormat.SENTENCEPIECE),
        (TIKTOKEN, VocabularyFormat.TIKTOKEN),
        (b"\xef\xbb\xbf" + TIKTOKEN, VocabularyFormat.TIKTOKEN),
        (b'{"a": {}}', VocabularyFormat.JSON),
        (json.dumps(TEKKEN).encode(), VocabularyFormat.TEKKEN),
        (b'{"version": "1.0", "truncation": null}', VocabularyFormat.TOKENIZER_JSON),
        (gzip.compress(LLAMA), VocabularyFormat.GZIP),
        (pickle.dumps({}), VocabularyFormat.PICKLE),
        (struct.pack("<Q", 2) + b"{}", VocabularyFormat.SAFETENSORS),
        ("YQ== 0".encode("utf-16"), VocabularyFormat.UTF16),
        (b"version https://git-lfs.github.com/spec/v1\n", VocabularyFormat.LFS_POINTER),
        (b"<!DOCTYPE html>", VocabularyFormat.HTML),
        (b"PK\x03\x04...", VocabularyFormat.ZIP),
        (b"GGUF\x03", VocabularyFormat.GGUF),
        (b"", VocabularyFormat.EMPTY),
        (b"hello there", VocabularyFormat.UNKNOWN),
    ],
)
def test_the_format_is_told_from_the_bytes(raw, found):
    assert sniff_vocabulary(raw) is found


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS pointer"),
        (b"<html><body>sign in</body></html>", "a page of HTML"),
        (b'{"a": 1}', "is JSON"),
        (b'{"version": "1.0", "truncation": null}', "is a tokenizer.json"),
        (gzip.compress(LLAMA), "compressed by gzip"),
        (pickle.dumps([]), "is a pickle"),
        ("YQ== 0".encode("utf-16"), "text in UTF-16"),
        (b"PK\x03\x04zip", "zip archive"),
        (b"", "empty file"),
    ],
)
def test_the_error_names_the_format_that_was_found(tmp_path, raw, words):
    folder = folder_of(tmp_path, {"tokenizer.model": raw})
    with pytest.raises(UnknownTokenizer, match=words) as caught:
        AutoTokenizer.from_pretrained(folder)
    assert caught.value.filename == "tokenizer.model"
    assert caught.value.hint


def test_merges_come_best_first_and_of_one_piece_the_longest_beginning_first():
    ids = {"a": 0, "bc": 1, "ab": 2, "c": 3, "b": 4, "abc": 5}
    scores = {"abc": -1.0, "ab": -0.5, "bc": -2.0, "a": 0.0, "b": 0.0, "c": 0.0}
    assert merges_of(ids, scores) == [("a", "b"), ("ab", "c"), ("a", "bc"), ("b", "c")]


SPECIAL = {"lstrip": False, "rstrip": False, "normalized": False, "single_word": False,
           "special": True}  # fmt: skip


@pytest.mark.parametrize("declared", ["LlamaTokenizer", "PreTrainedTokenizerFast"])
def test_the_shape_of_llama_3_is_read(tmp_path, declared):
    """Its tokenizer.model has tiktoken's lines, and its special tokens are in another file."""
    listed = ["<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>"]
    folder = folder_of(
        tmp_path, {"tokenizer.model": TIKTOKEN}, declared,
        bos_token="<|begin_of_text|>", eos_token="<|eot_id|>",
        added_tokens_decoder={str(700 + i): {"content": t, **SPECIAL}
                              for i, t in enumerate(listed)},
    )  # fmt: skip
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids = tokenizer("hello")["input_ids"]
    assert tokenizer.convert_tokens_to_ids(listed) == [700, 701, 702]
    assert (ids[0] == 700) == (declared == "LlamaTokenizer")
    assert tokenizer.decode(ids, skip_special_tokens=True) == "hello"


@pytest.mark.parametrize(
    ("declared", "file", "model", "settings_", "framed"),
    [
        ("LlamaTokenizer", "tokenizer.model", "spm-llama/tokenizer.model",
         {"bos_token": "<bos: 1>"}, ["<bos: 1>"]),
        ("LlamaTokenizer", "tokenizer.model", "spm-llama/tokenizer.model",
         {"bos_token": "$x", "add_eos_token": True, "eos_token": "end of it"}, ["$x", "end of it"]),
        ("LlamaTokenizer", "tokenizer.model", "spm-llama/tokenizer.model",
         {"bos_token": None}, []),
        ("GemmaTokenizer", "tokenizer.model", "spm-gemma/tokenizer.model",
         {"bos_token": None, "pad_token": None}, []),
        ("AlbertTokenizer", "spiece.model", "spm-t5/spiece.model", {}, ["[CLS]", "[SEP]"]),
        ("FNetTokenizer", "spiece.model", "spm-t5/spiece.model",
         {"cls_token": "<c>"}, ["<unk>", "[SEP]"]),
        ("MBart50Tokenizer", "sentencepiece.bpe.model", "spm-fairseq/sentencepiece.bpe.model",
         {"additional_special_tokens": ["xx_XX"], "src_lang": "xx_XX"}, ["xx_XX", "</s>"]),
        ("PegasusTokenizer", "spiece.model", "spm-t5/spiece.model",
         {"eos_token": "<|end|>"}, ["<|end|>"]),
    ],
)  # fmt: skip
def test_a_text_is_framed_by_tokens_that_the_model_file_lacks(
    tmp_path, declared, file, model, settings_, framed
):
    """Alike in what is made of the model file and in what is saved of that."""
    folder = folder_of(tmp_path, {file: (TOKENIZERS / model).read_bytes()}, declared, **settings_)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids = tokenizer("hello")["input_ids"]
    around = [i for i in ids if i not in tokenizer("hello", add_special_tokens=False)["input_ids"]]
    assert tokenizer.convert_ids_to_tokens(around) == framed
    tokenizer.save_pretrained(tmp_path / "saved", legacy_format=False)
    again = AutoTokenizer.from_pretrained(tmp_path / "saved")
    assert again("hello")["input_ids"] == ids
    assert again("hello", "you")["input_ids"] == tokenizer("hello", "you")["input_ids"]


@pytest.mark.parametrize(
    ("scores", "words"),
    [
        ({"a" * length: -float(length) for length in range(1, 1024)}, "would copy"),
        ({chr(0x4E00 + i) * length: 0.0 for i in range(5000) for length in range(1, 41)}, "copy"),
        (dict.fromkeys(map(str, range((1 << 19) + 1)), 0.0), "more than 524288"),
    ],
)
def test_merges_that_would_exhaust_the_machine_are_not_worked_out(scores, words):
    with pytest.raises(UnsafeFile, match=words):
        merges_of({text: index for index, text in enumerate(scores)}, scores)


def test_merges_without_end_are_not_worked_out(monkeypatch):
    monkeypatch.setattr("hubloader.tokenizers.merging.MAX_MERGES", 100)
    scores = {"a" * length: 0.0 for length in range(1, 17)}
    with pytest.raises(UnsafeFile, match="more than 100 ways"):
        merges_of({text: index for index, text in enumerate(scores)}, scores)


def test_a_vocabulary_that_merges_without_end_is_refused_by_name(tmp_path):
    lines = [base64.b64encode(b"a" * n) + b" %d" % n for n in range(1, 1000)]
    folder = folder_of(tmp_path, {"tokenizer.model": b"\n".join(lines)})
    with pytest.raises(UnsafeFile, match=r"tokenizer\.model.* would copy") as caught:
        AutoTokenizer.from_pretrained(folder)
    assert caught.value.filename == "tokenizer.model"


def test_a_generic_class_refuses_sentencepiece_by_name(tmp_path):
    folder = folder_of(tmp_path, {"tokenizer.model": LLAMA}, "PreTrainedTokenizerFast")
    with pytest.raises(UnknownTokenizer, match="is a SentencePiece model"):
        AutoTokenizer.from_pretrained(folder)


def test_a_sentencepiece_model_that_no_class_claims_is_called_one(tmp_path):
    folder = folder_of(tmp_path, {"tokenizer.model": LLAMA}, "FrobTokenizer")
    with pytest.raises(UnknownTokenizer, match="is a SentencePiece model") as caught:
        AutoTokenizer.from_pretrained(folder)
    assert "load it through the one it is of, such as LlamaTokenizer" in caught.value.hint


@pytest.mark.parametrize("declared", ["LlamaTokenizer", "PreTrainedTokenizerFast"])
def test_a_tekken_vocabulary_may_be_called_tokenizer_model(tmp_path, declared):
    folder = folder_of(tmp_path, {"tokenizer.model": json.dumps(TEKKEN).encode()}, declared)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer("[INST]", add_special_tokens=False)["input_ids"] == [3]


def test_tokenizer_json_beside_a_model_file_is_what_is_run(tmp_path):
    first = folder_of(tmp_path, {"tokenizer.model": LLAMA})
    tokenizer = AutoTokenizer.from_pretrained(first)
    tokenizer.add_tokens(["<only-in-json>"])
    tokenizer.save_pretrained(tmp_path / "saved")
    (tmp_path / "saved" / "tokenizer.model").write_bytes(b"damaged")
    again = AutoTokenizer.from_pretrained(tmp_path / "saved")
    assert again.convert_tokens_to_ids("<only-in-json>") == 960


def test_saving_keeps_the_model_file(tmp_path):
    folder = folder_of(tmp_path, {"tokenizer.model": LLAMA})
    paths = AutoTokenizer.from_pretrained(folder).save_pretrained(tmp_path / "saved")
    assert str(tmp_path / "saved" / "tokenizer.model") in paths
    assert (tmp_path / "saved" / "tokenizer.model").read_bytes() == LLAMA


def test_saving_the_model_file_of_a_tokenizer_that_had_none_says_so(tmp_path):
    folder = folder_of(tmp_path, {"tokenizer.model": LLAMA})
    AutoTokenizer.from_pretrained(folder).save_pretrained(tmp_path / "a", legacy_format=False)
    again = AutoTokenizer.from_pretrained(tmp_path / "a")
    again.save_pretrained(tmp_path / "b")
    assert not (tmp_path / "b" / "tokenizer.model").exists()
    with pytest.raises(ValueError, match=r"tokenizer\.model"):
        again.save_pretrained(tmp_path / "c", legacy_format=True)


def test_llamas_frame_follows_init_arguments_over_tokenizer_json(tmp_path):
    folder = folder_of(tmp_path, {"tokenizer.model": LLAMA})
    AutoTokenizer.from_pretrained(folder).save_pretrained(tmp_path / "saved")
    tokenizer = AutoTokenizer.from_pretrained(
        tmp_path / "saved", add_bos_token=False, add_eos_token=True
    )
    ids = tokenizer("hello")["input_ids"]
    assert (ids[0] == 1, ids[-1] == 2) == (False, True)


@pytest.mark.parametrize(
    ("declared", "settings_"),
    [
        ("T5Tokenizer", {"extra_ids": "many"}),
        ("T5Tokenizer", {"extra_ids": 1 << 40}),
        ("PegasusTokenizer", {"offset": -1}),
    ],
)
def test_a_config_that_asks_for_no_number_of_tokens_is_corrupt(tmp_path, declared, settings_):
    model = (TOKENIZERS / "spm-t5" / "spiece.model").read_bytes()
    folder = folder_of(tmp_path, {"spiece.model": model}, declared, **settings_)
    with pytest.raises(CorruptFile, match="not a number of tokens"):
        AutoTokenizer.from_pretrained(folder)


@pytest.mark.parametrize(
    "table",
    [
        {"additional_special_tokens": [0]},
        {"additional_special_tokens": 3.5},
        {"bos_token": {"content": 5}},
        {"eos_token": []},
    ],
)
def test_a_special_tokens_map_that_holds_no_tokens_is_corrupt(tmp_path, table):
    folder = folder_of(tmp_path, {"tokenizer.model": LLAMA})
    (folder / "special_tokens_map.json").write_text(json.dumps(table))
    with pytest.raises(CorruptFile, match=r"special_tokens_map\.json"):
        AutoTokenizer.from_pretrained(folder)


def test_targets_of_mbart_are_framed_in_their_language(tmp_path):
    model = (TOKENIZERS / "spm-fairseq" / "sentencepiece.bpe.model").read_bytes()
    folder = folder_of(
        tmp_path, {"sentencepiece.bpe.model": model}, "MBartTokenizer",
        src_lang="de_DE", tgt_lang="ro_RO",
    )  # fmt: skip
    tokenizer = AutoTokenizer.from_pretrained(folder)
    both = tokenizer("hello", text_target="hello")
    last = [tokenizer.convert_ids_to_tokens(ids[-1]) for ids in (both["input_ids"], both["labels"])]
    assert last == ["de_DE", "ro_RO"]
    assert tokenizer.convert_ids_to_tokens(tokenizer("hello")["input_ids"][-1]) == "de_DE"


def test_a_language_that_is_set_later_frames_the_next_text(tmp_path):
    model = (TOKENIZERS / "spm-fairseq" / "sentencepiece.bpe.model").read_bytes()
    folder = folder_of(tmp_path, {"sentencepiece.bpe.model": model}, "MBart50Tokenizer")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    first = tokenizer.convert_ids_to_tokens(tokenizer("hello")["input_ids"][0])
    tokenizer.src_lang = "fr_XX"
    second = tokenizer.convert_ids_to_tokens(tokenizer("hello")["input_ids"][0])
    assert (first, second, tokenizer.src_lang) == ("en_XX", "fr_XX", "fr_XX")
    with pytest.raises(CorruptFile, match="no Klingon"):
        tokenizer.src_lang = "Klingon"
    assert tokenizer.src_lang == "fr_XX"
    tokenizer.save_pretrained(tmp_path / "saved")
    assert AutoTokenizer.from_pretrained(tmp_path / "saved").src_lang == "fr_XX"


def test_llamas_frame_can_be_set_later(tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(folder_of(tmp_path, {"tokenizer.model": LLAMA}))
    assert tokenizer.add_bos_token is True
    tokenizer("hello")  # a plan of the old frame is made, and must not be used again
    tokenizer.add_bos_token, tokenizer.add_eos_token = False, True
    ids = tokenizer("hello")["input_ids"]
    assert (ids[0] == 1, ids[-1] == 2) == (False, True)
    assert tokenizer.num_special_tokens_to_add() == 1


def test_a_tokenizer_model_in_another_name_is_found(tmp_path):
    folder = folder_of(tmp_path, {"qwen.tiktoken": TIKTOKEN}, "PreTrainedTokenizerFast")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer.decode(tokenizer("naïve 🤗")["input_ids"]) == "naïve 🤗"


def test_tekkens_byte_strings_come_after_its_special_tokens(tmp_path):
    folder = folder_of(
        tmp_path, {"tekken.json": json.dumps(TEKKEN).encode()}, "PreTrainedTokenizerFast"
    )
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer.convert_ids_to_tokens([0, 3, 4, 5]) == [
        "<unk>", "[INST]", "<SPECIAL_4>", "<SPECIAL_5>",
    ]  # fmt: skip
    assert len(tokenizer) == TEKKEN["config"]["default_vocab_size"]
    assert tokenizer("[INST]")["input_ids"] == [3]
    assert min(tokenizer("hello")["input_ids"]) >= 6
    assert tokenizer.decode(tokenizer("[INST] naïve")["input_ids"]) == "[INST] naïve"


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"YQ==\n", "line 1 is not base64 and a rank"),
        (b"YQ== 0\n!!!! 1\n", "line 2 is not base64"),
        (b"YQ== 0\nYQ== 1\n", "twice"),
        (b"YQ== 0\nYg== 0\n", "same rank"),
        (b"YQ== -1\n", "not base64 and a rank"),
        (b"\n", "no tokens"),
    ],
)
def test_a_damaged_tiktoken_file_is_refused_in_words(raw, words):
    with pytest.raises(CorruptFile, match=words):
        parse_tiktoken(raw)


@pytest.mark.parametrize(
    "change",
    [
        {"config": None},
        {"vocab": [{"token_bytes": "!"}]},
        {"vocab": [{}]},
        {"special_tokens": [{"rank": 3, "token_str": "<s>", "is_control": True}]},
        {"config": {"pattern": "x", "default_num_special_tokens": 1 << 30}},
        {"config": {"pattern": "x" * 5000}},
        {"config": {"pattern": "(a{1000}){2000}"}},
        {"config": {"pattern": 5}},
        {"config": {"pattern": "x", "default_vocab_size": -1}},
        {"config": {"pattern": "x", "default_vocab_size": float("inf")}},
        {"config": {"pattern": "x", "default_num_special_tokens": float("inf")}},
        {"special_tokens": [{"rank": float("inf"), "token_str": "<s>", "is_control": True}]},
    ],
)
def test_a_damaged_tekken_file_is_refused(change):
    with pytest.raises((CorruptFile, UnsafeFile)):
        parse_tekken(json.dumps({**TEKKEN, **change}).encode())


CHANGED = [
    ("spm-fairseq/sentencepiece.bpe.model", "XLMRobertaTokenizer"),
    ("spm-reformer/spiece.model", "ReformerTokenizer"),
    ("spm-gemma/tokenizer.model", "GemmaTokenizer"),
]


def test_a_bpe_model_whose_unknown_piece_is_missing_is_corrupt(tmp_path):
    model = (TOKENIZERS / "spm-reformer" / "spiece.model").read_bytes()
    raw = model.replace(b"<unk>", b"<unq>", 1)
    folder = folder_of(tmp_path, {"spiece.model": raw}, "ReformerTokenizer")
    with pytest.raises(CorruptFile, match="its unknown piece '<unk>' is not in the vocabulary"):
        AutoTokenizer.from_pretrained(folder)


def test_a_model_that_falls_back_to_bytes_needs_no_unknown_piece(tmp_path):
    """LLaMA's file read as Gemma's: <unk> is called <pad>, and every byte has a piece."""
    folder = folder_of(tmp_path, {"tokenizer.model": LLAMA}, "GemmaTokenizer")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer.decode(tokenizer("a ሴ b")["input_ids"], skip_special_tokens=True) == "a ሴ b"


@given(st.data())
@settings(
    max_examples=40,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_a_changed_model_file_is_loaded_and_run_or_refused_with_our_own_error(tmp_path, data):
    path, declared = data.draw(st.sampled_from(CHANGED))
    raw = bytearray((TOKENIZERS / path).read_bytes())
    reach = data.draw(st.sampled_from([60, len(raw)]))  # the special pieces come first
    for _ in range(data.draw(st.integers(1, 6))):
        raw[data.draw(st.integers(0, reach - 1))] = data.draw(st.integers(0, 255))
    folder = folder_of(tmp_path, {Path(path).name: bytes(raw)}, declared)
    try:
        AutoTokenizer.from_pretrained(folder)("Das Mädchen ﬁ \uff11\uff12 …")
    except HubloaderError:
        return


def test_a_character_map_whose_table_leads_nowhere_is_our_own_error(tmp_path):
    table = struct.pack("<4I", *(0xFFFFFFFF,) * 4)
    charsmap = struct.pack("<I", len(table)) + table + b"a\0"
    normalizer = b"\x12" + bytes([len(charsmap)]) + charsmap
    raw = LLAMA + b"\x1a" + bytes([len(normalizer)]) + normalizer
    folder = folder_of(tmp_path, {"spiece.model": raw}, "ReformerTokenizer")
    try:
        AutoTokenizer.from_pretrained(folder)("abc")
    except HubloaderError:
        return


def test_an_added_token_that_is_matched_after_normalizing_keeps_its_name(tmp_path):
    model = (TOKENIZERS / "spm-deberta" / "spm.model").read_bytes()
    folder = folder_of(tmp_path, {"spm.model": model}, "DebertaV2Tokenizer", do_lower_case=True)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens([AddedToken("Naïve X", normalized=True)])
    encoded = tokenizer(["naïve x b", "b"], padding=True)
    ids = encoded["input_ids"]
    assert encoded.tokens() == ["[CLS]", "Naïve X", "▁b", "[SEP]"]
    assert pickle.loads(pickle.dumps(encoded)).tokens() == encoded.tokens()
    assert tokenizer.convert_ids_to_tokens(ids[0]) == encoded.tokens()
    assert tokenizer.convert_ids_to_tokens(ids[0][1]) == "Naïve X"
    assert tokenizer.convert_tokens_to_ids(encoded.tokens()) == ids[0]
    assert tokenizer.tokenize("NAÏVE X") == ["Naïve X"]
    # [UNK] is matched after normalizing too, but what is unknown is given as it stands there.
    assert tokenizer.tokenize("a⅓ [UNK]") == ["▁", "a", "⅓", "▁", "[UNK]"]


NORMALIZED = {"__type": "AddedToken", **SPECIAL, "normalized": True}


@pytest.mark.parametrize("declared", ["LlamaTokenizer", "BigBirdTokenizer"])
def test_a_special_piece_that_a_config_calls_normalized_is_found_behind_a_word(tmp_path, declared):
    """Vicuna's files and BigBird's say so; normalized it would be "▁</s>"."""
    files = {
        "LlamaTokenizer": {"tokenizer.model": LLAMA},
        "BigBirdTokenizer": {
            "spiece.model": (TOKENIZERS / "spm-big-bird" / "spiece.model").read_bytes()
        },
    }[declared]
    roles = {"bos_token": "<s>", "eos_token": "</s>"}
    folder = folder_of(
        tmp_path, files, declared,
        **{role: {**NORMALIZED, "content": text} for role, text in roles.items()},
    )  # fmt: skip
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert "</s>" in tokenizer.tokenize("Hallo</s>Welt")
    (tmp_path / "saved").mkdir()
    tokenizer.save_pretrained(tmp_path / "saved", legacy_format=False)
    again = AutoTokenizer.from_pretrained(tmp_path / "saved")
    assert again.tokenize("Hallo</s>Welt") == tokenizer.tokenize("Hallo</s>Welt")


def test_a_config_does_not_change_how_a_token_of_tokenizer_json_is_matched(tmp_path):
    """The file is run as it is: what it matches before normalizing, or after, stays so."""
    folder = folder_of(tmp_path, {"tokenizer.model": LLAMA})
    AutoTokenizer.from_pretrained(folder).save_pretrained(tmp_path, legacy_format=False)
    config = json.loads((tmp_path / "tokenizer_config.json").read_text("utf-8"))
    for entry in config["added_tokens_decoder"].values():
        entry["normalized"] = not entry["normalized"]
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    assert "</s>" in AutoTokenizer.from_pretrained(tmp_path).tokenize("Hallo</s>Welt")


def test_code_llama_knows_no_other_way_to_read_spaces_than_the_old_one(tmp_path):
    folder = folder_of(tmp_path, {"tokenizer.model": LLAMA}, "CodeLlamaTokenizer", legacy=False)
    assert AutoTokenizer.from_pretrained(folder).backend_tokenizer.pre_tokenizer is None
