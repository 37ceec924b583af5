"""Funnel Transformer (Dai et al., 2020): blocks of layers, each on half as many tokens.

Between blocks, neighbours are pooled in pairs, and the first token is kept by itself. A classifier
stands on the shortest sequence; the bare model brings it back to all tokens in a small decoder.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from hubloader.architectures._config import (
    MAX_LAYERS,
    MAX_ROWS,
    Config,
    activation,
    amount,
    checked,
    flag,
    share,
    size,
    token,
    word,
)
from hubloader.architectures._encoder import Encoder
from hubloader.architectures._entry import (
    ENCODER,
    MULTIPLE_CHOICE,
    SEQUENCE_CLASSIFICATION,
    Architecture,
)
from hubloader.architectures._heads import (
    Bias,
    MaskedLM,
    MultipleChoice,
    QuestionAnswering,
    TokenClassification,
    heads,
)
from hubloader.nn.blocks import activate, merge_heads, rotary_frequencies, split_heads
from hubloader.nn.layer import UNTRACED, Layer, Trace

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hubloader.nn.layer import Tensor

_CLS = 2  # the first token's type, which is of both segments


def _sizes_fault(value: Any) -> str | None:
    whole = isinstance(value, (list, tuple)) and all(
        isinstance(n, int) and not isinstance(n, bool) and 1 <= n <= MAX_LAYERS for n in value
    )
    return None if whole and 1 <= len(value) <= 16 else f"{value!r} is not a list of layers"


@dataclass(frozen=True, kw_only=True)
class FunnelConfig(Config):
    """Source: transformers 5.23, ``configuration_funnel.py``."""

    aliases: ClassVar[Mapping[str, str]] = {
        "hidden_size": "d_model",
        "num_attention_heads": "n_head",
    }

    vocab_size: int = size(30522, most=MAX_ROWS)
    block_sizes: tuple[int, ...] = checked((4, 4, 4), _sizes_fault)
    block_repeats: tuple[int, ...] | None = checked(
        None, lambda value: None if value is None else _sizes_fault(value)
    )
    num_decoder_layers: int = size(2, least=0, most=MAX_LAYERS)
    d_model: int = size(768)
    n_head: int = size(12)
    d_head: int = size(64)
    d_inner: int = size(3072)
    hidden_act: str = activation("gelu_new")
    hidden_dropout: float = share(0.1)
    attention_dropout: float = share(0.1)
    activation_dropout: float = share(0.0)
    layer_norm_eps: float = amount(1e-9, positive=False)
    pooling_type: str = word("mean", ("mean", "max"))
    attention_type: str = word("relative_shift", ("relative_shift", "factorized"))
    separate_cls: bool = flag(True)
    truncate_seq: bool = flag(True)
    pool_q_only: bool = flag(True)
    pad_token_id: int | None = token(None)

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
        """How many layers have weights of their own."""
        return sum(self.block_sizes)

    @property
    def repeats(self) -> tuple[int, ...]:
        """How often each block's layers are passed."""
        return self.block_repeats or (1,) * len(self.block_sizes)

    @property
    def lengthens(self) -> bool:
        """Whether the bare model's checkpoint brings all tokens back."""
        named = self.extra.get("architectures") or []
        return "FunnelBaseModel" not in named or "FunnelModel" in named

    @property
    def decodes(self) -> bool:
        """Never: transformers has no decoder of this family that looks back."""
        return False

    def faults(self) -> list[str]:
        """Every block has its repeats; the width is made of sines and cosines."""
        found = [*super().faults(), *self.must_have_row("pad_token_id", "vocab_size")]
        if len(self.repeats) != len(self.block_sizes):
            found.append(f"block_repeats: {len(self.repeats)} for {len(self.block_sizes)} blocks")
        if self.d_model % 2:
            found.append(f"d_model: {self.d_model} is not even")
        return found


class Level(NamedTuple):
    """The tokens of one length.

    Args:
        types: of which segment each is: (B, T).
        real: which are no padding: bool (B, T), or None for all.
        places: where each was in the text: (T,).
        stride: how far each was from the next: (1,).

    """

    types: Tensor
    real: Tensor | None
    places: Tensor
    stride: Tensor


