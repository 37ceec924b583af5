"""XLNet (Yang et al., 2019): relative positions, memory of earlier texts, and a summary.

Texts are padded on the left, so that the last token is the one that was trained to tell of all.
Tokens may see what earlier texts left in memory, in an order that a permutation says; of tokens to
be predicted there is a second stream, which knows where a token stands and not which it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from hubloader.architectures._beams import BeamAnswers
from hubloader.architectures._encoder import Encoder
from hubloader.architectures._entry import (
    ENCODER,
    QUESTION_ANSWERING,
    SEQUENCE_CLASSIFICATION,
    Architecture,
)
from hubloader.architectures._heads import (
    Head,
    QuestionAnswering,
    SummaryMultipleChoice,
    TokenClassification,
    heads,
)
from hubloader.architectures._summary import SequenceSummary
from hubloader.architectures._xlnet_attention import View, XLNetAttention
from hubloader.architectures._xlnet_config import XLNetConfig
from hubloader.nn.blocks import activate, rotary_frequencies
from hubloader.nn.layer import UNTRACED, Layer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hubloader.nn.layer import Tensor, Trace


class XLNetFeedForward(Layer):
    """Wider, bent, and back; normalised after the residual."""

    def __init__(self, c: XLNetConfig) -> None:
        super().__init__()
        nn = self.nn
        self.layer_norm = nn.LayerNorm(c.d_model, eps=c.layer_norm_eps)
        self.layer_1 = nn.Linear(c.d_model, c.d_inner)
        self.layer_2 = nn.Linear(c.d_inner, c.d_model)
        self.dropout = nn.Dropout(c.dropout)
        self.activation = c.ff_activation

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, d_model) -> the same shape."""
        wide = self.dropout(activate(self.nn, self.activation, self.layer_1(x)))
        return self.layer_norm(self.dropout(self.layer_2(wide)) + x)


class XLNetLayer(Layer):
    """Attention, then the feed-forward network."""

    def __init__(self, c: XLNetConfig) -> None:
        super().__init__()
        self.rel_attn = self.nn.make(XLNetAttention, c)
        self.ff = self.nn.make(XLNetFeedForward, c)

    def forward(
        self, x: Tensor, asked: Tensor | None, view: View, memory: Tensor | None, trace: Trace
    ) -> tuple[Tensor, Tensor | None]:
        """(B, T, d_model) and predictions (B, N, d_model) -> the same shapes."""
        x, asked = self.rel_attn(x, asked, view, memory, trace)
        return self.ff(x), None if asked is None else self.ff(asked)


