"""GPT-2 (Radford et al., 2019): pre-norm decoder with learned positions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from hubloader.architectures._causal_config import CausalConfig
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
    DecoderForSequenceClassification,
    View,
    causal_mask,
    record,
)
from hubloader.architectures._encoder import Encoder
from hubloader.architectures._heads import QuestionAnswering, TokenClassification
from hubloader.nn.blocks import activate, check_length, merge_heads, split_heads
from hubloader.nn.layer import UNTRACED, Layer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hubloader.nn.layer import Tensor, Trace


@dataclass(frozen=True, kw_only=True)
class GPT2Config(CausalConfig):
    """Source: transformers 5.23, ``configuration_gpt2.py``."""

    aliases: ClassVar[Mapping[str, str]] = {
        "hidden_size": "n_embd",
        "max_position_embeddings": "n_positions",
        "num_attention_heads": "n_head",
        "num_hidden_layers": "n_layer",
    }

    n_positions: int = size(1024, most=MAX_ROWS)
    n_embd: int = size(768)
    n_layer: int = size(12, least=0, most=MAX_LAYERS)
    n_head: int = size(12)
    n_inner: int | None = optional(size(3072))
    activation_function: str = activation("gelu_new")
    resid_pdrop: float = share(0.1)
    embd_pdrop: float = share(0.1)
    attn_pdrop: float = share(0.1)
    layer_norm_epsilon: float = amount(1e-5, positive=False)
    scale_attn_weights: bool = flag(True)
    scale_attn_by_inverse_layer_idx: bool = flag(False)

    @property
    def hidden_size(self) -> int:
        """Other families' name of ``n_embd``."""
        return self.n_embd

    @property
    def num_hidden_layers(self) -> int:
        """Other families' name of ``n_layer``."""
        return self.n_layer

    @property
    def num_attention_heads(self) -> int:
        """Other families' name of ``n_head``."""
        return self.n_head

    @property
    def max_position_embeddings(self) -> int:
        """Other families' name of ``n_positions``."""
        return self.n_positions

    @property
    def inner(self) -> int:
        """Width of the feed-forward network."""
        return 4 * self.n_embd if self.n_inner is None else self.n_inner

    def scale(self, layer: int) -> float:
        """What a layer's scores are multiplied by."""
        scale = float((self.n_embd // self.n_head) ** -0.5) if self.scale_attn_weights else 1.0
        return scale / (layer + 1) if self.scale_attn_by_inverse_layer_idx else scale

    def faults(self) -> list[str]:
        """Heads divide the width."""
        return [*super().faults(), *self.must_divide("n_embd", "n_head")]


class Projection(Layer):
    """A linear layer whose weight is stored the other way round: (in, out)."""

    stands_for = ("transformers.pytorch_utils", "Conv1D")  # whose layout peft knows

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.nn.weight(self, "weight", (n_in, n_out))
        self.nn.weight(self, "bias", (n_out,))
        self.sizes = (n_in, n_out)

    if TYPE_CHECKING:
        weight: Tensor
        bias: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, in) -> (B, T, out)."""
        nn, (n_in, n_out) = self.nn, self.sizes
        b, t, _ = nn.shape(x)
        return nn.reshape(nn.reshape(x, (-1, n_in)) @ self.weight + self.bias, (b, t, n_out))


class GPT2Attention(Layer):
    """Every token looks back."""

    def __init__(self, c: GPT2Config, index: int) -> None:
        super().__init__()
        self.c_attn = self.nn.make(Projection, c.n_embd, 3 * c.n_embd)
        self.c_proj = self.nn.make(Projection, c.n_embd, c.n_embd)
        self.attn_dropout = self.nn.Dropout(c.attn_pdrop)
        self.resid_dropout = self.nn.Dropout(c.resid_pdrop)
        self.heads, self.scale = c.n_head, c.scale(index)

    def forward(self, x: Tensor, view: View) -> Tensor:
        """(B, T, n_embd) -> the same shape."""
        nn = self.nn
        q, k, v = (split_heads(nn, part, self.heads) for part in nn.split(self.c_attn(x), 3))
        dropout = self.attn_dropout.p if self.training else 0.0
        context = nn.attention(
            *(q, k, v, view.mask), dropout=dropout, scale=self.scale, trace=view.trace
        )
        return self.resid_dropout(self.c_proj(merge_heads(nn, context)))


class GPT2MLP(Layer):
    """The feed-forward network."""

    def __init__(self, c: GPT2Config) -> None:
        super().__init__()
        self.c_fc = self.nn.make(Projection, c.n_embd, c.inner)
        self.c_proj = self.nn.make(Projection, c.inner, c.n_embd)
        self.dropout = self.nn.Dropout(c.resid_pdrop)
        self.act = c.activation_function

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, n_embd) -> the same shape."""
        return self.dropout(self.c_proj(activate(self.nn, self.act, self.c_fc(x))))


class GPT2Block(Layer):
    """Norm and attention, norm and feed-forward network, each added to what came in."""

    attention_class: ClassVar[type[Layer]] = GPT2Attention
    mlp_class: ClassVar[type[Layer]] = GPT2MLP

    def __init__(self, c: Any, index: int) -> None:
        super().__init__()
        nn = self.nn
        self.ln_1 = nn.LayerNorm(c.hidden_size, eps=c.layer_norm_epsilon)
        self.attn = nn.make(self.attention_class, c, index)
        self.ln_2 = nn.LayerNorm(c.hidden_size, eps=c.layer_norm_epsilon)
        self.mlp = nn.make(self.mlp_class, c)

    def forward(self, x: Tensor, view: View) -> Tensor:
        """(B, T, hidden_size) -> the same shape."""
        x = x + self.attn(self.ln_1(x), view)
        return x + self.mlp(self.ln_2(x))


class GPT2Model(Encoder):
    """input_ids, attention_mask, token_type_ids (B, T) -> hidden states (B, T, hidden_size)."""

    block_class: ClassVar[type[Layer]] = GPT2Block

    def __init__(self, c: Any) -> None:
        super().__init__()
        nn = self.nn
        self.wte = nn.Embedding(c.vocab_size, c.hidden_size)
        self.make_positions(c)
        self.drop = nn.Dropout(c.embd_pdrop)
        self.h = nn.ModuleList(
            [nn.make(self.block_class, c, i) for i in range(c.num_hidden_layers)]
        )
        self.ln_f = nn.LayerNorm(c.hidden_size, eps=c.layer_norm_epsilon)
        self.ahead = c.looks_ahead

    def make_positions(self, c: Any) -> None:
        """Build the table of positions."""
        self.wpe = self.nn.Embedding(c.max_position_embeddings, c.hidden_size)
        self.length = c.max_position_embeddings

    def embed(self, input_ids: Tensor) -> Tensor:
        """(B, T) -> (B, T, hidden_size): words and positions."""
        check_length(self.nn, input_ids, self.length)
        positions = self.nn.arange(self.nn.shape(input_ids)[1], input_ids)
        return self.wte(input_ids) + self.wpe(positions)

    def view(self, x: Tensor, attention_mask: Tensor | None, trace: Trace) -> View:
        """Return what the layers see."""
        return View(causal_mask(self.nn, x, attention_mask, ahead=self.ahead), trace)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        *,
        trace: Trace = UNTRACED,
    ) -> Tensor:
        """(B, T) -> (B, T, hidden_size); a token's type is itself a word here."""
        x = self.embed(input_ids)
        x = self.drop(x if token_type_ids is None else x + self.wte(token_type_ids))
        view = self.view(x, attention_mask, trace)
        for block in self.h:
            trace.hidden(x)
            x = block(x, view)
        x = self.ln_f(x)
        trace.hidden(x)
        return x


class GPT2ForSequenceClassification(DecoderForSequenceClassification):
    """input_ids, attention_mask, token_type_ids (B, T) -> logits (B, num_labels)."""

    prefix = "transformer"
    model_class = GPT2Model


ARCHITECTURE = record(
    "gpt2",
    "GPT2",
    GPT2Config,
    GPT2ForSequenceClassification,
    ignored_unexpected=(r"\.attn\.(masked_)?bias$",),
    tokens=TokenClassification,
    answers=QuestionAnswering,
)
