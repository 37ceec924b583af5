"""The JSON files beside a vocabulary: what they decide, and what damaged ones are told."""

import json
from pathlib import Path

import pytest
import tokenizers

from hubloader.auto.tokenizer import AutoTokenizer
from hubloader.errors import CorruptFile, EntryNotFound, UnknownTokenizer, UnsafeFile
from hubloader.resolve.files import DirectoryFiles
from hubloader.tokenizers.config import read_tokenizer_config
from hubloader.tokenizers.families import wordpiece
from hubloader.tokenizers.reading import read_json_object, read_text

FIXTURES = Path(__file__).resolve().parents[2] / "cache_fixtures" / "tokenizers"
VOCABULARY = (FIXTURES / "wordpiece-cased" / "vocab.txt").read_text(encoding="utf-8")


@pytest.fixture
def folder(tmp_path):
    write(tmp_path, "vocab.txt", VOCABULARY)
    write(tmp_path, "config.json", {"model_type": "bert"})
    return tmp_path


def write(folder, name, content):
    text = content if isinstance(content, str) else json.dumps(content)
    (folder / name).write_text(text, encoding="utf-8")


def load(folder, **overrides):
    return AutoTokenizer.from_pretrained(folder, **overrides)


def test_arguments_win_over_the_files(folder):
    write(folder, "tokenizer_config.json", {"model_max_length": 512, "do_lower_case": True})
    tokenizer = load(folder, model_max_length=7, do_lower_case=False, padding_side="left")
    assert (tokenizer.model_max_length, tokenizer.padding_side) == (7, "left")
    assert tokenizer.tokenize("W") == ["W"]


def test_unknown_arguments_are_kept_as_init_arguments_and_use_fast_is_not(folder):
    tokenizer = load(folder, use_fast=False, flavour="mint")
    assert tokenizer.init_kwargs["flavour"] == "mint"
    assert "use_fast" not in tokenizer.init_kwargs


def test_model_input_names_of_the_files_win_over_the_class(folder):
    write(folder, "tokenizer_config.json", {"model_input_names": ["input_ids"]})
    assert list(load(folder)("a")) == ["input_ids"]


def test_a_missing_model_max_length_is_ten_to_the_thirty(folder):
    assert load(folder).model_max_length == int(1e30)


def test_files_named_by_a_config_are_not_opened(folder):
    write(folder, "tokenizer_config.json", {"vocab_file": "/etc/passwd", "tokenizer_file": "/x"})
    tokenizer = load(folder)
    assert tokenizer.vocab_size == len(VOCABULARY.splitlines())
    assert not {"vocab_file", "tokenizer_file"} & set(tokenizer.init_kwargs)


def test_special_tokens_map_is_not_read_where_tokenizer_config_lists_added_tokens(folder):
    write(folder, "special_tokens_map.json", {"pad_token": "[UNK]"})
    assert load(folder).pad_token == "[UNK]"
    write(folder, "tokenizer_config.json", {"added_tokens_decoder": {}})
    assert load(folder).pad_token == "[PAD]"


def test_chat_templates_have_their_own_files_which_win(folder):
    write(folder, "tokenizer_config.json", {"chat_template": "old"})
    assert load(folder).chat_template == "old"
    write(folder, "chat_template.jinja", "new")
    assert load(folder).chat_template == "new"
    (folder / "additional_chat_templates").mkdir()
    write(folder, "additional_chat_templates/tool.jinja", "tools")
    assert load(folder).chat_template == {"default": "new", "tool": "tools"}


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("tokenizer_config.json", "{", "not JSON"),
        ("tokenizer_config.json", "[1]", "holds a list"),
        ("tokenizer_config.json", "[" * 100_000, "nested too deeply"),
        ("config.json", "null", "NoneType"),
        ("tokenizer_config.json", {"pad_token": 5}, "pad_token is not a token"),
        ("tokenizer_config.json", {"added_tokens_decoder": []}, "is not an object"),
        ("tokenizer_config.json", {"added_tokens_decoder": {"x": {"content": "y"}}}, "'x'"),
        ("tokenizer_config.json", {"added_tokens_decoder": {"-1": {"content": "y"}}}, "'-1'"),
        ("tokenizer_config.json", {"added_tokens_decoder": {"1": "y"}}, "is not a token"),
        ("tokenizer_config.json", {"additional_special_tokens": "<x>"}, "not a list of tokens"),
        ("tokenizer_config.json", {"cls_token": "<nowhere>"}, "<nowhere>"),
        ("added_tokens.json", {"x": "y"}, "'y' is not a token's id"),
        ("tokenizer_config.json", {"padding_side": "up"}, "'right' and 'left'"),
        ("tokenizer_config.json", {"model_max_length": "long"}, "model_max_length"),
        ("tokenizer_config.json", {"model_input_names": "input_ids"}, "model_input_names"),
    ],
)
def test_a_damaged_file_is_named_with_what_is_wrong(folder, name, content, words):
    write(folder, name, content)
    with pytest.raises(CorruptFile, match=words) as caught:
        load(folder)
    assert caught.value.filename