class XLNetModel(Encoder):
    """input_ids, attention_mask, token_type_ids (B, T) -> hidden states (B, T, d_model).

    A token always sees itself, padding too. Besides, as in transformers: ``input_mask`` (B, T), 1
    for padding, in the place of ``attention_mask``; ``perm_mask`` (B, T, T), 1 where a token does
    not see another; ``target_mapping`` (B, N, T), which tokens are to be predicted, of which are
    then the hidden states, (B, N, d_model); ``mems``, for each layer what it remembers of earlier
    texts, (M, B, d_model); ``use_mems``, whether to remember, if other than the config says.
    """

    of_batches: ClassVar[frozenset[str]] = frozenset(
        {"mems", "perm_mask", "target_mapping", "use_mems"}
    )
    frequencies: Tensor
    mask_emb: Tensor

    def __init__(self, c: XLNetConfig) -> None:
        super().__init__()
        nn = self.nn
        nn.weight(self, "mask_emb", (1, 1, c.d_model))  # of what is to be predicted
        self.word_embedding = nn.Embedding(c.vocab_size, c.d_model)
        self.layer = nn.stack(XLNetLayer, c.n_layer, c)
        self.dropout = nn.Dropout(c.dropout)
        nn.buffer(self, "frequencies", rotary_frequencies(c.d_model, 10_000.0))
        self.looks_back, self.farthest = c.attn_type == "uni", c.clamp_len
        self.same_length, self.both_ways = c.same_length, c.bi_data
        self.remembered, self.reused = c.mem_len or 0, c.reuse_len or 0
        self.remembers = {True: c.use_mems_train, False: c.use_mems_eval}

    def distances(self, x: Tensor, keys: Any) -> Tensor:
        """Sines and cosines of every distance: (1, K + T, d_model), or (B, K + T, d_model).

        Of ``bi_data``, the second half of a batch is read backwards.
        """
        nn = self.nn
        far = keys - nn.arange(keys + nn.shape(x)[1], x)
        if self.farthest > 0:
            far = nn.clip(far, -self.farthest, self.farthest)
        angles = nn.cast_like(far, self.frequencies)[:, None] * self.frequencies[None, :]
        sines, cosines = nn.sin(angles)[None], nn.cos(angles)[None]
        if self.both_ways:
            rows = nn.shape(x)[0]
            if isinstance(rows, int) and rows % 2:
                raise ValueError(f"bi_data: {rows} texts are not as many forwards as backwards")
            backwards = nn.cast_like(nn.arange(rows, x) * 2 >= rows, sines)[:, None, None]
            sines, cosines = sines * (1 - 2 * backwards), cosines + 0 * backwards
        return self.dropout(nn.cast_like(nn.concat([sines, cosines], -1), x))

    def seen(self, x: Tensor, masks: Sequence[Tensor | None]) -> Tensor | None:
        """Which tokens a query may look at: bool, broadcasts to (B, 1, T, T), or None for all.

        Args:
            x: (B, T, d_model).
            masks: the call's ``attention_mask``, ``input_mask``, ``perm_mask``.

        """
        nn, (attention_mask, input_mask, perm_mask) = self.nn, masks
        b, t, _ = nn.shape(x)
        seen = None
        if input_mask is not None:
            if attention_mask is not None:
                raise ValueError("give attention_mask or input_mask, not both: they say the same")
            seen = nn.reshape(~nn.cast_bool(input_mask), (b, 1, 1, t))
        elif attention_mask is not None:
            seen = nn.reshape(nn.cast_bool(attention_mask), (b, 1, 1, t))
        if seen is not None and nn.masks_nothing(seen):
            seen = None
        if perm_mask is not None:
            hidden = nn.reshape(~nn.cast_bool(perm_mask), (b, 1, t, t))
            seen = hidden if seen is None else seen & hidden
        return seen

    def pattern(self, distance: Tensor, remembered: Any) -> Tensor | None:
        """Which keys a query may look at wherever it stands, by their distance (T, K); or None."""
        if not self.looks_back:
            return None
        behind = distance >= 0
        if self.same_length:
            behind = behind & (distance <= remembered)
        return behind[None, None]

    def view(
        self,
        x: Tensor,
        memory: Tensor | None,
        seen: Tensor | None,
        token_type_ids: Tensor | None,
        target_mapping: Tensor | None,
    ) -> View:
        """Return what all layers look through."""
        nn = self.nn
        tokens = nn.shape(x)[1]
        remembered = 0 if memory is None else nn.shape(memory)[1]
        place, key = nn.arange(tokens, x), nn.arange(remembered + tokens, x)
        distance = place[:, None] - key[None, :] + remembered
        if memory is not None and seen is not None:
            every = place[None, None, :, None] >= 0  # all of the memory is seen
            of_memory = nn.cast_bool(nn.zeros_like(memory[:, None, None, :, 0]) + 1)
            seen = nn.concat([of_memory & every, seen & every], -1)
        pattern = self.pattern(distance, remembered)
        blind = seen if pattern is None else pattern if seen is None else seen & pattern
        mask = None if blind is None else blind | (distance == 0)
        other = None
        if token_type_ids is not None:
            types = nn.cast_int(token_type_ids)
            of_keys = types
            if memory is not None:
                of_keys = nn.concat([nn.cast_int(nn.zeros_like(memory[:, :, 0])), types], 1)
            other = nn.cast_like(types[:, :, None] != of_keys[:, None, :], x)[:, None]
        targets = None if target_mapping is None else nn.cast_like(target_mapping, x)[:, None]
        rows = tokens - place[:, None] + key[None, :]
        return View(mask, blind, self.distances(x, remembered + tokens), rows, other, targets)

    def memory(self, x: Tensor, before: Tensor | None) -> Tensor:
        """What a layer's input (B, T, d_model) leaves in memory: (M, B, d_model)."""
        nn = self.nn
        kept = x[:, : self.reused] if self.reused else x
        kept = kept if before is None else nn.concat([before, kept], 1)
        kept = kept[:, -self.remembered :] if self.remembered else kept
        return nn.detached(nn.transpose(kept, (1, 0, 2)))

    def forward(  # noqa: PLR0913  transformers' own inputs
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        *,
        mems: Sequence[Tensor] | Tensor | None = None,
        perm_mask: Tensor | None = None,
        target_mapping: Tensor | None = None,
        input_mask: Tensor | None = None,
        use_mems: bool | None = None,
        trace: Trace = UNTRACED,
    ) -> Tensor:
        """(B, T) -> (B, T, d_model)."""
        nn = self.nn
        x, asked = self.dropout(self.word_embedding(input_ids)), None
        earlier: list[Any] = [None] * len(self.layer)
        if mems is not None and mems[0] is not None:
            earlier = [nn.transpose(mems[i], (1, 0, 2)) for i in range(len(self.layer))]
        seen = self.seen(x, (attention_mask, input_mask, perm_mask))
        view = self.view(x, next(iter(earlier), None), seen, token_type_ids, target_mapping)
        if view.targets is not None:
            asked = self.dropout(self.mask_emb + nn.zeros_like(view.targets[:, 0, :, :1]))
        remembers = self.remembers[bool(self.training)] if use_mems is None else bool(use_mems)
        for layer, before in zip(self.layer, earlier, strict=True):
            if remembers and trace is not UNTRACED:
                trace.memory(self.memory(x, before))
            _note(trace, x, asked)
            x, asked = layer(x, asked, view, before, trace)
        _note(trace, x, asked)
        return self.dropout(x if asked is None else asked)


