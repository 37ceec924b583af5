from __future__ import annotations

import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from hubloader.errors import InvalidReference
from hubloader.hub.urls import HubUrls, Route, parse_route
from hubloader.types import RepoId

HUB = HubUrls("https://hub.example/")
MODEL = RepoId.parse("org/name")
LEGACY = RepoId.parse("gpt2")
DATASET = RepoId.parse("org/data", "dataset")
SPACE = RepoId.parse("org/app", "space")


@pytest.mark.parametrize(
    ("built", "expected"),
    [
        (HUB.info(MODEL, "main"), "/api/models/org/name/revision/main?blobs=true"),
        (HUB.info(LEGACY, "main", blobs=False), "/api/models/gpt2/revision/main"),
        (
            HUB.info(DATASET, "refs/pr/1"),
            "/api/datasets/org/data/revision/refs%2Fpr%2F1?blobs=true",
        ),
        (HUB.tree(MODEL, "v1"), "/api/models/org/name/tree/v1?recursive=true&expand=false"),
        (
            HUB.tree(SPACE, "v1", "a b/c", recursive=False),
            "/api/spaces/org/app/tree/v1/a%20b%2Fc?recursive=false&expand=false",
        ),
        (
            HUB.resolve(MODEL, "refs/pr/1", "a/b c.txt"),
            "/org/name/resolve/refs%2Fpr%2F1/a/b%20c.txt",
        ),
        (
            HUB.resolve(DATASET, "main", "x#?%.txt"),
            "/datasets/org/data/resolve/main/x%23%3F%25.txt",
        ),
        (HUB.resolve(SPACE, "main", "é"), "/spaces/org/app/resolve/main/%C3%A9"),
        (HUB.refs(MODEL), "/api/models/org/name/refs"),
        (HUB.refs(MODEL, pull_requests=True), "/api/models/org/name/refs?include_prs=1"),
        (HUB.paths_info(MODEL, "main"), "/api/models/org/name/paths-info/main"),
        (HUB.whoami(), "/api/whoami-v2"),
        (HUB.page(DATASET), "/datasets/org/data"),
    ],
)
def test_addresses_are_the_hubs(built, expected):
    assert built == f"https://hub.example{expected}"


def test_an_endpoint_may_have_a_path_of_its_own():
    mirror = HubUrls("https://host/artifactory/api/hf/")
    url = mirror.resolve(MODEL, "main", "config.json")

    assert url == "https://host/artifactory/api/hf/org/name/resolve/main/config.json"
    assert mirror.route(url) == Route("resolve", MODEL, "main", "config.json")
    assert mirror.route("https://host/org/name/resolve/main/config.json") is None


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/api/models/org/name", Route("info", MODEL)),
        ("/api/models/gpt2", Route("info", LEGACY)),
        ("/api/models/gpt2/revision/v1", Route("info", LEGACY, "v1")),
        ("/api/models/org/tree/revision/main", Route("info", RepoId.parse("org/tree"))),
        ("/api/models/org/name/revision/refs/pr/1", Route("info", MODEL, "refs/pr/1")),
        ("/api/models/org/name/tree/refs%2Fpr%2F1/a%2Fb", Route("tree", MODEL, "refs/pr/1", "a/b")),
        ("/api/models/org/name/tree/main/a/b/", Route("tree", MODEL, "main", "a/b")),
        ("/api/datasets/org/data/tree/main?recursive=true", Route("tree", DATASET)),
        ("/api/models/gpt2/refs", Route("refs", LEGACY)),
        ("/api/models/org/name/refs?include_prs=1", Route("refs", MODEL)),
        ("/api/spaces/org/app/paths-info/v1", Route("paths-info", SPACE, "v1")),
        ("/api/whoami-v2", Route("whoami")),
        ("/gpt2/resolve/main/config.json", Route("resolve", LEGACY, "main", "config.json")),
        ("/gpt2/resolve/resolve/a", Route("resolve", LEGACY, "resolve", "a")),
        ("/org/name/resolve/refs/pr/1/a/b", Route("resolve", MODEL, "refs/pr/1", "a/b")),
        ("/org/name/resolve/refs/a", Route("resolve", MODEL, "refs", "a")),
        ("/datasets/org/data/resolve/main/x", Route("resolve", DATASET, "main", "x")),
    ],
)
def test_paths_are_understood(path, route):
    assert parse_route(path) == route


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/org/name",
        "/org/name/resolve/main",
        "/org/name/blob/main/x",
        "/api/models",
        "/api/papers/1",
        "/api/models/org/name/revision",
        "/api/models/org/name/revision/main/x",
        "/api/models/org/name/refs/more",
        "/api/models/org/name/unknown/main",
    ],
)
def test_other_paths_are_no_route(path):
    assert parse_route(path) is None


@pytest.mark.parametrize(
    "path",
    [
        "/org/name/resolve/main/../x",
        "/org/name/resolve/main/%2e%2e/x",
        "/org/name/resolve/main/a%2F..%2F..%2Fx",
        "/org/name/resolve/..%2F..%2Fx/a",
        "/org/name/resolve/main/%FF",
        "/or%2Fg/name/resolve/main/x",
        "/%2e%2e/name/resolve/main/x",
        "/api/models/org/na--me/revision/main",
    ],
)
def test_a_route_with_a_name_that_cannot_be_one_is_refused(path):
    with pytest.raises(InvalidReference):
        parse_route(path)


_WINDOWS = re.compile(r"(?i)(^|/)(con|prn|aux|nul|com\d|lpt\d)(/|$)")
REPO_PART = st.from_regex(r"[A-Za-z0-9]{1,8}", fullmatch=True)
WORD = st.text(st.characters(blacklist_categories=["C", "Z"], blacklist_characters='/\\:"~^?*[.@'))
NAME = st.lists(WORD.filter(lambda w: 0 < len(w) < 20), min_size=1, max_size=3).map("/".join)


@given(
    owner=REPO_PART | st.none(),
    name=REPO_PART,
    kind=st.sampled_from(["model", "dataset", "space"]),
    revision=st.from_regex(r"[A-Za-z0-9]{1,8}(/[A-Za-z0-9]{1,8}){0,2}", fullmatch=True),
    filename=NAME,
)
def test_what_is_built_is_understood(owner, name, kind, revision, filename):
    repo = RepoId(owner, name, kind)
    assume(not _WINDOWS.search(filename))
    url = HUB.resolve(repo, revision, filename)
    assert HUB.route(url) == Route("resolve", repo, revision, filename)
    assert HUB.route(HUB.info(repo, revision)) == Route("info", repo, revision)
    assert HUB.route(HUB.tree(repo, revision)) == Route("tree", repo, revision)
    assert HUB.route(HUB.paths_info(repo, revision)) == Route("paths-info", repo, revision)
    assert HUB.route(HUB.refs(repo)) == Route("refs", repo)


def test_the_page_for_people_names_no_user_of_the_endpoint():
    urls = HubUrls("https://me:word@mirror/hub")
    assert urls.page(RepoId.parse("org/name")) == "https://mirror/hub/org/name"
    assert "me:word@mirror" in urls.info(RepoId.parse("org/name"), "main")
