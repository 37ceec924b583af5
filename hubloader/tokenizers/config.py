"""The small JSON files beside a vocabulary, merged into what a tokenizer is set up with.

The order of authority: arguments of the call, tokenizer_config.json, special_tokens_map.json,
added_tokens.json, the class's own defaults. Where tokenizer_config.json has
``added_tokens_decoder`` the two older files are not read.

Source: transformers 4.57.6 ``PreTrainedTokenizerBase._from_pretrained``.
"""

from __future__ import annotations

import contextlib
import json
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from tokenizers import AddedToken

from hubloader.errors import CorruptFile, HubloaderError, UnsafeFile
from hubloader.tokenizers.config_values import (
    SPECIAL_TOKEN_NAMES,
    check_roles,
    check_values,
    token_from,
)
from hubloader.tokenizers.reading import MAX_CONFIG_BYTES, read_json_object, read_text

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from hubloader.types import FileSet

__all__ = ["TokenizerConfig", "read_tokenizer_config"]

_MAX_ADDED_ID = 1 << 31
# Names of files, and of code: a repository does not decide what is read or run.
_NOT_FOR_CONFIGS = frozenset(
    {"auto_map", "init_inputs", "merges_file", "name_or_path", "tokenizer_file", "vocab_file"}
)
_NOTHING: Mapping[Any, Any] = MappingProxyType({})


class TokenizerConfig(NamedTuple):
    """What the files and the call's arguments say, merged; the class's defaults are not in it.

    Attributes:
        declared: the class named by tokenizer_config.json, or by config.json; None if neither does.
        model_type: config.json's, None where it was not needed or does not say.
        values: init arguments by name; special tokens are text or AddedToken.
        added_tokens: AddedToken by id, as the files list them.
        wants_code: the class that the repository brings its own code for, or None.

    """

    declared: str | None = None
    model_type: str | None = None
    values: Mapping[str, Any] = _NOTHING
    added_tokens: Mapping[int, AddedToken] = _NOTHING
    wants_code: str | None = None


def read_tokenizer_config(files: FileSet, overrides: Mapping[str, Any]) -> TokenizerConfig:
    """Read and merge the JSON files of a tokenizer.

    Args:
        files: the repository's files.
        overrides: the call's arguments: they win.

    Raises:
        CorruptFile: a file is not what its name says; names the file and the key.

    """
    raw = _read_if_there(files, "tokenizer_config.json")
    model = {} if raw.get("tokenizer_class") else _read_if_there(files, "config.json")
    values = {key: value for key, value in raw.items() if key not in _NOT_FOR_CONFIGS}
    values.pop("tokenizer_class", None)
    with _blamed_on(files, "tokenizer_config.json"):
        check_values(values)
        check_roles(values)
    check_values(overrides)
    values.update(overrides)
    _revive_extra_tokens(values)
    _merge_chat_templates(values, files)
    listed = values.pop("added_tokens_decoder", None)
    if listed is None:
        _merge_special_tokens_map(values, files, overrides)
        added = _legacy_added_tokens(files, values)
        _revive_tokens(values, {})  # that older file tells no flags
    else:
        added = _listed_tokens(files, listed)
        _revive_tokens(values, added)
    return TokenizerConfig(
        declared=_text(raw, "tokenizer_class") or _text(model, "tokenizer_class"),
        model_type=_text(model, "model_type"),
        values=values,
        added_tokens=added,
        wants_code=_wanted_code(raw),
    )


def _merge_chat_templates(values: dict[str, Any], files: FileSet) -> None:
    """Read templates from their own files, which win; a list of named ones becomes a mapping."""
    templates: dict[str, str] = {}
    if files.exists("chat_template.jinja"):
        templates["default"] = read_text(files, "chat_template.jinja", MAX_CONFIG_BYTES)
    for name in sorted(files.names()):
        folder, _, file = name.rpartition("/")
        if folder == "additional_chat_templates" and file.endswith(".jinja"):
            templates[file.removesuffix(".jinja")] = read_text(files, name, MAX_CONFIG_BYTES)
    given = values.get("chat_template")
    if templates:
        values["chat_template"] = (
            templates["default"] if len(templates) == 1 and "default" in templates else templates
        )
    elif isinstance(given, (list, tuple)):
        try:
            values["chat_template"] = {str(e["name"]): str(e["template"]) for e in given}
        except (KeyError, TypeError):
            raise _corrupt(
                files, "tokenizer_config.json", "chat_template lists what has no name and template"
            ) from None
    elif given is not None and not isinstance(given, (str, dict)):
        raise _corrupt(files, "tokenizer_config.json", f"chat_template is {given!r}, not text")
    elif isinstance(given, dict) and not all(isinstance(text, str) for text in given.values()):
        raise _corrupt(files, "tokenizer_config.json", "chat_template names what is not text")


