"""How often the Hub is asked, counted at the Hub: issue by issue, the whole table.

Redirect hops are left out of the counts, as everywhere; where they matter they are counted apart.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiohttp import web

from hubloader import AutoTokenizer, NpAutoModelForSequenceClassification
from hubloader.auto import source
from hubloader.auto.downloads import hf_hub_download, snapshot_download
from hubloader.auto.source import connect
from hubloader.cache.store import CacheStore
from hubloader.errors import CacheMiss
from hubloader.mirror import MirrorServer
from hubloader.resolve.session import Session
from hubloader.settings import Settings
from hubloader.types import ModelRef, Purpose, RepoId

NAME = "org/model"
TOKENIZER_FILES = {"tokenizer.json", "tokenizer_config.json"}
MODEL_FILES = {"config.json", "model.safetensors"}
NEEDED = TOKENIZER_FILES | MODEL_FILES
FILES = {
    "README.md": b"# a model\n",
    "config.json": b'{"model_type": "distilbert"}',
    "model.safetensors": os.urandom(5_000),
    "pytorch_model.bin": b"not needed for safetensors",
    "tf_model.h5": b"not needed for PyTorch",
    "tokenizer.json": b"{}",
    "tokenizer_config.json": b'{"do_lower_case": true}',
}
TOKENIZER = Purpose(uses=frozenset({"tokenizer"}))
TORCH = Purpose(uses=frozenset({"torch"}))
BOTH = Purpose(uses=frozenset({"tokenizer", "torch"}))
ALL = Purpose(uses=frozenset({"all"}))


@dataclass(frozen=True)
class Case:
    """What is loaded."""

    name: str = NAME
    revision: str | None = None
    kind: str = "model"
    subfolder: str = ""

    def ref(self, revision: str | None = None) -> ModelRef:
        repo = RepoId.parse(self.name, self.kind)
        return ModelRef(repo, revision=revision or self.revision, subfolder=self.subfolder)


CASES = {
    "a branch by default": Case(),
    "a branch": Case(revision="work"),
    "a branch with a slash": Case(revision="team/work"),
    "a tag": Case(revision="v1.0"),
    "a pull request": Case(revision="refs/pr/7"),
    "a one-part name": Case("legacy"),
    "a renamed repository": Case("old/name"),
    "a subfolder": Case(subfolder="small"),
    "a dataset": Case(kind="dataset"),
    "a space": Case(kind="space"),
}


def write(folder: Path, prefix: str = "") -> None:
    for filename, content in FILES.items():
        path = folder / prefix / filename
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("hub")
    for revision in ("", "@work", "@team%2Fwork", "@v1.0", "@refs%2Fpr%2F7"):
        write(root / f"{NAME}{revision}")
    write(root / NAME, "small")
    write(root / "datasets" / NAME)
    write(root / "spaces" / NAME)
    many = root / "org" / "many"
    many.mkdir()
    for number in range(10_000):
        (many / f"{number:05}.txt").write_bytes(b"%d" % (number % 7))
    (root / "hub.json").write_text(
        json.dumps({"aliases": {"legacy": NAME, "old/name": NAME}, "tags": {NAME: ["v1.0"]}})
    )
    return root


@pytest.fixture(scope="module")
def running(root: Path) -> Iterator[MirrorServer]:
    with MirrorServer(root, record=True) as server:
        yield server


@pytest.fixture
def hub(running: MirrorServer) -> MirrorServer:
    running.forget()
    return running


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def new_process(url: str, cache: Path) -> Session:
    """A session as a new process has it."""
    settings = Settings.from_env(
        {**os.environ, "HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_ENDPOINT": url}, cache_dir=cache
    )
    return Session(settings, lambda: connect(settings), CacheStore(cache))


def asked(server: MirrorServer) -> Counter[str]:
    """The requests since the last call, by what they were about; redirect hops left out."""
    requests = [each for each in server.requests if not 300 <= each.status < 400]
    server.forget()
    return Counter(f"{each.method} {_about(each.path)}" for each in requests)


def _about(path: str) -> str:
    bare = path.partition("?")[0]
    if bare.startswith("/content/"):
        return "model.safetensors"
    if "/resolve/" in bare:
        return bare.rpartition("/")[2]
    return "listing" if "/revision/" in bare or "/tree/" in bare else bare


def once(filenames: set[str]) -> Counter[str]:
    return Counter({f"GET {name}": 1 for name in filenames})


LISTING = Counter({"GET listing": 1})


# Cold, warm by branch, warm by commit


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_cold_load_is_one_listing_and_each_needed_file(hub, cache, case):
    new_process(hub.url, cache).files(case.ref(), BOTH)

    assert asked(hub) == LISTING + once(NEEDED)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_warm_load_asks_at_most_once_and_by_commit_never(hub, cache, case):
    commit = new_process(hub.url, cache).files(case.ref(), BOTH).commit
    hub.forget()

    new_process(hub.url, cache).files(case.ref(), BOTH)
    by_branch = asked(hub)
    new_process(hub.url, cache).files(case.ref(commit), BOTH)
    by_commit = asked(hub)

    assert by_branch == Counter({"HEAD config.json": 1})
    assert by_commit == Counter()


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_tokenizer_and_model_of_one_process_share_one_listing(hub, cache, case):
    cold = new_process(hub.url, cache)
    cold.files(case.ref(), TOKENIZER)
    cold.files(case.ref(), TORCH)
    when_cold = asked(hub)

    warm = new_process(hub.url, cache)
    warm.files(case.ref(), TOKENIZER)
    warm.files(case.ref(), TORCH)

    assert when_cold == LISTING + once(NEEDED)
    assert asked(hub).total() == 1


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_offline_asks_nobody(hub, cache, case):
    from hubloader.types import Mode

    new_process(hub.url, cache).files(case.ref(), BOTH)
    hub.forget()

    new_process(hub.url, cache).files(case.ref(), BOTH, mode=Mode.CACHE_ONLY)

    assert asked(hub) == Counter()


def test_a_second_use_fetches_what_it_lacks_and_lists_nothing_again(hub, cache):
    new_process(hub.url, cache).files(CASES["a branch"].ref(), TOKENIZER)
    hub.forget()

    new_process(hub.url, cache).files(CASES["a branch"].ref(), TORCH)

    assert asked(hub) == Counter({"HEAD config.json": 1}) + once(MODEL_FILES - {"config.json"})


@pytest.mark.parametrize("length", [7, 10, 39])
def test_a_short_commit_is_listed_once(hub, cache, length, tmp_path):
    commit = new_process(hub.url, tmp_path / "other").files(Case().ref(), TOKENIZER).commit
    hub.forget()

    new_process(hub.url, cache).files(Case().ref(commit[:length]), BOTH)
    cold = asked(hub)
    new_process(hub.url, cache).files(Case().ref(commit[:length]), BOTH)

    assert cold == LISTING + once(NEEDED)
    assert asked(hub).total() <= 1


def test_a_full_commit_is_listed_once_and_never_again(hub, cache, tmp_path):
    commit = new_process(hub.url, tmp_path / "other").files(Case().ref(), TOKENIZER).commit
    hub.forget()

    new_process(hub.url, cache).files(Case().ref(commit), BOTH)
    cold = asked(hub)
    new_process(hub.url, cache).files(Case().ref(commit), BOTH)

    assert cold == LISTING + once(NEEDED)
    assert asked(hub) == Counter()


def test_a_redirect_is_taken_for_each_lfs_file_and_no_other(hub, cache):
    new_process(hub.url, cache).files(Case().ref(), BOTH)

    redirects = [request for request in hub.requests if 300 <= request.status < 400]
    assert [request.path.rpartition("/")[2] for request in redirects] == ["model.safetensors"]


def test_ten_thousand_files_are_listed_by_ten_pages(hub, cache):
    many = ModelRef(RepoId.parse("org/many"))

    files = new_process(hub.url, cache).files(many, Purpose(exact=("09999.txt",)))
    cold = asked(hub)
    new_process(hub.url, cache).files(many, Purpose(exact=("09999.txt",)))
    warm = asked(hub)
    new_process(hub.url, cache).files(
        ModelRef(many.repo, revision=files.commit), Purpose(exact=("09999.txt",))
    )

    assert len(files.names()) == 10_000
    assert cold == Counter({"GET listing": 11, "GET 09999.txt": 1})
    assert warm.total() == 1
    assert asked(hub) == Counter()


# Through the front doors


def forget_sessions() -> None:
    """What a new process does not know."""
    source._SESSIONS.clear()
    source._REACHABILITY.clear()


def test_the_auto_classes_share_one_listing(fixture_hub, cache):
    name = "fixtures/bert-tiny-sentiment"
    with MirrorServer(fixture_hub, record=True) as hub:
        where = {"endpoint": hub.url, "cache_dir": cache}
        forget_sessions()
        AutoTokenizer.from_pretrained(name, **where)
        NpAutoModelForSequenceClassification.from_pretrained(name, **where)
        cold = asked(hub)
        forget_sessions()
        AutoTokenizer.from_pretrained(name, **where)
        NpAutoModelForSequenceClassification.from_pretrained(name, **where)
        warm = asked(hub)

    assert cold == LISTING + once(NEEDED)
    assert warm.total() == 1


def test_shards_are_fetched_once_each_and_the_whole_file_is_not_asked_for(fixture_hub, cache):
    name = "fixtures/bert-tiny-sharded"
    with MirrorServer(fixture_hub, record=True) as hub:
        forget_sessions()
        NpAutoModelForSequenceClassification.from_pretrained(
            name, endpoint=hub.url, cache_dir=cache
        )
        cold = asked(hub)
        forget_sessions()
        NpAutoModelForSequenceClassification.from_pretrained(
            name, endpoint=hub.url, cache_dir=cache
        )
        warm = asked(hub)

    shards = {f"model-0000{number}-of-00003.safetensors" for number in (1, 2, 3)}
    assert cold["GET listing"] == 1
    assert sum(cold.values()) == 1 + 1 + 1 + len(shards)  # listing, config, index, shards
    assert set(cold.values()) == {1} or cold["GET model.safetensors"] == len(shards)
    assert warm.total() == 1


def test_a_single_file_costs_one_listing_and_one_get_and_then_one_question(hub, cache):
    forget_sessions()
    hf_hub_download(NAME, "tokenizer.json", endpoint=hub.url, cache_dir=cache)
    cold = asked(hub)
    forget_sessions()
    hf_hub_download(NAME, "tokenizer.json", endpoint=hub.url, cache_dir=cache)

    assert cold == LISTING + once({"tokenizer.json"})
    assert asked(hub).total() == 1


def test_a_snapshot_costs_one_listing_and_each_file(hub, cache):
    forget_sessions()
    snapshot_download(NAME, revision="work", endpoint=hub.url, cache_dir=cache)
    cold = asked(hub)
    forget_sessions()
    snapshot_download(NAME, revision="work", endpoint=hub.url, cache_dir=cache)

    regular = {name for name in FILES if "model." not in name}
    assert cold == LISTING + once(regular) + Counter({"GET model.safetensors": 3})  # those of LFS
    assert asked(hub).total() == 1


# Mirrors that know less


@web.middleware
async def lists_nothing(request: web.Request, handler):
    if request.path.startswith("/api/"):
        return web.Response(status=404, text="Not Found")
    return await handler(request)


@web.middleware
async def says_no_commit(request: web.Request, handler):
    answer = await handler(request)
    answer.headers.popall("X-Repo-Commit", None)
    return answer


@web.middleware
async def lists_names_only(request: web.Request, handler):
    if "/tree/" in request.path:
        return web.Response(status=404, text="Not Found")
    answer = await handler(request)
    if "/revision/" not in request.path:
        return answer
    listing = json.loads(answer.body)
    listing["siblings"] = [{"rfilename": each["rfilename"]} for each in listing["siblings"]]
    return web.json_response(listing)


def bytes_asked(requests: Counter[str]) -> Counter[str]:
    return Counter({what: count for what, count in requests.items() if what.startswith("GET ")})


@pytest.fixture
def mirror(root: Path, request: pytest.FixtureRequest) -> Iterator[MirrorServer]:
    with MirrorServer(root, record=True, middlewares=request.param) as server:
        yield server


def commit_of(hub: MirrorServer, cache: Path) -> str:
    commit = new_process(hub.url, cache).files(Case().ref(), TOKENIZER).commit
    hub.forget()
    return commit


only_files = pytest.mark.parametrize("mirror", [[lists_nothing]], indirect=True)
no_commits = pytest.mark.parametrize(
    "mirror", [[says_no_commit], [says_no_commit, lists_nothing]], indirect=True
)
names_only = pytest.mark.parametrize("mirror", [[lists_names_only]], indirect=True)


@only_files
def test_a_mirror_that_lists_nothing_is_asked_once_about_each_name(mirror, cache):
    new_process(mirror.url, cache).files(Case().ref(), BOTH)

    requests = asked(mirror)
    assert set(requests.values()) == {1}
    got = {what.removeprefix("GET ") for what in bytes_asked(requests)}
    assert got - {f"/api/models/{NAME}/revision/main", "listing"} == NEEDED


@only_files
@pytest.mark.parametrize("purpose", [Purpose(exact=("README.md",)), BOTH, TOKENIZER, TORCH])
def test_a_mirror_that_lists_nothing_is_asked_once_when_all_is_cached(mirror, cache, purpose):
    commit = new_process(mirror.url, cache).files(Case().ref(), purpose).commit
    mirror.forget()

    new_process(mirror.url, cache).files(Case().ref(), purpose)
    by_branch = asked(mirror)
    new_process(mirror.url, cache).files(Case().ref(commit), purpose)

    assert by_branch.total() == 1
    assert asked(mirror) == Counter()


@no_commits
def test_a_mirror_that_says_no_commits_works_by_commit(mirror, hub, cache, tmp_path):
    commit = commit_of(hub, tmp_path / "other")

    new_process(mirror.url, cache).files(Case().ref(commit), BOTH)
    cold = asked(mirror)
    new_process(mirror.url, cache).files(Case().ref(commit), BOTH)

    assert {what: n for what, n in cold.items() if n > 1} == {}
    assert set(bytes_asked(cold)) - {"GET listing"} == set(once(NEEDED))
    assert asked(mirror) == Counter()


@names_only
def test_a_mirror_that_lists_names_is_asked_about_the_needed_files_alone(mirror, cache):
    new_process(mirror.url, cache).files(Case().ref(), BOTH)
    cold = asked(mirror)

    # that of an LFS file ends at its redirect, and redirects are not counted
    heads = Counter({f"HEAD {name}": 1 for name in NEEDED if name != "model.safetensors"})
    tree_refused = Counter({"GET listing": 2})
    assert cold == tree_refused + heads + once(NEEDED)


@names_only
def test_a_mirror_that_lists_names_is_asked_once_when_all_is_cached(mirror, cache):
    new_process(mirror.url, cache).files(Case().ref(), BOTH)
    mirror.forget()

    new_process(mirror.url, cache).files(Case().ref(), BOTH)

    assert asked(mirror).total() == 1


@pytest.mark.parametrize("count", [1, 3])
def test_each_question_repeated_in_one_process_is_asked_once(hub, cache, count):
    session = new_process(hub.url, cache)
    load: Callable[[], object] = lambda: session.files(Case().ref(), BOTH)  # noqa: E731  repeated

    load()
    cold = asked(hub)
    for _ in range(count):
        load()

    assert cold == LISTING + once(NEEDED)
    assert asked(hub) == Counter()


@only_files
@pytest.mark.parametrize(
    "purpose",
    [
        Purpose(),
        Purpose(uses=frozenset({"all"})),
        Purpose(uses=frozenset({"all"}), include=("*.json",)),
        Purpose(uses=TOKENIZER.uses, include=("onnx/",)),
    ],
)
def test_a_mirror_that_lists_nothing_gives_no_part_for_the_whole(mirror, cache, purpose):
    with pytest.raises(CacheMiss, match="lists no files"):
        new_process(mirror.url, cache).files(Case().ref(), purpose)
    with pytest.raises(CacheMiss, match="lists no files"):
        new_process(mirror.url, cache).plan(Case().ref(), purpose)

    assert list(cache.glob("*/snapshots/*")) == []


@only_files
def test_files_that_patterns_name_in_full_come_from_a_mirror_that_lists_nothing(mirror, cache):
    purpose = Purpose(uses=frozenset({"all"}), include=("README.md", "no-such.txt"))

    files = new_process(mirror.url, cache).files(Case().ref(), purpose)

    assert {name for name in files.names() if name in {"README.md", "no-such.txt"}} == {"README.md"}
    assert [path.name for path in cache.glob("*/snapshots/*/*")] == ["README.md"]
