"""mT5 (Xue et al., 2020): T5 with a gate, on a hundred languages."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hubloader.architectures import t5
from hubloader.architectures._config import MAX_LAYERS, MAX_ROWS, checked, size, token
from hubloader.architectures._t5_config import T5Config, network_fault


@dataclass(frozen=True, kw_only=True)
class MT5Config(T5Config):
    """Source: transformers 5.23, ``configuration_mt5.py``."""

    vocab_size: int = size(250112, most=MAX_ROWS)
    d_ff: int = size(1024)
    num_layers: int = size(8, least=0, most=MAX_LAYERS)
    num_heads: int = size(6)
    feed_forward_proj: str = checked("gated-gelu", network_fault)
    decoder_start_token_id: int | None = token(0)


ARCHITECTURE = replace(t5.ARCHITECTURE.renamed("mt5", "MT5"), config=MT5Config)
