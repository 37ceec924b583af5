"""A stamp fits a file that has not changed, and no other."""

from __future__ import annotations

import os

from cache_cases import content, sha256

from hubloader.cache import stamps
from hubloader.cache.stamps import Stamp


def test_a_stamp_fits_until_size_or_time_change(tmp_path):
    file = tmp_path / "blob"
    file.write_bytes(b"good")
    record = str(tmp_path / "stamps" / "x")
    stamps.add(record, Stamp.of(file.stat(), sha256(b"good")))

    assert stamps.find(record, file.stat()) is not None
    file.write_bytes(b"longer")
    assert stamps.find(record, file.stat()) is None
    file.write_bytes(b"evil")
    os.utime(file, ns=(1, 1))
    assert stamps.find(record, file.stat()) is None


def test_several_copies_of_a_content_keep_their_stamps(tmp_path):
    record = str(tmp_path / "stamps" / "x")
    files = []
    for number in range(3):
        file = tmp_path / str(number)
        file.write_bytes(b"same")
        os.utime(file, ns=(number, number))
        stamps.add(record, Stamp.of(file.stat(), sha256(b"same")))
        files.append(file)

    assert all(stamps.find(record, file.stat()) for file in files)
    assert stamps.newest(record).mtime_ns == 2


def test_a_torn_line_is_no_stamp_and_hides_none(tmp_path):
    file = tmp_path / "blob"
    file.write_bytes(b"good")
    record = tmp_path / "x"
    record.write_bytes(b"1 4 17")
    stamps.add(str(record), Stamp.of(file.stat(), sha256(b"good")))

    assert len(stamps.known(str(record))) == 1


def test_the_record_stays_small(tmp_path):
    record = tmp_path / "x"
    for number in range(200):
        stamps.add(str(record), Stamp(1, number, sha256(content(1))))

    assert record.stat().st_size < 8192
    assert stamps.newest(str(record)).mtime_ns == 199


def test_what_cannot_be_read_is_no_stamp(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "binary").write_bytes(bytes(range(256)))

    assert stamps.known(str(tmp_path / "folder")) == ()
    assert stamps.known(str(tmp_path / "binary")) == ()
    assert stamps.known(str(tmp_path / "absent")) == ()
