"""Architectures that nobody here implements, handed to an installed transformers.

The files come from hubloader, and transformers is given their folder: it opens no socket, runs no
code of the repository, and unpickles nothing, since weights in another format than safetensors are
read here and passed on as tensors. PyTorch only, as transformers itself.

Source: transformers 5.23 ``models/auto/auto_factory.py``, ``modeling_utils.py``.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
from typing import TYPE_CHECKING, Any

from hubloader.architectures import (
    ENCODER,
    MASKED_LM,
    MULTIPLE_CHOICE,
    QUESTION_ANSWERING,
    SEQUENCE_CLASSIFICATION,
    TOKEN_CLASSIFICATION,
    supported,
)
from hubloader.auto.names import Rules, map_names
from hubloader.errors import (
    AssemblyError,
    HubloaderError,
    RemoteCodeRefused,
    UnknownArchitecture,
    UnsupportedArchitecture,
    UnsupportedTask,
    WeightsMismatch,
)
from hubloader.formats import choose_weights, open_weights
from hubloader.names import suggestion
from hubloader.nn import get_kit
from hubloader.types import LoadReport

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping
    from types import ModuleType

    from hubloader.formats import WeightFile, WeightPolicy
    from hubloader.types import FileSet

__all__ = ["knows", "load_config", "load_model", "refined"]

_AUTO = {
    ENCODER: "AutoModel",
    SEQUENCE_CLASSIFICATION: "AutoModelForSequenceClassification",
    TOKEN_CLASSIFICATION: "AutoModelForTokenClassification",
    QUESTION_ANSWERING: "AutoModelForQuestionAnswering",
    MASKED_LM: "AutoModelForMaskedLM",
    MULTIPLE_CHOICE: "AutoModelForMultipleChoice",
}
_FOREIGN = (ValueError, OSError, RuntimeError, KeyError, AttributeError, ImportError)


def knows(raw: Mapping[str, Any]) -> bool:
    """Whether transformers is installed and has the architecture that a config names."""
    model_type = raw.get("model_type")
    if not isinstance(model_type, str) or importlib.util.find_spec("transformers") is None:
        return False
    return model_type in _transformers().CONFIG_MAPPING


def load_config(files: FileSet, raw: Mapping[str, Any], overrides: Mapping[str, Any]) -> Any:
    """Read config.json with transformers.

    Raises:
        RemoteCodeRefused: the config names another repository's code.
        AssemblyError: transformers could not read it.
        TypeError: a change of a key that the config does not have.

    """
    _refuse_code(raw)
    library = _transformers()
    _refuse_unknown(library, raw, overrides)
    with _translated("config.json"):
        return library.AutoConfig.from_pretrained(
            _folder(files), local_files_only=True, trust_remote_code=False, **overrides
        )


def load_model(
    files: FileSet,
    raw: Mapping[str, Any],
    task: str,
    policy: WeightPolicy,
    keywords: Mapping[str, Any],
) -> Any:
    """Load a PyTorch model with transformers.

    Args:
        files: config.json and the weights.
        raw: what config.json says.
        task: a key of ``Architecture.tasks``.
        policy: which weights.
        keywords: passed on: ``dtype``, ``device_map``, keys of the config ….

    Returns:
        What transformers returns: the model, or (model, loading info).

    Raises:
        UnsupportedTask: transformers has no such head for it.
        RemoteCodeRefused: the config names another repository's code.
        WeightsMismatch: the checkpoint lacks parameters of the encoder.
        AssemblyError: transformers could not load it.

    """
    _refuse_code(raw)
    library = _transformers()
    _refuse_unknown(library, raw, {k: v for k, v in keywords.items() if k not in _LOADING})
    facade = getattr(library, _AUTO[task])
    kind = library.CONFIG_MAPPING[raw["model_type"]]
    if kind not in facade._model_mapping:  # noqa: SLF001  the only table there is
        raise UnsupportedTask(
            f"transformers has no model for {task} of {raw['model_type']}",
            hint=f"nor has hubloader: choose a checkpoint that is made for {task}",
        )
    found = facade._model_mapping[kind]  # noqa: SLF001  see above
    cls = found[0] if isinstance(found, tuple) else found
    choice = choose_weights(files, policy)
    weights = open_weights(files, policy)  # also brings every shard, and checks the headers
    common = {
        "local_files_only": True,
        "trust_remote_code": False,
        **keywords,
        "output_loading_info": True,
    }
    with _translated(weights.describe()):
        if choice.format == "safetensors" and weights.naming == "pt":
            model, info = facade.from_pretrained(
                _folder(files), use_safetensors=True, variant=policy.variant, **common
            )
        else:
            names = [name for name in common if name not in _LOADING]
            config = load_config(files, raw, {name: common.pop(name) for name in names})
            state = _state(weights, cls, config)
            model, info = cls.from_pretrained(None, config=config, state_dict=state, **common)
    if not raw.get("quantization_config"):
        _refuse_made_up(model, info, weights.describe())
    return (model, info) if keywords.get("output_loading_info") else model


def _state(weights: WeightFile, cls: Any, config: Any) -> dict[str, Any]:
    """The checkpoint as PyTorch's tensors, under PyTorch's names.

    transformers reads no other framework's names: it would start from random weights, and say
    little.
    """
    kit: Any = get_kit("torch")
    if weights.naming == "pt":
        return {name: kit.tensor(weights.read(name)) for name in weights.names()}
    ranks = {name: len(weights.spec(name).shape) for name in weights.names()}
    shapes = kit.shapes_of(lambda: cls(config))
    found = map_names(ranks, shapes, Rules(cls.base_model_prefix), weights.naming)
    state = {}
    for name, source in found.sources.items():
        array = weights.read(source.name)
        state[name] = kit.tensor(array.transpose(source.axes) if source.axes else array)
    return state


def _refuse_made_up(model: Any, info: Mapping[str, Any], what: str) -> None:
    """Refuse an encoder of random numbers; a new head is transformers' to warn of."""
    prefix = f"{model.base_model_prefix}."
    inside = any(name.startswith(prefix) for name, _ in model.named_parameters())
    missing = sorted(info["missing_keys"])
    body = [name for name in missing if not inside or name.startswith(prefix)]
    body = [name for name in body if not name.removeprefix(prefix).startswith("pooler")]
    if not body:
        return
    unexpected = tuple(sorted(info["unexpected_keys"]))
    raise WeightsMismatch(
        f"{what} lacks {len(body)} parameters of the encoder: {', '.join(body[:_MAX_NAMED])}"
        f"{' …' if len(body) > _MAX_NAMED else ''}",
        hint="the checkpoint is of another architecture, or incomplete",
        report=LoadReport(missing=tuple(missing), unexpected=unexpected),
    )


