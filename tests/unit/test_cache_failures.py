"""Every error of the system becomes one of ours, with its number, its cause and a way out."""

from __future__ import annotations

import errno
import os

import pytest

from hubloader.cache import failures
from hubloader.cache.failures import check_room, check_writable, free_space, guard, translate
from hubloader.errors import CacheError, CacheReadOnly, DiskFull, IntegrityError


@pytest.mark.parametrize("number", sorted(errno.errorcode))
def test_every_number_is_translated(number):
    error = translate(OSError(number, os.strerror(number)), "/cache/x", needed=5)

    assert isinstance(error, CacheError)
    assert error.errno == number
    assert "/cache/x" in str(error)


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOSPC, DiskFull),
        (errno.EDQUOT, DiskFull),
        (errno.EROFS, CacheReadOnly),
        (errno.EACCES, CacheReadOnly),
        (errno.EPERM, CacheReadOnly),
        (errno.EIO, CacheError),
        (errno.EMFILE, CacheError),
        (errno.ENAMETOOLONG, CacheError),
    ],
)
def test_the_table(number, kind, tmp_path):
    with pytest.raises(CacheError) as caught, guard(str(tmp_path), needed=7):
        raise OSError(number, os.strerror(number))

    assert type(caught.value) is kind
    assert isinstance(caught.value.__cause__, OSError)
    assert kind is CacheError or caught.value.hint


def test_a_full_disk_says_what_was_needed_and_what_is_free(tmp_path):
    error = translate(OSError(errno.ENOSPC, "full"), str(tmp_path / "not" / "yet"), needed=7)

    assert error.needed == 7
    assert error.free > 0
    assert "quota" in str(translate(OSError(errno.EDQUOT, "quota"), "/x"))


def test_our_own_errors_pass_unchanged():
    ours = IntegrityError("bad")

    with pytest.raises(IntegrityError) as caught, guard("/cache"):
        raise ours
    assert caught.value is ours


def test_free_space_is_told_for_a_folder_that_is_not_there_yet(tmp_path):
    free, inodes = free_space(str(tmp_path / "a" / "b"))

    assert free > 0
    assert inodes is None or inodes > 0


@pytest.mark.parametrize(
    ("free", "inodes", "needed", "files", "says"),
    [
        (10**9, 10**6, 10**9, 1, "1000000000 bytes are to be brought of x, and 1000000000"),
        (10**9, 30, 5, 10, "the disk has room for 30 more"),
        (10**9, 0, 0, 1, "the disk has room for 0 more"),
        (10**9, None, 5, 10**9, None),
        (None, None, 10**20, 1, None),
        (0, 0, 0, 0, None),
    ],
)
def test_what_does_not_fit_is_refused_by_bytes_and_by_inodes(
    monkeypatch, free, inodes, needed, files, says
):
    monkeypatch.setattr(failures, "free_space", lambda _: (free, inodes))
    if says is None:
        check_room("/", needed=needed, files=files, what=" of x")
        return
    with pytest.raises(DiskFull, match=says) as caught:
        check_room("/", needed=needed, files=files, what=" of x")
    assert caught.value.needed == needed
    assert caught.value.hint


@pytest.mark.parametrize("made_anew", [False, True])
def test_a_folder_that_is_taken_away_between_two_looks_is_no_read_only_cache(
    tmp_path, monkeypatch, made_anew
):
    drafts, real, looks = tmp_path / "drafts", os.access, []
    drafts.mkdir()

    def access(path: str, mode: int) -> bool:
        looks.append(path)
        if len(looks) > 1:
            return real(path, mode)
        drafts.rmdir()  # as another thread that was done with it
        allowed = real(path, mode)
        if made_anew:
            drafts.mkdir()
        return allowed

    monkeypatch.setattr(os, "access", access)

    check_writable(str(drafts))

    assert len(looks) == 2
