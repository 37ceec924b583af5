"""Heads that score words at every place, which families share.

Words are scored by the table of words itself, where a checkpoint ties the two.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from hubloader.architectures._heads import Head
from hubloader.nn.blocks import activate
from hubloader.nn.layer import Layer

if TYPE_CHECKING:
    from hubloader.nn.layer import Tensor

__all__ = [
    "Bias",
    "Cls",
    "ClsMaskedLM",
    "GeneratorMaskedLM",
    "LMHead",
    "LMHeadMaskedLM",
    "MaskedLM",
    "Predictions",
    "Transform",
    "ties_words",
    "width_of",
]


class Transform(Layer):
    """Project, bend, normalise."""

    def __init__(self, c: Any, width: int, act: str, *, norm: str = "LayerNorm") -> None:
        super().__init__()
        self.dense = self.nn.Linear(c.hidden_size, width)
        setattr(self, norm, self.nn.LayerNorm(width, eps=c.layer_norm_eps))
        self.norm, self.activation = norm, act

    def forward(self, x: Tensor) -> Tensor:
        """(..., hidden_size) -> (..., width)."""
        return getattr(self, self.norm)(activate(self.nn, self.activation, self.dense(x)))


class Bias(Layer):
    """One number for each word; where a checkpoint does not tie them, words of its own too."""

    bias: Tensor

    def __init__(self, c: Any, width: int) -> None:
        super().__init__()
        self.nn.weight(self, "bias", (c.vocab_size,))
        self.ties = ties_words(c)
        if not self.ties:
            self.nn.weight(self, "weight", (c.vocab_size, width))

    def forward(self, x: Tensor, words: Any) -> Tensor:
        """(..., width), the table of words -> (..., vocab_size)."""
        return self.nn.unembed(x, words if self.ties else self) + self.bias


def width_of(c: Any) -> int:
    """Return how wide a config's words are."""
    return int(getattr(c, "embedding_width", c.hidden_size))


def ties_words(c: Any, default: bool = True) -> bool:
    """Whether the table of words scores them too."""
    return bool(c.extra.get("tie_word_embeddings", default))


class MaskedLM(Head):
    """Hidden states -> logits of every word at every place: (B, T, vocab_size)."""

    @property
    def words(self) -> Any:
        """The table of words."""
        return self.body.embeddings.word_embeddings


class Predictions(Layer):
    """BERT's: a transform, then the words."""

    norm: ClassVar[str] = "LayerNorm"

    def __init__(self, c: Any) -> None:
        super().__init__()
        width = width_of(c)
        self.transform = self.nn.make(Transform, c, width, c.hidden_act, norm=self.norm)
        self.nn.weight(self, "bias", (c.vocab_size,))
        self.decoder = None if ties_words(c) else self.nn.Linear(width, c.vocab_size)

    if TYPE_CHECKING:
        bias: Tensor

    def forward(self, hidden: Tensor, words: Any) -> Tensor:
        """(B, T, hidden_size), the table of words -> (B, T, vocab_size)."""
        x = self.transform(hidden)
        if self.decoder is not None:
            return self.decoder(x)
        return self.nn.unembed(x, words) + self.bias


class Cls(Layer):
    """What holds the predictions, where BERT's kin keep them."""

    def __init__(self, c: Any, predictions: type[Layer]) -> None:
        super().__init__()
        self.predictions = self.nn.make(predictions, c)


class ClsMaskedLM(MaskedLM):
    """BERT's masked words, under ``cls.predictions``."""

    predictions_class: ClassVar[type[Layer]] = Predictions

    def __init__(self, c: Any) -> None:
        super().__init__(c)
        self.cls = self.nn.make(Cls, c, self.predictions_class)

    def read(self, hidden: Tensor) -> Tensor:
        """(B, T, hidden_size) -> (B, T, vocab_size)."""
        return self.cls.predictions(hidden, self.words)


class LMHead(Layer):
    """RoBERTa's: project, GELU, normalise, then the words."""

    own_bias: ClassVar[bool] = True
    """Whether a table of its own comes with biases of its own."""

    if TYPE_CHECKING:
        bias: Tensor

    def __init__(self, c: Any) -> None:
        super().__init__()
        self.dense = self.nn.Linear(c.hidden_size, c.hidden_size)
        self.layer_norm = self.nn.LayerNorm(c.hidden_size, eps=c.layer_norm_eps)
        self.nn.weight(self, "bias", (c.vocab_size,))
        sizes = (c.hidden_size, c.vocab_size)
        self.decoder = None if ties_words(c) else self.nn.Linear(*sizes, bias=self.own_bias)

    def forward(self, hidden: Tensor, words: Any) -> Tensor:
        """(B, T, hidden_size), the table of words -> (B, T, vocab_size)."""
        x = self.layer_norm(self.nn.gelu(self.dense(hidden)))
        if self.decoder is None:
            return self.nn.unembed(x, words) + self.bias
        return self.decoder(x) if self.own_bias else self.decoder(x) + self.bias


class LMHeadMaskedLM(MaskedLM):
    """RoBERTa's masked words, under ``lm_head``."""

    head_class: ClassVar[type[Layer]] = LMHead

    def __init__(self, c: Any) -> None:
        super().__init__(c)
        self.lm_head = self.nn.make(self.head_class, c)

    def read(self, hidden: Tensor) -> Tensor:
        """(B, T, hidden_size) -> (B, T, vocab_size)."""
        return self.lm_head(hidden, self.words)


class GeneratorMaskedLM(MaskedLM):
    """ELECTRA's masked words: what its generator was trained with."""

    def __init__(self, c: Any) -> None:
        super().__init__(c)
        self.generator_predictions = self.nn.make(Transform, c, width_of(c), "gelu")
        self.generator_lm_head = self.nn.make(Bias, c, width_of(c))

    def read(self, hidden: Tensor) -> Tensor:
        """(B, T, hidden_size) -> (B, T, vocab_size)."""
        return self.generator_lm_head(self.generator_predictions(hidden), self.words)
