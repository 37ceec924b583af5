"""Gemma 3's text model (Kamath et al., 2025): Gemma 2 with normed heads, turned faster nearby."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from hubloader.architectures._config import MAX_ROWS, amount, checked, optional, size
from hubloader.architectures._decoder import Decoder, DecoderForSequenceClassification, record
from hubloader.architectures._decoder_config import FULL, SLIDING
from hubloader.architectures._rope_config import rope_fault
from hubloader.architectures.gemma2 import Gemma2Block, Gemma2Config
from hubloader.architectures.qwen3 import Qwen3Attention

if TYPE_CHECKING:
    from hubloader.nn.rotary import Rope


def _nested_fault(given: Any) -> str | None:
    if given is None:
        return None
    if not isinstance(given, Mapping) or not set(given) <= {FULL, SLIDING}:
        return f"{given!r} is not a table of {FULL} and {SLIDING}"
    return next((fault for fault in map(rope_fault, given.values()) if fault), None)


@dataclass(frozen=True, kw_only=True)
class Gemma3TextConfig(Gemma2Config):
    """Source: transformers 5.23, ``configuration_gemma3.py``."""

    default_theta: ClassVar[float] = 1_000_000.0

    vocab_size: int = size(262208, most=MAX_ROWS)
    max_position_embeddings: int = size(131072, most=MAX_ROWS)
    attn_logit_softcapping: float | None = optional(amount(50.0))
    sliding_window_pattern: int = size(6)
    rope_parameters: Mapping[str, Any] | None = checked(None, _nested_fault)
    rope_local_base_freq: float | None = optional(amount(10_000.0))

    @property
    def softcap(self) -> float | None:
        """Scores are not bent, whatever the config says."""
        return None

    @property
    def kinds(self) -> tuple[str, ...]:
        """Every sixth layer looks back to the beginning."""
        if self.layer_types is not None:
            return self.layer_types
        each = self.sliding_window_pattern
        return tuple(SLIDING if (i + 1) % each else FULL for i in range(self.num_hidden_layers))

    @property
    def looks_ahead(self) -> bool:
        """Whether a token sees those after it too: EmbeddingGemma's do."""
        return bool(self.use_bidirectional_attention) or super().looks_ahead

    @property
    def reach(self) -> int | None:
        """Half the window, if the whole lies on both sides."""
        if self.use_bidirectional_attention and self.sliding_window is not None:
            return self.sliding_window // 2
        return self.sliding_window

    def rope(self, kind: str = FULL) -> Rope:
        """Return how the heads are turned: in layers that look far, as was stretched."""
        given = dict((self.rope_parameters or {}).get(kind) or {})
        if kind == SLIDING:
            return self.rope_from(given, self.rope_local_base_freq or 10_000.0)
        return self.rope_from({**given, **(self.rope_scaling or {})})

    def beyond(self) -> list[str]:
        """Looking ahead is implemented for this Gemma; transformers reads a stretch by one name."""
        found = [said for said in super().beyond() if "use_bidirectional_attention" not in said]
        if "type" in (self.rope_scaling or {}) and "rope_type" not in (self.rope_scaling or {}):
            found.append("rope_scaling: of this family transformers 5 reads rope_type, and no type")
        return found


class Gemma3Block(Gemma2Block):
    """Gemma 2's, with heads normalised before they are turned."""

    attention_class = Qwen3Attention


class Gemma3TextModel(Decoder):
    """input_ids, attention_mask (B, T) -> hidden states (B, T, hidden_size)."""

    block_class = Gemma3Block


class Gemma3TextForSequenceClassification(DecoderForSequenceClassification):
    """input_ids, attention_mask (B, T) -> logits (B, num_labels)."""

    model_class = Gemma3TextModel


ARCHITECTURE = record(
    "gemma3_text",
    "Gemma3Text",
    Gemma3TextConfig,
    Gemma3TextForSequenceClassification,
    takes_besides=(),
)
