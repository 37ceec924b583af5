"""``pipeline("token-classification")``: text in, what each word is out.

Source: transformers 5.23 ``pipelines/token_classification.py``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from hubloader.auto.pipeline_base import HeadPipeline, no_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

__all__ = ["TokenClassificationPipeline"]

STRATEGIES = ("none", "simple", "first", "average", "max")


class TokenClassificationPipeline(HeadPipeline):
    """Labels the words of texts.

    A call takes ``aggregation_strategy``: ``"none"`` for tokens as they are, ``"simple"`` for
    neighbours of one label, ``"first"``, ``"average"`` or ``"max"`` for whole words, by what
    decides; and ``ignore_labels``, by default ``["O"]``.
    """

    task = "token-classification"
    _marks: bool | None = None
    known: ClassVar[Mapping[str, Any]] = {"aggregation_strategy": "none", "ignore_labels": ("O",)}

    def answers(self, inputs: list[Any], call: Mapping[str, Any]) -> Iterator[Any]:
        """Of each text, its entities: dictionaries with ``score``, ``word``, ``start``, ``end``.

        Raises:
            ValueError: an input is no text, or a strategy none of those that there are.

        """
        strategy = str(getattr(call["aggregation_strategy"], "value", call["aggregation_strategy"]))
        if strategy not in STRATEGIES:
            raise ValueError(
                f"aggregation_strategy={strategy!r} is none of {', '.join(map(repr, STRATEGIES))}"
            )
        rows = [self._tokenized(text) for text in inputs]
        for text, row, (logits,) in zip(
            inputs, rows, self.compute(rows, call["batch_size"]), strict=True
        ):
            tokens = self._tokens(text, row, _probabilities(logits))
            found = (
                self._labelled(tokens)
                if strategy in {"none", "simple"}
                else [self._word(word, strategy) for word in _words(tokens)]
            )
            if strategy != "none":
                found = [self._group(group) for group in _groups(found)]
            ignored = set(call["ignore_labels"])
            yield [e for e in found if not {e.get("entity"), e.get("entity_group")} & ignored]

    def _tokenized(self, text: Any) -> Any:
        if not isinstance(text, str):
            raise no_text(text)
        return self.tokenizer(
            text,
            truncation=self.tokenizer.model_max_length < 10**6,
            return_offsets_mapping=True,
            return_special_tokens_mask=True,
        )

    def _tokens(self, text: str, row: Any, scores: NDArray[Any]) -> list[dict[str, Any]]:
        """What is known of each token that is a piece of the text."""
        found = []
        for i, (token, (start, end)) in enumerate(
            zip(row["input_ids"], row["offset_mapping"], strict=True)
        ):
            if row["special_tokens_mask"][i]:
                continue
            piece = self.tokenizer.convert_ids_to_tokens(token)
            follows = self._follows(text, piece, start, end)
            if token == self.tokenizer.unk_token_id:
                piece, follows = text[start:end], False
            entry = {"word": piece, "scores": scores[i], "start": start, "end": end, "index": i}
            found.append({**entry, "follows": follows})
        return found

    def _follows(self, text: str, piece: str, start: int, end: int) -> bool:
        """Whether a token goes on with the word before it."""
        if self._marks_pieces():
            return len(piece) != end - start
        return start > 0 and " " not in text[start - 1 : start + 1]

    def _marks_pieces(self) -> bool:
        """Whether the vocabulary marks what goes on with a word, as WordPiece does."""
        if self._marks is None:
            self._marks = any(word.startswith("##") for word in self.tokenizer.get_vocab())
        return self._marks

    def _labelled(self, tokens: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        found = []
        for token in tokens:
            best = int(token["scores"].argmax())
            kept = {key: token[key] for key in ("index", "word", "start", "end")}
            score = float(token["scores"][best])
            found.append({"entity": self.model.config.id2label[best], "score": score, **kept})
        return found

    def _word(self, tokens: Sequence[Mapping[str, Any]], strategy: str) -> dict[str, Any]:
        """One entity of a whole word's tokens."""
        import numpy as np  # first use

        if strategy == "average":
            scores = np.stack([token["scores"] for token in tokens]).mean(0)
        elif strategy == "max":
            scores = max(tokens, key=lambda token: float(token["scores"].max()))["scores"]
        else:
            scores = tokens[0]["scores"]
        best = int(scores.argmax())
        return {
            "entity": self.model.config.id2label[best],
            "score": float(scores[best]),
            "word": self.tokenizer.convert_tokens_to_string([token["word"] for token in tokens]),
            "start": tokens[0]["start"],
            "end": tokens[-1]["end"],
        }

    def _group(self, entities: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """One entity of neighbours of one label."""
        return {
            "entity_group": entities[0]["entity"].split("-", 1)[-1],
            "score": sum(entity["score"] for entity in entities) / len(entities),
            "word": self.tokenizer.convert_tokens_to_string([e["word"] for e in entities]),
            "start": entities[0]["start"],
            "end": entities[-1]["end"],
        }


def _probabilities(logits: NDArray[Any]) -> NDArray[Any]:
    import numpy as np  # first use

    shifted = np.exp(logits - logits.max(-1, keepdims=True))
    found: NDArray[Any] = shifted / shifted.sum(-1, keepdims=True)
    return found


def _words(tokens: Sequence[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Tokens together that are of one word."""
    words: list[list[dict[str, Any]]] = []
    for token in tokens:
        if words and token["follows"]:
            words[-1].append(token)
        else:
            words.append([token])
    return words


def _groups(entities: Sequence[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Neighbours together that are of one label, unless one is said to begin there (``B-``)."""
    groups: list[list[dict[str, Any]]] = []
    for entity in entities:
        begins, tag = _tag(entity["entity"])
        if groups and not begins and tag == _tag(groups[-1][-1]["entity"])[1]:
            groups[-1].append(entity)
        else:
            groups.append([entity])
    return groups


def _tag(label: str) -> tuple[bool, str]:
    return label.startswith("B-"), label[2:] if label.startswith(("B-", "I-")) else label
