"""GPT-J (Wang & Komatsuzaki, 2021): GPT-2 with turned heads, a layer's halves side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hubloader.architectures._config import MAX_LAYERS, MAX_ROWS, share, size
from hubloader.architectures._decoder import PlainMLP, View, causal_mask, record
from hubloader.architectures._heads import QuestionAnswering
from hubloader.architectures.gpt2 import GPT2Config, GPT2ForSequenceClassification, GPT2Model
from hubloader.nn.blocks import check_length, merge_heads, split_heads
from hubloader.nn.layer import Layer
from hubloader.nn.rotary import Rope, Rotary, turn

if TYPE_CHECKING:
    from hubloader.nn.layer import Tensor, Trace


@dataclass(frozen=True, kw_only=True)
class GPTJConfig(GPT2Config):
    """Source: transformers 5.23, ``configuration_gptj.py``."""

    vocab_size: int = size(50400, most=MAX_ROWS)
    n_positions: int = size(2048, most=MAX_ROWS)
    n_embd: int = size(4096)
    n_layer: int = size(28, least=0, most=MAX_LAYERS)
    n_head: int = size(16)
    rotary_dim: int = size(64)
    resid_pdrop: float = share(0.0)
    embd_pdrop: float = share(0.0)
    attn_pdrop: float = share(0.0)

    @property
    def act(self) -> str:
        """The feed-forward network's."""
        return self.activation_function

    def faults(self) -> list[str]:
        """Pairs of numbers are turned, of which a head has enough."""
        found = super().faults()
        if not found and (self.rotary_dim % 2 or self.rotary_dim > self.n_embd // self.n_head):
            found.append(
                f"rotary_dim: {self.rotary_dim} of heads {self.n_embd // self.n_head} wide"
            )
        return found


class GPTJAttention(Layer):
    """Every token looks back, with turned heads."""

    def __init__(self, c: GPTJConfig) -> None:
        super().__init__()
        nn, width = self.nn, c.n_embd
        self.q_proj = nn.Linear(width, width, bias=False)
        self.k_proj = nn.Linear(width, width, bias=False)
        self.v_proj = nn.Linear(width, width, bias=False)
        self.out_proj = nn.Linear(width, width, bias=False)
        self.attn_dropout = nn.Dropout(c.attn_pdrop)
        self.resid_dropout = nn.Dropout(c.resid_pdrop)
        self.heads = c.n_head

    def forward(self, x: Tensor, view: View) -> Tensor:
        """(B, T, n_embd) -> the same shape."""
        nn, heads = self.nn, self.heads
        q, k, v = (split_heads(nn, f(x), heads) for f in (self.q_proj, self.k_proj, self.v_proj))
        q, k = turn(nn, q, view.angles), turn(nn, k, view.angles)
        dropout = self.attn_dropout.p if self.training else 0.0
        context = nn.attention(q, k, v, view.mask, dropout=dropout, trace=view.trace)
        return self.resid_dropout(self.out_proj(merge_heads(nn, context)))


class GPTJMLP(PlainMLP):
    """The feed-forward network."""

    names = ("fc_in", "fc_out")

    def __init__(self, c: GPTJConfig) -> None:
        super().__init__(c, c.inner)
        self.dropout = self.nn.Dropout(c.resid_pdrop)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, n_embd) -> the same shape."""
        return self.dropout(super().forward(x))


class GPTJBlock(Layer):
    """Norm; attention and feed-forward network of the same, both added."""

    def __init__(self, c: GPTJConfig, _index: int) -> None:
        super().__init__()
        self.ln_1 = self.nn.LayerNorm(c.n_embd, eps=c.layer_norm_epsilon)
        self.attn = self.nn.make(GPTJAttention, c)
        self.mlp = self.nn.make(GPTJMLP, c)

    def forward(self, x: Tensor, view: View) -> Tensor:
        """(B, T, n_embd) -> the same shape."""
        normed = self.ln_1(x)
        return self.attn(normed, view) + self.mlp(normed) + x


class GPTJModel(GPT2Model):
    """input_ids, attention_mask, token_type_ids (B, T) -> hidden states (B, T, n_embd)."""

    block_class = GPTJBlock

    def make_positions(self, c: Any) -> None:
        """Build the angles of positions, which have no table."""
        rope = Rope(longest=c.n_positions, pairs=True)
        self.rotary = self.nn.make(Rotary, rope, c.rotary_dim)
        self.length = c.n_positions

    def embed(self, input_ids: Tensor) -> Tensor:
        """(B, T) -> (B, T, n_embd): words alone, of as many positions as the model is for."""
        check_length(self.nn, input_ids, self.length)
        return self.wte(input_ids)

    def view(self, x: Tensor, attention_mask: Tensor | None, trace: Trace) -> View:
        """Return what the layers see."""
        mask = causal_mask(self.nn, x, attention_mask, ahead=self.ahead)
        return View(mask, trace, self.rotary(x))


class GPTJForSequenceClassification(GPT2ForSequenceClassification):
    """input_ids, attention_mask, token_type_ids (B, T) -> logits (B, num_labels)."""

    model_class = GPTJModel


ARCHITECTURE = record(
    "gptj",
    "GPTJ",
    GPTJConfig,
    GPTJForSequenceClassification,
    ignored_unexpected=(r"\.attn\.((masked_)?bias|embed_positions)$",),
    answers=QuestionAnswering,
)
