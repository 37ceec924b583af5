"""What an XLNet's config.json may say: sizes, how texts are looked at, what is remembered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from hubloader.architectures._config import (
    MAX_LAYERS,
    MAX_ROWS,
    Config,
    activation,
    amount,
    flag,
    optional,
    share,
    size,
    token,
    word,
)
from hubloader.architectures._summary import activation_or_none, summary_type

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["XLNetConfig"]


@dataclass(frozen=True, kw_only=True)
class XLNetConfig(Config):
    """Source: transformers 5.23, ``configuration_xlnet.py``."""

    aliases: ClassVar[Mapping[str, str]] = {
        "hidden_size": "d_model",
        "num_attention_heads": "n_head",
        "num_hidden_layers": "n_layer",
        "n_token": "vocab_size",
    }

    keys_to_ignore_at_inference: ClassVar[list[str]] = ["mems"]

    vocab_size: int = size(32000, most=MAX_ROWS)
    d_model: int = size(1024)
    n_layer: int = size(24, least=0, most=MAX_LAYERS)
    n_head: int = size(16)
    d_inner: int = size(4096)
    d_head: int | None = optional(size(64))
    ff_activation: str = activation("gelu")
    attn_type: str = word("bi", ("bi", "uni"))
    layer_norm_eps: float = amount(1e-12, positive=False)
    dropout: float = share(0.1)
    clamp_len: int = size(-1, least=-1, most=MAX_ROWS)
    bi_data: bool = flag(False)
    same_length: bool = flag(False)
    mem_len: int | None = optional(size(512, least=0, most=MAX_ROWS), 512)
    reuse_len: int | None = optional(size(0, least=0, most=MAX_ROWS))
    use_mems_eval: bool = flag(True)
    use_mems_train: bool = flag(False)
    start_n_top: int = size(5)
    end_n_top: int = size(5)
    pad_token_id: int | None = token(5)
    summary_type: str = summary_type("last")
    summary_use_proj: bool = flag(True)
    summary_activation: str | None = activation_or_none("tanh")
    summary_first_dropout: float = share(0.0)
    summary_last_dropout: float = share(0.1)
    summary_proj_to_labels: bool = flag(False)

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
        """Other families' name of ``n_layer``."""
        return self.n_layer

    @property
    def head_width(self) -> int:
        """Numbers of one head."""
        return self.d_model // self.n_head

    @property
    def decodes(self) -> bool:
        """Never: ``attn_type`` says it here, and the layers know it."""
        return False

    def faults(self) -> list[str]:
        """Heads divide the width, which is made of sines and cosines."""
        found = [*super().faults(), *self.must_divide("d_model", "n_head")]
        if self.d_head not in {None, self.head_width}:
            found.append(f"d_head: {self.d_head} is not d_model / n_head")
        if self.d_model % 2:
            found.append(f"d_model: {self.d_model} is not even")
        if self.summary_proj_to_labels and self.num_labels != self.d_model:
            found.append("summary_proj_to_labels: the labels' projection would not fit")
        return found
