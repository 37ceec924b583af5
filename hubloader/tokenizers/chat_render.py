"""Chat templates are run in a process of their own, which is killed if one takes too much.

A template is a program out of a repository. Jinja's sandbox keeps it from reaching Python's
insides; nothing inside one process can keep ``9**9**9`` or ``'a' * 10**10`` from taking all time
and memory.
So templates run in a worker (``chat_worker``) under limits that the kernel keeps. It is started at
the first template, kept for the next ones, and replaced when it dies.

============  =========================================================================
bound         how much, and what keeps it
============  =========================================================================
time          1 s of CPU a conversation, a timer of the kernel; 1.5 s by the clock, ours
memory        256 MiB, a limit of the process
output        1 MiB, and four times what was put in
template      1 MiB
============  =========================================================================

Where the system has no such timers and limits (Windows) the clock is what is left. A worker that
the machine gave less than 0.15 s of CPU in that time is given up to 10 s to have that much: it is
no fault of the template's. What a worker takes to start is taken off the clock's time, of which
half a second is left in any case.
"""

from __future__ import annotations

import datetime as dt
import marshal
from typing import TYPE_CHECKING, Any, NamedTuple

from hubloader.errors import CorruptFile, UnsafeFile
from hubloader.tokenizers.chat_process import MAX_MEMORY, MAX_WAIT, TemplateStopped, exchange

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["RenderedChat", "render_chats"]

MAX_SECONDS = 1.0
MAX_CHARACTERS = 1 << 20
MAX_TEMPLATE = 1 << 20
_MAX_GROWTH = 4
_MAX_DEPTH = 150
_TOO_DEEP = "the conversation is nested too deeply, or holds itself"
_NUMBERS: tuple[type[Any], ...] = (int, float, bytes)
_GROUPS: tuple[type[Any], ...] = (list, tuple, set, frozenset)
_AS_THEY_ARE = frozenset({bool, bytes, complex, float, int, str, type(None)})


class RenderedChat(NamedTuple):
    """A conversation as text, and where the text stands that the model is to learn to write."""

    text: str
    spans: tuple[tuple[int, int], ...]


def render_chats(
    template: str, chats: Sequence[Mapping[str, Any]], values: Mapping[str, Any]
) -> list[RenderedChat]:
    """Run a template over conversations.

    Args:
        template: Jinja's source.
        chats: what each conversation gives the template; JSON's kinds of values.
        values: what all of them give it.

    Raises:
        CorruptFile: it is no Jinja template.
        UnsafeFile: it asks for what the sandbox refuses, or for too much time, memory or output.
        ValueError: it refuses the conversation, or does not fit it.
        BackendUnavailable: no worker can be started.

    """
    if len(template) > MAX_TEMPLATE:
        raise UnsafeFile(f"the chat template has {len(template)} characters: > {MAX_TEMPLATE}")
    content = _packed({"chats": list(chats), "values": dict(values)})
    request = {
        "template": template,
        "seconds": MAX_SECONDS,
        "now": dt.datetime.now().isoformat(),  # noqa: DTZ005 - the user's own clock
        "characters": MAX_CHARACTERS + _MAX_GROWTH * len(content),
    }
    try:
        answers = exchange(marshal.dumps((request, content), 2), len(chats))
    except TemplateStopped as stopped:
        raise _unsafe(stopped) from None
    rendered = []
    for answer in answers:
        if "error" in answer:
            raise _failure(answer)
        spans = tuple((start, end) for start, end in answer["spans"])
        rendered.append(RenderedChat(answer["text"], spans))
    return rendered


def _packed(values: Any) -> bytes:
    """Write values as the worker, which is the same Python, reads them back: equal ones."""
    try:
        return marshal.dumps(values, 2)
    except ValueError:  # of a kind that has to be made plain, or without end
        pass
    try:
        return marshal.dumps(_plain(values, 0), 2)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None


def _plain(value: Any, depth: int) -> Any:
    """Give an equal of what is not one of Python's own kinds."""
    if type(value) in _AS_THEY_ARE:
        return value
    if depth > _MAX_DEPTH:
        raise ValueError(_TOO_DEEP)
    if isinstance(value, str):  # a member of an Enum too
        return str.__str__(value)
    for base in _NUMBERS:  # NumPy's float64 too
        if isinstance(value, base):
            return base(value)
    for group in _GROUPS:
        if isinstance(value, group):
            return group(_plain(item, depth + 1) for item in value)
    return _plain_object(value, depth + 1)


def _plain_object(value: Any, depth: int) -> Any:
    if hasattr(value, "messages"):
        return _plain(value.messages, depth)
    if hasattr(value, "keys") and hasattr(value, "__getitem__"):
        return {_plain(key, depth): _plain(value[key], depth) for key in value.keys()}  # noqa: SIM118 - any mapping has keys
    if hasattr(value, "tolist"):  # NumPy's numbers and arrays, tensors
        return _plain(value.tolist(), depth)
    if hasattr(value, "model_dump"):
        return _plain(value.model_dump(), depth)
    if hasattr(value, "isoformat"):
        return str(value)
    if hasattr(value, "__iter__"):
        return [_plain(item, depth) for item in value]
    raise TypeError(
        f"a chat template takes text, numbers, lists and mappings, not {type(value).__name__}"
    )


def _unsafe(death: TemplateStopped) -> UnsafeFile:
    if death.timed_out:
        much = f"more than {MAX_WAIT} s"
    elif death.out_of_cpu:
        much = f"more than {MAX_SECONDS:.0f} s of CPU time"
    else:
        much = f"more than {MAX_MEMORY >> 20} MiB of memory"
    return UnsafeFile(f"the chat template was stopped: it took {much}", hint=_HINT)


_HINT = "pass a template of your own as chat_template, or look for a revision with a mended one"
_LIMITS = {
    "memory": f"it took more than {MAX_MEMORY >> 20} MiB of memory",
    "nesting": "it nests too deeply",
    "output": "it wrote {message}",
    "security": "it asks for what no template may have: {message}",
}


def _failure(answer: Mapping[str, Any]) -> Exception:
    kind, message, line = answer["error"], answer["message"], answer.get("line")
    where = f" (line {line})" if line else ""
    if kind == "refused":
        return ValueError(message)
    if kind == "syntax":
        return CorruptFile(f"the chat template is not Jinja{where}: {message}", hint=_HINT)
    if kind in _LIMITS:
        text = _LIMITS[kind].replace("{message}", message)
        return UnsafeFile(f"the chat template was stopped: {text}", hint=_HINT)
    return ValueError(
        f"the chat template does not fit the conversation: {answer['type']}: {message}"
    )
