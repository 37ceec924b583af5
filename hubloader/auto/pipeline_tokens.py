"""``pipeline("token-classification")``: text in, what each word is out.

Source: transformers 5.23 ``pipelines/token_classification.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
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
    decides; ``ignore_labels``, by default ``["O"]``; ``stride``, to read a text that is longer than
    the model reads in windows that overlap by as many tokens; ``is_split_into_words`` for lists of
    words, which ``delimiter`` joins to the text that ``start`` and ``end`` count in;
    ``offset_mapping``, each token's place in its text, in the place of the tokenizer's own.
    """

    task = "token-classification"
    known: ClassVar[Mapping[str, Any]] = {
        "aggregation_strategy": "none",
        "ignore_labels": ("O",),
        "stride": None,
        "is_split_into_words": False,
        "delimiter": " ",
        "offset_mapping": None,
    }

    def __call__(self, inputs: Any, **options: Any) -> Any:
        """Label a text, or each of a list; of one list of words, a list of its answer."""
        split = options.get("is_split_into_words") or self.defaults["is_split_into_words"]
        if split and hasattr(inputs, "__len__") and not _all_lists(inputs):
            inputs = [inputs]
        return super().__call__(inputs, **options)

    def answers(self, inputs: list[Any], call: Mapping[str, Any]) -> Iterator[Any]:
        """Of each text, its entities: dictionaries with ``score``, ``word``, ``start``, ``end``.

        Raises:
            ValueError: an input is no text, a strategy none of those that there are, or a stride
                too long.

        """
        strategy = self._strategy(call)
        places = _places(call["offset_mapping"], len(inputs))
        texts = [self._windows(one, where, call) for one, where in zip(inputs, places, strict=True)]
        rows = [window.row for windows in texts for window in windows]
        computed = iter(self.compute(rows, call["batch_size"]))
        ignored = set(call["ignore_labels"])
        for windows in texts:
            found = []
            for window in windows:
                (logits,) = next(computed)
                entities = self._entities(window, _probabilities(logits), strategy)
                found += [
                    e for e in entities if not {e.get("entity"), e.get("entity_group")} & ignored
                ]
            yield found if len(windows) == 1 else _without_overlaps(found)

    def _strategy(self, call: Mapping[str, Any]) -> str:
        given = call["aggregation_strategy"]
        strategy = str(getattr(given, "value", given)).lower()
        if strategy not in STRATEGIES:
            raise ValueError(
                f"aggregation_strategy={given!r} is none of {', '.join(map(repr, STRATEGIES))}"
            )
        if call["stride"] is None:
            return strategy
        if call["stride"] >= self.tokenizer.model_max_length:
            raise ValueError(
                f"stride={call['stride']} is not less than the tokenizer's model_max_length, "
                f"{self.tokenizer.model_max_length}"
            )
        if strategy == "none":
            raise ValueError("stride= is for entities: give an aggregation_strategy beside it")
        return strategy

    def _windows(self, given: Any, places: Any, call: Mapping[str, Any]) -> list[_Window]:
        """A text, tokenized: in one piece, or with a stride in as many as it takes."""
        split, joint = call["is_split_into_words"], call["delimiter"]
        if split and not (isinstance(given, list) and all(isinstance(w, str) for w in given)):
            raise no_text(given, "with is_split_into_words=True a text is a list of words")
        if not split and not isinstance(given, str):
            raise no_text(given)
        text = joint.join(given) if split else given
        begins = _beginnings(given, joint) if split else None
        stride = call["stride"]
        encoded = self.tokenizer(
            given,
            is_split_into_words=split,
            truncation=self.tokenizer.model_max_length < 10**6,
            return_offsets_mapping=True,
            return_special_tokens_mask=True,
            **({} if stride is None else {"return_overflowing_tokens": True, "stride": stride}),
        )
        rows = [dict(encoded)]
        if stride is not None:
            rows = [
                {key: encoded[key][i] for key in encoded if key != "overflow_to_sample_mapping"}
                for i in range(len(encoded["input_ids"]))
            ]
        found = []
        for i, row in enumerate(rows):
            offsets = row["offset_mapping"] if places is None else places
            if begins is not None:
                offsets = _shifted(offsets, encoded.word_ids(i), begins)
            found.append(_Window(text, row, offsets))
        return found

    def _entities(
        self, window: _Window, scores: NDArray[Any], strategy: str
    ) -> list[dict[str, Any]]:
        tokens = self._tokens(window, scores)
        found = (
            self._labelled(tokens)
            if strategy in {"none", "simple"}
            else [self._word(word, strategy) for word in _words(tokens)]
        )
        return found if strategy == "none" else [self._group(group) for group in _groups(found)]

    def _tokens(self, window: _Window, scores: NDArray[Any]) -> list[dict[str, Any]]:
        """What is known of each token that is a piece of the text."""
        found = []
        ids, special = window.row["input_ids"], window.row["special_tokens_mask"]
        marked = _marks_pieces(self.tokenizer)
        for i, (token, (start, end)) in enumerate(zip(ids, window.offsets, strict=True)):
            if special[i]:
                continue
            piece = self.tokenizer.convert_ids_to_tokens(token)
            follows = (
                len(piece) != len(window.text[start:end])
                if marked
                else start > 0 and " " not in window.text[start - 1 : start + 1]
            )
            if token == self.tokenizer.unk_token_id:
                piece, follows = window.text[start:end], False
            entry = {"word": piece, "scores": scores[i], "start": start, "end": end, "index": i}
            found.append({**entry, "follows": follows})
        return found

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


