from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubloader.errors import CorruptFile, IntegrityError, InvalidReference, NotFound
from hubloader.locking.lockfile import format_lock, parse_lock, read_lock, write_lock
from hubloader.locking.values import Lock, LockedFile, LockedModel, ModelSpec, tree_digest
from hubloader.types import CommitHash, RepoId

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

HEX = "0123456789abcdef"
NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,9}", fullmatch=True)
PATHS = st.from_regex(r"[a-zé\"'\[\]{}= #]{1,12}\.[a-z]{1,4}", fullmatch=True)


def hexes(length):
    return st.text(HEX, min_size=length, max_size=length)


FILES = st.builds(
    LockedFile,
    path=PATHS,
    size=st.integers(0, 2**60),
    sha256=hexes(64),
    git_sha1=st.none() | hexes(40),
)
MODELS = st.builds(
    LockedModel,
    name=NAMES,
    repo=st.builds(RepoId, NAMES, NAMES, st.sampled_from(["model", "dataset", "space"])),
    spec=hexes(64).map("sha256:{}".format),
    revision=st.sampled_from(["main", "v1.0", "refs/pr/3"]),
    commit=hexes(40).map(CommitHash),
    files=st.lists(FILES, max_size=5, unique_by=lambda f: f.path).map(
        lambda files: tuple(sorted(files, key=lambda f: f.path.encode()))
    ),
    license=st.text(max_size=8),
    gated=st.booleans(),
    risk=st.sampled_from([(), ("pickle",), ("pickle", "remote-code")]),
    absent=st.lists(PATHS, max_size=3, unique=True).map(lambda names: tuple(sorted(names))),
)
LOCKS = st.lists(MODELS, max_size=4, unique_by=lambda m: m.name)


def one_model(**changes):
    model = LockedModel(
        name="sentiment",
        repo=RepoId.parse("org/name"),
        spec="sha256:" + "5" * 64,
        revision="main",
        commit=CommitHash("a" * 40),
        files=(
            LockedFile("config.json", 629, "c" * 64, "d" * 40),
            LockedFile("model.safetensors", 267832558, "e" * 64),
        ),
        license="apache-2.0",
        absent=("added_tokens.json",),
    )
    return replace(model, **changes)


def test_the_text_is_the_one_of_the_contract():
    tree = tree_digest(one_model().files)

    assert format_lock(Lock((one_model(),))) == (
        "version = 1\n"
        "\n"
        "[[model]]\n"
        'name = "sentiment"\n'
        'type = "model"\n'
        'repo = "org/name"\n'
        f'spec = "sha256:{"5" * 64}"\n'
        'revision = "main"\n'
        f'commit = "{"a" * 40}"\n'
        f'tree = "{tree}"\n'
        'license = "apache-2.0"\n'
        "gated = false\n"
        "risk = []\n"
        'absent = ["added_tokens.json"]\n'
        "files = [\n"
        f'  {{ path = "config.json", size = 629, git_sha1 = "{"d" * 40}", '
        f'sha256 = "{"c" * 64}" }},\n'
        f'  {{ path = "model.safetensors", size = 267832558, sha256 = "{"e" * 64}" }},\n'
        "]\n"
    )


@settings(max_examples=40, deadline=None)
@given(LOCKS)
def test_what_was_written_is_read_as_it_was_and_written_again_as_it_was(models):
    text = format_lock(Lock(tuple(models)))

    assert parse_lock(text) == Lock(tuple(models))
    assert format_lock(parse_lock(text)) == text
    assert tomllib.loads(text)["version"] == 1


@settings(max_examples=40, deadline=None)
@given(LOCKS, st.randoms(use_true_random=False))
def test_the_order_of_entries_and_files_changes_nothing(models, chance):
    shuffled = [replace(m, files=tuple(chance.sample(m.files, len(m.files)))) for m in models]
    chance.shuffle(shuffled)

    assert format_lock(Lock(tuple(shuffled))) == format_lock(Lock(tuple(models)))


