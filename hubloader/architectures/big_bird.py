"""BigBird (Zaheer et al., 2020): BERT that sees all of a short text, and some blocks of a long one.

Above ``(5 + 2 * num_random_blocks) * block_size`` tokens, the first and the last block see all, and
any other sees those two, itself and its neighbours. The random blocks of the paper are random in
transformers while it trains; otherwise all of them are the first block, which so counts several
times. Here they are that always.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from hubloader.architectures import bert
from hubloader.architectures._config import MAX_ROWS, activation, flag, size, token, word
from hubloader.architectures._entry import ENCODER, SEQUENCE_CLASSIFICATION
from hubloader.architectures._heads import Head, MultipleChoice, TokenClassification, heads
from hubloader.architectures._masked_words import ClsMaskedLM
from hubloader.architectures.bert import (
    BertConfig,
    BertEmbeddings,
    BertIntermediate,
    BertModel,
    BertResidual,
    BertSelfAttention,
    encoder_by,
)
from hubloader.architectures.roberta import (
    ConfiguredClassificationHead,
    RobertaForSequenceClassification,
)
from hubloader.nn.blocks import each_block, in_blocks, merge_heads, split_heads, with_neighbours
from hubloader.nn.layer import UNTRACED, Layer, Trace

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hubloader.nn.layer import Tensor


@dataclass(frozen=True, kw_only=True)
class BigBirdConfig(BertConfig):
    """Source: transformers 5.23, ``configuration_big_bird.py``."""

    vocab_size: int = size(50358, most=MAX_ROWS)
    hidden_act: str = activation("gelu_new")
    max_position_embeddings: int = size(4096, most=MAX_ROWS)
    attention_type: str = word("block_sparse", ("block_sparse", "original_full"))
    use_bias: bool = flag(True)
    rescale_embeddings: bool = flag(False)
    block_size: int = size(64)
    num_random_blocks: int = size(3, most=1023)
    sep_token_id: int | None = token(66)

    @property
    def longest_whole(self) -> int | None:
        """Tokens up to which a text is seen whole; None: any is."""
        if self.attention_type == "original_full":
            return None
        return (5 + 2 * self.num_random_blocks) * self.block_size

    def beyond(self) -> list[str]:
        """A decoder sees whole texts."""
        sparse = self.is_decoder and self.longest_whole is not None
        found = ["attention_type: a decoder that sees blocks is not implemented here"]
        return [*super().beyond(), *(found if sparse else [])]


class BigBirdEmbeddings(BertEmbeddings):
    """BERT's, whose words may be scaled up; what is dropped is dropped before the norm."""

    def __init__(self, c: BigBirdConfig) -> None:
        super().__init__(c)
        self.scale = c.hidden_size**0.5 if c.rescale_embeddings else 1.0

    def forward(self, input_ids: Tensor, token_type_ids: Tensor | None = None) -> Tensor:
        """(B, T) -> (B, T, hidden_size)."""
        if token_type_ids is None:
            token_type_ids = self.nn.zeros_like(input_ids)
        x = self.word_embeddings(input_ids) * self.scale
        x = x + self.token_type_embeddings(token_type_ids)
        x = x + self.position_embeddings(self.positions(input_ids))
        return self.LayerNorm(self.dropout(x))


