"""Carry locked models to where there is no Hub: bundles, plain folders, a tree for nginx."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import socket
import subprocess
import sys
import tarfile
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import hubloader
from hubloader.auto.exporting import export, import_
from hubloader.errors import (
    CacheMiss,
    CorruptFile,
    HubloaderError,
    IntegrityError,
    InvalidReference,
    UnsafeFile,
)
from hubloader.locking.lockfile import read_lock
from hubloader.mirror import MirrorServer

TINY = "fixtures/bert-tiny-sentiment"
NOWHERE = "http://127.0.0.1:1"


@pytest.fixture(scope="module")
def hub(fixture_hub: Path) -> Iterator[MirrorServer]:
    with MirrorServer(fixture_hub, record=True) as server:
        yield server


@pytest.fixture(scope="module")
def synced(hub: MirrorServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with models.toml, models.lock and a cache that has what it names."""
    folder = tmp_path_factory.mktemp("synced")
    (folder / "models.toml").write_text(
        f'[models.sentiment]\nrepo = "{TINY}"\n'
        '[models.old]\nrepo = "fixtures/distilbert-tiny-h5"\nfor = ["tokenizer", "tf"]\n'
    )
    hubloader.sync(folder / "models.toml", endpoint=hub.url, cache_dir=folder / "cache")
    return folder


@pytest.fixture
def bundle(synced: Path, tmp_path: Path) -> Path:
    path = tmp_path / "bundle.tar"
    export(path, lock=synced / "models.lock", cache_dir=synced / "cache")
    return path


def loads(lock: Path, cache: Path) -> bool:
    tokenizer = hubloader.AutoTokenizer.from_pretrained("sentiment", lock=lock, cache_dir=cache)
    model = hubloader.NpAutoModelForSequenceClassification.from_pretrained(
        "sentiment", lock=lock, cache_dir=cache
    )
    return model(**tokenizer("good", return_tensors="np")).logits.shape == (1, 3)


# bundles


def test_a_bundle_is_carried_to_an_empty_cache(synced: Path, bundle: Path, tmp_path: Path):
    done = import_(bundle, cache_dir=tmp_path / "cache")

    assert done.lock == read_lock(synced / "models.lock")
    assert done.received == done.lock.models[0].size + done.lock.models[1].size
    assert loads(synced / "models.lock", tmp_path / "cache")
    synced_again = hubloader.sync(
        synced / "models.lock", frozen=True, cache_dir=tmp_path / "cache", local_files_only=True
    )
    assert synced_again.fetched_bytes == 0
    with tarfile.open(bundle) as tar:  # any tar reads it
        assert tar.getnames()[0] == "models.lock"


def test_two_exports_are_one_file(synced: Path, bundle: Path, tmp_path: Path):
    again = tmp_path / "again.tar"
    export(again, lock=synced / "models.lock", cache_dir=synced / "cache")

    assert again.read_bytes() == bundle.read_bytes()


@pytest.mark.parametrize("kept", [0, 100, 512, 5_000, 60_000, 10**9])
def test_a_broken_export_goes_on_where_it_stopped(
    synced: Path, bundle: Path, tmp_path: Path, kept: int
):
    whole = bundle.read_bytes()
    again = tmp_path / "again.tar"
    Path(f"{again}.part").write_bytes(whole[:kept])

    export(again, lock=synced / "models.lock", cache_dir=synced / "cache")

    assert again.read_bytes() == whole
    assert not Path(f"{again}.part").exists()


def test_a_part_of_something_else_is_not_gone_on_with(synced: Path, bundle: Path, tmp_path: Path):
    again = tmp_path / "again.tar"
    Path(f"{again}.part").write_bytes(b"x" * 100_000)

    export(again, lock=synced / "models.lock", cache_dir=synced / "cache")

    assert again.read_bytes() == bundle.read_bytes()


def test_an_import_that_broke_off_is_gone_on_with(bundle: Path, tmp_path: Path):
    whole = bundle.read_bytes()
    torn = tmp_path / "torn.tar"
    torn.write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(IntegrityError):
        import_(torn, cache_dir=tmp_path / "cache")
    first = {path.name for path in tmp_path.glob("cache/models--*/blobs/*")}
    assert first
    assert not list(tmp_path.glob("cache/models--*/refs/*"))

    done = import_(bundle, cache_dir=tmp_path / "cache")

    assert done.contents == len(list(tmp_path.glob("cache/models--*/blobs/*"))) - len(first)


