"""What turns an architecture's layer into a model as users know it: loading, saving, outputs.

A mixin, put before the layer in the method order, so that ``super().forward`` is the layer's own.
``torch_model.py`` and ``numpy_model.py`` say what a model of that framework has besides. All are
written against the kit alone, without a framework's name in them; ``tasks.py`` says what a call
takes and returns.

Source: transformers 5.23 ``modeling_utils.py``.
"""

from __future__ import annotations

import inspect
import math
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from hubloader.auto.assemble import initial_weights
from hubloader.auto.config import PretrainedConfig
from hubloader.auto.outputs import OVERLOOKING, REMEMBERING
from hubloader.auto.saving import save_model, shared_twice
from hubloader.names import suggestion
from hubloader.nn import Trace

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from hubloader.architectures import Architecture
    from hubloader.auto.outputs import ModelOutput
    from hubloader.auto.select import Backend
    from hubloader.nn import Kit

__all__ = [
    "OPTIONS",
    "Loads",
    "PretrainedModel",
    "inputs_by_place",
    "unknown_argument",
]

OPTIONS = frozenset({"output_attentions", "output_hidden_states", "return_dict"})


class Loads(Protocol):
    """How models are made: a class is told when it is bound, so that it need not know the loader.

    ``hubloader.auto.loading`` is the one there is.
    """

    def model(  # noqa: D102  load_model
        self,
        name: str | os.PathLike[str],
        task: str,
        backend: Backend,
        keywords: Mapping[str, Any],
        *,
        model_type: str | None = None,
    ) -> Any: ...

    def new(  # noqa: D102  new_model
        self, config: PretrainedConfig, task: str, backend: Backend, keywords: Mapping[str, Any]
    ) -> Any: ...

    def layer(  # noqa: D102  new_layer
        self, config: PretrainedConfig, task: str, backend: Backend, keywords: Mapping[str, Any]
    ) -> Any: ...


# Inputs that transformers' models have and these do not: peft, Trainer and signatures pass them on
# as None, which says that there are none.
_PASSED_AS_NONE = frozenset(
    {
        *("cache_position", "head_mask", "inputs_embeds", "past_key_values"),
        *("position_ids", "token_type_ids"),
    }
)