class Pooling(Layer):
    """From each two neighbours one, behind the first token."""

    def __init__(self, c: FunnelConfig) -> None:
        super().__init__()
        self.separate, self.truncate = c.separate_cls, c.truncate_seq
        self.takes_mean = c.pooling_type == "mean"
        self.shortest = 2 if c.separate_cls else 1

    def with_first(self, x: Tensor) -> Tensor:
        """(B, T, ...): the first token once more, so that it is paired with itself."""
        if not self.separate:
            return x
        return self.nn.concat([x[:, :1], x[:, :-1] if self.truncate else x], 1)

    def picked(self, x: Tensor) -> Tensor:
        """(B, T, ...) -> (B, about T / 2, ...): the first of each pair."""
        return self.with_first(x)[:, ::2]

    def pairs(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the first and the second of each pair; a last one without one is both."""
        x = self.with_first(x)
        return x[:, ::2], self.nn.concat([x, x[:, -1:]], 1)[:, 1::2]

    def hidden(self, x: Tensor) -> Tensor:
        """(B, T, d_model) -> (B, about T / 2, d_model)."""
        first, second = self.pairs(x)
        if self.takes_mean:
            return (first + second) / 2
        return self.nn.relu(first - second) + second

    def level(self, level: Level) -> Level:
        """Return what is known of the pooled tokens; one is real if both were."""
        real = None
        if level.real is not None:
            first, second = self.pairs(level.real)
            real = first & second
        places = self.picked(level.places[None])[0]
        return Level(self.picked(level.types), real, places, level.stride * 2)


class FunnelAttention(Layer):
    """Content, distance and segment each make a score; the first token has content alone."""

    if TYPE_CHECKING:
        r_w_bias: Tensor
        r_r_bias: Tensor
        r_s_bias: Tensor
        r_kernel: Tensor
        seg_embed: Tensor
        frequencies: Tensor

    def __init__(self, c: FunnelConfig) -> None:
        super().__init__()
        nn, heads, inner = self.nn, c.n_head, c.n_head * c.d_head
        self.q_head = nn.Linear(c.d_model, inner, bias=False)
        self.k_head = nn.Linear(c.d_model, inner)
        self.v_head = nn.Linear(c.d_model, inner)
        for name in ("r_w_bias", "r_r_bias", "r_s_bias"):
            nn.weight(self, name, (heads, c.d_head))
        nn.weight(self, "r_kernel", (c.d_model, heads, c.d_head))
        nn.weight(self, "seg_embed", (2, heads, c.d_head))
        self.post_proj = nn.Linear(inner, c.d_model)
        self.layer_norm = nn.LayerNorm(c.d_model, eps=c.layer_norm_eps)
        self.hidden_dropout = nn.Dropout(c.hidden_dropout)
        self.dropout = nn.Dropout(c.attention_dropout)
        self.heads, self.scale = heads, c.d_head**-0.5
        self.factorized, self.separate = c.attention_type == "factorized", c.separate_cls
        nn.buffer(self, "frequencies", rotary_frequencies(c.d_model, 10_000.0))

    def waves(self, places: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        """Sines and cosines of places (N,): (N, d_model / 2) each."""
        nn = self.nn
        angles = nn.cast_like(places, self.frequencies)[:, None] * self.frequencies[None, :]
        return nn.cast_like(nn.sin(angles), like), nn.cast_like(nn.cos(angles), like)

    def by_factors(self, q: Tensor, asking: Level, asked: Level) -> Tensor:
        """Scores of distances, by the sines of differences: q (B, H, T, D) -> (B, H, T, S)."""
        nn = self.nn
        turned = q @ nn.transpose(self.r_kernel, (1, 2, 0))[None]  # (B, H, T, d_model)
        sines, cosines = self.waves(asking.places, q)
        phi, pi = nn.concat([sines, sines], -1), nn.concat([cosines, cosines], -1)
        sines, cosines = self.waves(asked.places, q)
        psi, omega = nn.concat([cosines, sines], -1), nn.concat([-sines, cosines], -1)
        by_phi = (turned * phi) @ nn.transpose(psi, (1, 0))
        return by_phi + (turned * pi) @ nn.transpose(omega, (1, 0))

    def by_distance(self, q: Tensor, asking: Level, asked: Level) -> Tensor:
        """Scores of distances, each by itself: q (B, H, T, D) -> (B, H, T, S)."""
        nn = self.nn
        keys = nn.shape(asked.places)[0]
        steps = keys - nn.arange(2 * keys + 1, q)  # S … -S, of one stride each
        width, heads, head = nn.shape(self.r_kernel)
        table = nn.concat(self.waves(steps * asked.stride, q), -1)
        table = table @ nn.reshape(self.r_kernel, (width, heads * head))
        scores = q @ nn.transpose(split_heads(nn, table[None], self.heads), (0, 1, 3, 2))
        distance = (asking.places[:, None] - asked.places[None, :]) // asked.stride
        return nn.take_along(scores, nn.clip(keys - distance, 0, 2**31 - 1))

    def by_segment(self, q: Tensor, asking: Level, asked: Level) -> Tensor:
        """Scores of being of one segment, or of two: q (B, H, T, D) -> (B, H, T, S)."""
        nn = self.nn
        one, other = asking.types[:, :, None], asked.types[:, None, :]
        same = nn.cast_like((one == other) | (one == _CLS) | (other == _CLS), q)[:, None]
        kinds = q @ nn.transpose(self.seg_embed, (1, 2, 0))[None]  # (B, H, T, 2): not, and of one
        return kinds[..., :1] + (kinds[..., 1:] - kinds[..., :1]) * same

    def bias(self, q: Tensor, asking: Level, asked: Level) -> Tensor:
        """What distances and segments add to the scores: (B, H, T, S)."""
        nn = self.nn
        placed = self.by_factors if self.factorized else self.by_distance
        scores = placed(q + self.r_r_bias[None, :, None], asking, asked)
        scores = scores + self.by_segment(q + self.r_s_bias[None, :, None], asking, asked)
        if self.separate:
            rows, columns = (
                nn.cast_like(nn.arange(nn.shape(level.places)[0], q) > 0, q)
                for level in (asking, asked)
            )
            scores = scores * (rows[:, None] * columns[None, :])
        return scores * self.scale

    def forward(self, x: Tensor, keys: Tensor, asking: Level, asked: Level, trace: Trace) -> Tensor:
        """Queries (B, T, d_model), keys (B, S, d_model) -> (B, T, d_model)."""
        nn, heads = self.nn, self.heads
        q = split_heads(nn, self.q_head(x), heads)
        k, v = (split_heads(nn, f(keys), heads) for f in (self.k_head, self.v_head))
        mask = None if asked.real is None else asked.real[:, None, None, :]
        context = nn.attention(
            *(q + self.r_w_bias[None, :, None], k, v, mask, self.bias(q, asking, asked)),
            dropout=self.dropout.p if self.training else 0.0,
            scale=self.scale,
            trace=trace,
        )
        return self.layer_norm(x + self.hidden_dropout(self.post_proj(merge_heads(nn, context))))


class FunnelFeedForward(Layer):
    """Wider, bent, and back; normalised after the residual."""

    def __init__(self, c: FunnelConfig) -> None:
        super().__init__()
        nn = self.nn
        self.linear_1 = nn.Linear(c.d_model, c.d_inner)
        self.linear_2 = nn.Linear(c.d_inner, c.d_model)
        self.activation_dropout = nn.Dropout(c.activation_dropout)
        self.dropout = nn.Dropout(c.hidden_dropout)
        self.layer_norm = nn.LayerNorm(c.d_model, eps=c.layer_norm_eps)
        self.activation = c.hidden_act

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, d_model) -> the same shape."""
        wide = self.activation_dropout(activate(self.nn, self.activation, self.linear_1(x)))
        return self.layer_norm(x + self.dropout(self.linear_2(wide)))


class FunnelLayer(Layer):
    """Attention, then the feed-forward network."""

    def __init__(self, c: FunnelConfig) -> None:
        super().__init__()
        self.attention = self.nn.make(FunnelAttention, c)
        self.ffn = self.nn.make(FunnelFeedForward, c)

    def forward(self, x: Tensor, keys: Tensor, asking: Level, asked: Level, trace: Trace) -> Tensor:
        """Queries (B, T, d_model), keys (B, S, d_model) -> (B, T, d_model)."""
        return self.ffn(self.attention(x, keys, asking, asked, trace))


class FunnelEncoder(Layer):
    """The blocks, and the pooling between them."""

    def __init__(self, c: FunnelConfig) -> None:
        super().__init__()
        nn = self.nn
        self.blocks = nn.ModuleList([nn.stack(FunnelLayer, n, c) for n in c.block_sizes])
        self.pooling = nn.make(Pooling, c)
        self.repeats, self.queries_alone = c.repeats, c.pool_q_only
        self.first_block = c.block_sizes[0]

    def passed(
        self, index: int, x: Tensor, level: Level, trace: Trace, *, pools: bool
    ) -> tuple[Tensor, Level]:
        """Run through one block, whose first layer may pool: hidden states, and their level."""
        keys, asked = x, level
        if pools:
            x, level = self.pooling.hidden(x), self.pooling.level(level)
            keys, asked = (keys, asked) if self.queries_alone else (x, level)
        for layer in self.blocks[index]:
            for _ in range(self.repeats[index]):
                x = layer(x, keys, level, asked, trace)
                keys, asked = x, level
                trace.hidden(x)
        return x, level

    def pooled(self, index: int, x: Tensor, level: Level, trace: Trace) -> tuple[Tensor, Level]:
        """Run through a later block, which pools a text that is long enough."""
        calls = len(self.blocks[index]) * self.repeats[index]

        def flat(*, pools: bool) -> list[Tensor]:
            kept = Trace(hidden_states=trace.hidden_states, attentions=trace.attentions)
            found, then = self.passed(index, x, level, kept, pools=pools)
            known = [part for part in then if part is not None]
            return [found, *known, *kept.kept_hidden_states, *kept.kept_attentions]

        long_enough = self.nn.shape(x)[1] > self.pooling.shortest
        found, *rest = self.nn.choose(
            long_enough, lambda: flat(pools=True), lambda: flat(pools=False)
        )
        parts = iter(rest)
        level = Level(*(None if part is None else next(parts) for part in level))
        for _ in range(calls if trace.hidden_states else 0):
            trace.hidden(next(parts))
        for _ in range(calls if trace.attentions else 0):
            trace.attention(next(parts))
        return found, level

    def forward(self, x: Tensor, level: Level, trace: Trace) -> tuple[Tensor, Tensor]:
        """(B, T, d_model) -> the shortest hidden states, and those after the first block."""
        kept = Trace(hidden_states=True, attentions=trace.attentions)
        kept.hidden(x)
        x, level = self.passed(0, x, level, kept, pools=False)
        for hidden in kept.kept_hidden_states:
            trace.hidden(hidden)
        for probabilities in kept.kept_attentions:
            trace.attention(probabilities)
        for index in range(1, len(self.repeats)):
            x, level = self.pooled(index, x, level, trace)
        return x, kept.kept_hidden_states[self.first_block]


class FunnelDecoder(Layer):
    """All tokens again: what the first block made of them, and the shortest sequence spread out."""

    def __init__(self, c: FunnelConfig) -> None:
        super().__init__()
        self.layers = self.nn.stack(FunnelLayer, c.num_decoder_layers, c)
        self.stride = 2 ** (len(c.block_sizes) - 1)
        self.separate, self.truncate = c.separate_cls, c.truncate_seq

    def lengthened(self, x: Tensor, tokens: Any) -> Tensor:
        """(B, S, d_model) -> (B, tokens, d_model)."""
        nn, first = self.nn, x[:, :1]
        if self.stride == 1:
            return x
        rest = x[:, 1:] if self.separate else x
        b, s, width = nn.shape(rest)
        rest = nn.reshape(
            nn.concat([rest[:, :, None]] * self.stride, 2), (b, s * self.stride, width)
        )
        if not self.separate:
            return rest[:, :tokens]
        if self.truncate:
            rest = nn.concat([rest, *([nn.zeros_like(first)] * (self.stride - 1))], 1)
        return nn.concat([first, rest[:, : tokens - 1]], 1)

    def forward(self, short: Tensor, x: Tensor, level: Level, trace: Trace) -> Tensor:
        """(B, S, d_model), (B, T, d_model) -> (B, T, d_model)."""
        x = self.lengthened(short, self.nn.shape(x)[1]) + x
        trace.hidden(x)
        for layer in self.layers:
            x = layer(x, x, level, level, trace)
            trace.hidden(x)
        return x


class FunnelEmbeddings(Layer):
    """Words, normalised."""

    def __init__(self, c: FunnelConfig) -> None:
        super().__init__()
        nn = self.nn
        self.word_embeddings = nn.Embedding(c.vocab_size, c.d_model, padding_idx=c.pad_token_id)
        self.layer_norm = nn.LayerNorm(c.d_model, eps=c.layer_norm_eps)
        self.dropout = nn.Dropout(c.hidden_dropout)

    def forward(self, input_ids: Tensor) -> Tensor:
        """(B, T) -> (B, T, d_model)."""
        return self.dropout(self.layer_norm(self.word_embeddings(input_ids)))


class FunnelBaseModel(Encoder):
    """input_ids, attention_mask, token_type_ids (B, T) -> the shortest hidden states.

    They are (B, S, d_model), S being T halved once for each block after the first.
    """

    def __init__(self, c: FunnelConfig) -> None:
        super().__init__()
        self.embeddings = self.nn.make(FunnelEmbeddings, c)
        self.encoder = self.nn.make(FunnelEncoder, c)
        self.decoder: FunnelDecoder | None = None

    def level(
        self, input_ids: Tensor, attention_mask: Tensor | None, token_type_ids: Tensor | None
    ) -> Level:
        """Return what is known of the tokens as they came."""
        nn = self.nn
        types = nn.zeros_like(input_ids) if token_type_ids is None else token_type_ids
        real = None if attention_mask is None else nn.cast_bool(attention_mask)
        if real is not None and nn.masks_nothing(real):
            real = None
        places = nn.arange(nn.shape(input_ids)[1], input_ids)
        return Level(types, real, places, nn.arange(1, input_ids) + 1)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        *,
        trace: Trace = UNTRACED,
    ) -> Tensor:
        """(B, T) -> (B, S, d_model)."""
        level = self.level(input_ids, attention_mask, token_type_ids)
        short, first = self.encoder(self.embeddings(input_ids), level, trace)
        return short if self.decoder is None else self.decoder(short, first, level, trace)


