"""LLaMA's body, from which its relatives differ in a line or two; and every decoder's classifier.

A family's file says what is different: its config in the properties of ``DecoderConfig``, its
layers by other classes in ``attention_class``, ``mlp_class``, ``block_class``.

Source: transformers 5.23, ``modeling_llama.py``, ``modeling_layers.py``
(``GenericForSequenceClassification``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from hubloader.architectures._decoder_config import SLIDING
from hubloader.architectures._encoder import Encoder
from hubloader.architectures._entry import (
    ENCODER,
    QUESTION_ANSWERING,
    SEQUENCE_CLASSIFICATION,
    Architecture,
)
from hubloader.architectures._heads import Head, heads
from hubloader.nn.blocks import (
    activate,
    backward_mask,
    key_mask,
    merge_heads,
    repeat_heads,
    split_heads,
    window_mask,
)
from hubloader.nn.layer import UNTRACED, Layer
from hubloader.nn.picking import last_token
from hubloader.nn.rotary import Rotary, turn

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from hubloader.architectures._config import Config
    from hubloader.architectures._decoder_config import DecoderConfig
    from hubloader.nn.layer import Kit, Tensor, Trace
    from hubloader.nn.rotary import Angles

__all__ = [
    "Attention",
    "Block",
    "Decoder",
    "DecoderForSequenceClassification",
    "GatedMLP",
    "PlainMLP",
    "View",
    "causal_mask",
    "is_whole",
    "normalisation",
    "record",
    "split_fused",
]


class View(NamedTuple):
    """What the layers of one kind see.

    ``mask`` is which keys a query sees, ``angles`` what each position is turned by, ``bias`` what
    is added to scores, both None where a family has none.
    """

    mask: Tensor | None
    trace: Trace
    angles: Angles | None = None
    bias: Tensor | None = None


def normalisation(nn: Kit, c: DecoderConfig, width: int | None = None) -> Any:
    """Build a family's normalisation, of the hidden states' width unless told."""
    width = c.hidden_size if width is None else width
    if c.norm == "mean":
        return nn.LayerNorm(width, eps=c.norm_eps)
    return nn.RMSNorm(width, eps=c.norm_eps, offset=1.0 if c.norm == "raised root" else 0.0)


def causal_mask(nn: Kit, x: Tensor, attention_mask: Tensor | None, *, ahead: bool) -> Tensor | None:
    """Return which keys a query sees, back alone or ``ahead`` too: bool, to (B, 1, T, T)."""
    keys = key_mask(nn, attention_mask)
    return keys if ahead or is_whole(attention_mask) else backward_mask(nn, x, keys)


def is_whole(attention_mask: Tensor | None) -> bool:
    """Whether a mask says of each query what it sees, so that nothing is to be added to it."""
    return attention_mask is not None and len(attention_mask.shape) > 2


def split_fused(
    nn: Kit, x: Tensor, groups: int, times: int, width: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Take apart what lies group by group: ``times`` queries, a key, a value, each ``width`` wide.

    Args:
        nn: the kit.
        x: (B, T, groups * (times + 2) * width).
        groups: heads of keys and values.
        times: heads of queries for each.
        width: numbers of one head.

    Returns:
        Queries (B, groups * times, T, width), keys and values (B, groups, T, width).

    """
    b, t, _ = nn.shape(x)
    parts = nn.reshape(x, (b, t, groups, times + 2, width))
    q = nn.reshape(parts[:, :, :, :times], (b, t, groups * times, width))
    k, v = parts[:, :, :, times], parts[:, :, :, times + 1]
    q, k, v = (nn.transpose(part, (0, 2, 1, 3)) for part in (q, k, v))
    return q, k, v


class GatedMLP(Layer):
    """The feed-forward network, one half of which opens and shuts the other."""

    def __init__(self, c: DecoderConfig) -> None:
        super().__init__()
        nn, bias = self.nn, c.mlp_bias
        self.gate_proj = nn.Linear(c.hidden_size, c.intermediate_size, bias=bias)
        self.up_proj = nn.Linear(c.hidden_size, c.intermediate_size, bias=bias)
        self.down_proj = nn.Linear(c.intermediate_size, c.hidden_size, bias=bias)
        self.activation = c.act

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, hidden_size) -> the same shape."""
        gate = activate(self.nn, self.activation, self.gate_proj(x))
        return self.down_proj(gate * self.up_proj(x))


class PlainMLP(Layer):
    """The feed-forward network: wider, bent, and back."""

    names: ClassVar[tuple[str, str]] = ("fc1", "fc2")

    def __init__(self, c: Any, width: int | None = None, *, bias: bool = True) -> None:
        super().__init__()
        wide = c.intermediate_size if width is None else width
        up, down = self.names
        setattr(self, up, self.nn.Linear(c.hidden_size, wide, bias=bias))
        setattr(self, down, self.nn.Linear(wide, c.hidden_size, bias=bias))
        self.activation = c.act

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, hidden_size) -> the same shape."""
        up, down = (getattr(self, name) for name in self.names)
        return down(activate(self.nn, self.activation, up(x)))


