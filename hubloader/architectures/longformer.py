"""Longformer (Beltagy et al., 2020): RoBERTa that sees a window, and a few tokens that see all.

Tokens with global attention are seen by every other and see every other, through projections of
their own. A classifier gives it to the first token unless told otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from hubloader.architectures import roberta
from hubloader.architectures._config import MAX_ROWS, checked, size, token
from hubloader.architectures._entry import ENCODER, SEQUENCE_CLASSIFICATION
from hubloader.architectures._heads import (
    MultipleChoice,
    QuestionAnswering,
    TokenClassification,
    heads,
)
from hubloader.architectures._masked_words import LMHeadMaskedLM
from hubloader.architectures.bert import (
    BertAttention,
    BertEncoder,
    BertLayer,
    BertSelfAttention,
)
from hubloader.architectures.roberta import (
    RobertaConfig,
    RobertaForSequenceClassification,
    RobertaModel,
)
from hubloader.nn.blocks import each_block, in_blocks, merge_heads, split_heads, with_neighbours
from hubloader.nn.layer import UNTRACED, Trace

if TYPE_CHECKING:
    from hubloader.nn.layer import Tensor


def _window_fault(value: Any) -> str | None:
    windows = value if isinstance(value, (list, tuple)) else [value]
    for window in windows:
        whole = isinstance(window, int) and not isinstance(window, bool)
        if not whole or not 2 <= window <= MAX_ROWS or window % 2:
            return f"{window!r} is not an even number of tokens"
    return None


@dataclass(frozen=True, kw_only=True)
class LongformerConfig(RobertaConfig):
    """Source: transformers 5.23, ``configuration_longformer.py``."""

    vocab_size: int = size(30522, most=MAX_ROWS)
    attention_window: int | tuple[int, ...] = checked(512, _window_fault)
    sep_token_id: int | None = token(2)

    @property
    def windows(self) -> tuple[int, ...]:
        """Tokens that each layer sees, half of them on either side."""
        if isinstance(self.attention_window, int):
            return (self.attention_window,) * self.num_hidden_layers
        return tuple(self.attention_window)

    @property
    def head_dropout(self) -> float:
        """The classifier has the hidden states' dropout."""
        return self.hidden_dropout_prob

    @property
    def decodes(self) -> bool:
        """Never: transformers has no decoder of this family, whatever a config says."""
        return False

    def faults(self) -> list[str]:
        """Every layer has a window."""
        found = super().faults()
        if len(self.windows) != self.num_hidden_layers:
            found.append(
                f"attention_window: {len(self.windows)} for {self.num_hidden_layers} layers"
            )
        return found


class View(NamedTuple):
    """What attention looks through.

    Args:
        distance: query position minus key position: (T, T).
        real: which tokens are no padding: bool (B, T).
        everywhere: which tokens see all and are seen by all: bool (B, T), or None.
        first: such a token can only be the first of a text.

    """

    distance: Tensor
    real: Tensor
    everywhere: Tensor | None
    first: bool


