"""Each fault does what it says: seen on a bare socket, since a client library would hide it."""

from __future__ import annotations

import gzip
import http.client
import json
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import fault_hub as faults
import pytest
from fault_hub import FaultHub, body, listing, metadata

CONTENT = bytes(range(256))
PATH = "/org/name/resolve/main/file.txt"
PATIENCE = 120.0  # seconds in which every answer here has long come


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[FaultHub]:
    folder = tmp_path / "org/name"
    folder.mkdir(parents=True)
    for name in ("file.txt", "other.txt", "model.safetensors"):
        (folder / name).write_bytes(CONTENT)
        os.utime(folder / name, (1_600_000_000, 1_600_000_000))
    with FaultHub(tmp_path) as running:
        yield running


def raw(hub: FaultHub, path: str = PATH, *, headers: str = "", enough: int = 2**31) -> bytes:
    """Everything that comes before the connection ends, or the first ``enough`` bytes."""
    with socket.create_connection(("127.0.0.1", hub.server.port), timeout=PATIENCE) as connection:
        request = f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n"
        connection.sendall(request.encode())
        received = b""
        while len(received) < enough and (data := connection.recv(65536)):
            received += data
        return received


def split(answer: bytes) -> tuple[bytes, bytes]:
    head, _, rest = answer.partition(b"\r\n\r\n")
    return head.lower(), rest


def ask(
    hub: FaultHub, path: str = PATH, method: str = "GET", **headers: str
) -> tuple[int, http.client.HTTPMessage, bytes]:
    connection = http.client.HTTPConnection(urlsplit(hub.url).netloc, timeout=PATIENCE)
    try:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def test_without_faults_it_is_the_mirror(hub: FaultHub) -> None:
    assert ask(hub)[2] == CONTENT


def test_a_fault_hits_as_often_as_said_and_only_what_it_is_for(hub: FaultHub) -> None:
    flipped = hub.inject(faults.flip(), body("file.txt"), times=2)

    assert ask(hub, "/org/name/resolve/main/other.txt")[2] == CONTENT
    assert [ask(hub)[2] == CONTENT for _ in range(3)] == [False, False, True]
    assert flipped.hits == 2


def test_faults_can_be_taken_away(hub: FaultHub) -> None:
    hub.inject(faults.status(503), times=None)
    assert ask(hub)[0] == 503

    hub.heal()

    assert ask(hub)[0] == 200


def test_matchers_tell_listing_metadata_and_bytes_apart(hub: FaultHub) -> None:
    in_api = hub.inject(faults.headers(X_Seen="api"), listing("revision"), times=None)
    in_head = hub.inject(faults.headers(X_Seen="head"), metadata(method="HEAD"), times=None)
    in_body = hub.inject(faults.headers(X_Seen="body"), body(), times=None)

    location = ask(hub, "/org/name/resolve/main/model.safetensors")[1]["Location"]
    content = http.client.HTTPConnection(urlsplit(location).netloc, timeout=PATIENCE)
    content.request("GET", location.removeprefix(hub.server.content_url))

    assert content.getresponse().headers["X-Seen"] == "body"
    assert ask(hub, "/api/models/org/name/revision/main")[1]["X-Seen"] == "api"
    assert ask(hub, method="HEAD")[1]["X-Seen"] == "head"
    assert ask(hub)[1]["X-Seen"] == "body"
    assert [in_api.hits, in_head.hits, in_body.hits] == [1, 1, 2]
    content.close()


def test_a_body_is_cut_by_fin(hub: FaultHub) -> None:
    hub.inject(faults.cut(after=10))

    head, rest = split(raw(hub))

    assert rest == CONTENT[:10]
    assert b"content-length: 256" in head


def test_a_body_is_cut_by_rst(hub: FaultHub) -> None:
    hub.inject(faults.cut(after=0, reset=True))

    with pytest.raises(ConnectionResetError):
        raw(hub)


def test_the_connection_closes_without_a_word(hub: FaultHub) -> None:
    hub.inject(faults.close_before_status())
    hub.inject(faults.close_before_status(reset=True))

    assert raw(hub) == b""
    with pytest.raises(ConnectionResetError):
        raw(hub)


def test_a_length_is_overstated(hub: FaultHub) -> None:
    hub.inject(faults.overstated(extra=10))

    head, rest = split(raw(hub))

    assert (b"content-length: 266" in head, rest) == (True, CONTENT)


def test_the_last_chunk_is_missing(hub: FaultHub) -> None:
    hub.inject(faults.unchunked_end(after=16))

    head, rest = split(raw(hub))

    assert b"transfer-encoding: chunked" in head
    assert b"content-length" not in head
    assert rest == b"10\r\n" + CONTENT[:16] + b"\r\n"


def test_no_length_is_announced(hub: FaultHub) -> None:
    hub.inject(faults.no_length(after=20))

    head, rest = split(raw(hub))

    assert (b"content-length" in head, rest) == (False, CONTENT[:20])


def test_bytes_drip(hub: FaultHub) -> None:
    hub.inject(faults.drip(rate=100_000, after=200))

    assert split(raw(hub))[1] == CONTENT


