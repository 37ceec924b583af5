"""What the mirror says on the wire, header by header, to a client that follows nothing."""

from __future__ import annotations

import http.client
import json
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from aiohttp import web
from aiohttp.typedefs import Handler
from ports import reserved_port

from hubloader.errors import CorruptFile, NotFound
from hubloader.hub.headers import parse_content_range, parse_file_metadata, parse_link_next
from hubloader.mirror import MirrorServer, library

LONG_AGO = 1_600_000_000  # seconds since the epoch
WEIGHTS = bytes(range(256)) * 40
CONFIG = b'{"model_type": "bert"}'


@dataclass(frozen=True)
class Reply:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def ask(url: str, method: str = "GET", body: str | None = None, /, **headers: str) -> Reply:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=60)
    try:
        path = f"{parts.path}?{parts.query}" if parts.query else parts.path
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, named)
        answer = connection.getresponse()
        return Reply(answer.status, answer.headers, answer.read())
    finally:
        connection.close()


def write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, (LONG_AGO, LONG_AGO))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mirror")
    write(folder / "org/name/config.json", CONFIG)
    write(folder / "org/name/model.safetensors", WEIGHTS)
    write(folder / "org/name/empty.txt", b"")
    write(folder / "org/name/sub/ä ö.txt", b"umlauts")
    write(folder / "org/name@refs%2Fpr%2F1/config.json", b"{}")
    for number in range(2005):
        write(folder / f"org/many@refs%2Fpr%2F1/f{number:04d}", b"")
    for name in ("gated", "private"):
        write(folder / f"org/{name}/config.json", b"{}")
    settings = {
        "aliases": {"name": "org/name", "model": "org/name"},
        "gated": ["org/gated"],
        "private": ["org/private"],
        "tokens": {"hf_in": ["*"], "hf_out": []},
    }
    (folder / "hub.json").write_text(json.dumps(settings))
    return folder


@pytest.fixture(scope="module")
def server(root: Path) -> Iterator[MirrorServer]:
    with MirrorServer(root, record=True) as running:
        yield running


def test_a_regular_file_comes_at_once_with_everything_a_client_asks_for(
    server: MirrorServer,
) -> None:
    for method in ("HEAD", "GET"):
        reply = ask(f"{server.url}/org/name/resolve/main/config.json", method)
        meta = parse_file_metadata(reply.status, reply.headers)

        assert reply.status == 200
        assert meta.commit is not None
        assert meta.etag is not None
        assert len(meta.etag) == 40
        assert meta.size == len(CONFIG)
        assert reply.headers["Accept-Ranges"] == "bytes"
        assert reply.body == (CONFIG if method == "GET" else b"")


def test_an_lfs_file_comes_from_a_second_origin_that_needs_no_token(server: MirrorServer) -> None:
    for method in ("HEAD", "GET"):
        reply = ask(f"{server.url}/org/name/resolve/main/model.safetensors", method)
        meta = parse_file_metadata(reply.status, reply.headers)

        assert reply.status == 302
        assert meta.commit is not None
        assert meta.etag is not None
        assert len(meta.etag) == 64
        assert meta.size == len(WEIGHTS)
        assert meta.location is not None
        assert urlsplit(meta.location).port != server.port

        content = ask(meta.location, method)
        assert content.status == 200
        assert content.headers["ETag"] == f'"{meta.etag}"'
        assert content.headers["Content-Length"] == str(len(WEIGHTS))
        assert content.body == (WEIGHTS if method == "GET" else b"")


def test_content_is_not_handed_out_without_a_signature(server: MirrorServer) -> None:
    reply = ask(f"{server.url}/org/name/resolve/main/model.safetensors")
    location = reply.headers["Location"]

    assert ask(location.partition("?")[0]).status == 403
    assert ask(location.replace("signature=", "signature=0")).status == 403
    assert ask(location.replace("expires=", "expires=9")).status == 403
    assert ask(server.content_url).status == 403
    assert ask(location, "POST", "").status == 405


@pytest.mark.parametrize("filename", ["config.json", "model.safetensors"])
@pytest.mark.parametrize(
    ("wanted", "start", "end"),
    [
        ("bytes=2-4", 2, 5),
        ("bytes=5-", 5, None),
        ("bytes=-6", -6, None),
        ("bytes=3-999999", 3, None),
    ],
)
def test_a_range_is_answered_by_its_bytes(
    server: MirrorServer, filename: str, wanted: str, start: int, end: int | None
) -> None:
    whole = {"config.json": CONFIG, "model.safetensors": WEIGHTS}[filename]
    url = _final(f"{server.url}/org/name/resolve/main/{filename}")

    reply = ask(url, Range=wanted)
    part = parse_content_range(reply.headers["Content-Range"])

    assert reply.status == 206
    assert reply.body == whole[start:end]
    assert whole[part.start : part.end] == whole[start:end]
    assert part.total == len(whole)
    assert reply.headers["Content-Length"] == str(len(reply.body))


