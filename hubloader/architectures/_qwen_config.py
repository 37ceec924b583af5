"""What Qwen2's and Qwen3's configs have in common: a window, in the layers from one on."""

from __future__ import annotations

from dataclasses import dataclass

from hubloader.architectures._config import MAX_LAYERS, MAX_ROWS, flag, optional, size
from hubloader.architectures._decoder_config import FULL, SLIDING, DecoderConfig, layer_types

__all__ = ["QwenConfig"]


@dataclass(frozen=True, kw_only=True)
class QwenConfig(DecoderConfig):
    """Source: transformers 5.23, ``configuration_qwen2.py``, ``configuration_qwen3.py``."""

    vocab_size: int = size(151936, most=MAX_ROWS)
    intermediate_size: int = size(22016)
    num_key_value_heads: int | None = optional(size(32), 32)
    max_position_embeddings: int = size(32768, most=MAX_ROWS)
    use_sliding_window: bool = flag(False)
    sliding_window: int | None = optional(size(4096, least=0, most=MAX_ROWS), 4096)
    max_window_layers: int = size(28, least=0, most=MAX_LAYERS)
    layer_types: tuple[str, ...] | None = layer_types()

    @property
    def window(self) -> int | None:
        """Tokens that a query sees in some layers, itself among them."""
        return self.sliding_window if self.use_sliding_window else None

    @property
    def kinds(self) -> tuple[str, ...]:
        """The first layers look back to the beginning."""
        if self.layer_types is not None:
            return self.layer_types
        first = self.max_window_layers if self.window is not None else self.num_hidden_layers
        return tuple(SLIDING if i >= first else FULL for i in range(self.num_hidden_layers))
