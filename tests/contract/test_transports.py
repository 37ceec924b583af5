"""Every transport keeps the promises of ``transport/base.py``; HTTP also those of its own."""

from __future__ import annotations

import gzip
import os
import socket
import ssl
import subprocess
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor

import pytest
from scripted_server import Raw, ScriptedServer

from hubloader.errors import (
    ConnectFailed,
    Interrupted,
    InvalidReference,
    MalformedAnswer,
    RedirectRefused,
    TimedOut,
)
from hubloader.transport import http as transport_http
from hubloader.transport.auth import Credential
from hubloader.transport.base import Request, Timeouts
from hubloader.transport.http import HttpTransport
from hubloader.transport.memory import Answer, MemoryTransport, ranged
from hubloader.transport.redirects import Redirecting, RedirectPolicy
from hubloader.transport.retry import Retrying, RetryPolicy

BODY = bytes(range(256)) * 1000
SCRIPT = {
    "/file": ranged(BODY, {"ETag": '"one"'}),
    "/empty": Answer(204),
    "/missing": Answer(404, {"X-Error-Code": "EntryNotFound"}, b"no such file"),
    "/short": Answer(body=BODY, cut_at=1000),
    "/gzip": Answer(headers={"Content-Encoding": "gzip"}, body=gzip.compress(b"[1, 2]")),
    "/deflate": Answer(headers={"Content-Encoding": "deflate"}, body=zlib.compress(b"[1, 2]")),
    "/cut-gzip": Answer(headers={"Content-Encoding": "gzip"}, body=gzip.compress(b"[1]")[:-4]),
    "/bomb": Answer(headers={"Content-Encoding": "gzip"}, body=gzip.compress(bytes(10_000_000))),
    "/brotli": Answer(headers={"Content-Encoding": "br"}, body=b"..."),
    "/to-file": Answer(302, {"Location": "/file"}, b"moved"),
    "/round": Answer(302, {"Location": "/round-again"}),
    "/round-again": Answer(302, {"Location": "/round"}),
    "/flaky": [Answer(503, body=b"wait"), Answer(503), Answer(body=b"done")],
}


@pytest.fixture(params=["memory", "http"])
def world(request):
    """A transport, and the address of the script it plays."""
    if request.param == "memory":
        base = "http://memory"
        yield MemoryTransport({base + path: step for path, step in SCRIPT.items()}), base
        return
    transport = HttpTransport(pool_size=4)
    with ScriptedServer(SCRIPT) as server:
        yield transport, server.url
        transport.close()


def get(world, path, method="GET", **headers):
    transport, base = world
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return transport.send(Request(method, base + path, named))


def receive(response, size=10_000):
    buffer, got = bytearray(size), bytearray()
    while count := response.readinto(buffer):
        got += buffer[:count]
    return bytes(got)


def test_a_body_comes_as_it_is(world):
    with get(world, "/file") as response:
        assert response.status == 200
        assert response.headers["etag"] == response.headers["ETag"] == '"one"'
        assert response.headers["Content-Length"] == str(len(BODY))
        assert receive(response) == BODY
        assert response.readinto(bytearray(10)) == 0


def test_an_empty_buffer_receives_nothing_and_ends_nothing(world):
    with get(world, "/file") as response:
        assert response.readinto(bytearray(0)) == 0
        assert receive(response) == BODY


def test_a_range_comes_with_206(world):
    with get(world, "/file", Range="bytes=100-299") as response:
        assert response.status == 206
        assert response.headers["Content-Range"] == f"bytes 100-299/{len(BODY)}"
        assert receive(response) == BODY[100:300]


def test_a_changed_file_comes_whole(world):
    with get(world, "/file", Range="bytes=100-", If_Range='"two"') as response:
        assert response.status == 200


def test_head_has_headers_and_no_body(world):
    with get(world, "/file", method="HEAD") as response:
        assert response.headers["Content-Length"] == str(len(BODY))
        assert receive(response) == b""


@pytest.mark.parametrize("path", ["/empty", "/missing"])
def test_a_status_that_is_no_success_is_an_answer_like_any_other(world, path):
    with get(world, path) as response:
        assert response.status == SCRIPT[path].status
        assert response.read(100) == SCRIPT[path].body


