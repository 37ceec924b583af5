"""From a name to files, against a real server: what is asked, what is fetched, what is kept."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import threading
import warnings
from pathlib import Path

import pytest
from aiohttp import web
from cache_cases import overwrite

from hubloader.auto.source import connect
from hubloader.cache.store import CacheStore
from hubloader.errors import (
    CacheMiss,
    EntryNotFound,
    IntegrityError,
    RepositoryNotFound,
    RevisionNotFound,
    ServerFailed,
)
from hubloader.mirror import MirrorServer
from hubloader.resolve.progress import Step
from hubloader.resolve.session import Session
from hubloader.settings import Settings
from hubloader.types import Mode, ModelRef, Purpose, RepoId

NAME = "org/classifier"
FILES = {
    "README.md": b"# a classifier\n",
    "config.json": b'{"model_type": "distilbert"}',
    "tokenizer_config.json": b'{"do_lower_case": true}',
    "vocab.txt": b"[PAD]\n[UNK]\n",
    "pytorch_model.bin": b"not needed",
}
WEIGHTS = os.urandom(20_000)
TOKENIZER = Purpose(uses=frozenset({"tokenizer"}))
TORCH = Purpose(uses=frozenset({"torch"}))
BOTH = Purpose(uses=frozenset({"tokenizer", "torch"}))


def write_repo(folder: Path, **more: bytes) -> Path:
    for name, content in {**FILES, "model.safetensors": WEIGHTS, **more}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "hub"
    write_repo(root / NAME)
    (root / "hub.json").write_text(json.dumps({"aliases": {"classifier": NAME, "old/name": NAME}}))
    return root


@pytest.fixture
def hub(root: Path):
    with MirrorServer(root, record=True) as server:
        yield server


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def new_process(url: str, cache: Path, **overrides: object) -> Session:
    """A session as a new process has it: no listing remembered, no connection open."""
    settings = Settings.from_env(
        {**os.environ, "HF_HUB_DISABLE_PROGRESS_BARS": "1"},
        endpoint=url,
        cache_dir=cache,
        **overrides,
    )
    return Session(settings, lambda: connect(settings), CacheStore(settings.cache_dir))


def ref(name: str = NAME, revision: str | None = None, kind: str = "model") -> ModelRef:
    return ModelRef(repo=RepoId.parse(name, kind), revision=revision)


def asked(server: MirrorServer) -> list[str]:
    """The requests that were answered, redirect hops left out, short enough to read."""
    done = [request for request in server.requests if not 300 <= request.status < 400]
    server.forget()
    return [f"{r.method} {_short(r.path)}" for r in done]


def _short(path: str) -> str:
    bare = path.partition("?")[0]
    if bare.startswith("/content/"):
        return "content"
    _, _, rest = bare.partition("/resolve/")
    return rest.partition("/")[2] if rest else f"listing {bare.rsplit('/', 1)[1]}"


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


# what is asked


def test_a_cold_load_asks_for_one_listing_and_each_needed_file_once(hub, cache):
    session = new_process(hub.url, cache)

    session.files(ref(), TOKENIZER)
    files = session.files(ref(), TORCH)

    assert sorted(asked(hub)) == [
        "GET config.json",
        "GET content",
        "GET listing main",
        "GET tokenizer_config.json",
        "GET vocab.txt",
    ]
    assert files.path("model.safetensors").read_bytes() == WEIGHTS


def test_a_warm_load_by_branch_asks_once_whether_it_moved(hub, cache):
    new_process(hub.url, cache).files(ref(), BOTH)
    hub.forget()
    session = new_process(hub.url, cache)

    session.files(ref(), TOKENIZER)
    session.files(ref(), TORCH)

    assert asked(hub) == ["HEAD config.json"]


def test_a_warm_load_by_commit_asks_nothing(hub, cache):
    commit = new_process(hub.url, cache).files(ref(), BOTH).commit
    hub.forget()

    files = new_process(hub.url, cache).files(ref(revision=commit), BOTH)

    assert files.commit == commit
    assert asked(hub) == []


@pytest.mark.parametrize(
    ("refresh", "requests"), [("never", 0), ("60", 0), ("0", 1), ("always", 1)]
)
def test_the_refresh_policy_says_whether_a_cached_branch_is_asked_about(
    hub, cache, refresh, requests
):
    new_process(hub.url, cache).files(ref(), TOKENIZER)
    hub.forget()
    settings = {"HUBLOADER_REFRESH": refresh, "HF_ENDPOINT": hub.url, "HF_HUB_CACHE": str(cache)}
    read = Settings.from_env({**os.environ, **settings})

    Session(read, lambda: connect(read), CacheStore(cache)).files(ref(), TOKENIZER)

    assert len(asked(hub)) == requests


def test_refresh_always_asks_at_each_load_of_one_process(hub, cache):
    from hubloader.types import Refresh

    session = new_process(hub.url, cache, refresh=Refresh.ALWAYS)
    session.files(ref(), TOKENIZER)
    hub.forget()

    session.files(ref(), TOKENIZER)
    session.files(ref(), TOKENIZER)

    assert asked(hub) == ["HEAD config.json"] * 2


def test_a_branch_that_moved_costs_one_listing_and_the_files_that_changed(hub, root, cache):
    old = new_process(hub.url, cache).files(ref(), BOTH).commit
    (root / NAME / "vocab.txt").write_bytes(b"[PAD]\n[UNK]\nnew\n")
    hub.forget()

    files = new_process(hub.url, cache).files(ref(), BOTH)

    assert files.commit != old
    assert asked(hub) == ["HEAD config.json", "GET listing main", "GET vocab.txt"]
    assert files.path("vocab.txt").read_bytes().endswith(b"new\n")
    assert CacheStore(cache).read_ref(RepoId.parse(NAME), "main") == files.commit


@pytest.mark.parametrize("name", ["classifier", "old/name"])
def test_a_renamed_or_one_part_name_is_loaded_and_found_again(hub, cache, name):
    session = new_process(hub.url, cache)

    files = session.files(ref(name), TOKENIZER)

    assert "GET vocab.txt" in asked(hub)
    assert (cache / f"models--{name.replace('/', '--')}").is_dir()
    assert new_process(hub.url, cache).files(ref(name), TOKENIZER, mode=Mode.CACHE_ONLY)
    assert files.manifest.canonical == NAME


def test_a_repository_that_is_cached_under_its_canonical_name_is_not_fetched_again(hub, cache):
    new_process(hub.url, cache).files(ref(), BOTH)
    hub.forget()

    new_process(hub.url, cache).files(ref("classifier"), BOTH)

    assert not [request for request in asked(hub) if "content" in request or "vocab" in request]
    assert not (cache / "models--classifier").exists()


def test_tags_pull_requests_short_commits_and_nested_branches_are_revisions(hub, root, cache):
    for revision in ("v1.0", "refs%2Fpr%2F1", "team%2Fwork"):
        write_repo(root / f"{NAME}@{revision}", **{"vocab.txt": revision.encode()})
    session = new_process(hub.url, cache)

    for revision in ("v1.0", "refs/pr/1", "team/work"):
        files = session.files(ref(revision=revision), TOKENIZER)
        expected = revision.replace("/", "%2F").encode()
        assert files.path("vocab.txt").read_bytes() == expected

    short = files.commit[:10]
    offline = new_process(hub.url, cache).files(
        ref(revision=short), TOKENIZER, mode=Mode.CACHE_ONLY
    )
    assert offline.commit == files.commit


@pytest.mark.parametrize(("kind", "folder"), [("dataset", "datasets"), ("space", "spaces")])
def test_datasets_and_spaces_have_their_own_folders(hub, root, cache, kind, folder):
    write_repo(root / folder / NAME, **{"data/part.csv": b"a,b\n"})

    files = new_process(hub.url, cache).files(ref(kind=kind), Purpose(uses=frozenset({"all"})))

    assert files.path("data/part.csv").read_bytes() == b"a,b\n"
    assert (cache / f"{folder}--org--classifier").is_dir()


def test_a_subfolder_is_a_repository_of_its_own_to_its_loader(hub, root, cache):
    write_repo(root / NAME / "small", **{"vocab.txt": b"small\n"})

    files = new_process(hub.url, cache).files(
        ModelRef(repo=RepoId.parse(NAME), subfolder="small"),
        Purpose(uses=frozenset({"tokenizer"}), subfolder="small"),
    )

    assert files.path("vocab.txt").read_bytes() == b"small\n"
    assert files.names() == set(FILES) | {"model.safetensors"}


def test_a_repository_of_very_many_files_is_listed_by_pages(hub, root, cache):
    folder = root / "org" / "many"
    folder.mkdir()
    for number in range(5_001):
        (folder / f"{number:05}.txt").write_bytes(b"%d" % number)

    files = new_process(hub.url, cache).files(ref("org/many"), Purpose(exact=("04999.txt",)))

    assert len(files.names()) == 5_001
    assert asked(hub) == ["GET listing main"] + ["GET listing " + files.commit] * 6 + [
        "GET 04999.txt"
    ]


def test_what_was_not_wanted_is_brought_when_it_is_asked_for(hub, cache):
    files = new_process(hub.url, cache).files(ref(), TOKENIZER)
    hub.forget()

    assert files.exists("README.md")
    assert files.path("README.md").read_bytes() == FILES["README.md"]
    assert asked(hub) == ["GET README.md"]


def test_a_plan_tells_files_and_bytes_and_writes_nothing(hub, cache):
    plan = new_process(hub.url, cache).plan(ref(), BOTH)

    assert [file.filename for file in plan.downloads] == [
        "config.json",
        "model.safetensors",
        "tokenizer_config.json",
        "vocab.txt",
    ]
    sizes = [len(FILES[name]) for name in ("config.json", "tokenizer_config.json", "vocab.txt")]
    assert plan.fetch_bytes == len(WEIGHTS) + sum(sizes)
    assert not cache.exists()
    assert asked(hub) == ["GET listing main"]


def test_shards_that_only_the_index_names_are_brought(hub, root, cache):
    shards = {"a.safetensors": b"one", "b.safetensors": b"two"}
    index = json.dumps({"weight_map": {"x": "a.safetensors", "y": "b.safetensors"}}).encode()
    folder = write_repo(root / "org/sharded", **shards, **{"model.safetensors.index.json": index})
    (folder / "model.safetensors").unlink()

    new_process(hub.url, cache).files(ref("org/sharded"), TORCH)
    hub.forget()
    offline = new_process(hub.url, cache).files(ref("org/sharded"), TORCH, mode=Mode.CACHE_ONLY)

    assert offline.path("b.safetensors").read_bytes() == b"two"
    assert asked(hub) == []


# mirrors that know less than the Hub


@web.middleware
async def lists_nothing(request: web.Request, handler):
    if request.path.startswith("/api/"):
        return web.Response(status=404, text="Not Found")
    return await handler(request)


@web.middleware
async def says_no_commit(request: web.Request, handler):
    if request.path.startswith("/api/"):
        return web.Response(status=404, text="Not Found")
    answer = await handler(request)
    answer.headers.popall("X-Repo-Commit", None)
    return answer


def test_an_endpoint_that_lists_nothing_is_asked_file_by_file(root, cache):
    with MirrorServer(root, record=True, middlewares=[lists_nothing]) as hub:
        files = new_process(hub.url, cache).files(ref(), TORCH)
        requests = asked(hub)

    assert files.path("model.safetensors").read_bytes() == WEIGHTS
    assert requests.count("HEAD config.json") == 1
    fetched = [r for r in requests if r.startswith("GET") and "listing" not in r]
    assert sorted(fetched) == ["GET config.json", "GET content"]


def test_one_file_of_an_endpoint_that_lists_nothing_costs_one_head(root, cache):
    with MirrorServer(root, record=True, middlewares=[lists_nothing]) as hub:
        new_process(hub.url, cache).files(ref(), Purpose(exact=("vocab.txt",)))
        requests = asked(hub)
        new_process(hub.url, cache).files(ref(), Purpose(exact=("vocab.txt",)))
        again = asked(hub)

    assert requests == ["GET listing main", "HEAD vocab.txt", "GET vocab.txt"]
    assert again == ["HEAD config.json"]


def test_an_endpoint_that_says_no_commit_works_with_a_full_commit(root, cache, tmp_path):
    with MirrorServer(root) as plain:
        commit = new_process(plain.url, tmp_path / "other").files(ref(), TOKENIZER).commit
    with MirrorServer(root, middlewares=[says_no_commit]) as hub:
        files = new_process(hub.url, cache).files(ref(revision=commit), TOKENIZER)
        with pytest.raises(CacheMiss, match="does not say which commit") as failure:
            new_process(hub.url, cache).files(ref(), TOKENIZER)

    assert files.path("vocab.txt").read_bytes() == FILES["vocab.txt"]
    assert "full commit" in (failure.value.hint or "")


# what can go wrong


def test_an_unknown_repository_revision_or_file_is_said_to_be_so(hub, cache):
    session = new_process(hub.url, cache)

    with pytest.raises(RepositoryNotFound, match="org/nobody"):
        session.files(ref("org/nobody"), TOKENIZER)
    with pytest.raises(RevisionNotFound, match="no-such-branch"):
        session.files(ref(revision="no-such-branch"), TOKENIZER)
    with pytest.raises(EntryNotFound, match=r"vocab\.text") as failure:
        session.files(ref(), Purpose(exact=("vocab.text",)))

    assert failure.value.hint == "it has vocab.txt"
    assert failure.value.repo_id == NAME


def test_offline_everything_that_is_missing_is_named_at_once(hub, cache):
    new_process(hub.url, cache).files(ref(), Purpose(exact=("README.md",)))
    hub.forget()

    with pytest.raises(CacheMiss) as failure:
        new_process(hub.url, cache).files(ref(), BOTH, mode=Mode.CACHE_ONLY)

    assert failure.value.missing == (
        "config.json",
        "model.safetensors",
        "tokenizer_config.json",
        "vocab.txt",
    )
    assert failure.value.exit_code == 6
    assert asked(hub) == []


def test_offline_with_nothing_cached_is_a_miss(hub, cache):
    with pytest.raises(CacheMiss, match="not in the cache"):
        new_process(hub.url, cache).files(ref(), TOKENIZER, mode=Mode.CACHE_ONLY)

    assert not cache.exists()


def test_a_hub_that_is_gone_leaves_the_cached_revision_with_one_warning(root, cache):
    with MirrorServer(root) as hub:
        commit = new_process(hub.url, cache).files(ref(), BOTH).commit
    session = new_process(hub.url, cache)

    with pytest.warns(UserWarning, match="used as cached"):
        files = session.files(ref(), TOKENIZER)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        session.files(ref(), TORCH)

    assert files.commit == commit
    assert files.manifest.stale


def test_a_hub_that_is_gone_and_nothing_cached_is_a_miss_from_the_network(root, cache):
    with MirrorServer(root) as hub:
        pass

    with pytest.raises(CacheMiss, match="gave no usable answer") as failure:
        new_process(hub.url, cache, retry_budget=0.0).files(ref(), TOKENIZER)

    assert failure.value.exit_code == 75
    assert failure.value.__cause__ is not None


def test_a_stale_revision_that_lacks_files_is_a_miss_from_the_network(root, cache):
    with MirrorServer(root) as hub:
        new_process(hub.url, cache).files(ref(), TOKENIZER)

    with pytest.warns(UserWarning, match="as cached"), pytest.raises(CacheMiss) as failure:
        new_process(hub.url, cache).files(ref(), TORCH)

    assert failure.value.missing == ("model.safetensors",)
    assert not failure.value.offline


@pytest.mark.parametrize("status", [400, 404, 500])
def test_one_repository_that_fails_keeps_no_other_from_being_asked_about(root, cache, status):
    @web.middleware
    async def breaks_one(request: web.Request, handler):
        if "/org/broken/" in request.path:
            return web.Response(status=status)
        return await handler(request)

    with MirrorServer(root, record=True, middlewares=[breaks_one]) as hub:
        new_process(hub.url, cache).files(ref(), TOKENIZER)
        session = new_process(hub.url, cache, retry_budget=0.0)
        with pytest.raises(CacheMiss):
            session.files(ref("org/broken"), TOKENIZER)
        hub.forget()

        session.files(ref(), TOKENIZER)

        assert asked(hub) == ["HEAD config.json"]


def test_a_deleted_repository_stays_usable_and_refresh_always_says_so(hub, root, cache):
    from hubloader.types import Refresh

    new_process(hub.url, cache).files(ref(), TOKENIZER)
    shutil.rmtree(root / NAME)

    with pytest.warns(UserWarning, match="used as cached"):
        new_process(hub.url, cache).files(ref(), TOKENIZER)
    with pytest.raises(RepositoryNotFound):
        new_process(hub.url, cache, refresh=Refresh.ALWAYS).files(ref(), TOKENIZER)
    with pytest.raises(RepositoryNotFound):
        new_process(hub.url, cache).files(ref(), TOKENIZER, mode=Mode.FORCE)


def test_a_forced_load_fetches_what_is_cached_again(hub, cache):
    new_process(hub.url, cache).files(ref(), TOKENIZER)
    hub.forget()

    new_process(hub.url, cache).files(ref(), TOKENIZER, mode=Mode.FORCE)

    assert len(asked(hub)) == 4


# bytes


class Tampering:
    """Changes the body of the first answers about a file."""

    def __init__(self, filename: str, times: int, change) -> None:
        self.filename, self.times, self.change = filename, times, change

    def middleware(self):
        @web.middleware
        async def tamper(request: web.Request, handler):
            if self.filename not in request.path or request.method != "GET" or self.times <= 0:
                return await handler(request)
            self.times -= 1
            return self.change()

        return tamper


def test_bytes_that_do_not_match_are_thrown_away_and_fetched_once_more(root, cache):
    wrong = Tampering("vocab.txt", 1, lambda: web.Response(body=b"[PAD]\n[XXX]\n"))
    with MirrorServer(root, record=True, middlewares=[wrong.middleware()]) as hub:
        files = new_process(hub.url, cache).files(ref(), TOKENIZER)

        assert files.path("vocab.txt").read_bytes() == FILES["vocab.txt"]
        assert asked(hub).count("GET vocab.txt") == 2


@pytest.mark.parametrize("body", [b"[PAD]\n[XXX]\n", FILES["vocab.txt"] + b"more"])
def test_bytes_that_never_match_are_an_error_and_get_no_name(root, cache, body):
    wrong = Tampering("vocab.txt", 99, lambda: web.Response(body=body))
    with (
        MirrorServer(root, middlewares=[wrong.middleware()]) as hub,
        pytest.raises(IntegrityError) as failure,
    ):
        new_process(hub.url, cache).files(ref(), TOKENIZER)

    assert failure.value.expected
    assert failure.value.actual
    assert failure.value.filename == "vocab.txt"
    assert not list(cache.glob("*/snapshots/*/vocab.txt"))
    assert not (cache / "models--org--classifier" / "refs" / "main").exists()
    assert [path for path in cache.glob("*/snapshots/*/*") if path.name == "config.json"]


def test_files_that_fail_do_not_stop_the_others_and_each_is_reported(root, cache):
    def refuse():
        return web.Response(status=500)

    faults = [Tampering(name, 99, refuse) for name in ("vocab.txt", "README.md")]
    with (
        MirrorServer(root, middlewares=[fault.middleware() for fault in faults]) as hub,
        pytest.raises(ServerFailed, match=r"2 files could not be fetched") as failure,
    ):
        new_process(hub.url, cache, retry_budget=0.0).files(ref(), Purpose())

    assert {error.filename for error in failure.value.failures} == {"vocab.txt", "README.md"}
    kept = {path.name for path in cache.glob("*/snapshots/*/*")}
    assert kept == {*FILES, "model.safetensors"} - {"vocab.txt", "README.md"}


def test_a_large_file_comes_in_parallel_ranges(hub, root, cache):
    large = os.urandom(2**20) * 40
    write_repo(root / "org/large", **{"model.safetensors": large})

    files = new_process(hub.url, cache).files(ref("org/large"), TORCH)

    ranges = [r.headers["range"] for r in hub.requests if "range" in r.headers]
    assert len(set(ranges)) >= 4
    assert sha256(files.path("model.safetensors")) == hashlib.sha256(large).hexdigest()


def test_a_server_that_ignores_ranges_is_read_as_a_whole(root, cache):
    large = os.urandom(2**20) * 33
    write_repo(root / "org/large", **{"model.safetensors": large})

    @web.middleware
    async def no_ranges(request: web.Request, handler):
        bare = request.headers.copy()
        bare.popall("Range", None)
        return await handler(request.clone(headers=bare))

    with MirrorServer(root, middlewares=[no_ranges]) as hub:
        files = new_process(hub.url, cache).files(ref("org/large"), TORCH)

    assert sha256(files.path("model.safetensors")) == hashlib.sha256(large).hexdigest()


def test_a_stream_that_breaks_goes_on_where_it_stopped(root, cache):
    content = os.urandom(10 * 2**20)
    write_repo(root / "org/cut", **{"model.safetensors": content})
    seen: list[str | None] = []

    @web.middleware
    async def cut(request: web.Request, handler):
        if not request.path.startswith("/content/"):
            return await handler(request)
        wanted = request.headers.get("Range")
        seen.append(wanted)
        start = 0 if wanted is None else int(wanted.removeprefix("bytes=").partition("-")[0])
        answer = web.StreamResponse(status=200 if wanted is None else 206)
        answer.content_length = len(content) - start
        if wanted is not None:
            answer.headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        await answer.prepare(request)
        await answer.write(content[start : start + 3 * 2**20])
        if start + 3 * 2**20 < len(content):
            request.transport.abort()
        return answer

    with MirrorServer(root, middlewares=[cut]) as hub:
        files = new_process(hub.url, cache).files(ref("org/cut"), TORCH)

    assert files.path("model.safetensors").read_bytes() == content
    assert seen[0] is None
    starts = [int(each.removeprefix("bytes=").partition("-")[0]) for each in seen[1:] if each]
    assert starts == sorted(starts)
    assert len(seen) <= 8


def test_a_damaged_content_is_healed_from_the_hub_and_missed_offline(hub, cache):
    files = new_process(hub.url, cache).files(ref(), TOKENIZER)
    blob = files.path("vocab.txt").resolve()
    damage(blob)

    with pytest.raises(CacheMiss, match=r"vocab\.txt"):
        new_process(hub.url, cache).files(ref(), TOKENIZER, mode=Mode.CACHE_ONLY)
    hub.forget()
    healed = new_process(hub.url, cache).files(ref(), TOKENIZER)

    assert healed.path("vocab.txt").read_bytes() == FILES["vocab.txt"]
    assert asked(hub) == ["HEAD config.json", "GET vocab.txt"]


def damage(blob: Path) -> None:
    overwrite(blob, b"x" * len(FILES["vocab.txt"]))


def test_sessions_that_ask_at_once_cause_one_download(hub, cache):
    sessions = [new_process(hub.url, cache) for _ in range(4)]
    start = threading.Barrier(len(sessions))
    errors: list[BaseException] = []

    def load(session: Session) -> None:
        try:
            start.wait()
            session.files(ref(), BOTH)
        except BaseException as error:  # noqa: BLE001 - reported below
            errors.append(error)

    threads = [threading.Thread(target=load, args=(session,)) for session in sessions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert errors == []
    requests = asked(hub)
    for name in ("content", "vocab.txt", "tokenizer_config.json"):
        assert requests.count(f"GET {name}") == 1


def test_two_names_of_one_content_are_fetched_once(hub, root, cache):
    write_repo(root / "org/twins", **{"copy.safetensors": WEIGHTS})

    files = new_process(hub.url, cache).files(ref("org/twins"), Purpose(include=("*.safetensors",)))

    assert asked(hub).count("GET content") == 1
    assert files.path("copy.safetensors").read_bytes() == WEIGHTS


def test_a_program_is_told_of_the_progress(hub, cache):
    events = []

    new_process(hub.url, cache).files(ref(), TOKENIZER, progress=events.append)

    assert (events[0].step, events[-1].step) == (Step.BEGIN, Step.END)
    done = [event.filename for event in events if event.step is Step.DONE]
    assert sorted(done) == ["config.json", "tokenizer_config.json", "vocab.txt"]
    assert events[-1].total_done == events[-1].total