class FunnelModel(FunnelBaseModel):
    """input_ids, attention_mask, token_type_ids (B, T) -> hidden states (B, T, d_model).

    Of a checkpoint of the base model, the shortest hidden states.
    """

    def __init__(self, c: FunnelConfig) -> None:
        super().__init__(c)
        if c.lengthens:
            self.decoder = self.nn.make(FunnelDecoder, c)


class FunnelClassificationHead(Layer):
    """The first token through one more layer."""

    def __init__(self, c: FunnelConfig, answers: int) -> None:
        super().__init__()
        self.linear_hidden = self.nn.Linear(c.d_model, c.d_model)
        self.dropout = self.nn.Dropout(c.hidden_dropout)
        self.linear_out = self.nn.Linear(c.d_model, answers)

    def forward(self, x: Tensor) -> Tensor:
        """(B, d_model) -> (B, answers)."""
        return self.linear_out(self.dropout(self.nn.tanh(self.linear_hidden(x))))


class FunnelForSequenceClassification(Layer):
    """input_ids, attention_mask, token_type_ids (B, T) -> logits (B, num_labels)."""

    def __init__(self, c: FunnelConfig) -> None:
        super().__init__()
        self.funnel = self.nn.make(FunnelBaseModel, c)
        self.classifier = self.nn.make(FunnelClassificationHead, c, c.num_labels)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        *,
        trace: Trace = UNTRACED,
    ) -> Tensor:
        """(B, T) -> (B, num_labels)."""
        hidden = self.funnel(input_ids, attention_mask, token_type_ids, trace=trace)
        return self.classifier(hidden[:, 0])


