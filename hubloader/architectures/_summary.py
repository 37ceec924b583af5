"""One vector for a text, as XLM's kin make it: of one token or of all, projected, bent.

Source: transformers 5.23, ``modeling_xlm.py``, ``XLMSequenceSummary``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hubloader.architectures._config import (
    Beyond,
    Config,
    activation,
    checked,
    flag,
    optional,
    share,
)
from hubloader.nn.blocks import activate
from hubloader.nn.layer import Layer

if TYPE_CHECKING:
    from hubloader.nn.layer import Tensor

__all__ = ["SequenceSummary", "SummaryConfig", "activation_or_none", "summary_type"]

_TYPES = ("first", "last", "mean", "cls_index")


def summary_type(default: str) -> Any:
    """Which tokens a summary is of."""

    def fault(value: Any) -> str | None:
        if value in _TYPES:
            return None
        if value == "attn":
            return Beyond("a summary of type 'attn' is not implemented, in transformers either")
        return f"{value!r} is none of {', '.join(_TYPES)}"

    return checked(default, fault)


def activation_or_none(default: str | None) -> Any:
    """The name of an activation; null or an empty word for none."""
    return optional(activation("linear"), default)


@dataclass(frozen=True, kw_only=True)
class SummaryConfig(Config):
    """A family whose config says nothing of a summary by default: of the last token as it is."""

    summary_type: str = summary_type("last")
    summary_use_proj: bool = flag(False)
    summary_activation: str | None = activation_or_none(None)
    summary_proj_to_labels: bool = flag(False)
    summary_first_dropout: float = share(0.0)
    summary_last_dropout: float = share(0.0)


class SequenceSummary(Layer):
    """(B, T, hidden_size) -> (B, num_labels or hidden_size)."""

    def __init__(self, c: Any) -> None:
        super().__init__()
        nn = self.nn
        width = c.num_labels if c.summary_proj_to_labels else c.hidden_size
        self.summary = nn.Linear(c.hidden_size, width) if c.summary_use_proj else nn.Identity()
        self.first_dropout = nn.Dropout(c.summary_first_dropout)
        self.last_dropout = nn.Dropout(c.summary_last_dropout)
        self.kind, self.activation = c.summary_type, c.summary_activation or "linear"

    def pick(self, hidden: Tensor) -> Tensor:
        """(B, T, hidden_size) -> (B, hidden_size); the mean is of padding too, as there."""
        if self.kind == "first":
            return hidden[:, 0]
        if self.kind == "mean":
            total = self.nn.sum(hidden, 1)
            return total / self.nn.sum(self.nn.zeros_like(hidden[:, :, 0]) + 1, 1)[:, None]
        return hidden[:, -1]

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, T, hidden_size) -> (B, width)."""
        x = self.summary(self.first_dropout(self.pick(hidden)))
        return self.last_dropout(activate(self.nn, self.activation, x))
