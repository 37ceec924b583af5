"""Nothing cached and nobody there: told within seconds, counted by a clock of the test's own."""

from __future__ import annotations

import pytest

from hubloader.cache import CacheStore
from hubloader.errors import CacheMiss, ConnectFailed, TimedOut
from hubloader.hub.client import HubClient
from hubloader.resolve.patience import patience
from hubloader.resolve.session import Session
from hubloader.settings import Settings
from hubloader.transport.memory import Answer, MemoryTransport
from hubloader.types import Purpose, parse_model_ref

ENDPOINT = "https://hub.example"
INFO = f"{ENDPOINT}/api/models/org/name/revision/main?blobs=true"


class Time:
    """A clock that only sleeping, and trying, moves on."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.mark.parametrize("error", [ConnectFailed("refused"), TimedOut("no route", connecting=True)])
@pytest.mark.parametrize(
    ("environment", "most"),
    [({}, 5.0), ({"HUBLOADER_CONNECT_BUDGET": "0"}, 0.0), ({"HUBLOADER_RETRY_BUDGET": "1"}, 1.0)],
)
def test_no_network_and_nothing_cached_is_told_within_the_budget_for_connecting(
    tmp_path, error, environment, most
):
    settings = Settings.from_env({"HF_ENDPOINT": ENDPOINT, **environment}, cache_dir=tmp_path)
    time, memory = Time(), MemoryTransport({INFO: Answer(error=error)})
    client = HubClient(
        memory, endpoint=ENDPOINT, retry=patience(settings), clock=time, sleep=time.sleep
    )
    session = Session(settings, lambda: client, CacheStore(tmp_path), clock=time)

    with pytest.raises(CacheMiss) as caught:
        session.files(parse_model_ref("org/name"), Purpose())

    assert caught.value.exit_code == 75
    assert time.now <= most
    assert len(memory.requests) > 1 or not most
