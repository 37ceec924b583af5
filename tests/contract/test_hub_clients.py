"""Unmodified clients of the Hub, pointed at the mirror with ``HF_ENDPOINT``, find a Hub there.

Each client runs in a process of its own: they read the environment when they are imported.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hubloader.mirror import MirrorServer

pytestmark = pytest.mark.oracle

LONG_AGO = 1_600_000_000  # seconds since the epoch
WEIGHTS = bytes(range(256)) * 4000
SENTIMENT = "distilbert-base-uncased-finetuned-sst-2-english"
TOKEN = "hf_reader"

Ask = Callable[..., Any]

PRELUDE = """
import json, os, sys
from huggingface_hub import HfApi, errors, hf_hub_download, scan_cache_dir, snapshot_download

api = HfApi()
def kind(call):
    try:
        call()
    except Exception as error:
        return type(error).__name__
    return "no error"
def tell(value):
    print(json.dumps(value))
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hub")
    files: dict[str, bytes] = {
        "org/tiny/config.json": b'{"model_type": "bert"}',
        "org/tiny/model.safetensors": WEIGHTS,
        "org/tiny/sub/deep/notes.txt": b"notes",
        "org/tiny@v1.0/config.json": b"{}",
        "org/tiny@refs%2Fpr%2F1/config.json": b'{"pr": 1}',
        "org/gated/config.json": b"{}",
        "org/private/config.json": b"{}",
        "datasets/org/data/x.csv": b"1,2\n",
        "spaces/org/app/app.py": b"pass\n",
    }
    files |= {f"org/many/f{number:04d}.txt": b"%d" % number for number in range(1203)}
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        os.utime(path, (LONG_AGO, LONG_AGO))
    settings = {
        "aliases": {"tiny": "org/tiny", "old/tiny": "org/tiny"},
        "gated": ["org/gated"],
        "private": ["org/private"],
        "tokens": {TOKEN: ["*"], "hf_stranger": []},
        "tags": {"org/tiny": ["v1.0"]},
    }
    (folder / "hub.json").write_text(json.dumps(settings))
    return folder


@pytest.fixture(scope="module")
def server(root: Path) -> Iterator[MirrorServer]:
    with MirrorServer(root, record=True) as running:
        yield running


