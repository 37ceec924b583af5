"""huggingface_hub's download functions: what they return, place, foretell and raise."""

from __future__ import annotations

import inspect
import json
import os
import pickle
from pathlib import Path

import pytest

from hubloader import errors
from hubloader.auto import downloads, source
from hubloader.auto import local_folder as local_state
from hubloader.auto.downloads import (
    hf_hub_download,
    scan_cache_dir,
    snapshot_download,
    try_to_load_from_cache,
)
from hubloader.hub.client import HubClient
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


@pytest.mark.oracle
def test_a_dry_run_into_a_folder_foretells_as_huggingface_hub_does(hub, tmp_path):
    hf_hub_download(NAME, "config.json")  # in the cache alone
    hf_hub_download(NAME, "README.md", local_dir=tmp_path / "mine")  # in the folder alone

    def foretold(download) -> set[tuple[object, ...]]:
        told = download(NAME, local_dir=tmp_path / "mine", dry_run=True)
        return {(i.filename, i.local_path, i.is_cached, i.will_download) for i in told}

    ours = foretold(snapshot_download)
    assert ours == foretold(
        lambda *a, **k: huggingface_hub.snapshot_download(
            *a, endpoint=hub.url, cache_dir=tmp_path / "cache", **k
        )
    )
    assert {name: cached for name, _, cached, _ in ours} == {
        "config.json": True, "README.md": True, "sub/part.txt": False, "model.safetensors": False,
    }  # fmt: skip


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


def test_a_folder_knows_without_the_hub_that_it_is_whole(hub, tmp_path):
    target = tmp_path / "mine"
    snapshot_download(NAME, local_dir=target)

    path = snapshot_download(
        NAME, local_dir=target, cache_dir=tmp_path / "o", local_files_only=True
    )

    assert path == str(target)


@pytest.mark.oracle
def test_a_folder_is_used_as_it_is_when_nothing_is_known_and_the_hub_may_not_be_asked(
    hub, tmp_path
):
    target = tmp_path / "mine"
    huggingface_hub.hf_hub_download(NAME, "config.json", local_dir=target, endpoint=hub.url)

    with pytest.warns(UserWarning, match="used as it is"):
        path = hf_hub_download(
            NAME, "config.json", local_dir=target, cache_dir=tmp_path / "o", local_files_only=True
        )

    assert path == str(target / "config.json")


def test_the_cache_is_not_written_and_the_folder_has_each_content_once(hub, tmp_path):
    target, cache = tmp_path / "mine", tmp_path / "untouched"

    snapshot_download(NAME, local_dir=target, cache_dir=cache)

    assert not cache.exists()
    large = [path for path in target.rglob("*") if path.is_file() and ".cache" not in path.parts]
    assert {path.relative_to(target).as_posix() for path in large} == set(FILES)
    state = target / ".cache" / "huggingface"
    kept = [path for path in state.rglob("blobs/*") if path.is_file()]
    assert kept == []
    assert all(os.access(path, os.W_OK) for path in large)


def test_what_the_cache_has_is_copied_and_not_fetched(hub, tmp_path):
    snapshot_download(NAME)
    hub.forget()

    snapshot_download(NAME, local_dir=tmp_path / "mine")

    assert {name: (tmp_path / "mine" / name).read_bytes() for name in FILES} == FILES
    assert [request.method for request in hub.requests] in ([], ["HEAD"])
    assert {name: Path(hf_hub_download(NAME, name)).read_bytes() for name in FILES} == FILES


def test_a_folder_is_asked_about_once_by_branch_and_never_by_commit(hub, tmp_path):
    target, cache = tmp_path / "mine", tmp_path / "o"
    snapshot_download(NAME, local_dir=target, cache_dir=cache)
    commit = (target / ".cache/huggingface/download/config.json.metadata").read_text().split()[0]
    new_process()
    hub.forget()

    snapshot_download(NAME, local_dir=target, cache_dir=cache)
    by_branch = len(hub.requests)
    new_process()
    hub.forget()
    snapshot_download(NAME, local_dir=target, cache_dir=cache, revision=commit)

    assert by_branch == 1
    assert len(hub.requests) == 0


def new_process() -> None:
    """Forget what a new process does not know."""
    source._SESSIONS.clear()
    local_state._SESSIONS.clear()


def test_a_file_placed_just_before_a_kill_is_known_by_its_hash(hub, tmp_path):
    target = tmp_path / "mine"
    snapshot_download(NAME, local_dir=target)
    (target / ".cache/huggingface/download/config.json.metadata").unlink()
    new_process()
    hub.forget()

    snapshot_download(NAME, local_dir=target)

    assert [request.method for request in hub.requests] == ["HEAD"]


def test_of_files_that_partly_fail_the_others_are_placed(hub, tmp_path, monkeypatch):
    target = tmp_path / "mine"
    opened = HubClient.open_file

    def refuse(self, repo, commit, filename, **options):
        if filename == "config.json":
            raise errors.MalformedAnswer("no")
        return opened(self, repo, commit, filename, **options)

    monkeypatch.setattr(HubClient, "open_file", refuse)

    with pytest.raises(errors.MalformedAnswer):
        snapshot_download(NAME, local_dir=target)

    placed = {name for name in FILES if (target / name).is_file()}
    assert placed == set(FILES) - {"config.json"}