class Attention(Layer):
    """Every token looks back, with turned heads, of which several may share keys and values."""

    output_name: ClassVar[str] = "o_proj"

    def __init__(self, c: DecoderConfig, index: int) -> None:
        super().__init__()
        self.heads, self.groups = c.num_attention_heads, c.groups
        self.width, self.scale, self.softcap = c.head_width, c.scale, c.softcap
        self.make_inputs(c)
        inner = self.heads * self.width
        output = self.nn.Linear(inner, c.hidden_size, bias=c.output_bias)
        setattr(self, self.output_name, output)
        self.dropout = self.nn.Dropout(c.attention_dropout)
        self.rotates = c.rotates(index)

    def make_inputs(self, c: Any) -> None:
        """Build what makes queries, keys and values."""
        nn, keys = self.nn, self.groups * self.width
        self.q_proj = nn.Linear(c.hidden_size, self.heads * self.width, bias=c.input_bias)
        self.k_proj = nn.Linear(c.hidden_size, keys, bias=c.input_bias)
        self.v_proj = nn.Linear(c.hidden_size, keys, bias=c.input_bias)

    def inputs(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, T, hidden_size) -> queries (B, heads, T, D), keys and values (B, groups, T, D)."""
        nn = self.nn
        q, k = self.normed(self.q_proj(x), self.k_proj(x))
        q, k = split_heads(nn, q, self.heads), split_heads(nn, k, self.groups)
        q, k = self.normed_heads(q, k)
        return q, k, split_heads(nn, self.v_proj(x), self.groups)

    def normed(self, q: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
        """Of all heads at once, (B, T, heads * D) and (B, T, groups * D); most leave them."""
        return q, k

    def normed_heads(self, q: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
        """Of each head, (B, heads, T, D) and (B, groups, T, D); most families leave them."""
        return q, k

    def forward(self, x: Tensor, view: View) -> Tensor:
        """(B, T, hidden_size) -> the same shape."""
        nn = self.nn
        q, k, v = self.inputs(x)
        if self.rotates:
            q, k = turn(nn, q, view.angles), turn(nn, k, view.angles)
        k, v = (repeat_heads(nn, x, self.heads // self.groups) for x in (k, v))
        context = nn.attention(
            *(q, k, v, view.mask),
            dropout=self.dropout.p if self.training else 0.0,
            scale=self.scale,
            softcap=self.softcap,
            trace=view.trace,
        )
        return getattr(self, self.output_name)(merge_heads(nn, context))


class Block(Layer):
    """Norm and attention, norm and feed-forward network, each added to what came in."""

    attention_class: ClassVar[type[Layer]] = Attention
    mlp_class: ClassVar[type[Layer]] = GatedMLP

    def __init__(self, c: DecoderConfig, index: int) -> None:
        super().__init__()
        nn = self.nn
        self.self_attn = nn.make(self.attention_class, c, index)
        self.mlp = nn.make(self.mlp_class, c)
        self.make_norms(c)
        self.dropout = nn.Dropout(c.residual_dropout)

    def make_norms(self, c: Any) -> None:
        """Build the normalisations, by the checkpoint's names."""
        self.input_layernorm = normalisation(self.nn, c)
        self.post_attention_layernorm = normalisation(self.nn, c)

    def forward(self, x: Tensor, view: View) -> Tensor:
        """(B, T, hidden_size) -> the same shape."""
        x = x + self.dropout(self.self_attn(self.input_layernorm(x), view))
        return x + self.dropout(self.mlp(self.post_attention_layernorm(x)))


