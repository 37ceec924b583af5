"""A Python function becomes the JSON schema of a tool, from its type hints and its docstring.

Source: transformers 4.57.6 ``utils/chat_template_utils.py``: get_json_schema.
"""

from __future__ import annotations

import inspect
import json
import re
import sys
import types
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin, get_type_hints

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["tool_schema"]

_DESCRIPTION = re.compile(r"^(.*?)[\n\s]*(Args:|Returns:|Raises:|\Z)", re.DOTALL)
_ARGUMENTS = re.compile(r"\n\s*Args:\n\s*(.*?)[\n\s]*(Returns:|Raises:|\Z)", re.DOTALL)
_RETURNS = re.compile(r"\n\s*Returns:\n\s*(.*?)[\n\s]*(Raises:|\Z)", re.DOTALL)
_ARGUMENT = re.compile(r"(?:^|\n)\s*(\w+):\s*(.*?)\s*(?=\n\s*\w+:|\Z)", re.DOTALL)
_CHOICES = re.compile(r"\(choices:\s*(.*?)\)\s*$", re.IGNORECASE)
_BASIC: dict[Any, dict[str, Any]] = {
    int: {"type": "integer"},
    float: {"type": "number"},
    str: {"type": "string"},
    bool: {"type": "boolean"},
    type(None): {"type": "null"},
    Any: {},
}


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
    text = "\n".join(line for line in found.group(1).strip().split("\n") if line.strip())
    return {
        name: re.sub(r"\s*\n+\s*", " ", words.strip()) for name, words in _ARGUMENT.findall(text)
    }


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
    elif all(isinstance(schema.get("type"), str) for schema in schemas):
        found = {"type": sorted(schema["type"] for schema in schemas)}
    else:
        found = {"anyOf": schemas}
    if type(None) in members:
        found["nullable"] = True
    return found


def _literal(values: tuple[Any, ...]) -> dict[str, Any]:
    if any(type(value) not in _BASIC for value in values):
        raise ValueError("Only the valid python literals can be listed in typing.Literal.")
    kinds = list(dict.fromkeys(_BASIC[type(value)]["type"] for value in values))
    return {"type": kinds[0] if len(kinds) == 1 else kinds, "enum": list(values)}


def _tuple(hint: Any, members: tuple[Any, ...]) -> dict[str, Any]:
    if not members:
        return {"type": "array"}
    if len(members) == 1 or ... in members:
        raise ValueError(
            f"{str(hint).replace('typing.', '')} has no JSON schema: use list[] for inputs of any "
            "length, and the type itself for a single one"
        )
    return {"type": "array", "prefixItems": [_schema(member) for member in members]}
