"""Series of network faults that nobody thought of: right bytes or a typed error, each time.

The number of series is ``--chaos``; a failing one is repeated by its number.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import fault_hub as faults
import pytest
from fault_hub import Asked, Fault
from fault_hub import body as a_body
from network_world import World, shrink

from hubloader.errors import HubloaderError

FAULTS_OF_ANYTHING = [
    lambda _: faults.close_before_status(),
    lambda _: faults.close_before_status(reset=True),
    lambda draw: faults.status(draw.choice([408, 429, 500, 502, 503, 504])),
    lambda _: faults.status(429, Retry_After="0"),
]
FINAL_FAULTS = [
    lambda draw: faults.status(draw.choice([400, 401, 403, 404, 416])),
    lambda _: faults.html(),
    lambda _: faults.redirect_loop(),
]
FAULTS_OF_BODIES = [
    lambda draw: faults.cut(draw.randrange(300_000)),
    lambda draw: faults.cut(draw.randrange(300_000), reset=True),
    lambda draw: faults.overstated(draw.randrange(1, 1000)),
    lambda draw: faults.overlong(draw.randrange(1, 1000)),
    lambda draw: faults.unchunked_end(draw.randrange(300_000)),
    lambda draw: faults.no_length(draw.randrange(300_000)),
    lambda _: faults.no_length(),
    lambda _: faults.flip(-1),
    lambda _: faults.zeros(),
    lambda _: faults.gzipped(),
    lambda _: faults.ignore_range(),
    lambda draw: faults.stall(draw.randrange(300_000)),
    lambda draw: faults.other_content(draw.randbytes(draw.randrange(300_000))),
    lambda _: faults.headers(ETag=None),
]


class Chaos:
    """One random fault for each request, or none, until there were ``most``."""

    def __init__(self, seed: int, most: int) -> None:
        self._draw = random.Random(seed)
        self._left = most

    def fault(self) -> Fault:
        async def misbehave(asked: Asked):
            if self._left <= 0 or self._draw.random() < 0.3:
                return asked.answer
            self._left -= 1
            return await self._draw.choice(self._kind(asked))(self._draw)(asked)

        return misbehave

    def _kind(self, asked: Asked) -> list[Callable[[random.Random], Fault]]:
        if self._draw.random() < 0.05:
            return FINAL_FAULTS
        in_body = a_body()(asked) and self._draw.random() < 0.8
        return FAULTS_OF_BODIES if in_body else FAULTS_OF_ANYTHING


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "seed" in metafunc.fixturenames:
        metafunc.parametrize("seed", range(metafunc.config.getoption("--chaos", 60)))


def test_any_series_of_faults_ends_in_right_bytes_or_a_typed_error(
    world: World, monkeypatch: pytest.MonkeyPatch, seed: int
):
    shrink(monkeypatch, divided=seed % 2 == 0)
    world.settings["HUBLOADER_IDLE_TIMEOUT"] = "0.15"
    chaos = Chaos(seed, most=random.Random(seed).randrange(1, 25))
    world.inject(chaos.fault(), faults.anything, times=None)

    for _ in range(3):  # each as a new process, with what the one before it left
        error = world.load_somehow()
        assert error is None or isinstance(error, HubloaderError)
        assert world.faults_in_cache() == []