def test_a_range_beyond_the_end_is_416_and_tells_the_size(server: MirrorServer) -> None:
    url = f"{server.url}/org/name/resolve/main/config.json"

    reply = ask(url, Range=f"bytes={len(CONFIG)}-")

    assert reply.status == 416
    assert reply.headers["Content-Range"] == f"bytes */{len(CONFIG)}"


@pytest.mark.parametrize("wanted", ["lines=1-2", "bytes=1-2,4-5", "bytes=4-2", "bytes=-"])
def test_a_range_that_cannot_be_read_is_ignored(server: MirrorServer, wanted: str) -> None:
    reply = ask(f"{server.url}/org/name/resolve/main/config.json", Range=wanted)

    assert (reply.status, reply.body) == (200, CONFIG)


def test_if_range_joins_only_equal_content(server: MirrorServer) -> None:
    url = f"{server.url}/org/name/resolve/main/config.json"
    etag = ask(url, "HEAD").headers["ETag"]

    assert ask(url, Range="bytes=2-", If_Range=etag).status == 206
    assert ask(url, Range="bytes=2-", If_Range='"' + "0" * 40 + '"').status == 200
    assert ask(url, Range="bytes=2-", If_Range=f"W/{etag}").status == 200
    assert ask(url, Range="bytes=2-", If_Range="Sun, 22 Nov 2026 00:00:00 GMT").status == 200


def test_conditions_on_the_etag_are_kept(server: MirrorServer) -> None:
    url = f"{server.url}/org/name/resolve/main/config.json"
    etag = ask(url, "HEAD").headers["ETag"]

    unchanged = ask(url, If_None_Match=f'"x", {etag}')
    assert (unchanged.status, unchanged.body) == (304, b"")
    assert ask(url, If_None_Match='"x"').status == 200
    assert ask(url, If_Match=etag).status == 200
    assert ask(url, If_Match='"x"').status == 412


def test_an_empty_file_is_sent(server: MirrorServer) -> None:
    reply = ask(f"{server.url}/org/name/resolve/main/empty.txt")

    assert (reply.status, reply.body, reply.headers["Content-Length"]) == (200, b"", "0")


def test_a_name_with_spaces_and_umlauts_is_found(server: MirrorServer) -> None:
    reply = ask(f"{server.url}/org/name/resolve/main/sub/%C3%A4%20%C3%B6.txt")

    assert (reply.status, reply.body) == (200, b"umlauts")


@pytest.mark.parametrize("revision", ["refs%2Fpr%2F1", "refs/pr/1"])
def test_a_revision_with_slashes_is_found(server: MirrorServer, revision: str) -> None:
    reply = ask(f"{server.url}/org/name/resolve/{revision}/config.json")

    assert (reply.status, reply.body) == (200, b"{}")


@pytest.mark.parametrize(
    ("path", "location"),
    [
        ("/name/resolve/main/config.json", "/org/name/resolve/main/config.json"),
        ("/api/models/name", "/api/models/org/name"),
        (
            "/api/models/name/revision/main?blobs=true",
            "/api/models/org/name/revision/main?blobs=true",
        ),
        ("/api/models/model/revision/main", "/api/models/org/name/revision/main"),
        ("/api/models/model", "/api/models/org/name"),
        ("/model/resolve/main/model", "/org/name/resolve/main/model"),
    ],
)
def test_a_renamed_repository_is_a_307_to_its_new_name(
    server: MirrorServer, path: str, location: str
) -> None:
    reply = ask(server.url + path)

    assert (reply.status, reply.headers["Location"]) == (307, location)