class PretrainedModel:
    """What every model has, whatever it runs on and is for.

    Args:
        config: a ``PretrainedConfig``: weights are then made at random, as in transformers; or an
            architecture's own, when a checkpoint's are about to be loaded.

    """

    if TYPE_CHECKING:
        nn: ClassVar[Kit]
        slots: Callable[[], Iterable[Any]]  # numpy's and TensorFlow's layers have them

    architecture: ClassVar[Architecture]
    task: ClassVar[str]
    backend: ClassVar[Backend]
    loads: ClassVar[Loads]
    accepts: ClassVar[frozenset[str]] = frozenset()
    positional: ClassVar[tuple[str, ...]] = ()
    main_input_name: ClassVar[str] = "input_ids"
    targets: ClassVar[tuple[str, ...]] = ()  # what a loss is computed against
    output_types: ClassVar[Mapping[str, type[ModelOutput]]] = {}

    config: PretrainedConfig

    def __init__(self, config: Any) -> None:
        fresh = isinstance(config, PretrainedConfig)
        super().__init__(config.typed if fresh else config)  # type: ignore[call-arg]  # the layer's
        if fresh:
            self.config = config
        if fresh and self.nn.holds_values():
            shapes = self.nn.parameters(self)
            spread, norms = config.initializer_range, config.typed.new_norms
            self.nn.load(self, initial_weights(shapes, spread, norms), dtype="float32")

    def __init_subclass__(cls, **keywords: Any) -> None:
        """Note, once per class, what the layer's own ``forward`` takes, and show it."""
        super().__init_subclass__(**keywords)
        origin = vars(cls).get("origin")
        if origin is not None:
            taken = inspect.signature(origin.forward).parameters
            inputs = [p for name, p in taken.items() if name not in {"self", "trace"}]
            cls.positional = tuple(p.name for p in inputs if p.kind is not p.KEYWORD_ONLY)
            cls.accepts = frozenset(p.name for p in inputs)
            cls.forward = _shown(cls)  # type: ignore[attr-defined]  # the task's mixin has it

    @classmethod
    def from_pretrained(cls, name: str | os.PathLike[str], **keywords: Any) -> Any:
        """Load this class from a Hub name or a folder; see ``AutoModelForSequenceClassification``.

        Raises:
            UnsupportedTask: the config asks for another architecture.

        """
        model_type = cls.architecture.model_type
        return cls.loads.model(name, cls.task, cls.backend, keywords, model_type=model_type)

    @classmethod
    def from_config(cls, config: PretrainedConfig, **keywords: Any) -> Any:
        """Make a model with random weights."""
        return cls.loads.new(config, cls.task, cls.backend, keywords)

    @property
    def base_model_prefix(self) -> str:
        """The attribute under which a task's model keeps its encoder."""
        return self.architecture.prefix_of(self.task)

    @property
    def name_or_path(self) -> str:
        """What the model was loaded by."""
        return str(self.config.name_or_path)

    def num_parameters(self, only_trainable: bool = False) -> int:
        """How many numbers the parameters are."""
        del only_trainable  # nothing is frozen here
        trained = {slot.name: slot.shape for slot in self.slots() if slot.trained}
        twice = shared_twice(self, trained)
        return sum(math.prod(shape) for name, shape in trained.items() if name not in twice)

    def save_pretrained(self, save_directory: str | os.PathLike[str], **options: Any) -> None:
        """Write config.json and model.safetensors, with PyTorch's names, into a folder."""
        save_model(self, save_directory, options)

    def _call(self, inputs: Mapping[str, Any], options: Mapping[str, Any]) -> tuple[Any, Trace]:
        """Run the layer with the inputs that were given; returns its result and what was traced."""
        trace = Trace(
            hidden_states=self._option(options, "output_hidden_states"),
            attentions=self._option(options, "output_attentions"),
        )
        given = {name: value for name, value in inputs.items() if value is not None}
        unknown = inputs.keys() - self.accepts
        if unknown - _PASSED_AS_NONE or unknown & given.keys():
            raise unknown_argument(type(self).__name__, min(unknown), self.accepts)
        if "input_ids" not in given:
            raise TypeError(f"{type(self).__name__} needs input_ids")
        result = super().forward(**self._prepared(given), trace=trace)  # type: ignore[misc]  # the layer's
        return result, trace

    def _option(self, options: Mapping[str, Any], name: str) -> bool:
        value = options.get(name)
        return bool(getattr(self.config, name) if value is None else value)

    def _prepared(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """Inputs as the framework wants them."""
        return inputs

    def _output(
        self, kind: str, values: Mapping[str, Any], trace: Trace, return_dict: bool | None
    ) -> Any:
        if trace.encoder is None:
            traced = _kept(trace)
        else:
            kind = f"seq2seq-{kind}"
            traced = {
                **_kept(trace, "decoder_"),
                "cross_attentions": tuple(trace.kept_cross_attentions) or None,
                "encoder_last_hidden_state": trace.encoded,
                **_kept(trace.encoder, "encoder_"),
            }
        made = self.output_types[kind]
        if "mems" in self.accepts:
            made, traced["mems"] = REMEMBERING[made], tuple(trace.kept_memories) or None
        if "global_attention_mask" in self.accepts:
            seen = tuple(trace.kept_global_attentions) or None
            made, traced["global_attentions"] = OVERLOOKING[made], seen
        output = made(**values, **traced)
        as_dict = self.config.return_dict if return_dict is None else return_dict
        return output if as_dict else output.to_tuple()


def _kept(trace: Trace, prefix: str = "") -> dict[str, Any]:
    """What a trace kept, by the names of an output's fields; None for what it was not to keep."""
    return {
        f"{prefix}hidden_states": tuple(trace.kept_hidden_states) if trace.hidden_states else None,
        f"{prefix}attentions": tuple(trace.kept_attentions) if trace.attentions else None,
    }


def _shown(cls: type[Any]) -> Any:
    """A class's call, with the layer's own inputs by place and by name, and the task's labels.

    transformers' Trainer keeps of a data set what it finds in this signature, and takes what is
    called a label there to be one.
    """
    computes, by_place = cls.forward, cls.positional

    def forward(self: Any, *values: Any, **named: Any) -> Any:
        return computes(self, **inputs_by_place(cls.__name__, by_place, values), **named)

    kinds = inspect.Parameter
    places = [
        kinds("self", kinds.POSITIONAL_OR_KEYWORD),
        *(kinds(name, kinds.POSITIONAL_OR_KEYWORD, default=None) for name in by_place),
    ]
    own = sorted(cls.accepts.difference(by_place, cls.targets))
    besides = (*own, *cls.targets, *sorted(OPTIONS))  # labels in the order that makes them a pair
    names = [kinds(name, kinds.KEYWORD_ONLY, default=None) for name in besides]
    others = kinds("others", kinds.VAR_KEYWORD)
    signature = inspect.Signature([*places, *names, others])
    forward.__signature__ = signature  # type: ignore[attr-defined]  # may be set
    forward.__doc__ = computes.__doc__
    return forward


def inputs_by_place(model: str, names: Sequence[str], values: Sequence[Any]) -> dict[str, Any]:
    """Name what a model was given without names; what is None at the end may be of any place.

    Args:
        model: its class's name.
        names: those of its inputs, in order.
        values: what it was given.

    Raises:
        TypeError: more than it takes.

    """
    if any(value is not None for value in values[len(names) :]):
        raise TypeError(
            f"{model} takes {len(names)} inputs by place ({', '.join(names)}), not {len(values)}"
        )
    return dict(zip(names, values, strict=False))


def unknown_argument(model: str, name: str, accepts: Iterable[str]) -> TypeError:
    """The error of a model that was called with something it does not take.

    Args:
        model: its class's name.
        name: what it was called with.
        accepts: the tensors that its architecture takes.

    """
    known = sorted({*accepts, *OPTIONS, "labels"})
    end = suggestion(name, known, otherwise=f"; it takes {', '.join(known)}")
    return TypeError(f"{model} does not take {name!r}{end}")
