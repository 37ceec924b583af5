"""Looking finds what is there and nothing planted; changing keeps huggingface_hub's rules."""

from __future__ import annotations

import errno
import os
import sys
import time

import pytest
from cache_cases import COMMIT, LATER, REPO, content, download, entry, manifest, sha256

from hubloader.cache import CacheStore, disk
from hubloader.cache.layout import CacheLayout
from hubloader.errors import CacheMiss
from hubloader.types import CommitHash, Entry, Manifest, OnDisk, RepoId

CONFIG, WEIGHTS = b'{"a": 1}', content(60_000)
FILES = {"config.json": CONFIG, "sub/model.safetensors": WEIGHTS}
WANTED = manifest(FILES, lfs=["sub/model.safetensors"])
WHOLE = OnDisk(pointer=True, blob=True, trusted=True)


@pytest.fixture
def store(tmp_path):
    store = CacheStore(tmp_path)
    download(store, WANTED, FILES)
    return store


@pytest.fixture
def layout(tmp_path):
    return CacheLayout(tmp_path).repo(REPO)


def entries_of(folder) -> set[str]:
    return {os.path.join(base, name) for base, _, names in os.walk(folder) for name in names}


# what was downloaded


def test_what_was_downloaded_is_there_whole_and_trusted(store):
    assert store.inspect(WANTED, FILES) == dict.fromkeys(FILES, WHOLE)
    assert {name: store.path(WANTED, name).read_bytes() for name in FILES} == FILES


def test_a_new_process_finds_it_too(store, tmp_path):
    fresh = CacheStore(tmp_path)

    assert fresh.read_ref(REPO, "main") == COMMIT
    assert fresh.read_manifest(REPO, "main", COMMIT) == WANTED
    assert fresh.inspect(WANTED, FILES) == dict.fromkeys(FILES, WHOLE)


def test_looking_into_an_empty_cache_makes_nothing(tmp_path):
    store = CacheStore(tmp_path / "cache")

    assert store.read_ref(REPO, "main") is None
    assert store.known_commit(REPO, COMMIT) is None
    assert store.read_manifest(REPO, "main", COMMIT) is None
    assert store.inspect(WANTED, FILES) == dict.fromkeys(FILES, OnDisk())
    assert store.canonical(REPO) == REPO
    assert not store.is_absent(REPO, COMMIT, "x")
    assert store.free_bytes() > 0
    with store.batch():
        pass
    assert not (tmp_path / "cache").exists()


def test_a_repository_begins_with_its_snapshots_folder(tmp_path, monkeypatch):
    """huggingface_hub's scan warns of a repository without one, which a kill must not leave."""
    folder = CacheLayout(tmp_path).repo(REPO).folder
    for name in ("mkdir", "rename", "open", "rmdir"):
        real = getattr(os, name)

        def call(*args, real=real, **options):
            result = real(*args, **options)
            assert not os.path.isdir(folder) or os.path.isdir(os.path.join(folder, "snapshots"))
            return result

        monkeypatch.setattr(os, name, call)
    download(CacheStore(tmp_path), WANTED, FILES)

    assert os.path.isdir(folder)
    assert not os.path.lexists(CacheLayout(tmp_path).tmp)


def test_a_file_that_the_commit_has_not_got_is_nowhere(store):
    assert store.inspect(WANTED, ["absent"]) == {"absent": OnDisk()}
    with pytest.raises(CacheMiss):
        store.path(WANTED, "absent")
    with pytest.raises(CacheMiss):
        store.link(WANTED, "absent")


def test_what_a_suspended_download_has_is_told(tmp_path):
    data = content(9 * 1024 * 1024)
    wanted = manifest({"big": data})
    store = CacheStore(tmp_path)
    with store.writer(REPO, wanted.entries["big"]) as writer:
        writer.write(data[:1000])

    assert store.inspect(wanted, ["big"])["big"] == OnDisk(partial=1000)


# damage


def damaged(path: str, how: str) -> None:
    real = os.path.realpath(path)
    with open(real, "rb") as file:
        data = file.read()
    os.unlink(real)
    if how == "truncated":
        data = data[:-1]
    elif how == "zero length":
        data = b""
    elif how == "a flipped bit":
        data = bytes([data[0] ^ 1]) + data[1:]
    elif how == "a folder":
        os.mkdir(real)
        return
    elif how == "a link to elsewhere":
        with open(real + ".victim", "wb") as file:
            file.write(data)
        os.symlink(real + ".victim", real)
        return
    elif how == "a loop":
        os.symlink(real, real)
        return
    elif how == "gone":
        return
    with open(real, "wb") as file:
        file.write(data)


