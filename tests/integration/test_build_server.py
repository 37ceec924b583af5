"""A build server: lock on one machine, sync on another, load with the endpoint gone."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import re
import shutil
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.typedefs import Handler

import hubloader
import hubloader.locking.desk
from hubloader.auto.locks import changing
from hubloader.cache.store import CacheStore
from hubloader.errors import CacheMiss, EntryNotFound, IntegrityError, LockOutOfDate
from hubloader.locking.lockfile import format_lock, parse_lock
from hubloader.locking.values import Lock
from hubloader.mirror import MirrorServer
from hubloader.mirror.file_body import FileBody

TINY = "fixtures/bert-tiny-sentiment"
NOWHERE = "http://127.0.0.1:1"
TEXT = "this is good"
KILLED = 120  # seconds: a process is to end within one, this is for the slowest of machines
LONG = 300  # seconds: what takes longer hangs
MIDDLE = 12_000_000  # bytes of a content after which a server halts


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Ended]


class Halt:
    """Has the server stop for as long as wanted in the middle of a large content."""

    def __init__(self) -> None:
        self.wanted = False
        self.halted = threading.Event()
        self.go_on = threading.Event()

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        answer = await handler(request)
        if not (self.wanted and isinstance(answer, FileBody) and answer.file.stamp.size > MIDDLE):
            return answer
        content = await asyncio.to_thread(Path(answer.file.path).read_bytes)
        halting = web.StreamResponse(headers=answer.headers)
        halting.content_length = len(content)
        await halting.prepare(request)
        await halting.write(content[:MIDDLE])
        self.halted.set()
        await asyncio.to_thread(self.go_on.wait, 2 * LONG)
        return halting


@pytest.fixture
def halt() -> Iterator[Halt]:
    halt = Halt()
    yield halt
    halt.go_on.set()


@pytest.fixture
def hub(fixture_hub: Path, tmp_path: Path, halt: Halt) -> Iterator[MirrorServer]:
    """A Hub of our own, so that a branch can move."""
    root = tmp_path / "hub"
    for name in ("bert-tiny-sentiment", "bert-tiny-sentiment@fp16", "distilbert-tiny-h5"):
        shutil.copytree(fixture_hub / "fixtures" / name, root / "fixtures" / name)
    shutil.copytree(fixture_hub / "fixtures/bert-tiny-gated", root / "fixtures/bert-tiny-gated")
    shutil.copy(fixture_hub / "hub.json", root / "hub.json")
    with MirrorServer(root, record=True, middlewares=[halt.middleware]) as server:
        yield server
        halt.go_on.set()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


@pytest.fixture
def run(hub: MirrorServer, project: Path, tmp_path: Path) -> Run:
    def call(*arguments: str, **environment: str) -> Ended:
        env = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home")}
        done = subprocess.run(
            [sys.executable, "-m", "hubloader", *arguments],
            env={**env, **environment},
            cwd=project,
            capture_output=True,
            text=True,
            timeout=LONG,
            check=False,
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    return call


def toml(project: Path, text: str = "", *, tail: str = "") -> Path:
    path = project / "models.toml"
    path.write_text(text or f'[models.sentiment]\nrepo = "{TINY}"\n{tail}')
    return path


def move_branch(hub: MirrorServer) -> None:
    config = hub.library.root / TINY / "config.json"
    config.write_text(config.read_text() + "\n")


def lock_of(project: Path):
    return parse_lock((project / "models.lock").read_text())


# lock


def test_a_lock_names_every_file_with_size_and_sha256(run: Run, project: Path, fixture_hub: Path):
    toml(project)

    ended = run("lock")

    assert ended.code == 0, ended.err
    (model,) = lock_of(project).models
    assert [file.path for file in model.files] == [
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    for file in model.files:
        path = fixture_hub / TINY / file.path
        assert file.size == path.stat().st_size
        assert file.sha256 == hubloader.locking.desk.sha256_of(path)
    assert model.license == "apache-2.0"
    assert not model.gated
    assert "added_tokens.json" in model.absent


def test_locking_fetches_the_small_files_and_no_weights(run: Run, project: Path, tmp_path: Path):
    toml(project)

    run("lock")

    fetched = {path.name for path in tmp_path.glob("home/hub/**/snapshots/*/*")}
    assert fetched == {"config.json", "tokenizer.json", "tokenizer_config.json"}


def test_entries_are_resolved_side_by_side_and_reported_as_one(
    run: Run, project: Path, hub: MirrorServer
):
    names = [f"m{number}" for number in range(6)]
    both = ("main", "fp16")
    toml(
        project,
        "".join(
            f'[models.{name}]\nrepo = "{TINY}"\nrevision = "{both[number % 2]}"\n'
            for number, name in enumerate(names)
        ),
    )

    ended = run("lock", "--jobs", "4", GITHUB_ACTIONS="true")
    one = (project / "models.lock").read_bytes()
    (project / "models.lock").unlink()
    run("lock", "--jobs", "1")

    assert [model.name for model in lock_of(project).models] == names
    assert (project / "models.lock").read_bytes() == one
    assert ended.err.count("::group::") == ended.err.count("::endgroup::") == 1
    fetched = re.findall(r"fetched m(\d)/config\.json", ended.err)
    assert sorted(int(number) % 2 for number in fetched) == [0, 1]  # once for each revision
    assert run("verify").code == 0


def test_every_entry_that_cannot_be_resolved_is_told(run: Run, project: Path):
    toml(
        project,
        f'[models.good]\nrepo = "{TINY}"\n[models.gone]\nrepo = "no/such"\n'
        '[models.gated]\nrepo = "fixtures/bert-tiny-gated"\n',
    )

    ended = run("lock")

    assert ended.code == 4
    assert "no/such" in ended.err
    assert "gated" in ended.err
    assert not (project / "models.lock").exists()


def test_a_lock_made_twice_is_the_same_to_the_byte(run: Run, project: Path, tmp_path: Path):
    toml(project)
    run("lock")
    first = (project / "models.lock").read_bytes()

    (project / "models.lock").unlink()
    run("lock", HF_HOME=str(tmp_path / "other"))

    assert (project / "models.lock").read_bytes() == first


def test_what_is_locked_stays_without_a_question_until_it_is_upgraded(
    run: Run, project: Path, hub: MirrorServer
):
    toml(project)
    run("lock")
    first = (project / "models.lock").read_text()
    move_branch(hub)
    hub.forget()

    again = run("lock")

    assert (project / "models.lock").read_text() == first
    assert "up to date" in again.out
    assert hub.requests == ()

    dry = run("lock", "--upgrade", "--dry-run", "--json").json
    assert (project / "models.lock").read_text() == first
    (change,) = dry["changes"]
    assert set(change["changed"]) == {"commit"}
    assert change["modified"] == ["config.json"]

    assert run("lock", "--upgrade", "sentiment").code == 0
    assert lock_of(project).models[0].commit == change["changed"]["commit"]["new"]
    assert run("lock", "--upgrade", "nothing").code == 3
    assert run("lock", "sentiment").code == 2


def test_an_entry_that_wants_other_files_keeps_its_commit(
    run: Run, project: Path, hub: MirrorServer
):
    toml(project)
    run("lock")
    before = lock_of(project).models[0]
    (hub.library.root / TINY / "extra.txt").write_text("new")  # the branch moves on
    (hub.library.root / TINY / "extra.txt").unlink()
    toml(project, tail='for = ["numpy"]\n')

    assert run("lock").code == 0

    after = lock_of(project).models[0]
    assert after.commit == before.commit
    assert {file.path for file in after.files} == {"config.json", "model.safetensors"}


def test_check_says_what_does_not_fit_without_a_network(run: Run, project: Path):
    toml(project)
    missing = run("lock", "--check", HF_ENDPOINT=NOWHERE)
    run("lock")
    good = run("lock", "--check", HF_ENDPOINT=NOWHERE)
    toml(project, tail='revision = "fp16"\n')
    changed = run("lock", "--check", HF_ENDPOINT=NOWHERE)
    toml(project, "# nothing\n")
    gone = run("lock", "--check", "--json", HF_ENDPOINT=NOWHERE)

    assert (missing.code, good.code, changed.code, gone.code) == (7, 0, 7, 7)
    assert "sentiment is not locked" in missing.err
    assert "sentiment is changed" in changed.err
    assert gone.json["errors"][0]["kind"] == "LockOutOfDate"


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ('[models.a]\nrepo = "fixtures/nothing"\n', 3, "fixtures/nothing"),
        (f'[models.a]\nrepo = "{TINY}"\nrevision = "v9"\n', 3, "v9"),
        (f'[models.a]\nrepo = "{TINY}"\ninclude = ["*.onnx"]\n', 3, "no file"),
        ('[models.a]\nrepo = "fixtures/bert-tiny-gated"\n', 4, "gated"),
        ('[models.a]\nrepo = "a/b/c"\n', 2, "a/b/c"),
        (f'[policy]\nlicenses = ["mit"]\n[models.a]\nrepo = "{TINY}"\n', 9, "apache-2.0"),
        (f'[policy]\nmax-bytes = "1kB"\n[models.a]\nrepo = "{TINY}"\n', 9, "max-bytes"),
        (
            (
                '[models.a]\nrepo = "fixtures/bert-tiny-gated"\n'
                '[models.b]\nrepo = "fixtures/nothing"\n'
            ),
            4,
            "fixtures/nothing",
        ),
    ],
)
def test_what_cannot_be_locked_is_told_and_nothing_is_written(
    run: Run, project: Path, text: str, code: int, said: str
):
    toml(project, text)

    ended = run("lock")

    assert ended.code == code
    assert said in ended.err
    assert not (project / "models.lock").exists()


def test_risky_files_are_told_and_can_be_denied(run: Run, project: Path, hub: MirrorServer):
    folder = hub.library.root / TINY
    (folder / "training_args.bin").write_bytes(b"\x80\x02.")
    (folder / "config.json").write_text('{"auto_map": {"AutoModel": "x.Y"}}')
    toml(project, f'[models.a]\nrepo = "{TINY}"\nfor = ["all"]\n')

    assert run("lock").code == 0
    assert lock_of(project).models[0].risk == ("pickle", "remote-code")

    toml(project, f'[policy]\ndeny = ["pickle"]\n[models.a]\nrepo = "{TINY}"\nfor = ["all"]\n')
    denied = run("lock", "--check")
    assert denied.code == 9
    assert "training_args.bin" in denied.err


def test_what_the_policy_refuses_is_told_beside_what_cannot_be_had(
    run: Run, project: Path, hub: MirrorServer
):
    (hub.library.root / TINY / "training_args.bin").write_bytes(b"\x80\x02.")
    toml(
        project,
        f'[policy]\ndeny = ["pickle"]\n[models.a]\nrepo = "{TINY}"\nfor = ["all"]\n'
        '[models.b]\nrepo = "fixtures/nothing"\n',
    )

    ended = run("lock", "--json")

    assert ended.code == 9
    kinds = {error["kind"] for error in ended.json["errors"]}
    assert kinds == {"RepositoryNotFound", "UnsafeFile"}


def test_formats_are_chosen_in_the_order_of_the_policy(run: Run, project: Path, hub: MirrorServer):
    (hub.library.root / TINY / "pytorch_model.bin").write_bytes(b"weights")
    toml(project, f'[policy]\nformats = ["bin"]\n[models.a]\nrepo = "{TINY}"\n')

    assert run("lock").code == 0

    names = {file.path for file in lock_of(project).models[0].files}
    assert "pytorch_model.bin" in names
    assert "model.safetensors" not in names


def test_two_branches_of_a_lock_are_merged(run: Run, project: Path):
    both = f'[models.a]\nrepo = "{TINY}"\n[models.b]\nrepo = "fixtures/distilbert-tiny-h5"\n'
    toml(project, both)
    run("lock")
    whole = (project / "models.lock").read_text()
    first, second = lock_of(project).models
    ours = format_lock(Lock((first,))).removeprefix("version = 1\n")
    theirs = format_lock(Lock((second,))).removeprefix("version = 1\n")
    conflict = f"version = 1\n<<<<<<< HEAD\n{ours}=======\n{theirs}>>>>>>> other\n"
    (project / "models.lock").write_text(conflict)

    assert run("lock").code == 1
    mended = run("lock", "--resolve-conflicts", HF_ENDPOINT=NOWHERE)

    assert mended.code == 0, mended.err
    assert (project / "models.lock").read_text() == whole


def test_clashing_entries_of_a_conflict_are_resolved_anew(
    run: Run, project: Path, hub: MirrorServer
):
    toml(project)
    run("lock")
    ours = (project / "models.lock").read_text()
    move_branch(hub)
    run("lock", "--upgrade")
    theirs = (project / "models.lock").read_text()
    (project / "models.lock").write_text(f"<<<<<<< a\n{ours}=======\n{theirs}>>>>>>> b\n")

    assert run("lock", "--resolve-conflicts").code == 0

    assert (project / "models.lock").read_text() == theirs


def test_diff_shows_commits_files_bytes_and_licences(run: Run, project: Path, hub: MirrorServer):
    toml(project)
    run("lock")
    shutil.copy(project / "models.lock", project / "old.lock")
    readme = hub.library.root / TINY / "README.md"
    readme.write_text(readme.read_text().replace("apache-2.0", "mit"))
    move_branch(hub)
    run("lock", "--upgrade")

    shown = run("diff", "old.lock")
    (change,) = run("diff", "old.lock", "--json").json["changes"]

    assert "license: apache-2.0 -> mit" in shown.out
    assert "~ config.json" in shown.out
    assert change["bytes_added"] - change["bytes_removed"] == 1
    assert change["files"] == [file.path for file in lock_of(project).models[0].files]
    assert "no difference" in run("diff", "models.lock").out
    assert run("diff", "nothing.lock").code == 3


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_diff_compares_with_what_git_has(run: Run, project: Path):
    toml(project)
    run("lock")
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(project)]
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "x"]):
        subprocess.run([*git, *words], check=True)
    toml(project, "# nothing\n")
    run("lock")

    assert run("diff").out.startswith(f"- sentiment ({TINY}@main")


# init, add, remove


def test_a_project_is_begun_and_edited_with_comments_kept(run: Run, project: Path):
    (project / ".git").mkdir()
    assert run("init").code == 0
    assert run("init").code == 2
    assert "models.lock -merge" in (project / ".gitattributes").read_text()
    begun = (project / "models.toml").read_text()

    added = run("add", f"{TINY}@fp16", "--as", "half", "--for", "numpy")

    assert added.code == 0, added.err
    assert (project / "models.toml").read_text() == (
        f'{begun}\n[models.half]\nrepo = "{TINY}"\nrevision = "fp16"\nfor = ["numpy"]\n'
    )
    assert [model.name for model in lock_of(project).models] == ["half"]
    assert run("add", "fixtures/distilbert-tiny-h5").code == 0
    assert run("remove", TINY).code == 0
    assert [model.name for model in lock_of(project).models] == ["distilbert-tiny-h5"]
    assert run("remove", "half").code == 3


def test_models_that_are_added_at_once_are_all_there(
    run: Run, project: Path, hub: MirrorServer, tmp_path: Path
):
    run("init")
    names = ["fixtures/bert-tiny-sentiment", "fixtures/distilbert-tiny-h5"]
    env = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home")}
    words = [sys.executable, "-m", "hubloader", "add", "-q", "--for", "tokenizer"]
    commands = [[*words, name, "--as", f"{name[-2:]}{n}"] for n in range(2) for name in names]

    adding = [subprocess.Popen(each, cwd=project, env=env, text=True) for each in commands]

    assert [each.wait(LONG) for each in adding] == [0, 0, 0, 0]
    assert {model.name for model in lock_of(project).models} == {"nt0", "h50", "nt1", "h51"}
    assert run("lock", "--check").code == 0


def test_who_changes_the_models_keeps_others_waiting_no_longer_than_they_want(
    run: Run, project: Path
):
    toml(project)

    with changing(str(project / "models.toml")):
        ended = run("lock", "--wait-lock", "0.1")

    assert ended.code == 10
    assert f"process {os.getpid()}" in ended.err
    assert run("lock").code == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--check", "--sign", "key.pem"), "--check only looks: it does not go with --sign"),
        (("--check", "--upgrade"), "--check only looks: it does not go with --upgrade"),
        (("--dry-run", "--sign", "k"), "--dry-run only looks: it does not go with --sign"),
    ],
)
def test_what_only_looks_is_not_asked_to_act(
    run: Run, project: Path, options: tuple[str, ...], said: str
):
    toml(project)

    ended = run("lock", *options)

    assert ended.code == 2
    assert said in ended.err


def test_what_stands_in_for_models_toml_is_not_hidden_by_one(run: Run, project: Path):
    pyproject = project / "pyproject.toml"
    pyproject.write_text(f'[tool.hubloader.models.a]\nrepo = "{TINY}"\n')

    ended = run("init")

    assert ended.code == 2
    assert "pyproject.toml has a [tool.hubloader]" in ended.err
    assert not (project / "models.toml").exists()
    pyproject.write_text('[project]\nname = "x"\n')
    assert run("init").code == 0


def test_what_cannot_be_locked_is_not_added(run: Run, project: Path):
    toml(project)
    run("lock")
    before = (project / "models.toml").read_text(), (project / "models.lock").read_text()

    assert run("add", "fixtures/nothing").code == 3

    assert ((project / "models.toml").read_text(), (project / "models.lock").read_text()) == before


def test_add_begins_a_project_where_there_is_none(run: Run, project: Path):
    assert run("add", "fixtures/nothing").code == 3
    assert list(project.iterdir()) == []
    assert run("add", TINY).code == 0
    assert sorted(path.name for path in project.iterdir()) == ["models.lock", "models.toml"]


# sync


def test_sync_brings_the_locked_commit_and_then_asks_nobody(
    run: Run, project: Path, hub: MirrorServer, tmp_path: Path
):
    toml(project)
    run("lock")
    commit = lock_of(project).models[0].commit
    move_branch(hub)  # the old commit is gone from this Hub
    moved = run("sync", "--frozen", HF_HOME=str(tmp_path / "two"))
    assert moved.code == 3

    run("lock", "--upgrade")
    first = run("sync", "--json")
    hub.forget()
    again = run("sync", "--locked")
    offline = run("sync", "--frozen", "--offline", HF_ENDPOINT=NOWHERE)

    assert first.code == again.code == offline.code == 0
    (model,) = first.json["models"]
    assert model["commit"] != commit
    assert hub.requests == ()
    assert "was there" in again.out
    refs = Path(model["path"]).parents[1] / "refs"
    assert (refs / "hubloader/sentiment").read_text() == model["commit"]
    assert (refs / "main").read_text() == model["commit"]


@pytest.mark.parametrize("gone", ["refs/main", "refs/hubloader/sentiment", ".no_exist"])
def test_a_sync_with_nothing_to_fetch_notes_again_what_is_gone(
    run: Run, project: Path, gone: str, tmp_path: Path
):
    toml(project)
    run("sync")
    (repo,) = tmp_path.glob("home/hub/models--*")
    before = [path for path in repo.rglob("*") if path.is_relative_to(repo / gone)]
    assert any(path.is_file() for path in before)
    move = shutil.rmtree if (repo / gone).is_dir() else os.unlink
    move(repo / gone)

    assert "was there" in run("sync", "--locked").out

    assert all(path.exists() for path in before)


def test_what_two_entries_share_is_counted_once(run: Run, project: Path):
    toml(project, f'[models.a]\nrepo = "{TINY}"\n[models.b]\nrepo = "{TINY}"\nfor = ["torch"]\n')
    run("lock")

    done = run("sync", "--json").json

    first, second = done["models"]
    assert first["fetched_bytes"] > 0
    assert second["fetched_bytes"] == 0


def test_the_three_switches_are_separate(run: Run, project: Path):
    toml(project)
    assert run("sync", "--locked").code == 7
    assert run("sync", "--frozen").code == 3
    assert run("sync", "--locked", "--frozen").code == 2
    run("lock")
    assert run("sync", "--frozen", "--offline").code == 6
    assert run("sync", "--locked", "--offline").code == 6
    toml(project, tail='revision = "fp16"\n')
    assert run("sync", "--locked").code == 7
    assert run("sync", "--frozen").code == 0
    (project / "models.toml").unlink()
    assert run("sync", "--frozen").code == 0
    assert run("sync").code == 3


def test_plain_sync_locks_what_changed_first(run: Run, project: Path):
    toml(project)

    ended = run("sync", "--json")

    assert ended.code == 0
    assert [change["change"] for change in ended.json["changes"]] == ["added"]
    assert lock_of(project).models[0].name == "sentiment"


def test_a_branch_in_the_cache_moves_only_when_that_is_asked(
    run: Run, project: Path, hub: MirrorServer, tmp_path: Path
):
    run("prefetch", TINY)
    (main,) = tmp_path.glob("home/hub/models--*/refs/main")
    old = main.read_text()
    move_branch(hub)
    toml(project)

    run("sync")
    assert main.read_text() == old
    run("sync", "--set-refs")
    assert main.read_text() == lock_of(project).models[0].commit != old


def test_print_env_says_what_a_later_stage_needs(run: Run, project: Path, tmp_path: Path):
    toml(project)
    ended = run("sync", "--print-env", "-q")

    assert ended.out.splitlines() == [
        f"HF_HOME={tmp_path / 'home'}",
        "HF_HUB_OFFLINE=1",
        f"HUBLOADER_LOCK={project / 'models.lock'}",
    ]
    assert "allow_patterns=['config.json'" in ended.err
    relative = run("sync", "--print-env", "-q", HF_HOME="here", HF_HUB_CACHE="there")
    assert relative.out.splitlines()[:2] == [
        f"HF_HOME={project / 'here'}",
        f"HF_HUB_CACHE={project / 'there'}",
    ]


def test_bytes_other_than_the_locked_ones_are_refused(run: Run, project: Path, hub: MirrorServer):
    toml(project)
    run("lock")
    text = (project / "models.lock").read_text()
    (model,) = parse_lock(text).models
    files = tuple(
        replace(f, sha256="0" * 64) if f.path == "config.json" else f for f in model.files
    )
    forged = replace(model, files=files)
    (project / "models.lock").write_text(format_lock(Lock((forged,))))

    ended = run("sync", "--frozen")

    assert ended.code == 5
    assert "config.json" in ended.err


def test_eight_processes_share_one_download(
    hub: MirrorServer, project: Path, run: Run, tmp_path: Path
):
    weights = hub.library.root / TINY / "model.safetensors"
    weights.write_bytes(weights.read_bytes() + os.urandom(20_000_000))
    toml(project)
    run("lock")
    hub.forget()
    env = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "shared")}

    command = [sys.executable, "-m", "hubloader", "sync", "--frozen", "--json", "-q"]
    crew = [
        subprocess.Popen(command, cwd=project, env=env, stdout=subprocess.PIPE) for _ in range(8)
    ]
    answers = [json.loads(process.communicate(timeout=LONG)[0]) for process in crew]

    assert all(answer["ok"] for answer in answers)
    bodies = [r for r in hub.requests if r.origin == "content" and r.method == "GET"]
    assert len(bodies) == 1
    hub.stop()
    tokenizer = hubloader.AutoTokenizer.from_pretrained(
        "sentiment", lock=project / "models.lock", cache_dir=tmp_path / "shared/hub"
    )
    assert tokenizer(TEXT)["input_ids"]


# loading by lock


@pytest.fixture
def synced(run: Run, project: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    toml(project, tail='for = ["tokenizer", "numpy"]\n')
    assert run("sync").code == 0
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    return project / "models.lock"


def test_a_locked_load_reads_the_locked_commit_and_asks_nobody(
    synced: Path, hub: MirrorServer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    move_branch(hub)
    hub.forget()

    by_name = hubloader.AutoTokenizer.from_pretrained("sentiment", lock=synced)
    by_repo = hubloader.AutoTokenizer.from_pretrained(TINY, lock=str(synced))
    monkeypatch.setenv("HUBLOADER_LOCK", str(synced))
    model = hubloader.NpAutoModelForSequenceClassification.from_pretrained("sentiment")

    assert by_name(TEXT)["input_ids"] == by_repo(TEXT)["input_ids"]
    assert model(**by_name(TEXT, return_tensors="np")).logits.shape == (1, 3)
    assert hub.requests == ()


def test_a_locked_load_of_anything_else_is_refused(synced: Path):
    load = hubloader.AutoTokenizer.from_pretrained

    with pytest.raises(LockOutOfDate, match="no model 'other/model'"):
        load("other/model", lock=synced)
    with pytest.raises(LockOutOfDate, match="fp16"):
        load("sentiment", revision="fp16", lock=synced)
    with pytest.raises(LockOutOfDate, match="fp16"):
        load(f"{TINY}@fp16", lock=synced)
    assert load(TINY, revision="main", lock=synced)


def test_a_locked_load_says_what_is_not_synced(
    synced: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "empty"))

    with pytest.raises(CacheMiss, match=r"tokenizer\.json") as caught:
        hubloader.AutoTokenizer.from_pretrained("sentiment", lock=synced)

    assert "hubloader sync" in str(caught.value)
    assert caught.value.exit_code == 6


def test_a_locked_load_wants_a_use_that_was_locked(run: Run, project: Path, tmp_path: Path):
    toml(project, tail='for = ["tokenizer"]\n')
    run("sync")

    with pytest.raises(EntryNotFound, match="weights"):
        hubloader.NpAutoModelForSequenceClassification.from_pretrained(
            "sentiment", lock=project / "models.lock", cache_dir=tmp_path / "home/hub"
        )


def test_a_locked_load_never_reads_other_bytes(synced: Path, tmp_path: Path):
    (pointer,) = tmp_path.glob("home/hub/models--*/snapshots/*/config.json")
    blob = pointer.resolve()
    blob.chmod(0o644)
    blob.write_bytes(blob.read_bytes().replace(b"0", b"1"))

    with pytest.raises((CacheMiss, IntegrityError)):
        hubloader.AutoTokenizer.from_pretrained("sentiment", lock=synced)


def test_a_saved_folder_is_loaded_while_a_lock_is_in_force(
    synced: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("HUBLOADER_LOCK", str(synced))
    tokenizer = hubloader.AutoTokenizer.from_pretrained("sentiment")
    tokenizer.save_pretrained(str(tmp_path / "saved"))

    again = hubloader.AutoTokenizer.from_pretrained(str(tmp_path / "saved"))

    assert again(TEXT)["input_ids"] == tokenizer(TEXT)["input_ids"]


@pytest.mark.oracle
@pytest.mark.torch
def test_unmodified_transformers_loads_the_synced_cache_offline(
    run: Run, project: Path, tmp_path: Path
):
    pytest.importorskip("transformers")
    toml(project)
    synced = run("sync", "--json").json
    (model,) = synced["models"]
    program = f"""
