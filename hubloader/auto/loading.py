"""``from_pretrained`` of models: arguments apart, files opened, selection made, weights put in."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hubloader.architectures import ENCODER, SEQUENCE_CLASSIFICATION
from hubloader.auto.assemble import (
    Assembly,
    check_sizes,
    choose_dtype,
    dtype_name,
    fill,
    initial_weights,
)
from hubloader.auto.collecting import uncollected
from hubloader.auto.config import (
    PretrainedConfig,
    load_config,
    read_config,
    refuse_misspelt,
    refuse_unknown,
)
from hubloader.auto.head_tasks import HEADS
from hubloader.auto.model_arguments import MODEL_KEYWORDS, ModelArguments, refuse_device
from hubloader.auto.opening import open_files
from hubloader.auto.outputs import OVERLOOKING, REMEMBERING
from hubloader.auto.placement import one_device, place
from hubloader.auto.select import Selection, select
from hubloader.auto.source import asked_for, split_hub_arguments
from hubloader.auto.tasks import (
    NumpyEncoder,
    NumpySequenceClassifier,
    TorchEncoder,
    TorchSequenceClassifier,
)
from hubloader.errors import UnknownArchitecture, UnsupportedTask
from hubloader.formats import WeightPolicy, open_weights
from hubloader.names import suggestion
from hubloader.nn import get_kit
from hubloader.resolve.files import SnapshotFiles

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hubloader.architectures import Architecture
    from hubloader.auto.select import Backend
    from hubloader.types import FileSet, LoadReport

__all__ = ["ModelArguments", "load_model", "model_class", "new_model"]

_MIXINS: Mapping[tuple[str, str], type] = {
    ("torch", ENCODER): TorchEncoder,
    ("torch", SEQUENCE_CLASSIFICATION): TorchSequenceClassifier,
    ("numpy", ENCODER): NumpyEncoder,
    ("numpy", SEQUENCE_CLASSIFICATION): NumpySequenceClassifier,
    **HEADS,
}
_ATTENTION = {None: "torch", "sdpa": "torch", "eager": "torch-eager"}
_PREFIXES = {"torch": "", "tf": "TF", "numpy": "Np"}


def load_model(
    name: str | os.PathLike[str],
    task: str,
    backend: Backend,
    keywords: Mapping[str, Any],
    *,
    model_type: str | None = None,
) -> Any:
    """Load a model.

    Args:
        name: a Hub name or a folder.
        task: a key of ``Architecture.tasks``.
        backend: where it will run.
        keywords: of ``from_pretrained``: the Hub's, ``ModelArguments``', the config's.
        model_type: the one architecture that is accepted; any if None.

    Returns:
        The model, or (model, loading info).

    Raises:
        HubloaderError: by contract.
        TypeError: a keyword that nothing knows.

    """
    hub, rest = split_hub_arguments(keywords)
    arguments = ModelArguments(**{key: rest.pop(key) for key in MODEL_KEYWORDS if key in rest})
    _refuse_what_cannot_be(arguments, backend, rest)
    policy = WeightPolicy(backend, hub.variant, hub.use_safetensors, only=arguments.only)
    with asked_for(name, hub):
        files = open_files(name, hub, frozenset({"config"}), later=frozenset({backend}))
        try:
            config = _config_of(files, arguments, rest)
        except UnknownArchitecture as error:
            return _handed_over(error, _Request(files, task, policy, arguments), rest)
        config.name_or_path = os.fspath(name)
        selection = _selection(config, task, backend, model_type)
        files = _with_weights(files, policy)
        with uncollected():
            model, report = _assembled(selection, config, files, policy, arguments)
    return (model, _loading_info(report)) if arguments.output_loading_info else model


@dataclass(frozen=True)
class _Request:
    """One load, as far as it is decided before the architecture is known."""

    files: FileSet
    task: str
    policy: WeightPolicy
    arguments: ModelArguments


def _refuse_what_cannot_be(
    arguments: ModelArguments, backend: Backend, rest: Mapping[str, Any]
) -> None:
    """Raise for keywords that no file could make right: nobody is asked for one."""
    refuse_misspelt(rest, MODEL_KEYWORDS)
    refuse_device(arguments, backend)
    _kit_name(backend, arguments.attn_implementation)
    if arguments.wanted_dtype not in {None, "auto"}:
        dtype_name(arguments.wanted_dtype)


def _with_weights(files: FileSet, policy: WeightPolicy) -> FileSet:
    """The same commit's files, now with its weights; nothing is fetched for a refused config."""
    if not isinstance(files, SnapshotFiles) or policy.only in {"tf", "flax"}:
        return files  # a folder has what it has; another framework's files come when asked for
    return files.widened(frozenset({"config", policy.backend}))


