"""Which command brings what is missing: a function of repository, purpose and names."""

from __future__ import annotations

import pytest

from hubloader.resolve.cure import prefetch_command
from hubloader.types import Purpose, RepoId

REPO = RepoId.parse("org/name")


@pytest.mark.parametrize(
    ("purpose", "missing", "options"),
    [
        (Purpose(exact=("README.md",)), ("README.md",), "--include=README.md"),
        (Purpose(exact=("a b",)), (), "'--include=a b'"),
        (Purpose(uses=frozenset({"torch"})), ("weights for torch",), "--for=torch"),
        (Purpose(uses=frozenset({"torch"})), ("model.bin",), "--include=model.bin"),
        (
            Purpose(uses=frozenset({"torch", "tokenizer"})),
            tuple("abcdefgh"),
            "--for=tokenizer --for=torch",
        ),
        (Purpose(uses=frozenset({"config"})), (), "--include=config.json"),
        (Purpose(uses=frozenset({"all"})), (), "--for=all"),
        (Purpose(), (), "--for=all"),
        (Purpose(uses=frozenset({"all"}), include=("*.md",)), (), "'--include=*.md'"),
        (
            Purpose(uses=frozenset({"all"}), exclude=("*.bin",)),
            (),
            "--for=all '--exclude=*.bin'",
        ),
        (Purpose(uses=frozenset({"numpy"}), subfolder="a"), (), "'--include=a/*'"),
        (
            Purpose(uses=frozenset({"torch"}), variant="fp16"),
            (),
            "--for=torch --variant=fp16",
        ),
        (
            Purpose(uses=frozenset({"torch"}), variant="fp16", subfolder="a"),
            (),
            "'--include=a/*'",
        ),
        (None, ("x.txt",), "--include=x.txt"),
        (
            Purpose(uses=frozenset({"config"}), later=frozenset({"numpy"})),
            (),
            "--for=numpy --include=config.json",
        ),
    ],
)
def test_the_command_names_the_missing_files_or_what_they_are_for(purpose, missing, options):
    command = prefetch_command(REPO, "main", purpose, missing)

    assert command == f"hubloader prefetch org/name@main {options}"


def test_another_type_than_a_model_is_said():
    told = prefetch_command(RepoId.parse("org/data", "dataset"), "v1", None, ["a.csv"])

    assert told == "hubloader prefetch org/data@v1 --repo-type dataset --include=a.csv"
