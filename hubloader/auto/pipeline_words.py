"""``pipeline("fill-mask")`` and ``pipeline("feature-extraction")``: masked words, hidden states.

Source: transformers 5.23 ``pipelines/fill_mask.py``, ``pipelines/feature_extraction.py``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from hubloader.auto.pipeline_base import HeadPipeline, no_text
from hubloader.errors import UnsupportedTask

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

__all__ = ["FeatureExtractionPipeline", "FillMaskPipeline"]


class FillMaskPipeline(HeadPipeline):
    """Finds what words may stand where a text has the tokenizer's mask token.

    A call takes ``top_k``, by default 5; ``targets``, words among which alone to choose; and
    ``tokenizer_kwargs``.
    """

    task = "fill-mask"
    known: ClassVar[Mapping[str, Any]] = {"top_k": 5, "targets": None, "tokenizer_kwargs": None}

    def __init__(self, model: Any, tokenizer: Any, **options: Any) -> None:
        if tokenizer.mask_token_id is None:
            raise UnsupportedTask(
                "the tokenizer has no mask token",
                hint="choose a checkpoint that was trained to find masked words",
            )
        super().__init__(model, tokenizer, **options)

    def __call__(self, inputs: Any, **options: Any) -> Any:
        """Fill a text, or each of a list; of a list of one, the answer itself."""
        found = super().__call__(inputs, **options)
        return found[0] if isinstance(inputs, list) and len(inputs) == 1 else found

    def answers(self, inputs: list[Any], call: Mapping[str, Any]) -> Iterator[Any]:
        """Of each text, the best words: dictionaries with ``score``, ``token``, ``sequence`` ….

        Where a text has several masks, a list for each of them.

        Raises:
            ValueError: a text has no mask, or no target is a word.

        """
        wanted = self._targets(call["targets"])
        rows = [self._tokenized(text, call["tokenizer_kwargs"] or {}) for text in inputs]
        for row, (logits,) in zip(rows, self.compute(rows, call["batch_size"]), strict=True):
            ids = list(row["input_ids"])
            masks = [i for i, token in enumerate(ids) if token == self.tokenizer.mask_token_id]
            filled = [self._filled(ids, logits, i, wanted, call["top_k"], masks) for i in masks]
            yield filled[0] if len(filled) == 1 else filled

    def _tokenized(self, text: Any, keywords: Mapping[str, Any]) -> Any:
        if not isinstance(text, str):
            raise no_text(text)
        row = self.tokenizer(text, **keywords)
        if self.tokenizer.mask_token_id not in row["input_ids"]:
            raise ValueError(f"no mask token ({self.tokenizer.mask_token}) is in {text!r}")
        return row

    def _targets(self, targets: Any) -> list[int] | None:
        """Ids of the words to choose among; a word of several tokens stands for its first."""
        if targets is None:
            return None
        words = [targets] if isinstance(targets, str) else list(targets)
        vocabulary = self.tokenizer.get_vocab()
        found: list[int] = []
        for word in words:
            known = vocabulary.get(word)
            pieces = [known] if known is not None else self._pieces(word)
            found.extend(pieces[:1])
        if not found:
            raise ValueError("none of the targets is a word that the tokenizer knows")
        return sorted(set(found))

    def _pieces(self, word: str) -> list[int]:
        ids: list[int] = self.tokenizer(word, add_special_tokens=False)["input_ids"]
        return ids

    def _filled(
        self,
        ids: list[int],
        logits: NDArray[Any],
        place: int,
        wanted: list[int] | None,
        top_k: int,
        masks: list[int],
    ) -> list[dict[str, Any]]:
        import numpy as np  # first use

        shifted = np.exp(logits[place] - logits[place].max())
        scores = shifted / shifted.sum()
        choice = np.arange(len(scores)) if wanted is None else np.asarray(wanted)
        best = choice[np.argsort(-scores[choice], kind="stable")[:top_k]]
        found = []
        for token in best.tolist():
            sequence = [token if i == place else other for i, other in enumerate(ids)]
            sequence = [other for other in sequence if other != self.tokenizer.pad_token_id]
            text = self.tokenizer.decode(sequence, skip_special_tokens=len(masks) == 1)
            entry = {"score": float(scores[token]), "token": token}
            found.append({**entry, "token_str": self.tokenizer.decode([token]), "sequence": text})
        return found


class FeatureExtractionPipeline(HeadPipeline):
    """Gives the last hidden states of texts.

    A call takes ``return_tensors=True`` for an array in place of lists, and ``tokenize_kwargs`` or
    ``truncation``.
    """

    task = "feature-extraction"
    outputs = ("last_hidden_state",)
    known: ClassVar[Mapping[str, Any]] = {
        "return_tensors": False,
        "tokenize_kwargs": None,
        "truncation": None,
    }

    def answers(self, inputs: list[Any], call: Mapping[str, Any]) -> Iterator[Any]:
        """Of each text, (1, T, hidden_size): lists, or an array.

        Raises:
            ValueError: an input is no text.

        """
        keywords = dict(call["tokenize_kwargs"] or {})
        if call["truncation"] is not None:
            keywords["truncation"] = call["truncation"]
        for text in inputs:
            if not isinstance(text, str):
                raise no_text(text)
        rows = [self.tokenizer(text, **keywords) for text in inputs]
        for (hidden,) in self.compute(rows, call["batch_size"]):
            yield hidden[None] if call["return_tensors"] else [hidden.tolist()]