class LongformerSelfAttention(BertSelfAttention):
    """A token sees those near it and the global ones; a global one sees all, by another look."""

    def __init__(self, c: LongformerConfig, window: int) -> None:
        super().__init__(c)
        self.query_global = self.nn.Linear(c.hidden_size, c.hidden_size)
        self.key_global = self.nn.Linear(c.hidden_size, c.hidden_size)
        self.value_global = self.nn.Linear(c.hidden_size, c.hidden_size)
        self.reach = window // 2

    def look(self, x: Tensor, view: View, trace: Trace) -> Tensor:
        """Of every token at those near it and at the global ones: (B, T, hidden_size)."""
        nn, heads, tokens = self.nn, self.heads, self.nn.shape(x)[1]
        q, k, v = (split_heads(nn, f(x), heads) for f in (self.query, self.key, self.value))
        known = isinstance(tokens, int) and (view.first or view.everywhere is None)
        if known and tokens > 3 * self.reach and not trace.attentions:
            context = self.by_blocks(q, k, v, view)
        else:
            context = self.by_mask(q, k, v, view, trace)
        return merge_heads(nn, context) * nn.cast_like(view.real, x)[:, :, None]

    def by_mask(self, q: Tensor, k: Tensor, v: Tensor, view: View, trace: Trace) -> Tensor:
        """Of any text, by looking at all of it: (B, H, T, D) each -> (B, H, T, D)."""
        nn = self.nn
        near = ((view.distance <= self.reach) & (view.distance >= -self.reach))[None]
        seen = near if view.everywhere is None else near | view.everywhere[:, None, :]
        mask = (seen & view.real[:, None, :])[:, None]
        dropout = self.dropout.p if self.training else 0.0
        kept = Trace(attentions=trace.attentions)
        context = nn.attention(q, k, v, mask, dropout=dropout, trace=kept)
        for probabilities in kept.kept_attentions:
            trace.attention(_windowed(nn, probabilities, view, self.reach))
        return context

    def by_blocks(self, q: Tensor, k: Tensor, v: Tensor, view: View) -> Tensor:
        """Of a long text of known length, block by block: a block sees itself and its neighbours.

        A block is as wide as a token sees to one side. The first token, where it is global, is one
        more key of every block.
        """
        nn, tokens, width = self.nn, self.nn.shape(q)[2], self.reach
        first = None if view.everywhere is None else view.everywhere[:, :1]  # (B, 1)
        real = view.real[:, None, :, None]
        if first is not None:
            others = nn.cast_bool(nn.arange(tokens, q))[None] | ~first
            real = real & others[:, None, :, None]
        blocks = [in_blocks(nn, x, width) for x in (q, k, v, real)]
        near = [with_neighbours(nn, x) for x in blocks[1:]]
        n = nn.shape(blocks[0])[2]
        if first is not None:
            ends = (k[:, :, None, :1], v[:, :, None, :1], first[:, None, :, None, None])
            near = [
                nn.concat([nn.concat([end] * n, 2), x], 3)
                for end, x in zip(ends, near, strict=True)
            ]
        keys, values, seen = (each_block(nn, x) for x in near)
        place = nn.arange(3 * width, q)[None, :] - width - nn.arange(width, q)[:, None]
        inside = (place <= width) & (place >= -width)
        if first is not None:
            inside = nn.concat([inside[:, :1] | True, inside], 1)
        mask = nn.transpose(seen, (0, 1, 3, 2)) & inside[None, None]
        dropout = self.dropout.p if self.training else 0.0
        context = nn.attention(each_block(nn, blocks[0]), keys, values, mask, dropout=dropout)
        b, h, _, d = nn.shape(q)
        context = nn.transpose(nn.reshape(context, (b, n, h, width, d)), (0, 2, 1, 3, 4))
        return nn.reshape(context, (b, h, n * width, d))[:, :, :tokens]

    def overlook(self, x: Tensor, asked: Tensor, view: View, trace: Trace = UNTRACED) -> Tensor:
        """Of tokens (B, S, hidden_size) at all tokens (B, T, hidden_size), by the other look."""
        nn, heads = self.nn, self.heads
        q = split_heads(nn, self.query_global(asked), heads)
        k, v = (split_heads(nn, f(x), heads) for f in (self.key_global, self.value_global))
        dropout = self.dropout.p if self.training else 0.0
        mask = view.real[:, None, None, :]
        return merge_heads(nn, nn.attention(q, k, v, mask, dropout=dropout, trace=trace))

    def keep(self, x: Tensor, everywhere: Tensor, view: View, trace: Trace) -> None:
        """Keep what each text's global tokens see; a token that a text lacks sees all alike."""
        nn = self.nn
        there = nn.cast_like(everywhere, x)
        order = nn.cumsum(there, 1) * there
        most = 1 if view.first else max(int(count) for count in nn.sum(there, 1))
        if most == 0:
            return
        each = [nn.cast_like(order == n, x)[:, None, :] for n in range(1, most + 1)]
        chosen = nn.concat(each, 1)  # (B, globals, T)
        seen = Trace(attentions=True)
        self.overlook(x, chosen @ x, view, seen)
        found = nn.sum(chosen, 2)[:, None, :, None]
        ones = nn.zeros_like(seen.kept_attentions[0]) + 1
        alike = ones / nn.sum(ones, 3)[..., None]
        kept = seen.kept_attentions[0] * found + alike * (1 - found)
        trace.global_attention(nn.transpose(kept, (0, 1, 3, 2)))

    def forward(  # type: ignore[override]  # more than a mask
        self, x: Tensor, mask: View, trace: Trace = UNTRACED
    ) -> Tensor:
        """(B, T, hidden_size) -> the same shape."""
        nn, context = self.nn, self.look(x, mask, trace)
        if mask.everywhere is None:
            return context
        if trace.attentions:
            self.keep(x, mask.everywhere, mask, trace)
        there = nn.cast_like(mask.everywhere, x)[:, :, None]
        asked = x[:, :1] if mask.first else x
        return context * (1 - there) + self.overlook(x, asked, mask) * there