def run_python(code: str, endpoint: str, home: Path, **environment: str) -> Any:
    """Run ``code`` against ``endpoint``; the last line it prints is JSON, and the result."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={
            **os.environ,
            "HF_ENDPOINT": endpoint,
            "HF_HOME": str(home),
            "HF_HUB_DOWNLOAD_TIMEOUT": "120",  # a busy machine may be slow to answer
            "HF_HUB_ETAG_TIMEOUT": "120",
            **environment,
        },
        cwd=home,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture
def ask(server: MirrorServer, tmp_path: Path) -> Ask:
    def run(code: str, **environment: str) -> Any:
        server.forget()
        return run_python(PRELUDE + textwrap.dedent(code), server.url, tmp_path, **environment)

    return run


def test_huggingface_hub_downloads_files_regular_and_lfs_whole(ask: Ask) -> None:
    found = ask("""
        config = hf_hub_download("org/tiny", "config.json")
        weights = hf_hub_download("org/tiny", "model.safetensors")
        deep = hf_hub_download("org/tiny", "notes.txt", subfolder="sub/deep")
        tell([open(config).read(), list(open(weights, "rb").read()[:5]),
              os.path.getsize(weights), open(deep).read(), scan_cache_dir().warnings == []])
    """)

    assert found == ['{"model_type": "bert"}', [0, 1, 2, 3, 4], len(WEIGHTS), "notes", True]


def test_huggingface_hub_takes_a_snapshot_of_a_branch_a_tag_a_pull_request_and_a_commit(
    ask: Ask,
) -> None:
    found = ask("""
        def content(revision):
            folder = snapshot_download("org/tiny", revision=revision)
            return open(os.path.join(folder, "config.json")).read()
        commit = api.model_info("org/tiny", revision="v1.0").sha
        tell([content(revision) for revision in (None, "v1.0", "refs/pr/1", commit)])
    """)

    assert found == ['{"model_type": "bert"}', "{}", '{"pr": 1}', "{}"]


def test_huggingface_hub_follows_a_renamed_repository(ask: Ask) -> None:
    found = ask("""
        one = snapshot_download("tiny")
        two = hf_hub_download("old/tiny", "model.safetensors")
        tell([sorted(os.listdir(one)), os.path.getsize(two), api.model_info("tiny").id])
    """)

    assert found == [["config.json", "model.safetensors", "sub"], len(WEIGHTS), "org/tiny"]


def test_huggingface_hub_reads_datasets_and_spaces(ask: Ask) -> None:
    found = ask("""
        data = hf_hub_download("org/data", "x.csv", repo_type="dataset")
        app = snapshot_download("org/app", repo_type="space")
        tell([open(data).read(), os.listdir(app), api.dataset_info("org/data").id,
              api.space_info("org/app").id])
    """)

    assert found == ["1,2\n", ["app.py"], "org/data", "org/app"]


def test_huggingface_hub_reads_info_with_sizes_and_hashes(ask: Ask) -> None:
    found = ask("""
        info = api.model_info("org/tiny", files_metadata=True)
        weights = next(s for s in info.siblings if s.rfilename == "model.safetensors")
        config = next(s for s in info.siblings if s.rfilename == "config.json")
        tell([len(info.sha), weights.size, weights.lfs.size, len(weights.lfs.sha256),
              config.size, config.blob_id, config.lfs, info.private, info.gated,
              api.model_info("org/gated").gated, str(info.last_modified)])
    """)

    size = len(WEIGHTS)
    as_git_names_it = "46332c50668921e90868a1d44a2550bb60ffdb1d"
    assert found[:6] == [40, size, size, 64, 22, as_git_names_it]
    assert found[6:] == [None, False, False, "manual", "2020-09-13 12:26:40+00:00"]


def test_huggingface_hub_lists_the_tree_page_by_page(ask: Ask, server: MirrorServer) -> None:
    found = ask("""
        many = [item.path for item in api.list_repo_tree("org/many", recursive=True)]
        tiny = [(item.path, type(item).__name__) for item in
                api.list_repo_tree("org/tiny", recursive=True)]
        sub = [item.path for item in api.list_repo_tree("org/tiny", "sub")]
        expanded = list(api.list_repo_tree("org/tiny", expand=True))
        tell([len(many), many == sorted(many), tiny, sub, expanded[0].last_commit.title])
    """)

    assert found[:2] == [1203, True]
    assert ["sub/deep", "RepoFolder"] in found[2]
    assert ["sub/deep/notes.txt", "RepoFile"] in found[2]
    assert found[3] == ["sub/deep"]
    assert found[4]
    pages = [r for r in server.requests if "/org/many/tree/" in r.path]
    assert len(pages) == 2


def test_huggingface_hub_lists_refs(ask: Ask) -> None:
    found = ask("""
        refs = api.list_repo_refs("org/tiny", include_pull_requests=True)
        tell([[r.name for r in refs.branches], [r.name for r in refs.tags],
              [r.ref for r in refs.pull_requests],
              refs.branches[0].target_commit == api.model_info("org/tiny").sha])
    """)

    assert found == [["main"], ["v1.0"], ["refs/pr/1"], True]


def test_huggingface_hub_describes_paths(ask: Ask) -> None:
    found = ask("""
        items = api.get_paths_info("org/tiny", ["config.json", "sub", "nothing"])
        exists = [api.file_exists("org/tiny", name) for name in ("config.json", "nothing")]
        tell([[item.path for item in items], exists, api.repo_exists("org/nothing"),
              api.revision_exists("org/tiny", "v9")])
    """)

    assert found == [["config.json", "sub"], [True, False], False, False]


def test_huggingface_hub_raises_its_own_error_for_each_refusal(ask: Ask) -> None:
    found = ask("""
        tell([
            kind(lambda: hf_hub_download("org/tiny", "nothing.json")),
            kind(lambda: hf_hub_download("org/tiny", "config.json", revision="v9")),
            kind(lambda: hf_hub_download("org/nothing", "config.json")),
            kind(lambda: hf_hub_download("org/private", "config.json")),
            kind(lambda: hf_hub_download("org/gated", "config.json")),
            kind(lambda: hf_hub_download("org/gated", "config.json", token="hf_stranger")),
            kind(lambda: hf_hub_download("org/private", "config.json", token="hf_stranger")),
            kind(lambda: snapshot_download("org/nothing")),
            kind(lambda: api.whoami(token="hf_nobody")),
        ])
    """)

    assert found == [
        "RemoteEntryNotFoundError",
        "RevisionNotFoundError",
        "RepositoryNotFoundError",
        "RepositoryNotFoundError",
        "GatedRepoError",
        "GatedRepoError",
        "RepositoryNotFoundError",
        "RepositoryNotFoundError",
        "HfHubHTTPError",
    ]


def test_huggingface_hub_gets_gated_and_private_files_with_a_token(
    ask: Ask, server: MirrorServer
) -> None:
    found = ask(
        """
        gated, private = (hf_hub_download(f"org/{n}", "config.json") for n in ("gated", "private"))
        hf_hub_download("org/tiny", "model.safetensors")
        tell([open(gated).read(), open(private).read(), api.whoami()["type"]])
        """,
        HF_TOKEN=TOKEN,
    )

    assert found == ["{}", "{}", "user"]
    content = [r for r in server.requests if r.origin == "content"]
    assert content
    assert all("authorization" not in r.headers for r in content)


def test_huggingface_hub_finds_everything_cached_with_one_request(
    ask: Ask, server: MirrorServer
) -> None:
    ask("""tell(snapshot_download("org/tiny"))""")

    ask("""tell(snapshot_download("org/tiny"))""")

    asked = [r for r in server.requests if r.status < 300]
    assert [r.path for r in asked] == ["/api/models/org/tiny/revision/main"]


def test_huggingface_hub_verifies_the_files_it_has_against_the_mirror(ask: Ask) -> None:
    found = ask("""
        snapshot_download("org/tiny")
        checked = api.verify_repo_checksums("org/tiny")
        tell([checked.checked_count, len(checked.mismatches), len(checked.missing_paths)])
    """)

    assert found == [3, 0, 0]


@pytest.mark.torch
def test_transformers_loads_tokenizer_and_classifier(fixture_hub: Path, tmp_path: Path) -> None:
    code = f"""
import json, torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer
name = {SENTIMENT!r}
tokenizer = AutoTokenizer.from_pretrained(name)
model = AutoModelForSequenceClassification.from_pretrained(name)
batch = tokenizer("We are very happy to show you the 🤗 Transformers library.", return_tensors="pt")
with torch.no_grad():
    logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
print(json.dumps([batch["input_ids"][0].tolist(), model.config.id2label[logits.argmax().item()]]))
"""
    with MirrorServer(fixture_hub, record=True) as server:
        ids, label = run_python(code, server.url, tmp_path)
        statuses = {r.status for r in server.requests}

    assert ids == [101, 2057, 2024, 2200, 3407, 2000, 2265, 2017, 1996, 100, 19081, 3075, 1012, 102]
    assert label == "POSITIVE"
    assert not {status for status in statuses if status >= 500}