class FunnelMaskedWords(MaskedLM):
    """Masked words, of the hidden states as they are."""

    pools = None

    def __init__(self, c: FunnelConfig) -> None:
        super().__init__(c)
        self.lm_head = self.nn.make(Bias, c.vocab_size)

    def read(self, hidden: Tensor) -> Tensor:
        """(B, T, d_model) -> (B, T, vocab_size)."""
        return self.lm_head(hidden, self.words)


class FunnelForMultipleChoice(MultipleChoice):
    """Inputs (B, choices, T) -> logits of the choices: (B, choices)."""

    model_class = FunnelBaseModel
    prefix = "funnel"
    pools = None

    def __init__(self, c: FunnelConfig) -> None:
        super().__init__(c)
        self.classifier = self.nn.make(FunnelClassificationHead, c, 1)

    def read(self, hidden: Tensor) -> Tensor:
        """(B * choices, S, d_model) -> (B * choices, 1)."""
        return self.classifier(hidden[:, 0])


ARCHITECTURE = Architecture(
    model_type="funnel",
    config=FunnelConfig,
    prefix="funnel",
    class_prefix="Funnel",
    tasks={
        ENCODER: FunnelModel,
        SEQUENCE_CLASSIFICATION: FunnelForSequenceClassification,
        **heads(
            __name__,
            "Funnel",
            FunnelModel,
            "funnel",
            pooler=None,
            tokens=TokenClassification,
            answers=QuestionAnswering,
            words=FunnelMaskedWords,
        ),
        MULTIPLE_CHOICE: FunnelForMultipleChoice,
    },
    ignored_unexpected=(r"^(?:funnel\.)?decoder\.",),
)