import socket
def refuse(*arguments, **options):
    raise AssertionError("a socket was opened")
socket.socket.connect = refuse
from huggingface_hub import snapshot_download
from transformers import AutoModelForSequenceClassification, AutoTokenizer
tokenizer = AutoTokenizer.from_pretrained({TINY!r})
model = AutoModelForSequenceClassification.from_pretrained({TINY!r})
assert model(**tokenizer({TEXT!r}, return_tensors="pt")).logits.shape == (1, 3)
path = snapshot_download({TINY!r}, allow_patterns={model["files"]!r})
assert path == {model["path"]!r}, path
print("loaded")
"""
    env = {**os.environ, **synced["env"]}
    del env["HUBLOADER_LOCK"]

    done = subprocess.run(
        [sys.executable, "-c", program], env=env, capture_output=True, text=True, check=False
    )

    assert done.stdout.strip() == "loaded", done.stderr


# what a log shows


def test_a_log_has_a_line_a_file_and_no_bar(run: Run, project: Path):
    toml(project)
    run("lock")

    plain = run("sync", "--frozen").err
    assert "fetched model.safetensors" in plain
    assert "\r" not in plain


def test_a_json_log_is_one_event_a_line(run: Run, project: Path):
    toml(project)
    run("lock")

    ended = run("sync", "--frozen", "--log-format", "json", "--json")

    events = [json.loads(line) for line in ended.err.splitlines()]
    assert events[0]["event"] == "begin"
    assert events[-1]["event"] == "end"
    assert ended.json["ok"]


def test_the_log_of_a_ci_is_folded(run: Run, project: Path, tmp_path: Path):
    toml(project)
    run("lock")

    github = run("sync", "--frozen", GITHUB_ACTIONS="true").err
    gitlab = run("sync", "--frozen", GITLAB_CI="true", HF_HOME=str(tmp_path / "two")).err

    assert github.startswith("::group::hubloader: 1 files")
    assert "\n::endgroup::\nfetched 1 of 1 files" in github
    assert "section_start:" in gitlab


def test_the_page_of_a_step_gets_a_table(run: Run, project: Path, tmp_path: Path):
    page = tmp_path / "summary.md"
    page.write_text("before\n")
    toml(project)

    run("sync", GITHUB_STEP_SUMMARY=str(page))
    run("prefetch", TINY, "fixtures/bert-tiny-gated", GITHUB_STEP_SUMMARY=str(page))
    failed = run("sync", GITHUB_STEP_SUMMARY=str(page), HUBLOADER_LIMIT_RATE="x")
    nowhere = run("sync", "--frozen", GITHUB_STEP_SUMMARY=str(tmp_path / "no/such.md"))

    text = page.read_text()
    commit = lock_of(project).models[0].commit[:12]
    assert text.startswith("before\n### hubloader sync\n\n| model | repository | commit |")
    assert f"| sentiment | {TINY}@main | {commit} |" in text
    assert "### hubloader prefetch" in text
    assert "- error: the repository is gated" in text
    assert failed.code == 2
    assert nowhere.code == 0
    assert "cannot be written" in nowhere.err


def test_a_sync_that_fails_says_so_on_the_page_of_the_step(run: Run, project: Path, tmp_path: Path):
    toml(project)
    run("lock")
    page = tmp_path / "summary.md"

    missing = run(
        "sync", "--offline", HF_HOME=str(tmp_path / "none"), GITHUB_STEP_SUMMARY=str(page)
    )

    assert missing.code == 6
    assert "- error: " in page.read_text()


def test_a_terminal_gets_a_bar(run: Run, project: Path, hub: MirrorServer, tmp_path: Path):
    fcntl, pty, termios = map(pytest.importorskip, ("fcntl", "pty", "termios"))
    toml(project)
    run("lock")
    env = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home")}
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    command = [sys.executable, "-m", "hubloader", "sync", "--frozen"]
    process = subprocess.Popen(command, cwd=project, env=env, stdout=theirs, stderr=theirs)
    os.close(theirs)
    shown = b""
    while True:
        try:
            data = os.read(ours, 65536)
        except OSError:  # Linux's end of a terminal
            break
        if not data:
            break
        shown += data
    os.close(ours)

    assert process.wait(timeout=LONG) == 0
    assert b"Fetching" in shown
    assert b"sentiment" in shown


# limits


def test_a_lock_that_is_held_too_long_is_10_and_says_by_whom(
    run: Run, project: Path, tmp_path: Path
):
    toml(project)
    run("lock")
    weights = next(f for f in lock_of(project).models[0].files if f.git_sha1 is None)
    store = CacheStore(tmp_path / "home/hub")

    with store.blob_lock(lock_of(project).models[0].repo, weights.sha256):
        ended = run("sync", "--frozen", "--wait-lock", "0.2")

    assert ended.code == 10
    assert str(os.getpid()) in ended.err


def test_what_does_not_fit_on_the_disk_is_refused_before_the_first_byte(
    run: Run, project: Path, hub: MirrorServer
):
    toml(project)
    run("lock")
    text = (project / "models.lock").read_text()
    (model,) = parse_lock(text).models
    files = tuple(replace(f, size=2**60) if f.git_sha1 is None else f for f in model.files)
    (project / "models.lock").write_text(format_lock(Lock((replace(model, files=files),))))
    hub.forget()

    assert run("sync", "--frozen").code == 8
    assert hub.requests == ()


def test_nothing_reachable_is_75_and_a_few_tries(run: Run, project: Path):
    toml(project)
    assert run("lock", HF_ENDPOINT=NOWHERE).code == 75
    run("lock")
    ended = run("sync", "--frozen", "--retries", "0", "--timeout", "1", HF_ENDPOINT=NOWHERE)
    assert ended.code == 75
    assert run("sync", "--limit-rate", "fast").code == 2
    assert run("sync", "--jobs", "0").code == 2


# interrupts


BEGUN = "print('begun', flush=True); from hubloader.cli.main import main; main()"


@pytest.mark.parametrize("command", ["sync", "prefetch", "lock"])
@pytest.mark.parametrize("round_", range(2))
def test_a_signal_at_any_time_leaves_what_the_next_run_completes(
    hub: MirrorServer, project: Path, run: Run, tmp_path: Path, command: str, round_: int
):
    weights = hub.library.root / TINY / "model.safetensors"
    weights.write_bytes(weights.read_bytes() + os.urandom(10_000_000))
    toml(project)
    if command == "sync":
        run("lock")
    chance = random.Random(f"{command} {round_}")
    after, number = chance.uniform(0, 1.2), chance.choice([signal.SIGINT, signal.SIGTERM])
    options = {
        "sync": ("--frozen", "--limit-rate", "20MB"),
        "prefetch": (TINY, "--limit-rate", "20MB"),
        "lock": (),
    }[command]
    env = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home")}
    words = [sys.executable, "-c", BEGUN, command, "-q", *options]
    pipe = subprocess.PIPE
    process = subprocess.Popen(words, cwd=project, env=env, stdout=pipe, stderr=pipe, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"  # from here on it is ours what a signal does

    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=after)
    process.send_signal(number)
    _, err = process.communicate(timeout=KILLED)

    assert process.returncode in {0, 128 + number, -number}, f"{number!r} after {after} s: {err}"
    assert run(command, *options).code == 0
    assert run("sync").code == 0
    assert run("verify", "--lock", "models.lock").code == 0


class _Silence(ThreadingHTTPServer):
    """A server that takes requests and says nothing for as long as the test runs."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Silent)
        self.asked = threading.Event()
        self.over = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Silent(BaseHTTPRequestHandler):
    server: _Silence

    def do_GET(self) -> None:
        self.server.asked.set()
        self.server.over.wait(2 * LONG)

    def do_HEAD(self) -> None:
        self.do_GET()

    def log_message(self, *_: object) -> None:
        """Say nothing here, too."""