@pytest.mark.parametrize(
    "how", ["truncated", "zero length", "a folder", "a link to elsewhere", "a loop", "gone"]
)
def test_a_blob_that_is_not_a_file_of_the_right_size_counts_as_not_there(store, layout, how):
    damaged(layout.blob(WANTED.entries["config.json"].etag), how)

    assert store.inspect(WANTED, ["config.json"])["config.json"] == OnDisk()
    with pytest.raises(CacheMiss):
        store.path(WANTED, "config.json")


@pytest.mark.parametrize(
    "how", ["truncated", "zero length", "a flipped bit", "a link to elsewhere", "gone"]
)
def test_a_damaged_blob_is_healed_by_downloading_it_again(store, layout, how):
    damaged(layout.blob(WANTED.entries["config.json"].etag), how)
    state = store.inspect(WANTED, ["config.json"])["config.json"]
    assert not state.trusted
    if state.blob:
        assert not store.verify_blob(WANTED, "config.json")

    download(store, WANTED, {"config.json": CONFIG})

    assert store.inspect(WANTED, FILES) == dict.fromkeys(FILES, WHOLE)
    assert store.path(WANTED, "config.json").read_bytes() == CONFIG


def test_a_flipped_bit_is_set_aside_with_every_pointer_to_it(store, layout):
    later = manifest(FILES, lfs=["sub/model.safetensors"], commit=LATER)
    download(store, later, FILES)
    damaged(layout.blob(WANTED.entries["config.json"].etag), "a flipped bit")

    assert not store.verify_blob(WANTED, "config.json")

    assert store.inspect(WANTED, ["config.json"])["config.json"] == OnDisk()
    assert not os.path.lexists(layout.pointer(COMMIT, "config.json"))
    assert not os.path.lexists(layout.pointer(LATER, "config.json"))
    aside = [name for name in os.listdir(layout.quarantine) if not name.endswith(".names")]
    assert len(aside) == 1


def test_a_planted_pointer_is_not_followed(store, layout, tmp_path):
    (tmp_path / "secret").write_bytes(CONFIG)
    pointer = layout.pointer(COMMIT, "config.json")
    os.unlink(pointer)
    os.symlink(tmp_path / "secret", pointer)

    assert not store.inspect(WANTED, ["config.json"])["config.json"].pointer
    store.link(WANTED, "config.json")
    assert os.readlink(pointer).startswith("../../blobs/")
    assert (tmp_path / "secret").read_bytes() == CONFIG


def test_nothing_is_written_through_a_planted_blob(store, layout, tmp_path):
    etag = entry(b"new").etag
    (tmp_path / "victim").write_bytes(b"old")
    os.symlink(tmp_path / "victim", layout.blob(etag))

    with store.writer(REPO, entry(b"new")) as writer:
        writer.write(b"new")
        writer.commit()

    assert (tmp_path / "victim").read_bytes() == b"old"
    assert not os.path.islink(layout.blob(etag))


# trust


def test_a_blob_of_another_tool_is_hashed_once(store, layout, tmp_path):
    os.unlink(layout.stamp(WANTED.entries["config.json"].etag))
    assert store.inspect(WANTED, ["config.json"])["config.json"] == OnDisk(pointer=True, blob=True)

    assert store.verify_blob(WANTED, "config.json")

    assert CacheStore(tmp_path).inspect(WANTED, ["config.json"])["config.json"] == WHOLE


def test_a_blob_whose_time_changed_is_hashed_again(store, layout):
    os.utime(layout.blob(WANTED.entries["config.json"].etag), ns=(1, 1))

    assert not store.inspect(WANTED, ["config.json"])["config.json"].trusted


def test_verify_always_trusts_no_stamp(store, tmp_path):
    strict = CacheStore(tmp_path, verify="always")

    assert not strict.inspect(WANTED, ["config.json"])["config.json"].trusted
    assert strict.verify_blob(WANTED, "config.json")


def test_hashing_tells_how_far_it_is(store):
    steps = []

    store.verify_blob(WANTED, "sub/model.safetensors", progress=steps.append)

    assert sum(steps) == len(WEIGHTS)


def test_the_sha256_of_every_file_that_was_here_is_known(store):
    assert store.digest(REPO, WANTED.entries["config.json"].etag) == sha256(CONFIG)
    assert store.digest(REPO, WANTED.entries["sub/model.safetensors"].etag) == sha256(WEIGHTS)
    assert store.digest(REPO, "ab" * 20) is None