def _handed_over(error: UnknownArchitecture, request: _Request, overrides: dict[str, Any]) -> Any:
    """The model as an installed transformers makes it; without one, the error."""
    from hubloader.auto import handover  # first use: most models are implemented here

    raw = read_config(request.files)
    backend = request.policy.backend
    if backend != "torch" or not handover.knows(raw):
        raise handover.refined(error, backend) from error.__cause__
    arguments = request.arguments
    keywords = {
        **overrides,
        "dtype": arguments.wanted_dtype,
        "device_map": arguments.device_map if arguments.device is None else arguments.device,
        "attn_implementation": arguments.attn_implementation,
        "ignore_mismatched_sizes": arguments.ignore_mismatched_sizes,
        "output_loading_info": arguments.output_loading_info,
    }
    return handover.load_model(
        _with_weights(request.files, request.policy),
        raw,
        request.task,
        request.policy,
        {key: value for key, value in keywords.items() if value is not None},
    )


def _config_of(files: FileSet, arguments: ModelArguments, overrides: dict[str, Any]) -> Any:
    if isinstance(arguments.config, PretrainedConfig):
        config = type(arguments.config).from_dict(arguments.config.to_dict())
        known = config.keys()
        unused = {key: value for key, value in overrides.items() if key not in known}
        config.update({key: value for key, value in overrides.items() if key not in unused})
    else:
        config, unused = load_config(files, overrides)
    refuse_unknown(unused, config, MODEL_KEYWORDS)
    return config


def _selection(
    config: PretrainedConfig, task: str, backend: Backend, model_type: str | None
) -> Selection:
    selection = select(config.to_dict(), task, backend)
    if model_type is not None and selection.architecture.model_type != model_type:
        raise UnsupportedTask(
            f"this is a {selection.architecture.model_type} model, not {model_type}",
            hint="load it by an Auto class, which chooses by config.json",
        )
    return selection


def _assembled(
    selection: Selection,
    config: PretrainedConfig,
    files: FileSet,
    policy: WeightPolicy,
    arguments: ModelArguments,
) -> tuple[Any, LoadReport]:
    weights = open_weights(files, policy)
    if not arguments.ignore_mismatched_sizes:
        check_sizes(selection.config, weights)
    dtype = choose_dtype(arguments.wanted_dtype, config.dtype, weights)
    kit = get_kit(_kit_name(selection.backend, arguments.attn_implementation))
    module = _built(kit, selection, config)
    if not arguments.add_pooling_layer and getattr(module, "pooler", None) is not None:
        module.pooler = None
    plan = Assembly(
        kit,
        selection.architecture,
        dtype="float32" if selection.backend == "numpy" else dtype,
        device=one_device(kit, arguments.device, arguments.device_map),
        ignore_mismatched_sizes=arguments.ignore_mismatched_sizes,
        spread=selection.config.initializer_range,
    )
    report = fill(module, weights, plan)
    place(module, arguments.device_map)
    config.dtype = plan.dtype
    if selection.backend == "numpy":
        module.saved_dtype = dtype
    return _finished(module, selection.backend), report


def _kit_name(backend: Backend, attention: str | None) -> str:
    if backend != "torch":
        if attention not in {None, "eager", "sdpa"}:
            raise ValueError(f"attn_implementation={attention!r} is for PyTorch only")
        return backend
    if attention not in _ATTENTION:
        raise ValueError(f"attn_implementation={attention!r} is none of 'sdpa' and 'eager'")
    return _ATTENTION[attention]


def _built(kit: Any, selection: Selection, config: PretrainedConfig) -> Any:
    """A layer without weights; on torch and numpy it is what users hold."""
    cls = _layer_class(selection.architecture, selection.task, selection.backend, kit)
    module = kit.build(
        selection.architecture.tasks[selection.task],
        selection.config,
        mixin=_mixin(selection.backend, selection.task),
        name=cls.__name__,
    )
    module.config = config
    for output in set(cls.output_types.values()):
        kit.register(output)
        for more in (REMEMBERING, OVERLOOKING):
            if output in more:
                kit.register(more[output])
    return module