def test_a_file_that_is_not_utf_8_is_told_where(folder):
    (folder / "vocab.txt").write_bytes(b"[PAD]\n\xff\n")
    with pytest.raises(CorruptFile, match="byte 6 is 0xff"):
        load(folder)


def test_a_byte_order_mark_is_dropped(folder):
    (folder / "tokenizer_config.json").write_bytes(b"\xef\xbb\xbf" + b'{"model_max_length": 9}')
    assert load(folder).model_max_length == 9


def test_a_file_beyond_the_limit_is_not_read(folder):
    with pytest.raises(UnsafeFile, match="more than the 10 that are allowed"):
        read_text(DirectoryFiles(folder), "vocab.txt", 10)


def test_lines_end_as_they_do_for_pythons_text_files(folder):
    write(folder, "vocab.txt", VOCABULARY)
    expected = load(folder).get_vocab()
    (folder / "vocab.txt").write_bytes(VOCABULARY.replace("\n", "\r\n").encode())
    assert load(folder).get_vocab() == expected


def test_a_missing_folder_or_file_is_our_own_error(folder):
    with pytest.raises(EntryNotFound):
        read_json_object(DirectoryFiles(folder), "nowhere.json")


def test_the_config_says_which_code_a_repository_would_have_run(folder):
    write(folder, "tokenizer_config.json", {"auto_map": {"AutoTokenizer": ["slow.S", "fast.F"]}})
    assert read_tokenizer_config(DirectoryFiles(folder), {}).wants_code == "fast.F"


@pytest.mark.parametrize("family", ["gpt2", "roberta"])
def test_a_prefix_space_that_is_asked_for_reaches_into_tokenizer_json(tmp_path, family):
    legacy = FIXTURES / family
    plain = load(legacy, tokenizer_type=family)
    plain.save_pretrained(tmp_path, legacy_format=False)
    text = "The library  is here"
    for arguments in ({"add_prefix_space": True}, {"trim_offsets": False}, {}):
        expected = load(legacy, tokenizer_type=family, **arguments)
        ours = load(tmp_path, **arguments)
        for options in ({}, {"return_offsets_mapping": True}):
            assert ours(text, **options).data == expected(text, **options).data
    prefixed = load(tmp_path, add_prefix_space=True)
    assert prefixed(text).data != plain(text).data


def test_the_three_flags_of_bert_reach_into_tokenizer_json(folder, tmp_path):
    load(folder, do_lower_case=False).save_pretrained(tmp_path / "saved", legacy_format=False)
    saved = tmp_path / "saved"
    assert load(saved).tokenize("The") == load(folder, do_lower_case=False).tokenize("The")
    write(saved, "tokenizer_config.json", {"tokenizer_class": "BertTokenizer"})
    assert load(saved).tokenize("The") == load(folder).tokenize("The")
    for flags in ({"strip_accents": False}, {"tokenize_chinese_chars": False}):
        assert load(saved, **flags).tokenize("é 懒狗") == load(folder, **flags).tokenize("é 懒狗")


def test_a_generic_class_leaves_tokenizer_json_alone(folder, tmp_path):
    load(folder, do_lower_case=False).save_pretrained(tmp_path / "saved", legacy_format=False)
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "do_lower_case": True}
    write(tmp_path / "saved", "tokenizer_config.json", settings)
    assert load(tmp_path / "saved").tokenize("The") == load(folder, do_lower_case=False).tokenize(
        "The"
    )


def test_arguments_win_over_the_special_tokens_map_too(folder):
    write(folder, "special_tokens_map.json", {"pad_token": "[UNK]"})
    assert load(folder, pad_token="[MASK]").pad_token == "[MASK]"


def test_an_added_token_that_has_a_role_is_special_whatever_its_flag_says(folder):
    listed = {"700": {"content": "<pad>", "special": False}}
    settings = {"pad_token": "<pad>", "added_tokens_decoder": listed}
    write(folder, "tokenizer_config.json", settings)
    assert load(folder).decode([4, len(VOCABULARY.splitlines())], skip_special_tokens=True) == ""


