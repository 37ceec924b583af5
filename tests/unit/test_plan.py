"""What is done about each wanted file: every cell of the table in resolve/plan.py."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubloader.resolve.plan import Action, make_plan
from hubloader.types import CommitHash, Entry, Manifest, Mode, OnDisk, RepoId

SIZE = 100
WHOLE = OnDisk(pointer=True, blob=True, trusted=True)
DOUBTED = OnDisk(pointer=True, blob=True, trusted=False)
LOOSE = OnDisk(blob=True, trusted=True)
LOOSE_DOUBTED = OnDisk(blob=True, trusted=False)
PART = OnDisk(partial=30)
POINTER_ONLY = OnDisk(pointer=True)
NOTHING = OnDisk()


def listing(**entries: Entry) -> Manifest:
    return Manifest(RepoId.parse("org/name"), "main", CommitHash("c" * 40), entries)


def plan_for(disk: OnDisk, mode: Mode, size: int | None = SIZE):
    manifest = listing(file=Entry(size, git_sha1="a" * 40))
    return make_plan(manifest, ["file"], {"file": disk}, mode)


@pytest.mark.parametrize(
    ("disk", "mode", "action", "verify", "fetch"),
    [
        (WHOLE, Mode.ONLINE, Action.USE, False, 0),
        (WHOLE, Mode.CACHE_ONLY, Action.USE, False, 0),
        (DOUBTED, Mode.ONLINE, Action.USE, True, 0),
        (DOUBTED, Mode.CACHE_ONLY, Action.USE, True, 0),
        (LOOSE, Mode.ONLINE, Action.LINK, False, 0),
        (LOOSE, Mode.CACHE_ONLY, Action.LINK, False, 0),
        (LOOSE_DOUBTED, Mode.ONLINE, Action.LINK, True, 0),
        (PART, Mode.ONLINE, Action.DOWNLOAD, False, 70),
        (NOTHING, Mode.ONLINE, Action.DOWNLOAD, False, 100),
        (POINTER_ONLY, Mode.ONLINE, Action.DOWNLOAD, False, 100),
        (WHOLE, Mode.FORCE, Action.DOWNLOAD, False, 100),
        (PART, Mode.FORCE, Action.DOWNLOAD, False, 100),
        (NOTHING, Mode.FORCE, Action.DOWNLOAD, False, 100),
    ],
)
def test_each_state_of_the_disk_has_one_action(disk, mode, action, verify, fetch):
    (file,) = plan_for(disk, mode).files

    assert (file.action, file.verify, file.fetch) == (action, verify, fetch)


@pytest.mark.parametrize("disk", [NOTHING, PART, POINTER_ONLY])
def test_without_a_network_what_is_not_there_is_missing(disk):
    plan = plan_for(disk, Mode.CACHE_ONLY)

    assert plan.missing == ("file",)
    assert plan.files == ()


def test_a_plan_is_idle_only_when_there_is_nothing_to_write_hash_or_fetch():
    assert plan_for(WHOLE, Mode.ONLINE).idle
    for disk in (DOUBTED, LOOSE, PART, NOTHING):
        assert not plan_for(disk, Mode.ONLINE).idle
    assert not plan_for(NOTHING, Mode.CACHE_ONLY).idle


def test_a_content_with_two_names_is_counted_once():
    same = Entry(SIZE, sha256="b" * 64)
    manifest = listing(one=same, two=same, three=Entry(5, git_sha1="a" * 40))

    plan = make_plan(manifest, ["one", "two", "three"], {}, Mode.ONLINE)

    assert plan.fetch_bytes == SIZE + 5
    assert len(plan.downloads) == 3


def test_an_unknown_size_counts_as_nothing():
    assert plan_for(NOTHING, Mode.ONLINE, size=None).fetch_bytes == 0


DISKS = st.builds(
    OnDisk,
    pointer=st.booleans(),
    blob=st.booleans(),
    trusted=st.booleans(),
    partial=st.integers(0, 2 * SIZE),
)


@given(disk=DISKS, mode=st.sampled_from(Mode))
def test_every_state_is_decided_and_force_never_trusts_the_disk(disk, mode):
    plan = plan_for(disk, mode)

    assert len(plan.files) + len(plan.missing) == 1
    assert not plan.missing or mode is Mode.CACHE_ONLY
    assert not plan.downloads or mode is not Mode.CACHE_ONLY
    if mode is Mode.FORCE:
        assert plan.downloads
    assert 0 <= plan.fetch_bytes <= SIZE