def _windowed(nn: Any, probabilities: Tensor, view: View, reach: int) -> Tensor:
    """Attentions as transformers gives them: a column for each global token, then the window.

    (B, H, T, T) -> (B, H, T, globals + 2 * reach + 1); what a global token sees is not in them.
    """
    t = nn.shape(probabilities)[2]
    kept = nn.cast_like(view.real, probabilities)[:, None, :, None]
    local, columns = probabilities * kept, []
    if view.everywhere is not None:
        there = nn.cast_like(view.everywhere, probabilities)[:, None]
        local = local * (1 - there[:, :, :, None])
        columns = _global_columns(nn, local, there, first=view.first)
        local = local * (1 - there[:, :, None, :])
    nothing = nn.concat([nn.zeros_like(local[..., :1])] * reach, -1)
    padded = nn.concat([nothing, local, nothing], -1)
    place = nn.arange(t, probabilities)
    index = place[:, None] + nn.arange(2 * reach + 1, probabilities)[None, :]
    return nn.concat([*columns, nn.take_along(padded, index)], -1)


def _global_columns(nn: Any, local: Tensor, there: Tensor, *, first: bool) -> list[Tensor]:
    if first:
        return [local[..., :1] * there[..., None, :1]]
    # the n-th global token of each text, as far as any text has one
    order = nn.cumsum(there, 2) * there
    most = max(int(count) for count in nn.sum(there, 2)[:, 0])
    columns = []
    for n in range(1, most + 1):
        one = nn.cast_like(order == n, local)[:, :, None, :]
        columns.append(nn.sum(local * one, 3)[..., None])
    return columns


class LongformerAttention(BertAttention):
    """Self-attention and its residual."""

    def __init__(self, c: LongformerConfig, window: int) -> None:
        super().__init__(c)
        self.self = self.nn.make(LongformerSelfAttention, c, window)


class LongformerLayer(BertLayer):
    """Attention, then the feed-forward network."""

    def __init__(self, c: LongformerConfig, window: int) -> None:
        super().__init__(c)
        self.attention = self.nn.make(LongformerAttention, c, window)


class LongformerEncoder(BertEncoder):
    """The stack of layers, each with its window."""

    def __init__(self, c: LongformerConfig) -> None:
        super().__init__(c)
        self.layer = self.nn.ModuleList([self.nn.make(LongformerLayer, c, w) for w in c.windows])


class LongformerModel(RobertaModel):
    """input_ids, attention_mask, token_type_ids (B, T) -> hidden states (B, T, hidden_size).

    ``global_attention_mask`` (B, T) is 1 for tokens that see all and are seen by all; ``"first"``
    makes them the first of each text.
    """

    encoder_class = LongformerEncoder

    def view(
        self, like: Tensor, attention_mask: Tensor | None, everywhere: Tensor | None, *, first: bool
    ) -> View:
        """Return what attention looks through."""
        nn = self.nn
        place = nn.arange(nn.shape(like)[1], like)
        ones = nn.zeros_like(like) + 1 if attention_mask is None else attention_mask
        real = nn.cast_bool(ones)
        if everywhere is not None:
            everywhere = nn.cast_bool(everywhere) & real
        return View(place[:, None] - place[None, :], real, everywhere, first)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        global_attention_mask: Tensor | str | None = None,
        *,
        trace: Trace = UNTRACED,
    ) -> Tensor:
        """(B, T) -> (B, T, hidden_size)."""
        nn, everywhere = self.nn, global_attention_mask
        first = isinstance(everywhere, str)
        if first:
            place = nn.arange(nn.shape(input_ids)[1], input_ids)[None]
            everywhere = nn.zeros_like(input_ids) + nn.cast_like(place == 0, input_ids)
        x = self.embed(input_ids, token_type_ids)
        view = self.view(input_ids, attention_mask, everywhere, first=first)
        return self.encoder(x, view, trace)


