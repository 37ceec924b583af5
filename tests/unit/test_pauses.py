from __future__ import annotations

import os
import stat
import time
from pathlib import Path

import pytest

from hubloader.cache.layout import CacheLayout
from hubloader.cache.pauses import Pauses

HUB, OTHER = "https://huggingface.co", "http://127.0.0.1:8080"


class Clock:
    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def process(root: Path, clock: Clock) -> Pauses:
    return Pauses(CacheLayout(root), clock)


def files(root: Path) -> list[str]:
    return [str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()]


def test_what_one_process_was_told_another_knows_of_that_server_alone(tmp_path: Path) -> None:
    clock = Clock()
    process(tmp_path, clock).tell(HUB, 30)
    clock.now += 10

    assert process(tmp_path, clock).left(HUB) == pytest.approx(20, abs=0.1)
    assert process(tmp_path, clock).left(OTHER) == 0


@pytest.mark.parametrize("part", [0.0, 0.01, 0.049, 0.51, 0.94])
def test_no_process_is_told_of_a_shorter_pause(tmp_path: Path, part: float) -> None:
    clock = Clock(1_700_000_000.0 + part)
    process(tmp_path, clock).tell(HUB, 30)

    assert 30 <= process(tmp_path, clock).left(HUB) <= 30.1


def test_a_pause_that_has_passed_leaves_nothing(tmp_path: Path) -> None:
    clock = Clock()
    process(tmp_path, clock).tell(HUB, 30)
    clock.now += 31

    assert process(tmp_path, clock).left(HUB) == 0
    assert files(tmp_path) == []


def test_a_shorter_pause_does_not_end_a_longer_one(tmp_path: Path) -> None:
    clock = Clock()
    process(tmp_path, clock).tell(HUB, 60)
    process(tmp_path, clock).tell(HUB, 5)

    assert process(tmp_path, clock).left(HUB) == pytest.approx(60, abs=0.1)


@pytest.mark.parametrize("seconds", [0.0, 0.5, 3601.0, float("inf")])
def test_what_is_over_at_once_or_too_long_to_be_waited_for_is_not_told(
    tmp_path: Path, seconds: float
) -> None:
    process(tmp_path, Clock()).tell(HUB, seconds)

    assert files(tmp_path) == []


@pytest.mark.parametrize("text", ["", "soon", "nan", "inf", "-5", "9" * 400, "\x00\xff", "1e999"])
def test_what_cannot_be_read_is_no_pause(tmp_path: Path, text: str) -> None:
    layout = CacheLayout(tmp_path)
    path = Path(layout.pause(HUB))
    path.parent.mkdir(parents=True)
    path.write_text(text, encoding="latin-1")

    assert process(tmp_path, Clock()).left(HUB) == 0
    process(tmp_path, Clock()).tell(HUB, 9)
    assert process(tmp_path, Clock()).left(HUB) == pytest.approx(9, abs=0.1)


def test_a_time_far_in_the_future_is_a_wrong_clock(tmp_path: Path) -> None:
    clock = Clock()
    process(tmp_path, clock).tell(HUB, 60)
    clock.now -= 7200  # whoever wrote it was two hours ahead

    assert process(tmp_path, clock).left(HUB) == 0


def test_a_cache_that_is_not_there_is_not_made_for_it(tmp_path: Path) -> None:
    process(tmp_path / "none", Clock()).tell(HUB, 30)

    assert not (tmp_path / "none").exists()
    assert process(tmp_path / "none", Clock()).left(HUB) == 0


def test_a_link_or_a_folder_planted_there_is_not_followed(tmp_path: Path) -> None:
    layout = CacheLayout(tmp_path / "cache")
    secret = tmp_path / "elsewhere"
    secret.write_text(f"{time.time() + 30}")
    for origin, plant in ((HUB, "link"), (OTHER, "folder")):
        path = Path(layout.pause(origin))
        path.parent.mkdir(parents=True, exist_ok=True)
        if plant == "link":
            path.symlink_to(secret)
        else:
            path.mkdir()
        assert process(tmp_path / "cache", Clock()).left(origin) == 0
        process(tmp_path / "cache", Clock()).tell(origin, 30)

    assert secret.exists()


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_cache_that_cannot_be_written_is_told_nothing_and_fails_nothing(tmp_path: Path) -> None:
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)

    process(tmp_path, Clock()).tell(HUB, 30)

    assert files(tmp_path) == []
