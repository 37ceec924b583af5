"""What is marked slow runs when it is asked for: ``pytest -m slow``, or ``"slow or not slow"``."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out more seeds of the same, unless the mark is named."""
    if "slow" in config.option.markexpr:
        return
    left_out = [item for item in items if "conformance" in item.path.parts and _is_slow(item)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in set(left_out)]


def _is_slow(item: pytest.Item) -> bool:
    return item.get_closest_marker("slow") is not None
