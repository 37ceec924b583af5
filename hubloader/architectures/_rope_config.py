"""How config.json says how heads are turned: today's ``rope_parameters`` and what was before it.

Source: transformers 5.23, ``modeling_rope_utils.py`` (``RotaryEmbeddingConfigMixin``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from hubloader.architectures._causal_config import CausalConfig
from hubloader.architectures._config import MAX_ROWS, Beyond, amount, checked, optional
from hubloader.nn.rotary import ROPE_KINDS, Rope

__all__ = ["FULL", "SLIDING", "RotaryConfig", "rope_fault"]

FULL, SLIDING = "full_attention", "sliding_attention"

_NEEDED = {
    "linear": ("factor",),
    "dynamic": ("factor",),
    "yarn": ("factor",),
    "llama3": ("factor", "low_freq_factor", "high_freq_factor"),
    "longrope": ("short_factor", "long_factor"),
}
_OLD_NAMES = {"su": "longrope"}
_POSITIVE = ("rope_theta", "factor", "attention_factor", "low_freq_factor", "high_freq_factor")
_NUMBERS = ("beta_fast", "beta_slow", "mscale", "mscale_all_dim")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _kind(given: Mapping[str, Any]) -> Any:
    kind = given.get("rope_type", given.get("type", "default"))
    return _OLD_NAMES.get(kind, kind) if isinstance(kind, str) else kind


def rope_fault(given: Any) -> str | None:
    """What is wrong with one flat table of rotary settings; None is no table."""
    if given is None:
        return None
    if not isinstance(given, Mapping):
        return f"{given!r} is not a table of rotary settings"
    kind = _kind(given)
    if not isinstance(kind, str):
        return f"{kind!r} is no type of rotary positions"
    if kind not in ROPE_KINDS:
        return Beyond(f"rotary positions of type {kind!r} are not implemented here")
    lacking = [key for key in _NEEDED.get(kind, ()) if given.get(key) is None]
    if lacking:
        return f"rotary positions of type {kind!r} need {', '.join(lacking)}"
    return _value_fault(given) or _extent_fault(given)


def _value_fault(given: Mapping[str, Any]) -> str | None:
    for key in (*_POSITIVE, *_NUMBERS):
        value = given.get(key)
        if value is not None and not (_is_number(value) and (value > 0 or key not in _POSITIVE)):
            return f"{key} is {value!r}, which is no number that it can be"
    for key in ("short_factor", "long_factor"):
        value = given.get(key)
        if value is not None and not (
            isinstance(value, (list, tuple)) and all(_is_number(x) and x > 0 for x in value)
        ):
            return f"{key} is not a list of numbers above 0"
    return None


def _extent_fault(given: Mapping[str, Any]) -> str | None:
    share = given.get("partial_rotary_factor")
    if share is not None and not (_is_number(share) and 0 < share <= 1):
        return f"partial_rotary_factor is {share!r}, which is no share"
    native = given.get("original_max_position_embeddings")
    if native is not None and not (_is_number(native) and 2 <= native <= MAX_ROWS):
        return f"original_max_position_embeddings is {native!r}, which is no length"
    return None


@dataclass(frozen=True, kw_only=True)
class RotaryConfig(CausalConfig):
    """A family whose heads are turned: its keys, in every form that config.json has had."""

    default_theta: ClassVar[float] = 10_000.0
    default_share: ClassVar[float] = 1.0

    rope_parameters: Mapping[str, Any] | None = checked(None, rope_fault)
    rope_scaling: Mapping[str, Any] | None = checked(None, rope_fault)
    rope_theta: float | None = optional(amount(10_000.0))
    partial_rotary_factor: float | None = optional(amount(1.0))

    def rope(self, kind: str = FULL) -> Rope:
        """Return how the heads are turned, of layers of one kind."""
        del kind  # most families turn all layers alike
        return self.rope_from(self.rope_scaling or self.rope_parameters or {})

    def rope_from(self, given: Mapping[str, Any], theta: float | None = None) -> Rope:
        """Read one flat table; what it does not say, older keys or the family say."""
        settings = dict(given)
        native = self.extra.get("original_max_position_embeddings")
        if native is not None:
            settings["original_max_position_embeddings"] = native
        theta = given.get("rope_theta") or theta or self.rope_theta or self.default_theta
        return Rope(
            theta=float(theta),
            share=self.share_of(given),
            kind=_kind(given),
            settings=settings,
            longest=self.max_length,
        )

    def share_of(self, given: Mapping[str, Any]) -> float:
        """Which share of a head's numbers is turned: all, but where a family says so."""
        del given
        return 1.0

    def partial_share(self, given: Mapping[str, Any]) -> float:
        """Which share a config says, by today's key, an older one, or the family's default."""
        own = self.partial_rotary_factor
        found = given.get("partial_rotary_factor") or own or self.default_share
        return float(found)

    def width_beyond(self, own: Any, head_width: int) -> list[str]:
        """What nobody here does of a config whose ``head_dim`` is for the angles alone."""
        if own in (None, head_width):
            return []
        return ["head_dim: heads turned as of another width are not implemented here"]

    @property
    def max_length(self) -> int:
        """Tokens that the model is for."""
        return int(getattr(self, "max_position_embeddings", 2048))

    def rope_faults(self, head_width: int, kinds: tuple[str, ...] = (FULL,)) -> list[str]:
        """Heads have pairs to turn; of ``longrope``, each pair its factor."""
        found = []
        for kind in kinds:
            rope = self.rope(kind)
            dim = int(head_width * rope.share)
            if not 2 <= dim <= head_width or dim % 2:
                found.append(f"rotary positions: {dim} of a head's {head_width} numbers")
            if rope.kind == "dynamic" and dim <= 2:
                found.append("rotary positions: dynamic ones need heads of more than 2 numbers")
            for key in ("short_factor", "long_factor"):
                given = rope.settings.get(key) or ()
                if rope.kind == "longrope" and len(given) != dim // 2:
                    found.append(f"{key}: {len(given)} for {dim // 2} pairs")
            native = rope.settings.get("original_max_position_embeddings")
            if native is not None and not (_is_number(native) and native >= 2):
                found.append(f"original_max_position_embeddings: {native!r} is no length")
        return found