@dataclass(frozen=True)
class _Window:
    """As much of a text as the model reads at a time.

    Args:
        text: the whole.
        row: what the tokenizer made of this part.
        offsets: where each token stands in the text.

    """

    text: str
    row: Mapping[str, Any]
    offsets: Sequence[tuple[int, int]]


def _marks_pieces(tokenizer: Any) -> bool:
    """Whether the vocabulary marks what goes on with a word, as WordPiece does."""
    if hasattr(tokenizer, "continuing_subword_prefix"):
        return bool(tokenizer.continuing_subword_prefix)
    engine = getattr(tokenizer, "backend_tokenizer", None)  # a tokenizer of transformers'
    return bool(getattr(getattr(engine, "model", None), "continuing_subword_prefix", None))


def _all_lists(inputs: Any) -> bool:
    return not isinstance(inputs, str) and all(isinstance(one, list) for one in inputs)


def _places(given: Any, texts: int) -> list[Any]:
    """Return the places of each text's tokens that a caller gave: a list for each, or for one."""
    if not given:
        return [None] * texts
    places = [given] if isinstance(given[0], tuple) else list(given)
    if len(places) != texts:
        raise ValueError(f"offset_mapping is for {len(places)} texts, and there are {texts}")
    return places


def _beginnings(words: Sequence[str], delimiter: str) -> list[int]:
    """Where each word begins in the text that they make together."""
    found, place = [], 0
    for word in words:
        found.append(place)
        place += len(word) + len(delimiter)
    return found


def _shifted(
    offsets: Sequence[tuple[int, int]], word_ids: Sequence[int | None], begins: Sequence[int]
) -> list[tuple[int, int]]:
    """Return places in the text, of places in each token's word."""
    shifts = [0 if word is None else begins[word] for word in word_ids]
    return [(a + by, b + by) for (a, b), by in zip(offsets, shifts, strict=True)]


def _without_overlaps(entities: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of entities of several windows that overlap, the longest, then the surest."""
    kept: list[dict[str, Any]] = []
    for entity in sorted(entities, key=lambda one: one["start"]):
        if not kept or not kept[-1]["start"] <= entity["start"] < kept[-1]["end"]:
            kept.append(entity)
        elif _weight(entity) > _weight(kept[-1]):
            kept[-1] = entity
    return kept


def _weight(entity: Mapping[str, Any]) -> tuple[int, float]:
    return entity["end"] - entity["start"], entity["score"]


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
