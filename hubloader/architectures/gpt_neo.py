"""GPT-Neo (Black et al., 2021): GPT-2, every other layer of which is near-sighted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from hubloader.architectures._causal_config import CausalConfig
from hubloader.architectures._config import (
    MAX_LAYERS,
    MAX_ROWS,
    activation,
    amount,
    checked,
    optional,
    share,
    size,
)
from hubloader.architectures._decoder import PlainMLP, View, record
from hubloader.architectures._heads import QuestionAnswering, TokenClassification
from hubloader.architectures.gpt2 import GPT2Block, GPT2ForSequenceClassification, GPT2Model
from hubloader.nn.blocks import backward_mask, key_mask, merge_heads, split_heads
from hubloader.nn.layer import Layer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hubloader.nn.layer import Tensor, Trace

GLOBAL, LOCAL = "global", "local"


def _types_fault(value: Any) -> str | None:
    if value is None:
        return None
    wrong = f"{value!r} is not a list like [[['{GLOBAL}', '{LOCAL}'], 12]]"
    if not isinstance(value, (list, tuple)):
        return wrong
    for item in value:
        if not isinstance(item, (list, tuple)) or len(item) != 2:
            return wrong
        kinds, times = item
        if not isinstance(times, int) or not 0 <= times <= MAX_LAYERS:
            return wrong
        if not isinstance(kinds, (list, tuple)) or not all(k in (GLOBAL, LOCAL) for k in kinds):
            return wrong
    return None


def _layers_fault(value: Any) -> str | None:
    """What is wrong with a list of how far each layer looks."""
    lists = isinstance(value, (list, tuple)) and all(kind in (GLOBAL, LOCAL) for kind in value)
    return None if value is None or lists else f"{value!r} is no list of {GLOBAL} and {LOCAL}"


@dataclass(frozen=True, kw_only=True)
class GPTNeoConfig(CausalConfig):
    """Source: transformers 5.23, ``configuration_gpt_neo.py``."""

    aliases: ClassVar[Mapping[str, str]] = {
        "num_attention_heads": "num_heads",
        "num_hidden_layers": "num_layers",
    }

    max_position_embeddings: int = size(2048, most=MAX_ROWS)
    hidden_size: int = size(2048)
    num_layers: int = size(24, least=0, most=MAX_LAYERS)
    num_heads: int = size(16)
    attention_types: tuple[Any, ...] | None = checked(None, _types_fault)
    attention_layers: tuple[str, ...] | None = checked(None, _layers_fault)
    intermediate_size: int | None = optional(size(8192))
    window_size: int = size(256, most=MAX_ROWS)
    activation_function: str = activation("gelu_new")
    resid_dropout: float = share(0.0)
    embed_dropout: float = share(0.0)
    attention_dropout: float = share(0.0)
    classifier_dropout: float = share(0.1)
    layer_norm_epsilon: float = amount(1e-5, positive=False)

    @property
    def num_hidden_layers(self) -> int:
        """Other families' name of ``num_layers``."""
        return self.num_layers

    @property
    def num_attention_heads(self) -> int:
        """Other families' name of ``num_heads``."""
        return self.num_heads

    @property
    def act(self) -> str:
        """The feed-forward network's."""
        return self.activation_function

    @property
    def embd_pdrop(self) -> float:
        """GPT-2's name of ``embed_dropout``."""
        return self.embed_dropout

    @property
    def kinds(self) -> tuple[str, ...]:
        """How far each layer looks: what is said of each wins; by turns, if nothing is said."""
        if self.attention_layers is not None:
            return self.attention_layers
        if self.attention_types is None:
            return tuple(LOCAL if i % 2 else GLOBAL for i in range(self.num_layers))
        return tuple(k for kinds, times in self.attention_types for k in tuple(kinds) * times)

    def faults(self) -> list[str]:
        """Heads divide the width; every layer has a kind."""
        found = [*super().faults(), *self.must_divide("hidden_size", "num_heads")]
        if len(self.kinds) != self.num_layers:
            found.append(f"attention_types: {len(self.kinds)} for {self.num_layers} layers")
        return found

    def beyond(self) -> list[str]:
        """Its layers look back whatever is_causal says, and transformers then adds two masks."""
        ahead = ["is_causal: looking ahead is not implemented here"] if self.looks_ahead else []
        return [*super().beyond(), *ahead]