def test_a_body_that_ends_early_is_interrupted_with_what_came_handed_over(world):
    got = bytearray()
    buffer = bytearray(300)

    with get(world, "/short") as response, pytest.raises(Interrupted) as caught:
        while count := response.readinto(buffer):
            got += buffer[:count]

    assert bytes(got) == BODY[:1000]
    assert (caught.value.received, caught.value.expected) == (1000, len(BODY))


@pytest.mark.parametrize("path", ["/gzip", "/deflate"])
def test_read_decodes(world, path):
    with get(world, path) as response:
        assert response.read(100) == b"[1, 2]"


def test_readinto_does_not_decode(world):
    with get(world, "/gzip") as response:
        assert receive(response) == SCRIPT["/gzip"].body


@pytest.mark.parametrize("path", ["/bomb", "/cut-gzip", "/brotli"])
def test_read_refuses_bombs_halves_and_unknown_encodings(world, path):
    with get(world, path) as response, pytest.raises(MalformedAnswer):
        response.read(1000)


def test_read_refuses_what_is_longer_than_its_limit_and_takes_what_is_not(world):
    with get(world, "/file") as response, pytest.raises(MalformedAnswer, match="longer"):
        response.read(len(BODY) - 1)
    with get(world, "/file") as response:
        assert response.read(len(BODY)) == BODY


def test_a_redirect_is_an_answer(world):
    with get(world, "/to-file") as response:
        assert (response.status, response.headers["Location"]) == (302, "/file")


def test_redirecting_follows_and_says_where_it_came(world):
    transport, base = world
    following = Redirecting(transport, RedirectPolicy())

    with following.send(Request("GET", f"{base}/to-file")) as response:
        assert response.url == f"{base}/file"
        assert receive(response) == BODY

    with pytest.raises(RedirectRefused, match="circle"):
        following.send(Request("GET", f"{base}/round"))


def test_retrying_comes_to_the_answer(world):
    transport, base = world
    naps = []
    patient = Retrying(transport, RetryPolicy(), sleep=naps.append)

    with patient.send(Request("GET", f"{base}/flaky")) as response:
        assert response.read(100) == b"done"

    assert len(naps) == 2


def test_a_closed_response_may_be_closed_again(world):
    response = get(world, "/file")
    response.close()
    response.close()


def test_a_body_closed_in_the_middle_does_not_spoil_the_next_request(world):
    with get(world, "/file") as response:
        response.readinto(bytearray(10))
    with get(world, "/file") as response:
        assert receive(response) == BODY


def test_an_address_that_parsers_read_differently_is_not_sent():
    with pytest.raises(InvalidReference):
        HttpTransport().send(Request("GET", "http://127.0.0.1:1\\@localhost/"))


# --- HTTP alone -----------------------------------------------------------------------------------


@pytest.fixture
def http(monkeypatch):
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name.endswith(("CA_BUNDLE", "CERT_FILE")):
            monkeypatch.delenv(name)
    transport = HttpTransport(pool_size=4)
    yield transport
    transport.close()


def ask(server, path="/", **timeouts):
    return Request("GET", server.url + path, timeouts=Timeouts(**timeouts))


def test_one_connection_serves_answers_that_were_read_redirects_and_errors(http):
    with ScriptedServer(SCRIPT) as server:
        following = Redirecting(http, RedirectPolicy())
        for path in ("/file", "/to-file", "/missing", "/empty", "/file"):
            with following.send(ask(server, path)) as response:
                if path == "/file":
                    receive(response)
                    continue
        with http.send(Request("HEAD", f"{server.url}/file")):
            pass

        # /to-file's own answer is read by closing it; the file behind it is left unread and too
        # long to be: its connection is given up
        assert len({each.connection for each in server.seen}) == 2


def test_connections_are_kept_for_as_many_threads_as_there_are(http):
    with ScriptedServer(SCRIPT) as server, ThreadPoolExecutor(4) as pool:

        def fetch(_):
            with http.send(ask(server, "/file")) as response:
                return receive(response)

        assert set(pool.map(fetch, range(40))) == {BODY}
        assert len({each.connection for each in server.seen}) <= 4


