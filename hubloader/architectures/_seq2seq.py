"""What models with an encoder and a decoder have in common: inputs, and their heads.

Source: transformers 5.23, ``modeling_bart.py``, ``modeling_t5.py``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from hubloader.architectures._encoder import Encoder
from hubloader.architectures._heads import Head
from hubloader.architectures._masked_words import MaskedLM, ties_words
from hubloader.nn.layer import UNTRACED, Layer
from hubloader.nn.picking import last_marked

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hubloader.nn.layer import Kit, Tensor, Trace

__all__ = [
    "Seq2SeqForSequenceClassification",
    "Seq2SeqMaskedLM",
    "Seq2SeqModel",
    "shifted",
    "tied_words",
]


def shifted(nn: Kit, input_ids: Tensor, first: Any) -> Tensor:
    """Move each text one place to the right, behind ``first``: an id, or one each (B, 1).

    Raises:
        ValueError: there is none.

    """
    if first is None:
        raise ValueError("the model's config has no decoder_start_token_id")
    # by index, not by cutting the end off: an exported graph then takes texts of any length
    places = nn.arange(nn.shape(input_ids)[1], input_ids)
    columns = nn.transpose(nn.cast_int(input_ids), (1, 0))
    behind = nn.transpose(nn.take(columns, nn.clip(places - 1, 0, 2**31 - 1)), (1, 0))
    at_first = nn.cast_int(places == 0)[None, :]
    return behind * (1 - at_first) + first * at_first


def tied_words(prefix: str) -> Mapping[str, str]:
    """Both halves' words are the same table, in a bare model and inside a classifier."""
    return {
        f"{level}{half}.embed_tokens.weight": f"{level}shared.weight"
        for level in ("", f"{prefix}.")
        for half in ("encoder", "decoder")
    }


class Seq2SeqModel(Encoder):
    """input_ids (B, S), decoder_input_ids (B, T) -> the decoder's hidden states (B, T, width).

    A family builds ``shared``, ``encoder`` and ``decoder``.
    """

    encoder: Layer
    decoder: Layer

    def decoder_ids(self, input_ids: Tensor) -> Tensor:
        """What the decoder reads, if it is not told: (B, S)."""
        raise NotImplementedError

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        decoder_input_ids: Tensor | None = None,
        decoder_attention_mask: Tensor | None = None,
        *,
        trace: Trace = UNTRACED,
    ) -> Tensor:
        """(B, S) and (B, T) -> (B, T, width)."""
        if decoder_input_ids is None:
            decoder_input_ids = self.decoder_ids(input_ids)
        memory = self.encoder(input_ids, attention_mask, trace.of_encoder())
        trace.encoding(memory)
        made = self.decoder(
            decoder_input_ids, decoder_attention_mask, memory, attention_mask, trace
        )
        return self.read(made)

    def read(self, hidden: Tensor) -> Tensor:
        """The decoder's hidden states (B, T, width), or what a head beside it makes of them."""
        return hidden


class ClassificationHead(Layer):
    """Two layers, on one state."""

    def __init__(self, width: int, labels: int, dropout: float) -> None:
        super().__init__()
        self.dense = self.nn.Linear(width, width)
        self.dropout = self.nn.Dropout(dropout)
        self.out_proj = self.nn.Linear(width, labels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, width) -> (B, labels)."""
        x = self.nn.tanh(self.dense(self.dropout(x)))
        return self.out_proj(self.dropout(x))


class Seq2SeqForSequenceClassification(Head):
    """input_ids (B, T), each text with as many ends -> logits (B, num_labels), at the last end."""

    prefix: ClassVar[str] = "model"
    model_class: ClassVar[type[Layer]] = Seq2SeqModel
    pools = None

    def __init__(self, c: Any) -> None:
        super().__init__(c)
        self.classification_head = self.nn.make(
            ClassificationHead, c.d_model, c.num_labels, c.classifier_dropout
        )
        self.end = c.eos_token_id

    def forward(self, *inputs: Tensor, trace: Trace = UNTRACED, **named: Tensor) -> Tensor:
        """(B, T) -> (B, num_labels)."""
        hidden = self.body(*inputs, trace=trace, **named)
        input_ids = inputs[0] if inputs else named["input_ids"]
        return self.classification_head(last_marked(self.nn, hidden, input_ids, self.end))


class Seq2SeqMaskedLM(MaskedLM):
    """Logits of every word at every place of the text, which the decoder writes whole again.

    input_ids (B, S), decoder_input_ids (B, T) -> (B, T, vocab_size).
    """

    pools = None

    if TYPE_CHECKING:
        final_logits_bias: Tensor

    def __init__(self, c: Any) -> None:
        super().__init__(c)
        nn = self.nn
        nn.weight(self, "final_logits_bias", (1, c.vocab_size), trained=False)
        self.lm_head = None if ties_words(c) else nn.Linear(c.d_model, c.vocab_size, bias=False)
        self.padding = c.pad_token_id

    @property
    def words(self) -> Any:
        """The table of words."""
        return self.body.shared

    def read(self, hidden: Tensor) -> Tensor:
        """(B, T, d_model) -> (B, T, vocab_size)."""
        if self.lm_head is None:
            return self.nn.unembed(hidden, self.words) + self.final_logits_bias
        return self.lm_head(hidden) + self.final_logits_bias

    def prepare_decoder_input_ids_from_labels(self, labels: Tensor) -> Tensor:
        """What the decoder reads where it is told what to write: that, behind a first token.

        Labels of -100, which count nothing, are padding there.

        Raises:
            ValueError: the config has no padding token.

        """
        if self.padding is None:
            raise ValueError("the model's config has no pad_token_id")
        nn = self.nn
        left_out = nn.cast_int(labels == -100)
        ids: Tensor = self.body.decoder_ids(
            nn.cast_int(labels) * (1 - left_out) + self.padding * left_out
        )
        return ids