def test_sides_and_padding_saved_in_tokenizer_json_fill_in_what_nothing_else_says(folder, tmp_path):
    backend = load(folder).backend_tokenizer
    backend.enable_padding(direction="left", pad_id=4, pad_type_id=1, pad_token="[MASK]")
    backend.enable_truncation(8, direction="left")
    (tmp_path / "json").mkdir()
    backend.save(str(tmp_path / "json" / "tokenizer.json"))
    tokenizer = load(tmp_path / "json")
    assert (tokenizer.padding_side, tokenizer.truncation_side) == ("left", "left")
    assert (tokenizer.pad_token, tokenizer.pad_token_type_id) == ("[MASK]", 0)
    write(tmp_path / "json", "tokenizer_config.json", {"padding_side": "right"})
    assert load(tmp_path / "json").padding_side == "right"


def test_merges_are_read_as_transformers_reads_them(tmp_path):
    for name in ("vocab.json", "merges.txt"):
        write(tmp_path, name, (FIXTURES / "gpt2" / name).read_text(encoding="utf-8"))
    whole = load(tmp_path, tokenizer_type="gpt2").backend_tokenizer.to_str()
    merges = (tmp_path / "merges.txt").read_text(encoding="utf-8")
    last = merges.splitlines()[-1]
    write(tmp_path, "merges.txt", merges.rstrip("\n"))
    cut = load(tmp_path, tokenizer_type="gpt2").backend_tokenizer.to_str()
    assert len(json.loads(cut)["model"]["merges"]) == len(json.loads(whole)["model"]["merges"]) - 1
    write(tmp_path, "merges.txt", merges + last + "\n")
    assert load(tmp_path, tokenizer_type="gpt2").backend_tokenizer.to_str() == whole
    write(tmp_path, "merges.txt", merges + "a b c\n")
    with pytest.raises(CorruptFile, match="'a b c', which is no pair"):
        load(tmp_path, tokenizer_type="gpt2")
    write(tmp_path, "merges.txt", merges + "zzzz yyyy\n")
    with pytest.raises(CorruptFile, match="cannot be used"):
        load(tmp_path, tokenizer_type="gpt2")


def test_a_vocabulary_without_the_tokens_that_frame_a_text_is_named(tmp_path):
    write(tmp_path, "vocab.json", {"a": 0})
    write(tmp_path, "merges.txt", "#version: 0.2\n")
    with pytest.raises(CorruptFile, match="has no </s>"):
        load(tmp_path, tokenizer_type="roberta")


@pytest.mark.parametrize(
    "content",
    [
        b"[UNK]\na\nb\n",
        b"[UNK]\na\nb",
        b"[UNK]\r\na\r\nb\r\n",
        b"[UNK]\ra\rb",
        b"\xef\xbb\xbf[UNK]\na\n",
        b"[UNK]\na \nb\xe3\x80\x80\n\xc2\xa0\nc\n",
        b"[UNK]\n\na\n\n",
        b"[UNK]\na\na\nb\n",
        b"[UNK]\n\x00\n\x1c\nb\n\x85\n".replace(b"\x85", b"\xc2\x85"),
        b"[UNK]\na\xe2\x80\xa8b\n\x0b\n",
    ],
)
def test_a_vocabulary_is_read_line_by_line_as_transformers_does(tmp_path, content):
    (tmp_path / "vocab.txt").write_bytes(content)
    with open(tmp_path / "vocab.txt", encoding="utf-8-sig") as lines:
        expected = {line.rstrip("\n"): number for number, line in enumerate(lines)}
    model = wordpiece._read_model(DirectoryFiles(tmp_path), "vocab.txt", "[UNK]")
    assert tokenizers.Tokenizer(model).get_vocab() == expected


def test_a_vocabulary_beyond_the_limit_is_unsafe_rather_than_corrupt(folder, monkeypatch):
    from hubloader.tokenizers.families import wordpiece

    monkeypatch.setattr(wordpiece, "read_text", lambda files, name: read_text(files, name, 10))
    with pytest.raises(UnsafeFile, match="more than the 10"):
        load(folder)


def test_roformer_is_converted_where_no_word_splitter_is_needed(tmp_path):
    write(tmp_path, "vocab.txt", VOCABULARY)
    tokenizer = load(tmp_path, tokenizer_type="roformer")
    words = [word for word, _ in tokenizer.backend_tokenizer.pre_tokenizer.pre_tokenize_str(
        "c# xc++ AT&T 3D a_b 敏捷é\n"
    )]  # fmt: skip
    assert words == ["c#", "x", "c++", "AT&T", "3D", "a", "_", "b", "敏", "捷", "é"]
    write(tmp_path, "vocab.txt", VOCABULARY + "敏捷\n")
    with pytest.raises(UnknownTokenizer, match=r"1 Chinese words \(敏捷 ...\)"):
        load(tmp_path, tokenizer_type="roformer")
