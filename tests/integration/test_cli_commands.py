"""The command line as a user meets it: a process, its output, its exit code."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ports import reserved_port

from hubloader.mirror import MirrorServer

SENTIMENT = "distilbert-base-uncased-finetuned-sst-2-english"
TINY = "fixtures/bert-tiny-sentiment"
TEXT = "We are very happy to show you the 🤗 Transformers library."
IDS = [101, 2057, 2024, 2200, 3407, 2000, 2265, 2017, 1996, 100, 19081, 3075, 1012, 102]
READER = "hf_fixtures_reader_no_secret"
LONG = 300  # seconds: what takes longer hangs


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Ended]


def hubloader(*arguments: str, **environment: str) -> Ended:
    done = subprocess.run(
        [sys.executable, "-m", "hubloader", *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=LONG,
        check=False,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="module")
def server(fixture_hub: Path) -> Iterator[MirrorServer]:
    with MirrorServer(fixture_hub, record=True) as running:
        yield running


@pytest.fixture
def run(server: MirrorServer, tmp_path: Path) -> Run:
    def call(*arguments: str, **environment: str) -> Ended:
        defaults = {"HF_ENDPOINT": server.url, "HF_HOME": str(tmp_path / "home")}
        return hubloader(*arguments, **{**defaults, **environment})

    return call


def test_the_version_is_printed() -> None:
    ended = hubloader("--version")

    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith("hubloader ")


def test_help_lists_every_command_and_each_has_its_own() -> None:
    listed = hubloader("--help").out

    for name in ("classify", "env", "info", "ls", "path", "prefetch", "serve", "tokenize"):
        assert f"\n  {name} " in listed
    assert "--for" in hubloader("prefetch", "--help").out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["prefech"], "did you mean 'prefetch'?"),
        (["ls", "--nonsense"], "--nonsense"),
        (["prefetch"], "NAME"),
        (["prefetch", "x", "--for", "jax"], "jax"),
        (["ls", "--endpoint", "mirror"], "http://"),
        (["ls", "--repo-type", "kernel"], "kernel"),
        (["info", "a/b/c"], "a/b/c"),
        (["info", "a@b..c"], "b..c"),
        (["serve", "--port", "70000"], "--port"),
    ],
)
def test_wrong_usage_is_2_and_says_what(arguments: list[str], said: str) -> None:
    plain = hubloader(*arguments)
    as_json = hubloader(*arguments, "--json")

    assert (plain.code, plain.out) == (2, "")
    assert plain.err.startswith("error: ")
    assert said in plain.err
    assert "hint: " in plain.err
    assert (as_json.code, as_json.json["exit_code"]) == (2, 2)


def test_prefetch_brings_what_a_use_needs_with_one_listing(run: Run, server: MirrorServer) -> None:
    server.forget()

    first = run("prefetch", SENTIMENT, "--for", "tokenizer", "--for", "numpy")

    assert first.code == 0
    assert f"{SENTIMENT}@main" in first.out
    assert "fetched vocab.txt" in first.err
    asked = [request for request in server.requests if request.status < 300]
    assert len(asked) == 1 + 4

    server.forget()
    second = run("prefetch", SENTIMENT)

    assert "all was there" in second.out
    assert len([request for request in server.requests if request.status < 300]) == 1


def test_prefetch_tells_what_it_would_fetch_and_fetches_nothing(
    run: Run, server: MirrorServer, tmp_path: Path
) -> None:
    server.forget()
    told = run("prefetch", TINY, "--dry-run")
    document = run("prefetch", TINY, "--dry-run", "--json").json
    asked = [request for request in server.requests if "/resolve/" in request.path]
    run("prefetch", TINY)

    assert "would fetch" in told.out
    assert asked == []
    (repository,) = document["repositories"]
    assert document["dry_run"]
    assert repository["fetched_bytes"] == repository["size"] > 0
    assert len(repository["files"]) == 4
    assert [file["path"] for file in repository["plan"]] == repository["files"]
    assert sum(file["fetched_bytes"] for file in repository["plan"]) == repository["size"]
    listed = [line.split() for line in told.out.splitlines() if line.startswith("  ")]
    assert [words[0] for words in listed] == repository["files"]
    assert all(words[-1] == "fetched" for words in listed)
    again = run("prefetch", TINY, "--dry-run").out
    assert again.count("is there") == 4
    assert "all was there" in run("prefetch", TINY, "--dry-run").out


def test_a_bundle_and_a_document_do_not_share_stdout(run: Run) -> None:
    ended = run("export", TINY, "-o", "-", "--json")

    assert ended.code == 2
    assert ended.json["errors"][0]["kind"] == "UsageError"


def test_an_option_that_there_is_not_is_named_once(run: Run) -> None:
    ended = run("prefetch", TINY, "--frob")

    assert ended.code == 2
    assert ended.err.count("--frob") == 1


def test_prefetch_chooses_files_by_pattern(run: Run) -> None:
    ended = run("prefetch", TINY, "--include", "*.json", "--exclude", "token*", "--json")

    (repository,) = ended.json["repositories"]
    assert repository["files"] == ["config.json"]
    assert (Path(repository["path"]) / "config.json").is_file()


def test_prefetch_brings_the_weights_of_a_variant_and_no_others(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "hub/org/model"
    folder.mkdir(parents=True)
    for name in ("config.json", "model.safetensors", "model.fp16.safetensors"):
        (folder / name).write_text("{}" if name == "config.json" else name)
    with MirrorServer(tmp_path / "hub") as halves:
        brought = run(
            "prefetch", "org/model", "--for=numpy", "--variant", "fp16", "--json",
            HF_ENDPOINT=halves.url,
        )  # fmt: skip
        lacking = run(
            "prefetch", "org/model", "--for=numpy", "--variant", "bf16", HF_ENDPOINT=halves.url
        )

    (repository,) = brought.json["repositories"]
    assert repository["files"] == ["config.json", "model.fp16.safetensors"]
    assert lacking.code == 3
    assert "'bf16'" in lacking.err


def test_a_pattern_that_fits_nothing_is_told_and_is_no_failure(run: Run) -> None:
    ended = run("prefetch", TINY, "--include", "*.json", "--include", "*.jsn", "--exclude", "x/*")
    none = run("prefetch", TINY, "--include", "*.jsn", "--json")
    quiet = run("-q", "prefetch", TINY, "--include", "*.jsn")

    assert (ended.code, none.code, quiet.code) == (0, 0, 0)
    assert "fits *.jsn\n" in ended.err
    assert none.json["repositories"][0]["files"] == []
    assert "fits *.jsn" in none.err
    assert quiet.err == ""


def test_progress_is_silent_with_q_and_goes_to_stderr_otherwise(run: Run) -> None:
    loud = run("prefetch", f"{TINY}@fp16")
    quiet = run("-q", "prefetch", TINY)

    assert "fetched config.json" in loud.err
    assert "fetched config.json" not in loud.out
    assert quiet.err == ""


def test_all_names_are_tried_and_the_gravest_failure_gives_the_code(run: Run) -> None:
    names = ("fixtures/nothing", "fixtures/bert-tiny-gated", TINY, f"{TINY}@v9")

    ended = run("prefetch", *names, "--for", "numpy")

    assert ended.code == 4
    assert f"{TINY}@main" in ended.out
    assert "fixtures/nothing" in ended.err
    assert "v9" in ended.err
    assert "gated" in ended.err

    document = run("prefetch", "--json", *names).json
    kinds = [error["kind"] for error in document["errors"]]
    assert kinds[0] == "RepositoryNotFound"
    assert kinds[-1] == "RevisionNotFound"
    assert kinds.count("GatedRepository") == 1  # however many files it has
    gated = next(error for error in document["errors"] if error["kind"] == "GatedRepository")
    assert (gated["repo_id"], gated["revision"]) == ("fixtures/bert-tiny-gated", "main")
    assert document["exit_code"] == 4


def test_a_gated_repository_is_one_short_error_with_where_to_ask(
    run: Run, server: MirrorServer
) -> None:
    server.forget()
    ended = run("-q", "prefetch", "fixtures/bert-tiny-gated", "--for", "all")

    assert ended.code == 4
    said, hint = ended.err.splitlines()
    assert said.startswith("error: the repository is gated")
    assert said.endswith("(fixtures/bert-tiny-gated, revision main)")
    assert f"{server.url}/fixtures/bert-tiny-gated" in hint


@pytest.mark.parametrize("place", ["before", "after"])
def test_shared_options_stand_before_or_after_the_command(
    run: Run, server: MirrorServer, tmp_path: Path, place: str
) -> None:
    options = [
        *("--json", "-q", "--cache-dir", str(tmp_path / "elsewhere"), "--token", READER),
        *("--endpoint", server.url),
    ]
    command = ["prefetch", "fixtures/bert-tiny-private", "--for", "tokenizer"]
    nowhere = {"HF_ENDPOINT": "http://127.0.0.1:1", "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1"}

    ended = run(*(options + command if place == "before" else command + options), **nowhere)

    assert ended.code == 0, ended.err
    assert ended.json["repositories"][0]["path"].startswith(str(tmp_path / "elsewhere"))
    assert ended.err == ""


def test_info_shows_files_sizes_and_what_is_cached(run: Run) -> None:
    run("prefetch", TINY, "--for", "tokenizer")

    document = run("info", TINY, "--json").json
    cached = {file["filename"]: file["cached"] for file in document["files"]}
    lines = run("info", TINY).out.splitlines()

    assert len(document["commit"]) == 40
    assert cached["tokenizer.json"]
    assert not cached["model.safetensors"]
    assert lines[:2] == [f"{TINY}@main", f"commit {document['commit']}"]
    assert any(line.split() == ["config.json", "754", "B", "cached"] for line in lines)


def test_info_says_which_tokenizer_and_why(run: Run) -> None:
    before = run("info", TINY).out
    run("prefetch", TINY, "--for", "tokenizer")
    document = run("info", TINY, "--json").json

    assert "not in the cache, decide which class it is" in before
    assert document["tokenizer"]["class"] == "BertTokenizer"
    assert document["tokenizer"]["files"] == ["tokenizer.json"]
    assert "there is a tokenizer.json: it is run as it is" in document["tokenizer"]["reasons"]
    assert "tokenizer: BertTokenizer from tokenizer.json: the repository" in run("info", TINY).out


def test_info_downloads_nothing(run: Run, tmp_path: Path) -> None:
    assert run("info", TINY).code == 0

    assert not list(tmp_path.glob("home/hub/**/blobs/*"))


def test_path_prints_where_a_file_is_without_asking_anyone(
    run: Run, server: MirrorServer, tmp_path: Path
) -> None:
    run("prefetch", TINY, "--for", "tokenizer")
    server.forget()

    folder = run("path", TINY)
    file = run("path", TINY, "tokenizer.json")

    assert Path(folder.out.strip()).is_dir()
    assert file.out.strip() == os.path.join(folder.out.strip(), "tokenizer.json")
    assert Path(file.out.strip()).is_file()
    assert run("path", TINY, "model.safetensors").code == 6
    assert run("path", TINY, "nothing.json").code == 3
    assert run("path", "fixtures/bert-tiny-encoder").code == 6
    assert server.requests == ()


def test_path_of_a_folder_is_the_folder(run: Run, fixture_hub: Path) -> None:
    folder = fixture_hub / TINY

    assert run("path", str(folder)).out.strip() == str(folder)
    assert run("path", str(folder), "config.json").out.strip() == str(folder / "config.json")
    assert run("path", str(folder), "nothing").code == 3


def test_ls_lists_repositories_revisions_and_sizes(run: Run) -> None:
    assert run("ls").out == ""
    run("prefetch", TINY, f"{TINY}@fp16", "--for", "tokenizer")

    rows = [line.split() for line in run("ls").out.splitlines()]
    document = run("ls", "--json").json

    assert sorted(row[2] for row in rows) == ["fp16", "main"]
    assert {row[0] for row in rows} == {TINY}
    (repository,) = document["repositories"]
    assert [revision["files"] for revision in repository["revisions"]] == [3, 3]
    assert document["size"] == repository["size"] > 0
    assert run("ls", "--repo-type", "dataset", "--json").json["repositories"] == []


def test_tokenize_shows_tokens_and_ids(run: Run) -> None:
    plain = run("tokenize", SENTIMENT, TEXT)
    (result,) = run("tokenize", SENTIMENT, TEXT, "--json").json["results"]

    assert plain.out.splitlines()[1] == " ".join(map(str, IDS))
    assert result["input_ids"] == IDS
    assert result["attention_mask"] == [1] * 14
    assert result["tokens"][0] == "[CLS]"
    assert "token_type_ids" not in result


def test_classify_says_label_and_score_without_a_framework(run: Run) -> None:
    ended = run("classify", SENTIMENT, TEXT, "I hate this, it is awful.", "--json")

    assert ended.code == 0, ended.out
    labels = [result["label"] for result in ended.json["results"]]
    assert labels == ["POSITIVE", "NEGATIVE"]
    assert all(0.5 < result["score"] <= 1 for result in ended.json["results"])


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        pytest.param("pt", "pt", marks=pytest.mark.torch),
        pytest.param("torch", "pt", marks=pytest.mark.torch),
        pytest.param("tf", "tf", marks=pytest.mark.tensorflow),
        ("numpy", "np"),
    ],
)
def test_classify_computes_with_the_framework_it_is_told(run: Run, word: str, meant: str) -> None:
    pytest.importorskip({"pt": "torch", "tf": "tensorflow", "np": "numpy"}[meant])
    ended = run("classify", SENTIMENT, TEXT, "--backend", word, "--json")
    plain = run("classify", SENTIMENT, TEXT, "--json")

    assert ended.code == 0, ended.out
    assert ended.json["framework"] == meant
    (ours,), (numpys,) = ended.json["results"], plain.json["results"]
    assert ours["label"] == numpys["label"]
    assert ours["score"] == pytest.approx(numpys["score"], abs=1e-5)


def test_classify_refuses_a_framework_that_there_is_not(run: Run) -> None:
    ended = run("classify", SENTIMENT, TEXT, "--framework", "jax")

    assert ended.code == 2
    assert "jax" in ended.err


def test_a_text_that_begins_with_a_dash_follows_two_dashes(run: Run) -> None:
    ended = run("tokenize", TINY, "--", "--json")

    assert ended.code == 0
    assert ended.out.startswith("[CLS]")


def test_offline_says_what_is_missing_and_works_with_what_is_there(run: Run) -> None:
    missing = run("--offline", "classify", TINY, "x")
    run("prefetch", TINY, "--for", "numpy", "--for", "tokenizer")
    there = run("classify", TINY, "x", "--offline", HF_ENDPOINT="http://127.0.0.1:1")

    assert missing.code == 6
    assert "prefetch" in missing.err
    assert there.code == 0
    assert there.err == ""


def test_a_hub_that_cannot_be_reached_costs_one_warning_when_all_is_cached(run: Run) -> None:
    run("prefetch", TINY, "--for", "numpy", "--for", "tokenizer")

    ended = run("classify", TINY, "x", HF_ENDPOINT="http://127.0.0.1:1")

    assert ended.code == 0
    assert ended.err.count("warning: ") == 1
    assert ended.err.count("\n") == 1


def test_a_hub_that_cannot_be_reached_and_an_empty_cache_is_75(run: Run) -> None:
    ended = run("prefetch", TINY, HF_ENDPOINT="http://127.0.0.1:1", HUBLOADER_RETRY_BUDGET="0")

    assert ended.code == 75
    assert ended.err.splitlines()[0].startswith("error: ")


@pytest.mark.parametrize(
    ("name", "code", "kind"),
    [
        ("fixtures/nothing", 3, "RepositoryNotFound"),
        (f"{TINY}@nothing", 3, "RevisionNotFound"),
        ("fixtures/bert-tiny-private", 3, "RepositoryNotFound"),
        ("fixtures/bert-tiny-gated", 4, "GatedRepository"),
        ("fixtures/broken-config", 1, "CorruptFile"),
        ("fixtures/unknown-architecture", 1, "UnknownArchitecture"),
        ("./not-there", 3, "NotFound"),
    ],
)
def test_each_error_has_its_exit_code_kind_and_no_traceback(
    run: Run, name: str, code: int, kind: str
) -> None:
    plain = run("classify", name, "x")
    as_json = run("classify", name, "x", "--json")

    assert (plain.code, as_json.code) == (code, code)
    assert plain.out == ""
    assert "Traceback" not in plain.err
    assert "\nerror: " in f"\n{plain.err}"
    assert {error["kind"] for error in as_json.json["errors"]} == {kind}


def test_a_traceback_is_shown_when_asked_for(run: Run) -> None:
    ended = run("classify", "fixtures/broken-config", "x", HUBLOADER_DEBUG="1")

    assert ended.code == 1
    assert "Traceback" in ended.err


def test_a_variable_that_means_nothing_is_wrong_usage(run: Run) -> None:
    ended = run("ls", HF_HUB_DOWNLOAD_TIMEOUT="soon")

    assert ended.code == 2
    assert "HF_HUB_DOWNLOAD_TIMEOUT" in ended.err


def test_env_tells_settings_and_their_sources_but_no_token(run: Run) -> None:
    plain = run("env", HF_TOKEN="hf_secret")
    document = run("env", "--json", HF_TOKEN="hf_secret").json

    assert "hf_secret" not in plain.out + json.dumps(document)
    assert document["settings"]["token"] == {"value": "set", "source": "HF_TOKEN"}
    assert document["settings"]["endpoint"]["source"] == "HF_ENDPOINT"
    assert document["settings"]["max_workers"] == {"value": "32", "source": None}
    assert document["packages"]["huggingface_hub"]


def test_a_closed_pipe_ends_it_quietly(run: Run, server: MirrorServer, tmp_path: Path) -> None:
    run("prefetch", TINY, "--for", "tokenizer")
    reading, writing = os.pipe()
    os.close(reading)

    done = subprocess.run(
        [sys.executable, "-m", "hubloader", "ls"],
        env={**os.environ, "HF_HOME": str(tmp_path / "home")},
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        timeout=LONG,
        check=False,
    )
    os.close(writing)

    assert done.returncode == 1
    assert "Traceback" not in done.stderr


@pytest.fixture
def serving(fixture_hub: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "hubloader", "serve", "--root", str(fixture_hub), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serve_says_where_it_listens_and_ends_well_when_told(
    serving: Callable[..., subprocess.Popen[str]], number: signal.Signals
) -> None:
    process = serving()
    url = first_line(process).removeprefix("listening on ").strip()

    with urllib.request.urlopen(f"{url}/api/models/{TINY}", timeout=LONG) as answer:
        assert json.load(answer)["id"] == TINY
    process.send_signal(number)
    out, err = process.communicate(timeout=LONG)

    assert (process.returncode, out, err) == (0, "", "")


def test_serve_takes_the_ports_it_is_given_and_logs_when_verbose(
    serving: Callable[..., subprocess.Popen[str]],
) -> None:
    with reserved_port() as port, reserved_port() as content_port:
        process = serving("--port", str(port), "--content-port", str(content_port), "--json", "-v")
        announced = first_line(process)

    assert json.loads(announced) == {
        "version": 1,
        "ok": True,
        "url": f"http://127.0.0.1:{port}",
    }
    url = f"http://127.0.0.1:{port}/{TINY}/resolve/main/model.safetensors"
    with urllib.request.urlopen(url, timeout=LONG) as answer:
        assert f":{content_port}/" in answer.url
        answer.read()
    process.terminate()
    _, err = process.communicate(timeout=LONG)
    assert "/resolve/main/model.safetensors" in err


def test_serve_says_when_it_cannot(run: Run, server: MirrorServer, fixture_hub: Path) -> None:
    taken = run("serve", "--root", str(fixture_hub), "--port", str(server.port))
    missing = run("serve", "--root", str(fixture_hub / "nothing"))

    assert (taken.code, missing.code) == (1, 3)
    assert f"127.0.0.1:{server.port}" in taken.err
    assert "in use" in taken.err
    assert "hint: give another --port" in taken.err
    assert "nothing" in missing.err
    assert "Traceback" not in taken.err + missing.err


def test_classify_cuts_a_text_that_is_longer_than_the_window(run: Run) -> None:
    ended = run("classify", TINY, "good " * 2000)

    assert (ended.code, ended.err.count("error")) == (0, 0)
    assert "cut off" in hubloader("classify", "--help").out


def test_path_of_a_file_that_is_not_there_says_what_is(run: Run) -> None:
    run("prefetch", TINY, "--for", "numpy")

    ended = run("path", TINY, "config.jsn")

    assert ended.code == 3
    assert "hint: it has config.json" in ended.err


def test_a_name_that_the_terminal_has_no_letters_for_is_printed_with_escapes(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "漢"
    folder.mkdir()
    ended = hubloader("path", str(folder), PYTHONIOENCODING="latin-1")

    assert (ended.code, ended.err) == (0, "")
    assert ended.out.endswith("\\u6f22\n")