class BigBirdSelfAttention(BertSelfAttention):
    """Every token looks at every other, or at some blocks."""

    def __init__(self, c: BigBirdConfig) -> None:
        super().__init__(c)
        if not c.use_bias:
            for name in ("query", "key", "value"):
                setattr(self, name, self.nn.Linear(c.hidden_size, c.hidden_size, bias=False))
        self.longest_whole, self.block = c.longest_whole, c.block_size
        self.copies = 1 + c.num_random_blocks  # of the first block

    def forward(self, x: Tensor, mask: Tensor | None, trace: Trace = UNTRACED) -> Tensor:
        """(B, T, hidden_size) -> the same shape."""
        nn, heads, tokens = self.nn, self.heads, self.nn.shape(x)[1]
        q, k, v = (split_heads(nn, f(x), heads) for f in (self.query, self.key, self.value))
        known, longest = isinstance(tokens, int), self.longest_whole
        if longest is None or (known and tokens <= longest):
            dropout = self.dropout.p if self.training else 0.0
            context = nn.attention(q, k, v, mask, dropout=dropout, trace=trace)
        elif known and not trace.attentions:
            context = self.by_blocks(q, k, v, mask)
        else:
            context = self.by_mask(q, k, v, mask, trace)
        return merge_heads(nn, context)

    def by_blocks(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        """Of a long text of known length, (B, H, T, D) each, mask (B, 1, 1, T) -> (B, H, T, D)."""
        nn, tokens = self.nn, self.nn.shape(q)[2]
        if mask is None:
            real = nn.cast_bool(nn.zeros_like(k[:, :1, :, :1]) + 1)
        else:
            real = nn.transpose(mask, (0, 1, 3, 2))  # (B, 1, T, 1)
        q, k, v, seen = (in_blocks(nn, part, self.block) for part in (q, k, v, real))
        ends, middle = self._ends(q, k, v, seen), self._middle(q, k, v, seen)
        joined = nn.concat([ends[:, :, :1], middle, ends[:, :, 1:]], 2)
        b, h, n, width, d = nn.shape(joined)
        context = nn.reshape(joined, (b, h, n * width, d))[:, :, :tokens]
        return context if mask is None else context * nn.cast_like(real, context)

    def _ends(self, q: Tensor, k: Tensor, v: Tensor, seen: Tensor) -> Tensor:
        """The first block and the last, which see all: (B, H, n, width, D) -> (B, H, 2, …)."""
        nn = self.nn
        b, h, n, width, d = nn.shape(q)
        asked = nn.reshape(nn.concat([q[:, :, :1], q[:, :, -1:]], 2), (b, h, 2 * width, d))
        k, v = (nn.reshape(x, (b, h, n * width, d)) for x in (k, v))
        context = nn.attention(asked, k, v, nn.reshape(seen, (b, 1, 1, n * width)))
        return nn.reshape(context, (b, h, 2, width, d))

    def _middle(self, q: Tensor, k: Tensor, v: Tensor, seen: Tensor) -> Tensor:
        """All others, which see the ends, themselves and their neighbours."""
        nn = self.nn
        b, h, n, width, d = nn.shape(q)

        def looked_at(x: Tensor, beside: Tensor) -> Tensor:
            """(B, H, n, width, D) -> (B * (n - 2), H, 5 * width, D)."""
            first, last = (nn.concat([end] * (n - 2), 2) for end in (x[:, :, :1], x[:, :, -1:]))
            near = with_neighbours(nn, beside)[:, :, 1:-1]
            return each_block(nn, nn.concat([first, near, last], 3))

        nothing = nn.zeros_like(seen[:, :, :1])
        inner = nn.concat([nothing, seen[:, :, 1:-1], nothing], 2)  # the ends are there already
        mask = nn.transpose(looked_at(seen, inner), (0, 1, 3, 2))
        again = nn.cast_like(nn.arange(5 * width, q) < width, q) * math.log(self.copies)
        keys, values = looked_at(k, k), looked_at(v, v)
        context = nn.attention(
            each_block(nn, q[:, :, 1:-1]), keys, values, mask, again[None, None, None]
        )
        return nn.transpose(nn.reshape(context, (b, n - 2, h, width, d)), (0, 2, 1, 3, 4))

    def by_mask(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, trace: Trace) -> Tensor:
        """Of a text of any length, the same by looking at all: for graphs, and attentions."""
        nn, tokens = self.nn, self.nn.shape(q)[2]
        place = nn.arange(tokens, q)
        is_long = (place[-1:] >= (self.longest_whole or 0))[:, None]  # (1, 1)
        block, last = place // self.block, place[-1:] // self.block
        asking, asked = block[:, None], block[None, :]
        ends = (asking == 0) | (asking == last) | (asked == 0) | (asked == last)
        near = (asking - asked <= 1) & (asking - asked >= -1)
        seen = (ends | near | ~is_long)[None, None]
        again = nn.cast_like((asked == 0) & (asking > 0) & (asking < last) & is_long, q)
        bias = (again * math.log(self.copies))[None, None]
        kept = Trace(attentions=trace.attentions)
        allowed = seen if mask is None else seen & mask
        context = nn.attention(q, k, v, allowed, bias, trace=kept)
        for probabilities in kept.kept_attentions:  # each copy's, as transformers gives them
            trace.attention(probabilities / (1 + again * (self.copies - 1)))
        if mask is None:
            return context
        real = nn.transpose(mask, (0, 1, 3, 2))
        return context * nn.cast_like(real | ~is_long, context)


class BigBirdModel(BertModel):
    """input_ids, attention_mask, token_type_ids (B, T) -> hidden states (B, T, hidden_size)."""

    embeddings_class = BigBirdEmbeddings
    encoder_class = encoder_by(__name__, "BigBird", BigBirdSelfAttention)

    def __init__(self, c: BigBirdConfig, *, pooler: bool = True) -> None:
        super().__init__(c, pooler=False)
        self.pooler = self.nn.Linear(c.hidden_size, c.hidden_size) if pooler else None

    def pooled(self, hidden: Tensor) -> Tensor | None:
        """(B, T, hidden_size) -> (B, hidden_size)."""
        return None if self.pooler is None else self.nn.tanh(self.pooler(hidden[:, 0]))


class BigBirdForSequenceClassification(RobertaForSequenceClassification):
    """input_ids, attention_mask, token_type_ids (B, T) -> logits (B, num_labels)."""

    model_class = BigBirdModel
    head_class = ConfiguredClassificationHead
    prefix = "bert"
    pools = True  # checkpoints have the pooler, unused as it is


class BigBirdAnswers(Layer):
    """One more feed-forward network, then how well an answer begins and ends with each token."""

    def __init__(self, c: BigBirdConfig) -> None:
        super().__init__()
        self.dropout = self.nn.Dropout(c.hidden_dropout_prob)
        self.intermediate = self.nn.make(BertIntermediate, c)
        self.output = self.nn.make(BertResidual, c.intermediate_size, c)
        self.qa_outputs = self.nn.Linear(c.hidden_size, 2)

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, T, hidden_size) -> (B, T, 2)."""
        wide = self.intermediate(self.dropout(hidden))
        return self.qa_outputs(self.output(wide, hidden))


class BigBirdQuestionAnswering(Head):
    """Answers that lie behind the question: (B, T, 2), a million less for its own tokens.

    A question ends with the first separator, or has ``question_lengths`` (B,) tokens; the first
    token may still be the answer, that there is none. Where token types are not given, all behind
    the question are of the second.
    """

    besides: ClassVar[tuple[str, ...]] = ("question_lengths",)

    def __init__(self, c: BigBirdConfig) -> None:
        super().__init__(c)
        self.qa_classifier = self.nn.make(BigBirdAnswers, c)
        self.separator = -1 if c.sep_token_id is None else c.sep_token_id

    def asks(self, input_ids: Tensor, question_lengths: Tensor | None) -> Tensor:
        """Which tokens are the question's, int 0 or 1: (B, T)."""
        nn = self.nn
        place = nn.cast_int(nn.arange(nn.shape(input_ids)[1], input_ids))[None]
        if question_lengths is not None:
            length = nn.cast_int(nn.reshape(question_lengths, (-1, 1)))
        else:
            ends = nn.cast_int(input_ids == self.separator)
            before = nn.cast_int(nn.cumsum(ends, 1) == 0)
            found = nn.clip(nn.sum(ends, 1), 0, 1)[:, None]
            length = nn.sum(before, 1)[:, None] * found + 1  # without a separator, the first token
        return nn.cast_int(place < length)

    def without_ids(self, given: Mapping[str, Tensor | None]) -> dict[str, Tensor | None]:
        """What a call is given where ids stand in for embeddings, and tell of no question's end.

        All is of the first type then, unless lengths or types are told.
        """
        told = (given.get("question_lengths"), given.get("token_type_ids"))
        if any(value is not None for value in told):
            return dict(given)
        return {**given, "token_type_ids": self.nn.zeros_like(given["input_ids"])}

    def forward(
        self,
        *inputs: Tensor,
        trace: Trace = UNTRACED,
        question_lengths: Tensor | None = None,
        **named: Tensor | None,
    ) -> Tensor:
        """(B, T) -> (B, T, 2)."""
        nn = self.nn
        given = {**dict(zip(_INPUTS, inputs, strict=False)), **named}
        question = self.asks(given["input_ids"], question_lengths)
        if given.get("token_type_ids") is None:
            given["token_type_ids"] = 1 - question
        logits = self.qa_classifier(self.body(**given, trace=trace))
        behind = nn.cast_int(nn.arange(nn.shape(question)[1], question) > 0)[None]
        return logits - nn.cast_like(question * behind, logits)[:, :, None] * 1e6


_INPUTS = ("input_ids", "attention_mask", "token_type_ids")

ARCHITECTURE = replace(
    bert.ARCHITECTURE,
    model_type="big_bird",
    config=BigBirdConfig,
    class_prefix="BigBird",
    tasks={
        ENCODER: BigBirdModel,
        SEQUENCE_CLASSIFICATION: BigBirdForSequenceClassification,
        **heads(
            __name__,
            "BigBird",
            BigBirdModel,
            "bert",
            pooler=True,
            tokens=TokenClassification,
            words=ClsMaskedLM,
            choices=MultipleChoice,
        ),
        **heads(__name__, "BigBird", BigBirdModel, "bert", answers=BigBirdQuestionAnswering),
    },
)
