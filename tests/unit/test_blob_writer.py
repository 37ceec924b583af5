"""A content is named when its size and hash are right, goes on where it stopped, and never else."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest
from cache_cases import REPO, content, entry, git_sha1, sha256
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hubloader.cache import CacheStore
from hubloader.cache import partial as partials
from hubloader.cache.layout import CacheLayout
from hubloader.cache.partial import LARGE
from hubloader.errors import IntegrityError, InvalidReference
from hubloader.types import Entry

MIB = 1024 * 1024
BIG = content(LARGE + 3 * MIB + 17)


def blobs(root) -> dict[str, bytes]:
    folder = root / "models--org--name" / "blobs"
    return {p.name: p.read_bytes() for p in folder.iterdir()} if folder.is_dir() else {}


def leftovers(root) -> list[str]:
    folder = root / "models--org--name" / ".hubloader" / "partials"
    return sorted(os.listdir(folder)) if folder.is_dir() else []


@pytest.mark.parametrize("data", [b"", b"{}", content(100_000)])
@pytest.mark.parametrize("lfs", [False, True])
@pytest.mark.parametrize("durability", ["full", "batch", "none"])
def test_a_right_content_gets_its_name_and_leaves_nothing_behind(tmp_path, data, lfs, durability):
    store = CacheStore(tmp_path, durability=durability)
    facts = entry(data, lfs=lfs)

    with store.writer(REPO, facts) as writer:
        writer.write(data)
        path = writer.commit()

    assert path.read_bytes() == data
    assert blobs(tmp_path) == {facts.etag: data}
    assert leftovers(tmp_path) == []
    assert store.digest(REPO, facts.etag) == sha256(data)


def test_a_wrong_byte_gets_no_name_and_is_gone(tmp_path):
    store, data = CacheStore(tmp_path), content(5000)
    flipped = bytes([data[0] ^ 1]) + data[1:]

    with store.writer(REPO, entry(data)) as writer, pytest.raises(IntegrityError) as caught:
        writer.write(flipped)
        writer.commit()

    assert caught.value.expected == git_sha1(data)
    assert caught.value.actual == git_sha1(flipped)
    assert blobs(tmp_path) == {}
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("extra", [1, 100])
def test_a_body_longer_than_announced_is_cut_off_and_gone(tmp_path, extra):
    store, data = CacheStore(tmp_path), content(5000)

    with store.writer(REPO, entry(data)) as writer:
        writer.write(data)
        with pytest.raises(IntegrityError):
            writer.write(b"x" * extra)

    assert blobs(tmp_path) == {}
    assert leftovers(tmp_path) == []


def test_a_short_body_gets_no_name(tmp_path):
    store, data = CacheStore(tmp_path), content(5000)

    with store.writer(REPO, entry(data)) as writer, pytest.raises(IntegrityError, match="4999"):
        writer.write(data[:-1])
        writer.commit()

    assert blobs(tmp_path) == {}


@pytest.mark.parametrize("lfs", [False, True])
def test_a_content_of_unknown_size_is_judged_by_its_hash(tmp_path, lfs):
    store, data = CacheStore(tmp_path), content(5000)
    announced = entry(data, lfs=lfs)
    facts = Entry(None, announced.git_sha1, announced.sha256)

    with store.writer(REPO, facts) as writer:
        writer.write(data)
        writer.commit()

    assert blobs(tmp_path) == {facts.etag: data}


def test_an_entry_without_a_hash_can_have_no_name(tmp_path):
    with pytest.raises(InvalidReference):
        CacheStore(tmp_path).writer(REPO, Entry(5))


pieces = st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 900)), max_size=20)


@given(pieces)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_ranges_in_any_order_and_overlapping_make_the_content(tmp_path, given_pieces):
    store, data = CacheStore(tmp_path, durability="none"), content(3000, seed=5)

    with store.writer(REPO, entry(data)) as writer:
        for start, length in given_pieces:
            writer.write_at(start, data[start : start + length])
        for start, end in writer.missing():
            writer.write_at(start, data[start:end])
        path = writer.commit()

    assert path.read_bytes() == data


def test_bytes_that_are_there_are_not_written_over(tmp_path):
    store, data = CacheStore(tmp_path), content(5000)

    with store.writer(REPO, entry(data)) as writer:
        writer.write_at(1000, data[1000:2000])
        writer.write_at(900, data[900:1000] + b"\0" * 1000)
        writer.write_at(0, data[:900])
        writer.write_at(2000, data[2000:])
        path = writer.commit()

    assert path.read_bytes() == data


def test_threads_write_ranges_at_once(tmp_path):
    store = CacheStore(tmp_path)
    step, count = 256 * 1024, 4
    starts = range(0, len(BIG), step)

    with store.writer(REPO, entry(BIG, lfs=True)) as writer:

        def fetch(number: int) -> None:
            for start in list(starts)[number::count]:
                writer.write_at(start, BIG[start : start + step])

        threads = [threading.Thread(target=fetch, args=(n,)) for n in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        path = writer.commit()

    assert path.read_bytes() == BIG


def test_restart_forgets_what_came(tmp_path):
    store = CacheStore(tmp_path)

    with store.writer(REPO, entry(BIG, lfs=True)) as writer:
        writer.write_at(5, b"\0" * 100)
        writer.write(b"\0" * 5)
        writer.restart()
        assert writer.missing() == [(0, len(BIG))]
        writer.write(BIG)
        assert writer.commit().read_bytes() == BIG


# going on


def test_a_suspended_download_is_gone_on_with(tmp_path):
    facts = entry(BIG, lfs=True)
    with CacheStore(tmp_path).writer(REPO, facts) as writer:
        writer.write(BIG[: 9 * MIB])

    with CacheStore(tmp_path).writer(REPO, facts) as writer:
        assert writer.received == writer.position == 9 * MIB
        writer.write(BIG[9 * MIB :])
        path = writer.commit()

    assert path.read_bytes() == BIG
    assert leftovers(tmp_path) == []


def test_suspended_ranges_are_gone_on_with(tmp_path):
    facts = entry(BIG, lfs=True)
    with CacheStore(tmp_path).writer(REPO, facts) as writer:
        writer.write_at(MIB, BIG[MIB : 2 * MIB])
        writer.write_at(4 * MIB, BIG[4 * MIB : 5 * MIB + 3])

    with CacheStore(tmp_path).writer(REPO, facts) as writer:
        assert writer.missing() == [(0, MIB), (2 * MIB, 4 * MIB), (5 * MIB + 3, len(BIG))]
        for start, end in writer.missing():
            writer.write_at(start, BIG[start:end])
        path = writer.commit()

    assert path.read_bytes() == BIG


def test_a_small_download_is_not_kept(tmp_path):
    data = content(5000)
    with CacheStore(tmp_path).writer(REPO, entry(data)) as writer:
        writer.write(data[:100])

    assert leftovers(tmp_path) == []


def test_two_writers_never_share_a_partial(tmp_path):
    facts = entry(BIG, lfs=True)
    with CacheStore(tmp_path).writer(REPO, facts) as writer:
        writer.write(BIG[:MIB])
    first = CacheStore(tmp_path).writer(REPO, facts)
    second = CacheStore(tmp_path).writer(REPO, facts)

    assert sorted([first.received, second.received]) == [0, MIB]
    for writer in (first, second):
        writer.write(BIG[writer.position :])
        assert writer.commit().read_bytes() == BIG


def test_resume_false_begins_anew(tmp_path):
    facts = entry(BIG, lfs=True)
    with CacheStore(tmp_path).writer(REPO, facts) as writer:
        writer.write(BIG[:MIB])

    with CacheStore(tmp_path).writer(REPO, facts, resume=False) as writer:
        assert writer.received == 0


def test_a_partial_that_was_tampered_with_is_found_out_and_gone(tmp_path):
    facts = entry(BIG, lfs=True)
    with CacheStore(tmp_path).writer(REPO, facts) as writer:
        writer.write(BIG[: 9 * MIB])
    [name] = leftovers(tmp_path)
    data = tmp_path / "models--org--name" / ".hubloader" / "partials" / name / "data"
    with data.open("r+b") as file:
        file.write(b"evil")

    with CacheStore(tmp_path).writer(REPO, facts) as writer:
        writer.write(BIG[writer.position :])
        with pytest.raises(IntegrityError):
            writer.commit()

    assert blobs(tmp_path) == {}
    assert leftovers(tmp_path) == []


def test_a_partial_longer_than_the_content_is_begun_anew(tmp_path):
    facts = entry(BIG, lfs=True)
    with CacheStore(tmp_path).writer(REPO, facts) as writer:
        writer.write(BIG)
        writer.suspend()
    [name] = leftovers(tmp_path)
    data = tmp_path / "models--org--name" / ".hubloader" / "partials" / name / "data"
    with data.open("ab") as file:
        file.write(b"more")

    with CacheStore(tmp_path).writer(REPO, facts) as writer:
        assert writer.received == 0


def test_after_a_power_cut_only_the_prefix_with_the_noted_hash_counts(tmp_path):
    facts = entry(BIG, lfs=True)
    with CacheStore(tmp_path).writer(REPO, facts) as writer:
        writer.write(BIG[: 10 * MIB])
    [name] = leftovers(tmp_path)
    folder = tmp_path / "models--org--name" / ".hubloader" / "partials" / name
    journal = (folder / "journal").read_bytes()
    (folder / "journal").write_bytes(b"b 00000000\n" + journal.partition(b"\n")[2])

    with CacheStore(tmp_path).writer(REPO, facts) as writer:
        assert writer.received == LARGE  # the last checkpoint; what came after may be lost
        writer.write(BIG[LARGE:])
        assert writer.commit().read_bytes() == BIG


def test_after_a_power_cut_a_prefix_with_lost_pages_is_not_kept(tmp_path):
    facts = entry(BIG, lfs=True)
    with CacheStore(tmp_path).writer(REPO, facts) as writer:
        writer.write(BIG[: 10 * MIB])
    [name] = leftovers(tmp_path)
    folder = tmp_path / "models--org--name" / ".hubloader" / "partials" / name
    journal = (folder / "journal").read_bytes()
    (folder / "journal").write_bytes(b"b 00000000\n" + journal.partition(b"\n")[2])
    with (folder / "data").open("r+b") as file:
        file.write(b"\0" * 4096)

    with CacheStore(tmp_path).writer(REPO, facts) as writer:
        assert writer.received == 0
        writer.write(BIG)
        assert writer.commit().read_bytes() == BIG


KILLED = """
import os, signal, sys
sys.path[:0] = [sys.argv[2]]
from cache_cases import REPO, content, entry
from hubloader.cache import CacheStore
from hubloader.cache.partial import LARGE
data = content(LARGE + 3 * 1024 * 1024 + 17)
writer = CacheStore(sys.argv[1]).writer(REPO, entry(data, lfs=True))
step = 256 * 1024
for start in [*range(0, 3 * step, step), *range(8 * step, 24 * step, step)]:
    writer.write_at(start, data[start:start + step])
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_writers_ranges_are_gone_on_with_but_for_the_last_megabyte(tmp_path):
    command = [
        sys.executable,
        "-c",
        KILLED,
        str(tmp_path),
        os.path.dirname(os.path.dirname(__file__)),
    ]
    assert subprocess.run(command, check=False).returncode == -9

    with CacheStore(tmp_path).writer(REPO, entry(BIG, lfs=True)) as writer:
        assert writer.received >= 18 * 256 * 1024
        for start, end in writer.missing():
            writer.write_at(start, BIG[start:end])
        assert writer.commit().read_bytes() == BIG
    assert leftovers(tmp_path) == []


