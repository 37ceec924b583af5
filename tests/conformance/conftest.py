"""What is marked slow runs when it is asked for: ``pytest -m slow``, or ``"slow or not slow"``."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # tiny models: more threads only wait for each other

import pytest
from encoder_savings import repeats_an_encoder
from generative_variants import is_repetition


@pytest.hookimpl(tryfirst=True)  # before pytest itself looks at marks
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out more seeds of the same, and the same of relatives, unless the mark is named."""
    for item in items:
        params = getattr(getattr(item, "callspec", None), "params", {})
        if "conformance" not in item.path.parts:
            continue
        name = item.originalname
        if is_repetition(name, params) or repeats_an_encoder(name, params):
            item.add_marker(pytest.mark.slow)
    if "slow" in config.option.markexpr:
        return
    left_out = [item for item in items if "conformance" in item.path.parts and _is_slow(item)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in set(left_out)]


def _is_slow(item: pytest.Item) -> bool:
    return item.get_closest_marker("slow") is not None
