"""A Python function becomes the JSON schema of a tool, from its type hints and its docstring.

Source: transformers 4.57.6 ``utils/chat_template_utils.py``: get_json_schema; of 5.23 that an
argument's description may hold words with a colon, members of an Enum, bare lists, and unions whose
members say more than their type. A class of one's own is an object, as in 4.57; 5.23 refuses it.
"""

from __future__ import annotations

import inspect
import json
import re
import sys
import types
from enum import Enum
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin, get_type_hints

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["tool_schema"]

_DESCRIPTION = re.compile(r"^(.*?)[\n\s]*(Args:|Returns:|Raises:|\Z)", re.DOTALL)
_ARGUMENTS = re.compile(r"\n\s*Args:\n(.*?)[\n\s]*(Returns:|Raises:|\Z)", re.DOTALL)
_RETURNS = re.compile(r"\n\s*Returns:\n\s*(.*?)[\n\s]*(Raises:|\Z)", re.DOTALL)
_ARGUMENT = re.compile(r"([ \t]*)(\w+):\s*(.*)")
_CHOICES = re.compile(r"\(choices:\s*(.*?)\)\s*$", re.IGNORECASE)
_BASIC: dict[Any, dict[str, Any]] = {
    int: {"type": "integer"},
    float: {"type": "number"},
    str: {"type": "string"},
    bool: {"type": "boolean"},
    type(None): {"type": "null"},
    list: {"type": "array"},
    tuple: {"type": "array"},
    Any: {},
}

_SCALARS = (int, float, str, bool, type(None))


def tool_schema(tool: Any) -> dict[str, Any]:
    """Give the schema of a tool.

    Args:
        tool: a schema, which is given back, or a function whose arguments all have type hints and
            are all described under ``Args:`` in its docstring.

    Raises:
        ValueError: it is neither; says what is missing.

    """
    if isinstance(tool, dict):
        return tool
    if not inspect.isfunction(tool) and not inspect.ismethod(tool):
        raise ValueError(
            "Tools should either be a JSON schema, or a callable function with type hints "
            "and a docstring suitable for auto-conversion to a schema."
        )
    doc = (inspect.getdoc(tool) or "").strip()
    if not doc:
        raise ValueError(
            f"Cannot generate JSON schema for {tool.__name__} because it has no docstring!"
        )
    parameters = _parameters(tool)
    described = _described(doc)
    returned = parameters["properties"].pop("return", None)
    for name, schema in parameters["properties"].items():
        if name not in described:
            raise ValueError(
                f"Cannot generate JSON schema for {tool.__name__} because the docstring has no "
                f"description for the argument '{name}'"
            )
        _describe(schema, described[name])
    main = _DESCRIPTION.search(doc)
    function = {
        "name": tool.__name__,
        "description": main.group(1).strip() if main else None,
        "parameters": parameters,
    }
    if returned is not None:
        found = _RETURNS.search(doc)
        if found:
            returned["description"] = found.group(1).strip()
        function["return"] = returned
    return {"type": "function", "function": function}


def _described(doc: str) -> dict[str, str]:
    found = _ARGUMENTS.search(doc)
    if not found:
        return {}
    described: dict[str, list[str]] = {}
    lines: list[str] = []
    margin = 1 << 16  # of the argument above: what stands further in belongs to it
    for line in found.group(1).split("\n"):
        begins = _ARGUMENT.fullmatch(line)
        if begins and len(begins[1]) <= margin:
            margin = len(begins[1])
            lines = described[begins[2]] = [begins[3].strip()]
        elif line.strip():
            lines.append(line.strip())
    return {name: " ".join(filter(None, words)) for name, words in described.items()}


def _describe(schema: dict[str, Any], description: str) -> None:
    choices = _CHOICES.search(description)
    if choices:
        listed = json.loads(choices.group(1))
        schema["enum"] = [
            choice.strip() if isinstance(choice, str) else choice for choice in listed
        ]
        description = description[: choices.start()].strip()
    schema["description"] = description


def _parameters(function: Callable[..., Any]) -> dict[str, Any]:
    required = []
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.annotation is inspect.Parameter.empty:
            raise ValueError(
                f"Argument {name} is missing a type hint in function {function.__name__}"
            )
        if parameter.default is inspect.Parameter.empty:
            required.append(name)
    properties = {name: _schema(hint) for name, hint in get_type_hints(function).items()}
    schema: dict[str, Any] = {"type": "object", "properties": properties}
    if required:
        schema["required"] = required
    return schema


def _schema(hint: Any) -> dict[str, Any]:
    origin, inner = get_origin(hint), get_args(hint)
    if origin is None:
        return dict(_plain(hint))
    if origin in {Union, types.UnionType}:
        return _union(inner)
    if origin is Literal:
        return _literal(inner)
    if origin is list:
        return {"type": "array", "items": _schema(inner[0])} if inner else {"type": "array"}
    if origin is tuple:
        return _tuple(hint, inner)
    if origin is dict:
        more = {"additionalProperties": _schema(inner[1])} if len(inner) == 2 else {}
        return {"type": "object", **more}
    raise ValueError(
        f"Couldn't parse this type hint, likely due to a custom class or object: {hint}"
    )


def _plain(hint: Any) -> dict[str, Any]:
    """Read a hint without parts; pictures and sounds are only known where their library is."""
    if hint in _BASIC:
        return _BASIC[hint]
    if isinstance(hint, type) and issubclass(hint, Enum):
        return _one_of(hint, [member.value for member in hint])
    pillow, torch = sys.modules.get("PIL.Image"), sys.modules.get("torch")
    if pillow is not None and hint is pillow.Image:
        return {"type": "image"}
    if torch is not None and hint is torch.Tensor:
        return {"type": "audio"}
    return {"type": "object"}


def _union(members: tuple[Any, ...]) -> dict[str, Any]:
    schemas = [_schema(member) for member in members if member is not type(None)]
    found: dict[str, Any]
    if len(schemas) == 1:
        found = schemas[0]
    elif all(schema.keys() == {"type"} and isinstance(schema["type"], str) for schema in schemas):
        names = sorted({schema["type"] for schema in schemas})
        found = {"type": names[0] if len(names) == 1 else names}
    else:
        found = {"anyOf": schemas}
    if type(None) in members:
        found["nullable"] = True
    return found


def _literal(values: tuple[Any, ...]) -> dict[str, Any]:
    if any(type(value) not in _SCALARS for value in values):
        raise ValueError("Only the valid python literals can be listed in typing.Literal.")
    return _one_of(Literal, list(values))


def _one_of(hint: Any, values: list[Any]) -> dict[str, Any]:
    if not values or any(type(value) not in _SCALARS for value in values):
        raise ValueError(f"{hint} has no values, or one that is no text, number, bool or None")
    kinds = list(dict.fromkeys(_BASIC[type(value)]["type"] for value in values))
    return {"type": kinds[0] if len(kinds) == 1 else kinds, "enum": values}


def _tuple(hint: Any, members: tuple[Any, ...]) -> dict[str, Any]:
    if not members:
        return {"type": "array"}
    if len(members) == 1 or ... in members:
        raise ValueError(
            f"{str(hint).replace('typing.', '')} has no JSON schema: use list[] for inputs of any "
            "length, and the type itself for a single one"
        )
    return {"type": "array", "prefixItems": [_schema(member) for member in members]}
