"""Encoder architectures, each written once for every framework: one file a family.

A file is named for its ``model_type`` and holds a config, a few ``Layer`` classes whose attribute
names are the checkpoint's, and one ``ARCHITECTURE`` record. Adding a file is all it takes.
"""

from __future__ import annotations

from hubloader.architectures._config import Config
from hubloader.architectures._entry import (
    BEAM_ANSWERING,
    DOCUMENT_ANSWERING,
    ENCODER,
    MASKED_LM,
    MULTIPLE_CHOICE,
    QUESTION_ANSWERING,
    SEQUENCE_CLASSIFICATION,
    TOKEN_CLASSIFICATION,
    Architecture,
    find,
    supported,
)

__all__ = [
    "BEAM_ANSWERING",
    "DOCUMENT_ANSWERING",
    "ENCODER",
    "MASKED_LM",
    "MULTIPLE_CHOICE",
    "QUESTION_ANSWERING",
    "SEQUENCE_CLASSIFICATION",
    "TOKEN_CLASSIFICATION",
    "Architecture",
    "Config",
    "find",
    "supported",
]