def test_what_stands_in_the_way_of_one_file_does_not_keep_the_others_from_their_places(
    hub, tmp_path
):
    target = tmp_path / "mine"
    (target / "config.json").mkdir(parents=True)

    with pytest.raises(errors.CacheError, match=r"config\.json: Is a directory") as caught:
        snapshot_download(NAME, local_dir=target)

    placed = {name for name in FILES if (target / name).is_file()}
    assert placed == set(FILES) - {"config.json"}
    assert caught.value.filename == "config.json"
    assert "local_dir" in caught.value.hint
    hub.forget()
    (target / "config.json").rmdir()
    snapshot_download(NAME, local_dir=target)
    assert (target / "config.json").read_bytes() == FILES["config.json"]
    assert [request.method for request in hub.requests] in ([], ["HEAD"])  # the bytes were there


def test_a_name_too_long_for_a_note_is_placed_and_known_by_its_hash(hub, root, tmp_path):
    long, target = "n" * 250, tmp_path / "mine"
    (root / NAME / long).write_bytes(b"content")

    snapshot_download(NAME, local_dir=target)
    hub.forget()
    snapshot_download(NAME, local_dir=target)

    assert (target / long).read_bytes() == b"content"
    assert {request.method for request in hub.requests} <= {"HEAD"}


@pytest.mark.oracle
def test_huggingface_hub_goes_on_with_our_folder_and_we_with_its(hub, tmp_path):
    ours, its = tmp_path / "ours", tmp_path / "its"
    snapshot_download(NAME, local_dir=ours)
    huggingface_hub.snapshot_download(NAME, local_dir=its, endpoint=hub.url)
    hub.forget()

    huggingface_hub.snapshot_download(NAME, local_dir=ours, endpoint=hub.url)
    snapshot_download(NAME, local_dir=its, cache_dir=tmp_path / "o")

    assert [r.path for r in hub.requests if r.method == "GET" and "/resolve/" in r.path] == []


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
            lambda: hf_hub_download(NAME, "config.json", token=True),
            errors.AuthenticationRequired,
            theirs.LocalTokenNotFoundError,
        ),
        (
            lambda: snapshot_download(NAME, dry_run=True, local_files_only=True),
            errors.CacheMiss,
            theirs.DryRunError,
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


def test_one_file_that_is_known_to_be_absent_is_a_local_miss_while_the_network_is_off(hub):
    snapshot_download(NAME)

    with pytest.raises(theirs.LocalEntryNotFoundError) as failure:
        hf_hub_download(NAME, "nothing.json", local_files_only=True)

    assert isinstance(failure.value, errors.EntryNotFound)


@pytest.mark.parametrize("into_folder", [False, True])
def test_offline_nothing_is_foretold_that_cannot_be_fetched(hub, tmp_path, into_folder):
    where = {"local_dir": tmp_path / "mine"} if into_folder else {}
    hf_hub_download(NAME, "config.json", **where)
    offline = {"local_files_only": True, "dry_run": True, **where}

    assert not hf_hub_download(NAME, "config.json", **offline).will_download
    with pytest.raises(theirs.LocalEntryNotFoundError):
        hf_hub_download(NAME, "README.md", **offline)
    with pytest.raises(theirs.DryRunError):
        snapshot_download(NAME, **offline)


@pytest.mark.parametrize("workers", [0, -1])
def test_a_snapshot_without_a_connection_is_refused(hub, workers):
    with pytest.raises(ValueError, match="max_workers"):
        snapshot_download(NAME, max_workers=workers)


@pytest.mark.parametrize("look", [hf_hub_download, try_to_load_from_cache])
@pytest.mark.parametrize("kind", ["models", ""])
def test_a_type_that_is_none_is_refused(hub, look, kind):
    with pytest.raises(errors.InvalidReference, match="no type of repository"):
        look(NAME, "config.json", repo_type=kind)


@pytest.mark.parametrize(
    "older", ["proxies", "resume_download", "force_filename", "local_dir_use_symlinks"]
)
def test_older_arguments_are_ignored_with_a_warning_as_by_huggingface_hub(hub, older):
    with pytest.warns(UserWarning, match=f"hf_hub_download ignores {older}"):
        path = hf_hub_download(NAME, "config.json", **{older: {"http": "http://127.0.0.1:1"}})

    assert try_to_load_from_cache(NAME, "config.json", **{older: None}) == path


def test_a_revision_that_huggingface_hub_resolved_is_not_asked_about_again(hub):
    commit = Path(snapshot_download(NAME)).name
    known = huggingface_hub.HfApi(endpoint=hub.url).resolve_revision(NAME)
    source._SESSIONS.clear()
    hub.forget()

    path = hf_hub_download(NAME, "config.json", revision=known)

    assert Path(path).parent.name == commit
    assert not hub.requests


def test_patterns_that_no_file_fits_are_warned_about(hub):
    with pytest.warns(UserWarning, match="fits the patterns"):
        snapshot_download(NAME, allow_patterns="*.jsonl")


def test_an_http_error_has_the_response_that_callers_look_at(hub):
    with pytest.raises(theirs.HfHubHTTPError) as failure:
        hf_hub_download("org/nobody", "config.json")

    assert failure.value.response.status_code == 401  # what the Hub says to those it does not know
    assert failure.value.request.method == "GET"


def test_a_snapshot_that_is_not_whole_offline_says_where_it_is(hub):
    path = hf_hub_download(NAME, "config.json")

    with pytest.raises(theirs.IncompleteSnapshotError) as failure:
        snapshot_download(NAME, local_files_only=True)

    assert failure.value.snapshot_path == str(Path(path).parent)
    assert set(failure.value.missing) == set(FILES) - {"config.json"}


def test_a_folder_that_is_not_whole_offline_is_named(hub, tmp_path):
    folder = tmp_path / "mine"
    snapshot_download(NAME, local_dir=folder)
    (folder / "config.json").unlink()

    with pytest.raises(theirs.IncompleteSnapshotError) as failure:
        snapshot_download(NAME, local_dir=folder, local_files_only=True)

    assert failure.value.snapshot_path == str(folder)


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