def _mixin(backend: Backend, task: str) -> type:
    if backend != "tf":
        return _MIXINS[backend, task]
    from hubloader.auto import keras_heads, keras_model  # first use: for TensorFlow alone

    keras: Mapping[str, type] = {
        ENCODER: keras_model.TFEncoderLayer,
        SEQUENCE_CLASSIFICATION: keras_model.TFSequenceClassifierLayer,
        **keras_heads.KERAS_HEADS,
    }
    return keras[task]


def _layer_class(architecture: Architecture, task: str, backend: Backend, kit: Any) -> type[Any]:
    bound: type[Any] = kit.bind(
        architecture.tasks[task],
        _mixin(backend, task),
        name=f"{_PREFIXES[backend]}{architecture.class_names[task]}",
    )
    bound.architecture = architecture
    bound.task = task
    bound.loads = _Loader()
    bound.__module__ = "hubloader"  # where users find it, by the same name
    return bound


def model_class(architecture: Architecture, task: str, backend: Backend) -> type[Any]:
    """The class of an architecture's model: ``BertForSequenceClassification``, ``TFBert…``.

    Raises:
        BackendUnavailable: the framework is not installed.

    """
    layer = _layer_class(architecture, task, backend, get_kit(_kit_name(backend, None)))
    return _keras_class(layer) if backend == "tf" else layer


def _keras_class(layer: type[Any]) -> type[Any]:
    """The Keras model around a layer's class: one class for each, by the same name."""
    from hubloader.auto.keras_model import KerasPretrained
    from hubloader.nn.keras_adapter import KerasLayer

    if "keras_class" not in vars(layer):
        body = {
            "architecture": layer.architecture,
            "task": layer.task,
            "loads": layer.loads,
            "adapter": KerasLayer,
            "__module__": "hubloader",
        }
        made = type(layer.__name__, (KerasPretrained, KerasLayer), body)
        layer.keras_class = KerasLayer.register(made)
    found: type[Any] = layer.keras_class
    return found


def _finished(module: Any, backend: Backend) -> Any:
    """What users hold, around a layer that has its weights."""
    return _keras_class(type(module))(module) if backend == "tf" else module


def _loading_info(report: LoadReport) -> dict[str, Any]:
    """By transformers' keys, and the report itself."""
    return {
        "missing_keys": set(report.missing),
        "unexpected_keys": set(report.unexpected),
        "mismatched_keys": set(report.mismatched),
        "error_msgs": [],
        "report": report,
    }


def new_model(
    config: PretrainedConfig, task: str, backend: Backend, keywords: Mapping[str, Any]
) -> Any:
    """Make a model with random weights.

    Raises:
        TypeError: a keyword that nothing knows.

    """
    return _finished(new_layer(config, task, backend, keywords), backend)


def new_layer(
    config: PretrainedConfig, task: str, backend: Backend, keywords: Mapping[str, Any]
) -> Any:
    """Make a model's layer with random weights: the model itself, but for Keras' part."""
    for key in keywords.keys() - set(MODEL_KEYWORDS):
        near = suggestion(key, MODEL_KEYWORDS)
        raise TypeError(f"from_config() got an unexpected keyword {key!r}{near}")
    arguments = ModelArguments(**keywords)
    refuse_device(arguments, backend)
    selection = select(config.to_dict(), task, backend)
    kit = get_kit(_kit_name(backend, arguments.attn_implementation))
    module = _built(kit, selection, config)
    asked = arguments.wanted_dtype
    if not kit.holds_values():
        return module
    kit.load(
        module,
        initial_weights(
            kit.parameters(module), selection.config.initializer_range, selection.config.new_norms
        ),
        dtype="float32" if asked in {None, "auto"} else dtype_name(asked),
        device=one_device(kit, arguments.device, arguments.device_map),
    )
    place(module, arguments.device_map)
    return module


class _Loader:
    """This module, as the classes know it that it makes."""

    model = staticmethod(load_model)
    new = staticmethod(new_model)
    layer = staticmethod(new_layer)