def test_the_tree_is_the_hash_of_the_sorted_file_lines():
    files = (LockedFile("b", 2, "2" * 64), LockedFile("a", 1, "1" * 64, "9" * 40))
    lines = f"{'1' * 64} 1 a\n{'2' * 64} 2 b\n"

    assert tree_digest(files) == f"sha256:{hashlib.sha256(lines.encode()).hexdigest()}"


def test_the_spec_is_the_hash_of_the_entry_with_its_defaults():
    spec = ModelSpec("any", RepoId.parse("org/name"), uses=("torch", "tokenizer"))
    text = json.dumps(
        {
            "exclude": [],
            "for": ["tokenizer", "torch"],
            "include": [],
            "repo": "org/name",
            "revision": "main",
            "type": "model",
        },
        separators=(",", ":"),
    )

    assert spec.digest == f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
    assert replace(spec, name="other").digest == spec.digest
    assert replace(spec, revision="v1").digest != spec.digest


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("version = 1", "version = 2", "version"),
        ("gated = false", "gated = 0", "gated"),
        ("gated = false", "gated = false\nstars = 3", "stars"),
        ("gated = false", "gated = = false", "invalid|Invalid"),
        ("size = 629", "size = -1", "size"),
        ("size = 629", "size = true", "size"),
        ('"config.json"', '"../config.json"', "config.json"),
        ('"config.json"', '"model.safetensors"', "twice"),
        ("d" * 40, "d" * 39, "git_sha1"),
        ("e" * 64, "E" * 64, "sha256"),
        ("a" * 40, "main", "commit"),
        ('type = "model"', 'type = "kernel"', "kernel"),
        ('"org/name"', '"a/b/c"', "a/b/c"),
        ('name = "sentiment"', 'name = "a b"', "a b"),
        ("size = 629,", 'size = 629, xet = "1",', "xet"),
    ],
)
def test_what_the_writer_never_writes_is_refused(old, new, said):
    text = format_lock(Lock((one_model(),)))

    with pytest.raises(CorruptFile, match=said):
        parse_lock(text.replace(old, new, 1))


def test_an_entry_whose_files_were_changed_is_not_whole():
    text = format_lock(Lock((one_model(),)))

    with pytest.raises(IntegrityError, match="not whole"):
        parse_lock(text.replace("size = 629", "size = 630"))


def test_two_entries_of_one_name_are_refused():
    text = format_lock(Lock((one_model(),)))

    with pytest.raises(CorruptFile, match="one name"):
        parse_lock(text + text.removeprefix("version = 1\n"))


def test_the_marks_of_a_merge_conflict_are_told():
    with pytest.raises(CorruptFile) as caught:
        parse_lock("<<<<<<< HEAD\nversion = 1\n")

    assert "--resolve-conflicts" in str(caught.value)


def test_a_lock_of_a_newer_version_is_not_told_to_be_broken():
    with pytest.raises(CorruptFile, match="version 2") as caught:
        parse_lock("version = 2\n")

    assert "update hubloader" in (caught.value.hint or "")


def test_a_lock_on_disk_is_replaced_whole_and_only_when_it_changes(tmp_path: Path):
    path = tmp_path / "models.lock"
    with pytest.raises(NotFound):
        read_lock(path)

    assert write_lock(path, Lock((one_model(),)))
    assert not write_lock(path, Lock((one_model(),)))
    assert read_lock(path) == Lock((one_model(),))
    assert [p.name for p in tmp_path.iterdir()] == ["models.lock"]


def test_a_lock_with_windows_line_ends_is_read(tmp_path: Path):
    path = tmp_path / "models.lock"
    path.write_bytes(format_lock(Lock((one_model(),))).replace("\n", "\r\n").encode())

    assert read_lock(path) == Lock((one_model(),))


def test_a_name_means_the_entry_then_the_repository():
    lock = Lock((one_model(), one_model(name="other"), one_model(name="b", repo=RepoId("x", "y"))))

    assert lock.find("sentiment") == one_model()
    assert lock.find("x/y").name == "b"
    assert lock.find("hf://x/y").name == "b"
    assert lock.find("x/y", "dataset") is None
    assert lock.find("nothing") is None
    with pytest.raises(InvalidReference, match="2 entries"):
        lock.find("org/name")
