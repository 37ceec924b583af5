"""The older calls, which work on ids: transformers 5 dropped them, and people use them.

Source: transformers 4.57.6 ``prepare_for_model``, ``truncate_sequences``. What a text is framed
with is asked of the engine (``frame``), so that these and the call cannot disagree.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hubloader.tokenizers.batch import BatchEncoding
from hubloader.tokenizers.frame import Frame, read_frame
from hubloader.tokenizers.options import CallOptions, checked, named
from hubloader.tokenizers.padding import PaddingLater
from hubloader.tokenizers.strategies import choose_strategies

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["LegacyCalls"]


class LegacyCalls(PaddingLater):
    """``prepare_for_model`` and the steps that it is made of."""

    def build_inputs_with_special_tokens(
        self, token_ids_0: Sequence[int], token_ids_1: Sequence[int] | None = None
    ) -> list[int]:
        """Put special tokens around one text's ids, or a pair's."""
        return self._frame(token_ids_1).ids(*_texts(token_ids_0, token_ids_1))

    def create_token_type_ids_from_sequences(
        self, token_ids_0: Sequence[int], token_ids_1: Sequence[int] | None = None
    ) -> list[int]:
        """Give the types of what ``build_inputs_with_special_tokens`` gives."""
        return self._frame(token_ids_1).type_ids(*_texts(token_ids_0, token_ids_1))

    def get_special_tokens_mask(
        self,
        token_ids_0: Sequence[int],
        token_ids_1: Sequence[int] | None = None,
        already_has_special_tokens: bool = False,
    ) -> list[int]:
        """Give 1 for special tokens and 0 for others.

        Args:
            token_ids_0: ids of the text.
            token_ids_1: ids of the second text of a pair.
            already_has_special_tokens: ``token_ids_0`` is framed; if not, the mask is for what
                ``build_inputs_with_special_tokens`` makes of the ids.

        """
        if already_has_special_tokens:
            if token_ids_1 is not None:
                raise ValueError("ids that have special tokens are given as one sequence")
            special = set(self.all_special_ids)
            return [int(index in special) for index in token_ids_0]
        return self._frame(token_ids_1).special_mask(*_texts(token_ids_0, token_ids_1))

    def _frame(self, second: Sequence[int] | None) -> Frame:
        return read_frame(self._engine.view(None, split_special=False), pair=second is not None)

    def prepare_for_model(
        self,
        ids: Sequence[int],
        pair_ids: Sequence[int] | None = None,
        *args: Any,
        **options: Any,
    ) -> BatchEncoding:
        """Cut, frame and fill up ids; takes what a call takes.

        Args:
            ids: of the text, without special tokens.
            pair_ids: of the second text of a pair.
            *args: options by position, in transformers' order.
            **options: as for a call; ``prepend_batch_axis`` gives tensors a batch axis of 1. With
                ``return_overflowing_tokens`` what was cut off comes back as
                ``overflowing_tokens``, and its number as ``num_truncated_tokens``.

        Raises:
            ValueError: options that do not fit together.

        """
        options = named("prepare_for_model", args, options)
        batch_axis = bool(options.pop("prepend_batch_axis", False))
        chosen = checked(self._options(CallOptions(), options))
        _refuse_undefined(chosen, pair=pair_ids is not None)
        strategies = choose_strategies(
            chosen.padding, chosen.truncation, chosen.max_length,
            model_max_length=self.model_max_length, warn=self._warn_once,
        )  # fmt: skip
        first, second = list(ids), None if pair_ids is None else list(pair_ids)
        limit, data = strategies.max_length, dict[str, Any]()
        framing = self.num_special_tokens_to_add(second is not None)
        total = len(first) + len(second or ()) + (framing if chosen.add_special_tokens else 0)
        removed: list[int] = []
        if strategies.truncation != "do_not_truncate" and limit and total > limit:
            first, second, removed = self.truncate_sequences(
                first, second, total - limit, strategies.truncation, chosen.stride
            )
        if chosen.return_overflowing_tokens:
            data["overflowing_tokens"] = removed
            data["num_truncated_tokens"] = total - (limit or total)
        data.update(self._framed(first, second, chosen))
        wants_mask = "attention_mask" in self._columns(chosen)
        if strategies.padding != "do_not_pad" or wants_mask:
            data = self.pad(
                data, strategies.padding, limit, chosen.pad_to_multiple_of, chosen.padding_side,
                wants_mask,
            ).data  # fmt: skip
        if chosen.return_length:
            data["length"] = len(data["input_ids"])
        return BatchEncoding(data, tensor_type=chosen.return_tensors, prepend_batch_axis=batch_axis)

    def _framed(
        self, first: list[int], second: list[int] | None, options: CallOptions
    ) -> dict[str, Any]:
        texts = _texts(first, second)
        frame = self._frame(second) if options.add_special_tokens else None
        joined = [index for text in texts for index in text]
        data: dict[str, Any] = {"input_ids": joined if frame is None else frame.ids(*texts)}
        if "token_type_ids" in self._columns(options):
            zeros = [0] * len(joined)
            data["token_type_ids"] = zeros if frame is None else frame.type_ids(*texts)
        if options.return_special_tokens_mask:
            zeros = [0] * len(joined)
            data["special_tokens_mask"] = zeros if frame is None else frame.special_mask(*texts)
        return data

    def truncate_sequences(
        self,
        ids: list[int],
        pair_ids: list[int] | None = None,
        num_tokens_to_remove: int = 0,
        truncation_strategy: Any = "longest_first",
        stride: int = 0,
    ) -> tuple[list[int], list[int] | None, list[int]]:
        """Cut ids off one text, or a pair.

        Args:
            ids: of the first text.
            pair_ids: of the second.
            num_tokens_to_remove: how many.
            truncation_strategy: "longest_first", "only_first", "only_second", "do_not_truncate".
            stride: how many kept ids are repeated among those cut off.

        Returns:
            Both texts' ids and what was cut off; nothing of the latter where both texts were cut.

        Raises:
            ValueError: the text to be cut is too short for it.

        """
        strategy = str(getattr(truncation_strategy, "value", truncation_strategy))
        if num_tokens_to_remove <= 0 or strategy == "do_not_truncate":
            return ids, pair_ids, []
        if strategy == "longest_first" and pair_ids is not None:
            first, second = _shares(len(ids), len(pair_ids), num_tokens_to_remove)
            return self._cut(ids, first)[0], self._cut(pair_ids, second)[0], []
        if strategy == "only_second":
            if pair_ids is None:
                return ids, pair_ids, []
            kept, removed = self._cut(pair_ids, num_tokens_to_remove, stride)
            return ids, kept, removed
        kept, removed = self._cut(ids, num_tokens_to_remove, stride)
        return kept, pair_ids, removed

    def _cut(self, ids: list[int], count: int, stride: int = 0) -> tuple[list[int], list[int]]:
        if count == 0:
            return ids, []
        if len(ids) <= count:
            raise ValueError(
                f"We need to remove {count} to truncate the input but the sequence has a length "
                f"{len(ids)}. Please select another truncation strategy, or a larger max_length."
            )
        window = min(len(ids), stride + count)
        if self.truncation_side == "left":
            return ids[count:], ids[:window]
        return ids[:-count], ids[-window:]


def _texts(first: Sequence[int], second: Sequence[int] | None) -> tuple[Sequence[int], ...]:
    return (first,) if second is None else (first, second)


def _shares(first: int, second: int, remove: int) -> tuple[int, int]:
    """How much is cut off each of two texts: the longer alone until both are equal, then both."""
    alone = min(abs(second - first), remove)
    shared = remove - alone
    if first > second:
        return alone + shared // 2, shared - shared // 2
    return shared // 2, alone + shared - shared // 2


def _refuse_undefined(options: CallOptions, *, pair: bool) -> None:
    if options.return_token_type_ids and not options.add_special_tokens:
        raise ValueError(
            "Asking to return token_type_ids while setting add_special_tokens to False results in "
            "an undefined behavior. Please set add_special_tokens to True or set "
            "return_token_type_ids to None."
        )
    longest = options.truncation is True or options.truncation == "longest_first"
    if options.return_overflowing_tokens and longest and pair:
        raise ValueError(
            "Not possible to return overflowing tokens for pair of sequences with the "
            "`longest_first`. Please select another truncation strategy than `longest_first`, for "
            "instance `only_second` or `only_first`."
        )
