"""The keywords that say where files come from, and the sessions they share."""

from __future__ import annotations

from pathlib import Path

import pytest

from hubloader.auto.opening import open_files
from hubloader.auto.source import (
    HubArguments,
    mode_of,
    session_for,
    settings_for,
    split_hub_arguments,
)
from hubloader.errors import AuthenticationRequired, InvalidReference, NotFound, RemoteCodeRefused
from hubloader.resolve.files import DirectoryFiles
from hubloader.types import Mode, Refresh

CONFIG = frozenset({"config"})


def test_keywords_are_divided_between_the_hub_and_the_loader():
    arguments, rest = split_hub_arguments(
        {"revision": "v1", "subfolder": None, "dtype": "auto", "token": False, "num_labels": 3}
    )

    assert arguments == HubArguments(revision="v1", subfolder="", token=False)
    assert rest == {"dtype": "auto", "num_labels": 3}


def test_an_argument_wins_over_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_ENDPOINT", "https://env.example")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "env"))
    monkeypatch.setenv("HUBLOADER_REFRESH", "never")

    read = settings_for(HubArguments())
    said = settings_for(
        HubArguments(endpoint="https://said.example/", cache_dir=tmp_path, refresh="always")
    )

    assert (read.endpoint, read.refresh) == ("https://env.example", Refresh.NEVER)
    assert read.cache_dir == tmp_path / "env"
    assert (said.endpoint, said.refresh) == ("https://said.example", Refresh.ALWAYS)
    assert said.cache_dir == tmp_path


@pytest.mark.parametrize(
    ("refresh", "meaning"),
    [("session", Refresh.SESSION), (30, 30.0), (Refresh.NEVER, Refresh.NEVER)],
)
def test_refresh_is_a_word_or_seconds(refresh, meaning):
    assert settings_for(HubArguments(refresh=refresh)).refresh == meaning


@pytest.mark.parametrize("refresh", ["sometimes", -1, float("nan")])
def test_a_refresh_that_means_nothing_is_refused(refresh):
    with pytest.raises(InvalidReference, match="refresh"):
        settings_for(HubArguments(refresh=refresh))


@pytest.mark.parametrize("endpoint", ["huggingface.co", "ftp://hub", "file:///etc"])
def test_an_endpoint_is_a_web_address(endpoint):
    with pytest.raises(InvalidReference, match="endpoint"):
        settings_for(HubArguments(endpoint=endpoint))


@pytest.mark.parametrize(
    ("arguments", "offline", "mode"),
    [
        (HubArguments(), "0", Mode.ONLINE),
        (HubArguments(force_download=True), "0", Mode.FORCE),
        (HubArguments(local_files_only=True), "0", Mode.CACHE_ONLY),
        (HubArguments(), "1", Mode.CACHE_ONLY),
        (HubArguments(force_download=True), "1", Mode.CACHE_ONLY),
    ],
)
def test_offline_wins_over_a_forced_download(monkeypatch, arguments, offline, mode):
    monkeypatch.setenv("HF_HUB_OFFLINE", offline)

    assert mode_of(arguments, settings_for(arguments)) is mode


def test_a_folder_is_opened_as_it_is(tmp_path: Path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "config.json").write_text("{}")

    files = open_files(tmp_path, HubArguments(subfolder="sub"), CONFIG)

    assert isinstance(files, DirectoryFiles)
    assert files.names() == {"config.json"}


def test_a_path_that_is_not_there_is_said_so():
    with pytest.raises(NotFound, match="no folder"):
        open_files("./nowhere", HubArguments(), CONFIG)


def test_remote_code_is_refused_with_the_reason(tmp_path):
    with pytest.raises(RemoteCodeRefused, match="never does"):
        open_files(tmp_path, HubArguments(trust_remote_code=True), CONFIG)


def test_a_lock_is_read_where_it_is_given_and_where_the_environment_names_one(
    tmp_path, monkeypatch
):
    with pytest.raises(NotFound, match=r"models\.lock"):
        open_files(tmp_path, HubArguments(lock=tmp_path / "models.lock"), CONFIG)
    monkeypatch.setenv("HUBLOADER_LOCK", str(tmp_path / "models.lock"))
    with pytest.raises(NotFound, match=r"models\.lock"):
        open_files(tmp_path, HubArguments(), CONFIG)


def test_loads_with_the_same_settings_share_a_session_and_others_do_not(tmp_path):
    settings = settings_for(HubArguments(cache_dir=tmp_path))

    assert session_for(settings) is session_for(settings)
    assert session_for(settings) is not session_for(settings, token="hf_other")
    assert session_for(settings) is not session_for(settings, proxies={"https": "http://p:1"})


def test_a_demanded_token_that_is_not_stored_is_an_error(tmp_path):
    with pytest.raises(AuthenticationRequired, match="token=True"):
        session_for(settings_for(HubArguments(cache_dir=tmp_path)), token=True)


@pytest.mark.parametrize("proxies", ["http://proxy:3128", {"https": 3128}, ["http://proxy:3128"]])
def test_proxies_that_are_no_mapping_of_texts_are_refused(proxies):
    with pytest.raises(InvalidReference, match="mappings of texts"):
        session_for(settings_for(HubArguments()), proxies=proxies)
