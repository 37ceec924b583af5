"""StarCoder 2 (Lozhkov et al., 2024): Mistral with LayerNorm, biases and a plain network."""

from __future__ import annotations

from dataclasses import dataclass

from hubloader.architectures._config import (
    MAX_LAYERS,
    MAX_ROWS,
    activation,
    amount,
    flag,
    optional,
    share,
    size,
)
from hubloader.architectures._decoder import (
    Block,
    Decoder,
    DecoderForSequenceClassification,
    PlainMLP,
    record,
)
from hubloader.architectures._decoder_config import FULL, SLIDING, DecoderConfig
from hubloader.architectures._heads import ScoredTokens


@dataclass(frozen=True, kw_only=True)
class Starcoder2Config(DecoderConfig):
    """Source: transformers 5.23, ``configuration_starcoder2.py``."""

    norm = "mean"

    vocab_size: int = size(49152, most=MAX_ROWS)
    hidden_size: int = size(3072)
    intermediate_size: int = size(12288)
    num_hidden_layers: int = size(30, least=0, most=MAX_LAYERS)
    num_attention_heads: int = size(24)
    num_key_value_heads: int | None = optional(size(2), 2)
    hidden_act: str = activation("gelu_pytorch_tanh")
    max_position_embeddings: int = size(4096, most=MAX_ROWS)
    norm_epsilon: float = amount(1e-5, positive=False)
    sliding_window: int | None = optional(size(4096, most=MAX_ROWS))
    residual_dropout: float = share(0.0)
    embedding_dropout: float = share(0.0)
    use_bias: bool = flag(True)

    @property
    def norm_eps(self) -> float:
        """What keeps a normalisation from dividing by 0."""
        return self.norm_epsilon

    @property
    def input_bias(self) -> bool:
        """Whether queries, keys and values have one."""
        return self.use_bias

    @property
    def output_bias(self) -> bool:
        """Whether attention's output has one."""
        return self.use_bias

    @property
    def window(self) -> int | None:
        """Tokens that a query sees, itself among them."""
        return self.sliding_window

    @property
    def kinds(self) -> tuple[str, ...]:
        """Every layer looks through the window, if there is one."""
        return (FULL if self.window is None else SLIDING,) * self.num_hidden_layers


class Starcoder2MLP(PlainMLP):
    """A plain feed-forward network."""

    names = ("c_fc", "c_proj")

    def __init__(self, c: Starcoder2Config) -> None:
        super().__init__(c, bias=c.use_bias)


class Starcoder2Block(Block):
    """LLaMA's, with such a network."""

    mlp_class = Starcoder2MLP


class Starcoder2Model(Decoder):
    """input_ids, attention_mask (B, T) -> hidden states (B, T, hidden_size)."""

    block_class = Starcoder2Block


class Starcoder2ForSequenceClassification(DecoderForSequenceClassification):
    """input_ids, attention_mask (B, T) -> logits (B, num_labels)."""

    model_class = Starcoder2Model


ARCHITECTURE = record(
    "starcoder2",
    "Starcoder2",
    Starcoder2Config,
    Starcoder2ForSequenceClassification,
    tokens=ScoredTokens,
)
