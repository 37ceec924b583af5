"""What the loads of these tests stand on: a machine that may be as slow as it likes."""

from __future__ import annotations

import sys

import pytest

from hubloader.cache import asking

LONG = 300.0  # seconds: what takes longer hangs


@pytest.fixture(autouse=True)
def patient(clean_environment: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nobody give up a server or another process that is only slow; tests may set less.

    Which servers did not answer is forgotten: one of this test may have the port of one that an
    earlier test stopped.
    """
    monkeypatch.setenv("HUBLOADER_REFRESH_TIMEOUT", str(LONG))
    monkeypatch.setenv("HUBLOADER_LOCK_TIMEOUT", str(LONG))
    monkeypatch.setattr(asking, "PATIENCE", LONG)
    source = sys.modules.get("hubloader.auto.source")
    if source is not None:
        source._REACHABILITY.clear()
        source._HEALTH.clear()
