"""Which files a purpose needs, row by row of the table in resolve/needs.py."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubloader.resolve.manifest import shards_in_index
from hubloader.resolve.needs import candidates, matches, needs, weight_formats
from hubloader.types import CommitHash, Entry, Manifest, Purpose, RepoId

REPO = RepoId.parse("org/name")
QUICK_TOUR = (
    ".gitattributes",
    "README.md",
    "config.json",
    "map.jpeg",
    "model.safetensors",
    "onnx/model.onnx",
    "pytorch_model.bin",
    "rust_model.ot",
    "tf_model.h5",
    "tokenizer_config.json",
    "vocab.txt",
)


def listing(*names: str) -> Manifest:
    entries = {name: Entry(1, git_sha1="a" * 40) for name in names}
    return Manifest(REPO, "main", CommitHash("c" * 40), entries)


def wanted(names: tuple[str, ...], *uses: str, **fields: object) -> tuple[str, ...]:
    return needs(listing(*names), Purpose(uses=frozenset(uses), **fields)).wanted


def test_a_tokenizer_without_tokenizer_json_needs_config_settings_and_its_vocabulary():
    assert wanted(QUICK_TOUR, "tokenizer") == ("config.json", "tokenizer_config.json", "vocab.txt")


def test_a_tiktoken_vocabulary_is_brought_whatever_it_is_called():
    names = ("config.json", "qwen.tiktoken", "more/other.tiktoken")

    assert wanted(names, "tokenizer") == ("config.json", "qwen.tiktoken")
    assert wanted((*names, "tokenizer.json"), "tokenizer") == ("config.json", "tokenizer.json")


def test_a_tokenizer_with_tokenizer_json_needs_no_legacy_vocabulary():
    names = (*QUICK_TOUR, "tokenizer.json", "special_tokens_map.json", "merges.txt")

    assert wanted(names, "tokenizer") == (
        "config.json",
        "special_tokens_map.json",
        "tokenizer.json",
        "tokenizer_config.json",
    )


def test_a_tokenizer_brings_its_chat_templates():
    names = ("tokenizer.json", "chat_template.jinja", "additional_chat_templates/rag.jinja")

    assert set(wanted(names, "tokenizer")) == set(names)


@pytest.mark.parametrize("use", ["torch", "tf", "numpy"])
def test_a_model_needs_config_and_safetensors_before_any_other_format(use):
    assert wanted(QUICK_TOUR, use) == ("config.json", "model.safetensors")


@pytest.mark.parametrize(
    ("use", "second", "third"),
    [
        ("torch", "pytorch_model.bin", "tf_model.h5"),
        ("numpy", "pytorch_model.bin", "tf_model.h5"),
        ("tf", "tf_model.h5", "pytorch_model.bin"),
    ],
)
def test_without_safetensors_a_framework_takes_its_own_format_first(use, second, third):
    names = tuple(name for name in QUICK_TOUR if name != "model.safetensors")

    assert wanted(names, use) == ("config.json", second)
    assert wanted(tuple(n for n in names if n != second), use) == ("config.json", third)


@pytest.mark.parametrize("use", ["torch", "tf", "numpy"])
def test_flax_weights_are_taken_where_there_are_no_others(use):
    names = ("config.json", "flax_model.msgpack")

    assert wanted(names, use) == names
    assert wanted((*names, "pytorch_model.bin"), use) == ("config.json", "pytorch_model.bin")


def test_tokenizer_and_model_together_need_the_union():
    assert wanted(QUICK_TOUR, "tokenizer", "torch") == (
        "config.json",
        "model.safetensors",
        "tokenizer_config.json",
        "vocab.txt",
    )


def test_shards_are_told_from_their_names_when_the_set_is_whole():
    shards = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
    found = needs(
        listing("config.json", "model.safetensors.index.json", *shards),
        Purpose(uses=frozenset({"torch"})),
    )

    assert found.wanted == ("config.json", *sorted((*shards, "model.safetensors.index.json")))
    assert found.indexes == ()


@pytest.mark.parametrize(
    "shards",
    [
        ("model-00001-of-00002.safetensors",),
        ("part-a.safetensors", "part-b.safetensors"),
        (
            "model-00001-of-00001.safetensors",
            "model-00001-of-00002.safetensors",
            "model-00002-of-00002.safetensors",
        ),
    ],
)
def test_an_index_whose_shards_cannot_be_told_from_names_has_to_be_read(shards):
    found = needs(
        listing("model.safetensors.index.json", *shards), Purpose(uses=frozenset({"torch"}))
    )

    assert found.wanted == ("model.safetensors.index.json",)
    assert found.indexes == ("model.safetensors.index.json",)


def test_one_whole_file_wins_over_shards_of_the_same_format():
    names = (
        "model.safetensors",
        "model.safetensors.index.json",
        "model-00001-of-00001.safetensors",
    )

    assert wanted(names, "torch") == ("model.safetensors",)


def test_a_variant_has_its_own_names_whole_and_sharded():
    whole = ("model.safetensors", "model.fp16.safetensors", "pytorch_model.fp16.bin")
    sharded = (
        "model.safetensors",
        "model.safetensors.index.fp16.json",
        "model.fp16-00001-of-00001.safetensors",
    )

    assert wanted(whole, "torch", variant="fp16") == ("model.fp16.safetensors",)
    assert wanted(sharded, "torch", variant="fp16") == tuple(sorted(sharded[1:]))


def test_a_variant_that_is_not_there_is_missing_and_nothing_stands_in_for_it():
    found = needs(listing(*QUICK_TOUR), Purpose(uses=frozenset({"torch"}), variant="fp16"))

    assert found.missing == ("weights of the variant 'fp16' for torch",)
    assert "model.safetensors" not in found.wanted


def test_use_safetensors_decides_which_formats_count():
    assert wanted(QUICK_TOUR, "torch", use_safetensors=False)[1] == "pytorch_model.bin"
    only_bin = ("config.json", "pytorch_model.bin")
    found = needs(listing(*only_bin), Purpose(uses=frozenset({"torch"}), use_safetensors=True))
    assert found.missing == ("weights for torch in safetensors",)


def test_a_repository_without_weights_says_so():
    found = needs(listing("config.json"), Purpose(uses=frozenset({"numpy"})))

    assert found.missing == ("weights for numpy",)


def test_what_a_loader_would_look_for_in_vain_is_named():
    found = needs(
        listing("config.json", "pytorch_model.bin", "vocab.txt"),
        Purpose(uses=frozenset({"tokenizer", "torch"})),
    )

    assert set(found.absent) == {
        "adapter_config.json",
        "added_tokens.json",
        "chat_template.jinja",
        "model.safetensors",
        "model.safetensors.index.json",
        "special_tokens_map.json",
        "tokenizer.json",
        "tokenizer_config.json",
    }


def test_names_are_those_below_the_subfolder():
    names = ("config.json", "bert/config.json", "bert/model.safetensors", "model.safetensors")

    assert wanted(names, "torch", subfolder="bert") == (
        "bert/config.json",
        "bert/model.safetensors",
    )


def test_everything_is_wanted_when_nothing_is_named():
    assert set(wanted(QUICK_TOUR)) == set(QUICK_TOUR)
    assert set(wanted(QUICK_TOUR, "all")) == set(QUICK_TOUR)


def test_patterns_choose_from_the_whole_and_exclusion_wins():
    assert wanted(QUICK_TOUR, include=("*.json", "onnx/"), exclude=("tok*",)) == (
        "config.json",
        "onnx/model.onnx",
    )


def test_patterns_add_to_what_uses_need():
    assert wanted(QUICK_TOUR, "torch", include=("README.md",), exclude=("config.json",)) == (
        "README.md",
        "model.safetensors",
    )


def test_exact_names_are_wanted_or_missing():
    found = needs(listing("a/b.json", "c.json"), Purpose(exact=("b.json", "d.json"), subfolder="a"))

    assert found.wanted == ("a/b.json",)
    assert found.missing == ("a/d.json",)


@pytest.mark.parametrize(
    ("name", "pattern", "fits"),
    [
        ("a/b/c.json", "*.json", True),
        ("a/b/c.json", "a/", True),
        ("ab/c.json", "a/", False),
        ("A.json", "a.json", False),
        ("a.json", "[ab].json", True),
    ],
)
def test_patterns_are_those_of_huggingface_hub(name, pattern, fits):
    assert matches(name, [pattern]) is fits


def test_where_nothing_is_listed_weights_are_asked_for_in_their_order():
    groups = candidates(Purpose(uses=frozenset({"tf"}), subfolder="x"))

    assert groups[0] == ("x/config.json",)
    assert groups[-1] == (
        "x/model.safetensors",
        "x/model.safetensors.index.json",
        "x/tf_model.h5",
        "x/tf_model.h5.index.json",
        "x/pytorch_model.bin",
        "x/pytorch_model.bin.index.json",
        "x/flax_model.msgpack",
        "x/flax_model.msgpack.index.json",
    )


NAMES = st.sampled_from(
    [form for use in ("torch", "tf") for f in weight_formats(use) for form in (f.single, f.index)]
    + [*QUICK_TOUR, "tokenizer.json", "model-00001-of-00001.safetensors", "x/config.json"]
)


@given(
    names=st.frozensets(NAMES),
    uses=st.frozensets(st.sampled_from(["config", "tokenizer", "torch", "tf", "numpy", "all"])),
)
def test_wanted_is_listed_absent_is_not_and_there_are_never_two_formats(names, uses):
    found = needs(listing(*names), Purpose(uses=uses))

    assert set(found.wanted) <= names
    assert not set(found.absent) & names
    if "all" not in uses and uses:
        suffixes = {
            name.rsplit(".", 1)[1].replace("json", "")
            for name in found.wanted
            if name.startswith(("model", "pytorch_model", "tf_model")) and "index" not in name
        }
        assert len(suffixes) <= 1


def test_an_index_names_its_shards_beside_itself_and_nothing_outside():
    text = '{"weight_map": {"a": "s1.bin", "b": "s2.bin", "c": "s1.bin", "d": "../x", "e": 3}}'

    assert shards_in_index(text, "sub/i.json") == ("sub/s1.bin", "sub/s2.bin")


@pytest.mark.parametrize("text", ["", "[]", "{", '{"weight_map": []}', "[" * 100_000])
def test_an_index_that_is_none_names_no_shards(text):
    assert shards_in_index(text, "i.json") == ()


def test_a_manifest_that_is_not_whole_wants_only_what_it_shows():
    part = dataclasses.replace(listing("config.json"), complete=False)

    assert needs(part, Purpose(uses=frozenset({"tokenizer"}))).wanted == ("config.json",)