class LongformerForSequenceClassification(RobertaForSequenceClassification):
    """input_ids, attention_mask, token_type_ids (B, T) -> logits (B, num_labels).

    Where no ``global_attention_mask`` (B, T) is given, the first token has global attention.
    """

    model_class = LongformerModel
    prefix = "longformer"

    def forward(  # type: ignore[override]  # the body's inputs, one of them changed
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        global_attention_mask: Tensor | None = None,
        *,
        trace: Trace = UNTRACED,
    ) -> Tensor:
        """(B, T) -> (B, num_labels)."""
        everywhere = "first" if global_attention_mask is None else global_attention_mask
        inputs = (input_ids, attention_mask, token_type_ids, everywhere)
        return self.classifier(self.body(*inputs, trace=trace))


def _separators_before(nn: Any, input_ids: Tensor, separator: int | None) -> Tensor:
    """How many separators stand before each token, and at it: (B, T) int."""
    return nn.cumsum(nn.cast_int(input_ids == separator), 1)


class LongformerAnswers(QuestionAnswering):
    """The question, which ends with the first separator, sees all and is seen by all."""

    def __init__(self, c: LongformerConfig) -> None:
        super().__init__(c)
        self.separator = c.sep_token_id

    def forward(self, *inputs: Tensor, trace: Trace = UNTRACED, **named: Tensor) -> Tensor:
        """(B, T) -> (B, T, 2)."""
        if len(inputs) < 4 and named.get("global_attention_mask") is None:
            ids = inputs[0] if inputs else named["input_ids"]
            passed = _separators_before(self.nn, ids, self.separator)
            named["global_attention_mask"] = self.nn.cast_int(passed == 0)
        return super().forward(*inputs, trace=trace, **named)


class LongformerChoice(MultipleChoice):
    """What comes after the two first separators sees all and is seen by all."""

    def __init__(self, c: LongformerConfig) -> None:
        super().__init__(c)
        self.separator = c.sep_token_id

    def forward(self, *inputs: Tensor, trace: Trace = UNTRACED, **named: Tensor) -> Tensor:
        """(B, choices, T) -> (B, choices)."""
        nn = self.nn
        if len(inputs) < 4 and named.get("global_attention_mask") is None:
            ids = inputs[0] if inputs else named["input_ids"]
            b, choices, tokens = nn.shape(ids)
            flat = nn.reshape(ids, (-1, tokens))
            passed = _separators_before(nn, flat, self.separator)
            place = nn.arange(tokens, ids)
            first = nn.sum(nn.cast_int(passed == 0), 1)[:, None]
            after = nn.cast_int(place[None] > nn.cast_like(first, place) + 1)
            named["global_attention_mask"] = nn.reshape(after, (b, choices, tokens))
        return super().forward(*inputs, trace=trace, **named)


ARCHITECTURE = replace(
    roberta.ARCHITECTURE,
    model_type="longformer",
    config=LongformerConfig,
    prefix="longformer",
    class_prefix="Longformer",
    tasks={
        ENCODER: LongformerModel,
        SEQUENCE_CLASSIFICATION: LongformerForSequenceClassification,
        **heads(
            __name__,
            "Longformer",
            LongformerModel,
            "longformer",
            tokens=TokenClassification,
            answers=LongformerAnswers,
            words=LMHeadMaskedLM,
            choices=LongformerChoice,
        ),
    },
    takes_besides=(),
)
