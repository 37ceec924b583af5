"""The process that runs chat templates: a program of its own, started by ``chat_render``.

It knows Jinja and nothing of hubloader, has no environment, may open no network connection that
its sandbox would let it ask for, and is killed by the kernel when a template takes too much: time
by a timer whose signal nothing catches, memory by a limit of the process. Requests are what
``marshal`` writes, so that a tuple is one here too; answers, one for each conversation, are JSON,
since a template has a hand in them. Each stands after its length in four bytes.

It imports only the standard library and jinja2, and is run by path, never imported by hubloader.
"""

from __future__ import annotations

import contextlib
import json
import marshal
import os
import signal
import struct
import sys
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Iterator

_GREETING = {"worker": 1}
_KEPT_TEMPLATES = 32
_MAX_MESSAGE = 2000  # characters of an exception's text that go back


def main() -> None:
    """Answer requests until there are no more."""
    source, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    with open(os.devnull, "r+b") as nothing:
        os.dup2(nothing.fileno(), 0)
        os.dup2(nothing.fileno(), 1)
    start = _receive(source)
    if start is None:
        return
    first = json.loads(start)
    sys.path[:] = first["path"]
    renderer = _Renderer()
    _limit_process(first["memory"])
    _send(answers, _GREETING)
    while (raw := _receive(source)) is not None:
        request, content = marshal.loads(raw)  # noqa: S302 - our own process wrote it
        for answer in renderer.answers(request, marshal.loads(content)):  # noqa: S302 - as above
            _send(answers, answer)


def _receive(source: BinaryIO) -> bytes | None:
    head = source.read(4)
    return source.read(struct.unpack("<I", head)[0]) if len(head) == 4 else None


def _send(answers: BinaryIO, answer: dict[str, Any]) -> None:
    raw = json.dumps(answer).encode("ascii")
    answers.write(struct.pack("<I", len(raw)) + raw)
    answers.flush()
    _set_timer(0)


def _limit_process(memory: int) -> None:
    """Let the kernel bound what this process takes, where it can."""
    try:
        import resource
    except ImportError:
        return  # no such limits on this system: the parent's clock is what is left
    used = _address_space()
    for limit, amount in (
        (resource.RLIMIT_AS, used + memory),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
    ):
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(limit, (amount, amount))


def _address_space() -> int:
    try:
        with open("/proc/self/statm", encoding="ascii") as stream:
            return int(stream.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return 256 << 20


def _set_timer(seconds: float) -> None:
    """Have the kernel end this process after so much CPU time; 0 takes that back."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_PROF, seconds)


class _Refused(Exception):
    """The template said no to the conversation."""


class _TooLong(Exception):
    """The text grew past its bound."""


class _Renderer:
    """Templates, compiled once, and what they are run with.

    Source: transformers 4.57.6 ``utils/chat_template_utils.py``: the environment, its filters and
    functions, and the ``generation`` tag.
    """

    def __init__(self) -> None:
        import jinja2.ext
        import jinja2.sandbox

        self._jinja = jinja2
        self.environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
            trim_blocks=True,
            lstrip_blocks=True,
            extensions=[_generation_tag(self), jinja2.ext.loopcontrols],
        )
        self.environment.filters["tojson"] = _tojson
        self.environment.globals["raise_exception"] = _raise_exception
        self.environment.globals["strftime_now"] = self._strftime_now
        self.now = ""
        self._compiled: dict[str, Any] = {}
        self.blocks: list[str] = []
        self.length = 0
        self.spans: list[tuple[int, int]] | None = None

    def answers(self, request: dict[str, Any], content: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Render every conversation of a request, each within its own bounds; an error ends it."""
        self.now = request["now"]
        for own in content["chats"]:
            _set_timer(request["seconds"])
            try:
                template = self._compile(request["template"])
                values = {**content["values"], **own}
                answer = self._render(template, values, request["characters"])
            except Exception as error:  # noqa: BLE001 - whatever a template raises goes back, in words
                yield self._failure(error)
                return
            yield answer

    def _compile(self, source: str) -> Any:
        if source not in self._compiled:
            if len(self._compiled) >= _KEPT_TEMPLATES:
                self._compiled.clear()
            self._compiled[source] = self.environment.from_string(source)
        return self._compiled[source]

    def _render(self, template: Any, values: dict[str, Any], characters: int) -> dict[str, Any]:
        self.blocks, self.spans, self.length = [], [], 0
        for block in template.generate(values):
            self.length += len(block)
            if self.length > characters:
                raise _TooLong(f"more than {characters} characters")
            self.blocks.append(block)
        return {"text": "".join(self.blocks), "spans": self.spans}

    def _strftime_now(self, form: str) -> str:
        import datetime as dt

        return dt.datetime.fromisoformat(self.now).strftime(form)

    def _failure(self, error: Exception) -> dict[str, Any]:
        exceptions = self._jinja.exceptions
        kinds = (
            (_Refused, "refused"),
            (_TooLong, "output"),
            (MemoryError, "memory"),
            (RecursionError, "nesting"),
            (exceptions.SecurityError, "security"),
            (exceptions.TemplateSyntaxError, "syntax"),
        )
        kind = next((word for cls, word in kinds if isinstance(error, cls)), "runtime")
        line = getattr(error, "lineno", None)
        self.blocks = []
        return {
            "error": kind,
            "message": str(error)[:_MAX_MESSAGE],
            "type": type(error).__name__,
            "line": line if isinstance(line, int) else None,
        }


def _generation_tag(renderer: _Renderer) -> type:
    """Make the tag ``{% generation %}``: it notes where the text inside it comes to stand."""
    import jinja2.ext
    import jinja2.nodes

    class GenerationTag(jinja2.ext.Extension):
        tags = {"generation"}  # noqa: RUF012 - jinja's own way to say it

        def parse(self, parser: Any) -> Any:
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            call = self.call_method("_note")
            return jinja2.nodes.CallBlock(call, [], [], body).set_lineno(line)

        def _note(self, caller: Any) -> str:
            text: str = caller()
            spans = renderer.spans
            if spans is not None:
                spans.append((renderer.length, renderer.length + len(text)))
            return text

    return GenerationTag


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: Any = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def _raise_exception(message: Any) -> Iterator[str]:
    raise _Refused(message)


if __name__ == "__main__":
    main()
