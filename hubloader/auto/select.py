"""From what config.json says to what will be built: pure, with its reasons.

config.json is data from strangers. ``model_type`` chooses among the architectures that are here;
nothing in it chooses code, another repository or a class path. ``architectures`` is used only where
an old config has no ``model_type``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from hubloader.architectures import find, supported
from hubloader.errors import CorruptFile, RemoteCodeRefused, UnknownArchitecture, UnsupportedTask

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hubloader.architectures import Architecture
    from hubloader.architectures._config import Config

__all__ = ["Backend", "Selection", "find_architecture", "select"]

Backend = Literal["torch", "tf", "numpy"]


@dataclass(frozen=True)
class Selection:
    """What will be built, and why."""

    architecture: Architecture
    task: str
    config: Config
    backend: Backend
    reasons: tuple[str, ...]

    @property
    def class_name(self) -> str:
        """The class's name in transformers: ``BertForSequenceClassification``."""
        return self.architecture.class_names[self.task]


def select(raw: Mapping[str, Any], task: str, backend: Backend) -> Selection:
    """Decide what a config asks for.

    Args:
        raw: config.json with the caller's overrides.
        task: a key of ``Architecture.tasks``.
        backend: where it will run.

    Raises:
        UnknownArchitecture: nobody here implements it.
        RemoteCodeRefused: nobody does, and the repository brings its own code.
        UnsupportedTask: the architecture has no such head.
        CorruptFile: the config's values cannot be.

    """
    architecture, reason = find_architecture(raw)
    if task not in architecture.tasks:
        raise UnsupportedTask(
            f"{architecture.model_type} has no model for {task} here",
            hint=f"it has {', '.join(sorted(architecture.tasks))}",
        )
    reasons = (reason, f"{task}: asked for by the caller", f"{backend}: asked for by the caller")
    return Selection(architecture, task, architecture.config.from_json(raw), backend, reasons)


def find_architecture(raw: Mapping[str, Any]) -> tuple[Architecture, str]:
    """Find the architecture that a config names, and say by what.

    Raises:
        CorruptFile: it names none.
        UnknownArchitecture: nobody here implements it.
        RemoteCodeRefused: nobody does, and the repository brings its own code.

    """
    model_type = raw.get("model_type")
    if isinstance(model_type, str) and model_type:
        try:
            return find(model_type), f"{model_type}: config.json's model_type"
        except UnknownArchitecture as error:
            if raw.get("auto_map"):
                raise _remote_code(model_type) from error
            raise
    for name in _class_names(raw):
        for known in supported():
            architecture = find(known)
            if name.startswith(architecture.class_prefix):
                rest = name.removeprefix(architecture.class_prefix)
                if rest == "Model" or rest.startswith("For"):
                    return architecture, f"{known}: config.json's architectures names {name}"
    if raw.get("auto_map"):
        raise _remote_code("without a model_type")
    raise CorruptFile(
        "config.json names no model_type",
        hint=f"add it: one of {', '.join(supported())}",
        filename="config.json",
    )


def _class_names(raw: Mapping[str, Any]) -> list[str]:
    names = raw.get("architectures")
    return [name for name in names if isinstance(name, str)] if isinstance(names, list) else []


def _remote_code(model_type: str) -> RemoteCodeRefused:
    return RemoteCodeRefused(
        f"the model {model_type} needs Python code out of its repository, which hubloader never "
        "runs",
        hint=f"hubloader implements {', '.join(supported())}",
        filename="config.json",
    )
