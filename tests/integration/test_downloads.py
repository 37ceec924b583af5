"""huggingface_hub's download functions: what they return, place, foretell and raise."""

from __future__ import annotations

import inspect
import json
import pickle
from pathlib import Path

import pytest

from hubloader import errors
from hubloader.auto import downloads
from hubloader.auto.downloads import (
    hf_hub_download,
    scan_cache_dir,
    snapshot_download,
    try_to_load_from_cache,
)
from hubloader.mirror import MirrorServer

huggingface_hub = pytest.importorskip("huggingface_hub")
theirs = pytest.importorskip("huggingface_hub.errors")
local_folder = pytest.importorskip("huggingface_hub._local_folder")

NAME = "org/files"
FILES = {
    "config.json": b"{}",
    "sub/part.txt": b"part",
    "model.safetensors": b"weights",
    "README.md": b"readme",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, content in FILES.items():
        path = tmp_path / "hub" / NAME / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (tmp_path / "hub" / "org" / "gated").mkdir()
    (tmp_path / "hub" / "org" / "gated" / "config.json").write_bytes(b"{}")
    (tmp_path / "hub" / "hub.json").write_text(json.dumps({"gated": ["org/gated"]}))
    return tmp_path / "hub"


@pytest.fixture
def hub(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    with MirrorServer(root, record=True) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server


@pytest.mark.parametrize("name", ["hf_hub_download", "snapshot_download", "try_to_load_from_cache"])
@pytest.mark.oracle
def test_the_parameters_are_huggingface_hubs(name):
    ours = inspect.signature(getattr(downloads, name)).parameters
    others = inspect.signature(getattr(huggingface_hub, name)).parameters

    assert set(ours) == set(others)
    for parameter, other in others.items():
        assert ours[parameter].kind == other.kind
    positional = [p for p, v in others.items() if v.kind is v.POSITIONAL_OR_KEYWORD]
    assert [p for p, v in ours.items() if v.kind is v.POSITIONAL_OR_KEYWORD] == positional


def test_a_file_is_returned_as_a_path_in_huggingface_hubs_layout(hub, tmp_path):
    path = hf_hub_download(NAME, "part.txt", subfolder="sub")

    assert isinstance(path, str)
    assert Path(path).read_bytes() == b"part"
    assert path.startswith(str(tmp_path / "cache" / "models--org--files" / "snapshots"))
    assert path.endswith("/sub/part.txt")


def test_a_file_that_is_cached_is_found_without_asking(hub):
    path = hf_hub_download(NAME, "config.json")
    hub.forget()

    assert hf_hub_download(NAME, "config.json", local_files_only=True) == path
    assert try_to_load_from_cache(NAME, "config.json") == path
    assert hub.requests == ()


def test_a_cache_knows_what_it_has_what_is_absent_and_what_it_does_not_know(hub):
    hf_hub_download(NAME, "config.json")

    assert try_to_load_from_cache(NAME, "no.json") is huggingface_hub._CACHED_NO_EXIST
    assert try_to_load_from_cache(NAME, "README.md") is None
    assert try_to_load_from_cache("org/other", "config.json") is None


def test_a_snapshot_holds_what_the_patterns_choose(hub):
    folder = snapshot_download(NAME, allow_patterns=["*.json", "sub/"], ignore_patterns="READ*")

    found = {p.relative_to(folder).as_posix() for p in Path(folder).rglob("*") if p.is_file()}
    assert found == {"config.json", "sub/part.txt"}


def test_a_snapshot_without_patterns_is_whole_and_found_offline(hub):
    folder = snapshot_download(NAME)
    hub.forget()

    assert snapshot_download(NAME, local_files_only=True) == folder
    assert {p.name for p in Path(folder).rglob("*") if p.is_file()} == {
        Path(name).name for name in FILES
    }
    assert hub.requests == ()


def test_a_dry_run_foretells_in_huggingface_hubs_type_and_writes_nothing(hub, tmp_path):
    foretold = snapshot_download(NAME, dry_run=True)
    one = hf_hub_download(NAME, "config.json", dry_run=True)

    assert not (tmp_path / "cache").exists()
    assert isinstance(one, huggingface_hub.DryRunFileInfo)
    assert (one.filename, one.file_size, one.is_cached, one.will_download) == (
        "config.json", 2, False, True,
    )  # fmt: skip
    assert {info.filename for info in foretold} == set(FILES)
    hf_hub_download(NAME, "config.json")
    again = hf_hub_download(NAME, "config.json", dry_run=True)
    forced = hf_hub_download(NAME, "config.json", dry_run=True, force_download=True)
    assert (again.is_cached, again.will_download) == (True, False)
    assert (forced.is_cached, forced.will_download) == (True, True)
    assert Path(again.local_path).read_bytes() == b"{}"


def test_files_are_placed_in_a_folder_and_not_again_while_they_are_current(hub, tmp_path):
    target = tmp_path / "mine"

    assert snapshot_download(NAME, local_dir=target) == str(target)
    placed = {name: (target / name).stat().st_mtime_ns for name in FILES}
    assert {name: (target / name).read_bytes() for name in FILES} == FILES
    assert not (target / "config.json").is_symlink()
    assert hf_hub_download(NAME, "sub/part.txt", local_dir=target) == str(target / "sub/part.txt")
    assert {name: (target / name).stat().st_mtime_ns for name in FILES} == placed


def test_a_file_that_was_changed_in_the_folder_is_replaced(hub, tmp_path):
    target = tmp_path / "mine"
    snapshot_download(NAME, local_dir=target)
    (target / "README.md").write_bytes(b"mine is longer")

    snapshot_download(NAME, local_dir=target)

    assert (target / "README.md").read_bytes() == b"readme"


def test_a_folder_is_used_as_it_is_when_the_hub_may_not_be_asked(hub, tmp_path):
    target = tmp_path / "mine"
    hf_hub_download(NAME, "config.json", local_dir=target)

    with pytest.warns(UserWarning, match="used as it is"):
        path = hf_hub_download(
            NAME, "config.json", local_dir=target, cache_dir=tmp_path / "o", local_files_only=True
        )

    assert path == str(target / "config.json")


@pytest.mark.oracle
def test_huggingface_hub_takes_a_placed_file_for_its_own(hub, tmp_path):
    target = tmp_path / "mine"
    hf_hub_download(NAME, "config.json", local_dir=target)

    note = local_folder.read_download_metadata(target, "config.json")

    assert note is not None
    assert len(note.commit_hash) == 40
    assert note.etag == "9e26dfeeb6e641a33dae4961196235bdb965b21b"


@pytest.mark.parametrize(
    ("call", "ours", "other"),
    [
        (
            lambda: hf_hub_download("org/nobody", "config.json"),
            errors.RepositoryNotFound,
            theirs.RepositoryNotFoundError,
        ),
        (
            lambda: hf_hub_download(NAME, "config.json", revision="nothing"),
            errors.RevisionNotFound,
            theirs.RevisionNotFoundError,
        ),
        (
            lambda: hf_hub_download(NAME, "nothing.json"),
            errors.EntryNotFound,
            theirs.RemoteEntryNotFoundError,
        ),
        (
            lambda: hf_hub_download("org/gated", "config.json"),
            errors.GatedRepository,
            theirs.GatedRepoError,
        ),
        (
            lambda: hf_hub_download(NAME, "config.json", local_files_only=True),
            errors.CacheMiss,
            theirs.LocalEntryNotFoundError,
        ),
        (
            lambda: snapshot_download("not a name"),
            errors.InvalidReference,
            theirs.HFValidationError,
        ),
    ],
)
def test_an_error_is_caught_by_either_librarys_class(hub, call, ours, other):
    with pytest.raises(ours) as mine:
        call()
    with pytest.raises(other) as same:
        call()

    assert type(mine.value) is type(same.value)
    assert str(mine.value)
    again = pickle.loads(pickle.dumps(mine.value))
    assert isinstance(again, ours)
    assert isinstance(again, other)
    assert str(again) == str(mine.value)


def test_an_http_error_has_the_response_that_callers_look_at(hub):
    with pytest.raises(theirs.HfHubHTTPError) as failure:
        hf_hub_download("org/nobody", "config.json")

    assert failure.value.response.status_code == 404
    assert failure.value.request.method == "GET"


def test_a_snapshot_that_is_not_whole_offline_says_where_it_is(hub):
    path = hf_hub_download(NAME, "config.json")

    with pytest.raises(theirs.IncompleteSnapshotError) as failure:
        snapshot_download(NAME, local_files_only=True)

    assert failure.value.snapshot_path == str(Path(path).parent)
    assert set(failure.value.missing) == set(FILES) - {"config.json"}


def test_headers_and_user_agent_reach_the_endpoint(hub):
    hf_hub_download(
        NAME, "config.json", headers={"X-Mine": "yes"}, library_name="app", library_version="1.2"
    )

    sent = [request.headers for request in hub.requests if request.origin == "hub"]
    assert all(headers["x-mine"] == "yes" for headers in sent)
    assert all(headers["user-agent"].startswith("app/1.2; hubloader/") for headers in sent)


@pytest.mark.oracle
def test_the_scan_is_huggingface_hubs_and_finds_nothing_wrong(hub):
    snapshot_download(NAME)

    found = scan_cache_dir()

    assert isinstance(found, huggingface_hub.HFCacheInfo)
    assert [repo.repo_id for repo in found.repos] == [NAME]
    assert not found.warnings
