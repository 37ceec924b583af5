"""What a T5's config.json may say: sizes, buckets of distances, the feed-forward network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from hubloader.architectures._config import (
    MAX_LAYERS,
    MAX_ROWS,
    Config,
    activation,
    amount,
    checked,
    flag,
    optional,
    share,
    size,
    token,
)
from hubloader.nn.blocks import ACTIVATIONS

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["T5Config", "network_fault"]


def network_fault(value: Any) -> str | None:
    """What is wrong with the name of a feed-forward network: ``relu``, ``gated-gelu``."""
    words = value.split("-") if isinstance(value, str) else []
    if not 1 <= len(words) <= 2 or (len(words) == 2 and words[0] != "gated"):
        return f"{value!r} is neither an activation nor a gated one"
    return None if words[-1] in ACTIVATIONS else f"{words[-1]!r} is no activation"


@dataclass(frozen=True, kw_only=True)
class T5Config(Config):
    """Source: transformers 5.23, ``configuration_t5.py``."""

    aliases: ClassVar[Mapping[str, str]] = {
        "hidden_size": "d_model",
        "num_attention_heads": "num_heads",
        "num_hidden_layers": "num_layers",
        "head_dim": "d_kv",
    }
    bias_in_every_layer: ClassVar[bool] = False
    """Whether layers have biases of their own, rather than the first layer's."""

    vocab_size: int = size(32128, most=MAX_ROWS)
    d_model: int = size(512)
    d_kv: int = size(64)
    d_ff: int = size(2048)
    num_layers: int = size(6, least=0, most=MAX_LAYERS)
    num_decoder_layers: int | None = optional(size(6, least=0, most=MAX_LAYERS))
    num_heads: int = size(8)
    relative_attention_num_buckets: int = size(32, least=4)
    relative_attention_max_distance: int = size(128, least=2)
    dropout_rate: float = share(0.1)
    layer_norm_epsilon: float = amount(1e-6, positive=False)
    feed_forward_proj: str = checked("relu", network_fault)
    dense_act_fn: str | None = optional(activation("relu"))
    is_gated_act: bool | None = optional(flag(False))
    classifier_dropout: float = share(0.0)
    pad_token_id: int | None = token(0)
    eos_token_id: int | None = token(1)
    decoder_start_token_id: int | None = token(None)

    @property
    def hidden_size(self) -> int:
        """Other families' name of ``d_model``."""
        return self.d_model

    @property
    def num_attention_heads(self) -> int:
        """Other families' name of ``num_heads``."""
        return self.num_heads

    @property
    def num_hidden_layers(self) -> int:
        """Other families' name of ``num_layers``."""
        return self.num_layers

    @property
    def head_dropout(self) -> float:
        """A token classifier's."""
        return self.classifier_dropout

    @property
    def is_gated(self) -> bool:
        """Whether one half of the feed-forward network opens and shuts the other."""
        gated, own = self.feed_forward_proj.startswith("gated-"), self.is_gated_act
        return gated if own is None else own

    @property
    def act(self) -> str:
        """The feed-forward network's; ``gated-gelu`` has always meant the approximation."""
        if self.dense_act_fn is not None:
            return self.dense_act_fn
        name = self.feed_forward_proj.removeprefix("gated-")
        return "gelu_new" if self.feed_forward_proj == "gated-gelu" else name

    def faults(self) -> list[str]:
        """Buckets reach further than the exact ones of them."""
        found = super().faults()
        if self.relative_attention_max_distance <= self.relative_attention_num_buckets // 2:
            found.append("relative_attention_max_distance: nearer than exact buckets reach")
        return found