@pytest.mark.parametrize(
    ("path", "token", "status", "code"),
    [
        ("/org/name/resolve/main/nothing.json", None, 404, "EntryNotFound"),
        ("/org/name/resolve/nothing/config.json", None, 404, "RevisionNotFound"),
        ("/org/nothing/resolve/main/config.json", None, 401, "RepoNotFound"),
        ("/org/nothing/resolve/main/config.json", "hf_out", 404, "RepoNotFound"),
        ("/org/gated/resolve/main/config.json", None, 401, "GatedRepo"),
        ("/org/gated/resolve/main/config.json", "hf_out", 403, "GatedRepo"),
        ("/org/gated/resolve/main/config.json", "hf_in", 200, None),
        ("/api/models/org/gated/revision/main", None, 200, None),
        ("/org/private/resolve/main/config.json", None, 401, "RepoNotFound"),
        ("/api/models/org/private", "hf_out", 404, "RepoNotFound"),
        ("/api/models/org/private", "hf_in", 200, None),
        ("/org/name/resolve/main/config.json", "hf_stranger", 401, None),
        ("/api/models/org/name/tree/main/nothing", None, 404, "EntryNotFound"),
        ("/api/models/org/nothing/refs", "hf_in", 404, "RepoNotFound"),
        ("/org/name/resolve/main/%2e%2e/hub.json", None, 400, "InvalidRequest"),
        ("/hub.json", None, 404, None),
        ("/api/whoami-v2", None, 401, None),
        ("/api/whoami-v2", "hf_out", 200, None),
    ],
)
def test_every_refusal_has_its_status_code_and_sentence(
    server: MirrorServer, path: str, token: str | None, status: int, code: str | None
) -> None:
    headers = {"Authorization": f"Bearer {token}"} if token else {}

    reply = ask(server.url + path, **headers)

    assert (reply.status, reply.headers.get("X-Error-Code")) == (status, code)
    if status >= 400:
        assert reply.headers["X-Error-Message"]
        assert reply.json["error"]
    assert reply.headers["X-Request-Id"]


def test_a_missing_entry_still_tells_the_commit(server: MirrorServer) -> None:
    there = ask(f"{server.url}/org/name/resolve/main/config.json", "HEAD")
    missing = ask(f"{server.url}/org/name/resolve/main/nothing.json", "HEAD")

    assert missing.headers["X-Repo-Commit"] == there.headers["X-Repo-Commit"]


def test_other_methods_are_refused(server: MirrorServer) -> None:
    assert ask(f"{server.url}/org/name/resolve/main/config.json", "PUT", "x").status == 405
    assert ask(f"{server.url}/api/models/org/name/paths-info/main", "GET").status == 405


def test_a_long_tree_comes_in_pages_that_link_to_this_host(server: MirrorServer) -> None:
    url: str | None = f"{server.url}/api/models/org/many/tree/refs%2Fpr%2F1?recursive=true"
    pages = []
    while url:
        assert url.startswith(server.url)
        reply = ask(url)
        pages.append([item["path"] for item in reply.json])
        url = parse_link_next(reply.headers.get("Link", ""))

    assert [len(page) for page in pages] == [1000, 1000, 5]
    assert [path for page in pages for path in page] == [f"f{number:04d}" for number in range(2005)]


