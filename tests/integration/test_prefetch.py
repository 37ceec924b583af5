from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hubloader.auto.prefetch import plan, prefetch
from hubloader.errors import EntryNotFound, InvalidReference
from hubloader.mirror import MirrorServer
from hubloader.resolve.progress import Progress, Step
from hubloader.settings import Settings

TINY = "fixtures/bert-tiny-sentiment"


@pytest.fixture(scope="module")
def server(fixture_hub: Path) -> Iterator[MirrorServer]:
    with MirrorServer(fixture_hub, record=True) as running:
        yield running


@pytest.fixture(autouse=True)
def at_the_mirror(server: MirrorServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    server.forget()


def test_tokenizer_and_torch_files_are_brought_by_default(server: MirrorServer) -> None:
    brought = prefetch(TINY)

    assert set(brought.files) == {
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    assert all((brought.path / name).is_file() for name in brought.files)
    assert brought.path.name == brought.commit
    assert brought.fetched_bytes == sum((brought.path / n).stat().st_size for n in brought.files)
    assert len([request for request in server.requests if request.status < 300]) == 1 + 4


def test_a_plan_lists_files_and_bytes_and_writes_nothing(server: MirrorServer) -> None:
    planned = plan(TINY, uses=["tokenizer"])
    kept = Settings.from_env().cache_dir.exists()
    asked = len(server.requests)
    prefetch(TINY, uses=["tokenizer"])
    after = plan(TINY, uses=["tokenizer"])

    assert (kept, asked) == (False, 1)
    assert [file.filename for file in planned.files] == [file.filename for file in after.files]
    assert all(file.fetch and file.fetch_bytes == file.size for file in planned.files)
    assert planned.fetch_bytes == planned.size == sum(file.size or 0 for file in planned.files) > 0
    assert not any(file.fetch or file.fetch_bytes for file in after.files)
    assert (after.fetch_bytes, after.size, after.commit) == (0, planned.size, planned.commit)


def test_what_is_there_is_not_fetched_again(server: MirrorServer) -> None:
    first = prefetch(TINY, uses=["tokenizer"])
    server.forget()

    again = prefetch(TINY, uses=["tokenizer"])

    assert (again.files, again.fetched_bytes) == (first.files, 0)
    assert server.requests == ()


def test_a_program_is_told_of_each_step_and_the_terminal_is_not(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_HUB_DISABLE_PROGRESS_BARS", raising=False)
    events: list[Progress] = []

    brought = prefetch(TINY, progress=events.append)

    done = {event.filename for event in events if event.step is Step.DONE}
    assert done == set(brought.files)
    assert (events[0].step, events[-1].step) == (Step.BEGIN, Step.END)
    assert events[-1].total_done == events[-1].total == brought.fetched_bytes
    assert capfd.readouterr().err == ""


def test_one_use_and_one_pattern_may_be_given_as_they_are() -> None:
    assert plan(TINY, uses="tokenizer") == plan(TINY, uses=["tokenizer"])
    assert plan(TINY, include="*.md") == plan(TINY, include=["*.md"])
    assert plan(TINY, uses="all", exclude="*.md") == plan(TINY, uses=["all"], exclude=["*.md"])


def test_patterns_stand_in_place_of_uses_or_beside_them() -> None:
    by_pattern = prefetch(TINY, include=["*.json"], exclude=["tokenizer*"])
    beside = prefetch(TINY, uses=["numpy"], include=["README.md"])

    assert by_pattern.files == ("config.json",)
    assert set(beside.files) == {"README.md", "config.json", "model.safetensors"}


def test_a_revision_is_given_in_the_name_or_beside_it() -> None:
    one = prefetch(f"{TINY}@fp16", uses=["numpy"])
    two = prefetch(TINY, revision="fp16", uses=["numpy"])

    assert one.commit == two.commit
    assert (one.repo_id, one.revision) == (TINY, "fp16")


def test_what_a_use_cannot_do_without_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "org/name").mkdir(parents=True)
    (tmp_path / "org/name/config.json").write_text("{}")

    with (
        MirrorServer(tmp_path) as weightless,
        pytest.raises(EntryNotFound, match="weights"),
    ):
        prefetch("org/name", uses=["torch"], endpoint=weightless.url)


def test_what_makes_no_sense_is_refused(fixture_hub: Path) -> None:
    with pytest.raises(InvalidReference, match="folder"):
        prefetch(str(fixture_hub / TINY))
    with pytest.raises(InvalidReference, match="jax"):
        prefetch(TINY, uses=["jax"])
    with pytest.raises(TypeError, match=r"revison.*did you mean 'revision'"):
        prefetch(TINY, revison="main")
