from __future__ import annotations

import json
import threading

import pytest

from hubloader.errors import (
    EntryNotFound,
    GatedRepository,
    Interrupted,
    ListingUnavailable,
    MalformedAnswer,
    RateLimited,
    RedirectRefused,
    RepositoryNotFound,
    RevisionNotFound,
    ServerFailed,
    TimedOut,
)
from hubloader.hub import endpoint
from hubloader.hub.client import HubClient
from hubloader.transport.base import Headers, Timeouts
from hubloader.transport.memory import Answer, MemoryTransport, ranged
from hubloader.types import Entry, RepoId

HUB = "https://hub.example"
CDN = "https://cdn.example/blob?signature=s"
REPO = RepoId.parse("org/name")
COMMIT, OTHER, SHA1, SHA256 = "c" * 40, "e" * 40, "a" * 40, "b" * 64
INFO = f"{HUB}/api/models/org/name/revision/main?blobs=true"
TREE = f"{HUB}/api/models/org/name/tree/{COMMIT}?recursive=true&expand=false"
FILE = f"{HUB}/org/name/resolve/{COMMIT}/model.bin"
HEAD = f"{HUB}/org/name/resolve/main/config.json"


def as_json(raw, **headers):
    return Answer(headers=headers, body=json.dumps(raw).encode())


def info(count=2, **more):
    siblings = [{"rfilename": f"f{n}", "blobId": SHA1, "size": n} for n in range(count)]
    return as_json({"id": "org/name", "sha": COMMIT, "siblings": siblings, **more})


def failed(status, code):
    return Answer(status, {"X-Error-Code": code})


def client(script, **options):
    memory = MemoryTransport(script)
    options.setdefault("sleep", lambda _: None)
    return HubClient(memory, endpoint=HUB, **options), memory


# --- listing --------------------------------------------------------------------------------------


def test_a_revision_is_listed_by_one_request():
    hub, memory = client({INFO: info()})

    manifest = hub.list_revision(REPO, "main")

    assert (manifest.repo, manifest.revision, manifest.commit) == (REPO, "main", COMMIT)
    assert manifest.entries == {"f0": Entry(0, SHA1), "f1": Entry(1, SHA1)}
    assert manifest.complete
    assert manifest.canonical is None
    assert len(memory.requests) == 1


def test_a_renamed_repository_is_found_and_told():
    old = RepoId.parse("name")
    here, there = (
        "api/models/name/revision/main?blobs=true",
        "api/models/org/name/revision/main?blobs=true",
    )
    hub, _ = client(
        {f"{HUB}/{here}": Answer(307, {"Location": f"/{there}"}), f"{HUB}/{there}": info()}
    )

    manifest = hub.list_revision(old, "main")

    assert (manifest.repo, manifest.canonical) == (old, "org/name")


def test_a_repository_of_very_many_files_is_listed_by_the_trees_pages():
    page = [{"type": "file", "path": "a", "oid": SHA1, "size": 1}]
    second = f"{TREE}&cursor=2"
    hub, memory = client(
        {
            INFO: info(5001),
            TREE: as_json(page, Link=f'<{second}>; rel="next"'),
            second: as_json([{**page[0], "path": "b"}]),
        }
    )

    assert set(hub.list_revision(REPO, "main").entries) == {"a", "b"}
    assert len(memory.requests) == 3


def test_a_repository_too_large_for_one_answer_is_listed_by_the_trees_pages(monkeypatch):
    monkeypatch.setattr(endpoint, "MAX_JSON", 1000)
    brief = f"{HUB}/api/models/org/name/revision/main?expand=sha&expand=cardData&expand=tags"
    page = [{"type": "file", "path": "a", "oid": SHA1, "size": 1}]
    hub, memory = client(
        {
            INFO: info(50),
            f"{brief}&expand=gated": as_json({"id": "org/name", "sha": COMMIT, "gated": "auto"}),
            TREE: as_json(page),
        }
    )

    manifest, card = hub.survey(REPO, "main")

    assert manifest.entries == {"a": Entry(1, SHA1)}
    assert (manifest.commit, card.gated) == (COMMIT, True)
    assert len(memory.requests) == 3