# refs


@pytest.mark.parametrize("text", [COMMIT + "\n", f" {COMMIT} ", COMMIT])
def test_a_ref_is_read_with_white_space_around(store, layout, text):
    with open(layout.ref("main"), "w") as file:
        file.write(text)

    assert store.read_ref(REPO, "main") == COMMIT


@pytest.mark.parametrize("data", [b"", b"a1b2", b"\xff\xfe\x00", b"x" * 5000, b"../../etc"])
def test_a_broken_ref_is_none_and_is_mended(store, layout, data):
    with open(layout.ref("main"), "wb") as file:
        file.write(data)
    assert store.read_ref(REPO, "main") is None

    store.set_ref(REPO, "main", COMMIT)

    assert store.read_ref(REPO, "main") == COMMIT


def test_a_ref_has_no_newline_and_nothing_beside_it(store, layout):
    store.set_ref(REPO, "refs/pr/1", LATER)

    with open(layout.ref("refs/pr/1"), "rb") as file:
        assert file.read() == LATER.encode()
    assert os.listdir(os.path.dirname(layout.ref("refs/pr/1"))) == ["1"]


def test_a_ref_is_written_after_its_snapshots_folder(tmp_path, layout):
    CacheStore(tmp_path).set_ref(REPO, "main", COMMIT)

    assert os.path.isdir(layout.snapshot(COMMIT))


def test_a_commit_has_no_ref(store, layout):
    store.set_ref(REPO, COMMIT, COMMIT)

    assert os.listdir(layout.refs) == ["main"]


def test_branches_tags_full_and_short_commits_are_known(store):
    store.set_ref(REPO, "v1.0", COMMIT)

    for revision in ("main", "v1.0", str(COMMIT), COMMIT[:7], COMMIT[:12]):
        assert store.known_commit(REPO, revision) == COMMIT
    for revision in ("other", str(LATER), LATER[:7], COMMIT[:6]):
        assert store.known_commit(REPO, revision) is None


def test_an_ambiguous_short_commit_is_not_known(store):
    twin = CommitHash(COMMIT[:20] + "0" * 20)
    store.set_ref(REPO, "twin", twin)

    assert store.known_commit(REPO, COMMIT[:10]) is None
    assert store.known_commit(REPO, COMMIT[:30]) == COMMIT


def test_the_age_of_a_ref_is_the_time_since_it_was_confirmed(store, layout):
    assert 0 <= store.ref_age(REPO, "main") < 60
    past = time.time() - 1000
    os.utime(layout.confirmed("main"), (past, past))
    assert 990 < store.ref_age(REPO, "main") < 1060
    store.confirm_ref(REPO, "main")
    assert store.ref_age(REPO, "main") < 60


def test_an_age_from_the_future_or_of_another_commit_is_unknown(store, layout):
    future = time.time() + 86400
    os.utime(layout.confirmed("main"), (future, future))
    assert store.ref_age(REPO, "main") is None

    store.confirm_ref(REPO, "main")
    with open(layout.ref("main"), "w") as file:
        file.write(LATER)
    assert store.ref_age(REPO, "main") is None
    assert store.ref_age(REPO, "never") is None


# names


def test_a_one_part_name_finds_the_one_repository_of_that_name(store):
    assert store.canonical(RepoId(None, "name")) == REPO
    assert store.canonical(RepoId(None, "name", "dataset")) == RepoId(None, "name", "dataset")


def test_a_one_part_name_of_two_repositories_is_nobodys(store):
    store.set_ref(RepoId("other", "name"), "main", COMMIT)

    assert store.canonical(RepoId(None, "name")) == RepoId(None, "name")


def test_a_renamed_repository_is_found_by_either_name(tmp_path):
    store = CacheStore(tmp_path)
    old, new = RepoId.parse("old/model"), RepoId.parse("new/model")
    store.remember_alias(old, new)
    assert store.canonical(old) == old

    store.set_ref(old, "main", COMMIT)
    assert store.canonical(new) == old
    assert store.canonical(old) == old


def test_an_alias_to_what_is_cached_is_followed(store):
    store.remember_alias(RepoId.parse("old/model"), REPO)

    assert store.canonical(RepoId.parse("old/model")) == REPO


# listings and absences


