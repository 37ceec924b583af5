"""Tokens that end are renewed or exchanged by huggingface_hub; all others are sent as they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hubloader.auto import source
from hubloader.auto.tokens import token_to_send
from hubloader.errors import AuthenticationRequired
from hubloader.settings import Settings, read_token

huggingface_hub = pytest.importorskip("huggingface_hub")
LATER = 2**40  # seconds: a time that no clock of ours will show
LOGIN = "[mine]\nhf_token = hf_stored\nrefresh_token = hf_again\nexpires_at = {at}\n"
CI = {"HF_OIDC_RESOURCE": "org/model"}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with a stored token, which huggingface_hub would renew."""
    (tmp_path / "token").write_text("hf_stored\n")
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: "hf_new")
    monkeypatch.setattr(huggingface_hub.constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    return tmp_path


def sent(home: Path, given: str | bool | None = None, **environment: str) -> str | None:
    settings = Settings.from_env({"HF_HOME": str(home), **environment})
    return token_to_send(settings, given, read_token(settings, given))


@pytest.mark.parametrize(
    ("stored", "token"),
    [
        (LOGIN.format(at=LATER), "hf_stored"),
        (LOGIN.format(at=0), "hf_new"),
        (LOGIN.format(at="never"), "hf_stored"),
        (LOGIN.format(at=0).replace("hf_stored", "hf_other"), "hf_stored"),
        ("[mine]\nhf_token = hf_stored\n", "hf_stored"),
        ("refresh_token, and no login at all", "hf_stored"),
        (None, "hf_stored"),
    ],
)
def test_a_stored_login_is_renewed_when_it_ends_soon(
    home: Path, stored: str | None, token: str
) -> None:
    if stored is not None:
        (home / "stored_tokens").write_text(stored)

    assert sent(home) == token


def test_only_the_stored_token_is_renewed(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "stored_tokens").write_text(LOGIN.format(at=0))

    assert sent(home, "hf_stored") == "hf_stored"
    assert sent(home, given=False) is None
    assert sent(home, HF_TOKEN="hf_env") == "hf_env"
    assert sent(home, HF_HUB_DISABLE_IMPLICIT_TOKEN="1") is None
    monkeypatch.setattr(huggingface_hub.constants, "HF_TOKEN_PATH", "/another/home/token")
    assert sent(home) == "hf_stored"


def test_a_jobs_identity_is_exchanged_before_any_stored_token(home: Path) -> None:
    assert sent(home, **CI) == "hf_new"
    assert sent(home, **CI, HF_TOKEN="hf_env") == "hf_new"
    assert sent(home / "empty", given=True, **CI) == "hf_new"
    assert sent(home, "hf_given", **CI) == "hf_given"
    assert sent(home, given=False, **CI) is None


def test_an_exchange_that_fails_says_so(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> Any:
        raise getattr(huggingface_hub.errors, "OIDCError", OSError)("no id token")

    monkeypatch.setattr(huggingface_hub, "get_token", refuse)

    with pytest.raises(AuthenticationRequired, match=r"org/model.*no id token"):
        sent(home, **CI)


def test_a_session_with_an_exchanged_token_is_no_other_ones(home: Path) -> None:
    settings = Settings.from_env({"HF_HOME": str(home / "empty"), **CI})

    lent = source.session_for(settings)

    assert lent is source.session_for(settings)
    assert lent is not source.session_for(settings, token=False)
    assert lent.client()._credential is not None
    assert source.session_for(settings, token=False).client()._credential is None