def test_a_listing_without_sizes_is_completed_from_the_tree():
    names = as_json({"id": "org/name", "sha": COMMIT, "siblings": [{"rfilename": "a"}]})
    page = [{"type": "file", "path": "a", "oid": SHA1, "size": 1}]
    hub, _ = client({INFO: names, TREE: as_json(page)})
    assert hub.list_revision(REPO, "main").entries == {"a": Entry(1, SHA1)}


def test_a_mirror_without_a_tree_tells_at_least_names():
    names = as_json({"sha": COMMIT, "siblings": [{"rfilename": "a"}]})
    hub, _ = client({INFO: names, TREE: Answer(404)})
    assert hub.list_revision(REPO, "main").entries == {"a": Entry(None)}


def test_a_mirror_that_tells_a_commit_and_no_files_lists_nothing():
    hub, _ = client({INFO: as_json({"sha": COMMIT}), TREE: Answer(404)})
    with pytest.raises(ListingUnavailable):
        hub.list_revision(REPO, "main")


def test_a_tree_that_fails_is_not_taken_for_one_that_is_not_there():
    names = as_json({"sha": COMMIT, "siblings": [{"rfilename": "a"}]})
    hub, _ = client({INFO: names, TREE: Answer(503)})
    with pytest.raises(ServerFailed):
        hub.list_revision(REPO, "main")


def test_pages_that_go_round_in_a_circle_end():
    hub, _ = client({INFO: info(5001), TREE: as_json([], Link=f'<{TREE}>; rel="next"')})
    with pytest.raises(MalformedAnswer, match="do not end"):
        hub.list_revision(REPO, "main")


def test_a_link_to_another_origin_gets_neither_token_nor_request():
    away = '<https://evil.example/api?cursor=2>; rel="next"'
    base = TREE.partition("?")[0]
    hub, memory = client(
        {INFO: info(5001), TREE: as_json([], Link=away), f"{base}?cursor=2": as_json([])},
        token="hf_secret",
    )
    hub.list_revision(REPO, "main")
    assert all(each.url.startswith(f"{HUB}/") for each in memory.requests)


@pytest.mark.parametrize("names", [("a", "a/b"), ("x/y/z", "x"), ("p/q/r/s", "p/q")])
def test_a_name_that_is_a_file_and_a_folder_is_refused(names):
    siblings = [{"rfilename": name, "blobId": SHA1, "size": 1} for name in names]
    hub, _ = client({INFO: info(siblings=siblings)})

    with pytest.raises(MalformedAnswer, match="as a file and as a folder"):
        hub.list_revision(REPO, "main")


def test_an_answer_about_another_commit_is_refused():
    asked = f"{HUB}/api/models/org/name/revision/{OTHER}?blobs=true"
    hub, _ = client({asked: info()})
    with pytest.raises(MalformedAnswer, match=COMMIT):
        hub.list_revision(REPO, OTHER)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (failed(404, "RepoNotFound"), RepositoryNotFound),
        (failed(401, "RepoNotFound"), RepositoryNotFound),
        (failed(404, "RevisionNotFound"), RevisionNotFound),
        (failed(403, "GatedRepo"), GatedRepository),
        (Answer(404), ListingUnavailable),
        (Answer(503), ServerFailed),
        (Answer(429, {"Retry-After": "3601"}), RateLimited),
        (Answer(body=b"<html>please log in</html>"), MalformedAnswer),
        (Answer(error=Interrupted("reset")), Interrupted),
        (Answer(302, {"Location": "http://hub.example/"}), RedirectRefused),
    ],
)
def test_a_listing_that_fails_names_repository_and_revision(answer, expected):
    hub, _ = client({INFO: answer})
    with pytest.raises(expected) as caught:
        hub.list_revision(REPO, "main")
    assert type(caught.value) is expected
    assert (caught.value.repo_id, caught.value.revision) == ("org/name", "main")


# --- one file -------------------------------------------------------------------------------------


