"""``save_pretrained``: a folder that transformers and hubloader load to the same tokenizer.

Source: transformers 4.57.6 ``save_pretrained``; 5.23 reads the same files.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from tokenizers import AddedToken

from hubloader.tokenizers.config_values import SPECIAL_TOKEN_NAMES
from hubloader.tokenizers.special_tokens import SpecialTokens

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Saving"]

# What every tokenizer says of itself, whether its files said it or not.
_ALWAYS_SAVED = ("model_max_length", "clean_up_tokenization_spaces")
_ROLES = frozenset(SPECIAL_TOKEN_NAMES)
_NEVER_SAVED = frozenset(
    {
        "added_tokens_decoder",
        "chat_template",
        "fast_tokenizer_files",
        "name_or_path",
        "tokenizer_class",
    }
)


class Saving(SpecialTokens):
    """Writing a tokenizer to a folder."""

    def save_pretrained(
        self,
        save_directory: str | os.PathLike[str],
        legacy_format: bool | None = None,
        filename_prefix: str | None = None,
        push_to_hub: bool = False,
        **kwargs: Any,
    ) -> tuple[str, ...]:
        """Write the tokenizer's files.

        Args:
            save_directory: the folder; made if it is not there.
            legacy_format: True writes the legacy vocabulary files and no tokenizer.json, False
                tokenizer.json alone, None both where the class has legacy files.
            filename_prefix: put before the names, with a dash.
            push_to_hub: not supported: hubloader reads the Hub and writes nothing to it.
            **kwargs: taken for transformers' sake; without effect here.

        Returns:
            The paths of the files.

        Raises:
            ValueError: uploading was asked for, or legacy files of a class that has none.

        """
        del kwargs
        if push_to_hub:
            raise ValueError("hubloader uploads nothing: save to a folder, then use `hf upload`")
        if legacy_format and not self._has_legacy_files():
            raise ValueError(f"{self._without_legacy_files()}: leave legacy_format out")
        os.makedirs(save_directory, exist_ok=True)
        folder = _Folder(os.fspath(save_directory), filename_prefix)
        self._save_settings(folder)
        if legacy_format is not False and self._has_legacy_files():
            folder.paths += self.save_vocabulary(save_directory, filename_prefix)
            self._save_added_tokens(folder)
        if legacy_format is not True:
            folder.write("tokenizer.json", self._engine.backend.to_str(pretty=True))
        return tuple(folder.paths)

    def save_vocabulary(
        self, save_directory: str | os.PathLike[str], filename_prefix: str | None = None
    ) -> tuple[str, ...]:
        """Write the vocabulary alone, in the engine's own files; returns their paths.

        A SentencePiece model cannot be made of the engine: the file it came from is copied.

        Raises:
            ValueError: it is of a SentencePiece class, and came from tokenizer.json.

        """
        if self.vocab_file is not None:
            folder = _Folder(os.fspath(save_directory), filename_prefix)
            return (folder.copy(self.vocab_file, self.kind.legacy_files[0]),)
        if not self._has_legacy_files():
            raise ValueError(self._without_legacy_files())
        model = self._engine.backend.model
        return tuple(model.save(os.fspath(save_directory), filename_prefix))

    def _without_legacy_files(self) -> str:
        if not self.kind.legacy_files:
            return f"{self.kind.name} has no legacy files"
        return f"this tokenizer was not made of a {self.kind.legacy_files[0]}, so none can be saved"

    def _has_legacy_files(self) -> bool:
        names = self.kind.legacy_files
        return bool(names) and (self.vocab_file is not None or not names[0].endswith(".model"))

    def _save_settings(self, folder: _Folder) -> None:
        folder.write_json("tokenizer_config.json", self._settings(), sort=True)
        roles = self.special_tokens_map_extended
        folder.write_json("special_tokens_map.json", _plain(roles, with_special=False))
        templates = self.chat_template
        if isinstance(templates, str):
            templates = {"default": templates}
        for name, template in (templates or {}).items():
            file = "chat_template" if name == "default" else f"additional_chat_templates/{name}"
            folder.write(f"{file}.jinja", template)

    def _settings(self) -> dict[str, Any]:
        saved = {key: value for key, value in self.init_kwargs.items() if key not in _NEVER_SAVED}
        for key in {*saved, *_ALWAYS_SAVED}:
            saved[key] = getattr(self, key, saved.get(key))
        usual = {
            "model_input_names": list(self.kind.model_input_names),
            "padding_side": self.kind.padding_side,
            "split_special_tokens": False,
            "truncation_side": "right",
        }
        changed = {key: getattr(self, key) for key in usual}
        saved.update({key: value for key, value in changed.items() if value != usual[key]})
        saved.update(self.special_tokens_map)
        # Older releases read roles of the model's own in this one key, and nothing else.
        own = {name: value for name, value in self._roles.items() if name not in _ROLES and value}
        saved.pop("extra_special_tokens", None)
        if own:
            saved["extra_special_tokens"] = own
        saved["added_tokens_decoder"] = {
            str(index): _plain(token) for index, token in sorted(self.added_tokens_decoder.items())
        }
        saved["tokenizer_class"] = self.kind.name
        plain: dict[str, Any] = _plain(saved)
        return plain

    def _save_added_tokens(self, folder: _Folder) -> None:
        size = self.vocab_size
        added = {text: index for text, index in self.added_tokens_encoder.items() if index >= size}
        if added:
            folder.write_json("added_tokens.json", added, sort=True)


class _Folder:
    """Where files go, and which have been written."""

    def __init__(self, path: str, prefix: str | None) -> None:
        self.path = path
        self.prefix = f"{prefix}-" if prefix else ""
        self.paths: list[str] = []

    def write(self, name: str, text: str) -> None:
        path = os.path.join(self.path, self.prefix + name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8", newline="") as stream:
            stream.write(text)
        self.paths.append(path)

    def copy(self, source: str, name: str) -> str:
        os.makedirs(self.path, exist_ok=True)
        path = os.path.join(self.path, self.prefix + name)
        if os.path.realpath(source) != os.path.realpath(path):
            import shutil  # first use

            shutil.copyfile(source, path)
        return path

    def write_json(self, name: str, value: Mapping[str, Any], *, sort: bool = False) -> None:
        self.write(name, json.dumps(value, indent=2, sort_keys=sort, ensure_ascii=False) + "\n")


def _plain(value: Any, *, with_special: bool = True) -> Any:
    """Turn tokens, inside lists and mappings too, into what the JSON files hold."""
    if isinstance(value, AddedToken):
        flags = {
            name: getattr(value, name)
            for name in ("content", "lstrip", "normalized", "rstrip", "single_word", "special")
        }
        if not with_special:
            del flags["special"]
        return flags
    if isinstance(value, dict):
        return {key: _plain(item, with_special=with_special) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item, with_special=with_special) for item in value]
    return value
