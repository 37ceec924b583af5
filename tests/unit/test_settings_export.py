from __future__ import annotations

from pathlib import Path

from hubloader.settings import Settings, export_settings, setting_sources


def test_what_is_exported_is_what_is_read_back() -> None:
    environ = {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1"}

    export_settings(
        {
            "cache_dir": "/cache",
            "endpoint": "http://mirror",
            "token": "hf_x",
            "implicit_token": True,
            "offline": False,
            "progress": False,
        },
        environ,
    )
    settings = Settings.from_env(environ)

    assert settings.cache_dir == Path("/cache")
    assert settings.endpoint == "http://mirror"
    assert settings.token == "hf_x"
    assert settings.implicit_token
    assert not settings.offline
    assert not settings.progress


def test_what_is_none_stays_as_it_is() -> None:
    environ = {"HF_ENDPOINT": "http://mirror"}

    export_settings({"endpoint": None, "offline": None}, environ)

    assert environ == {"HF_ENDPOINT": "http://mirror"}


def test_a_setting_names_the_variable_that_it_is_read_from() -> None:
    sources = setting_sources({"TRANSFORMERS_OFFLINE": "1", "HF_HUB_OFFLINE": "", "HF_HOME": "/h"})

    assert sources["offline"] == "TRANSFORMERS_OFFLINE"
    assert sources["home"] == "HF_HOME"
    assert sources["endpoint"] is None