def test_a_files_metadata_is_read_at_the_redirect_to_the_storage():
    told = {
        "Location": CDN,
        "X-Linked-Etag": f'"{SHA256}"',
        "X-Linked-Size": "9",
        "X-Repo-Commit": COMMIT,
    }
    hub, memory = client({HEAD: Answer(302, told)})

    meta = hub.head_file(REPO, "main", "config.json")

    assert (meta.commit, meta.etag, meta.size, meta.location) == (COMMIT, SHA256, 9, CDN)
    assert [each.method for each in memory.requests] == ["HEAD"]


def test_redirects_within_the_endpoint_are_followed_to_the_metadata():
    cached = f"{HUB}/api/resolve-cache/models/org/name/{COMMIT}/config.json"
    told = Answer(200, {"ETag": f'"{SHA1}"', "Content-Length": "7", "X-Repo-Commit": COMMIT})
    hub, _ = client({HEAD: Answer(307, {"Location": cached.removeprefix(HUB)}), cached: told})
    assert hub.head_file(REPO, "main", "config.json").size == 7


def test_a_mirror_that_tells_no_commit_is_asked_by_commit():
    told = Answer(200, {"ETag": f'"{SHA1}"'})
    hub, _ = client({FILE: told, HEAD: told})
    assert hub.head_file(REPO, COMMIT, "model.bin").commit == COMMIT
    assert hub.head_file(REPO, "main", "config.json").commit is None


def test_a_file_of_another_commit_than_asked_is_refused():
    hub, _ = client({FILE: Answer(200, {"X-Repo-Commit": OTHER})})
    with pytest.raises(MalformedAnswer, match=OTHER):
        hub.head_file(REPO, COMMIT, "model.bin")


def test_a_login_page_is_not_a_file():
    hub, _ = client({HEAD: Answer(200, {"Content-Type": "text/html; charset=utf-8"})})
    with pytest.raises(MalformedAnswer, match="web page"):
        hub.head_file(REPO, "main", "config.json")


def test_a_missing_file_names_itself():
    hub, _ = client({HEAD: failed(404, "EntryNotFound")})
    with pytest.raises(EntryNotFound) as caught:
        hub.head_file(REPO, "main", "config.json")
    assert caught.value.filename == "config.json"


@pytest.mark.parametrize("status", [405, 501])
def test_a_mirror_that_knows_no_head_is_asked_by_get_from_then_on(status):
    told = Answer(200, {"ETag": f'"{SHA1}"', "Content-Length": "7", "X-Repo-Commit": COMMIT})
    hub, memory = client({f"HEAD {HEAD}": Answer(status), f"GET {HEAD}": told})

    assert hub.head_commit(REPO, "main") == COMMIT
    assert hub.head_file(REPO, "main", "config.json").size == 7
    assert [each.method for each in memory.requests] == ["HEAD", "GET", "GET"]


# --- has the branch moved -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        Answer(200, {"X-Repo-Commit": COMMIT}),
        Answer(307, {"X-Repo-Commit": COMMIT, "Location": "/elsewhere"}),
        Answer(302, {"X-Repo-Commit": COMMIT, "Location": CDN}),
        Answer(404, {"X-Repo-Commit": COMMIT, "X-Error-Code": "EntryNotFound"}),
    ],
)
def test_the_commit_is_told_by_any_answer_that_has_it(answer):
    hub, memory = client({HEAD: answer})
    assert hub.head_commit(REPO, "main") == COMMIT
    assert len(memory.requests) == 1


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (Answer(200), MalformedAnswer),
        (Answer(200, {"X-Repo-Commit": "../../x"}), MalformedAnswer),
        (failed(404, "RevisionNotFound"), RevisionNotFound),
        (failed(404, "EntryNotFound"), EntryNotFound),
        (Answer(503, {"X-Repo-Commit": COMMIT}), ServerFailed),
        (
            Answer(401, {"X-Repo-Commit": COMMIT, "X-Error-Code": "RepoNotFound"}),
            RepositoryNotFound,
        ),
    ],
)
def test_a_commit_that_is_not_told_is_an_error(answer, expected):
    hub, _ = client({HEAD: answer})
    with pytest.raises(expected):
        hub.head_commit(REPO, "main")


