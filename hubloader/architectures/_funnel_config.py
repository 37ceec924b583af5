"""What a Funnel Transformer's config.json may say: sizes of blocks, repeats, ways of pooling."""

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
    share,
    size,
    token,
    word,
)

if TYPE_CHECKING:
    from collections.abc import Mapping


def _sizes_fault(value: Any) -> str | None:
    whole = isinstance(value, (list, tuple)) and all(
        isinstance(n, int) and not isinstance(n, bool) and 1 <= n <= MAX_LAYERS for n in value
    )
    return None if whole and 1 <= len(value) <= 16 else f"{value!r} is not a list of layers"


@dataclass(frozen=True, kw_only=True)
class FunnelConfig(Config):
    """Source: transformers 5.23, ``configuration_funnel.py``."""

    aliases: ClassVar[Mapping[str, str]] = {
        "hidden_size": "d_model",
        "num_attention_heads": "n_head",
    }

    vocab_size: int = size(30522, most=MAX_ROWS)
    block_sizes: tuple[int, ...] = checked((4, 4, 4), _sizes_fault)
    block_repeats: tuple[int, ...] | None = checked(
        None, lambda value: None if value is None else _sizes_fault(value)
    )
    num_decoder_layers: int = size(2, least=0, most=MAX_LAYERS)
    d_model: int = size(768)
    n_head: int = size(12)
    d_head: int = size(64)
    d_inner: int = size(3072)
    hidden_act: str = activation("gelu_new")
    hidden_dropout: float = share(0.1)
    attention_dropout: float = share(0.1)
    activation_dropout: float = share(0.0)
    layer_norm_eps: float = amount(1e-9, positive=False)
    pooling_type: str = word("mean", ("mean", "max"))
    attention_type: str = word("relative_shift", ("relative_shift", "factorized"))
    separate_cls: bool = flag(True)
    truncate_seq: bool = flag(True)
    pool_q_only: bool = flag(True)
    pad_token_id: int | None = token(None)

    @property
    def hidden_size(self) -> int:
        """Other families' name of ``d_model``."""
        return self.d_model

    @property
    def num_attention_heads(self) -> int:
        """Other families' name of ``n_head``."""
        return self.n_head

    @property
    def num_hidden_layers(self) -> int:
        """How many layers have weights of their own."""
        return sum(self.block_sizes)

    @property
    def repeats(self) -> tuple[int, ...]:
        """How often each block's layers are passed."""
        return self.block_repeats or (1,) * len(self.block_sizes)

    @property
    def lengthens(self) -> bool:
        """Whether the bare model's checkpoint brings all tokens back."""
        named = self.extra.get("architectures") or []
        return "FunnelBaseModel" not in named or "FunnelModel" in named

    @property
    def decodes(self) -> bool:
        """Never: transformers has no decoder of this family that looks back."""
        return False

    def faults(self) -> list[str]:
        """Every block has its repeats; the width is made of sines and cosines."""
        found = [*super().faults(), *self.must_have_row("pad_token_id", "vocab_size")]
        if len(self.repeats) != len(self.block_sizes):
            found.append(f"block_repeats: {len(self.repeats)} for {len(self.block_sizes)} blocks")
        if self.d_model % 2:
            found.append(f"d_model: {self.d_model} is not even")
        return found
