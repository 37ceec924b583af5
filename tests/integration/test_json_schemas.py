"""What programs read: every `--json` document, and every line of a JSON log, against its schema."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from hubloader.cli.main import run
from hubloader.mirror import MirrorServer

TINY = "fixtures/bert-tiny-sentiment"
OTHER = "fixtures/bert-tiny-sharded"
DOCS = Path(__file__).parents[2] / "docs/reference"
SCHEMA = json.loads((DOCS / "schemas/output-1.schema.json").read_text(encoding="utf-8"))
SHAPES = {"error", "repo_type", "commit", "locked_model", "change", "removal", "finding"}
COMMANDS = set(SCHEMA["$defs"]) - SHAPES - {"failure", "event"}
# In an order in which each finds what it needs.
CALLS = (
    ("init", "elsewhere"),
    ("lock",),
    ("prefetch", TINY, "--dry-run"),
    ("sync", "--to", "out", "--layer-plan", "--prune"),
    ("prefetch", TINY),
    ("add", OTHER, "--for", "tokenizer"),
    ("diff", "before.lock"),
    ("remove", OTHER),
    ("lock", "--upgrade"),
    ("key",),
    ("sbom",),
    ("sbom", "-o", "bom.json"),
    ("verify",),
    ("verify", "--repair"),
    ("ls",),
    ("du",),
    ("info", TINY),
    ("path", TINY, "config.json"),
    ("tokenize", TINY, "good"),
    ("classify", TINY, "good"),
    ("export", "--lock", "-o", "b.tar"),
    ("import", "b.tar"),
    ("env",),
    ("doctor",),
    ("prune", "--dry-run"),
    ("rm", TINY, "--dry-run"),
    ("rm", TINY),
)


def strict(schema: Any) -> Any:
    """The schema without room for keys that it does not name: what is printed is all documented."""
    if isinstance(schema, list):
        return [strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: strict(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and "type" in schema:
        made.setdefault("additionalProperties", False)
    return made


def check(name: str, document: Any) -> None:
    schema = strict(copy.deepcopy(SCHEMA)) | {"$ref": f"#/$defs/{name}"}
    faults = [
        f"{fault.json_path}: {fault.message}"
        for fault in Draft202012Validator(schema).iter_errors(document)
    ]
    assert faults == [], f"{name}: {faults}\n{document}"


@pytest.fixture
def hub(fixture_hub: Path) -> Iterator[MirrorServer]:
    with MirrorServer(fixture_hub) as server:
        yield server


@pytest.fixture
def call(
    hub: MirrorServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Callable[..., tuple[int, str, str]]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    for name in ("HUBLOADER_LOG_FORMAT", "HF_HUB_OFFLINE"):  # options leave them behind
        monkeypatch.setenv(name, "")
    (tmp_path / "models.toml").write_text(f'[models.sentiment]\nrepo = "{TINY}"\n')
    (tmp_path / "before.lock").write_text("version = 1\n")

    def ran(*arguments: str) -> tuple[int, str, str]:
        code = run(arguments)
        return code, *capfd.readouterr()

    return ran


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(SCHEMA)


def test_every_command_has_a_schema_and_a_line_in_the_reference() -> None:
    folder = Path(run.__code__.co_filename).parent
    files = {path.stem.rstrip("_") for path in folder.glob("[a-z]*.py")} - {"main"}
    page = (DOCS / "json.md").read_text(encoding="utf-8")

    assert files == COMMANDS
    assert {arguments[0] for arguments in CALLS} == COMMANDS - {"serve"}
    assert [name for name in COMMANDS if f"`{name}`" not in page] == []


def test_what_is_printed_is_what_the_schema_says(
    call: Callable[..., tuple[int, str, str]],
) -> None:
    for arguments in CALLS:
        code, out, _ = call(*arguments, "--json")
        assert code == 0, (arguments, out)
        check(arguments[0], json.loads(out))


def test_what_a_server_says_is_what_the_schema_says(fixture_hub: Path) -> None:
    command = [sys.executable, "-m", "hubloader", "serve", "--root", str(fixture_hub), "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        process.terminate()

    check("serve", json.loads(first))


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("prefetch", "no/such", "fixtures/bert-tiny-gated"), 4),
        (("path", TINY), 6),
        (("lock", "--check"), 7),
        (("sync", "--frob"), 2),
        (("key", "nobody"), 3),
    ],
)
def test_a_failure_is_what_the_schema_says(
    call: Callable[..., tuple[int, str, str]], arguments: tuple[str, ...], code: int
) -> None:
    ended, out, _ = call(*arguments, "--json")

    assert ended == code
    assert json.loads(out)["exit_code"] == code
    check("failure", json.loads(out))


def test_a_doctor_who_found_something_is_what_the_schema_says(
    call: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")

    code, out, _ = call("doctor", "--json")

    assert (code, json.loads(out)["healthy"]) == (1, False)
    check("doctor", json.loads(out))


def test_every_line_of_a_json_log_is_what_the_schema_says(
    call: Callable[..., tuple[int, str, str]],
) -> None:
    _, _, good = call("sync", "--log-format", "json")
    _, _, bad = call("prefetch", "fixtures/bert-tiny-gated", "--log-format", "json")

    events = [json.loads(line) for line in good.splitlines()]
    failed = [json.loads(line) for line in bad.splitlines() if line.startswith("{")]
    for event in (*events, *failed):
        check("event", event)
    assert {"begin", "file", "done", "end"} <= {event["event"] for event in events}
    assert "failed" in {event["event"] for event in failed}