def test_the_pages_of_a_commits_tree_need_one_look_at_its_folder(
    server: MirrorServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks, look = [], library.take_snapshot
    monkeypatch.setattr(
        library,
        "take_snapshot",
        lambda folder, *given: (looks.append(folder), look(folder, *given))[1],
    )
    commit = ask(f"{server.url}/api/models/org/many/revision/refs%2Fpr%2F1").json["sha"]
    looks.clear()
    url: str | None = f"{server.url}/api/models/org/many/tree/{commit}?recursive=true"
    paths = []
    while url:
        reply = ask(url)
        paths += [item["path"] for item in reply.json]
        url = parse_link_next(reply.headers.get("Link", ""))

    assert paths == [f"f{number:04d}" for number in range(2005)]
    assert len(looks) == 1


def test_a_page_can_be_made_smaller_and_is_smaller_with_expand(server: MirrorServer) -> None:
    url = f"{server.url}/api/models/org/many/tree/refs%2Fpr%2F1"

    assert len(ask(f"{url}?limit=7").json) == 7
    assert len(ask(f"{url}?expand=true").json) == 50
    assert len(ask(f"{url}?limit=99999&cursor=2000").json) == 5


def test_chosen_paths_are_described_from_a_form_or_json(server: MirrorServer) -> None:
    url = f"{server.url}/api/models/org/name/paths-info/main"

    form = ask(
        url,
        "POST",
        "paths=config.json&paths=sub&paths=nothing",
        Content_Type="application/x-www-form-urlencoded",
    )
    sent = ask(url, "POST", '{"paths": ["config.json", "sub"]}', Content_Type="application/json")

    assert [item["path"] for item in form.json] == ["config.json", "sub"]
    assert form.json == sent.json
    assert ask(url, "POST", "[]", Content_Type="application/json").status == 400
    assert ask(url, "POST", "{", Content_Type="application/json").status == 400


def test_info_can_be_cut_down_to_what_is_asked(server: MirrorServer) -> None:
    reply = ask(f"{server.url}/api/models/org/name?expand=sha&expand=downloads&expand=unknown")

    assert set(reply.json) == {"_id", "id", "sha", "downloads"}


def test_requests_are_recorded_with_what_they_carried(root: Path) -> None:
    with MirrorServer(root, record=True) as server:
        url = f"{server.url}/org/name/resolve/main/model.safetensors?x=1"
        location = ask(url, Authorization="Bearer hf_in").headers["Location"]
        ask(location)

        hub, content = server.requests
        assert (hub.method, hub.path, hub.status) == (
            "GET",
            "/org/name/resolve/main/model.safetensors?x=1",
            302,
        )
        assert hub.headers["authorization"] == "Bearer hf_in"
        assert (hub.origin, content.origin) == ("hub", "content")
        assert "authorization" not in content.headers

        server.forget()
        assert server.requests == ()


def test_nothing_is_recorded_unless_asked(root: Path) -> None:
    with MirrorServer(root) as server:
        ask(f"{server.url}/org/name/resolve/main/config.json")

        assert server.requests == ()


def test_many_clients_at_once_get_what_they_asked_for(server: MirrorServer) -> None:
    url = f"{server.url}/org/name/resolve/main/model.safetensors"
    bodies: list[bytes] = []

    threads = [
        threading.Thread(target=lambda: bodies.append(ask(_final(url)).body)) for _ in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert bodies == [WEIGHTS] * 16


def test_a_stopped_server_refuses_connections_and_its_port_can_be_taken_again(root: Path) -> None:
    with reserved_port() as port:
        with MirrorServer(root, port=port) as first:
            url = first.url
            assert ask(f"{url}/api/models/org/name").status == 200

        with pytest.raises(ConnectionRefusedError):
            ask(f"{url}/api/models/org/name")

        with MirrorServer(root, port=port) as second:
            assert second.url == url
            assert ask(f"{url}/api/models/org/name").status == 200


def test_a_port_in_use_is_the_callers_error(server: MirrorServer, root: Path) -> None:
    with pytest.raises(OSError, match="in use"):
        MirrorServer(root, port=server.port).start()


def test_a_folder_that_is_not_there_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="nothing"):
        MirrorServer(tmp_path / "nothing").start()


def test_a_damaged_configuration_is_said_at_once_and_closes_the_mirror_later(
    tmp_path: Path,
) -> None:
    write(tmp_path / "org/name/config.json", CONFIG)
    with MirrorServer(tmp_path) as server:
        (tmp_path / "hub.json").write_text("{")
        assert ask(f"{server.url}/org/name/resolve/main/config.json").status == 500

    with pytest.raises(CorruptFile):
        MirrorServer(tmp_path).start()


def test_a_changed_file_is_served_as_a_new_commit(tmp_path: Path) -> None:
    write(tmp_path / "org/name/config.json", CONFIG)
    with MirrorServer(tmp_path) as server:
        before = ask(f"{server.url}/org/name/resolve/main/config.json")
        write(tmp_path / "org/name/config.json", b"{}")
        after = ask(f"{server.url}/org/name/resolve/main/config.json")
        old = before.headers["X-Repo-Commit"]

        assert after.body == b"{}"
        assert after.headers["X-Repo-Commit"] != old
        assert ask(f"{server.url}/org/name/resolve/{old}/config.json").status == 404


def test_a_file_that_changes_while_it_is_answered_is_not_sent_under_the_old_name(
    tmp_path: Path,
) -> None:
    path = tmp_path / "org/name/config.json"
    write(path, CONFIG)

    @web.middleware
    async def rewrite(request: web.Request, handler: Handler) -> web.StreamResponse:
        answer = await handler(request)
        path.write_bytes(b"changed")
        return answer

    with MirrorServer(tmp_path, middlewares=[rewrite]) as server:
        reply = ask(f"{server.url}/org/name/resolve/main/config.json")

    assert (reply.status, reply.body) == (503, b"")
    assert reply.headers["Retry-After"] == "1"
    assert "ETag" not in reply.headers


def _final(url: str) -> str:
    reply = ask(url, "HEAD")
    return reply.headers.get("Location", url)