_MAX_NAMED = 8
_LOADING = frozenset(
    {
        "local_files_only",
        "trust_remote_code",
        "dtype",
        "device_map",
        "attn_implementation",
        "ignore_mismatched_sizes",
        "output_loading_info",
    }
)


def _transformers() -> ModuleType:
    return importlib.import_module("transformers")


def _refuse_unknown(
    library: ModuleType, raw: Mapping[str, Any], overrides: Mapping[str, Any]
) -> None:
    """Raise for what would be kept in the config and never read; with the nearest name."""
    keys = {"return_unused_kwargs", *raw}
    with contextlib.suppress(*_FOREIGN):  # a config that cannot be made without its values
        keys.update(library.CONFIG_MAPPING[raw["model_type"]]().to_dict())
    for key in overrides:
        if key not in {*keys, *_CONFIG_KEYS}:
            near = suggestion(key, [*keys, *_CONFIG_KEYS, *_LOADING])
            raise TypeError(f"from_pretrained() got an unexpected keyword {key!r}{near}")


_CONFIG_KEYS = (  # of every config in transformers, though not every one writes them
    *("dtype", "id2label", "label2id", "num_labels", "problem_type", "torch_dtype"),
    *("output_attentions", "output_hidden_states", "return_dict"),
)


def _folder(files: FileSet) -> os.PathLike[str]:
    return files.path("config.json").parent


def _refuse_code(raw: Mapping[str, Any]) -> None:
    """Transformers would fetch an attention kernel from a repository that a config names."""
    for key, value in raw.items():
        if "attn_implementation" in key and "/" in str(value):
            raise RemoteCodeRefused(
                f"config.json's {key} names code in another repository: {value!r}",
                hint="hubloader never runs code out of a repository",
                filename="config.json",
            )


@contextlib.contextmanager
def _translated(what: str) -> Iterator[None]:
    """Turn what transformers raises over a file's content into an error of ours."""
    from huggingface_hub.errors import StrictDataclassError  # first use: transformers needs it too

    try:
        yield
    except HubloaderError:
        raise
    except (*_FOREIGN, StrictDataclassError) as error:
        raise AssemblyError(
            f"transformers could not load {what}: {error}",
            hint="the model is implemented by transformers, not by hubloader",
        ) from error


def refined(error: UnknownArchitecture, backend: str) -> UnknownArchitecture:
    """The same error, with a hint that knows whether transformers is installed.

    For another framework than PyTorch transformers is not asked: importing it costs seconds, and
    it could not help.
    """
    if importlib.util.find_spec("transformers") is None:
        return error
    if isinstance(error, UnsupportedArchitecture):
        if backend == "torch":
            return error
        error.hint = "the installed transformers may do it, on PyTorch only: use AutoModel…"
        return error
    if backend == "torch":
        help_ = "the installed transformers does not implement it either"
    else:
        help_ = "the installed transformers may implement it, on PyTorch only: use AutoModel…"
    near = f"nearest: {', '.join(error.close_matches)}; " if error.close_matches else ""
    return UnknownArchitecture(
        error.message,
        hint=f"{near}hubloader implements {', '.join(supported())}; {help_}",
        model_type=error.model_type,
        close_matches=error.close_matches,
        filename=error.filename,
    )