def _note(trace: Trace, x: Tensor, asked: Tensor | None) -> None:
    trace.hidden(x)
    if asked is not None:
        trace.hidden(asked)


class XLNetForSequenceClassification(Head):
    """What ``XLNetModel`` takes -> logits (B, num_labels)."""

    model_class = XLNetModel
    prefix = "transformer"
    pools = None

    def __init__(self, c: XLNetConfig) -> None:
        super().__init__(c)
        self.sequence_summary = self.nn.make(SequenceSummary, c)
        self.logits_proj = self.nn.Linear(c.d_model, c.num_labels)

    def read(self, hidden: Tensor) -> Tensor:
        """(B, T, d_model) -> (B, num_labels)."""
        return self.logits_proj(self.sequence_summary(hidden))


ARCHITECTURE = Architecture(
    model_type="xlnet",
    config=XLNetConfig,
    prefix="transformer",
    class_prefix="XLNet",
    suffixes={QUESTION_ANSWERING: "ForQuestionAnsweringSimple"},
    tasks={
        ENCODER: XLNetModel,
        SEQUENCE_CLASSIFICATION: XLNetForSequenceClassification,
        **heads(
            __name__,
            "XLNet",
            XLNetModel,
            "transformer",
            pooler=None,
            tokens=TokenClassification,
            answers=QuestionAnswering,
            choices=SummaryMultipleChoice,
            beams=BeamAnswers,
        ),
    },
    takes_besides=("inputs_embeds",),
)