def test_bytes_are_handed_over_as_they_come_and_not_when_the_buffer_is_full(http):
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"
    with ScriptedServer({"/": Raw(head + b"first", then="hang")}) as server:
        response = http.send(ask(server, idle=60.0))
        buffer = bytearray(100_000)

        assert response.readinto(buffer) == len(b"first")

        response.close()


def test_a_reset_inside_a_body_is_interrupted(http):
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"
    with (
        ScriptedServer({"/": Raw(head, then="reset")}) as server,
        http.send(ask(server)) as response,
        pytest.raises(Interrupted, match="0 of 100000") as caught,
    ):
        receive(response)
    assert isinstance(caught.value.__cause__, ConnectionResetError)


@pytest.mark.parametrize("then", ["close", "reset"])
def test_an_end_before_the_status_line_is_interrupted(http, then):
    with ScriptedServer({"/": Raw(b"", then=then)}) as server, pytest.raises(Interrupted):
        http.send(ask(server))


def test_an_answer_that_is_not_http_is_interrupted(http):
    answer = Raw(b"SSH-2.0-OpenSSH\r\n\r\n")
    with ScriptedServer({"/": answer}) as server, pytest.raises(Interrupted):
        http.send(ask(server))


def test_an_answer_that_contradicts_itself_is_no_matter_of_the_request(http):
    answer = Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello")
    with ScriptedServer({"/": answer}) as server, pytest.raises(Interrupted, match="cannot be tr"):
        http.send(ask(server))


