"""What the pipelines share: texts in, many at a time, arrays of each text out.

Texts are ordered by length before they are computed, so that little is computed on padding;
answers come back in the order of the texts. Where a tokenizer has no padding token, as decoders'
often have none, each is computed by itself.

Source: transformers 5.23 ``pipelines/base.py`` for what goes in and out; the batching is ours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from hubloader.names import suggestion
from hubloader.nn import get_kit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

__all__ = ["BATCH", "HeadPipeline", "TextPipeline", "framework_of", "inputs_of", "no_text"]

_WORDS = {"torch": "pt", "tf": "tf", "numpy": "np"}
BATCH = 32  # texts computed at a time unless told

_Answer = TypeVar("_Answer")


def framework_of(model: Any) -> str:
    """Pipeline's word for what a model runs on; one that transformers made runs on PyTorch."""
    return _WORDS[getattr(model, "backend", "torch")]


def inputs_of(model: Any, tokenizer: Any, row: Iterable[str]) -> list[str]:
    """Return which names of a tokenized text are the model's inputs.

    Many a tokenizer tells of token types, of which decoders know nothing.
    """
    takes = getattr(getattr(model, "module", model), "accepts", None)  # None: transformers' own
    names = tokenizer.model_input_names
    return [name for name in row if name in names and (takes is None or name in takes)]


def no_text(value: Any, what: str = "a text is a string") -> ValueError:
    """Return the error of an input that is none, as transformers has it."""
    return ValueError(f"{what}, not {value!r}")


class TextPipeline:
    """A model and its tokenizer, and how tokenized texts go through them.

    Args:
        model: a model with the pipeline's head.
        tokenizer: its tokenizer.

    """

    task: ClassVar[str]

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.framework = framework_of(model)
        self._kit = get_kit({"pt": "torch", "np": "numpy"}.get(self.framework, self.framework))

    @property
    def device(self) -> Any:
        """Where the model computes."""
        return getattr(self.model, "device", "cpu")

    def in_batches(
        self,
        rows: Sequence[Mapping[str, Any]],
        batch_size: int,
        compute: Callable[[list[Mapping[str, Any]]], Iterable[_Answer]],
    ) -> list[_Answer]:
        """Compute rows of nearly the same length together.

        Args:
            rows: tokenized texts.
            batch_size: how many at a time, where they can be padded.
            compute: gives one answer for each row of a batch.

        Returns:
            The answers, in the order of the rows.

        """
        order = sorted(range(len(rows)), key=lambda i: len(rows[i]["input_ids"]))
        size = batch_size if self.pads() else 1
        found: dict[int, _Answer] = {}
        for start in range(0, len(order), size):
            part = order[start : start + size]
            found.update(zip(part, compute([rows[i] for i in part]), strict=True))
        return [found[i] for i in range(len(rows))]

    def pads(self) -> bool:
        """Whether texts of several lengths can stand in one batch."""
        return self.tokenizer.pad_token_id is not None

    def output_of(self, rows: Sequence[Mapping[str, Any]]) -> Any:
        """Return what the model says of a batch of tokenized texts."""
        keys = inputs_of(self.model, self.tokenizer, rows[0])
        plain = [{key: list(row[key]) for key in keys} for row in rows]
        batch = self.tokenizer.pad(plain, padding=self.pads(), return_tensors=self.framework)
        if self.framework == "pt":
            batch = batch.to(self.device)
        with self._kit.inference():
            return self.model(**batch)

    def array(self, tensor: Any) -> NDArray[Any]:
        """Return a tensor as a float32 array."""
        import numpy as np  # first use: a pipeline is made before it is needed

        if self.framework == "pt":  # numpy has no bfloat16, and no GPU
            tensor = tensor.float().cpu()
        return np.asarray(tensor).astype(np.float32)


class HeadPipeline(TextPipeline):
    """A model and its tokenizer, called with texts.

    Args:
        model: a model with this pipeline's head.
        tokenizer: its tokenizer.
        options: defaults of each call.

    """

    known: ClassVar[Mapping[str, Any]] = {}
    """What a call takes besides ``batch_size``, and its defaults."""
    outputs: ClassVar[tuple[str, ...]] = ("logits",)

    def __init__(self, model: Any, tokenizer: Any, **options: Any) -> None:
        super().__init__(model, tokenizer)
        self.defaults: Mapping[str, Any] = {**self.known, "batch_size": BATCH}
        self.defaults = self._read(options)

    def __call__(self, inputs: Any, **options: Any) -> Any:
        """Answer a text, a list of texts, or an iterator of them by an iterator.

        Raises:
            TypeError: an option that this pipeline does not know.

        """
        call = self._read(options)
        if self.is_one(inputs):
            (answer,) = self.answers([inputs], call)
            return answer
        if hasattr(inputs, "__len__"):
            return list(self.answers(list(inputs), call))
        return self._as_they_come(inputs, call)

    def _as_they_come(self, inputs: Iterable[Any], call: Mapping[str, Any]) -> Iterator[Any]:
        window: list[Any] = []
        for one in inputs:
            window.append(one)
            if len(window) == call["batch_size"]:
                yield from self.answers(window, call)
                window = []
        yield from self.answers(window, call)

    def is_one(self, inputs: Any) -> bool:
        """Whether this is one input, and not several."""
        return isinstance(inputs, str)

    def answers(self, inputs: list[Any], call: Mapping[str, Any]) -> Iterable[Any]:
        """Answer each input; every pipeline does it in its own way."""
        raise NotImplementedError

    @classmethod
    def check_options(cls, options: Iterable[str], more: Iterable[str] = ()) -> None:
        """Refuse a keyword that this pipeline does not know.

        Args:
            options: names that were given.
            more: what could have been meant besides.

        Raises:
            TypeError: with the nearest name.

        """
        known = {*cls.known, "batch_size"}
        for name in options:
            if name not in known:
                otherwise = f"; it takes {', '.join(sorted(known))}"
                near = suggestion(name, {*known, *more}, otherwise=otherwise)
                raise TypeError(f"a {cls.task} pipeline got an unexpected keyword {name!r}{near}")

    def _read(self, options: Mapping[str, Any]) -> dict[str, Any]:
        self.check_options(options)
        given = {name: value for name, value in options.items() if value is not None}
        if given.get("batch_size", 1) < 1:
            raise ValueError(f"batch_size={given['batch_size']} is not above 0")
        return {**self.defaults, **given}

    def compute(
        self, rows: Sequence[Mapping[str, Any]], batch_size: int
    ) -> list[tuple[NDArray[Any], ...]]:
        """Compute tokenized texts.

        Args:
            rows: each with ``input_ids`` and what else the model takes, as lists.
            batch_size: how many at a time.

        Returns:
            Of each text, in order, ``outputs`` as float32 arrays without their padding.

        """
        return self.in_batches(rows, batch_size, self._arrays)

    def _arrays(self, rows: Sequence[Mapping[str, Any]]) -> Iterator[tuple[NDArray[Any], ...]]:
        output = self.output_of(rows)
        arrays = [self.array(output[name]) for name in self.outputs]
        left = self.tokenizer.padding_side == "left"
        for i, row in enumerate(rows):
            tokens = len(row["input_ids"])
            yield tuple(array[i, -tokens:] if left else array[i, :tokens] for array in arrays)