def test_a_call_with_a_deadline_ends_at_it_and_is_tried_once():
    release = threading.Event()

    def hang(_):
        release.wait(60)
        return Answer(503)

    hub, memory = client({HEAD: hang})
    with pytest.raises(TimedOut, match=r"asking whether the branch moved at https://hub\.example"):
        hub.head_commit(REPO, "main", timeouts=Timeouts.within(0.01))
    release.set()
    for thread in threading.enumerate():  # who was not waited for, to its end
        if thread.name == "hubloader-deadline":
            thread.join()
    assert len(memory.requests) == 1

    hub, memory = client({HEAD: Answer(503)})
    with pytest.raises(ServerFailed):
        hub.head_commit(REPO, "main", timeouts=Timeouts.within(60.0))
    assert len(memory.requests) == 1


def test_without_a_deadline_a_passing_failure_is_outlasted():
    hub, memory = client({HEAD: [Answer(503), Answer(200, {"X-Repo-Commit": COMMIT})]})
    assert hub.head_commit(REPO, "main") == COMMIT
    assert len(memory.requests) == 2


# --- bytes ----------------------------------------------------------------------------------------

BODY = bytes(range(200))


def stored(body=BODY):
    return {FILE: Answer(302, {"Location": CDN}), CDN: ranged(body, {"ETag": '"cdn-1"'})}


def receive(response):
    with response:
        return response.read(10_000)


def test_a_file_is_opened_at_the_storage_without_the_token():
    hub, memory = client(stored(), token="hf_secret", user_agent="me/1", headers={"X-Own": "1"})

    response = hub.open_file(REPO, COMMIT, "model.bin")

    assert receive(response) == BODY
    assert response.url == CDN
    first, second = (Headers(each.headers) for each in memory.requests)
    assert first["Authorization"] == "Bearer hf_secret"
    assert first["X-Own"] == "1"
    assert set(second) == {"Accept-Encoding", "User-Agent"}
    assert second["Accept-Encoding"] == "identity"
    assert "Range" not in first


@pytest.mark.parametrize(
    ("start", "end", "asked"),
    [
        (5, None, "bytes=5-"),
        (0, 10, "bytes=0-9"),
        (5, 10, "bytes=5-9"),
        (190, 300, "bytes=190-299"),
    ],
)
def test_a_part_of_a_file_is_opened(start, end, asked):
    hub, memory = client(stored())
    response = hub.open_file(REPO, COMMIT, "model.bin", start=start, end=end, if_range='"cdn-1"')
    assert response.status == 206
    assert receive(response) == BODY[start:end]
    assert {each.headers["Range"] for each in memory.requests} == {asked}


def test_a_content_that_changed_comes_whole():
    hub, memory = client(stored())
    response = hub.open_file(REPO, COMMIT, "model.bin", start=5, if_range="cdn-0")
    assert (response.status, receive(response)) == (200, BODY)
    assert memory.requests[-1].headers["If-Range"] == '"cdn-0"'


def test_a_whole_file_is_asked_without_a_condition():
    hub, memory = client(stored())
    hub.open_file(REPO, COMMIT, "model.bin", if_range='"cdn-1"').close()
    assert "If-Range" not in memory.requests[0].headers


@pytest.mark.parametrize(
    "answer",
    [
        Answer(206, {"Content-Range": "bytes 4-9/10"}, b"456789"),
        Answer(206, {"Content-Range": "bytes 5-20/30"}, b"x" * 16),
        Answer(206, {"Content-Range": "bytes */10"}),
        Answer(206, {}, b"56789"),
        Answer(206, {"Content-Range": "nonsense"}, b"56789"),
        Answer(200, {"Content-Encoding": "gzip"}, b"zipped"),
        Answer(204),
    ],
)
def test_other_bytes_than_those_asked_for_are_refused_and_closed(answer):
    opened = []

    class Watching(MemoryTransport):
        def send(self, request):
            opened.append(super().send(request))
            return opened[-1]

    hub = HubClient(Watching({FILE: answer}), endpoint=HUB)
    with pytest.raises(MalformedAnswer) as caught:
        hub.open_file(REPO, COMMIT, "model.bin", start=5, end=10)
    assert caught.value.filename == "model.bin"
    assert [each.closed for each in opened] == [True]


