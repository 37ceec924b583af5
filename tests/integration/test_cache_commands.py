"""verify, rm, prune, du, key, sbom, sign and doctor, as a user meets them."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

import hubloader
from hubloader.auto import doctor
from hubloader.cache import failures, probe
from hubloader.cache.leases import Grip
from hubloader.cache.store import CacheStore
from hubloader.errors import IntegrityError
from hubloader.mirror import MirrorServer
from hubloader.types import RepoId

TINY = "fixtures/bert-tiny-sentiment"
OTHER = "fixtures/distilbert-tiny-h5"
NOWHERE = "http://127.0.0.1:1"


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Ended]


@pytest.fixture(scope="module")
def hub(fixture_hub: Path) -> Iterator[MirrorServer]:
    with MirrorServer(fixture_hub, record=True) as server:
        yield server


@pytest.fixture
def run(hub: MirrorServer, tmp_path: Path) -> Run:
    def call(*arguments: str, **environment: str) -> Ended:
        env = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home")}
        done = subprocess.run(
            [sys.executable, "-m", "hubloader", *arguments],
            env={**env, **environment},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    return call


@pytest.fixture
def synced(run: Run, tmp_path: Path) -> Path:
    (tmp_path / "models.toml").write_text(f'[models.sentiment]\nrepo = "{TINY}"\n')
    assert run("sync").code == 0
    return tmp_path / "models.lock"


def blob_of(tmp_path: Path, filename: str) -> Path:
    (pointer,) = tmp_path.glob(f"home/hub/models--*/snapshots/*/{filename}")
    return pointer.resolve()


def damage(blob: Path) -> None:
    blob.chmod(0o644)
    blob.write_bytes(b"!" + blob.read_bytes()[1:])


# verify


def test_verify_reads_everything_without_a_network(run: Run, synced: Path, hub: MirrorServer):
    hub.forget()

    whole = run("verify", HF_ENDPOINT=NOWHERE)
    named = run("verify", TINY, f"{TINY}@main", "--json", HF_ENDPOINT=NOWHERE)
    locked = run("verify", "sentiment", "--lock", str(synced), HF_ENDPOINT=NOWHERE)

    assert (whole.code, named.code, locked.code) == (0, 0, 0)
    assert "4 of 4 files are good" in whole.out
    assert named.json["files"] == 8
    assert run("verify", "fixtures/nothing").code == 6
    assert run("verify", "nothing", "--lock", str(synced)).code == 3
    assert hub.requests == ()


def test_a_damaged_file_is_found_every_time_and_mended_when_asked(
    run: Run, synced: Path, tmp_path: Path
):
    blob = blob_of(tmp_path, "model.safetensors")
    damage(blob)

    first, second = run("verify"), run("verify", "--lock", str(synced), "--json")

    assert (first.code, second.code) == (5, 5)
    assert "model.safetensors" in first.err
    assert "--repair" in first.err
    assert second.json["errors"][0]["kind"] == "IntegrityError"
    mended = run("verify", "--repair")
    assert mended.code == 0, mended.err
    assert "repaired model.safetensors" in mended.out
    assert run("verify").code == 0


def test_a_file_of_the_lock_that_is_gone_is_brought_back(run: Run, synced: Path, tmp_path: Path):
    (pointer,) = tmp_path.glob("home/hub/models--*/snapshots/*/config.json")
    blob = pointer.resolve()
    pointer.unlink()
    blob.unlink()

    assert run("verify", "--lock", str(synced)).code == 6
    assert run("verify", "--lock", str(synced), "--repair").code == 0
    assert pointer.is_file()


def test_a_damaged_file_of_a_base_cache_is_mended_in_the_cache_before_it(
    run: Run, synced: Path, tmp_path: Path
):
    blob = blob_of(tmp_path, "tokenizer.json")
    facts = blob.stat()
    damage(blob)
    os.utime(blob, ns=(facts.st_atime_ns, facts.st_mtime_ns))  # as a bad disk does it
    front = {
        "HF_HUB_CACHE": str(tmp_path / "front"),
        "HUBLOADER_BASE_CACHES": str(tmp_path / "home" / "hub"),
    }

    assert run("verify", TINY, **front).code == 5
    mended = run("verify", TINY, "--repair", **front)

    assert mended.code == 0, mended.err
    assert "repaired tokenizer.json" in mended.out
    assert run("verify", TINY, HF_ENDPOINT=NOWHERE, **front).code == 0
    assert run("verify").code == 5  # the base cache is not ours to mend


def test_verify_tells_programs_what_is_wrong(run: Run, synced: Path, tmp_path: Path):
    damage(blob_of(tmp_path, "tokenizer.json"))

    report = hubloader.verify(lock=synced, cache_dir=tmp_path / "home/hub")

    assert not report.ok
    assert [fault.filename for fault in report.faults] == ["tokenizer.json"]


# rm, prune, du


def test_rm_takes_a_revision_or_the_whole_repository(run: Run, synced: Path, tmp_path: Path):
    run("prefetch", f"{TINY}@fp16", OTHER, "--for", "tokenizer")

    dry = run("rm", f"{TINY}@fp16", "--dry-run", "--json").json
    kept = run("rm", TINY, "--keep", str(synced), "--json").json
    assert len(dry["removed"]) == 1
    assert [each["commit"] for each in kept["removed"]] == [dry["removed"][0]["commit"]]
    assert run("sync", "--frozen", "--offline").code == 0

    gone = run("rm", TINY)
    assert gone.code == 0
    assert f"removed {TINY}@" in gone.out
    assert run("sync", "--frozen", "--offline").code == 6
    assert run("rm", TINY).code == 6
    assert [each["repo_id"] for each in run("ls", "--json").json["repositories"]] == [OTHER]


def test_prune_keeps_what_a_lock_names(run: Run, synced: Path):
    run("prefetch", OTHER, "--for", "tokenizer")

    dry = run("prune", "--max-size", "0B", "--keep", str(synced), "--dry-run")
    done = run("prune", "--max-size", "0B", "--keep", str(synced), "--json").json

    assert f"would remove {OTHER}@" in dry.out
    assert [each["repo_id"] for each in done["removed"]] == [OTHER]
    assert run("sync", "--frozen", "--offline").code == 0
    assert run("prune", "--older-than", "30d", "--json").json["removed"] == []
    assert run("prune", "--older-than", "soon").code == 2
    assert run("prune", "--max-size", "much").code == 2


def test_prune_and_rm_keep_what_a_name_says(run: Run, synced: Path):
    run("prefetch", OTHER, f"{TINY}@fp16", "--for", "tokenizer")

    done = run("prune", "--max-size", "0B", "--keep", OTHER, "--keep", f"{TINY}@main", "--json")
    kept = run("rm", TINY, OTHER, "--keep", OTHER, "--json").json

    (pruned,) = done.json["removed"]
    assert (pruned["repo_id"], pruned["refs"]) == (TINY, ["fp16"])
    assert {each["repo_id"] for each in kept["removed"]} == {TINY}
    typed_wrong = run("prune", "--max-size", "0B", "--keep", "fixtures/nothing")
    assert typed_wrong.code == 6
    assert "fixtures/nothing is not in the cache" in typed_wrong.err
    assert run("prune", "--max-size", "0B", "--keep", "gone.lock").code != 0
    assert [each["repo_id"] for each in run("ls", "--json").json["repositories"]] == [OTHER]


def test_sync_prune_removes_other_revisions_of_the_locks_own_repositories(
    run: Run, synced: Path, tmp_path: Path
):
    run("prefetch", f"{TINY}@fp16", f"{TINY}@bf16", OTHER, "--for", "tokenizer")
    other = tmp_path / "other"
    other.mkdir()
    (other / "models.toml").write_text(
        f'[models.half]\nrepo = "{TINY}"\nrevision = "fp16"\nfor = ["tokenizer"]\n'
    )
    run("lock", "-f", str(other / "models.toml"))

    assert run("sync").code == 0
    assert len(run("ls", "--json", "--repo-type", "model").json["repositories"]) == 2
    done = run("sync", "--prune", "--keep", str(other / "models.lock"), "--json").json

    (removed,) = done["pruned"]
    assert removed.startswith(f"{TINY}@")
    repositories = {each["repo_id"]: each for each in run("ls", "--json").json["repositories"]}
    assert len(repositories[TINY]["revisions"]) == 2
    assert OTHER in repositories
    assert run("sync", "--keep", "x").code == 2


def test_du_shows_the_largest_first(run: Run, synced: Path):
    run("prefetch", OTHER, "--for", "tokenizer")

    document = run("du", "--json").json
    sizes = [each["size"] for each in document["repositories"]]

    assert sizes == sorted(sizes, reverse=True)
    assert document["size"] == sum(sizes)
    assert run("du").out.splitlines()[-1].endswith("in all")
    assert run("du", TINY).out.count("\n") == 2
    assert run("du", "fixtures/nothing").code == 6


# sync --to


def test_sync_to_a_folder_writes_plain_files_once_and_plans_layers(
    run: Run, synced: Path, tmp_path: Path
):
    plan = ("--layer-plan", "--layer-size", "100kB")

    first = run("sync", "--frozen", "--to", "image", *plan, "--json").json
    again = run("sync", "--frozen", "--to", "image", "--json").json

    files = {
        path.relative_to(tmp_path / "image").as_posix()
        for path in (tmp_path / "image").rglob("*")
        if path.is_file()
    }
    assert files == set(first["to"]["written"])
    assert again["to"]["written"] == []
    planned = [name for layer in first["layers"] for name in layer["files"]]
    assert sorted(planned) == sorted(files)
    assert len(first["layers"]) == 3  # before, the weights alone, after
    assert run("sync", "--layer-plan").code == 2


def test_layers_are_planned_of_the_models_that_were_asked_for(
    run: Run, synced: Path, tmp_path: Path
):
    run("add", TINY, "--as", "other", "--for", "tokenizer")

    done = run("sync", "other", "--frozen", "--to", "image", "--layer-plan", "--json").json

    (layer,) = done["layers"]
    assert {name.partition("/")[0] for name in layer["files"]} == {"other"}


# key, sbom, signatures


def test_the_key_changes_with_the_bytes_alone(run: Run, synced: Path, tmp_path: Path):
    key = run("key").out.strip()

    (tmp_path / "models.toml").write_text(f'# the same\n[models.sentiment]\nrepo = "{TINY}"\n')
    run("lock")
    assert run("key").out.strip() == key
    assert run("key", "sentiment", "--json").json["key"] == key
    (tmp_path / "models.toml").write_text(
        f'[models.sentiment]\nrepo = "{TINY}"\nfor = ["tokenizer"]\n'
    )
    run("lock")
    assert run("key").out.strip() != key
    assert run("key", "nothing").code == 3


def test_the_bill_of_materials_names_models_files_hashes_and_licences(run: Run, synced: Path):
    document = json.loads(run("sbom").out)

    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.6")
    (model,) = document["components"]
    assert model["type"] == "machine-learning-model"
    assert model["purl"] == f"pkg:huggingface/{TINY}@{model['version']}"
    assert model["licenses"] == [{"license": {"id": "Apache-2.0"}}]
    assert (model["group"], model["name"]) == ("fixtures", "bert-tiny-sentiment")
    assert {file["name"] for file in model["components"]} >= {"config.json", "model.safetensors"}
    assert all(len(file["hashes"][0]["content"]) == 64 for file in model["components"])
    assert json.loads(run("sbom").out) == document
    assert run("sbom", "-o", "bom.json").code == 0
    assert run("sbom", "--json").json["sbom"] == document


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    pytest.importorskip("cryptography")
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    private, public = tmp_path / "key.pem", tmp_path / "public.pem"
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    public.write_bytes(
        key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    return private, public


def test_a_signed_lock_is_synced_and_a_changed_one_is_not(
    run: Run, synced: Path, tmp_path: Path, keys: tuple[Path, Path]
):
    private, public = map(str, keys)
    check = ("sync", "--frozen", "--verify-key", public)
    unsigned = run(*check)
    assert run("lock", "--sign", private).code == 0
    good = run(*check)
    assert run("sync", "--verify-key", public).code == 0
    text = synced.read_text()
    synced.write_text(text.replace('name = "sentiment"', 'name = "other"'))
    changed = run(*check)
    synced.write_text(text)
    other = run("lock", "--sign", public)

    assert (unsigned.code, good.code, changed.code, other.code) == (5, 0, 5, 1)
    assert run("lock", "--sign", "nothing.pem").code == 3
    (tmp_path / "models.lock.sig").write_text("{}")
    assert run(*check).code == 5


def test_a_signature_without_the_package_says_what_to_install(
    synced: Path, monkeypatch: pytest.MonkeyPatch
):
    from hubloader.errors import BackendUnavailable
    from hubloader.locking.lockfile import read_lock
    from hubloader.locking.provenance import sign_lock

    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives", None)

    with pytest.raises(BackendUnavailable, match="cryptography") as caught:
        sign_lock(read_lock(synced), "key.pem")
    assert "hubloader[sign]" in str(caught.value)
    assert not issubclass(BackendUnavailable, IntegrityError)


# doctor


def test_doctor_finds_nothing_wrong_with_a_good_cache(run: Run, synced: Path):
    ended = run("doctor")
    document = run("doctor", "--json").json

    assert ended.code == 0, ended.out
    assert document["healthy"]
    assert {"cache", "locks", "links", "room", "content", "endpoint"} <= {
        finding["check"] for finding in document["findings"]
    }


def test_doctor_sees_that_a_cache_that_is_not_there_yet_cannot_be_made(run: Run, tmp_path: Path):
    (tmp_path / "file").write_text("")
    environment = {"HF_HUB_CACHE": str(tmp_path / "file/hub/cache")}
    ended = run("doctor", **environment)
    brought = run("prefetch", TINY, **environment)

    assert ended.code == 1
    assert f"{tmp_path / 'file'} is no folder" in ended.out
    assert "hint: a file stands where a folder belongs" in brought.err


def test_doctor_finds_what_is_wrong_and_says_how_to_mend_it(run: Run, synced: Path, tmp_path: Path):
    hub_folder = tmp_path / "home/hub"
    blob_of(tmp_path, "config.json").unlink()  # a pointer that leads nowhere
    (ref,) = hub_folder.glob("models--*/refs/main")
    ref.write_text("0" * 40)
    (hub_folder / "stray").mkdir()

    ended = run("doctor", HF_ENDPOINT=NOWHERE, HUBLOADER_LOCK="nothing.lock")
    document = run("doctor", "--json", HF_ENDPOINT=NOWHERE).json

    assert ended.code == 1
    assert "leads nowhere" in ended.out
    assert f"hubloader verify --repair {TINY}" in ended.out
    assert "names no snapshot" in ended.out
    assert "stray" in ended.out
    assert "nothing.lock" in ended.out
    assert "no connection" in ended.out
    assert not document["ok"]
    assert document["exit_code"] == 1
    assert all(finding["mend"] for finding in document["findings"] if finding["level"] == "error")


def test_doctor_says_how_to_be_rid_of_a_link_that_the_commit_does_not_have(
    run: Run, synced: Path, tmp_path: Path
):
    (snapshot,) = tmp_path.glob("home/hub/models--*/snapshots/*")
    (snapshot / "stray.json").symlink_to("../../blobs/nothing")
    findings = run("doctor", "--json").json["findings"]
    (wrong,) = [finding for finding in findings if finding["level"] == "error"]

    command = re.search("`(.*)`", wrong["mend"])
    assert command is not None
    subprocess.run(shlex.split(command[1]), check=True)

    assert run("doctor").code == 0


def test_doctor_names_who_holds_a_lock_and_what_is_no_content(
    run: Run, synced: Path, tmp_path: Path
):
    store = CacheStore(tmp_path / "home/hub")
    blob = blob_of(tmp_path, "config.json")
    (blob.parent / "notes.txt").write_text("mine")

    with store.blob_lock(RepoId.parse(TINY), blob.name):
        findings = run("doctor", "--json").json["findings"]

    told = {finding["check"]: finding for finding in findings}
    assert str(os.getpid()) in told["held"]["message"]
    assert "notes.txt" in told["foreign"]["message"]
    assert "held" not in {finding["check"] for finding in run("doctor", "--json").json["findings"]}


def test_doctor_tells_of_a_proxy_without_its_password_and_of_a_bad_token(run: Run, synced: Path):
    ended = run("doctor", http_proxy="http://me:secret@127.0.0.1:1", HF_TOKEN="hf_bad")

    assert "127.0.0.1:1" in ended.out
    assert "secret" not in ended.out
    assert ended.code == 1
    direct = run("doctor", HF_TOKEN="hf_bad")
    assert direct.code == 1
    assert "hf_bad" not in direct.out


def test_doctor_finds_a_lock_that_a_dead_process_left(run: Run, synced: Path, tmp_path: Path):
    dead = 2**22 + 1  # more than Linux numbers processes: nobody can have got it meanwhile
    folder = next(tmp_path.glob("home/hub/.locks/models--*"))
    lines = {
        "dead": f"{dead}\n{socket.gethostname()}\n",
        "alive": f"{os.getpid()}\n{socket.gethostname()}\n",
        "elsewhere": f"{os.getpid()}\nanother-host\n",
        "flock": "",
    }
    for name, text in lines.items():
        (folder / f"{name}.lock").write_text(text)

    findings = run("doctor", "--json").json["findings"]

    told = [each for each in findings if each["check"] == "soft-locks"]
    assert [each["mend"] for each in told] == [
        f"run `rm {folder / name}.lock`" for name in ("dead", "elsewhere")
    ]
    assert "which has ended" in told[0]["message"]
    assert "another-host" in told[1]["message"]


@pytest.fixture
def examined(hub: MirrorServer, synced: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """What doctor finds in this process, told by check."""
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_ENDPOINT", hub.url)

    def look() -> dict[str, doctor.Finding]:
        return {finding.check: finding for finding in doctor.examine()}

    return look


def test_doctor_finds_locks_that_keep_nobody_out(examined, monkeypatch: pytest.MonkeyPatch):
    assert examined()["locks"].level == "ok"
    monkeypatch.setattr(probe, "grip", lambda *_, **__: Grip.HELD)  # as Lustre without flock

    found = examined()["locks"]

    assert found.level == "warning"
    assert "HF_HUB_CACHE" in found.mend


def test_doctor_finds_what_the_user_may_not_write(examined, monkeypatch: pytest.MonkeyPatch):
    real = os.access
    monkeypatch.setattr(
        os, "access", lambda path, mode: "snapshots" not in str(path) and real(path, mode)
    )

    found = examined()["permissions"]

    assert found.level == "error"
    assert "snapshots" in found.message
    assert "chown" in found.mend


def test_doctor_finds_a_cache_that_cannot_be_written(examined, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(os, "access", lambda *_, **__: False)

    found = examined()["cache"]

    assert found.level == "warning"
    assert "HUBLOADER_BASE_CACHES" in found.mend


def test_doctor_finds_a_full_disk(examined, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(failures, "free_space", lambda _: (10**6, 10))

    found = examined()["room"]

    assert found.level == "warning"
    assert "files" in found.message


class _Portal(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        page = b"<html>Please log in</html>"
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.parametrize("answers", [True, False])
def test_doctor_finds_a_proxy_in_the_way(examined, monkeypatch: pytest.MonkeyPatch, answers: bool):
    server = HTTPServer(("127.0.0.1", 0), _Portal)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    port = server.server_port if answers else 1
    monkeypatch.setenv("HF_ENDPOINT", "http://hub.example")
    monkeypatch.setenv("http_proxy", f"http://me:secret@127.0.0.1:{port}")

    found = examined()
    server.shutdown()
    server.server_close()

    assert found["endpoint"].level == "error"
    assert found["proxy"].level == "warning"
    assert found["proxy"].mend == "to go past it: export NO_PROXY=hub.example"
    assert "secret" not in f"{found['proxy']} {found['endpoint']}"


@pytest.mark.skipif(os.getuid() == 0, reason="root can use every file")
def test_doctor_finds_what_this_user_cannot_use(run: Run, synced: Path, tmp_path: Path):
    (folder,) = tmp_path.glob("home/hub/models--*")
    folder.chmod(0o000)

    ended = run("doctor")

    folder.chmod(0o755)
    assert ended.code == 1
    assert "chown" in ended.out


def test_the_commands_list_in_the_help_with_a_sentence_each(run: Run):
    listed = run("--help").out

    for name in (
        *("add", "diff", "doctor", "du", "export", "import", "init", "key", "lock"),
        *("prune", "remove", "rm", "sbom", "sync", "verify"),
    ):
        (line,) = [line for line in listed.splitlines() if line.split()[:1] == [name]]
        assert len(line.split()) > 2
        assert run(name, "--help").code == 0


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_completes_commands(run: Run, shell: str):
    source = run(_HUBLOADER_COMPLETE=f"{shell}_source")
    words = {"COMP_WORDS": "hubloader sy", "COMP_CWORD": "sy" if shell == "fish" else "1"}
    completed = run(_HUBLOADER_COMPLETE=f"{shell}_complete", **words)

    assert "hubloader" in source.out
    assert "sync" in completed.out


def test_removing_twice_is_told(run: Run, synced: Path, tmp_path: Path):
    shutil.rmtree(tmp_path / "home")

    assert run("rm", TINY).code == 6
    assert run("verify").code == 0
    assert run("du").out.strip() == "0 B  in all"
