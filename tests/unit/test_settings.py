"""Environment and defaults."""

from __future__ import annotations

from pathlib import Path

import pytest

from hubloader.errors import AuthenticationRequired, InvalidReference
from hubloader.settings import Settings, read_token
from hubloader.types import Refresh


def test_defaults():
    settings = Settings.from_env({"HOME": "/x"})

    assert settings.endpoint == "https://huggingface.co"
    assert settings.refresh is Refresh.SESSION
    assert (settings.refresh_timeout, settings.max_workers, settings.durability) == (2, 32, "batch")
    assert not settings.offline


def test_the_cache_is_the_hub_cache_of_the_machine():
    home = Path.home()

    assert Settings.from_env({}).cache_dir == home / ".cache/huggingface/hub"
    assert Settings.from_env({"XDG_CACHE_HOME": "/c"}).cache_dir == Path("/c/huggingface/hub")
    assert Settings.from_env({"HF_HOME": "/h"}).cache_dir == Path("/h/hub")
    assert Settings.from_env({"HF_HOME": "/h", "HF_HUB_CACHE": "/k"}).cache_dir == Path("/k")


def test_the_environment_is_read_at_each_call(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert Settings.from_env().offline

    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    assert not Settings.from_env().offline


@pytest.mark.parametrize("text", ["1", "true", "YES", "on"])
def test_flags_are_what_huggingface_hub_takes_for_true(text: str):
    assert Settings.from_env({"TRANSFORMERS_OFFLINE": text}).offline


@pytest.mark.parametrize(("text", "mode"), [("1", "hardlink"), ("true", "hardlink"), ("0", "auto")])
def test_symbolic_links_are_avoided_as_huggingface_hub_is_told(text: str, mode: str):
    assert Settings.from_env({"HF_HUB_DISABLE_SYMLINKS": text}).link_mode == mode
    own = {"HF_HUB_DISABLE_SYMLINKS": text, "HUBLOADER_LINK_MODE": "copy"}
    assert Settings.from_env(own).link_mode == "copy"


def test_an_argument_wins_over_the_environment():
    env = {"HF_ENDPOINT": "http://mirror/hub/"}

    assert Settings.from_env(env).endpoint == "http://mirror/hub"
    assert Settings.from_env(env, endpoint="http://other").endpoint == "http://other"
    assert Settings.from_env(env, endpoint=None).endpoint == "http://mirror/hub"


@pytest.mark.parametrize(
    ("endpoint", "shown"),
    [
        ("https://me:word@mirror:8443/hub@2", "https://mirror:8443/hub@2"),
        ("https://me:w@rd@mirror", "https://mirror"),
        ("http://mirror/a@b/c", "http://mirror/a@b/c"),
        ("http://[::1]:80", "http://[::1]:80"),
    ],
)
def test_an_endpoint_is_shown_without_the_user_in_it(endpoint: str, shown: str):
    assert Settings.from_env({"HF_ENDPOINT": endpoint}).public_endpoint == shown


def test_a_limit_of_no_time_is_none_that_is_set():
    names = ("HF_HUB_DOWNLOAD_TIMEOUT", "HUBLOADER_CONNECT_TIMEOUT", "HF_HUB_ETAG_TIMEOUT")

    assert Settings.from_env(dict.fromkeys(names, "0")) == Settings.from_env({})


@pytest.mark.parametrize(
    "text", [" https://mirror/hub/ ", "HTTPS://mirror/hub", "https://mirror/hub//"]
)
def test_an_endpoint_is_read_as_it_is_meant(text: str):
    assert Settings.from_env({"HF_ENDPOINT": text}).endpoint == "https://mirror/hub"


@pytest.mark.parametrize(
    ("text", "meaning"), [("always", Refresh.ALWAYS), ("Never", Refresh.NEVER), ("3600", 3600.0)]
)
def test_refresh(text: str, meaning: Refresh | float):
    assert Settings.from_env({"HUBLOADER_REFRESH": text}).refresh == meaning


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("HUBLOADER_REFRESH", "sometimes"),
        ("HF_HUB_ETAG_TIMEOUT", "-1"),
        ("HUBLOADER_MAX_WORKERS", "0"),
        ("HUBLOADER_DURABILITY", "maybe"),
        ("HF_ENDPOINT", "ftp://x"),
    ],
)
def test_nonsense_is_named(name: str, text: str):
    with pytest.raises(InvalidReference, match=name):
        Settings.from_env({name: text})


def test_a_set_etag_timeout_wins():
    env = {"HF_HUB_ETAG_TIMEOUT": "7", "HUBLOADER_REFRESH_TIMEOUT": "3"}

    assert Settings.from_env(env).refresh_timeout == 7


def test_unknown_settings_are_refused():
    with pytest.raises(TypeError, match="colour"):
        Settings.from_env({}, colour="red")


def test_the_token_is_not_shown():
    assert "hf_secret" not in repr(Settings.from_env({"HF_TOKEN": "hf_secret"}))


def test_where_a_token_comes_from(tmp_path: Path):
    stored = tmp_path / "token"
    stored.write_text("hf_stored\n")
    env = {"HF_HOME": str(tmp_path)}

    assert read_token(Settings.from_env(env)) == "hf_stored"
    assert read_token(Settings.from_env({**env, "HF_TOKEN": "hf_env"})) == "hf_env"
    assert read_token(Settings.from_env(env), "hf_given") == "hf_given"
    assert read_token(Settings.from_env(env), token=False) is None
    quiet = Settings.from_env({**env, "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1"})
    assert read_token(quiet) is None
    assert read_token(quiet, token=True) == "hf_stored"


def test_a_stored_token_that_cannot_be_read_is_said_to_be_so_and_not_shown(tmp_path: Path):
    (tmp_path / "token").write_bytes(b"hf_secret\xff")
    folder = Settings.from_env({"HF_TOKEN_PATH": str(tmp_path)})

    with pytest.raises(InvalidReference, match="it is no text") as caught:
        read_token(Settings.from_env({"HF_HOME": str(tmp_path)}))
    with pytest.raises(InvalidReference, match="directory"):
        read_token(folder)

    assert "hf_secret" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert read_token(folder, token=False) is None


def test_demanding_a_token_that_is_not_there_is_an_error(tmp_path: Path):
    with pytest.raises(AuthenticationRequired, match="stored token"):
        read_token(Settings.from_env({"HF_HOME": str(tmp_path)}), token=True)
