"""The call: transformers' arguments in, a ``BatchEncoding`` out.

Source: transformers 4.57.6 and 5.23 ``PreTrainedTokenizerBase.__call__``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hubloader.tokenizers.engine import Truncation
from hubloader.tokenizers.inputs import read_texts
from hubloader.tokenizers.options import CallOptions, checked, named, unknown_argument
from hubloader.tokenizers.plan import COLUMNS, CallPlan
from hubloader.tokenizers.special_tokens import SpecialTokens
from hubloader.tokenizers.strategies import Padding, choose_strategies
from hubloader.tokenizers.tensors import tensor_kind

if TYPE_CHECKING:
    from hubloader.tokenizers.batch import BatchEncoding
    from hubloader.tokenizers.strategies import Strategies

__all__ = ["Calling"]

_MAX_PLANS = 64
_MOST_TOKENS = 1 << 32  # the engine counts in 64 bits, and no text has as many

_CANNOT_PAD = (
    "Asking to pad but the tokenizer does not have a padding token. Please select a token to use "
    "as `pad_token` `(tokenizer.pad_token = tokenizer.eos_token e.g.)` or add a new pad token via "
    "`tokenizer.add_special_tokens({'pad_token': '[PAD]'})`."
)


class Calling(SpecialTokens):
    """``tokenizer(text)`` and ``tokenizer.encode(text)``."""

    def __call__(  # noqa: PLR0913, PLR0917 - the arguments are transformers'
        self,
        text: Any = None,
        text_pair: Any = None,
        text_target: Any = None,
        text_pair_target: Any = None,
        add_special_tokens: bool = True,
        padding: Any = False,
        truncation: Any = None,
        max_length: int | None = None,
        stride: int = 0,
        is_split_into_words: bool = False,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
        return_tensors: Any = None,
        return_token_type_ids: bool | None = None,
        return_attention_mask: bool | None = None,
        return_overflowing_tokens: bool = False,
        return_special_tokens_mask: bool = False,
        return_offsets_mapping: bool = False,
        return_length: bool = False,
        verbose: bool = True,
        **kwargs: Any,
    ) -> BatchEncoding:
        """Tokenize one text, a pair, or a batch of either.

        Args:
            text: a text, a list of texts, a list of pairs; with ``is_split_into_words`` a list of
                words or a list of such lists.
            text_pair: the second text of the pair, or as many as there are first ones.
            text_target: a text, or a batch, whose ids come back as ``labels``.
            text_pair_target: the second of the pair for the target.
            add_special_tokens: frame each text with what the model expects ([CLS], [SEP] ...).
            padding: True or "longest" fills rows up to the longest; "max_length" to ``max_length``;
                False or "do_not_pad".
            truncation: True or "longest_first", "only_first", "only_second" cut to ``max_length``
                tokens; False or "do_not_truncate".
            max_length: in tokens, special ones included; None for the model's own limit.
            stride: how many tokens an overflowing row repeats of the one before it.
            is_split_into_words: the texts are lists of words.
            pad_to_multiple_of: round the padded length up.
            padding_side: "right" or "left"; None for the tokenizer's.
            return_tensors: "pt", "tf", "np", "jax"; None for lists.
            return_token_type_ids: which text a token is of; None: if the model takes it.
            return_attention_mask: 1 for tokens, 0 for padding; None: if the model takes it.
            return_overflowing_tokens: what was cut off comes back as further rows, with
                ``overflow_to_sample_mapping``.
            return_special_tokens_mask: 1 for special tokens.
            return_offsets_mapping: the characters of each token, (start, end).
            return_length: how long each row is.
            verbose: say once when a row is too long for the model.
            **kwargs: ``split_special_tokens``: special tokens inside a text are plain text.
                ``max_target_length``: ``max_length`` for the target. ``tokenizer_kwargs``: further
                arguments as a mapping.

        Returns:
            The model's inputs by name, with the encodings behind them.

        Raises:
            ValueError: arguments that do not fit together; no padding token.
            TypeError: an argument that does not exist.

        """
        options = CallOptions(
            add_special_tokens, padding, truncation, max_length, stride, is_split_into_words,
            pad_to_multiple_of, padding_side, return_tensors, return_token_type_ids,
            return_attention_mask, return_overflowing_tokens, return_special_tokens_mask,
            return_offsets_mapping, return_length, verbose,
        )  # fmt: skip
        if not kwargs and text_target is None and text is not None:
            return self._encode_texts(text, text_pair, options)
        return self._call_with_target(
            (text, text_pair), (text_target, text_pair_target), options, kwargs
        )

    def encode(self, text: Any, text_pair: Any = None, *args: Any, **options: Any) -> Any:
        """Tokenize one text, or a pair, and give its ids alone; takes what a call takes."""
        options = named("encode", args, options)
        return self.encode_plus(text, text_pair, **options).data["input_ids"]

    def encode_plus(
        self, text: Any, text_pair: Any = None, *args: Any, **options: Any
    ) -> BatchEncoding:
        """Tokenize one text, or a pair; takes what a call takes."""
        items = [(text, text_pair) if text_pair else text]
        chosen = self._options(CallOptions(), named("encode_plus", args, options))
        return self._run(items, chosen, batched=False)

    def batch_encode_plus(
        self, batch_text_or_text_pairs: Any, *args: Any, **options: Any
    ) -> BatchEncoding:
        """Tokenize a list of texts, or of pairs; takes what a call takes."""
        if not isinstance(batch_text_or_text_pairs, (tuple, list)):
            raise TypeError(
                "batch_text_or_text_pairs has to be a list or a tuple "
                f"(got {type(batch_text_or_text_pairs)})"
            )
        chosen = self._options(CallOptions(), named("batch_encode_plus", args, options))
        return self._run(list(batch_text_or_text_pairs), chosen, batched=True)

    def tokenize(
        self, text: Any, pair: Any = None, add_special_tokens: bool = False, **options: Any
    ) -> list[str]:
        """Give a text's tokens, as text; takes what a call takes."""
        return self.encode_plus(
            text, pair, add_special_tokens=add_special_tokens, **options
        ).tokens()

    def _encode_texts(self, text: Any, pair: Any, options: CallOptions) -> BatchEncoding:
        if type(text) is str and pair is None:
            return self._run([text], options, batched=False)
        items, batched = read_texts(text, pair, split_into_words=options.is_split_into_words)
        return self._run(items, options, batched=batched)

    def _run(self, items: list[Any], options: CallOptions, *, batched: bool) -> BatchEncoding:
        plans = self._plans
        # The names are a list, which may be changed in place.
        key: tuple[Any, ...] | None = (options, tuple(self.model_input_names))
        plan: CallPlan | None = None
        try:
            plan = plans.get(key)
        except TypeError:  # an argument that cannot be hashed: mostly one that cannot be meant
            key = None
        if plan is None:
            plan = self._plan(checked(options))
            if key is not None and not self._engine.exposed:
                if len(plans) >= _MAX_PLANS:
                    plans.clear()
                plans[key] = plan
        result = plan.run(items, batched=batched)
        if plan.warn_above is not None:
            self._warn_when_too_long(result, plan.warn_above)
        return result

    def _call_with_target(
        self,
        texts: tuple[Any, Any],
        targets: tuple[Any, Any],
        options: CallOptions,
        kwargs: dict[str, Any],
    ) -> BatchEncoding:
        if texts[0] is None and targets[0] is None:
            raise ValueError("You need to specify either `text` or `text_target`.")
        target_length = kwargs.pop("max_target_length", None)
        options = self._options(options, kwargs)
        encoded = None if texts[0] is None else self._encode_texts(*texts, options)
        if targets[0] is None and encoded is not None:
            return encoded
        if target_length is not None:
            options = options._replace(max_length=target_length)
        labels = self._for_targets()._encode_texts(*targets, options)  # noqa: SLF001 - a copy of this
        if encoded is None:
            return labels
        encoded["labels"] = labels["input_ids"]
        return encoded

    def _for_targets(self) -> Calling:
        """Give the tokenizer that frames targets: this one, but for translation models."""
        return self

    def _options(self, options: CallOptions, given: dict[str, Any]) -> CallOptions:
        given = {**given, **(given.get("tokenizer_kwargs") or {})}
        given.pop("tokenizer_kwargs", None)
        for name in given:
            if name not in CallOptions._fields:
                raise TypeError(unknown_argument(name))
        return options._replace(**given)

    def _plan(self, options: CallOptions) -> CallPlan:
        chosen = choose_strategies(
            options.padding,
            options.truncation,
            options.max_length,
            model_max_length=self.model_max_length,
            warn=self._warn_once if options.verbose else _say_nothing,
        )
        split = options.split_special_tokens
        columns = self._columns(options)
        truncation = self._truncation(chosen, options)
        return CallPlan(
            view=self._engine.view(
                truncation, split_special=self.split_special_tokens if split is None else split
            ),
            columns=columns,
            padding=self._padding(chosen, options),
            add_special_tokens=options.add_special_tokens,
            split_into_words=options.is_split_into_words,
            overflow=options.return_overflowing_tokens,
            tensors=tensor_kind(options.return_tensors),
            eager=options.return_offsets_mapping
            or options.return_overflowing_tokens  # the engine's fast road mistypes its rows
            or self._engine.backend.post_processor is None  # and pairs that nothing frames
            or bool(getattr(self._engine.backend.model, "dropout", None))  # chance: not twice alike
            or self._engine.exposed,
            renamed=self._engine.renamed,
            warn_above=self.model_max_length
            if options.verbose and chosen.max_length is None and self.model_max_length
            else None,
        )

    def _columns(self, options: CallOptions) -> tuple[str, ...]:
        types, mask = options.return_token_type_ids, options.return_attention_mask
        wanted = {
            "input_ids": True,
            "token_type_ids": "token_type_ids" in self.model_input_names
            if types is None
            else types,
            "attention_mask": "attention_mask" in self.model_input_names if mask is None else mask,
            "special_tokens_mask": options.return_special_tokens_mask,
            "offset_mapping": options.return_offsets_mapping,
            "length": options.return_length,
        }
        return tuple(name for name in COLUMNS if wanted[name])

    def _truncation(self, chosen: Strategies, options: CallOptions) -> Truncation | None:
        if chosen.truncation == "do_not_truncate" or chosen.max_length is None:
            return None
        multiple = options.pad_to_multiple_of
        if chosen.padding != "do_not_pad" and multiple and chosen.max_length % multiple:
            raise ValueError(
                "Truncation and padding are both activated but truncation length "
                f"({chosen.max_length}) is not a multiple of pad_to_multiple_of ({multiple})."
            )
        most = min(int(chosen.max_length), _MOST_TOKENS)
        return Truncation(most, options.stride, chosen.truncation, self.truncation_side)

    def _padding(self, chosen: Strategies, options: CallOptions) -> Padding | None:
        if chosen.padding == "do_not_pad":
            return None
        pad_id = self.pad_token_id
        if self.pad_token is None or pad_id is None or pad_id < 0:
            raise ValueError(_CANNOT_PAD)
        return Padding(
            length=chosen.max_length if chosen.padding == "max_length" else None,
            multiple=options.pad_to_multiple_of,
            side=options.padding_side or self.padding_side,
            pad_id=pad_id,
            pad_type_id=self.pad_token_type_id,
            pad_token=self.pad_token,
        )

    def _warn_when_too_long(self, result: BatchEncoding, limit: int) -> None:
        if "too long" in self._warned:
            return
        rows = result.data["input_ids"]
        if not len(rows):
            return
        longest = len(rows) if isinstance(rows[0], int) else max(map(len, rows))
        if longest > limit:
            self._warn_once(
                "too long",
                "Token indices sequence length is longer than the specified maximum sequence "
                f"length for this model ({longest} > {limit}). Running this sequence through the "
                "model will result in indexing errors",
            )


def _say_nothing(key: str, sentence: str) -> None:
    del key, sentence