class GPTNeoSelfAttention(Layer):
    """Every token looks back, as far as its layer does; scores are not scaled."""

    def __init__(self, c: GPTNeoConfig, index: int) -> None:
        super().__init__()
        nn, width = self.nn, c.hidden_size
        self.q_proj = nn.Linear(width, width, bias=False)
        self.k_proj = nn.Linear(width, width, bias=False)
        self.v_proj = nn.Linear(width, width, bias=False)
        self.out_proj = nn.Linear(width, width)
        self.attn_dropout = nn.Dropout(c.attention_dropout)
        self.resid_dropout = nn.Dropout(c.resid_dropout)
        self.heads = c.num_heads
        self.window = c.window_size if c.kinds[index] == LOCAL else None

    def unblinded(self, x: Tensor, keys: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return which keys a query sees, and which query sees any: (B, 1, T, T), (B, 1, T, 1).

        Here a query that may see nothing looks, alike, at what only one of both masks hides:
        its window hides what is padding, or padding what is outside of it.
        """
        nn = self.nn
        window = backward_mask(nn, x, None, self.window)
        if keys is None:
            return window, nn.cast_int(window[..., :1]) * 0 + 1
        behind = backward_mask(nn, x, keys)
        both = window & behind
        seeing = nn.sum(nn.cast_int(both), -1)[..., None] > 0
        return both | (~seeing & (window | behind)), nn.cast_int(seeing)

    def forward(self, x: Tensor, view: View) -> Tensor:
        """(B, T, hidden_size) -> the same shape."""
        nn, heads = self.nn, self.heads
        q, k, v = (split_heads(nn, f(x), heads) for f in (self.q_proj, self.k_proj, self.v_proj))
        mask, seeing = self.unblinded(x, view.mask)
        dropout = self.attn_dropout.p if self.training else 0.0
        q = q * nn.cast_like(seeing, q)  # all alike, where it sees nothing
        context = nn.attention(q, k, v, mask, dropout=dropout, scale=1.0, trace=view.trace)
        return self.resid_dropout(self.out_proj(merge_heads(nn, context)))


class GPTNeoAttention(Layer):
    """One level more, in the checkpoint's names."""

    def __init__(self, c: GPTNeoConfig, index: int) -> None:
        super().__init__()
        self.attention = self.nn.make(GPTNeoSelfAttention, c, index)

    def forward(self, x: Tensor, view: View) -> Tensor:
        """(B, T, hidden_size) -> the same shape."""
        return self.attention(x, view)


class GPTNeoMLP(PlainMLP):
    """The feed-forward network."""

    names = ("c_fc", "c_proj")

    def __init__(self, c: GPTNeoConfig) -> None:
        super().__init__(c, c.intermediate_size or 4 * c.hidden_size)
        self.dropout = self.nn.Dropout(c.resid_dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, hidden_size) -> the same shape."""
        return self.dropout(super().forward(x))


class GPTNeoBlock(GPT2Block):
    """GPT-2's, of such parts."""

    attention_class = GPTNeoAttention
    mlp_class = GPTNeoMLP


class GPTNeoModel(GPT2Model):
    """input_ids, attention_mask, token_type_ids (B, T) -> hidden states (B, T, hidden_size)."""

    block_class = GPTNeoBlock

    def view(self, x: Tensor, attention_mask: Tensor | None, trace: Trace) -> View:
        """Return which keys are no padding; each layer has a mask of its own besides."""
        del x
        return View(key_mask(self.nn, attention_mask), trace)


class GPTNeoForSequenceClassification(GPT2ForSequenceClassification):
    """input_ids, attention_mask, token_type_ids (B, T) -> logits (B, num_labels)."""

    model_class = GPTNeoModel


ARCHITECTURE = record(
    "gpt_neo",
    "GPTNeo",
    GPTNeoConfig,
    GPTNeoForSequenceClassification,
    ignored_unexpected=(r"\.attention\.(masked_)?bias$",),
    tokens=TokenClassification,
    answers=QuestionAnswering,
)
