"""What a project refuses: licences, risky formats, too many bytes. Decided from the lock alone.

Which risks an entry has is told by its files: a pickle by its name, remote code by a Python file or
by an ``auto_map`` in a config, which asks the loader to run one.

Source: the names under which PyTorch, scikit-learn and joblib keep pickles; transformers 5.23
``dynamic_module_utils.py`` (``auto_map``).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from hubloader.errors import PolicyRefused, UnsafeFile

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hubloader.errors import HubloaderError
    from hubloader.locking.values import Lock, LockedModel, Policy

__all__ = ["may_ask_for_code", "refusals", "risks"]

_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib", ".dill")
_NO_PICKLES = ("openvino_", "onnx/", "openvino/", "coreml/")  # raw weights that are called .bin too
_CONFIGS = (
    "config.json",
    "tokenizer_config.json",
    "processor_config.json",
    "preprocessor_config.json",
    "modules.json",
)


def risks(files: Iterable[str], configs: Mapping[str, bytes]) -> tuple[str, ...]:
    """Tell which risks ``files`` bring; ``configs`` are the contents of the configs."""
    names = list(files)
    found = set()
    if any(_is_pickle(name) for name in names):
        found.add("pickle")
    if any(name.endswith(".py") for name in names) or any(map(_asks_for_code, configs.values())):
        found.add("remote-code")
    return tuple(sorted(found))


def may_ask_for_code(filename: str) -> bool:
    """Whether a file is a config that could name code to run."""
    return filename.rpartition("/")[2] in _CONFIGS


def _is_pickle(filename: str) -> bool:
    return filename.lower().endswith(_PICKLES) and not filename.startswith(_NO_PICKLES)


def _asks_for_code(content: bytes) -> bool:
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return False  # whoever loads it will say that it is broken
    return isinstance(document, dict) and bool(document.get("auto_map"))


def refusals(lock: Lock, policy: Policy) -> list[HubloaderError]:
    """Tell everything of a lock that the policy refuses."""
    found = [refusal for model in lock.models for refusal in _of_model(model, policy)]
    total = sum({f.sha256: f.size for model in lock.models for f in model.files}.values())
    if policy.max_bytes is not None and total > policy.max_bytes:
        found.append(
            PolicyRefused(
                f"the models weigh {total} bytes, max-bytes allows {policy.max_bytes}",
                hint="leave files out with exclude, or raise max-bytes in [policy]",
            )
        )
    return found


def _of_model(model: LockedModel, policy: Policy) -> Iterable[HubloaderError]:
    repo, revision = str(model.repo), model.revision
    names = [name.strip() for name in model.license.split(",") if name.strip()]
    if policy.licenses is not None and not (names and policy.licenses.issuperset(names)):
        allowed = ", ".join(sorted(policy.licenses)) or "none"
        told = f"the licence {model.license}" if names else "no licence that the Hub tells"
        yield PolicyRefused(
            f"{model.name} ({repo}) has {told}; allowed are {allowed}",
            hint="choose another model, or allow it under licenses in [policy]",
            repo_id=repo,
            revision=revision,
        )
    if "pickle" in policy.deny and "pickle" in model.risk:
        names = [file.path for file in model.files if _is_pickle(file.path)]
        yield UnsafeFile(
            f"{model.name} ({repo}) has pickles, which the policy denies: {', '.join(names)}",
            hint='choose files without: formats = ["safetensors"], or exclude them',
            repo_id=repo,
            revision=revision,
        )
    if "remote-code" in policy.deny and "remote-code" in model.risk:
        yield PolicyRefused(
            f"{model.name} ({repo}) brings code of its own, which the policy denies",
            hint="choose another model, or exclude its Python files",
            repo_id=repo,
            revision=revision,
        )
