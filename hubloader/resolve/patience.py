"""How long to go on trying, as the settings say it: one policy for questions and for bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hubloader.transport.retry import RetryPolicy

if TYPE_CHECKING:
    from hubloader.settings import Settings

__all__ = ["patience"]


def patience(settings: Settings) -> RetryPolicy:
    """Read what is tried again, and for how long, from the settings."""
    return RetryPolicy(
        budget=settings.retry_budget,
        connect_budget=settings.connect_budget,
        max_attempts=settings.max_attempts,
        first_delay=settings.retry_delay,
    )
