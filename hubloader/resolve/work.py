"""One call of a session, decided and not yet carried out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hubloader.resolve.cached import Resolved
    from hubloader.resolve.needs import Needs
    from hubloader.resolve.plan import Plan
    from hubloader.types import Manifest, Mode, Purpose, RepoId

__all__ = ["Work"]


@dataclass(frozen=True)
class Work:
    """What was asked for, what it means, what it needs, and what is to be done."""

    asked: RepoId
    resolved: Resolved
    needs: Needs
    plan: Plan
    mode: Mode
    purpose: Purpose | None = None

    @property
    def manifest(self) -> Manifest:
        """The commit and what it holds."""
        return self.resolved.manifest

    @property
    def known_missing(self) -> bool:
        """Whether files are missing because the commit does not have them."""
        known = self.manifest.complete or not self.resolved.listable
        return known and bool(self.needs.missing)