def _read_if_there(files: FileSet, name: str) -> dict[str, Any]:
    if not files.exists(name):
        return {}
    value = read_json_object(files, name)
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError as error:
        raise _corrupt(files, name, f"it holds what is no text: {error.reason}") from None
    except RecursionError:
        raise _corrupt(files, name, "it is nested too deeply") from None
    return value


def _text(values: Mapping[str, Any], key: str) -> str | None:
    value = values.get(key)
    return value if isinstance(value, str) and value else None


def _wanted_code(raw: Mapping[str, Any]) -> str | None:
    named = raw.get("auto_map")
    if isinstance(named, dict):
        named = named.get("AutoTokenizer")
    if isinstance(named, (list, tuple)):
        named = next((entry for entry in reversed(named) if entry), None)
    return str(named) if named else None


def _merge_special_tokens_map(
    values: dict[str, Any], files: FileSet, overrides: Mapping[str, Any]
) -> None:
    table = _read_if_there(files, "special_tokens_map.json")
    with _blamed_on(files, "special_tokens_map.json"):
        check_values(table)
    for key, value in table.items():
        if overrides.get(key):
            continue
        if key == "additional_special_tokens" and value is not None:
            known = list(values.get(key) or [])
            written = {json.dumps(token, sort_keys=True) for token in known}
            new = [token for token in value if json.dumps(token, sort_keys=True) not in written]
            values[key] = known + new
        elif isinstance(value, dict):
            values[key] = {**value, "special": True}
        else:
            values[key] = value


def _legacy_added_tokens(files: FileSet, values: Mapping[str, Any]) -> dict[int, AddedToken]:
    table = _read_if_there(files, "added_tokens.json")
    special = {str(token_from(values[key])) for key in SPECIAL_TOKEN_NAMES if values.get(key)}
    _check_count(files, "added_tokens.json", table)
    more = values.get("additional_special_tokens") or ()
    special.update(str(token_from(token)) for token in more)
    return {
        _added_id(files, "added_tokens.json", index): AddedToken(
            text, normalized=text not in special, special=text in special
        )
        for text, index in table.items()
    }


def _listed_tokens(files: FileSet, listed: Any) -> dict[int, AddedToken]:
    where = "tokenizer_config.json"
    if not isinstance(listed, dict):
        raise _corrupt(files, where, "added_tokens_decoder is not an object")
    _check_count(files, where, [str(index) for index in listed])
    found: dict[int, AddedToken] = {}
    for index, value in listed.items():
        token = token_from(value)
        if not isinstance(token, AddedToken):
            raise _corrupt(files, where, f"added_tokens_decoder[{index!r}] is not a token")
        found[_added_id(files, where, index)] = token
    return found


def _check_count(files: FileSet, name: str, texts: Collection[str]) -> None:
    if not texts:
        return
    from hubloader.tokenizers.checks import check_added_tokens  # first use: few files list any

    try:
        check_added_tokens(texts)
    except UnsafeFile as error:
        raise UnsafeFile(f"{files.describe(name)}: {error.message}", filename=name) from None


def _added_id(files: FileSet, name: str, index: Any) -> int:
    try:
        number = int(index)
    except (OverflowError, TypeError, ValueError):
        number = -1
    if not 0 <= number < _MAX_ADDED_ID:
        raise _corrupt(files, name, f"{index!r} is not a token's id")
    return number


def _revive_tokens(values: dict[str, Any], added: Mapping[int, AddedToken]) -> None:
    by_text = {token.content: token for token in added.values()}
    for key, value in values.items():
        if key in SPECIAL_TOKEN_NAMES and value is not None:
            token = token_from(value)
            values[key] = by_text.get(str(token), token)
        elif key == "additional_special_tokens" and value is not None:
            values[key] = [token_from(item) for item in value]


def _revive_extra_tokens(values: dict[str, Any]) -> None:
    """Read ``extra_special_tokens``: a list of tokens, or tokens by the role that a model has."""
    given = values.get("extra_special_tokens")
    if isinstance(given, dict):
        values["extra_special_tokens"] = {role: token_from(item) for role, item in given.items()}
    elif given is not None:
        values["extra_special_tokens"] = [token_from(item) for item in given]


@contextlib.contextmanager
def _blamed_on(files: FileSet, name: str) -> Iterator[None]:
    """Turn what is wrong with a value into what is wrong with the file that holds it."""
    try:
        yield
    except (TypeError, ValueError) as error:
        if isinstance(error, HubloaderError):
            raise
        raise _corrupt(files, name, str(error)) from None


def _corrupt(files: FileSet, name: str, reason: str) -> CorruptFile:
    return CorruptFile(f"{files.describe(name)}: {reason}", filename=name)