@pytest.mark.parametrize("fault", [faults.stall(after=30), faults.drip(rate=0.01, after=30)])
def test_a_stalled_answer_ends_with_its_client(hub: FaultHub, fault: faults.Fault) -> None:
    hub.inject(fault)

    received = raw(hub, enough=1)

    assert received.startswith(b"HTTP/1.1 200")


def test_a_byte_is_flipped(hub: FaultHub) -> None:
    hub.inject(faults.flip(at=3))

    content = ask(hub)[2]

    assert [at for at in range(256) if content[at] != CONTENT[at]] == [3]


def test_content_is_all_zeros_or_too_long(hub: FaultHub) -> None:
    hub.inject(faults.zeros())
    hub.inject(faults.overlong(extra=5))

    assert ask(hub)[2] == bytes(256)
    assert ask(hub)[2] == CONTENT + bytes(5)


def test_content_and_etag_change(hub: FaultHub) -> None:
    hub.inject(faults.other_content(b"new", etag="f" * 40))

    status, headers, content = ask(hub, Range="bytes=10-")

    assert (status, content, headers["ETag"]) == (200, b"new", f'"{"f" * 40}"')
    assert "Content-Range" not in headers


def test_a_range_is_ignored(hub: FaultHub) -> None:
    hub.inject(faults.ignore_range())

    status, headers, content = ask(hub, Range="bytes=10-")

    assert (status, content) == (200, CONTENT)
    assert "Content-Range" not in headers


@pytest.mark.parametrize(
    ("admitted", "told"), [(True, "bytes 8-17/256"), (False, "bytes 10-19/256")]
)
def test_a_part_begins_elsewhere(hub: FaultHub, admitted: bool, told: str) -> None:
    hub.inject(faults.wrong_offset(-2, admitted=admitted))

    status, headers, content = ask(hub, Range="bytes=10-19")

    assert (status, content, headers["Content-Range"]) == (206, CONTENT[8:18], told)


def test_the_total_of_a_part_is_unknown(hub: FaultHub) -> None:
    hub.inject(faults.unknown_total())

    assert ask(hub, Range="bytes=10-19")[1]["Content-Range"] == "bytes 10-19/*"


def test_a_body_is_compressed_unasked(hub: FaultHub) -> None:
    hub.inject(faults.gzipped())
    hub.inject(faults.gzip_bomb(100_000))

    _, headers, content = ask(hub)
    assert (headers["Content-Encoding"], gzip.decompress(content)) == ("gzip", CONTENT)

    bomb = ask(hub)[2]
    assert len(bomb) < 1000
    assert len(gzip.decompress(bomb)) == 100_000


def test_a_status_comes_with_its_headers(hub: FaultHub) -> None:
    hub.inject(faults.status(429, "slow down", Retry_After="7"))

    status, headers, content = ask(hub)

    assert (status, headers["Retry-After"], content) == (429, "7", b"slow down")


def test_headers_are_set_and_removed(hub: FaultHub) -> None:
    hub.inject(faults.headers(ETag="../../x", X_Repo_Commit=None))

    status, headers, content = ask(hub)

    assert (status, headers["ETag"], content) == (200, "../../x", CONTENT)
    assert "X-Repo-Commit" not in headers


def test_a_redirect_leads_anywhere_or_nowhere(hub: FaultHub) -> None:
    hub.inject(faults.redirect("http://elsewhere/x"))
    hub.inject(faults.redirect_loop())

    status, headers, _ = ask(hub)
    assert (status, headers["Location"]) == (302, "http://elsewhere/x")
    assert headers["X-Repo-Commit"]

    status, headers, _ = ask(hub)
    assert (status, headers["Location"]) == (307, PATH)


def test_a_page_for_people_comes_in_place_of_json(hub: FaultHub) -> None:
    hub.inject(faults.html())

    status, headers, _ = ask(hub, "/api/models/org/name")

    assert (status, headers.get_content_type()) == (200, "text/html")


def test_json_is_changed_or_too_deep(hub: FaultHub) -> None:
    hub.inject(faults.change_json(lambda info: {**info, "sha": "no commit"}))
    hub.inject(faults.nested_json(depth=5000))

    assert json.loads(ask(hub, "/api/models/org/name")[2])["sha"] == "no commit"
    assert ask(hub, "/api/models/org/name")[2] == b"[" * 5000 + b"]" * 5000


def test_an_answer_is_held_until_it_is_released(hub: FaultHub) -> None:
    pause = faults.Pause()
    hub.inject(pause)
    received: list[bytes] = []
    client = threading.Thread(target=lambda: received.append(ask(hub)[2]))

    client.start()
    assert pause.reached.wait(PATIENCE)
    assert received == []
    pause.release()
    client.join(PATIENCE)

    assert received == [CONTENT]


def test_what_a_fault_answers_is_recorded(hub: FaultHub) -> None:
    hub.inject(faults.status(503))
    hub.inject(faults.cut(after=1))
    ask(hub)
    raw(hub)

    assert [request.status for request in hub.server.requests] == [503, 200]


def test_regular_files_come_by_way_of_a_relative_redirect_as_in_production(hub: FaultHub) -> None:
    hub.like_production = True

    status, headers, _ = ask(hub)
    assert status == 307
    assert headers["Location"].startswith("/api/resolve-cache/models/org/name/")

    status, headers, content = ask(hub, headers["Location"])
    assert (status, content) == (200, CONTENT)
    assert headers["X-Repo-Commit"]