def test_what_the_other_side_has_is_left_out(synced: Path, bundle: Path, tmp_path: Path):
    small = tmp_path / "small.tar"
    options = {"lock": synced / "models.lock", "cache_dir": synced / "cache"}
    export(small, have=[synced / "models.lock"], **options)

    assert small.stat().st_size < bundle.stat().st_size / 2
    with pytest.raises(CacheMiss, match="leaves out"):
        import_(small, cache_dir=tmp_path / "empty")
    assert import_(small, cache_dir=synced / "cache").contents == 0


def test_a_bundle_of_another_lock_is_refused(synced: Path, bundle: Path, tmp_path: Path):
    (tmp_path / "models.lock").write_text("version = 1\n")

    with pytest.raises(IntegrityError, match="lock that was given"):
        import_(bundle, lock=tmp_path / "models.lock", cache_dir=tmp_path / "cache")
    assert import_(bundle, lock=synced / "models.lock", cache_dir=tmp_path / "cache").contents


def test_repositories_are_carried_by_name_too(synced: Path, tmp_path: Path):
    export(tmp_path / "b.tar", [TINY], cache_dir=synced / "cache")
    import_(tmp_path / "b.tar", cache_dir=tmp_path / "cache")

    tokenizer = hubloader.AutoTokenizer.from_pretrained(
        TINY, cache_dir=tmp_path / "cache", local_files_only=True
    )
    assert tokenizer("good")["input_ids"]
    with pytest.raises(CacheMiss, match="fixtures/nothing"):
        export(tmp_path / "c.tar", ["fixtures/nothing"], cache_dir=synced / "cache")


# evil bundles


def members_of(bundle: Path) -> list[tuple[tarfile.TarInfo, bytes]]:
    with tarfile.open(bundle) as tar:
        return [(info, tar.extractfile(info).read()) for info in tar]


