"""Classes whose call is not like the others': SeamlessM4T pads, Code Llama fills in.

Source: transformers 4.57.6 ``SeamlessM4TTokenizerFast.__call__`` and
``CodeLlamaTokenizerFast.encode_plus``.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from tokenizers import normalizers

from hubloader.tokenizers.framing import Framing
from hubloader.tokenizers.sentencepiece_frame import template

if TYPE_CHECKING:
    from collections.abc import Mapping

    from typing_extensions import Self

    from hubloader.tokenizers.batch import BatchEncoding

__all__ = ["OWN_CALLS", "Infilling", "SpeechTranslation"]

_AROUND = ("prefix_token", "suffix_token", "middle_token")


class SpeechTranslation(Framing):
    """SeamlessM4T's call: it pads unless told otherwise, and takes languages."""

    def __call__(  # type: ignore[override] # this is the class's signature in transformers
        self,
        text: Any = None,
        text_pair: Any = None,
        text_target: Any = None,
        text_pair_target: Any = None,
        padding: Any = True,
        pad_to_multiple_of: int | None = 2,
        src_lang: str | None = None,
        tgt_lang: str | None = None,
        **options: Any,
    ) -> BatchEncoding:
        """Tokenize as other classes do, with transformers' defaults for this one.

        Args:
            text: as for the others.
            text_pair: as for the others.
            text_target: as for the others; framed in ``tgt_lang``.
            text_pair_target: as for the others.
            padding: as for the others.
            pad_to_multiple_of: as for the others.
            src_lang: the language of ``text`` from now on.
            tgt_lang: the language of ``text_target`` from now on.
            **options: the call's other arguments.

        """
        if src_lang is not None:
            self.src_lang = src_lang
        if tgt_lang is not None:
            self.tgt_lang = tgt_lang
        return super().__call__(
            text,
            text_pair,
            text_target,
            text_pair_target,
            padding=padding,
            pad_to_multiple_of=pad_to_multiple_of,
            **options,
        )


class Infilling(Framing):
    """Code Llama's call: what stands before and after a gap, for the model to fill it in.

    One text with ``fill_token`` in it is such a pair, as is one text and ``text_pair``.
    """

    def __call__(
        self,
        text: Any = None,
        text_pair: Any = None,
        text_target: Any = None,
        text_pair_target: Any = None,
        add_special_tokens: bool = True,
        *more: Any,
        suffix: str | None = None,
        suffix_first: bool = False,
        **options: Any,
    ) -> BatchEncoding:
        """Tokenize a text, a batch, or what stands before and after a gap.

        Args:
            text: as for the others; of one text, what stands before the gap.
            text_pair: as for the others; of one text, what stands after the gap.
            text_target: as for the others.
            text_pair_target: as for the others.
            add_special_tokens: as for the others; the gap is marked in any case.
            *more: as for the others.
            suffix: another name of ``text_pair``.
            suffix_first: whether what stands after the gap comes first.
            **options: the call's other arguments.

        Raises:
            ValueError: there is more than one gap, or a token to mark it is missing.

        """
        text, pair = self._around_gap(text, text_pair if suffix is None else suffix)
        if not isinstance(text, str) or not pair:
            return super().__call__(
                text, pair, text_target, text_pair_target, add_special_tokens, *more, **options
            )
        made = self._marking(suffix_first, add_special_tokens)
        return super(Infilling, made).__call__(
            f" {text}", pair, text_target, text_pair_target, True, *more, **options
        )

    def encode_plus(self, text: Any, text_pair: Any = None, **options: Any) -> BatchEncoding:
        """Tokenize one text, or what stands before and after a gap; takes what a call takes."""
        suffix, suffix_first = options.pop("suffix", None), options.pop("suffix_first", False)
        text, pair = self._around_gap(text, text_pair if suffix is None else suffix)
        if not isinstance(text, str) or not pair:
            return super().encode_plus(text, pair, **options)
        made = self._marking(suffix_first, options.pop("add_special_tokens", True))
        return super(Infilling, made).encode_plus(f" {text}", pair, **options)

    def __getattr__(self, name: str) -> Any:
        """Give the tokens around a gap, and their ids by transformers' names."""
        settings = self.__dict__.get("init_kwargs", {})
        if name in {*_AROUND, "eot_token", "fill_token"}:
            return settings.get(name)
        role = f"{name.removesuffix('_id')}_token"
        if name.endswith("_id") and role in {*_AROUND, "eot_token"}:
            token = settings.get(role)
            return None if token is None else self.convert_tokens_to_ids(str(token))
        return super().__getattr__(name)

    def _around_gap(self, text: Any, pair: Any) -> tuple[Any, Any]:
        """Give what stands before and after the gap that a text has."""
        gap = self.fill_token
        if pair is not None or not isinstance(text, str) or not gap or str(gap) not in text:
            return text, pair
        before, *after = text.split(str(gap))
        if len(after) != 1:
            raise ValueError(f"a text has one {gap} at most, not {len(after)}")
        return before, after[0]

    def _marking(self, suffix_first: bool, add_special_tokens: bool) -> Self:
        """Make a tokenizer whose pairs are marked as a text with a gap."""
        if None in {self.prefix_id, self.middle_id, self.suffix_id}:
            raise ValueError(
                "Then input includes a `prefix` and a `suffix` used for the infilling task, the "
                "`prefix_id, middle_id, suffix_id` must all be initialized. Current values : "
                f"{self.prefix_id, self.middle_id, self.suffix_id}"
            )
        before, after, middle = (str(self.init_kwargs[role]) for role in _AROUND)
        pair = [before, after, "$B", middle, "$A"] if suffix_first else []
        pair = pair or [before, "$A", after, "$B", middle]
        if add_special_tokens:
            begin, end = self._begin_and_end({**self.init_kwargs, **self._roles})
            pair = [*begin, *pair, *end]
        part = template(self._engine.backend, ["$A"], pair, unknown=self.unk_token)
        made = copy.copy(self)
        engine = self._engine.with_part("post_processor", part)
        made._engine = engine.with_part(  # noqa: SLF001 - a copy of this
            "normalizer", normalizers.Replace(" ", "▁")
        )
        return made

    @staticmethod
    def _begin_and_end(settings: Mapping[str, Any]) -> tuple[list[str], list[str]]:
        begin, end = (
            [str(settings[role])] if settings.get(wanted) and settings.get(role) else []
            for wanted, role in (("add_bos_token", "bos_token"), ("add_eos_token", "eos_token"))
        )
        return begin, end


OWN_CALLS = {"CodeLlamaTokenizer": Infilling, "SeamlessM4TTokenizer": SpeechTranslation}
"""What is put before a class's usual methods, by its name."""