@pytest.fixture
def silent() -> Iterator[_Silence]:
    server = _Silence()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.over.set()
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("command", ["sync", "lock", "prefetch"])
def test_a_server_that_is_silent_does_not_hold_who_is_told_to_end(
    run: Run, project: Path, tmp_path: Path, silent: _Silence, number: signal.Signals, command: str
):
    toml(project)
    run("lock", HF_HOME=str(tmp_path / "elsewhere"))
    if command == "lock":
        (project / "models.lock").unlink()
    options = {"sync": ["--frozen"], "lock": [], "prefetch": [TINY]}[command]
    env = {**os.environ, "HF_ENDPOINT": silent.url, "HF_HOME": str(tmp_path / "home")}
    env["HUBLOADER_IDLE_TIMEOUT"] = env["HUBLOADER_REFRESH_TIMEOUT"] = "300"
    words = [sys.executable, "-m", "hubloader", command, *options]
    process = subprocess.Popen(words, cwd=project, env=env, stderr=subprocess.PIPE, text=True)
    assert silent.asked.wait(LONG)

    process.send_signal(number)
    _, err = process.communicate(timeout=KILLED)

    assert process.returncode == 128 + number
    assert "interrupted" in err


def test_a_lock_that_another_holds_does_not_hold_who_is_told_to_end(
    run: Run, project: Path, tmp_path: Path, hub: MirrorServer
):
    toml(project)
    run("lock")
    (model,) = lock_of(project).models
    store = CacheStore(tmp_path / "home/hub")
    env = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home")}
    words = [sys.executable, "-m", "hubloader", "sync", "--frozen"]

    with store.blob_lock(model.repo, model.files[1].entry.etag):
        process = subprocess.Popen(words, cwd=project, env=env, stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        while "waiting for" not in process.stderr.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=KILLED)

    assert process.returncode == 128 + signal.SIGTERM


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_puts_a_sync_down_where_the_next_one_takes_it_up(
    hub: MirrorServer, halt: Halt, project: Path, run: Run, tmp_path: Path, number: signal.Signals
):
    weights = hub.library.root / TINY / "model.safetensors"
    weights.write_bytes(weights.read_bytes() + os.urandom(30_000_000))
    toml(project)
    run("lock")
    home = tmp_path / "home"
    env = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HOME": str(home)}
    env["HUBLOADER_IDLE_TIMEOUT"] = str(LONG)
    command = [sys.executable, "-m", "hubloader", "sync", "--frozen", "-q"]
    halt.wanted = True
    process = subprocess.Popen(command, cwd=project, env=env, stderr=subprocess.PIPE, text=True)
    assert halt.halted.wait(LONG)
    while partial_bytes(home) < MIDDLE - 2_000_000:  # what was sent is on its way there
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.01)

    process.send_signal(number)
    _, err = process.communicate(timeout=KILLED)

    assert process.returncode == 128 + number
    assert "interrupted" in err
    assert partial_bytes(home) >= MIDDLE - 2_000_000
    halt.wanted = False
    hub.forget()
    assert run("sync", "--frozen").code == 0
    (resumed,) = [r for r in hub.requests if r.origin == "content" and r.method == "GET"]
    assert int(resumed.headers["range"].removeprefix("bytes=").rstrip("-").split("-")[0]) > 0


def partial_bytes(home: Path) -> int:
    found = home.glob("hub/models--*/.hubloader/partials/*/*")
    return max((path.stat().st_size for path in found), default=0)
