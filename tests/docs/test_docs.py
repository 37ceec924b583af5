"""The pages run: every Python and shell block, and each prints what the page says it does.

Conventions of the pages: a block of ``text`` directly below a code block is its output (``…``
stands for anything); a word after ``python`` or ``bash`` names a framework that the block needs;
``console`` blocks are for what a test cannot do (cloning, installing) and are not run.
"""

from __future__ import annotations

import contextlib
import doctest
import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass, replace
from importlib.util import find_spec
from itertools import zip_longest
from pathlib import Path

import pytest
from ports import reserved_port

from hubloader import errors
from hubloader.mirror import MirrorServer

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.rglob("*.md"), ROOT / "README.md", ROOT / "CHANGELOG.md"])
NAMES = [page.relative_to(ROOT).as_posix() for page in PAGES]
FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?<!!)\[[^\]]+\]\(([^)#\s]+)(#[^)]*)?\)")
RUN = {"python", "bash"}
LANGUAGES = RUN | {"text", "console", "toml", "json", "yaml", "dockerfile", ""}


@dataclass(frozen=True)
class Block:
    language: str
    needs: tuple[str, ...]
    code: str
    line: int
    end: int


def blocks_of(page):
    text = page.read_text(encoding="utf-8")
    found = []
    for match in FENCE.finditer(text):
        language, *needs = match[1].split() or [""]
        line = text.count("\n", 0, match.start()) + 1
        end = text.count("\n", 0, match.end()) + 1
        found.append(Block(language, tuple(needs), match[2], line, end))
    return found


def runnable(blocks):
    """(block, the output promised below it or None) for all that can be run here."""
    pairs = []
    for block, below in zip_longest(blocks, blocks[1:]):
        if block.language in RUN and all(find_spec(package) for package in block.needs):
            promised = below and below.language == "text" and below.line <= block.end + 2
            pairs.append((block, below.code if promised else None))
    return pairs


@pytest.fixture(scope="module")
def hub(fixture_hub):
    with MirrorServer(fixture_hub) as server:
        yield server


def run(name, blocks, environ, folder):
    """Run the blocks of a page in ``folder``; returns what each printed."""
    jobs = [
        {"language": block.language, "code": block.code, "where": f"{name}:{block.line}"}
        for block in blocks
    ]
    finished = subprocess.run(
        [sys.executable, str(Path(__file__).parent / "page_runner.py")],
        input=json.dumps(jobs),
        stdout=subprocess.PIPE,
        text=True,
        cwd=folder,
        env={**os.environ, **environ},
        check=True,
    )
    answer = json.loads(finished.stdout)
    assert answer["failure"] is None, answer["failure"]
    return answer["outputs"]


@contextlib.contextmanager
def ports_of_our_own(pairs):
    """Put free ports in the place of those that a page gives servers: others may run beside us."""
    given = {port for block, _ in pairs for port in re.findall(r"--port (\d+)", block.code)}
    with contextlib.ExitStack() as reserved:
        ours = {port: str(reserved.enter_context(reserved_port())) for port in sorted(given)}

        def with_ours(text):
            return re.sub(r"\b\d+\b", lambda found: ours.get(found[0], found[0]), text)

        yield [
            (replace(block, code=with_ours(block.code)), promised and with_ours(promised))
            for block, promised in pairs
        ]


@pytest.mark.parametrize("name", [n for n in NAMES if runnable(blocks_of(ROOT / n))])
def test_the_examples_of_a_page_run_and_print_what_it_says(name, hub, tmp_path):
    pairs = runnable(blocks_of(ROOT / name))
    home, folder = tmp_path / "home", tmp_path / "work"
    home.mkdir()
    folder.mkdir()
    bin_folder = Path(sys.executable).parent
    environ = {
        "HOME": str(home),
        "HF_HOME": str(home / "hf"),
        "HF_ENDPOINT": hub.url,
        "HUBLOADER_REFRESH_TIMEOUT": "300",  # the Hub is there, however slow the machine is
        "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}",
    }

    with ports_of_our_own(pairs) as pairs:
        outputs = run(name, [block for block, _ in pairs], environ, folder)

    checker = doctest.OutputChecker()
    options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    for (block, promised), printed in zip(pairs, outputs, strict=True):
        if promised is not None:
            expected = promised.replace("…", "...")
            where = f"{name}:{block.line}\n{block.code}\nprinted:\n{printed}"
            assert checker.check_output(expected, printed, options), where


@pytest.mark.parametrize("name", NAMES)
def test_a_page_uses_languages_that_are_run_or_known(name):
    assert {block.language for block in blocks_of(ROOT / name)} <= LANGUAGES


@pytest.mark.parametrize("name", NAMES)
def test_links_between_pages_lead_somewhere(name):
    page = ROOT / name
    targets = [match[1] for match in LINK.finditer(page.read_text(encoding="utf-8"))]

    broken = [t for t in targets if "://" not in t and not (page.parent / t).exists()]

    assert broken == []


def test_the_files_that_where_things_live_names_exist():
    text = (DOCS / "where-things-live.md").read_text(encoding="utf-8")
    answers = [line.rsplit("|", 2)[1] for line in text.splitlines() if line.startswith("| ")][2:]
    named = [re.findall(r"`([^`]+)`", answer) for answer in answers]

    assert len(named) >= 20
    assert all(named)
    assert [path for paths in named for path in paths if not (ROOT / path).is_file()] == []


@pytest.mark.parametrize("script", ["generate_settings_reference.py", "include_docstrings.py"])
def test_pages_made_from_code_are_up_to_date(script):
    finished = subprocess.run(
        [sys.executable, f"scripts/{script}", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert finished.returncode == 0, finished.stdout + finished.stderr


def test_the_error_page_has_every_error_with_its_exit_code():
    text = (DOCS / "reference/errors.md").read_text(encoding="utf-8")
    rows = {
        match[1]: match[2]
        for match in re.finditer(r"^\| `(\w+)` \|.*\| ([\d, ]+) \|$", text, re.MULTILINE)
    }
    classes = {
        name: value for name in errors.__all__ if isinstance(value := getattr(errors, name), type)
    }

    assert set(rows) == set(classes)
    fixed = {n: c.exit_code for n, c in classes.items() if isinstance(c.exit_code, int)}
    assert {name: int(rows[name]) for name in fixed} == fixed
    assert rows["CacheMiss"] == "6, 75"


def test_decisions_are_numbered_without_gaps_and_have_their_four_parts():
    pages = sorted((DOCS / "adr").glob("[0-9]*.md"))

    assert [int(page.name[:4]) for page in pages] == list(range(1, len(pages) + 1))
    for page in pages:
        headings = re.findall(r"^## (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
        assert headings == ["Context", "Decision", "Consequences", "What would change our mind"]