def special(kind: bytes, name: str = "blobs/x", link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


def plain(name: str, data: bytes = b"evil") -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    return info, data


def insert(*extra) -> Callable:
    return lambda parts: [*parts[:1], *extra, *parts[1:]]


def with_lock(change: Callable[[str], str]) -> Callable:
    return lambda parts: [plain("models.lock", change(parts[0][1].decode()).encode()), *parts[1:]]


def with_last(change: Callable[[bytes], bytes]) -> Callable:
    return lambda parts: [*parts[:-1], plain(parts[-1][0].name, change(parts[-1][1]))]


def sparse(parts):
    info = special(tarfile.GNUTYPE_SPARSE, parts[-1][0].name)
    return [*parts[:-1], (info, b"")]


EVIL = {
    "an absolute path": (insert(plain("/etc/passwd")), UnsafeFile),
    "a path upwards": (insert(plain("../../evil")), UnsafeFile),
    "a path upwards below blobs": (insert(plain("blobs/../../evil")), UnsafeFile),
    "a symbolic link": (insert((special(tarfile.SYMTYPE, link="/etc"), b"")), UnsafeFile),
    "a hard link": (insert((special(tarfile.LNKTYPE, link="models.lock"), b"")), UnsafeFile),
    "a character device": (insert((special(tarfile.CHRTYPE), b"")), UnsafeFile),
    "a block device": (insert((special(tarfile.BLKTYPE), b"")), UnsafeFile),
    "a pipe": (insert((special(tarfile.FIFOTYPE), b"")), UnsafeFile),
    "a folder": (insert((special(tarfile.DIRTYPE, "blobs"), b"")), UnsafeFile),
    "a sparse file": (sparse, UnsafeFile),
    "a content nobody names": (insert(plain(f"blobs/{'0' * 64}")), UnsafeFile),
    "a content twice": (lambda parts: [*parts, parts[-1]], UnsafeFile),
    "a content that is damaged": (with_last(lambda data: data[:-1] + b"!"), IntegrityError),
    "a content that is longer": (with_last(lambda data: data + b"!"), IntegrityError),
    "a content that is shorter": (with_last(lambda data: data[:-1]), IntegrityError),
    "a content that is missing": (lambda parts: parts[:-1], CacheMiss),
    "an index with a path upwards": (
        with_lock(lambda text: text.replace('"config.json"', '"../config.json"')),
        CorruptFile,
    ),
    "an index that was edited": (
        with_lock(lambda text: text.replace("size = 754", "size = 755")),
        IntegrityError,
    ),
    "an index that comes late": (lambda parts: [*parts[1:], parts[0]], CorruptFile),
    "no index": (lambda parts: parts[1:], CorruptFile),
    "a listing of another commit": (insert(plain(f"trees/{'0' * 40}.json", b"{}")), UnsafeFile),
    "a listing that lies": (
        lambda parts: [
            plain(
                info.name, data.replace(b'"size": 754', b'"size": 1').replace(b"5bb248", b"000000")
            )
            if info.name.startswith("trees/")
            else (info, data)
            for info, data in parts
        ],
        IntegrityError,
    ),
}


@pytest.mark.parametrize("name", EVIL)
def test_an_evil_bundle_is_refused_and_nothing_is_named(bundle: Path, tmp_path: Path, name: str):
    change, kind = EVIL[name]
    evil = tmp_path / "evil.tar"
    with tarfile.open(evil, "w", format=tarfile.GNU_FORMAT) as tar:
        for info, data in change(members_of(bundle)):
            tar.addfile(info, io.BytesIO(data))
    before = {path for path in tmp_path.iterdir() if path.name != "cache"}

    with pytest.raises(kind):
        import_(evil, cache_dir=tmp_path / "cache")

    assert {path for path in tmp_path.iterdir() if path.name != "cache"} == before
    assert not list(tmp_path.glob("cache/models--*/refs/**/*"))


def test_a_header_that_asks_for_all_of_the_memory_is_refused(bundle: Path, tmp_path: Path):
    pax = special(b"x", "PaxHeaders/x")
    pax.size = 2**40
    evil = tmp_path / "evil.tar"
    evil.write_bytes(pax.tobuf(tarfile.GNU_FORMAT) + bundle.read_bytes())
    lock = special(tarfile.REGTYPE, "models.lock")
    lock.size = 2**40
    large = tmp_path / "large.tar"
    large.write_bytes(lock.tobuf(tarfile.GNU_FORMAT))

    for path in (evil, large):
        with pytest.raises(UnsafeFile):
            import_(path, cache_dir=tmp_path / "cache")


@pytest.mark.parametrize("data", [b"", b"x" * 10_000, b"\x1f\x8b" + b"0" * 2000, b"x" * 5])
def test_what_is_no_tar_is_refused(tmp_path: Path, data: bytes):
    (tmp_path / "no.tar").write_bytes(data)

    with pytest.raises(HubloaderError):
        import_(tmp_path / "no.tar", cache_dir=tmp_path / "cache")


def test_a_bad_content_is_not_exported(synced: Path, tmp_path: Path):
    cache = tmp_path / "cache"
    shutil.copytree(synced / "cache", cache, symlinks=True)
    blob = next(cache.glob("models--*/snapshots/*/model.safetensors")).resolve()
    facts = blob.stat()
    blob.chmod(0o644)
    blob.write_bytes(b"!" + blob.read_bytes()[1:])
    os.utime(blob, ns=(facts.st_atime_ns, facts.st_mtime_ns))  # its stamp still fits

    with pytest.raises(IntegrityError):
        export(tmp_path / "b.tar", lock=synced / "models.lock", cache_dir=cache)


# plain folders


def packed(folder: Path) -> bytes:
    """The folder as a tar, itself included: byte for byte what an image layer would be made of."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for path in sorted([folder, *folder.rglob("*")]):
            name = f"models/{path.relative_to(folder)}"
            archive.add(path, name, recursive=False)
    return stream.getvalue()


def test_a_plain_folder_is_the_same_wherever_it_is_made(synced: Path, tmp_path: Path):
    options = {"lock": synced / "models.lock", "cache_dir": synced / "cache", "format": "dir"}

    def facts(folder: Path):
        return {
            path.relative_to(folder): (
                path.stat().st_mode,
                path.stat().st_mtime,
                path.is_symlink(),
                path.read_bytes() if path.is_file() else b"",
            )
            for path in folder.rglob("*")
        }

    old = os.umask(0o077)
    try:
        export(tmp_path / "one", **options)
    finally:
        os.umask(old)
    export(tmp_path / "two", **options)

    assert facts(tmp_path / "one") == facts(tmp_path / "two")
    assert packed(tmp_path / "one") == packed(tmp_path / "two")  # as layers of an image
    export(tmp_path / "two", **options)
    assert packed(tmp_path / "one") == packed(tmp_path / "two")
    config = tmp_path / "one/sentiment/config.json"
    assert (config.stat().st_mode & 0o777, config.stat().st_mtime) == (0o644, 0)
    assert not config.is_symlink()
    tokenizer = hubloader.AutoTokenizer.from_pretrained(str(tmp_path / "one/sentiment"))
    assert tokenizer("good")["input_ids"]


# nginx


@pytest.fixture
def nginx(synced: Path, tmp_path: Path) -> Iterator[str]:
    options = {"lock": synced / "models.lock", "cache_dir": synced / "cache"}
    with served_by_nginx(tmp_path / "static", options) as url:
        yield url


@contextlib.contextmanager
def served_by_nginx(folder: Path, options: dict[str, Path]) -> Iterator[str]:
    program = shutil.which("nginx")
    if program is None:
        pytest.skip("needs nginx")
    user = "user root; " if os.getuid() == 0 else ""
    command = [program, "-p", str(folder), "-c", "nginx.conf", "-g", f"{user}daemon off;"]
    # It inherits a socket that listens, as from an nginx that it replaces: nobody else can have the
    # port, and who connects before it is ready is answered when it is.
    with socket.create_server(("127.0.0.1", 0)) as bound:
        port, handle = bound.getsockname()[1], bound.fileno()
        export(folder, format="nginx", listen=f"127.0.0.1:{port}", **options)
        env = {**os.environ, "NGINX": f"{handle};"}
        process = subprocess.Popen(command, env=env, pass_fds=[handle])
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=60)


def test_a_stock_nginx_serves_hubloader(synced: Path, nginx: str, tmp_path: Path):
    done = hubloader.sync(
        synced / "models.lock", frozen=True, endpoint=nginx, cache_dir=tmp_path / "cache"
    )
    assert done.fetched_bytes
    assert loads(synced / "models.lock", tmp_path / "cache")
    locked = hubloader.lock(synced / "models.toml", upgrade=True, dry_run=True, endpoint=nginx)
    assert {m.name: m.tree for m in locked.lock.models} == {
        m.name: m.tree for m in read_lock(synced / "models.lock").models
    }
    with pytest.raises(hubloader.errors.EntryNotFound):
        hubloader.hf_hub_download(TINY, "x.json", endpoint=nginx, cache_dir=tmp_path / "x")
    with pytest.raises(hubloader.errors.RevisionNotFound):
        hubloader.hf_hub_download(
            TINY, "config.json", revision="v9", endpoint=nginx, cache_dir=tmp_path / "x"
        )
    with pytest.raises(hubloader.errors.RepositoryNotFound):
        hubloader.hf_hub_download("a/b", "config.json", endpoint=nginx, cache_dir=tmp_path / "x")


@pytest.mark.oracle
def test_a_stock_nginx_serves_unmodified_clients(nginx: str, tmp_path: Path):
    pytest.importorskip("transformers")
    program = f"""
from huggingface_hub import HfApi, hf_hub_download, snapshot_download
from huggingface_hub.errors import EntryNotFoundError
from transformers import AutoConfig, AutoTokenizer
path = snapshot_download({TINY!r})
assert AutoConfig.from_pretrained({TINY!r}).model_type == "bert"
assert AutoTokenizer.from_pretrained({TINY!r})("good")["input_ids"]
api = HfApi()
assert api.model_info({TINY!r}).sha in path
assert {{f.path for f in api.list_repo_tree({TINY!r}, recursive=True)}} >= {{"config.json"}}
assert api.list_repo_refs({TINY!r}).branches[0].name == "main"
try:
    hf_hub_download({TINY!r}, "nothing.json")
except EntryNotFoundError:
    print("served")
"""
    env = {**os.environ, "HF_ENDPOINT": nginx, "HF_HOME": str(tmp_path / "home")}

    done = subprocess.run(
        [sys.executable, "-c", program], env=env, capture_output=True, text=True, check=False
    )

    assert done.stdout.strip() == "served", done.stderr


def test_nginx_answers_ranges_with_the_hubs_headers(nginx: str):
    url = f"{nginx}/{TINY}/resolve/main/model.safetensors"
    request = urllib.request.Request(url, headers={"Range": "bytes=8-15"})

    with urllib.request.urlopen(request) as answer:
        assert answer.status == 206
        assert len(answer.read()) == 8
        assert len(answer.headers["ETag"].strip('"')) == 64
        assert len(answer.headers["X-Repo-Commit"]) == 40


@pytest.mark.parametrize("fits", [True, False])
def test_nginx_joins_parts_only_of_one_content(nginx: str, fits: bool):
    url = f"{nginx}/{TINY}/resolve/main/model.safetensors"
    with urllib.request.urlopen(urllib.request.Request(url, method="HEAD")) as answer:
        etag, size = answer.headers["ETag"], int(answer.headers["Content-Length"])
    headers = {"Range": "bytes=8-15", "If-Range": etag if fits else f'"{"0" * 64}"'}

    with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as answer:
        assert answer.status == (206 if fits else 200)
        assert len(answer.read()) == (8 if fits else size)


def test_nginx_takes_every_file_name_for_a_name(fixture_hub: Path, tmp_path: Path):
    root, cache = tmp_path / "hub", tmp_path / "cache"
    shutil.copytree(fixture_hub / TINY, root / TINY)
    weights = "model.safetensors"
    forged = f'x" "0"; "/{TINY}/resolve/main/other.txt" "0'  # a line of the map, by its name
    names = [forged, "a \"b\" 'c' $uri; {d} #é.txt", "/".join(letter * 200 for letter in "lmnop")]
    for name in names:
        path = root / TINY / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    project = tmp_path / "models.toml"
    project.write_text(f'[models.a]\nrepo = "{TINY}"\nfor = ["all"]\n')
    with MirrorServer(root) as hub:
        hubloader.sync(project, endpoint=hub.url, cache_dir=cache)

    options = {"lock": tmp_path / "models.lock", "cache_dir": cache}
    with served_by_nginx(tmp_path / "static", options) as url:
        where = f"{url}/{TINY}/resolve/main"
        for name in names:
            with urllib.request.urlopen(f"{where}/{urllib.parse.quote(name)}") as answer:
                assert answer.read().decode() == name
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(f"{where}/other.txt")
        assert caught.value.headers["X-Error-Code"] == "EntryNotFound"
        with urllib.request.urlopen(f"{where}/{weights}") as answer:
            assert answer.status == 200


@pytest.mark.parametrize(
    "listen", ["80; include /etc/passwd", "99999", "0", "a b:80", "", "unix:x"]
)
def test_nginx_is_told_to_listen_on_nothing_but_an_address(
    synced: Path, tmp_path: Path, listen: str
):
    options = {"lock": synced / "models.lock", "cache_dir": synced / "cache"}

    with pytest.raises(InvalidReference, match="listen"):
        export(tmp_path / "static", format="nginx", listen=listen, **options)

    assert not (tmp_path / "static").exists()
    export(tmp_path / "static", format="nginx", listen="[::1]:8080", **options)


def test_nginx_says_what_it_does_not_serve(nginx: str):
    url = f"{nginx}/api/models/{TINY}/paths-info/main"

    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(url, data=b"paths=config.json")

    assert caught.value.code == 501
    assert "X-Error-Code" not in caught.value.headers  # nobody is to believe that it is not there
    assert "list the tree" in json.load(caught.value)["error"]


@pytest.mark.oracle
@pytest.mark.torch
def test_a_stock_nginx_serves_transformers_a_model(nginx: str, tmp_path: Path):
    pytest.importorskip("transformers")
    program = f"""
from transformers import pipeline
print(pipeline("text-classification", {TINY!r})("good")[0]["label"])
"""
    env = {**os.environ, "HF_ENDPOINT": nginx, "HF_HOME": str(tmp_path / "home")}

    done = subprocess.run(
        [sys.executable, "-c", program], env=env, capture_output=True, text=True, check=False
    )

    assert done.stdout.strip() == "neutral", done.stderr


# the commands


def test_the_commands_carry_through_pipes(synced: Path, tmp_path: Path):
    def hubloader_(*arguments: str, **options) -> subprocess.CompletedProcess:
        command = [sys.executable, "-m", "hubloader", *arguments]
        env = {**os.environ, "HF_ENDPOINT": NOWHERE}
        return subprocess.run(
            command, cwd=synced, env=env, capture_output=True, check=False, **options
        )

    out = hubloader_("export", "-o", "-", "--lock", "--cache-dir", str(synced / "cache"))
    assert out.returncode == 0, out.stderr
    there = str(tmp_path / "there")
    done = hubloader_("import", "-", "--cache-dir", there, "--json", input=out.stdout)
    assert done.returncode == 0, done.stderr
    assert {model["name"] for model in json.loads(done.stdout)["models"]} == {"sentiment", "old"}

    assert hubloader_("export", "-o", "x.tar").returncode == 2
    assert hubloader_("import", "nothing.tar").returncode == 3
    assert hubloader_("import", "-", "--cache-dir", there, input=b"no tar").returncode == 5
    evil = io.BytesIO()
    with tarfile.open(fileobj=evil, mode="w") as tar:
        tar.addfile(special(tarfile.SYMTYPE, "models.lock", "/etc/passwd"))
    assert hubloader_("import", "-", "--cache-dir", there, input=evil.getvalue()).returncode == 9


# what else can be locked


def test_shards_old_names_and_datasets_are_locked_synced_and_carried(
    fixture_hub: Path, tmp_path: Path
):
    root = tmp_path / "hub"
    shutil.copytree(fixture_hub / "fixtures/bert-tiny-sharded", root / "fixtures/bert-tiny-sharded")
    shutil.copytree(fixture_hub / TINY, root / TINY)
    (root / "datasets/org/reviews/data").mkdir(parents=True)
    (root / "datasets/org/reviews/data/train.csv").write_text("text,label\n")
    (root / "datasets/org/reviews/README.md").write_text("---\nlicense: [mit, cc0-1.0]\n---\n")
    (root / "hub.json").write_text(json.dumps({"aliases": {"old-name": TINY}}))
    project = tmp_path / "models.toml"
    project.write_text(
        '[models.sharded]\nrepo = "fixtures/bert-tiny-sharded"\nfor = ["numpy"]\n'
        '[models.old]\nrepo = "old-name"\nfor = ["tokenizer"]\n'
        '[models.data]\nrepo = "org/reviews"\ntype = "dataset"\n'
    )
    cache, lock = tmp_path / "cache", tmp_path / "models.lock"

    with MirrorServer(root) as hub:
        done = hubloader.sync(project, endpoint=hub.url, cache_dir=cache)

    models = {model.name: model for model in read_lock(lock).models}
    assert sum(f.path.endswith(".safetensors") for f in models["sharded"].files) == 3
    assert [f.path for f in models["data"].files] == ["README.md", "data/train.csv"]
    assert models["data"].license == "cc0-1.0, mit"
    assert {model.path.parents[1].name for model in done.models} == {
        "models--fixtures--bert-tiny-sharded",
        "models--old-name",
        "datasets--org--reviews",
    }
    export(tmp_path / "b.tar", lock=lock, cache_dir=cache)
    import_(tmp_path / "b.tar", cache_dir=tmp_path / "there")
    options = {"lock": lock, "cache_dir": tmp_path / "there"}
    model = hubloader.NpAutoModelForSequenceClassification.from_pretrained("sharded", **options)
    assert model.config.num_labels
    assert hubloader.AutoTokenizer.from_pretrained("old-name", **options)("good")["input_ids"]
    assert hubloader.verify(**options).ok


def test_a_mirror_that_tells_names_alone_is_locked_file_by_file(fixture_hub: Path, tmp_path: Path):
    from aiohttp import web

    @web.middleware
    async def names_alone(request, handler):
        if "/tree/" in request.path:
            raise web.HTTPNotFound
        answer = await handler(request)
        if "/api/models/" not in request.path or answer.status != 200:
            return answer
        told = json.loads(answer.body)
        told["siblings"] = [{"rfilename": each["rfilename"]} for each in told["siblings"]]
        return web.json_response(told)

    project = tmp_path / "models.toml"
    project.write_text(f'[models.a]\nrepo = "{TINY}"\n')
    with MirrorServer(fixture_hub) as whole:
        expected = hubloader.lock(project, dry_run=True, endpoint=whole.url).lock
    with MirrorServer(fixture_hub, middlewares=[names_alone]) as bare:
        told = hubloader.lock(project, endpoint=bare.url, cache_dir=tmp_path / "cache").lock
        done = hubloader.sync(project, endpoint=bare.url, cache_dir=tmp_path / "cache")

    assert told == expected
    assert done.fetched_bytes


def test_the_endpoint_of_the_project_is_used_where_nothing_else_says_one(
    fixture_hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    project = tmp_path / "models.toml"
    with MirrorServer(fixture_hub) as hub:
        project.write_text(f'[hub]\nendpoint = "{hub.url}"\n[models.a]\nrepo = "{TINY}"\n')
        locked = hubloader.lock(project, cache_dir=tmp_path / "cache")
        assert hub.url not in Path(locked.path).read_text()
        assert hubloader.sync(project, locked=True, cache_dir=tmp_path / "cache").fetched_bytes
        monkeypatch.setenv("HF_ENDPOINT", NOWHERE)
        with pytest.raises(hubloader.errors.TransportError):
            hubloader.lock(project, upgrade=True, cache_dir=tmp_path / "cache")
