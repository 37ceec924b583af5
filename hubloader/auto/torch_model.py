"""What a PyTorch model has besides: its place, its tables, and what peft and Trainer ask it for.

A mixin like ``pretrained.py``'s. Embeddings in place of words, and positions of the caller's own,
are put in where the tables of words and positions are asked: no architecture need know of them.

Source: transformers 5.23 ``modeling_utils.py``.
"""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any, ClassVar

from hubloader.architectures import MASKED_LM
from hubloader.auto.assemble import initial_weights
from hubloader.auto.pretrained import PretrainedModel, unknown_argument

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from hubloader.auto.select import Backend
    from hubloader.nn import Trace

__all__ = ["TorchModel"]

_WORD = 2  # an id that is padding nowhere, unless a config says so


class TorchModel(PretrainedModel):
    """What a PyTorch model has besides: where it lies, and what others ask of an nn.Module."""

    backend: ClassVar[Backend] = "torch"

    # transformers' Trainer asks: the loss is the mean of a batch, however batches are gathered
    accepts_loss_kwargs: ClassVar[bool] = False

    if TYPE_CHECKING:
        parameters: Callable[[], Any]
        modules: Callable[[], Any]
        named_modules: Callable[[], Any]

    @property
    def device(self) -> Any:
        """Where the first parameter lies."""
        return next(self.parameters()).device

    @property
    def dtype(self) -> Any:
        """The first parameter's dtype."""
        return next(self.parameters()).dtype

    @property
    def base_model(self) -> Any:
        """The encoder inside; the model itself where it is one."""
        return getattr(self, self.base_model_prefix, self)

    def num_parameters(self, only_trainable: bool = False, exclude_embeddings: bool = False) -> int:
        """How many numbers the parameters are, those of all or of the trained ones.

        ``exclude_embeddings`` leaves out tables, those of positions too.
        """
        kind: Any = self.nn.Embedding
        tables = [m for m in self.modules() if exclude_embeddings and isinstance(m, kind)]
        left_out = {id(table.weight) for table in tables}
        chosen = (
            p
            for p in self.parameters()
            if id(p) not in left_out and (p.requires_grad or not only_trainable)
        )
        return sum(p.numel() for p in chosen)

    def get_input_embeddings(self) -> Any:
        """The table of words.

        Raises:
            NotImplementedError: the architecture has none.

        """
        rows = getattr(self.config, "vocab_size", None)
        kind: Any = self.nn.Embedding
        for _, child in self.named_modules():
            if isinstance(child, kind) and child.weight.shape[0] == rows:
                return child
        raise NotImplementedError(f"{type(self).__name__} has no table of words")

    def set_input_embeddings(self, value: Any) -> None:
        """Put another table of words in the place of the one that there is."""
        table = self.get_input_embeddings()
        for module in self.modules():
            for name, child in module.named_children():
                if child is table:
                    setattr(module, name, value)

    def resize_token_embeddings(self, new_num_tokens: int | None = None, **options: Any) -> Any:
        """Give the table of words another number of rows; new ones are drawn at random.

        What scores words then scores as many.

        Args:
            new_num_tokens: how many; None or the same number leaves it as it is.
            options: transformers' ``pad_to_multiple_of``, and ``mean_resizing``, which is passed
                over: the spread is the config's.

        Returns:
            The table.

        Raises:
            TypeError: another option.

        """
        step = options.pop("pad_to_multiple_of", None) or 1
        options.pop("mean_resizing", None)
        for name in options:
            raise TypeError(f"resize_token_embeddings() got an unexpected keyword {name!r}")
        table = self.get_input_embeddings()
        rows, width = table.weight.shape
        wanted = -(-(new_num_tokens or rows) // step) * step
        if wanted == rows:
            return table
        kit: Any = self.nn

        def drawn(shape: tuple[int, ...]) -> Any:
            return initial_weights({"weight": shape}, self.config.initializer_range)["weight"]

        kit.resize_rows(table, wanted, drawn((max(wanted - rows, 0), width)))
        if self.task == MASKED_LM:
            kit.resize_scores(self, self.base_model, (rows, wanted), drawn)
        self.config.vocab_size = wanted
        return table

    def get_output_embeddings(self) -> None:
        """There are none: what scores masked words is the table of words, or part of a head."""

    def can_generate(self) -> bool:
        """Nothing here writes text."""
        return False

    framework: ClassVar[str] = "pt"

    def enable_input_require_grads(self) -> None:
        """Let gradients reach the words' embeddings, whose table may be frozen."""
        self.get_input_embeddings().register_forward_hook(_with_gradient)

    # --- what is computed again instead of kept -------------------------------------------------

    supports_gradient_checkpointing: ClassVar[bool] = True

    @property
    def is_gradient_checkpointing(self) -> bool:
        """Whether training computes the layers again on its way back, to save memory."""
        return self._recomputing

    def gradient_checkpointing_enable(
        self, gradient_checkpointing_kwargs: Mapping[str, Any] | None = None
    ) -> None:
        """Keep nothing of a layer while training but its input; compute the rest again."""
        self.gradient_checkpointing_disable()
        options = {"use_reentrant": False, **(gradient_checkpointing_kwargs or {})}
        self.nn.recompute(self, options)  # type: ignore[attr-defined]  # torch's kit alone
        self._recomputing = True

    def gradient_checkpointing_disable(self) -> None:
        """Keep again what gradients need."""
        self.nn.recompute(self, None)  # type: ignore[attr-defined]  # torch's kit alone
        self._recomputing = False

    _recomputing: bool = False

    # --- a call ---------------------------------------------------------------------------------

    def _call(self, inputs: Mapping[str, Any], options: Mapping[str, Any]) -> tuple[Any, Trace]:
        """Compute; words and positions may come as their embeddings and ids."""
        replaced = frozenset(self.architecture.takes_besides) - self.accepts
        words, places = (
            inputs.get(name) if name in replaced else None
            for name in ("inputs_embeds", "position_ids")
        )
        if words is None and places is None:
            return super()._call(inputs, options)
        given = {name: value for name, value in inputs.items() if name not in replaced}
        if words is not None:
            if given.get("input_ids") is not None:
                raise ValueError("give input_ids or inputs_embeds, not both")
            given["input_ids"] = self._stand_in(words)
            if hasattr(self, "without_ids"):  # what a head reads from ids, which say nothing here
                given = self.without_ids(given)
        with contextlib.ExitStack() as stack:
            if words is not None:
                stack.enter_context(_output(self.get_input_embeddings(), self._texts(words, 3)))
            if places is not None:
                stack.enter_context(_input(self._position_table(), self._texts(places, 2)))
            return super()._call(given, options)

    def _texts(self, value: Any, axes: int) -> Any:
        """Choices (B, choices, T, …) as the tables see them: each a text, (B * choices, T, …)."""
        sizes = self.nn.shape(value)
        return value if len(sizes) <= axes else self.nn.reshape(value, (-1, *sizes[1 - axes :]))

    def _stand_in(self, words: Any) -> Any:
        """Ids (…, T) of what is a word and no padding, in place of those that nobody knows."""
        zeros = self.nn.cast_int(self.nn.zeros_like(words[..., 0]))
        return zeros + (3 if getattr(self.config, "pad_token_id", None) == _WORD else _WORD)

    def _position_table(self) -> Any:
        for name, child in self.named_modules():
            if name.rpartition(".")[2] == "position_embeddings":
                return child
        raise unknown_argument(type(self).__name__, "position_ids", self.accepts)


@contextlib.contextmanager
def _output(table: Any, value: Any) -> Iterator[None]:
    """Let a table answer with a value, once and to this thread alone.

    GPT-2's table is asked twice: for the words, then for their types.
    """
    mine, waiting = threading.get_ident(), [value]

    def answer(_table: Any, _given: Any, found: Any) -> Any:
        return waiting.pop() if waiting and threading.get_ident() == mine else found

    handle = table.register_forward_hook(answer)
    try:
        yield
    finally:
        handle.remove()


@contextlib.contextmanager
def _input(table: Any, value: Any) -> Iterator[None]:
    """Let a table be asked for a value, by this thread alone."""
    mine = threading.get_ident()

    def ask(_table: Any, given: Any) -> Any:
        return (value,) if threading.get_ident() == mine else given

    handle = table.register_forward_pre_hook(ask)
    try:
        yield
    finally:
        handle.remove()


def _with_gradient(_table: Any, _given: Any, found: Any) -> None:
    found.requires_grad_(True)