def test_a_chunked_body_comes_whole_and_without_its_last_chunk_is_interrupted(http):
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    script = {
        "/whole": Raw(head + b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", then="close"),
        "/cut": Raw(head + b"5\r\nhello\r\n", then="close"),
    }
    with ScriptedServer(script) as server:
        with http.send(ask(server, "/whole")) as response:
            assert receive(response) == b"hello world"
        with http.send(ask(server, "/cut")) as response, pytest.raises(Interrupted):
            receive(response)


def test_a_body_of_no_announced_length_ends_with_the_connection(http):
    answer = Raw(b"HTTP/1.1 200 OK\r\n\r\nall of it")
    with ScriptedServer({"/": answer}) as server, http.send(ask(server)) as response:
        assert receive(response) == b"all of it"


@pytest.mark.parametrize(
    "data", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"]
)
def test_silence_times_out_wherever_it_begins(http, data):
    with (
        ScriptedServer({"/": Raw(data, then="hang")}) as server,
        pytest.raises(TimedOut),
        http.send(ask(server, idle=0.05)) as response,
    ):
        receive(response)


@pytest.mark.parametrize("data", [b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"])
def test_headers_that_never_end_time_out_though_they_are_never_silent(http, data):
    dripping = Raw(data + b"HTTP/1.1 200 OK\r\nX-Long: ", then="drip")
    with ScriptedServer({"/": dripping}) as server, pytest.raises(TimedOut):
        http.send(ask(server, idle=0.1))


@pytest.mark.parametrize("status", [100, 102, 103])
def test_interim_answers_are_passed_over(http, status):
    interim = f"HTTP/1.1 {status} Wait\r\nLink: </x>; rel=preload\r\n\r\n".encode()
    answer = Raw(interim * 3 + b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    with ScriptedServer({"/": answer}) as server, http.send(ask(server)) as response:
        assert (response.status, receive(response)) == (200, b"ok")


def test_no_time_at_all_is_too_little_and_no_bad_request(http):
    with ScriptedServer({"/": Raw(b"", then="hang")}) as server, pytest.raises(TimedOut):
        http.send(Request("GET", server.url + "/", timeouts=Timeouts.within(0)))


def test_closing_wakes_a_thread_that_waits_for_bytes(http):
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nx"
    with ScriptedServer({"/": Raw(head, then="hang")}) as server:
        response = http.send(ask(server, idle=600.0))
        response.readinto(bytearray(1))
        reading, ended = threading.Event(), threading.Event()
        response._wire.fp = Watched(response._wire.fp, reading)

        def wait():
            with pytest.raises(Interrupted):
                receive(response)
            ended.set()

        reader = threading.Thread(target=wait, daemon=True)
        reader.start()
        assert reading.wait(60)  # at the latest now it would have to be woken
        threading.Thread(target=response.close, daemon=True).start()

        assert ended.wait(60)
        reader.join()


class Watched:
    """The stream of a body, which says when somebody begins to read from it."""

    def __init__(self, stream, reading):
        self._stream = stream
        self._reading = reading

    def read1(self, size):
        self._reading.set()
        return self._stream.read1(size)

    def __getattr__(self, name):
        return getattr(self._stream, name)


@pytest.mark.parametrize("then", ["hang", "drip"])
def test_closing_an_answer_whose_rest_does_not_come_does_not_wait_for_it(http, then):
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n"
    with ScriptedServer({"/": Raw(head, then=then)}) as server:
        response = http.send(ask(server, idle=600.0))
        closing = threading.Thread(target=response.close, daemon=True)
        closing.start()
        closing.join(60)

        assert not closing.is_alive()


def test_nobody_listening_is_a_failed_connection(http):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/"
        with pytest.raises(ConnectFailed, match="refused") as caught:
            http.send(Request("GET", url))
    assert caught.value.retryable


def look_up(host, *others, real=socket.getaddrinfo, **options):
    """Look up as ever, but for one name: what a network says of that one, nobody can know."""
    if host == "hub.invalid":
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    return real(host, *others, **options)


def test_a_name_nobody_knows_is_a_failed_connection(http, monkeypatch):
    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    with pytest.raises(ConnectFailed, match=r"name hub\.invalid cannot be looked up"):
        http.send(Request("GET", "http://hub.invalid/"))


def test_a_dead_proxy_is_named_as_the_cause(http, monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free.getsockname()[1]}")
        with pytest.raises(ConnectFailed, match="the proxy on the way to hub"):
            http.send(Request("GET", "http://hub.invalid/"))


def test_a_proxy_is_used_by_environment_by_argument_and_not_for_exceptions(http, monkeypatch):
    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    with ScriptedServer({"http://hub.invalid/x": Answer(body=b"by proxy")}) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        assert http.send(Request("GET", "http://hub.invalid/x")).read(10) == b"by proxy"
        monkeypatch.setenv("NO_PROXY", "hub.invalid")
        with pytest.raises(ConnectFailed, match="looked up"):
            http.send(Request("GET", "http://hub.invalid/x"))
        monkeypatch.delenv("HTTP_PROXY")
        monkeypatch.delenv("NO_PROXY")
        given = HttpTransport(proxies={"http": proxy.url})
        assert given.send(Request("GET", "http://hub.invalid/x")).read(10) == b"by proxy"
        given.close()


def test_no_credential_comes_from_a_netrc_and_no_cookie_is_kept(http, monkeypatch, tmp_path):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    with ScriptedServer({"/": Answer(headers={"Set-Cookie": "id=1"})}) as server:
        for _ in range(2):
            http.send(ask(server)).close()
        for seen in server.seen:
            assert {"authorization", "cookie"}.isdisjoint(name.lower() for name in seen.headers)


def test_identity_is_asked_unless_something_else_is(http):
    with ScriptedServer(SCRIPT) as server:
        get((http, server.url), "/file").close()
        get((http, server.url), "/file", Accept_Encoding="gzip").close()
        assert [each.headers["Accept-Encoding"] for each in server.seen] == ["identity", "gzip"]


def test_a_post_has_its_body(http):
    with ScriptedServer({"/": Answer(body=b"ok")}) as server:
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        http.send(Request("POST", f"{server.url}/", form, body=b"paths=a")).close()
        assert server.seen[0].body == b"paths=a"


def test_the_token_stays_with_its_origin_over_real_redirects(http):
    with ScriptedServer({"/blob": Answer(body=b"bytes")}) as storage:
        script = {
            "/resolve": Answer(307, {"Location": "/moved"}),
            "/moved": Answer(302, {"Location": f"{storage.url}/blob?signature=s"}),
        }
        with ScriptedServer(script) as hub:
            policy = RedirectPolicy(Credential.bound(hub.url, "hf_secret"))
            own = {"X-Own": "mine", "Range": "bytes=1-"}
            Redirecting(http, policy).send(Request("GET", f"{hub.url}/resolve", own)).close()

            assert [each.headers["Authorization"] for each in hub.seen] == ["Bearer hf_secret"] * 2
            assert [each.headers["X-Own"] for each in hub.seen] == ["mine"] * 2
        (seen,) = storage.seen
        assert {"Authorization", "X-Own"}.isdisjoint(seen.headers)
        assert seen.headers["Range"] == "bytes=1-"


def test_a_bad_token_in_a_header_is_not_told_in_the_error(http):
    with pytest.raises(InvalidReference) as caught:
        http.send(Request("GET", "http://127.0.0.1:1/", {"Authorization": "Bearer hf_\nsecret"}))
    assert caught.value.__cause__ is None
    assert "secret" not in str(caught.value)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_opens_its_own_connections(http):
    with ScriptedServer(SCRIPT) as server:
        receive(http.send(ask(server, "/file")))
        child = os.fork()
        if child == 0:
            status = 1
            try:
                status = 0 if receive(http.send(ask(server, "/file"))) == BODY else 1
            finally:
                os._exit(status)
        assert os.waitpid(child, 0)[1] == 0
        receive(http.send(ask(server, "/file")))

        mine, childs, mine_again = (each.connection for each in server.seen)
        assert mine == mine_again != childs


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate for localhost that nobody signed but itself."""
    folder = tmp_path_factory.mktemp("tls")
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 "
        f"-keyout {folder}/key -out {folder}/cert -subj /CN=localhost "
        "-addext subjectAltName=DNS:localhost"
    )
    try:
        subprocess.run(command.split(), check=True, capture_output=True)
    except (FileNotFoundError, subprocess.CalledProcessError):
        pytest.skip("needs openssl 1.1.1 or newer")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert", folder / "key")
    return context, str(folder / "cert")


def test_a_certificate_of_nobody_is_refused_for_good_and_says_why(http, certificate):
    with (
        ScriptedServer(SCRIPT, context=certificate[0]) as server,
        pytest.raises(ConnectFailed, match=r"self-signed|self signed") as caught,
    ):
        http.send(ask(server, "/file"))
    assert not caught.value.retryable
    assert "SSL_CERT_FILE" in str(caught.value)


@pytest.mark.parametrize("how", ["argument", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"])
def test_a_certificate_that_is_trusted_by_setting_works(certificate, monkeypatch, http, how):
    context, path = certificate
    if how != "argument":
        monkeypatch.setenv(how, path)
    transport = HttpTransport(ca_bundle=path) if how == "argument" else http
    with ScriptedServer(SCRIPT, context=context) as server:
        with transport.send(ask(server, "/file")) as response:
            assert receive(response) == BODY
        with pytest.raises(ConnectFailed, match=r"match|mismatch"):
            transport.send(Request("GET", server.url.replace("localhost", "127.0.0.1") + "/file"))
    transport.close()


@pytest.mark.parametrize("holds", [None, "no certificate"])
def test_certificates_that_cannot_be_read_are_named_and_not_tried_again(
    http, monkeypatch, tmp_path, holds
):
    bundle = tmp_path / "ca.pem"
    if holds is not None:
        bundle.write_text(holds)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))

    with pytest.raises(ConnectFailed, match=r"certificates .*ca\.pem.* cannot be used") as caught:
        http.send(Request("GET", "https://hub.invalid/"))

    assert not caught.value.retryable


def test_a_redirect_by_a_name_that_leads_to_a_link_local_address_sends_nothing(http, monkeypatch):
    # no test can have such an address: the loopback's stands for it
    monkeypatch.setattr(transport_http, "is_link_local", lambda host: host.startswith("127."))
    with ScriptedServer(SCRIPT) as storage:
        away = storage.url.replace("127.0.0.1", "localhost") + "/file"
        with ScriptedServer({"/": Answer(302, {"Location": away})}) as hub:
            following = Redirecting(http, RedirectPolicy())

            with pytest.raises(RedirectRefused, match="link-local"):
                following.send(ask(hub))

        assert storage.seen == []


def test_a_link_local_endpoint_that_the_user_named_is_asked(http, monkeypatch):
    monkeypatch.setattr(transport_http, "is_link_local", lambda host: host.startswith("127."))
    with ScriptedServer(SCRIPT) as server, http.send(ask(server, "/file")) as response:
        assert receive(response) == BODY