def test_a_part_of_unknown_whole_is_taken():
    part = Answer(206, {"Content-Range": "bytes 5-9/*"}, b"56789")
    hub, _ = client({FILE: part})
    assert receive(hub.open_file(REPO, COMMIT, "model.bin", start=5)) == b"56789"


def test_a_part_nobody_asked_for_is_refused():
    part = Answer(206, {"Content-Range": "bytes 0-4/10"}, b"01234")
    hub, _ = client({FILE: part})
    with pytest.raises(MalformedAnswer):
        hub.open_file(REPO, COMMIT, "model.bin")


def test_no_such_range_says_so_by_its_status():
    hub, _ = client(stored())
    with pytest.raises(ServerFailed) as caught:
        hub.open_file(REPO, COMMIT, "model.bin", start=500)
    assert caught.value.status == 416


def test_a_signed_address_that_ran_out_is_asked_for_anew():
    script = stored() | {
        FILE: [
            Answer(302, {"Location": "https://cdn.example/old"}),
            Answer(302, {"Location": CDN}),
        ],
        "https://cdn.example/old": Answer(403),
    }
    hub, _ = client(script)
    assert receive(hub.open_file(REPO, COMMIT, "model.bin", repeat=False)) == BODY


def test_an_address_that_is_always_refused_is_no_matter_of_the_token():
    hub, memory = client({FILE: Answer(302, {"Location": CDN}), CDN: Answer(403)})
    with pytest.raises(ServerFailed, match="storage"):
        hub.open_file(REPO, COMMIT, "model.bin")
    assert len(memory.requests) == 4


def test_a_caller_with_a_loop_of_its_own_is_answered_at_once():
    hub, memory = client({FILE: Answer(503)})
    with pytest.raises(ServerFailed):
        hub.open_file(REPO, COMMIT, "model.bin", repeat=False)
    assert len(memory.requests) == 1


def test_a_body_that_drips_is_given_up():
    now = [0.0]

    def tick():
        now[0] += 10.0
        return now[0]

    hub, _ = client(stored(), clock=tick, min_rate=1024.0)
    response = hub.open_file(REPO, COMMIT, "model.bin")
    with pytest.raises(TimedOut, match="slower than 1024"):
        while response.readinto(bytearray(1)):
            pass


def test_a_listing_that_drips_is_given_up():
    now = [0.0]

    def tick():
        now[0] += 1000.0
        return now[0]

    hub, _ = client({INFO: info()}, clock=tick)
    with pytest.raises(TimedOut, match="slower than 1024"):
        hub.list_revision(REPO, "main")


def test_without_a_floor_a_body_may_drip():
    hub, _ = client(stored(), min_rate=0.0)
    assert receive(hub.open_file(REPO, COMMIT, "model.bin")) == BODY


# --- the rest -------------------------------------------------------------------------------------


def test_refs_are_told():
    ref = {"name": "main", "ref": "refs/heads/main", "targetCommit": COMMIT}
    hub, _ = client({f"{HUB}/api/models/org/name/refs?include_prs=1": as_json({"branches": [ref]})})
    assert hub.refs(REPO, pull_requests=True).branches == {"main": COMMIT}


def test_the_tokens_owner_is_told():
    hub, memory = client({f"{HUB}/api/whoami-v2": as_json({"name": "me"})}, token="hf_secret")
    assert hub.whoami()["name"] == "me"
    assert memory.requests[0].headers["Authorization"] == "Bearer hf_secret"
    hub, _ = client({f"{HUB}/api/whoami-v2": as_json({"type": "user"})})
    with pytest.raises(MalformedAnswer):
        hub.whoami()


def test_an_endpoint_with_a_path_keeps_it_and_loses_its_last_slash():
    memory = MemoryTransport({f"{HUB}/hf/api/models/org/name/revision/main?blobs=true": info()})
    hub = HubClient(memory, endpoint=f"{HUB}/hf/")
    assert hub.endpoint == f"{HUB}/hf"
    assert hub.list_revision(REPO, "main").commit == COMMIT
    hub.close()
