"""Files of a repository are read here, bounded and decoded; the engine's refusals get our words."""

from __future__ import annotations

import contextlib
import json
import os
from typing import TYPE_CHECKING, Any

from hubloader.errors import CorruptFile, HubloaderError, UnsafeFile

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hubloader.types import FileSet

__all__ = ["engine_errors", "engine_failure", "read_json_object", "read_text"]

MAX_TOKENIZER_BYTES = 64 << 20  # the largest tokenizer.json in use is half of it
MAX_CONFIG_BYTES = 16 << 20  # tokenizer_config.json with thousands of added tokens


def read_text(files: FileSet, name: str, limit: int = MAX_TOKENIZER_BYTES) -> str:
    """Read a UTF-8 file, with or without a byte order mark.

    Raises:
        UnsafeFile: it is larger than ``limit`` bytes.
        CorruptFile: it is not UTF-8.

    """
    path = files.path(name)
    size = os.stat(path).st_size
    if size > limit:
        raise UnsafeFile(
            f"{files.describe(name)} has {size} bytes, more than the {limit} that are allowed",
            filename=name,
        )
    with open(path, "rb") as stream:
        raw = stream.read(limit + 1)
    try:
        return raw.removeprefix(b"\xef\xbb\xbf").decode("utf-8")
    except UnicodeDecodeError as error:
        raise CorruptFile(
            f"{files.describe(name)} is not UTF-8: byte {error.start} is {raw[error.start]:#04x}",
            filename=name,
        ) from None


def read_json_object(files: FileSet, name: str, limit: int = MAX_CONFIG_BYTES) -> dict[str, Any]:
    """Read a file that holds one JSON object.

    Raises:
        UnsafeFile: it is larger than ``limit`` bytes.
        CorruptFile: it is not UTF-8, not JSON, nested too deeply, or not an object.

    """
    text = read_text(files, name, limit)
    try:
        value = json.loads(text)
    except ValueError as error:
        raise CorruptFile(f"{files.describe(name)} is not JSON: {error}", filename=name) from None
    except RecursionError:
        raise CorruptFile(f"{files.describe(name)} is nested too deeply", filename=name) from None
    if not isinstance(value, dict):
        raise CorruptFile(
            f"{files.describe(name)} holds a {type(value).__name__}, not an object", filename=name
        )
    return value


@contextlib.contextmanager
def engine_errors(what: str, filename: str | None = None) -> Iterator[None]:
    """Turn the engine's refusal of a file, or its panic, into CorruptFile.

    Args:
        what: the file in words, for the message.
        filename: its name in the repository.

    """
    try:
        yield
    except HubloaderError:
        raise
    except BaseException as error:  # a panic of the Rust engine is no Exception
        if not isinstance(engine_failure(error), (ValueError, TypeError)):
            raise
        raise CorruptFile(
            f"{what} cannot be used: {error}",
            hint="the file is damaged, or made for another version of the tokenizers library",
            filename=filename,
        ) from error


def engine_failure(error: BaseException) -> BaseException:
    """Give what stands for an error of the engine.

    A panic, which is no Exception, becomes CorruptFile, and a bare Exception a ValueError; any
    other error is given as it is.
    """
    if type(error) is Exception:
        return ValueError(str(error))
    if type(error).__name__ != "PanicException":
        return error
    return CorruptFile(
        f"the tokenizer's engine gave up: {error}",
        hint="check max_length and stride; if they are right, the tokenizer's files ask for "
        "something that the tokenizers library cannot do",
    )
