"""Who may take over an unfinished download: every line of the table, and the deeds."""

from __future__ import annotations

import os
import signal

import pytest
from cache_cases import REPO, content, entry

from hubloader.cache import CacheStore
from hubloader.cache import owner as owners
from hubloader.cache import partial as partials
from hubloader.cache.layout import CacheLayout
from hubloader.cache.owner import Liveness, Owner, liveness, this_process
from hubloader.cache.partial import LARGE, Takeover, adopt, create_partial, decide
from hubloader.cache.sweep import sweep

ETAG = "ab" * 32
ALIVE, DEAD, UNKNOWN = Liveness.ALIVE, Liveness.DEAD, Liveness.UNKNOWN


@pytest.mark.parametrize(
    ("free", "alive", "locked", "quiet", "expected"),
    [
        (True, UNKNOWN, False, False, Takeover.RENAME),
        (False, DEAD, False, False, Takeover.RENAME),
        (False, DEAD, True, False, Takeover.RENAME),  # a forked child still holds the file
        (False, ALIVE, False, True, Takeover.LEAVE),
        (False, UNKNOWN, True, True, Takeover.LEAVE),
        (False, UNKNOWN, False, True, Takeover.COPY),
        (False, UNKNOWN, False, False, Takeover.LEAVE),
    ],
)
def test_the_table_of_takeovers(free, alive, locked, quiet, expected):
    assert decide(free=free, alive=alive, locked=locked, quiet=quiet) is expected


@pytest.fixture
def layout(tmp_path):
    return CacheLayout(tmp_path).repo(REPO)


def left_by(layout, owner: Owner, data: bytes, *, age: float = 0.0) -> str:
    partial = create_partial(layout, ETAG, large=True)
    os.write(partial.data, data)
    partial.close()
    path = layout.partial(ETAG, f"{owner.token}.deadbeef")
    os.rename(partial.path, path)
    if age:
        facts = os.stat(os.path.join(path, "data"))
        os.utime(os.path.join(path, "data"), (facts.st_atime - age, facts.st_mtime - age))
    return path


def elsewhere() -> Owner:
    me = this_process()
    return Owner(me.boot, "00000000", me.pid, me.start)


def test_what_a_living_process_writes_is_left_alone(layout):
    left_by(layout, this_process(), b"theirs")

    assert adopt(layout, ETAG) is None


def test_what_a_dead_process_left_is_taken_whole(layout):
    me = this_process()
    path = left_by(layout, Owner(me.boot, me.space, me.pid, me.start + 1), b"theirs")

    partial = adopt(layout, ETAG)

    assert not os.path.exists(path)
    assert os.pread(partial.data, 10, 0) == b"theirs"
    assert partials.owner_of(partial.path) == me
    partial.close()


def test_of_two_takers_one_gets_it(layout):
    me = this_process()
    left_by(layout, Owner(me.boot, me.space, me.pid, me.start + 1), b"theirs")

    first, second = adopt(layout, ETAG), adopt(layout, ETAG)

    assert first is not None
    assert second is None
    first.close()


def test_a_quiet_partial_of_a_stranger_is_copied(layout):
    path = left_by(layout, elsewhere(), b"theirs", age=120)
    inode = os.stat(os.path.join(path, "data")).st_ino

    partial = adopt(layout, ETAG)

    assert os.fstat(partial.data).st_ino != inode
    assert os.pread(partial.data, 10, 0) == b"theirs"
    assert not os.path.exists(path)
    partial.close()


def test_a_strangers_partial_that_moves_is_left_alone(layout):
    left_by(layout, elsewhere(), b"theirs")

    assert adopt(layout, ETAG) is None


def test_the_largest_is_taken(layout):
    me = this_process()
    dead = Owner(me.boot, me.space, me.pid, me.start + 1)
    left_by(layout, dead, b"short")
    os.rename(
        layout.partial(ETAG, f"{dead.token}.deadbeef"), layout.partial(ETAG, f"{dead.token}.1")
    )
    left_by(layout, dead, b"much longer")

    partial = adopt(layout, ETAG)

    assert os.fstat(partial.data).st_size == 11
    partial.close()


def test_foreign_things_among_the_partials_are_left_alone(layout, tmp_path):
    os.makedirs(layout.partials)
    (tmp_path / "outside").mkdir()
    os.symlink(tmp_path / "outside", os.path.join(layout.partials, f"{ETAG}.free.1"))
    open(os.path.join(layout.partials, f"{ETAG}.free.2"), "w").close()

    assert adopt(layout, ETAG) is None


