"""The few pickle instructions that a state dict is made of, and no other.

A pickle is a program. This machine knows the instructions that build dictionaries, lists, tuples,
numbers and strings, calls nothing but the constructors of ``pickled_names.py`` (which make
descriptions of tensors, not tensors), and stops at anything else, naming it. Python's own
``pickle`` is never involved, so there is nothing here to escape from.

Source: ``pickletools`` of Python 3.11 for the instructions; torch 2.13
``_weights_only_unpickler.py`` and ``_utils.py`` for what a state dict holds.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

from hubloader.errors import CorruptFile, UnsafeFile
from hubloader.formats.pickled_names import BUILDERS, Name, allowed

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["MAX_PICKLE", "load_pickle"]

MAX_PICKLE = 64_000_000  # bytes of instructions; a state dict of 1,000 tensors takes some 100,000
_MAX_STEPS = 20_000_000
_MAX_MEMO = 4_000_000
_HIGHEST_PROTOCOL = 5


class _Mark:
    """Where a tuple, a list or a run of items begins on the stack."""


_MARK = _Mark()


def load_pickle(
    data: bytes | memoryview, position: int, persistent: Callable[[Any], Any]
) -> tuple[Any, int]:
    """Run one pickle to its end.

    Args:
        data: the bytes; what follows the pickle is left alone.
        position: where it begins.
        persistent: turns a persistent id (a tuple) into a storage.

    Returns:
        What it built, and the position behind it.

    Raises:
        UnsafeFile: an instruction or a global outside the allow-list, or too many of them.
        CorruptFile: the bytes end, or are not a pickle.

    """
    machine = _Machine(data, position, persistent)
    try:
        return machine.run(), machine.position
    except (IndexError, struct.error, UnicodeDecodeError, TypeError, KeyError) as error:
        raise CorruptFile(
            f"the pickle is damaged at byte {machine.position}: {type(error).__name__}"
        ) from None


class _Machine:
    """One run: a stack, a memo and a position; each method below is one instruction."""

    def __init__(
        self, data: bytes | memoryview, position: int, persistent: Callable[[Any], Any]
    ) -> None:
        self.data = data
        self.position = position
        self.persistent = persistent
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        for _ in range(_MAX_STEPS):
            code = self.take(1)[0]
            if code == _STOP:
                return self.stack.pop()
            step = _STEPS.get(code)
            if step is None:
                raise UnsafeFile(
                    f"the pickle holds instruction {_word(code)}, which no tensor needs"
                )
            step(self)
        raise UnsafeFile(f"the pickle has more than {_MAX_STEPS} instructions")

    # reading

    def take(self, count: int) -> bytes:
        end = self.position + count
        if count < 0 or end > len(self.data):
            raise CorruptFile(f"the pickle ends at byte {len(self.data)}, inside an instruction")
        found = bytes(self.data[self.position : end])
        self.position = end
        return found

    def number(self, code: str) -> int:
        (value,) = struct.unpack(code, self.take(struct.calcsize(code)))
        return int(value)

    def line(self) -> str:
        taken = bytearray()
        while (byte := self.take(1)) != b"\n":
            taken += byte
        return taken.decode("utf-8")

    def pop_mark(self) -> list[Any]:
        for index in range(len(self.stack) - 1, -1, -1):
            if self.stack[index] is _MARK:
                items = self.stack[index + 1 :]
                del self.stack[index:]
                return items
        raise CorruptFile(f"the pickle is damaged at byte {self.position}: no mark")

    # instructions

    def protocol(self) -> None:
        if self.number("<B") > _HIGHEST_PROTOCOL:
            raise CorruptFile("the pickle is of an unknown protocol")

    def frame(self) -> None:
        self.take(8)

    def make_text(self, code: str) -> None:
        self.stack.append(self.take(self.number(code)).decode("utf-8"))

    def make_long(self) -> None:
        raw = self.take(self.number("<B"))
        self.stack.append(int.from_bytes(raw, "little", signed=True))

    def make_float(self) -> None:
        (value,) = struct.unpack(">d", self.take(8))
        self.stack.append(value)

    def make_tuple(self, count: int) -> None:
        if len(self.stack) < count:
            raise CorruptFile(f"the pickle is damaged at byte {self.position}: empty stack")
        items = tuple(self.stack[len(self.stack) - count :])
        del self.stack[len(self.stack) - count :]
        self.stack.append(items)

    def make_dict(self) -> None:
        items = self.pop_mark()
        self.stack.append(dict(zip(items[::2], items[1::2], strict=False)))

    def append(self) -> None:
        value = self.stack.pop()
        self.target_list().append(value)

    def appends(self) -> None:
        items = self.pop_mark()
        self.target_list().extend(items)

    def target_list(self) -> list[Any]:
        if not isinstance(self.stack[-1], list):
            raise CorruptFile(f"the pickle appends to no list at byte {self.position}")
        found: list[Any] = self.stack[-1]
        return found

    def set_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, dict):
            raise CorruptFile(f"the pickle sets an item of no dictionary at byte {self.position}")
        for key, value in zip(items[::2], items[1::2], strict=False):
            target[key] = value

    def set_item(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self.set_items([key, value])

    def put(self, index: int) -> None:
        if len(self.memo) >= _MAX_MEMO:
            raise UnsafeFile(f"the pickle remembers more than {_MAX_MEMO} things")
        self.memo[index] = self.stack[-1]

    def get(self, index: int) -> None:
        self.stack.append(self.memo[index])

    def make_global(self) -> None:
        module, name = self.line(), self.line()
        self.stack.append(allowed(module, name))

    def stack_global(self) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self.stack.append(allowed(str(module), str(name)))

    def reduce(self) -> None:
        arguments, called = self.stack.pop(), self.stack.pop()
        build = BUILDERS.get(called.text) if isinstance(called, Name) else None
        if build is None or not isinstance(arguments, tuple):
            raise UnsafeFile("the pickle calls something that is no constructor of tensors")
        self.stack.append(build(*arguments))

    def build(self) -> None:
        state, target = self.stack.pop(), self.stack[-1]
        if not isinstance(target, dict) or not isinstance(state, dict):
            raise UnsafeFile("the pickle sets the state of something that is no dictionary")
        # the state of an OrderedDict here is nn.Module's _metadata: versions that no loader needs

    def persistent_id(self) -> None:
        self.stack.append(self.persistent(self.stack.pop()))


_STOP = ord(".")
_STEPS: dict[int, Callable[[_Machine], None]] = {
    0x80: _Machine.protocol,
    0x95: _Machine.frame,
    ord("("): lambda m: m.stack.append(_MARK),
    ord("}"): lambda m: m.stack.append({}),
    ord("]"): lambda m: m.stack.append([]),
    ord(")"): lambda m: m.stack.append(()),
    ord("N"): lambda m: m.stack.append(None),
    0x88: lambda m: m.stack.append(True),
    0x89: lambda m: m.stack.append(False),
    ord("X"): lambda m: m.make_text("<I"),
    0x8C: lambda m: m.make_text("<B"),
    0x8D: lambda m: m.make_text("<Q"),
    ord("U"): lambda m: m.make_text("<B"),
    ord("T"): lambda m: m.make_text("<i"),
    ord("J"): lambda m: m.stack.append(m.number("<i")),
    ord("K"): lambda m: m.stack.append(m.number("<B")),
    ord("M"): lambda m: m.stack.append(m.number("<H")),
    0x8A: _Machine.make_long,
    ord("G"): _Machine.make_float,
    ord("t"): lambda m: m.stack.append(tuple(m.pop_mark())),
    0x85: lambda m: m.make_tuple(1),
    0x86: lambda m: m.make_tuple(2),
    0x87: lambda m: m.make_tuple(3),
    ord("l"): lambda m: m.stack.append(m.pop_mark()),
    ord("d"): _Machine.make_dict,
    ord("a"): _Machine.append,
    ord("e"): _Machine.appends,
    ord("s"): _Machine.set_item,
    ord("u"): lambda m: m.set_items(m.pop_mark()),
    ord("q"): lambda m: m.put(m.number("<B")),
    ord("r"): lambda m: m.put(m.number("<I")),
    0x94: lambda m: m.put(len(m.memo)),
    ord("h"): lambda m: m.get(m.number("<B")),
    ord("j"): lambda m: m.get(m.number("<I")),
    ord("c"): _Machine.make_global,
    0x93: _Machine.stack_global,
    ord("R"): _Machine.reduce,
    ord("b"): _Machine.build,
    ord("Q"): _Machine.persistent_id,
}


def _word(code: int) -> str:
    import pickletools  # first use: only a refused file needs the names

    known = {ord(entry.code): entry.name for entry in pickletools.opcodes}
    return known.get(code, f"0x{code:02x}")
