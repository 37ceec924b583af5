from __future__ import annotations

import pytest

from hubloader.mirror.access import (
    bearer_token,
    refuse_files,
    refuse_repo,
    refuse_token,
    unknown_repo,
)
from hubloader.mirror.config import MirrorConfig
from hubloader.types import RepoId

PUBLIC, GATED, PRIVATE = (RepoId("org", name) for name in ("public", "gated", "private"))
CONFIG = MirrorConfig(
    gated=frozenset({GATED}),
    private=frozenset({PRIVATE}),
    tokens={"hf_in": frozenset({"org/gated", "org/private"}), "hf_out": frozenset()},
)


@pytest.mark.parametrize(
    ("header", "token"),
    [
        (None, None),
        ("Bearer hf_x", "hf_x"),
        ("bearer  hf_x ", "hf_x"),
        ("Bearer ", None),
        ("Basic abc", None),
    ],
)
def test_the_token_is_read_from_the_header(header: str | None, token: str | None) -> None:
    assert bearer_token(header) == token


@pytest.mark.parametrize(
    ("repo", "token", "status", "code"),
    [
        (PUBLIC, None, None, None),
        (PUBLIC, "hf_out", None, None),
        (GATED, None, 401, "GatedRepo"),
        (GATED, "hf_out", 403, "GatedRepo"),
        (GATED, "hf_in", None, None),
        (PRIVATE, None, 401, "RepoNotFound"),
        (PRIVATE, "hf_out", 404, "RepoNotFound"),
        (PRIVATE, "hf_in", None, None),
    ],
)
def test_every_cell_of_the_table(
    repo: RepoId, token: str | None, status: int | None, code: str | None
) -> None:
    refusal = refuse_repo(CONFIG, repo, token) or refuse_files(CONFIG, repo, token)

    assert (refusal and refusal.status, refusal and refusal.code) == (status, code)


@pytest.mark.parametrize("token", [None, "hf_out", "hf_in"])
def test_the_listing_of_a_gated_repository_is_open(token: str | None) -> None:
    assert refuse_repo(CONFIG, GATED, token) is None


@pytest.mark.parametrize("token", [None, "hf_out"])
def test_a_private_repository_answers_as_one_that_is_not_there(token: str | None) -> None:
    assert refuse_repo(CONFIG, PRIVATE, token) == unknown_repo(token)


def test_an_unknown_token_is_refused_where_tokens_are_named() -> None:
    refusal = refuse_token(CONFIG, "hf_stranger")

    assert refusal is not None
    assert refusal.status == 401
    assert refuse_token(CONFIG, None) is None
    assert refuse_token(CONFIG, "hf_out") is None


def test_any_token_passes_where_none_are_named_but_opens_nothing() -> None:
    config = MirrorConfig(gated=frozenset({GATED}))

    assert refuse_token(config, "hf_of_another_hub") is None
    assert refuse_files(config, GATED, "hf_of_another_hub") is not None