def test_without_a_listing_the_snapshot_tells(store, layout):
    os.unlink(layout.tree(COMMIT))
    store.mark_absent(WANTED, ["added_tokens.json"])

    found = store.read_manifest(REPO, "main", COMMIT)

    assert not found.complete
    assert set(found.entries) == set(FILES)
    assert found.entries["config.json"] == Entry(len(CONFIG), entry(CONFIG).git_sha1)
    assert found.entries["sub/model.safetensors"].sha256 == sha256(WEIGHTS)
    assert found.absent == {"added_tokens.json"}
    assert store.inspect(found, FILES) == dict.fromkeys(FILES, WHOLE)


def test_a_listing_that_is_not_complete_is_not_kept(tmp_path, layout):
    store = CacheStore(tmp_path)
    part = Manifest(REPO, "main", COMMIT, WANTED.entries, complete=False)

    store.write_manifest(part)

    assert not os.path.exists(layout.tree(COMMIT))


def test_only_what_the_manifest_proves_is_marked_absent(tmp_path):
    store = CacheStore(tmp_path)
    part = Manifest(REPO, "main", COMMIT, {}, absent=frozenset({"asked"}), complete=False)

    store.mark_absent(part, ["asked", "guessed"])
    store.mark_absent(WANTED, ["config.json", "sub/deep/none.json"])

    assert store.is_absent(REPO, COMMIT, "asked")
    assert not store.is_absent(REPO, COMMIT, "guessed")
    assert not store.is_absent(REPO, COMMIT, "config.json")
    assert store.is_absent(REPO, COMMIT, "sub/deep/none.json")


def test_a_listing_overrules_an_absence_mark_of_another_client(store, layout):
    mark = layout.absent_mark(COMMIT, "config.json")
    os.makedirs(os.path.dirname(mark))
    open(mark, "w").close()

    assert not store.is_absent(REPO, COMMIT, "config.json")
    assert store.is_absent(REPO, COMMIT, "not listed")


@pytest.mark.parametrize(
    ("before", "after"),
    [("feature", "feature/x"), ("feature/x", "feature"), ("a/b/c", "a/b"), ("a", "a/b/c")],
)
def test_a_branch_that_the_hub_has_in_place_of_another_takes_its_place(
    store, layout, before, after
):
    store.set_ref(REPO, before, COMMIT)
    store.set_ref(REPO, "main", COMMIT)
    store.set_ref(REPO, after, LATER)

    assert store.read_ref(REPO, after) == LATER
    assert store.read_ref(REPO, before) is None
    assert store.read_ref(REPO, "main") == COMMIT
    assert os.path.isdir(layout.snapshot(COMMIT))


def test_a_branch_called_hubloader_does_not_take_the_place_of_pins(store):
    store.set_ref(REPO, "hubloader/pin/mine", COMMIT)

    with pytest.warns(UserWarning, match="'hubloader'"):
        store.set_ref(REPO, "hubloader", LATER)
    assert store.read_ref(REPO, "hubloader") is None
    assert store.read_ref(REPO, "hubloader/pin/mine") == COMMIT


@pytest.mark.parametrize(
    ("failure", "kept"), [(None, True), (errno.EROFS, True), (errno.EIO, False)]
)
def test_a_content_of_another_tool_is_on_the_disk_before_it_is_trusted(
    store, layout, monkeypatch, failure, kept
):
    stamp = layout.stamp(WANTED.entries["config.json"].etag)
    os.unlink(stamp)
    stamped = []

    def sync(_descriptor):
        stamped.append(os.path.exists(stamp))
        if failure is not None:
            raise OSError(failure, os.strerror(failure))

    monkeypatch.setattr(disk, "sync_file", sync)

    assert store.verify_blob(WANTED, "config.json")
    assert stamped == [False]
    assert os.path.exists(stamp) is kept


# base caches


def test_a_base_cache_is_looked_into_and_not_written(store, tmp_path):
    before = entries_of(tmp_path)
    top = CacheStore(tmp_path / "top", base_caches=[tmp_path])

    assert top.known_commit(REPO, "main") == COMMIT
    assert top.read_manifest(REPO, "main", COMMIT) == WANTED
    assert top.inspect(WANTED, FILES) == dict.fromkeys(FILES, WHOLE)
    assert top.path(WANTED, "config.json").is_relative_to(tmp_path / "models--org--name")
    assert top.pointer_path(REPO, COMMIT, "config.json").read_bytes() == CONFIG
    top.set_ref(REPO, "main", COMMIT)
    assert entries_of(tmp_path) == before


