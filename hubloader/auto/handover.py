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

from hubloader.architectures import ENCODER, SEQUENCE_CLASSIFICATION, supported
from hubloader.errors import (
    AssemblyError,
    HubloaderError,
    RemoteCodeRefused,
    UnknownArchitecture,
    UnsupportedTask,
)
from hubloader.formats import choose_weights, open_weights
from hubloader.nn import get_kit

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping
    from types import ModuleType

    from hubloader.formats import WeightPolicy
    from hubloader.types import FileSet

__all__ = ["knows", "load_config", "load_model", "refined"]

_AUTO = {
    ENCODER: "AutoModel",
    SEQUENCE_CLASSIFICATION: "AutoModelForSequenceClassification",
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

    """
    _refuse_code(raw)
    library = _transformers()
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
        AssemblyError: transformers could not load it.

    """
    _refuse_code(raw)
    library = _transformers()
    facade = getattr(library, _AUTO[task])
    kind = library.CONFIG_MAPPING[raw["model_type"]]
    if kind not in facade._model_mapping:  # noqa: SLF001  the only table there is
        raise UnsupportedTask(
            f"transformers has no model for {task} of {raw['model_type']}",
            hint=f"nor has hubloader: choose a checkpoint that is made for {task}",
        )
    choice = choose_weights(files, policy)
    weights = open_weights(files, policy)  # also brings every shard, and checks the headers
    if weights.naming != "pt":  # transformers would start from random weights, and say little
        raise AssemblyError(
            f"{weights.describe()} holds the names of another framework than PyTorch, and "
            f"{raw['model_type']} is implemented by transformers, which reads PyTorch's alone",
            hint="choose a revision that has PyTorch's weights",
        )
    common = {"local_files_only": True, "trust_remote_code": False, **keywords}
    with _translated(weights.describe()):
        if choice.format == "safetensors":
            return facade.from_pretrained(
                _folder(files), use_safetensors=True, variant=policy.variant, **common
            )
        names = [name for name in common if name not in _LOADING]
        config = load_config(files, raw, {name: common.pop(name) for name in names})
        kit: Any = get_kit("torch")
        state = {name: kit.tensor(weights.read(name)) for name in weights.names()}
        found = facade._model_mapping[type(config)]  # noqa: SLF001  see above
        cls = found[0] if isinstance(found, tuple) else found
        return cls.from_pretrained(None, config=config, state_dict=state, **common)


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