def test_a_blob_can_be_written_by_nobody(tmp_path):
    store, data = CacheStore(tmp_path), content(5000)

    with store.writer(REPO, entry(data)) as writer:
        writer.write(data)
        path = writer.commit()

    assert path.stat().st_mode & 0o222 == 0


@pytest.mark.parametrize(("umask", "files", "folders"), [
    (0o000, 0o664, 0o775), (0o022, 0o644, 0o755), (0o077, 0o600, 0o700),
])  # fmt: skip
def test_nothing_is_writable_by_everyone_whatever_the_umask(tmp_path, umask, files, folders):
    old = os.umask(umask)
    try:
        facts = entry(BIG, lfs=True)
        store = CacheStore(tmp_path / "cache")
        with store.writer(REPO, facts) as writer:
            writer.write(BIG[:MIB])
        data = content(5000)
        with store.writer(REPO, entry(data)) as writer:
            writer.write(data)
            writer.commit()
    finally:
        os.umask(old)

    for folder, _, names in os.walk(tmp_path / "cache"):
        assert os.stat(folder).st_mode & 0o777 == folders
        for name in names:
            assert os.stat(os.path.join(folder, name)).st_mode & 0o777 in {files, files & 0o444}


def test_resumable_bytes_are_what_a_next_writer_finds(tmp_path):
    facts = entry(BIG, lfs=True)
    layout = CacheLayout(tmp_path).repo(REPO)
    with CacheStore(tmp_path).writer(REPO, facts) as writer:
        writer.write(BIG[:MIB])

    assert partials.resumable_bytes(layout, facts.etag) == MIB