def test_an_owner_is_read_back_from_its_token():
    me = this_process()

    assert Owner.parse(me.token) == me
    assert Owner.parse("free") is None


def test_a_process_is_alive_and_a_reused_number_is_not():
    me = this_process()

    assert liveness(me, me) is ALIVE
    assert liveness(Owner(me.boot, me.space, me.pid, me.start + 1), me) is DEAD
    assert liveness(Owner(me.boot, me.space, 2**22 + 1, 1), me) is DEAD
    assert liveness(Owner("00000000", me.space, me.pid, me.start), me) is UNKNOWN
    assert liveness(elsewhere(), me) is UNKNOWN


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="a system without /proc")
def test_a_process_that_ended_is_gone_also_while_nobody_has_asked_how():
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(writer, owners.this_process().token.encode())
        signal.pause()
    theirs = Owner.parse(os.read(reader, 200).decode())
    assert theirs is not None
    assert liveness(theirs, this_process()) is ALIVE

    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)  # ended, and not asked for: a zombie

    assert liveness(theirs, this_process()) is DEAD
    os.waitpid(pid, 0)


def test_a_forked_child_is_another_owner():
    mine = this_process()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, owners.this_process().token.encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(writer)
    theirs = Owner.parse(os.read(reader, 200).decode())
    os.close(reader)

    assert theirs.pid == child
    assert theirs != mine
    assert owners.this_process() == mine


def test_a_strangers_bytes_from_this_boot_are_all_gone_on_with(tmp_path):
    data = content(LARGE + 100)
    facts = entry(data, lfs=True)
    layout = CacheLayout(tmp_path).repo(REPO)
    with CacheStore(tmp_path).writer(REPO, facts) as writer:
        writer.write(data[:5000])
    [name] = os.listdir(layout.partials)
    path = layout.partial(facts.etag, f"{elsewhere().token}.1")
    os.rename(os.path.join(layout.partials, name), path)
    os.utime(os.path.join(path, "data"), (1, 1))

    with CacheStore(tmp_path).writer(REPO, facts) as writer:
        assert writer.received == 5000
        writer.write(data[5000:])
        assert writer.commit().read_bytes() == data


@pytest.mark.parametrize("free", [True, False])
def test_a_large_partial_goes_once_its_content_is_here(layout, free):
    me = this_process()
    path = left_by(layout, Owner(me.boot, me.space, me.pid, me.start + 1), b"half of it")
    if free:
        path = os.rename(path, layout.partial(ETAG, "free.1")) or layout.partial(ETAG, "free.1")
    ours = left_by(layout, me, b"being written")
    sweep(layout)
    before = os.path.isdir(path)
    os.makedirs(layout.blobs)
    open(layout.blob(ETAG), "w").close()  # another went on alone

    sweep(layout)

    assert before
    assert not os.path.exists(path)
    assert os.path.isdir(ours)


def test_what_a_kill_left_goes_also_where_only_names_are_missing(tmp_path, layout):
    me = this_process()
    dead = Owner(me.boot, me.space, me.pid, me.start + 1)
    path = left_by(layout, dead, b"")
    os.remove(os.path.join(path, "data"))  # it became the blob just before the kill

    with CacheStore(tmp_path).using(REPO):
        pass

    assert not os.path.exists(path)


def test_what_the_dead_left_and_nobody_can_use_is_swept_away(layout):
    me = this_process()
    dead = Owner(me.boot, me.space, me.pid, me.start + 1)
    os.makedirs(layout.tmp)
    large = left_by(layout, dead, b"large, and can be gone on with")
    kept = [layout.partial(ETAG, f"{me.token}.1"), os.path.join(layout.tmp, f"{me.token}.1")]
    kept += [layout.partial(ETAG, f"{elsewhere().token}.1"), os.path.join(layout.tmp, "foreign")]
    swept = [layout.partial(ETAG, f"{dead.token}.1"), os.path.join(layout.tmp, f"{dead.token}.1")]
    old = layout.partial(ETAG, f"{elsewhere().token}.2")
    for path in (*kept, *swept, old):
        open(path, "w").close()
    os.utime(old, (1, 1))

    sweep(layout)

    assert os.path.isdir(large)
    assert all(os.path.exists(path) for path in kept)
    assert not any(os.path.exists(path) for path in (*swept, old))