def test_a_content_of_a_base_cache_is_linked_not_copied(store, tmp_path):
    top = CacheStore(tmp_path / "top", base_caches=[tmp_path])
    later = manifest({**FILES, "new.txt": b"new"}, lfs=["sub/model.safetensors"], commit=LATER)
    assert top.inspect(later, FILES) == dict.fromkeys(FILES, OnDisk(blob=True, trusted=True))

    paths = download(top, later, {**FILES, "new.txt": b"new"})

    assert {name: path.read_bytes() for name, path in paths.items()} == {**FILES, "new.txt": b"new"}
    assert len(os.listdir(tmp_path / "top" / "models--org--name" / "blobs")) == 1
    assert all(state == WHOLE for state in top.inspect(later, paths).values())


def test_the_top_cache_wins_and_heals_what_is_bad_below(store, layout, tmp_path):
    damaged(layout.blob(WANTED.entries["config.json"].etag), "truncated")
    top = CacheStore(tmp_path / "top", base_caches=[tmp_path])

    download(top, WANTED, {"config.json": CONFIG})

    assert top.path(WANTED, "config.json").is_relative_to(tmp_path / "top")
    assert top.path(WANTED, "config.json").read_bytes() == CONFIG


def test_what_is_bad_below_is_fetched_into_the_top_cache_and_then_wins(store, layout, tmp_path):
    damaged(layout.blob(WANTED.entries["config.json"].etag), "a flipped bit")
    before = entries_of(tmp_path)
    top = CacheStore(tmp_path / "top", base_caches=[tmp_path])

    assert not top.inspect(WANTED, ["config.json"])["config.json"].trusted
    assert not top.verify_blob(WANTED, "config.json")
    with top.writer(REPO, WANTED.entries["config.json"]) as writer:
        writer.write(CONFIG)
        writer.commit()
    top.link(WANTED, "config.json")

    assert top.path(WANTED, "config.json").read_bytes() == CONFIG
    assert {path for path in entries_of(tmp_path) if "/top/" not in path} == before


def test_a_good_content_of_a_base_cache_is_hashed_once(store, layout, tmp_path):
    os.unlink(layout.stamp(WANTED.entries["config.json"].etag))
    top = CacheStore(tmp_path / "top", base_caches=[tmp_path])

    assert not top.inspect(WANTED, ["config.json"])["config.json"].trusted
    assert top.verify_blob(WANTED, "config.json")
    assert top.inspect(WANTED, ["config.json"])["config.json"].trusted
    assert os.listdir(top.layout.repo(REPO).snapshots) == []  # or it is damaged to huggingface_hub
    assert os.path.isfile(top.layout.tag)
    assert not os.path.exists(layout.stamp(WANTED.entries["config.json"].etag))


# marks and costs


def test_a_load_is_noted_once_a_day(store, layout):
    store.mark_used(REPO, COMMIT)
    first = os.stat(layout.used(COMMIT))
    store.mark_used(REPO, COMMIT)
    assert os.stat(layout.used(COMMIT)).st_ino == first.st_ino

    os.utime(layout.used(COMMIT), (1, 1))
    store.mark_used(REPO, COMMIT)
    assert os.stat(layout.used(COMMIT)).st_mtime > 1


def test_what_is_not_cached_is_not_noted_as_used(store, layout):
    store.mark_used(REPO, LATER)

    assert not os.path.exists(layout.used(LATER))


LOOK = """
import sys
sys.path[:0] = [sys.argv[2]]
from cache_cases import COMMIT, REPO
from hubloader.cache import CacheStore
calls = []
store = CacheStore(sys.argv[1])
found = store.read_manifest(REPO, "main", store.known_commit(REPO, "main"))
sys.addaudithook(lambda name, _: name.startswith(("open", "os.")) and calls.append(name))
name = next(iter(found.entries))
store.inspect(found, [name]); store.path(found, name)
slow = {"filelock", "numpy", "tqdm", "requests", "huggingface_hub"}
slow |= {f"hubloader.cache.{n}" for n in ("changes", "disk", "lock", "partial", "writer")}
print(len(calls), sorted(slow & set(sys.modules)))
"""


def test_a_warm_lookup_costs_the_same_whatever_the_cache_holds_and_imports_nothing(tmp_path):
    import subprocess

    costs = []
    for count in (1, 40):
        root = tmp_path / str(count)
        files = {f"{n}.json": b"%d" % n for n in range(count)}
        download(CacheStore(root), manifest(files), files)
        here = os.path.dirname(os.path.dirname(__file__))
        command = [sys.executable, "-c", LOOK, str(root), here]
        costs.append(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    assert costs[0] == costs[1]
    assert "[]" in costs[0]
