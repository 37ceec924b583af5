"""A conversion that takes long happens once: in the download, and no load after it writes."""

import errno
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from hubloader import prefetch
from hubloader.auto.tokenizer import AutoTokenizer
from hubloader.cache import disk
from hubloader.mirror import MirrorServer
from hubloader.tokenizers import classes
from hubloader.tokenizers.families import byte_bpe

FIXTURES = Path(__file__).resolve().parents[2] / "cache_fixtures" / "tokenizers"
NAME = "org/bpe"
TEXT = "The quick naïve fox."


@pytest.fixture
def where(tmp_path):
    repo = tmp_path / "repos" / NAME
    shutil.copytree(FIXTURES / "gpt2", repo)
    (repo / "config.json").write_text('{"model_type": "gpt2"}', encoding="utf-8")
    with MirrorServer(tmp_path / "repos") as server:
        yield {"cache_dir": tmp_path / "cache", "endpoint": server.url}


@pytest.fixture
def slow(monkeypatch):
    """Let GPT-2's conversion be one that is kept, and count how often it happens."""
    kind = classes.class_named("GPT2Tokenizer")
    kept = replace(kind, keep_conversion=True)
    monkeypatch.setattr(byte_bpe, "CLASSES", (kept,))
    conversions = []
    build = byte_bpe.build

    def counted(files, kind, options):
        conversions.append(kind.name)
        return build(files, kind, options)

    monkeypatch.setattr(byte_bpe, "build", counted)
    return conversions


def kept(where):
    return sorted(Path(where["cache_dir"]).glob("models--*/.hubloader/kept/*"))


def written(where):
    files = Path(where["cache_dir"]).rglob("*")
    return {path: path.lstat().st_mtime_ns for path in files if not path.is_dir()}


def test_the_load_after_the_first_converts_nothing_and_writes_nothing(where, slow):
    first = AutoTokenizer.from_pretrained(NAME, **where)
    before = written(where)
    second = AutoTokenizer.from_pretrained(NAME, **where, local_files_only=True)
    assert slow == ["GPT2Tokenizer"]
    assert written(where) == before
    assert second(TEXT) == first(TEXT)
    assert second.backend_tokenizer.to_str() == first.backend_tokenizer.to_str()


def test_a_prefetch_leaves_the_conversion(where, slow):
    prefetch(NAME, uses=["tokenizer"], **where)
    before = written(where)
    AutoTokenizer.from_pretrained(NAME, **where)
    assert slow == ["GPT2Tokenizer"]
    assert written(where) == before


def test_a_prefetch_of_what_cannot_be_converted_is_a_prefetch(where, slow, tmp_path):
    (tmp_path / "repos" / NAME / "merges.txt").unlink()
    assert "vocab.json" in prefetch(NAME, uses=["tokenizer"], **where).files
    assert slow == kept(where) == []


@pytest.mark.parametrize(
    "damage",
    [
        lambda good: good[:0],
        lambda good: good[:1],
        lambda good: good[:-1],
        lambda good: good.replace(b'"add_prefix_space":false', b'"add_prefix_space":true '),
    ],
)
def test_a_damaged_one_is_made_anew(where, slow, damage):
    expected = AutoTokenizer.from_pretrained(NAME, **where)(TEXT)
    (path,) = kept(where)
    good = path.read_bytes()
    assert damage(good) != good
    path.write_bytes(damage(good))
    assert AutoTokenizer.from_pretrained(NAME, **where)(TEXT) == expected
    assert slow == ["GPT2Tokenizer"] * 2
    assert path.read_bytes() == good


def test_one_that_the_engine_cannot_read_is_made_anew(where, slow):
    from hubloader.cache.store import CacheStore
    from hubloader.types import RepoId

    expected = AutoTokenizer.from_pretrained(NAME, **where)(TEXT)
    (path,) = kept(where)
    CacheStore(where["cache_dir"]).keep(RepoId.parse(NAME), path.name, b'{"version": "9"}')
    assert AutoTokenizer.from_pretrained(NAME, **where)(TEXT) == expected
    assert slow == ["GPT2Tokenizer"] * 2


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES, errno.ENOSPC])
def test_a_cache_that_cannot_be_written_is_silent(where, slow, monkeypatch, code, recwarn):
    prefetch(NAME, uses=["tokenizer"], **where)
    (path,) = kept(where)
    path.unlink()

    def refuse(path, data, **options):
        raise OSError(code, "refused", path)

    monkeypatch.setattr(disk, "write_atomically", refuse)
    assert AutoTokenizer.from_pretrained(NAME, **where)(TEXT)["input_ids"]
    assert len(slow) == 2
    assert not recwarn.list
    assert kept(where) == []


def test_other_arguments_and_other_files_are_another_conversion(where, slow, tmp_path):
    plain = AutoTokenizer.from_pretrained(NAME, **where)
    prefixed = AutoTokenizer.from_pretrained(NAME, **where, add_prefix_space=True)
    assert prefixed(TEXT) != plain(TEXT)
    assert len(kept(where)) == 2
    shutil.copy(FIXTURES / "roberta" / "merges.txt", tmp_path / "repos" / NAME)
    shutil.copy(FIXTURES / "roberta" / "vocab.json", tmp_path / "repos" / NAME)
    changed = AutoTokenizer.from_pretrained(NAME, **where, refresh="always")
    assert (
        changed.vocab_size
        == AutoTokenizer.from_pretrained(FIXTURES / "roberta", tokenizer_type="gpt2").vocab_size
    )
    assert len(kept(where)) == 3


def test_only_the_newest_are_kept(where, slow):
    for number in range(12):
        AutoTokenizer.from_pretrained(NAME, **where, flavour=number)
    assert len(slow) == 12
    assert len(kept(where)) == 8
    AutoTokenizer.from_pretrained(NAME, **where, flavour=11)
    assert len(slow) == 12


def test_a_conversion_that_is_as_fast_as_reading_is_not_kept(where):
    AutoTokenizer.from_pretrained(NAME, **where)
    assert kept(where) == []