class Decoder(Encoder):
    """input_ids, attention_mask (B, T) -> hidden states (B, T, hidden_size)."""

    scale: Tensor
    block_class: ClassVar[type[Layer]] = Block
    norm_name: ClassVar[str] = "norm"

    def __init__(self, c: DecoderConfig) -> None:
        super().__init__()
        nn = self.nn
        self.embed_tokens = nn.Embedding(c.vocab_size, c.hidden_size, padding_idx=c.pad_token_id)
        self.layers = nn.ModuleList(
            [nn.make(self.block_class, c, i) for i in range(c.num_hidden_layers)]
        )
        setattr(self, self.norm_name, normalisation(nn, c))
        self.drop = nn.Dropout(c.embedding_dropout)
        self.kinds, self.window, self.reach = c.kinds, c.window, c.reach or 0
        self.looks_ahead, self.scaled = c.looks_ahead, c.embedding_scale != 1.0
        if self.scaled:
            nn.buffer(self, "scale", _one_number(c.embedding_scale))
        self.rotary = nn.ModuleList(
            [nn.make(Rotary, c.rope(kind), c.head_width) for kind in sorted(set(c.kinds))]
        )

    def view(self, kind: str, x: Tensor, attention_mask: Tensor | None, trace: Trace) -> View:
        """Return what the layers of one kind see."""
        nn, near, mask = self.nn, kind == SLIDING, key_mask(self.nn, attention_mask)
        if is_whole(attention_mask):
            pass
        elif not self.looks_ahead:
            mask = backward_mask(nn, x, mask, self.window if near else None)
        elif near:
            mask = window_mask(nn, x, self.reach, mask)
        rotary = self.rotary[sorted(set(self.kinds)).index(kind)]
        return View(mask, trace, rotary(x))

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, *, trace: Trace = UNTRACED
    ) -> Tensor:
        """(B, T) -> (B, T, hidden_size); the last hidden states kept are normalised."""
        x = self.embed_tokens(input_ids)
        if self.scaled:  # in the embeddings' dtype, rounded as there
            x = x * self.nn.cast_like(self.scale, x)
        x = self.drop(x)
        views = {kind: self.view(kind, x, attention_mask, trace) for kind in set(self.kinds)}
        for layer, kind in zip(self.layers, self.kinds, strict=True):
            trace.hidden(x)
            x = layer(x, views[kind])
        x = getattr(self, self.norm_name)(x)
        trace.hidden(x)
        return x


def _one_number(value: float) -> NDArray[np.float32]:
    import numpy as np  # first use: a model is being built

    return np.array([value], np.float32)


class DecoderForSequenceClassification(Head):
    """What the body takes -> logits (B, num_labels), of the last token of each text."""

    prefix: ClassVar[str] = "model"
    model_class: ClassVar[type[Layer]] = Decoder
    pools = None

    def __init__(self, c: Any) -> None:
        super().__init__(c)
        self.score = self.nn.Linear(c.score_width, c.num_labels, bias=False)
        self.padding = c.pad_token_id

    def forward(self, *inputs: Tensor, trace: Trace = UNTRACED, **named: Tensor) -> Tensor:
        """(B, T) -> (B, num_labels)."""
        hidden = self.body(*inputs, trace=trace, **named)
        input_ids = inputs[0] if inputs else named["input_ids"]
        return self.score(last_token(self.nn, hidden, input_ids, self.padding))


def record(
    model_type: str,
    class_prefix: str,
    config: type[Config],
    classifier: type[DecoderForSequenceClassification],
    *,
    tokens: type[Head] | None = None,
    answers: type[Head] | None = None,
    answers_in: str | None = None,
    **more: Any,
) -> Architecture:
    """Make a decoder's record: its body is the classifier's, for other heads too.

    Words' embeddings may be given in the place of words, but to Gemma's, which scales what it
    looked up.

    Args:
        model_type: what config.json calls it.
        class_prefix: what transformers' class names begin with, ``"Llama"``.
        config: reads config.json.
        classifier: labels texts.
        tokens: labels tokens.
        answers: finds answers.
        answers_in: where checkpoints that find answers have the body, where others have it not.
        more: the record's other fields.

    """
    whose = (classifier.__module__, class_prefix, classifier.model_class)
    inside = answers_in or classifier.prefix
    tasks = {
        ENCODER: classifier.model_class,
        SEQUENCE_CLASSIFICATION: classifier,
        **heads(*whose, classifier.prefix, pooler=None, tokens=tokens),
        **heads(*whose, inside, pooler=None, answers=answers),
    }
    return Architecture(
        model_type=model_type,
        config=config,
        prefix=classifier.prefix,
        prefixes={QUESTION_ANSWERING: inside} if answers_in else {},
        class_prefix=class_prefix,
        tasks=tasks,
        **{"takes_besides": ("inputs_embeds",), **more},
    )
