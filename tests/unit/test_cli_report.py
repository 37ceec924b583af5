from __future__ import annotations

import json
import re
import sys

import pytest

from hubloader.cli._report import exit_code, print_errors
from hubloader.cli._text import size_of, table
from hubloader.errors import (
    CacheMiss,
    EntryNotFound,
    GatedRepository,
    HubloaderError,
    IntegrityError,
    TimedOut,
)


class Coded(Exception):
    def __init__(self, code: int) -> None:
        super().__init__(str(code))
        self.exit_code = code


def test_of_several_errors_the_gravest_gives_the_exit_code() -> None:
    order = [5, 9, 4, 3, 7, 8, 6, 10, 1, 75]  # as the contract has it

    for position, code in enumerate(order):
        lighter = [Coded(other) for other in order[position:]]
        assert exit_code(reversed(lighter)) == code


def test_an_error_without_a_code_is_a_failure_otherwise() -> None:
    assert exit_code([ValueError("x")]) == 1
    assert exit_code([ValueError("x"), EntryNotFound("x")]) == 3


def test_a_cache_miss_tells_being_offline_from_a_network_that_failed() -> None:
    assert exit_code([CacheMiss("x")]) == 6
    assert exit_code([CacheMiss("x", offline=False)]) == 75


def test_an_error_is_one_line_and_a_hint_where_there_is_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    errors = [GatedRepository("it is\ngated", hint="ask"), TimedOut("too slow")]

    print_errors(errors, 4, as_json=False)

    out, err = capsys.readouterr()
    assert out == ""
    assert err == "error: it is gated\nhint: ask\nerror: too slow\n"


def test_a_hint_that_a_row_of_errors_shares_is_said_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    errors = [IntegrityError(name, hint="again") for name in ("a", "b")]

    print_errors(errors, 5, as_json=False)

    assert capsys.readouterr().err == "error: a\nerror: b\nhint: again\n"


def test_a_failure_in_json_is_one_document_with_every_field(
    capsys: pytest.CaptureFixture[str],
) -> None:
    error = EntryNotFound(
        "org/x has no a.txt", hint="look", repo_id="org/x", revision="main", filename="a.txt"
    )

    print_errors([error], 3, as_json=True)

    document = json.loads(capsys.readouterr().out)
    assert set(document) == {"version", "ok", "exit_code", "errors"}
    assert (document["version"], document["ok"], document["exit_code"]) == (1, False, 3)
    (told,) = document["errors"]
    assert told["kind"] == "EntryNotFound"
    assert "org/x has no a.txt" in told["message"]
    assert (told["hint"], told["repo_id"], told["revision"], told["filename"]) == (
        "look",
        "org/x",
        "main",
        "a.txt",
    )


def test_an_error_made_of_two_classes_is_told_by_the_documented_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    made_at_raise_time = type("Both", (EntryNotFound, KeyError), {})

    print_errors([made_at_raise_time("x")], 3, as_json=True)

    assert json.loads(capsys.readouterr().out)["errors"][0]["kind"] == "EntryNotFound"


def test_every_error_of_the_library_has_a_code_of_the_contract() -> None:
    codes = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 75}
    pending = [HubloaderError]
    while pending:
        cls = pending.pop()
        pending.extend(cls.__subclasses__())
        code = cls.exit_code
        assert isinstance(code, property) or code in codes


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (267_832_558, "267.8 MB"),
        (5 * 10**15, "5000.0 TB"),
    ],
)
def test_sizes_are_decimal_as_on_the_hub(count: int, text: str) -> None:
    assert size_of(count) == text


def test_a_table_has_its_columns_under_each_other() -> None:
    assert list(table([("a", "bbb", "c"), ("aaa", "b", "")])) == ["a    bbb  c", "aaa  b"]
    assert list(table([])) == []


def test_the_command_line_imports_nothing_slow_until_a_command_runs() -> None:
    import subprocess

    code = "import sys; from hubloader.cli.main import run; run(['--help']); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.splitlines()[-1].split())

    slow = {"aiohttp", "asyncio", "filelock", "huggingface_hub", "logging", "numpy", "requests"}
    slow |= {"tensorflow", "tokenizers", "torch", "tqdm", "transformers", "urllib3"}
    assert not slow & loaded
    assert re.search(r"^  serve ", done.stdout, re.MULTILINE)
